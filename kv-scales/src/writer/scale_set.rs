//! The scales to be written: values alone, as a calibration finds them.

use std::collections::BTreeMap;

use crate::checkpoint::TensorDtype;
use crate::model::{LayerKind, ModelShape};
use crate::names::Slot;
use crate::resolve::{Platform, codes};
use crate::scheme::Strategy;
use crate::{Error, KvDtype, KvDtypes, LayerScales, Origin, ResolvedScales, Scale, ScaleValue};
use fp8_format::ElementType;

use super::shard::NewTensor;

/// A set of scales for a model, in the form checkpoints hold them: for FNUZ formats that is half
/// of what is used.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleSet {
    /// What they were calibrated for.
    pub dtypes: KvDtypes,
    /// The type of the scale tensors: F32, F16 or Bf16. llm-compressor uses the model's.
    pub stored_as: TensorDtype,
    /// By layer; layers without a KV cache have none.
    pub layers: BTreeMap<usize, LayerScaleSet>,
}

/// The scales of one layer: one per tensor, or one per head, alike for all.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerScaleSet {
    /// For the queries, where they were calibrated.
    pub q: Option<ScaleValue>,
    /// For the keys.
    pub k: ScaleValue,
    /// For the values.
    pub v: ScaleValue,
    /// For the softmax probabilities, where they were calibrated.
    pub prob: Option<ScaleValue>,
}

impl ScaleSet {
    /// What was resolved, to be written again: the layers with static scales; q and prob where
    /// they came from somewhere.
    ///
    /// # Errors
    /// When a K or V scale is dynamic, pending, or its side not quantized.
    pub fn from_resolved(scales: &ResolvedScales, stored_as: TensorDtype) -> Result<Self, Error> {
        let mut layers = BTreeMap::new();
        for layer in scales.layers() {
            if layer.k.origin == Origin::Skipped {
                continue;
            }
            let of = |slot| halved(layer, slot, scales.platform());
            let known = |slot: Slot| match layer.get(slot).origin {
                Origin::Checkpoint { .. } | Origin::OnTheFly => of(slot).map(Some),
                _ => Ok(None),
            };
            for (slot, dtype) in [(Slot::K, layer.dtypes.k), (Slot::V, layer.dtypes.v)] {
                if !dtype.is_quantized() || layer.get(slot).value.values().is_empty() {
                    return Err(Error::ScaleNotKnown { layer: layer.layer, slot });
                }
            }
            let set = LayerScaleSet {
                q: known(Slot::Q)?,
                k: of(Slot::K)?,
                v: of(Slot::V)?,
                prob: known(Slot::Prob)?,
            };
            layers.insert(layer.layer, set);
        }
        Ok(ScaleSet { dtypes: scales.dtypes(), stored_as, layers })
    }

    /// The one granularity of K and V.
    ///
    /// # Errors
    /// When they are mixed, which no config can tell.
    pub fn strategy(&self) -> Result<Strategy, Error> {
        let mut found = None;
        for (layer, set) in &self.layers {
            for value in [&set.k, &set.v] {
                let strategy = match value {
                    ScaleValue::PerHead(_) => Strategy::AttnHead,
                    _ => Strategy::Tensor,
                };
                if found.is_some_and(|first| first != strategy) {
                    return Err(Error::MixedGranularity { layer: *layer });
                }
                found = Some(strategy);
            }
        }
        Ok(found.unwrap_or(Strategy::Tensor))
    }

    /// Whether any q scale is there.
    pub(super) fn has_q(&self) -> bool {
        self.layers.values().any(|layer| layer.q.is_some())
    }

    /// Everything that could make the written checkpoint one that does not resolve.
    pub(super) fn check(&self, model: &ModelShape) -> Result<(), Error> {
        if !matches!(self.stored_as, TensorDtype::F32 | TensorDtype::F16 | TensorDtype::Bf16) {
            return Err(Error::BadScaleDtype {
                tensor: "the new scales".into(),
                dtype: self.stored_as,
            });
        }
        for dtype in [self.dtypes.k, self.dtypes.v] {
            if !dtype.is_quantized() || dtype.is_per_token_head() {
                return Err(Error::BadTargetDtype { dtype });
            }
        }
        if self.dtypes.k.is_int8() != self.dtypes.v.is_int8() {
            return Err(Error::ConflictingSchemes {
                first: format!("K is {}", self.dtypes.k),
                second: format!("V is {}; a config can only ask for one type", self.dtypes.v),
            });
        }
        self.strategy()?;
        for (&layer, set) in &self.layers {
            let shape = model.layers.get(layer).filter(|l| l.kind != LayerKind::NoAttention);
            let shape = shape.ok_or_else(|| Error::NoSuchLayer {
                tensor: "the new scales".into(),
                layer,
                num_layers: model.layers.len(),
            })?;
            for (slot, value) in set.slots() {
                let heads = match slot {
                    Slot::Q => Some(shape.num_heads),
                    Slot::K | Slot::V => Some(shape.num_kv_heads),
                    Slot::Prob => None,
                };
                self.check_value(layer, slot, value, heads)?;
            }
        }
        Ok(())
    }

