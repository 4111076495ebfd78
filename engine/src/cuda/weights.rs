//! Weights on the device, in the type that the checkpoint stores, each uploaded once.
//!
//! Kernels read rows whose length is a multiple of 32, and attention has kernels for some widths of
//! heads only. What is missing is filled up with zeros here, which changes no result: a head of 32
//! stands in one of 64, and the output projection has zeros where those heads have.

use attn_kernels::cuda::{CudaBackend, CudaTensor, Driver};
use fp8_format::ElementType;

use crate::Error;
use crate::config::ModelConfig;
use crate::ops::{Matrix, WeightType};
use crate::weights::{LayerWeights, Linear, Weights};

/// Inputs of a row are filled up to a multiple of this.
const DEPTH_UNIT: usize = 32;

/// The width of activations and of rows of weights for a model's width.
pub(super) fn padded(width: usize) -> usize {
    width.next_multiple_of(DEPTH_UNIT)
}

/// `[out][depth]` weights.
#[derive(Debug)]
pub(super) struct CudaMatrix<M> {
    pub(super) values: CudaTensor<M>,
    pub(super) dtype: WeightType,
    pub(super) out: usize,
    /// A multiple of 32.
    pub(super) depth: usize,
}

impl<M> CudaMatrix<M> {
    /// The same memory again.
    fn shared(&self) -> Self {
        Self { values: self.values.clone(), ..*self }
    }
}

/// A linear layer.
#[derive(Debug)]
pub(super) struct CudaLinear<M> {
    pub(super) weight: CudaMatrix<M>,
    pub(super) bias: Option<CudaTensor<M>>,
}

/// One decoder layer, as [`LayerWeights`].
#[derive(Debug)]
pub(super) struct CudaLayer<M> {
    pub(super) input_norm: CudaTensor<M>,
    pub(super) q: CudaLinear<M>,
    pub(super) k: CudaLinear<M>,
    pub(super) v: CudaLinear<M>,
    /// Of q and of k.
    pub(super) qk_norm: Option<[CudaTensor<M>; 2]>,
    pub(super) o: CudaLinear<M>,
    pub(super) post_norm: CudaTensor<M>,
    pub(super) gate: CudaLinear<M>,
    pub(super) up: CudaLinear<M>,
    pub(super) down: CudaLinear<M>,
}

/// All weights of a decoder, on a device.
#[derive(Debug)]
pub struct CudaWeights<M> {
    pub(super) embedding: CudaMatrix<M>,
    pub(super) layers: Vec<CudaLayer<M>>,
    pub(super) norm: CudaTensor<M>,
    pub(super) output: CudaLinear<M>,
    pub(super) head_dim: usize,
    bytes: usize,
}

/// An axis of a weight: how long it is, and how its groups (heads) are spread.
#[derive(Debug, Clone, Copy)]
struct Axis {
    len: usize,
    group: usize,
    group_padded: usize,
}

impl Axis {
    const fn plain(len: usize) -> Self {
        Self { len, group: len, group_padded: len }
    }

    const fn heads(heads: usize, group: usize, group_padded: usize) -> Self {
        Self { len: heads * group, group, group_padded }
    }

    const fn spread(self) -> usize {
        self.len / self.group * self.group_padded
    }
}

impl<M> CudaWeights<M> {
    /// Uploads a model's weights for heads that are `head_dim` wide on the device: what
    /// [`head_dim`](super::head_dim) says.
    ///
    /// # Errors
    /// When a dimension exceeds what the kernels count with, or the device has not the memory.
    pub fn upload<D: Driver<Memory = M>>(
        backend: &CudaBackend<D>,
        config: &ModelConfig,
        weights: &Weights,
        head_dim: usize,
    ) -> Result<Self, Error> {
        check_dimensions(config, head_dim)?;
        let mut up = Uploader { backend, bytes: 0 };
        let hidden = Axis::plain(config.hidden_size);
        let vocabulary = Axis::plain(config.vocab_size);
        let embedding = up.matrix(weights.embedding(), vocabulary, hidden)?;
        let output = match config.tie_word_embeddings {
            true => embedding.shared(),
            false => up.matrix(weights.output(), vocabulary, hidden)?,
        };
        let layers = weights
            .layers()
            .iter()
            .map(|layer| up.layer(config, layer, head_dim))
            .collect::<Result<_, _>>()?;
        let norm = up.vector(weights.norm(), hidden)?;
        let output = CudaLinear { weight: output, bias: None };
        Ok(Self { embedding, layers, norm, output, head_dim, bytes: up.bytes })
    }

    /// What they take on the device.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The width of a head on the device.
    #[must_use]
    pub fn head_dim(&self) -> usize {
        self.head_dim
    }
}

