//! What is computed: heads, softmax scale, the score variant.

use crate::error::Error;
use crate::math::AttnMath;
use crate::shape::CacheShape;

/// Changes to the scores between `q·k` and the softmax. Fields combine, except where noted.
///
/// With query token `i` at position `p = kv_len − q_len + i` and key position `j`, a score is
/// `s = softmax_scale · q·k`, then `s = cap · tanh(s / cap)`, then `s += slope · (j − p)`, and a
/// key outside the mask takes no part. Masked blocks are skipped, not computed.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Variant {
    /// Keys after the query token are masked (the default). Without it every query token sees all
    /// `kv_len` keys: for a prefix shared by many sequences, whose result is merged by
    /// [`merge_states`](crate::merge_states).
    pub causal: bool,
    /// Sliding window: a query sees its own position and the `window − 1` before it. Needs `causal`.
    pub window: Option<usize>,
    /// Logit soft cap.
    pub soft_cap: Option<f32>,
    /// ALiBi slopes, one per query head. Needs `causal`.
    pub alibi_slopes: Option<Box<[f32]>>,
    /// Attention sinks, one logit per query head: each joins the softmax's denominator with no
    /// value. `lse` then counts it too.
    pub sinks: Option<Box<[f32]>>,
}

impl Default for Variant {
    fn default() -> Self {
        Self { causal: true, window: None, soft_cap: None, alibi_slopes: None, sinks: None }
    }
}

/// The query side of attention, fixed for a model (or for a kind of layer).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AttentionShape {
    /// Query heads: a multiple of the cache's KV heads.
    pub num_heads: usize,
    /// Factor on `q·k`, usually `1 / sqrt(head_dim)`.
    pub softmax_scale: f32,
    /// Mask and score changes.
    pub variant: Variant,
    /// The arithmetic.
    pub math: AttnMath,
}

impl AttentionShape {
    /// Causal attention with default arithmetic.
    pub fn new(num_heads: usize, softmax_scale: f32) -> Self {
        Self { num_heads, softmax_scale, variant: Variant::default(), math: AttnMath::default() }
    }

    /// The same with another variant.
    #[must_use]
    pub fn with_variant(mut self, variant: Variant) -> Self {
        self.variant = variant;
        self
    }

    /// The same with other arithmetic.
    #[must_use]
    pub fn with_math(mut self, math: AttnMath) -> Self {
        self.math = math;
        self
    }

    /// Checks the query side against a cache.
    pub fn validate(&self, cache: &CacheShape) -> Result<(), Error> {
        cache.validate()?;
        if self.num_heads == 0 {
            return Err(Error::ZeroDimension { name: "num_heads" });
        }
        if !self.num_heads.is_multiple_of(cache.num_kv_heads) {
            let num_kv_heads = cache.num_kv_heads;
            return Err(Error::HeadGroups { num_heads: self.num_heads, num_kv_heads });
        }
        self.math.check(cache.k_type, cache.v_type)?;
        finite("softmax_scale", self.softmax_scale)?;
        let v = &self.variant;
        if v.window == Some(0) {
            return Err(Error::ZeroDimension { name: "window" });
        }
        if let Some(cap) = v.soft_cap
            && !(cap.is_finite() && cap > 0.0)
        {
            let limit = "finite and positive";
            return Err(Error::BadNumber { name: "soft_cap", value: cap, limit });
        }
        if !v.causal {
            for (name, given) in
                [("window", v.window.is_some()), ("alibi_slopes", v.alibi_slopes.is_some())]
            {
                if given {
                    return Err(Error::Conflict { a: name, b: "causal = false" });
                }
            }
        }
        for (name, values) in [("alibi_slopes", &v.alibi_slopes), ("sinks", &v.sinks)] {
            let Some(values) = values else { continue };
            if values.len() != self.num_heads {
                let (len, expected) = (values.len(), self.num_heads);
                return Err(Error::PerHeadLength { name, len, expected });
            }
            values.iter().try_for_each(|&x| finite(name, x))?;
        }
        Ok(())
    }
}

fn finite(name: &'static str, value: f32) -> Result<(), Error> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::BadNumber { name, value, limit: "finite" })
}
