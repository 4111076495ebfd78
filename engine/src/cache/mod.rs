//! How a model's KV cache is laid out: what each layer stores, how many bytes a token takes, and
//! how many blocks a budget buys.

mod capacity;
mod resolved;

pub use capacity::{Capacity, CapacityReport};
pub(crate) use resolved::kv_scale;

use crate::Error;
use crate::config::ModelConfig;
use attn_kernels::{AttnMath, CacheShape, LayerScales};
use fp8_format::ElementType;

/// How one layer's KV is stored.
#[derive(Debug, Clone)]
pub struct LayerCache {
    /// Blocks, heads and element types.
    pub shape: CacheShape,
    /// `real = code × scale`.
    pub scales: LayerScales,
    /// The arithmetic of attention.
    pub math: AttnMath,
}

/// Every layer's storage and scales, before anything is allocated.
#[derive(Debug, Clone)]
pub struct CacheLayout {
    block_size: usize,
    layers: Vec<LayerCache>,
}

impl CacheLayout {
    /// Unquantized or quantized with scale 1.0, the same in every layer.
    #[must_use]
    pub fn uniform(
        config: &ModelConfig,
        block_size: usize,
        k_type: ElementType,
        v_type: ElementType,
    ) -> Self {
        let (heads, width) = (config.num_kv_heads, config.head_dim);
        let shape = CacheShape::new(1, block_size, heads, width, k_type, v_type);
        let layer = LayerCache { shape, scales: LayerScales::default(), math: AttnMath::Default };
        Self { block_size, layers: vec![layer; config.num_layers] }
    }

    /// Tokens per block.
    #[must_use]
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Every layer's storage.
    #[must_use]
    pub fn layers(&self) -> &[LayerCache] {
        &self.layers
    }

    /// Bytes of K and V that one token takes over all layers, dynamic scales included.
    #[must_use]
    pub fn bytes_per_token(&self) -> u64 {
        let layer = |LayerCache { shape, .. }: &LayerCache| shape.block_bytes() / shape.block_size;
        self.layers.iter().map(|l| layer(l) as u64).sum()
    }

    /// The same storage, with that arithmetic in every layer that is quantized at all: layers that
    /// are exempt from quantization keep the default.
    ///
    /// # Errors
    /// When a quantized layer's types, or all layers, do not allow it.
    pub fn with_math(mut self, math: AttnMath) -> Result<Self, Error> {
        let quantized =
            |l: &LayerCache| l.shape.k_type.is_quantized() || l.shape.v_type.is_quantized();
        let any = self.layers.iter().any(quantized);
        for layer in self.layers.iter_mut().filter(|l| !any || quantized(l)) {
            math.check(layer.shape.k_type, layer.shape.v_type)?;
            layer.math = math;
        }
        Ok(self)
    }

    /// The same storage with heads of another width, for a device that pads them.
    #[must_use]
    pub fn with_head_dim(mut self, head_dim: usize) -> Self {
        for layer in &mut self.layers {
            layer.shape.head_dim = head_dim;
        }
        self
    }

    /// The layers, with that many blocks each.
    #[must_use]
    pub fn into_layers(self, num_blocks: usize) -> Vec<LayerCache> {
        let mut layers = self.layers;
        for layer in &mut layers {
            layer.shape.num_blocks = num_blocks;
        }
        layers
    }
}
