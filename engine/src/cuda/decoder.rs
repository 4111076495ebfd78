//! The decoder on a device: the order of operations, which is that of [`crate::model::Decoder`].

use std::sync::Arc;

use attn_kernels::Backend;
use attn_kernels::cuda::{CudaBackend, CudaBuffer, CudaTensor, Driver};

use super::gemm::{Gemm, Library};
use super::ops::{Heads, Ops, PARTS, Planes, Product};
use super::scratch::{Rows, Scratch, Widths};
use super::weights::{CudaLayer, CudaLinear, CudaWeights};
use crate::Error;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use crate::model::{Executor, Kind, Kinds, Layer, Step, Tap, plans};
use crate::ops::{Angles, Rotary, WeightType};

/// A decoder whose weights, activations and KV blocks are on a CUDA device.
///
/// Only the logits that a step asks for come back to the host, and what a [`Tap`] watches.
pub struct CudaDecoder<D: Driver> {
    config: ModelConfig,
    weights: Arc<CudaWeights<D::Memory>>,
    backend: Arc<CudaBackend<D>>,
    layers: Vec<Layer<CudaBuffer<D::Memory>>>,
    kinds: Vec<Kind>,
    widths: Widths,
    rotary: Rotary,
    angles: Angles,
    scratch: Scratch<D::Memory>,
    /// Computes the linear layers that it can, instead of our kernel.
    library: Option<Arc<dyn Library>>,
}

impl<D: Driver> CudaDecoder<D> {
    /// Allocates the KV blocks of every layer. `caches` says how each stores K and V, with heads as
    /// wide as those of the uploaded weights.
    ///
    /// # Errors
    /// When the device has no kernels for a shape or not the memory, or `caches` is not one per
    /// layer.
    pub fn new(
        config: ModelConfig,
        weights: Arc<CudaWeights<D::Memory>>,
        backend: Arc<CudaBackend<D>>,
        caches: Vec<LayerCache>,
    ) -> Result<Self, Error> {
        let head_dim = weights.head_dim();
        if let Some(other) = caches.iter().find(|cache| cache.shape.head_dim != head_dim) {
            let found = other.shape.head_dim;
            let message = format!("caches for heads of {found}, weights for heads of {head_dim}");
            return Err(Error::Config { field: "head_dim".into(), message });
        }
        let kinds = Kinds::new(&config, caches)?;
        let layers = kinds.allocate(backend.as_ref())?;
        let widths = Widths::new(&config, head_dim);
        let rotary = Rotary::new(&config.rope, config.head_dim);
        Ok(Self {
            config,
            weights,
            backend,
            layers,
            kinds: kinds.kinds,
            widths,
            rotary,
            angles: Angles::default(),
            scratch: Scratch::default(),
            library: None,
        })
    }

    /// The same with a library for linear layers.
    #[cfg(feature = "cuda")]
    pub(super) fn with_library(mut self, library: Option<Arc<dyn Library>>) -> Self {
        self.library = library;
        self
    }
}

/// Where the parts of a step's upload are on the device.
struct Uploaded {
    tokens: u64,
    angles: [u64; 2],
    wanted: u64,
}

