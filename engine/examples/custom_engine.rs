//! An engine of one's own from the single crates: checkpoint → scales → paged cache → attention.
//!
//! The model's arithmetic (norms, projections, RoPE, MLP) is this file's, in the plainest way; the
//! KV cache is the crates'. Bring your own tensor library in place of `linear`.
//!
//! ```text
//! cargo run --release --example custom_engine -- "In the beginning"
//! ```

use std::collections::HashMap;
use std::error::Error;

use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, CpuBackend, KvCache, KvScale, LayerScales,
};
use engine::tokenizer::Tokenizer;
use fp8_format::ElementType;
use kv_scales::{Checkpoint, KvDtype, ResolveOptions, ScaleValue, resolve};
use paged_cache::{CacheConfig, PagedCache, SeqId};

/// The model: its tensors widened to f32, and the numbers of its config.
struct Model {
    tensors: HashMap<String, Vec<f32>>,
    num_layers: usize,
    num_heads: usize,
    num_kv_heads: usize,
    head_dim: usize,
    eps: f32,
    theta: f32,
}

impl Model {
    fn load(checkpoint: &Checkpoint) -> Result<Self, Box<dyn Error>> {
        let config = checkpoint.config().ok_or("no config.json")?;
        let number = |name: &str| config[name].as_u64().map(|n| n as usize).ok_or(name.to_owned());
        let widen = |b: &[u8]| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16);
        let mut tensors = HashMap::new();
        for entry in checkpoint.tensors() {
            let bytes = checkpoint.read(entry)?; // bf16
            tensors.insert(entry.name.clone(), bytes.chunks_exact(2).map(widen).collect());
        }
        Ok(Self {
            tensors,
            num_layers: number("num_hidden_layers")?,
            num_heads: number("num_attention_heads")?,
            num_kv_heads: number("num_key_value_heads")?,
            head_dim: number("head_dim")?,
            eps: config["rms_norm_eps"].as_f64().ok_or("rms_norm_eps")? as f32,
            theta: config["rope_parameters"]["rope_theta"].as_f64().ok_or("rope_theta")? as f32,
        })
    }

    fn layer(&self, layer: usize, name: &str) -> &[f32] {
        &self.tensors[&format!("model.layers.{layer}.{name}.weight")]
    }

    /// RoPE, on every head of every row.
    fn rotate(&self, x: &mut [f32], num_heads: usize, first_position: usize) {
        let half = self.head_dim / 2;
        for (i, head) in x.chunks_exact_mut(self.head_dim).enumerate() {
            let position = (first_position + i / num_heads) as f32;
            for j in 0..half {
                let angle = position * self.theta.powf(-(j as f32) / half as f32);
                let (a, b) = (head[j], head[j + half]);
                head[j] = a * angle.cos() - b * angle.sin();
                head[j + half] = b * angle.cos() + a * angle.sin();
            }
        }
    }
}

/// `x` `[rows][in]` times `w` `[out][in]` transposed.
fn linear(x: &[f32], w: &[f32], inputs: usize) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum();
    x.chunks_exact(inputs).flat_map(|x| w.chunks_exact(inputs).map(move |w| dot(x, w))).collect()
}

fn rms_norm(x: &[f32], weight: &[f32], eps: f32) -> Vec<f32> {
    let row = |x: &[f32]| -> Vec<f32> {
        let mean = x.iter().map(|v| v * v).sum::<f32>() / x.len() as f32;
        x.iter().zip(weight).map(|(v, w)| v / (mean + eps).sqrt() * w).collect()
    };
    x.chunks_exact(weight.len()).flat_map(row).collect()
}

