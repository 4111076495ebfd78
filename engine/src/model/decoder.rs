//! The decoder itself: weights, one KV cache per layer, and the order of operations.

use super::executor::{Executor, HostBackend, Step, Tap};
use super::layers::{Kind, Kinds, Layer, plans};
use super::scratch::Scratch;
use crate::Error;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::ops::{self, Product, Rotary};
use crate::weights::{LayerWeights, Linear, Weights};
use attn_kernels::{AttentionShape, LayerScales};
use std::sync::Arc;

/// A decoder on an attention backend.
pub struct Decoder<B: HostBackend> {
    config: ModelConfig,
    weights: Arc<Weights>,
    backend: B,
    layers: Vec<Layer<B::Buffer>>,
    kinds: Vec<Kind>,
    rotary: Rotary,
    scratch: Scratch,
}

impl<B: HostBackend> Decoder<B> {
    /// Allocates the KV blocks of every layer. `caches` says how each stores K and V.
    ///
    /// # Errors
    /// When the backend refuses a shape, or `caches` is not one per layer.
    pub fn new(
        config: ModelConfig,
        weights: Arc<Weights>,
        backend: B,
        caches: Vec<LayerCache>,
    ) -> Result<Self, Error> {
        let kinds = Kinds::new(&config, caches)?;
        let layers = kinds.allocate(&backend)?;
        let rotary = Rotary::new(&config.rope, config.head_dim);
        let (kinds, scratch) = (kinds.kinds, Scratch::default());
        Ok(Self { config, weights, backend, layers, kinds, rotary, scratch })
    }

    /// The model's shape.
    #[must_use]
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The scales of a layer, as the kernels use them.
    #[must_use]
    pub fn scales(&self, layer: usize) -> &LayerScales {
        &self.layers[layer].scales
    }

    /// The heads and the mask of a layer's attention.
    #[must_use]
    pub fn attention_shape(&self, layer: usize) -> &AttentionShape {
        &self.kinds[self.layers[layer].kind].attention
    }
}

impl<B> Executor for Decoder<B>
where
    B: HostBackend + Send + Sync,
    B::Buffer: Send + Sync,
{
    fn vocab_size(&self) -> usize {
        self.config.vocab_size
    }

    fn step(
        &mut self,
        step: &Step<'_>,
        tap: &mut dyn Tap,
        logits: &mut Vec<f32>,
    ) -> Result<(), Error> {
        step.check(&self.config)?;
        let plans = plans(&self.backend, &self.kinds, step.batch)?;
        let config = &self.config;
        let rows = step.tokens.len();
        let s = &mut self.scratch;
        s.resize(config, rows);
        let embedding = self.weights.embedding();
        for (token, x) in step.tokens.iter().zip(s.x.chunks_exact_mut(config.hidden_size)) {
            embedding.row_to_f32(*token as usize, x);
        }
        self.rotary.angles(step.positions, &mut s.angles);
        for (index, (layer, weights)) in
            self.layers.iter_mut().zip(self.weights.layers()).enumerate()
        {
            project_qkv(config, weights, rows, s);
            tap.qkv(index, &s.q, &s.k, &s.v);
            self.backend.append(&mut layer.cache, &layer.scales, &s.k, &s.v, step.slots)?;
            let plan = &plans[layer.kind];
            let (cache, scales) = (&layer.cache, &layer.scales);
            self.backend.attention(plan, cache, scales, &s.q, &mut s.attention, None)?;
            tap.attention(index, &s.attention);
            ops::matmul(&s.attention, rows, [product(&weights.o, &mut s.projected)]);
            ops::add(&mut s.x, &s.projected);
            mlp(config, weights, rows, s);
            tap.hidden(index, &s.x);
        }
        let (hidden, wanted) = (config.hidden_size, step.logits_rows.len());
        let last = s.projected.resize(wanted * hidden);
        for (row, out) in step.logits_rows.iter().zip(last.chunks_exact_mut(hidden)) {
            let x = &s.x[row * hidden..][..hidden];
            ops::rms_norm(x, self.weights.norm(), config.rms_norm_eps, out);
        }
        logits.resize(wanted * config.vocab_size, 0.0);
        let output = Product { weight: self.weights.output(), bias: None, out: logits };
        ops::matmul(last, wanted, [output]);
        Ok(())
    }

    fn copy_blocks(&mut self, copies: &[(u32, u32)]) -> Result<(), Error> {
        for layer in &mut self.layers {
            self.backend.copy_blocks(&mut layer.cache, copies)?;
        }
        Ok(())
    }
}

/// `x` → normed → q, k, v, with the head norms and the rotation.
fn project_qkv(config: &ModelConfig, weights: &LayerWeights, rows: usize, s: &mut Scratch) {
    let eps = config.rms_norm_eps;
    ops::rms_norm(&s.x, &weights.input_norm, eps, &mut s.normed);
    let products = [
        product(&weights.q, &mut s.q),
        product(&weights.k, &mut s.k),
        product(&weights.v, &mut s.v),
    ];
    ops::matmul(&s.normed, rows, products);
    if let Some(norms) = &weights.qk_norm {
        ops::rms_norm_heads(&mut s.q, &norms.q, eps);
        ops::rms_norm_heads(&mut s.k, &norms.k, eps);
    }
    s.angles.rotate(&mut s.q, config.num_heads, config.head_dim);
    s.angles.rotate(&mut s.k, config.num_kv_heads, config.head_dim);
}

/// `x += down(silu(gate(norm(x))) × up(norm(x)))`.
fn mlp(config: &ModelConfig, weights: &LayerWeights, rows: usize, s: &mut Scratch) {
    ops::rms_norm(&s.x, &weights.post_norm, config.rms_norm_eps, &mut s.normed);
    let products = [product(&weights.gate, &mut s.gate), product(&weights.up, &mut s.up)];
    ops::matmul(&s.normed, rows, products);
    ops::silu_mul(&mut s.gate, &s.up);
    ops::matmul(&s.gate, rows, [product(&weights.down, &mut s.projected)]);
    ops::add(&mut s.x, &s.projected);
}

fn product<'a>(linear: &'a Linear, out: &'a mut [f32]) -> Product<'a> {
    Product { weight: linear.weight.matrix(), bias: linear.bias.as_deref(), out }
}