impl<D> Executor for CudaDecoder<D>
where
    D: Driver + Send + Sync,
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
        let backend = Arc::clone(&self.backend);
        let plans = plans(backend.as_ref(), &self.kinds, step.batch)?;
        let (rows, wanted) = (step.tokens.len(), step.logits_rows.len());
        logits.resize(wanted * self.config.vocab_size, 0.0);
        if rows == 0 {
            return Ok(());
        }
        let sent = self.send(step)?;
        let (ops, watches) = (Ops(backend.as_ref()), tap.watches());
        let Self { config, weights, layers, widths, scratch, library, .. } = self;
        let (s, last) = scratch.tensors(backend.as_ref(), widths, rows, wanted)?;
        let (library, head_dim) = (library.as_deref(), weights.head_dim);
        let forward = Forward { ops: &ops, library, config, widths, s, rows, head_dim };
        ops.embed(&weights.embedding, sent.tokens, rows, &s.x)?;
        for (index, (layer, weights)) in layers.iter_mut().zip(&weights.layers).enumerate() {
            forward.project_qkv(weights, sent.angles)?;
            let heads = |tensor: &CudaTensor<D::Memory>, width: usize| tensor.view(0..rows * width);
            let (q, mut out) = (heads(&s.q, widths.q)?, heads(&s.attention, widths.q)?);
            let (k, v) = (heads(&s.k, widths.kv)?, heads(&s.v, widths.kv)?);
            if watches.qkv {
                let [q, k, v] = [&q, &k, &v].map(|tensor| forward.host_heads(tensor));
                tap.qkv(index, &q?, &k?, &v?);
            }
            backend.append(&mut layer.cache, &layer.scales, &k, &v, step.slots)?;
            let (cache, scales) = (&layer.cache, &layer.scales);
            backend.attention(&plans[layer.kind], cache, scales, &q, &mut out, None)?;
            if watches.attention {
                tap.attention(index, &forward.host_heads(&out)?);
            }
            forward.project_out(weights)?;
            forward.mlp(weights)?;
            if watches.hidden {
                tap.hidden(index, &forward.host_hidden()?);
            }
        }
        if wanted > 0 {
            let planes = ops.planes(&s.planes, wanted, widths.hidden);
            let eps = config.rms_norm_eps;
            ops.norm(&s.x, &weights.norm, Some(sent.wanted), config.hidden_size, eps, planes)?;
            let stride = widths.vocabulary;
            let output = to(&weights.output, &last, stride);
            forward.linear(planes, &[output])?;
            backend.read(&last, logits)?;
        }
        Ok(())
    }

    fn copy_blocks(&mut self, copies: &[(u32, u32)]) -> Result<(), Error> {
        for layer in &mut self.layers {
            self.backend.copy_blocks(&mut layer.cache, copies)?;
        }
        Ok(())
    }
}

impl<D: Driver> CudaDecoder<D> {
    /// Sends what the host knows about a step, in one copy.
    fn send(&mut self, step: &Step<'_>) -> Result<Uploaded, Error> {
        self.rotary.angles(step.positions, &mut self.angles);
        let s = &mut self.scratch;
        s.clear();
        let tokens = s.add(step.tokens.iter().copied());
        let cos = s.add(self.angles.cos().iter().map(|x| x.to_bits()));
        let sin = s.add(self.angles.sin().iter().map(|x| x.to_bits()));
        let wanted = s.add(step.logits_rows.iter().map(|&row| row as u32));
        let base = s.send(self.backend.as_ref())?;
        let (tokens, wanted) = (base + tokens, base + wanted);
        Ok(Uploaded { tokens, angles: [base + cos, base + sin], wanted })
    }
}

/// The parts of a layer's forward pass that are not attention.
struct Forward<'a, D: Driver> {
    ops: &'a Ops<'a, D>,
    library: Option<&'a dyn Library>,
    config: &'a ModelConfig,
    widths: &'a Widths,
    s: &'a Rows<D::Memory>,
    rows: usize,
    head_dim: usize,
}

