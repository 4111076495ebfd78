//! What was found, as plain data: by layer, tensor and head. Rendering is the caller's, the heat map
//! excepted.

use super::Method;
use crate::Error;
use kv_scales::ScaleValue;
use kv_scales::observe::{Fidelity, Format, TensorObserver};
use serde::Serialize;

/// A calibration, to be shown.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What the scales are for.
    pub kv_cache_dtype: String,
    /// `tensor` or `attn_head`.
    pub strategy: &'static str,
    /// How they were chosen.
    pub observers: String,
    /// Samples observed.
    pub samples: usize,
    /// Their tokens.
    pub tokens: u64,
    /// By layer.
    pub layers: Vec<LayerReport>,
}

/// One layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LayerReport {
    /// Its number.
    pub layer: usize,
    /// Q, where its scales were wanted.
    pub q: Option<TensorReport>,
    /// K.
    pub k: TensorReport,
    /// V.
    pub v: TensorReport,
}

/// One tensor of a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TensorReport {
    /// How its scales were chosen.
    pub observer: String,
    /// The scales as the checkpoint holds them: one, or one per head.
    pub scale: Vec<f32>,
    /// By head.
    pub heads: Vec<HeadReport>,
}

/// One head, over everything that was observed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeadReport {
    /// The smallest value.
    pub min: f32,
    /// The largest value.
    pub max: f32,
    /// The share of values beyond the range.
    pub saturated: f64,
    /// The share of values that are not zero and are stored as zero.
    pub underflowed: f64,
    /// Signal to quantization noise in dB; null if nothing is lost.
    pub sqnr_db: Option<f64>,
}

impl TensorReport {
    pub(super) fn new(
        seen: &TensorObserver,
        method: Method,
        format: Format,
        stored: &ScaleValue,
    ) -> Result<Self, Error> {
        let used = |stored: &f32| stored / format.checkpoint_factor();
        let used = match stored {
            ScaleValue::PerHead(values) => ScaleValue::PerHead(values.iter().map(used).collect()),
            other => ScaleValue::PerTensor(other.values().first().map_or(1.0, used)),
        };
        let head = |fidelity: Fidelity| {
            let Fidelity { min, max, saturated, underflowed, sqnr_db, .. } = fidelity;
            let sqnr_db = Some(sqnr_db).filter(|db| db.is_finite());
            HeadReport { min, max, saturated, underflowed, sqnr_db }
        };
        let heads = seen.fidelity(format, &used)?.into_iter().map(head).collect();
        Ok(Self { observer: method.to_string(), scale: stored.values().to_vec(), heads })
    }
}

impl HeadReport {
    /// The largest magnitude.
    #[must_use]
    pub fn absmax(&self) -> f32 {
        self.max.max(-self.min)
    }
}

impl LayerReport {
    /// The tensors with their names, in the order of a table.
    pub fn tensors(&self) -> impl Iterator<Item = (&'static str, &TensorReport)> {
        let q = self.q.iter().map(|q| ("q", q));
        q.chain([("k", &self.k), ("v", &self.v)])
    }
}
