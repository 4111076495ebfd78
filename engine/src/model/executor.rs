//! What runs a step, and what may watch it.

use crate::Error;
use crate::config::ModelConfig;
use attn_kernels::{Backend, Batch};

/// One step: rows of several sequences. All slices but `logits_rows` have one element per row.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The sequences, in the order of their rows, with their lengths and block tables.
    pub batch: &'a Batch,
    /// The token of each row.
    pub tokens: &'a [u32],
    /// Its position in its sequence.
    pub positions: &'a [u32],
    /// Where its K and V go: `block × block_size + offset`.
    pub slots: &'a [i64],
    /// The rows whose logits are wanted, in the order they are wanted.
    pub logits_rows: &'a [usize],
}

impl Step<'_> {
    /// Checks the lengths, the tokens and the rows asked for.
    pub(crate) fn check(&self, config: &ModelConfig) -> Result<(), Error> {
        let rows = self.batch.num_rows();
        for (name, len) in [
            ("tokens", self.tokens.len()),
            ("positions", self.positions.len()),
            ("slots", self.slots.len()),
        ] {
            if len != rows {
                return Err(Error::StepLength { name, len, rows });
            }
        }
        let vocab_size = config.vocab_size;
        if let Some(&token) = self.tokens.iter().find(|t| **t as usize >= vocab_size) {
            return Err(Error::TokenOutOfRange { token, vocab_size });
        }
        match self.logits_rows.iter().find(|row| **row >= rows) {
            Some(&row) => Err(Error::StepLength { name: "logits_rows", len: row + 1, rows }),
            None => Ok(()),
        }
    }
}

/// Runs steps: the weights and the KV blocks, without any idea of requests.
///
/// [`Decoder`](super::Decoder) is the one this crate brings; implement it to put another model or
/// device under [`Llm`](crate::llm::Llm).
pub trait Executor: Send {
    /// Width of the logits.
    fn vocab_size(&self) -> usize;

    /// Computes a step: appends K and V of every row, then leaves the logits of `logits_rows` in
    /// `logits`, `[logits_rows.len()][vocab_size]`.
    ///
    /// # Errors
    /// When the step does not fit the model or the cache; nothing is written then.
    fn step(
        &mut self,
        step: &Step<'_>,
        tap: &mut dyn Tap,
        logits: &mut Vec<f32>,
    ) -> Result<(), Error>;

    /// Copies whole blocks in every layer, `(source, destination)`, in the order given.
    ///
    /// # Errors
    /// When a block is outside the cache.
    fn copy_blocks(&mut self, copies: &[(u32, u32)]) -> Result<(), Error>;
}

/// What a tap watches. Where activations are on a device, only that is brought to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watches {
    /// [`Tap::qkv`] is called.
    pub qkv: bool,
    /// [`Tap::attention`] is called.
    pub attention: bool,
    /// [`Tap::hidden`] is called.
    pub hidden: bool,
}

impl Watches {
    /// Everything.
    pub const ALL: Self = Self { qkv: true, attention: true, hidden: true };
    /// Queries, keys and values.
    pub const QKV: Self = Self { qkv: true, ..Self::NOTHING };
    /// Nothing.
    pub const NOTHING: Self = Self { qkv: false, attention: false, hidden: false };
}

/// Watches a step: for calibration, for tests. Every method does nothing unless it is written.
pub trait Tap: Send {
    /// Which of the other methods need to be called; the others may be.
    fn watches(&self) -> Watches {
        Watches::ALL
    }

    /// Queries and keys after the rotation, and values, before they are stored:
    /// `[rows][num_heads or num_kv_heads][head_dim]`.
    fn qkv(&mut self, layer: usize, q: &[f32], k: &[f32], v: &[f32]) {
        let _ = (layer, q, k, v);
    }

    /// The attention's output, before the output projection: `[rows][num_heads][head_dim]`.
    fn attention(&mut self, layer: usize, out: &[f32]) {
        let _ = (layer, out);
    }

    /// The residual stream after a layer: `[rows][hidden_size]`.
    fn hidden(&mut self, layer: usize, x: &[f32]) {
        let _ = (layer, x);
    }
}

/// Watches nothing.
impl Tap for () {
    fn watches(&self) -> Watches {
        Watches::NOTHING
    }
}

/// A backend whose tensors are slices in this process's memory.
pub trait HostBackend: for<'a> Backend<Input<'a> = &'a [f32], Output<'a> = &'a mut [f32]> {}

impl<B> HostBackend for B where B: for<'a> Backend<Input<'a> = &'a [f32], Output<'a> = &'a mut [f32]>
{}
