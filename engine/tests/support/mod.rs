//! Running a decoder step by step, with any schedule, and keeping every logit.
#![allow(dead_code, reason = "every test file uses another part")]

pub(crate) mod models;

use attn_kernels::{Batch, CpuBackend};
use engine::cache::CacheLayout;
use engine::config::ModelConfig;
use engine::model::{Decoder, Executor, Step, Tap};
use engine::weights::Weights;
use fp8_format::ElementType;
use kv_scales::Checkpoint;
use paged_cache::{CacheConfig, PagedCache, SeqId};
use std::sync::Arc;

/// A decoder over a paged cache of its own.
pub(crate) struct Runner {
    decoder: Box<dyn Executor>,
    cache: PagedCache,
    next: u64,
}

impl Runner {
    pub(crate) fn new(checkpoint: &Checkpoint, element: ElementType, block_size: usize) -> Self {
        Self::on(checkpoint, element, block_size, |config, weights, layout, num_blocks| {
            let (weights, caches) = (Arc::new(weights), layout.into_layers(num_blocks));
            Box::new(Decoder::new(config, weights, CpuBackend::new(), caches).unwrap())
        })
    }

    /// On whatever `decoder` makes of the model, for that many blocks.
    pub(crate) fn on(
        checkpoint: &Checkpoint,
        element: ElementType,
        block_size: usize,
        decoder: impl FnOnce(ModelConfig, Weights, CacheLayout, usize) -> Box<dyn Executor>,
    ) -> Self {
        let config = ModelConfig::from_json(checkpoint.config().unwrap(), None).unwrap();
        let weights = Weights::load(checkpoint, &config).unwrap();
        let num_blocks = 1 + 8 * config.max_position_embeddings.div_ceil(block_size);
        let layout = CacheLayout::uniform(&config, block_size, element, element);
        let decoder = decoder(config, weights, layout, num_blocks);
        let cache = PagedCache::new(CacheConfig::new(num_blocks, block_size)).unwrap();
        Self { decoder, cache, next: 0 }
    }

    /// Feeds all sequences side by side, `chunk` tokens of each per step, and returns the logits
    /// of every position of every sequence.
    pub(crate) fn logits(&mut self, sequences: &[Vec<u32>], chunk: usize) -> Vec<Vec<f32>> {
        self.watched(sequences, chunk, &mut ())
    }

    /// The same under a tap.
    pub(crate) fn watched(
        &mut self,
        sequences: &[Vec<u32>],
        chunk: usize,
        tap: &mut dyn Tap,
    ) -> Vec<Vec<f32>> {
        let first = self.next;
        self.next += sequences.len() as u64;
        let ids: Vec<SeqId> = (first..self.next).map(SeqId).collect();
        for (id, tokens) in ids.iter().zip(sequences) {
            self.cache.admit(*id, tokens).unwrap();
        }
        let mut all = vec![Vec::new(); sequences.len()];
        let longest = sequences.iter().map(Vec::len).max().unwrap();
        for start in (0..longest).step_by(chunk) {
            self.step(&ids, sequences, start, chunk, tap, &mut all);
        }
        for id in ids {
            self.cache.free(id).unwrap();
        }
        all
    }

    fn step(
        &mut self,
        ids: &[SeqId],
        sequences: &[Vec<u32>],
        start: usize,
        chunk: usize,
        tap: &mut dyn Tap,
        all: &mut [Vec<f32>],
    ) {
        let (mut batch, mut owner) = (Batch::new(), Vec::new());
        let (mut tokens, mut positions, mut slots) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (id, ids)) in ids.iter().zip(sequences).enumerate() {
            let end = ids.len().min(start + chunk);
            if start >= end {
                continue;
            }
            let table = self.cache.block_table(*id).unwrap();
            batch.push(end - start, end, table.iter().map(|block| block.index()));
            tokens.extend(&ids[start..end]);
            positions.extend(start as u32..end as u32);
            slots.extend(self.cache.slots(*id, start..end).unwrap().map(|s| s.index() as i64));
            owner.extend((start..end).map(|_| index));
        }
        let rows: Vec<usize> = (0..tokens.len()).collect();
        let step = Step {
            batch: &batch,
            tokens: &tokens,
            positions: &positions,
            slots: &slots,
            logits_rows: &rows,
        };
        let mut logits = Vec::new();
        self.decoder.step(&step, tap, &mut logits).unwrap();
        for (index, row) in owner.iter().zip(logits.chunks_exact(self.decoder.vocab_size())) {
            all[*index].extend(row);
        }
    }
}

/// A random stream that is the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// In [-1, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        self.next() as f64 / (1u64 << 30) as f64 - 1.0
    }
}