    fn check_value(
        &self,
        layer: usize,
        slot: Slot,
        value: &ScaleValue,
        heads: Option<usize>,
    ) -> Result<(), Error> {
        let fits = match value {
            ScaleValue::PerTensor(_) => true,
            ScaleValue::PerHead(values) => heads == Some(values.len()) && !values.is_empty(),
            ScaleValue::PerTokenHead | ScaleValue::Pending => {
                return Err(Error::ScaleNotKnown { layer, slot });
            }
        };
        let tensor = || format!("new {slot} scale");
        if !fits {
            let shape = vec![value.values().len()];
            return Err(Error::BadScaleShape { tensor: tensor(), layer, slot, shape, heads });
        }
        for (index, &value) in value.values().iter().enumerate() {
            // As it will be read back: a small or large one may round to 0 or infinity.
            let stored = self.stored_as.rounded(value);
            if !(stored.is_finite() && stored > 0.0) {
                return Err(Error::InvalidScale { tensor: tensor(), layer, slot, index, value });
            }
        }
        Ok(())
    }

    /// The tensors, sorted by name; `pattern` is what stands before `k_scale`, with `{}` for the
    /// layer. With q scales there are zero points too, all zero: the config then asks for quantized
    /// attention, for which llm-compressor writes them beside each scale.
    pub(super) fn tensors(&self, pattern: &str) -> Vec<NewTensor> {
        let (mut tensors, zero_points) = (Vec::new(), self.has_q());
        for (layer, set) in &self.layers {
            for (slot, value) in set.slots() {
                let stem = pattern.replacen("{}", &layer.to_string(), 1) + slot.name();
                let shape = match value {
                    ScaleValue::PerHead(values) => vec![values.len(), 1, 1],
                    _ => vec![1],
                };
                let values = value.values().iter();
                let bytes: Vec<u8> =
                    values.flat_map(|v| stored_bytes(*v, self.stored_as)).collect();
                let dtype = self.stored_as;
                if zero_points && slot != Slot::Prob {
                    let (shape, bytes) = (shape.clone(), vec![0; bytes.len()]);
                    let name = format!("{stem}_zero_point");
                    tensors.push(NewTensor { name, dtype, shape, bytes });
                }
                tensors.push(NewTensor { name: stem + "_scale", dtype, shape, bytes });
            }
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        tensors
    }
}

impl LayerScaleSet {
    fn slots(&self) -> impl Iterator<Item = (Slot, &ScaleValue)> {
        [
            (Slot::Q, self.q.as_ref()),
            (Slot::K, Some(&self.k)),
            (Slot::V, Some(&self.v)),
            (Slot::Prob, self.prob.as_ref()),
        ]
        .into_iter()
        .filter_map(|(slot, value)| Some((slot, value?)))
    }
}

/// What is used is twice what a checkpoint holds, for FNUZ codes and scales that were read from
/// one; what was calculated on the fly was never doubled, and reading will.
fn halved(layer: &LayerScales, slot: Slot, platform: Platform) -> Result<ScaleValue, Error> {
    let dtype = match slot {
        Slot::Q | Slot::K => layer.dtypes.k,
        Slot::V | Slot::Prob => layer.dtypes.v,
    };
    let fnuz =
        matches!(codes(dtype, platform), Some(ElementType::F8E4M3Fnuz | ElementType::F8E5M2Fnuz));
    let factor = if fnuz { 0.5 } else { 1.0 };
    let Scale { value, .. } = layer.get(slot);
    Ok(match value {
        ScaleValue::PerTensor(value) => ScaleValue::PerTensor(value * factor),
        ScaleValue::PerHead(values) => {
            ScaleValue::PerHead(values.iter().map(|v| v * factor).collect())
        }
        ScaleValue::PerTokenHead | ScaleValue::Pending => {
            return Err(Error::ScaleNotKnown { layer: layer.layer, slot });
        }
    })
}

fn stored_bytes(value: f32, dtype: TensorDtype) -> Vec<u8> {
    match dtype {
        TensorDtype::F16 => half::f16::from_f32(value).to_le_bytes().to_vec(),
        TensorDtype::Bf16 => half::bf16::from_f32(value).to_le_bytes().to_vec(),
        _ => value.to_le_bytes().to_vec(),
    }
}

/// The type of scale tensors that suits a model's dtype.
impl TensorDtype {
    /// F32, F16 or Bf16 for the dtypes of those names; F32 for all else.
    pub fn of_model(dtype: Option<KvDtype>) -> Self {
        match dtype {
            Some(KvDtype::F16) => TensorDtype::F16,
            Some(KvDtype::Bf16) => TensorDtype::Bf16,
            _ => TensorDtype::F32,
        }
    }

    /// A value as it comes back from a scale tensor of this type.
    pub fn rounded(self, value: f32) -> f32 {
        match self {
            TensorDtype::F16 => half::f16::from_f32(value).to_f32(),
            TensorDtype::Bf16 => half::bf16::from_f32(value).to_f32(),
            _ => value,
        }
    }
}
