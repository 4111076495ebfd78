//! Scales from one batch of random tokens, before anything is cached (`calculate_kv_scales`).

use crate::Error;
use crate::cache::CacheLayout;
use crate::config::ModelConfig;
use crate::device::Opened;
use crate::model::{Step, Tap, Watches};
use crate::weights::Weights;
use attn_kernels::Batch;
use fp8_format::{ElementType, absmax};
use kv_scales::{LayerAbsmax, OnTheFlyRange, PendingScales, ResolvedScales};
use std::sync::Arc;

/// Tokens of the batch.
const TOKENS: usize = 256;
const BLOCK_SIZE: usize = 16;

/// Runs the batch over an f32 cache of its own (f16 on a device that stores no f32), before the model's cache exists, and fixes the
/// scales by what it saw. The tokens are the same for every run of a model with one seed, so the
/// scales are too. An absmax that is zero or not finite is an error, and layers whose scales are
/// known stay as they are.
pub(super) fn fix(
    pending: PendingScales,
    config: &ModelConfig,
    (device, widest): (&Opened, ElementType),
    weights: &Arc<Weights>,
    seed: u64,
) -> Result<ResolvedScales, Error> {
    let tokens = TOKENS.min(config.max_position_embeddings);
    let blocks = tokens.div_ceil(BLOCK_SIZE);
    let layout = CacheLayout::uniform(config, BLOCK_SIZE, widest, widest);
    let caches = device.layout(config, layout)?.into_layers(blocks);
    let mut decoder = device.decoder(config, weights, caches)?;
    let mut batch = Batch::new();
    batch.push(tokens, tokens, 0..blocks as u32);
    let step = Step {
        batch: &batch,
        tokens: &random_tokens(seed, tokens, config.vocab_size),
        positions: &(0..tokens as u32).collect::<Vec<_>>(),
        slots: &(0..tokens as i64).collect::<Vec<_>>(),
        logits_rows: &[],
    };
    let mut seen = Seen(Vec::with_capacity(config.num_layers));
    decoder.step(&step, &mut seen, &mut Vec::new())?;
    Ok(pending.fix(&seen.0, &OnTheFlyRange::default())?)
}

struct Seen(Vec<LayerAbsmax>);

impl Tap for Seen {
    fn watches(&self) -> Watches {
        Watches::QKV
    }

    fn qkv(&mut self, _layer: usize, q: &[f32], k: &[f32], v: &[f32]) {
        self.0.push(LayerAbsmax { q: absmax(q), k: absmax(k), v: absmax(v) });
    }
}

/// SplitMix64.
fn random_tokens(seed: u64, count: usize, vocab_size: usize) -> Vec<u32> {
    let mut state = seed;
    let next = |_| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % vocab_size as u64) as u32
    };
    (0..count).map(next).collect()
}
