//! Resolved scales → how each layer is stored: the one place where the names of dtypes become
//! element types.

use super::{CacheLayout, LayerCache};
use crate::Error;
use crate::config::ModelConfig;
use attn_kernels::{AttnMath, CacheShape, KvScale, LayerScales};
use fp8_format::ElementType;
use kv_scales::{Origin, ResolvedScales, Scale, ScaleValue};

impl CacheLayout {
    /// The storage that resolved scales ask for, layer by layer.
    ///
    /// # Errors
    /// When a scale is still pending.
    pub fn resolved(
        config: &ModelConfig,
        block_size: usize,
        scales: &ResolvedScales,
    ) -> Result<Self, Error> {
        // Only an unresolved `auto` would ask for it, and `resolve` leaves none.
        let model_dtype = config.dtype.unwrap_or(ElementType::F32);
        let layers = scales
            .layers()
            .iter()
            .map(|layer| {
                let (k_type, v_type) = scales
                    .element_types(layer.layer, model_dtype)
                    .unwrap_or((model_dtype, model_dtype));
                let (heads, width) = (config.num_kv_heads, config.head_dim);
                let shape = CacheShape::new(1, block_size, heads, width, k_type, v_type)
                    .with_per_token_head(
                        layer.dtypes.k.is_per_token_head(),
                        layer.dtypes.v.is_per_token_head(),
                    );
                let scale = |value: &ScaleValue| kv_scale(layer.layer, value);
                let scales = LayerScales {
                    q: scale(&layer.q.value)?,
                    k: scale(&layer.k.value)?,
                    v: scale(&layer.v.value)?,
                    prob: loaded(&layer.prob),
                };
                Ok(LayerCache { shape, scales, math: AttnMath::Default })
            })
            .collect::<Result<Vec<_>, Error>>()?;
        Ok(Self { block_size, layers })
    }
}

/// A scale that the checkpoint has. Where it has none, the kernels know a better one than 1.0.
fn loaded(scale: &Scale) -> Option<f32> {
    match scale.origin {
        Origin::Checkpoint { .. } => scale.value.values().first().copied(),
        _ => None,
    }
}

/// A resolved scale as kernels take it.
pub(crate) fn kv_scale(layer: usize, value: &ScaleValue) -> Result<KvScale, Error> {
    match value {
        ScaleValue::PerTensor(scale) => Ok(KvScale::PerTensor(*scale)),
        ScaleValue::PerHead(scales) => Ok(KvScale::PerHead(scales.clone())),
        // Kept in the cache.
        ScaleValue::PerTokenHead => Ok(KvScale::ONE),
        other => Err(Error::ScaleNotFixed { layer, granularity: other.granularity() }),
    }
}
