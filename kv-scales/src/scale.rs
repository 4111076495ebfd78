//! A resolved scale: its value, its granularity, where it came from.

use crate::model::{LayerKind, LayerShape};
use crate::names::Slot;
use crate::{Error, KvDtypes};

/// The value of one scale. `real = code × scale`.
#[derive(Clone, Debug, PartialEq)]
pub enum ScaleValue {
    /// One for the whole tensor; finite and > 0.
    PerTensor(f32),
    /// One per head (q: `num_heads`; k, v: `num_kv_heads`); each finite and > 0.
    PerHead(Box<[f32]>),
    /// One per token and head, written beside the codes when they are.
    PerTokenHead,
    /// Not known yet: set once from the first batch, see [`PendingScales`](crate::PendingScales).
    Pending,
}

impl ScaleValue {
    /// The numbers, none when they are pending or dynamic.
    pub fn values(&self) -> &[f32] {
        match self {
            ScaleValue::PerTensor(value) => std::slice::from_ref(value),
            ScaleValue::PerHead(values) => values,
            ScaleValue::PerTokenHead | ScaleValue::Pending => &[],
        }
    }

    /// `per_tensor`, `per_head` or `per_token_head`. What is pending will be per tensor.
    pub fn granularity(&self) -> &'static str {
        match self {
            ScaleValue::PerTensor(_) | ScaleValue::Pending => "per_tensor",
            ScaleValue::PerHead(_) => "per_head",
            ScaleValue::PerTokenHead => "per_token_head",
        }
    }

    /// Whether every value is exactly 1.
    pub fn is_one(&self) -> bool {
        !self.values().is_empty() && self.values().iter().all(|v| *v == 1.0)
    }
}

/// Where a scale came from.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Origin {
    /// From this tensor, multiplied by `factor`: 1, 2 for the FNUZ formats, or what rescaling to
    /// another format needs.
    Checkpoint {
        /// The tensor.
        tensor: Box<str>,
        /// What its values were multiplied by.
        factor: f64,
    },
    /// V's, from K's tensor: the single `kv_scale`.
    Duplicated {
        /// K's tensor.
        tensor: Box<str>,
        /// What its values were multiplied by.
        factor: f64,
    },
    /// 1.0, since nothing was loaded.
    Default,
    /// Q's, set to the K scale, as asked by [`QFallback::KScale`](crate::QFallback).
    FallbackKScale,
    /// To be calculated from the first batch.
    Pending,
    /// Was calculated from the first batch.
    OnTheFly,
    /// Per token and head.
    Dynamic,
    /// 1.0 because this side is not quantized, whatever the checkpoint holds.
    Ignored {
        /// The tensor that was not used, if there is one.
        tensor: Option<Box<str>>,
    },
    /// 1.0 because the layer is exempt, or has no attention.
    Skipped,
}

impl Origin {
    /// The name in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Origin::Checkpoint { .. } => "checkpoint",
            Origin::Duplicated { .. } => "duplicated",
            Origin::Default => "default",
            Origin::FallbackKScale => "fallback_k_scale",
            Origin::Pending => "pending",
            Origin::OnTheFly => "on_the_fly",
            Origin::Dynamic => "dynamic",
            Origin::Ignored { .. } => "ignored",
            Origin::Skipped => "skipped",
        }
    }

    /// The tensor it speaks of.
    pub fn tensor(&self) -> Option<&str> {
        match self {
            Origin::Checkpoint { tensor, .. } | Origin::Duplicated { tensor, .. } => Some(tensor),
            Origin::Ignored { tensor } => tensor.as_deref(),
            _ => None,
        }
    }
}

/// A scale with its provenance.
#[derive(Clone, Debug, PartialEq)]
pub struct Scale {
    /// The value.
    pub value: ScaleValue,
    /// Where it came from.
    pub origin: Origin,
}

impl Scale {
    pub(crate) fn one(origin: Origin) -> Self {
        Scale { value: ScaleValue::PerTensor(1.0), origin }
    }

    pub(crate) fn pending() -> Self {
        Scale { value: ScaleValue::Pending, origin: Origin::Pending }
    }

    pub(crate) fn dynamic() -> Self {
        Scale { value: ScaleValue::PerTokenHead, origin: Origin::Dynamic }
    }
}

/// The scales of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerScales {
    /// The layer's number.
    pub layer: usize,
    /// Its kind and heads.
    pub shape: LayerShape,
    /// What K and V are stored as in this layer: the model's dtype where the layer is exempt.
    pub dtypes: KvDtypes,
    /// The query scale.
    pub q: Scale,
    /// The key scale.
    pub k: Scale,
    /// The value scale.
    pub v: Scale,
    /// The scale of the softmax probabilities.
    pub prob: Scale,
}

impl LayerScales {
    /// The scale of a slot.
    pub fn get(&self, slot: Slot) -> &Scale {
        match slot {
            Slot::Q => &self.q,
            Slot::K => &self.k,
            Slot::V => &self.v,
            Slot::Prob => &self.prob,
        }
    }

    /// Whether the layer has a KV cache.
    pub fn has_attention(&self) -> bool {
        self.shape.kind != LayerKind::NoAttention
    }

    /// One q scale per KV head, the largest of its group: what an attention kernel needs that
    /// quantizes the queries of a group together. One value when q is per tensor.
    ///
    /// # Errors
    /// When the number of q scales is no multiple of the number of KV heads, or q is not known.
    pub fn q_per_kv_head(&self) -> Result<ScaleValue, Error> {
        match &self.q.value {
            ScaleValue::PerTensor(value) => Ok(ScaleValue::PerTensor(*value)),
            ScaleValue::PerHead(values) => {
                let heads = self.shape.num_kv_heads;
                if heads == 0 || !values.len().is_multiple_of(heads) {
                    return Err(Error::UnevenHeads {
                        layer: self.layer,
                        slot: Slot::Q,
                        heads: values.len(),
                        parts: heads,
                    });
                }
                let group = values.chunks_exact(values.len() / heads);
                let largest = |g: &[f32]| g.iter().copied().fold(0.0, f32::max);
                Ok(ScaleValue::PerHead(group.map(largest).collect()))
            }
            ScaleValue::PerTokenHead | ScaleValue::Pending => {
                Err(Error::ScaleNotKnown { layer: self.layer, slot: Slot::Q })
            }
        }
    }
}
