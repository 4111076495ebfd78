//! The quantization scales of one layer, as kernels need them: `real = code × scale`.

use fp8_format::ElementType;

use crate::error::Error;
use crate::shape::{CacheShape, Side};

/// One tensor's scale.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum KvScale {
    /// One value for the whole tensor.
    PerTensor(f32),
    /// One value per head: `num_kv_heads` for K and V, `num_heads` for Q.
    PerHead(Box<[f32]>),
}

impl KvScale {
    /// No scaling.
    pub const ONE: Self = Self::PerTensor(1.0);

    /// The scale of one head.
    pub fn get(&self, head: usize) -> f32 {
        match self {
            Self::PerTensor(s) => *s,
            Self::PerHead(s) => s[head],
        }
    }

    fn validate(&self, name: &'static str, heads: Option<usize>) -> Result<(), Error> {
        let values = match self {
            Self::PerTensor(s) => std::slice::from_ref(s),
            Self::PerHead(s) => {
                if let Some(expected) = heads
                    && s.len() != expected
                {
                    return Err(Error::PerHeadLength { name, len: s.len(), expected });
                }
                s
            }
        };
        match values.iter().find(|s| !(s.is_finite() && **s > 0.0)) {
            Some(&value) => Err(Error::BadNumber { name, value, limit: "finite and positive" }),
            None => Ok(()),
        }
    }

    fn refuse_unless_one(
        &self,
        name: &'static str,
        stored: ElementType,
        dynamic: bool,
    ) -> Result<(), Error> {
        if stored.is_quantized() && !dynamic {
            return Ok(());
        }
        let values = match self {
            Self::PerTensor(s) => std::slice::from_ref(s),
            Self::PerHead(s) => s,
        };
        match values.iter().find(|s| **s != 1.0) {
            Some(&value) if dynamic => Err(Error::DynamicScale { name, value }),
            Some(&value) => {
                Err(Error::UnquantizedScale { name, value, element_type: stored.name() })
            }
            None => Ok(()),
        }
    }
}

impl Default for KvScale {
    fn default() -> Self {
        Self::ONE
    }
}

/// The scales of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScales {
    /// For Q. Used by arithmetic that rounds Q to FP8 ([`AttnMath`](crate::AttnMath)), only.
    pub q: KvScale,
    /// For K; 1 where K's scales are per token and head.
    pub k: KvScale,
    /// For V; 1 where V's scales are per token and head.
    pub v: KvScale,
    /// For the probabilities; `None` is what suits the format. Used by arithmetic that rounds them
    /// to FP8 ([`AttnMath`](crate::AttnMath)), only.
    pub prob: Option<f32>,
}

impl Default for LayerScales {
    fn default() -> Self {
        Self { q: KvScale::ONE, k: KvScale::ONE, v: KvScale::ONE, prob: None }
    }
}

impl LayerScales {
    /// Checks the K and V scales against a cache: finite, positive, one per KV head where per
    /// head, and 1 where the storage type takes no scale or append writes dynamic ones. `num_heads` adds the check of Q.
    pub fn validate(&self, cache: &CacheShape, num_heads: Option<usize>) -> Result<(), Error> {
        self.q.validate("q_scale", num_heads)?;
        self.k.validate("k_scale", Some(cache.num_kv_heads))?;
        self.v.validate("v_scale", Some(cache.num_kv_heads))?;
        KvScale::PerTensor(self.prob.unwrap_or(1.0)).validate("prob_scale", None)?;
        self.k.refuse_unless_one("k_scale", cache.k_type, cache.k_per_token_head)?;
        self.v.refuse_unless_one("v_scale", cache.v_type, cache.v_per_token_head)
    }
}

impl LayerScales {
    pub(crate) fn of(&self, side: Side) -> &KvScale {
        match side {
            Side::K => &self.k,
            Side::V => &self.v,
        }
    }
}
