//! The activations of one step on the device: grown to the largest step seen, reused by every layer
//! and step. What fills a row up to its stride is zero from the start and never written.

use attn_kernels::cuda::{CudaBackend, CudaTensor, Driver};
use fp8_format::ElementType;

use super::ops::PARTS;
use super::weights::padded;
use crate::Error;
use crate::config::ModelConfig;

/// Widths of a step's activations, as they lie on the device.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub(super) hidden: usize,
    pub(super) q: usize,
    pub(super) kv: usize,
    pub(super) inner: usize,
    pub(super) vocabulary: usize,
}

impl Widths {
    pub(super) fn new(config: &ModelConfig, head_dim: usize) -> Self {
        Self {
            hidden: padded(config.hidden_size),
            q: config.num_heads * head_dim,
            kv: config.num_kv_heads * head_dim,
            inner: padded(config.intermediate_size),
            vocabulary: config.vocab_size,
        }
    }
}

/// Tensors for up to some number of rows.
pub(super) struct Rows<M> {
    /// The residual stream, `[rows][hidden]`.
    pub(super) x: CudaTensor<M>,
    pub(super) q: CudaTensor<M>,
    pub(super) k: CudaTensor<M>,
    pub(super) v: CudaTensor<M>,
    pub(super) attention: CudaTensor<M>,
    pub(super) gate: CudaTensor<M>,
    pub(super) up: CudaTensor<M>,
    /// What linear layers read: bf16 parts of the widest input.
    pub(super) planes: CudaTensor<M>,
    count: usize,
}

impl<M> Rows<M> {
    pub(super) fn new<D: Driver<Memory = M>>(
        backend: &CudaBackend<D>,
        widths: &Widths,
        count: usize,
    ) -> Result<Self, Error> {
        let zeros = |width: usize| backend.zeros(count * width);
        let widest = widths.hidden.max(padded(widths.q)).max(widths.inner);
        Ok(Self {
            x: zeros(widths.hidden)?,
            q: zeros(widths.q)?,
            k: zeros(widths.kv)?,
            v: zeros(widths.kv)?,
            attention: zeros(widths.q)?,
            gate: zeros(widths.inner)?,
            up: zeros(widths.inner)?,
            planes: backend.zeros_of(ElementType::Bf16, PARTS * count * widest)?,
            count,
        })
    }
}

/// What a step needs beside the weights and the cache.
pub(super) struct Scratch<M> {
    rows: Option<Rows<M>>,
    /// `[wanted][vocabulary]`.
    logits: Option<CudaTensor<M>>,
    /// What the host says about a step: tokens, angles, rows whose logits are wanted.
    words: Option<CudaTensor<M>>,
    /// The same on the host.
    pub(super) upload: Vec<u8>,
}

impl<M> Default for Scratch<M> {
    fn default() -> Self {
        Self { rows: None, logits: None, words: None, upload: Vec::new() }
    }
}

impl<M> Scratch<M> {
    /// Begins what is sent to the device.
    pub(super) fn clear(&mut self) {
        self.upload.clear();
    }

    /// Adds words to it, at a multiple of 16 bytes; where they begin.
    pub(super) fn add(&mut self, words: impl Iterator<Item = u32>) -> u64 {
        self.upload.resize(self.upload.len().next_multiple_of(16), 0);
        let at = self.upload.len() as u64;
        self.upload.extend(words.flat_map(u32::to_le_bytes));
        at
    }

    /// Sends it; where it begins on the device.
    pub(super) fn send<D: Driver<Memory = M>>(
        &mut self,
        backend: &CudaBackend<D>,
    ) -> Result<u64, Error> {
        let words = self.upload.len().div_ceil(4).max(1);
        let place = grown(&mut self.words, words, |len| Ok(backend.zeros(len)?))?;
        let (memory, offset) = place.memory();
        backend.driver().write(memory, offset, &self.upload)?;
        Ok(backend.address(place))
    }

    /// The tensors for `count` rows and the logits of `wanted`, which may be more: a row may be wanted
    /// several times.
    pub(super) fn tensors<D: Driver<Memory = M>>(
        &mut self,
        backend: &CudaBackend<D>,
        widths: &Widths,
        count: usize,
        wanted: usize,
    ) -> Result<(&Rows<M>, CudaTensor<M>), Error> {
        let count = count.max(wanted);
        if self.rows.as_ref().is_none_or(|rows| rows.count < count) {
            // The old ones go first.
            self.rows = None;
            self.rows = Some(Rows::new(backend, widths, count.next_multiple_of(8))?);
        }
        let len = wanted * widths.vocabulary;
        let logits = grown(&mut self.logits, len, |len| Ok(backend.zeros(len)?))?.view(0..len)?;
        let rows = self.rows.as_ref().expect("just filled");
        Ok((rows, logits))
    }
}

/// A tensor of at least `len` elements in `place`.
fn grown<M>(
    place: &mut Option<CudaTensor<M>>,
    len: usize,
    zeros: impl FnOnce(usize) -> Result<CudaTensor<M>, Error>,
) -> Result<&CudaTensor<M>, Error> {
    if place.as_ref().is_none_or(|tensor| tensor.len() < len) {
        *place = None;
        *place = Some(zeros(len)?);
    }
    Ok(place.as_ref().expect("just filled"))
}
