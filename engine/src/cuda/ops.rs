//! The kernels of a decoder step, `engine/cuda`: arguments as the sources lay them out, and launches.
//! Attention and the KV cache are the backend's.

use attn_kernels::cuda::{Argument, CudaBackend, CudaTensor, Driver, Launch};

use super::weights::{CudaLinear, CudaMatrix};
use crate::Error;
use crate::ops::WeightType;

/// Threads of a CTA, in every kernel.
const THREADS: u32 = 128;
/// Rows up to which `linear_…_few` is used.
const FEW: usize = 8;
/// bf16 planes of activations.
pub(super) const PARTS: usize = 3;

/// A stored type as the kernels number and name it, and the tiles of `linear_…_many`: 16 outputs and
/// 8 rows times these.
fn element(dtype: WeightType) -> (u32, &'static str, [usize; 2]) {
    match dtype {
        WeightType::F16 => (0, "f16", [1, 2]),
        WeightType::Bf16 => (1, "bf16", [2, 4]),
        WeightType::F32 => (5, "f32", [1, 2]),
    }
}

/// A dimension. Those of a model were checked when its weights were uploaded, and rows are few.
fn word(n: usize) -> u32 {
    u32::try_from(n).expect("checked against i32 when the weights were uploaded")
}

/// Rows of activations as the kernels multiply them: `[3][rows][depth]` bf16, whose sums they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planes {
    at: u64,
    rows: usize,
    depth: usize,
}

impl Planes {
    /// Where a plane begins, of the largest parts first.
    pub(super) fn part(&self, part: usize) -> u64 {
        self.at + (part * self.rows * self.depth * size_of::<u16>()) as u64
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }
}

/// The end of a linear layer.
pub(super) struct Product<'a, M> {
    pub(super) linear: &'a CudaLinear<M>,
    /// `[rows][stride]`.
    pub(super) to: &'a CudaTensor<M>,
    pub(super) stride: usize,
    /// Add to what is there.
    pub(super) accumulate: bool,
}

/// The heads of a step's q and k, as `rotary.cu` has them.
pub(super) struct Heads<'a, M> {
    pub(super) q: &'a CudaTensor<M>,
    pub(super) k: &'a CudaTensor<M>,
    /// Addresses of the cosines and sines.
    pub(super) angles: [u64; 2],
    /// The norms of a head of q and of k.
    pub(super) norms: Option<&'a [CudaTensor<M>; 2]>,
    pub(super) rows: usize,
    pub(super) heads: usize,
    pub(super) kv_heads: usize,
    pub(super) head_dim: usize,
    /// From head to head.
    pub(super) stride: usize,
    pub(super) eps: f32,
}

/// Launches, in the order of the backend's stream.
pub(super) struct Ops<'a, D: Driver>(pub(super) &'a CudaBackend<D>);

