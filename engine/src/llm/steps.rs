//! Building a step: rows of several sequences, with their slots and block tables.

use crate::Error;
use crate::model::{Executor, Step, Tap};
use attn_kernels::Batch;
use paged_cache::{PagedCache, SeqId};
use rayon::ThreadPool;
use std::ops::Range;

/// The parts of a step, reused from step to step.
#[derive(Default)]
pub(super) struct StepBuffers {
    batch: Batch,
    tokens: Vec<u32>,
    positions: Vec<u32>,
    slots: Vec<i64>,
    logits_rows: Vec<usize>,
    pub(super) logits: Vec<f32>,
}

impl StepBuffers {
    pub(super) fn clear(&mut self) {
        self.batch.clear();
        self.tokens.clear();
        self.positions.clear();
        self.slots.clear();
        self.logits_rows.clear();
    }

    pub(super) fn rows(&self) -> usize {
        self.tokens.len()
    }

    /// Adds the tokens at `positions` of a sequence whose slots are set aside.
    pub(super) fn push(
        &mut self,
        cache: &PagedCache,
        seq: SeqId,
        tokens: &[u32],
        positions: Range<usize>,
    ) -> Result<(), Error> {
        let blocks = positions.end.div_ceil(cache.config().block_size());
        let table = cache.block_table(seq)?.iter().take(blocks).map(|block| block.index());
        self.slots.extend(cache.slots(seq, positions.clone())?.map(|slot| slot.index() as i64));
        self.batch.push(positions.len(), positions.end, table);
        self.tokens.extend(&tokens[positions.clone()]);
        self.positions.extend(positions.map(|p| p as u32));
        Ok(())
    }

    /// Asks for the logits of the last row pushed.
    pub(super) fn want_last(&mut self) {
        self.logits_rows.push(self.rows() - 1);
    }

    /// Asks for the logits of every row.
    pub(super) fn want_all(&mut self) {
        self.logits_rows.extend(0..self.tokens.len());
    }

    pub(super) fn run(
        &mut self,
        executor: &mut dyn Executor,
        pool: Option<&ThreadPool>,
        tap: &mut dyn Tap,
    ) -> Result<(), Error> {
        let step = Step {
            batch: &self.batch,
            tokens: &self.tokens,
            positions: &self.positions,
            slots: &self.slots,
            logits_rows: &self.logits_rows,
        };
        let logits = &mut self.logits;
        match pool {
            Some(pool) => pool.install(|| executor.step(&step, tap, logits)),
            None => executor.step(&step, tap, logits),
        }
    }
}
