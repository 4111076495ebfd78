//! The activations of one step: grown to the largest step seen, reused by every layer and step.

use crate::config::ModelConfig;
use crate::mem::Aligned;
use crate::ops::Angles;

#[derive(Default)]
pub(super) struct Scratch {
    /// The residual stream, `[rows][hidden]`.
    pub(super) x: Aligned,
    /// Its norm; later a projection's result before it is added.
    pub(super) normed: Aligned,
    pub(super) projected: Aligned,
    pub(super) q: Aligned,
    pub(super) k: Aligned,
    pub(super) v: Aligned,
    pub(super) attention: Aligned,
    pub(super) gate: Aligned,
    pub(super) up: Aligned,
    pub(super) angles: Angles,
}

impl Scratch {
    pub(super) fn resize(&mut self, config: &ModelConfig, rows: usize) {
        let (hidden, inner) = (rows * config.hidden_size, rows * config.intermediate_size);
        let q_width = rows * config.num_heads * config.head_dim;
        let kv_width = rows * config.num_kv_heads * config.head_dim;
        for (buffer, len) in [
            (&mut self.x, hidden),
            (&mut self.normed, hidden),
            (&mut self.projected, hidden),
            (&mut self.q, q_width),
            (&mut self.k, kv_width),
            (&mut self.v, kv_width),
            (&mut self.attention, q_width),
            (&mut self.gate, inner),
            (&mut self.up, inner),
        ] {
            buffer.resize(len);
        }
    }
}
