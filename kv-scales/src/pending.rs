//! Scales that wait for the first batch, and the one act that fixes them.

use crate::names::Slot;
use crate::resolved::ResolvedScales;
use crate::scale::{Origin, Scale, ScaleValue};
use crate::{Error, KvDtype};

/// The largest absolute values of one layer's first batch, K and Q after the rotary embedding.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerAbsmax {
    /// Of Q.
    pub q: f32,
    /// Of K.
    pub k: f32,
    /// Of V.
    pub v: f32,
}

/// What an absmax is divided by for FP8. INT8 always uses 127: more would clip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OnTheFlyRange {
    /// For Q.
    pub q: f32,
    /// For K.
    pub k: f32,
    /// For V.
    pub v: f32,
}

impl Default for OnTheFlyRange {
    /// vLLM's constants.
    fn default() -> Self {
        OnTheFlyRange { q: 200.0, k: 200.0, v: 100.0 }
    }
}

/// A resolved set of which some scales are pending. It can be fixed once, since fixing consumes
/// it and it cannot be copied; until then no cache can be made of it.
#[derive(Debug, PartialEq)]
pub struct PendingScales(ResolvedScales);

impl PendingScales {
    pub(crate) fn new(scales: ResolvedScales) -> Self {
        PendingScales(scales)
    }

    /// The set as it is, for reports.
    pub fn get(&self) -> &ResolvedScales {
        &self.0
    }

    /// Sets every pending scale from the first batch: one entry per layer, those of layers with
    /// nothing pending are not looked at.
    ///
    /// # Errors
    /// When the number of layers is another, a range is not finite and > 0, or an absmax that is
    /// needed is zero, NaN or infinite: a scale of it would be meaningless.
    pub fn fix(
        self,
        first_batch: &[LayerAbsmax],
        range: &OnTheFlyRange,
    ) -> Result<ResolvedScales, Error> {
        let mut scales = self.0;
        if first_batch.len() != scales.layers().len() {
            return Err(Error::BatchLayers {
                got: first_batch.len(),
                num_layers: scales.layers().len(),
            });
        }
        for (layer, seen) in scales.layers_mut().iter_mut().zip(first_batch) {
            let q_dtype =
                if layer.dtypes.k.is_quantized() { layer.dtypes.k } else { layer.dtypes.v };
            let (number, k_dtype, v_dtype) = (layer.layer, layer.dtypes.k, layer.dtypes.v);
            for (slot, scale, dtype, absmax, range) in [
                (Slot::Q, &mut layer.q, q_dtype, seen.q, range.q),
                (Slot::K, &mut layer.k, k_dtype, seen.k, range.k),
                (Slot::V, &mut layer.v, v_dtype, seen.v, range.v),
            ] {
                if scale.value == ScaleValue::Pending {
                    *scale = fixed(number, slot, dtype, absmax, range)?;
                }
            }
        }
        Ok(scales)
    }
}

fn fixed(
    layer: usize,
    slot: Slot,
    dtype: KvDtype,
    absmax: f32,
    range: f32,
) -> Result<Scale, Error> {
    let range = if dtype.is_int8() { 127.0 } else { range };
    let value = absmax / range;
    let usable = |x: f32| x.is_finite() && x > 0.0;
    if !(usable(absmax) && usable(range) && usable(value)) {
        return Err(Error::BadAbsmax { layer, slot, absmax, range });
    }
    Ok(Scale { value: ScaleValue::PerTensor(value), origin: Origin::OnTheFly })
}