/// The kernels count with 32 bits.
fn check_dimensions(config: &ModelConfig, head_dim: usize) -> Result<(), Error> {
    let fits = |n: Option<usize>| n.is_some_and(|n| i32::try_from(n).is_ok());
    for (field, value) in [
        ("vocab_size", Some(config.vocab_size)),
        ("hidden_size", config.hidden_size.checked_add(DEPTH_UNIT)),
        ("intermediate_size", config.intermediate_size.checked_add(DEPTH_UNIT)),
        ("num_attention_heads", config.num_heads.checked_mul(head_dim)),
        ("max_position_embeddings", Some(config.max_position_embeddings)),
    ] {
        if !fits(value) {
            let message = format!("is beyond what CUDA kernels count with, {}", i32::MAX);
            return Err(Error::Config { field: field.into(), message });
        }
    }
    Ok(())
}

struct Uploader<'a, D: Driver> {
    backend: &'a CudaBackend<D>,
    bytes: usize,
}

impl<D: Driver> Uploader<'_, D> {
    fn layer(
        &mut self,
        config: &ModelConfig,
        layer: &LayerWeights,
        head_dim: usize,
    ) -> Result<CudaLayer<D::Memory>, Error> {
        let (hidden, inner) =
            (Axis::plain(config.hidden_size), Axis::plain(config.intermediate_size));
        let heads = |count| Axis::heads(count, config.head_dim, head_dim);
        let (q, kv) = (heads(config.num_heads), heads(config.num_kv_heads));
        let head = Axis::plain(config.head_dim);
        let qk_norm = match &layer.qk_norm {
            Some(norms) => Some([self.vector(&norms.q, head)?, self.vector(&norms.k, head)?]),
            None => None,
        };
        Ok(CudaLayer {
            input_norm: self.vector(&layer.input_norm, hidden)?,
            q: self.linear(&layer.q, q, hidden)?,
            k: self.linear(&layer.k, kv, hidden)?,
            v: self.linear(&layer.v, kv, hidden)?,
            qk_norm,
            o: self.linear(&layer.o, hidden, q)?,
            post_norm: self.vector(&layer.post_norm, hidden)?,
            gate: self.linear(&layer.gate, inner, hidden)?,
            up: self.linear(&layer.up, inner, hidden)?,
            down: self.linear(&layer.down, hidden, inner)?,
        })
    }

    fn linear(
        &mut self,
        linear: &Linear,
        out: Axis,
        depth: Axis,
    ) -> Result<CudaLinear<D::Memory>, Error> {
        let bias = linear.bias.as_ref().map(|bias| self.vector(bias, out)).transpose()?;
        Ok(CudaLinear { weight: self.matrix(linear.weight.matrix(), out, depth)?, bias })
    }

    fn matrix(
        &mut self,
        matrix: Matrix<'_>,
        out: Axis,
        depth: Axis,
    ) -> Result<CudaMatrix<D::Memory>, Error> {
        let (dtype, wide) = (matrix.dtype(), padded(depth.spread()));
        let element = match dtype {
            WeightType::F32 => ElementType::F32,
            WeightType::F16 => ElementType::F16,
            WeightType::Bf16 => ElementType::Bf16,
        };
        let values = if (out.spread(), wide) == (matrix.rows(), matrix.columns()) {
            self.backend.upload_bytes(element, matrix.bytes())?
        } else {
            self.backend.upload_bytes(element, &spread(matrix, out, depth, wide))?
        };
        self.bytes += values.bytes();
        Ok(CudaMatrix { values, dtype, out: out.spread(), depth: wide })
    }

    fn vector(&mut self, values: &[f32], axis: Axis) -> Result<CudaTensor<D::Memory>, Error> {
        let mut wide = vec![0.0; padded(axis.spread())];
        let groups = wide.chunks_exact_mut(axis.group_padded);
        for (wide, values) in groups.zip(values.chunks_exact(axis.group)) {
            wide[..axis.group].copy_from_slice(values);
        }
        let values = self.backend.upload(&wide)?;
        self.bytes += values.bytes();
        Ok(values)
    }
}

/// A matrix with zeros where its axes are spread, rows `wide` long.
fn spread(matrix: Matrix<'_>, out: Axis, depth: Axis, wide: usize) -> Vec<u8> {
    let size = matrix.dtype().size();
    let mut bytes = vec![0; out.spread() * wide * size];
    for row in 0..out.len {
        let at = row / out.group * out.group_padded + row % out.group;
        let to = bytes[at * wide * size..][..wide * size].chunks_mut(depth.group_padded * size);
        for (to, from) in to.zip(matrix.row(row).chunks_exact(depth.group * size)) {
            to[..from.len()].copy_from_slice(from);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_spread_and_rows_filled_up() {
        // Two heads of 2 in heads of 3, as outputs and as inputs.
        let bytes: Vec<u8> = (1..=4u8).flat_map(|n| [n, n]).collect();
        let (heads, one) = (Axis::heads(2, 2, 3), Axis::plain(1));
        let column = Matrix::new(&bytes, WeightType::Bf16, 4, 1);
        let wide = spread(column, heads, one, 1);
        assert_eq!(wide, [1, 1, 2, 2, 0, 0, 3, 3, 4, 4, 0, 0]);
        let row = Matrix::new(&bytes, WeightType::Bf16, 1, 4);
        let wide = spread(row, one, heads, 8);
        assert_eq!(wide, [1, 1, 2, 2, 0, 0, 3, 3, 4, 4, 0, 0, 0, 0, 0, 0]);
    }
}