fn add(x: &mut [f32], y: &[f32]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// The engine: a model, its scales, and one sequence in a paged cache.
struct Engine {
    model: Model,
    scales: Vec<LayerScales>,
    blocks: PagedCache,
    layers: Vec<KvCache<<CpuBackend as Backend>::Buffer>>,
    backend: CpuBackend,
}

const SEQUENCE: SeqId = SeqId(0);

impl Engine {
    fn new(checkpoint: &Checkpoint, dtype: KvDtype, tokens: usize) -> Result<Self, Box<dyn Error>> {
        let model = Model::load(checkpoint)?;
        let options = ResolveOptions { dtype: dtype.into(), ..ResolveOptions::default() };
        let resolved = resolve(checkpoint, &options)?;
        let scale = |value: &ScaleValue| match value {
            ScaleValue::PerTensor(s) => Ok(KvScale::PerTensor(*s)),
            ScaleValue::PerHead(s) => Ok(KvScale::PerHead(s.clone())),
            _ => Err("this engine has static scales only"),
        };
        let mut scales = Vec::new();
        for layer in resolved.layers() {
            let (k, v) = (scale(&layer.k.value)?, scale(&layer.v.value)?);
            scales.push(LayerScales { k, v, ..LayerScales::default() });
        }
        let block_size = 16;
        let num_blocks = tokens.div_ceil(block_size) + 1; // block 0 is the null block
        let backend = CpuBackend::new();
        let stored = dtype.element_type(ElementType::Bf16);
        let (heads, dim) = (model.num_kv_heads, model.head_dim);
        let shape = CacheShape::new(num_blocks, block_size, heads, dim, stored, stored);
        let layers = (0..model.num_layers)
            .map(|_| backend.new_cache(shape.clone()))
            .collect::<Result<_, _>>()?;
        let blocks = PagedCache::new(CacheConfig::new(num_blocks, block_size))?;
        Ok(Self { model, scales, blocks, layers, backend })
    }

    /// Appends tokens to the sequence; returns the logits that follow the last one.
    fn step(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Box<dyn Error>> {
        let m = &self.model;
        let hidden = m.tensors["model.norm.weight"].len();
        let slots = match self.blocks.num_sequences() {
            0 => self.blocks.admit(SEQUENCE, tokens)?.slots,
            _ => self.blocks.append(SEQUENCE, tokens.len())?.slots,
        };
        let slots: Vec<i64> = slots.map(|slot| slot.index() as i64).collect();
        let kv_len = self.blocks.num_tokens(SEQUENCE)?;
        let position = kv_len - tokens.len();
        let mut batch = Batch::new();
        batch.push(
            tokens.len(),
            kv_len,
            self.blocks.block_table(SEQUENCE)?.iter().map(|b| b.index()),
        );
        let attention = AttentionShape::new(m.num_heads, 1.0 / (m.head_dim as f32).sqrt());
        let plan = self.backend.plan(self.layers[0].shape(), &attention, &batch)?;

        let embedding = &m.tensors["model.embed_tokens.weight"];
        let row = |&t: &u32| &embedding[t as usize * hidden..][..hidden];
        let mut x: Vec<f32> = tokens.iter().flat_map(row).copied().collect();
        for (i, (cache, scales)) in self.layers.iter_mut().zip(&self.scales).enumerate() {
            let normed = rms_norm(&x, m.layer(i, "input_layernorm"), m.eps);
            let mut q = linear(&normed, m.layer(i, "self_attn.q_proj"), hidden);
            let mut k = linear(&normed, m.layer(i, "self_attn.k_proj"), hidden);
            let v = linear(&normed, m.layer(i, "self_attn.v_proj"), hidden);
            m.rotate(&mut q, m.num_heads, position);
            m.rotate(&mut k, m.num_kv_heads, position);
            let mut out = vec![0.0; q.len()];
            self.backend.append(cache, scales, &k, &v, &slots)?;
            self.backend.attention(&plan, cache, scales, &q, &mut out, None)?;
            add(&mut x, &linear(&out, m.layer(i, "self_attn.o_proj"), m.num_heads * m.head_dim));
            let normed = rms_norm(&x, m.layer(i, "post_attention_layernorm"), m.eps);
            let gate = linear(&normed, m.layer(i, "mlp.gate_proj"), hidden);
            let up = linear(&normed, m.layer(i, "mlp.up_proj"), hidden);
            let silu = |g: &f32| g / (1.0 + (-g).exp());
            let inner: Vec<f32> = gate.iter().zip(&up).map(|(g, u)| silu(g) * u).collect();
            let width = inner.len() / tokens.len();
            add(&mut x, &linear(&inner, m.layer(i, "mlp.down_proj"), width));
        }
        let last = rms_norm(&x[x.len() - hidden..], &m.tensors["model.norm.weight"], m.eps);
        Ok(linear(&last, embedding, hidden)) // the embedding is tied
    }
}

/// Greedy ids after a prompt, by an FP8 paged cache.
pub(crate) fn generate(prompt: &[u32], max_tokens: usize) -> Result<Vec<u32>, Box<dyn Error>> {
    let checkpoint = Checkpoint::from_memory(engine::assets::files())?;
    let mut engine = Engine::new(&checkpoint, KvDtype::Fp8E4M3, prompt.len() + max_tokens)?;
    let mut logits = engine.step(prompt)?;
    let mut ids = Vec::new();
    while ids.len() < max_tokens {
        let best =
            (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]).then(b.cmp(&a)));
        ids.push(best.ok_or("no logits")? as u32);
        logits = engine.step(&ids[ids.len() - 1..])?;
    }
    Ok(ids)
}

fn main() -> Result<(), Box<dyn Error>> {
    let prompt = std::env::args().nth(1).unwrap_or_else(|| "In the beginning".to_owned());
    let checkpoint = Checkpoint::from_memory(engine::assets::files())?;
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?.ok_or("no tokenizer")?;
    let ids = generate(&tokenizer.encode(&prompt)?, 40)?;
    println!("{prompt}{}", tokenizer.decode(&ids)?);
    Ok(())
}