impl<D: Driver> Forward<'_, D> {
    /// `x` → normed → q, k, v, with the head norms and the rotation.
    fn project_qkv(&self, weights: &CudaLayer<D::Memory>, angles: [u64; 2]) -> Result<(), Error> {
        let Self { ops, config, widths, s, rows, head_dim, .. } = *self;
        self.normed_into(
            &weights.input_norm,
            &[
                to(&weights.q, &s.q, widths.q),
                to(&weights.k, &s.k, widths.kv),
                to(&weights.v, &s.v, widths.kv),
            ],
        )?;
        ops.rotate(&Heads {
            q: &s.q,
            k: &s.k,
            angles,
            norms: weights.qk_norm.as_ref(),
            rows,
            heads: config.num_heads,
            kv_heads: config.num_kv_heads,
            head_dim: config.head_dim,
            stride: head_dim,
            eps: config.rms_norm_eps,
        })
    }

    /// `x += o(attention)`.
    fn project_out(&self, weights: &CudaLayer<D::Memory>) -> Result<(), Error> {
        let Self { ops, widths, s, rows, .. } = *self;
        let planes = ops.planes(&s.planes, rows, widths.q);
        ops.split(&s.attention, planes)?;
        let to = Product { linear: &weights.o, to: &s.x, stride: widths.hidden, accumulate: true };
        self.linear(planes, &[to])
    }

    /// `x += down(silu(gate(norm(x))) × up(norm(x)))`.
    fn mlp(&self, weights: &CudaLayer<D::Memory>) -> Result<(), Error> {
        let Self { ops, widths, s, rows, .. } = *self;
        self.normed_into(
            &weights.post_norm,
            &[to(&weights.gate, &s.gate, widths.inner), to(&weights.up, &s.up, widths.inner)],
        )?;
        let planes = ops.planes(&s.planes, rows, widths.inner);
        ops.silu_mul(&s.gate, &s.up, planes)?;
        let to =
            Product { linear: &weights.down, to: &s.x, stride: widths.hidden, accumulate: true };
        self.linear(planes, &[to])
    }

    /// The linear layers of the norm of `x`.
    fn normed_into(
        &self,
        norm: &CudaTensor<D::Memory>,
        products: &[Product<'_, D::Memory>],
    ) -> Result<(), Error> {
        let Self { ops, config, widths, s, rows, .. } = *self;
        let planes = ops.planes(&s.planes, rows, widths.hidden);
        ops.norm(&s.x, norm, None, config.hidden_size, config.rms_norm_eps, planes)?;
        self.linear(planes, products)
    }

    /// Linear layers of one input: by the library those it can compute, where there is one.
    fn linear(&self, x: Planes, products: &[Product<'_, D::Memory>]) -> Result<(), Error> {
        let Some(library) = self.library else { return self.ops.linear(x, products) };
        let backend = self.ops.0;
        for product in products {
            let Product { linear, to, stride, accumulate } = product;
            if linear.weight.dtype != WeightType::Bf16 || linear.bias.is_some() {
                self.ops.linear(x, std::slice::from_ref(product))?;
                continue;
            }
            for part in (0..PARTS).rev() {
                library.multiply(&Gemm {
                    weight: backend.address(&linear.weight.values),
                    x: x.part(part),
                    y: backend.address(to),
                    out: linear.weight.out,
                    rows: x.rows(),
                    depth: linear.weight.depth,
                    stride: *stride,
                    accumulate: *accumulate || part + 1 < PARTS,
                })?;
            }
        }
        Ok(())
    }

    /// Heads without what fills them up, on the host.
    fn host_heads(&self, tensor: &CudaTensor<D::Memory>) -> Result<Vec<f32>, Error> {
        let wide = self.ops.0.download(tensor)?;
        Ok(narrow(wide, self.head_dim, self.config.head_dim))
    }

    /// The residual stream on the host.
    fn host_hidden(&self) -> Result<Vec<f32>, Error> {
        let stride = self.widths.hidden;
        let wide = self.ops.0.download(&self.s.x.view(0..self.rows * stride)?)?;
        Ok(narrow(wide, stride, self.config.hidden_size))
    }
}

/// A layer's end that replaces what is there.
fn to<'a, M>(linear: &'a CudaLinear<M>, to: &'a CudaTensor<M>, stride: usize) -> Product<'a, M> {
    Product { linear, to, stride, accumulate: false }
}

/// The first `width` of every `stride` numbers.
fn narrow(wide: Vec<f32>, stride: usize, width: usize) -> Vec<f32> {
    if stride == width {
        return wide;
    }
    wide.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect()
}
