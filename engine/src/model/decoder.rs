//! The decoder itself: weights, one KV cache per layer, and the order of operations.

use super::executor::{Executor, HostBackend, Step, Tap};
use super::scratch::Scratch;
use crate::Error;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::ops::{self, Product, Rotary};
use crate::weights::{LayerWeights, Linear, Weights};
use attn_kernels::{AttentionShape, Batch, CacheShape, KvCache, LayerScales, Plan, Variant};
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

/// What a layer has beside its weights.
struct Layer<M> {
    cache: KvCache<M>,
    scales: LayerScales,
    /// Index into `kinds`.
    kind: usize,
}

/// Layers of one kind share a plan.
#[derive(PartialEq)]
struct Kind {
    cache: CacheShape,
    attention: AttentionShape,
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
        if caches.len() != config.num_layers {
            let message = format!("{} layer caches for {} layers", caches.len(), config.num_layers);
            return Err(Error::Config { field: "num_hidden_layers".into(), message });
        }
        let softmax_scale = 1.0 / (config.head_dim as f32).sqrt();
        let mut kinds: Vec<Kind> = Vec::new();
        let mut layers = Vec::with_capacity(caches.len());
        for (LayerCache { shape, scales, math }, window) in caches.into_iter().zip(&config.windows)
        {
            let mut variant = Variant::default();
            variant.window = *window;
            let attention = AttentionShape::new(config.num_heads, softmax_scale)
                .with_variant(variant)
                .with_math(math);
            attention.validate(&shape)?;
            scales.validate(&shape, Some(config.num_heads))?;
            let kind = Kind { cache: shape.clone(), attention };
            let index = kinds.iter().position(|k| *k == kind).unwrap_or(kinds.len());
            if index == kinds.len() {
                kinds.push(kind);
            }
            layers.push(Layer { cache: backend.new_cache(shape)?, scales, kind: index });
        }
        let rotary = Rotary::new(&config.rope, config.head_dim);
        Ok(Self { config, weights, backend, layers, kinds, rotary, scratch: Scratch::default() })
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

    fn plans(&self, batch: &Batch) -> Result<Vec<Plan>, Error> {
        let plan = |kind: &Kind| self.backend.plan(&kind.cache, &kind.attention, batch);
        Ok(self.kinds.iter().map(plan).collect::<Result<_, _>>()?)
    }

    fn check(&self, step: &Step<'_>) -> Result<(), Error> {
        let rows = step.batch.num_rows();
        for (name, len) in [
            ("tokens", step.tokens.len()),
            ("positions", step.positions.len()),
            ("slots", step.slots.len()),
        ] {
            if len != rows {
                return Err(Error::StepLength { name, len, rows });
            }
        }
        let vocab_size = self.config.vocab_size;
        if let Some(&token) = step.tokens.iter().find(|t| **t as usize >= vocab_size) {
            return Err(Error::TokenOutOfRange { token, vocab_size });
        }
        match step.logits_rows.iter().find(|row| **row >= rows) {
            Some(&row) => Err(Error::StepLength { name: "logits_rows", len: row + 1, rows }),
            None => Ok(()),
        }
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
        self.check(step)?;
        let plans = self.plans(step.batch)?;
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