impl<D: Driver> Ops<'_, D> {
    /// Where planes of that size are in `memory`.
    pub(super) fn planes(
        &self,
        memory: &CudaTensor<D::Memory>,
        rows: usize,
        depth: usize,
    ) -> Planes {
        assert!(memory.len() >= PARTS * rows * depth, "room for {rows} rows of {depth}");
        Planes { at: self.0.address(memory), rows, depth }
    }

    /// `x[row] = table[tokens[row]]`.
    pub(super) fn embed(
        &self,
        table: &CudaMatrix<D::Memory>,
        tokens: u64,
        rows: usize,
        x: &CudaTensor<D::Memory>,
    ) -> Result<(), Error> {
        let argument = Argument::new()
            .u64(self.0.address(&table.values))
            .u64(tokens)
            .u64(self.0.address(x))
            .u32(element(table.dtype).0)
            .u32(word(table.depth));
        self.launch("embed", "embed", [word(rows), 1], argument)
    }

    /// The norm of rows of `x` (all, or those listed at `rows`), into planes.
    pub(super) fn norm(
        &self,
        x: &CudaTensor<D::Memory>,
        weight: &CudaTensor<D::Memory>,
        rows: Option<u64>,
        width: usize,
        eps: f32,
        to: Planes,
    ) -> Result<(), Error> {
        let argument = Argument::new()
            .u64(self.0.address(x))
            .u64(self.0.address(weight))
            .u64(rows.unwrap_or(0))
            .u64(to.at)
            .u64((to.rows * to.depth) as u64)
            .u32(word(width))
            .u32(word(to.depth))
            .f32(eps);
        self.launch("norm", "rms_norm", [word(to.rows), 1], argument)
    }

    /// Turns q and k, after their norms where there are some.
    pub(super) fn rotate(&self, heads: &Heads<'_, D::Memory>) -> Result<(), Error> {
        let [cos, sin] = heads.angles;
        let norm = |which: usize| heads.norms.map_or(0, |norms| self.0.address(&norms[which]));
        let argument = Argument::new()
            .u64(self.0.address(heads.q))
            .u64(self.0.address(heads.k))
            .u64(cos)
            .u64(sin)
            .u64(norm(0))
            .u64(norm(1))
            .u32(word(heads.rows))
            .u32(word(heads.heads))
            .u32(word(heads.kv_heads))
            .u32(word(heads.head_dim))
            .u32(word(heads.stride))
            .f32(heads.eps);
        let warps = heads.rows * (heads.heads + heads.kv_heads);
        self.launch("rotary", "rotate", [word(warps.div_ceil(4)), 1], argument)
    }

    /// `silu(gate) × up`, into planes of the same size.
    pub(super) fn silu_mul(
        &self,
        gate: &CudaTensor<D::Memory>,
        up: &CudaTensor<D::Memory>,
        to: Planes,
    ) -> Result<(), Error> {
        self.elementwise("silu_mul", gate, self.0.address(up), to)
    }

    /// Floats into planes of the same size.
    pub(super) fn split(&self, x: &CudaTensor<D::Memory>, to: Planes) -> Result<(), Error> {
        self.elementwise("split", x, 0, to)
    }

    fn elementwise(
        &self,
        kernel: &str,
        x: &CudaTensor<D::Memory>,
        up: u64,
        to: Planes,
    ) -> Result<(), Error> {
        let count = to.rows * to.depth;
        let argument = Argument::new()
            .u64(self.0.address(x))
            .u64(up)
            .u64(to.at)
            .u64(count as u64)
            .u64(count as u64);
        let ctas = count.div_ceil(4 * THREADS as usize);
        self.launch("elementwise", kernel, [word(ctas), 1], argument)
    }

    /// Up to three linear layers of one input, on our own kernel.
    pub(super) fn linear(
        &self,
        x: Planes,
        products: &[Product<'_, D::Memory>],
    ) -> Result<(), Error> {
        assert!(products.len() <= 3, "one launch has three at most");
        for dtype in [WeightType::Bf16, WeightType::F16, WeightType::F32] {
            self.linear_of(dtype, x, products)?;
        }
        Ok(())
    }

    /// Those whose weights are of one type, in one launch.
    fn linear_of(
        &self,
        dtype: WeightType,
        x: Planes,
        products: &[Product<'_, D::Memory>],
    ) -> Result<(), Error> {
        let (_, name, many) = element(dtype);
        let (size, [tiles, columns]) = if x.rows <= FEW { ("few", [1, 1]) } else { ("many", many) };
        let (mut argument, mut count, mut first) = (Argument::new(), 0, 0);
        for product in products.iter().filter(|p| p.linear.weight.dtype == dtype) {
            let Product { linear, to, stride, accumulate } = product;
            debug_assert_eq!(linear.weight.depth, x.depth, "the input's width");
            argument = argument
                .u64(self.0.address(&linear.weight.values))
                .u64(linear.bias.as_ref().map_or(0, |bias| self.0.address(bias)))
                .u64(self.0.address(to))
                .u32(word(linear.weight.out))
                .u32(word(*stride))
                .u32((*accumulate).into())
                .u32(word(first));
            first += linear.weight.out.div_ceil(16 * tiles);
            count += 1;
        }
        if count == 0 {
            return Ok(());
        }
        for _ in count..3 {
            argument = argument.u64(0).u64(0).u64(0).u32(0).u32(0).u32(0).u32(0);
        }
        let argument = argument
            .u64(x.at)
            .u64((x.rows * x.depth) as u64)
            .u32(count)
            .u32(word(x.rows))
            .u32(word(x.depth));
        let grid = [word(first), word(x.rows.div_ceil(8 * columns))];
        self.launch("linear", &format!("linear_{name}_{size}"), grid, argument)
    }

    fn launch(
        &self,
        module: &str,
        kernel: &str,
        [x, y]: [u32; 2],
        argument: Argument,
    ) -> Result<(), Error> {
        let argument = argument.finish();
        let grid = [x, y, 1];
        let launch =
            Launch { module, kernel, grid, threads: THREADS, shared: 0, argument: &argument };
        // SAFETY: the functions above take tensors and addresses of the decoder alone, which lays its
        // scratch out for the rows of a step and keeps it, and the weights, with the backend; the
        // dimensions are those that the weights were uploaded with.
        Ok(unsafe { self.0.driver().launch(&launch) }?)
    }
}
