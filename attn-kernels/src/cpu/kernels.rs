//! The primitives of attention, as a table of functions chosen once per call: what differs between
//! instruction sets. What order they are called in is the same for all (`walk`, `tiles`).

use fp8_format::ElementType;

use crate::cpu::care::Care;
use crate::cpu::integer::{self, IntegerKernels};
use crate::cpu::order::Order;
use crate::cpu::scalar;
use crate::plan::CHUNK;

/// Rows that one call of [`Scores`] or [`Accumulate`] takes at most.
pub(crate) const MAX_ROWS: usize = 4;
/// Elements from one row of scores to the next: a chunk, and room for a last tile's padding.
pub(crate) const SCORE_STRIDE: usize = CHUNK + 16;

/// One head's K or V of consecutive tokens, as stored.
#[derive(Clone, Copy)]
pub(crate) struct Tokens<'a> {
    /// From the first element of the first token to at least the last of the last.
    pub(crate) bytes: &'a [u8],
    /// Bytes from token to token.
    pub(crate) stride: usize,
    pub(crate) count: usize,
    pub(crate) head_dim: usize,
    /// What their codes ask of the conversion.
    pub(crate) care: Care,
    /// What will be read next.
    pub(crate) ahead: Ahead,
}

/// Memory to be prefetched beside the work on some tokens, as much as these have: four streams of
/// lines. In several streams, each in order of the addresses, is how processors' own prefetchers
/// help most.
#[derive(Clone, Copy)]
pub(crate) struct Ahead {
    /// Where the first stream begins. Never dereferenced.
    pub(crate) base: *const u8,
    /// Bytes from stream to stream.
    pub(crate) across: usize,
}

impl Ahead {
    /// Bytes of a line.
    pub(crate) const LINE: usize = 64;
    /// Bytes of the four lines that are asked for at a time.
    pub(crate) const STEP: usize = 4 * Self::LINE;

    /// Line `step` of each stream.
    #[inline(always)]
    pub(crate) fn lines(&self, step: usize) -> [*const u8; 4] {
        let first = self.base.wrapping_add(step * Self::LINE);
        let next = |p: *const u8| p.wrapping_add(self.across);
        [first, next(first), next(next(first)), next(next(next(first)))]
    }
}

impl Tokens<'_> {
    /// The bytes of one token.
    pub(crate) fn token(&self, t: usize, size: usize) -> &[u8] {
        &self.bytes[t * self.stride..][..self.head_dim * size]
    }

    /// Panics unless all tokens lie in `bytes`: what the SIMD code relies on.
    pub(crate) fn check(&self, size: usize) {
        assert!(self.count > 0 && self.head_dim.is_multiple_of(8));
        let last = (self.count - 1).checked_mul(self.stride);
        let end = last.and_then(|last| last.checked_add(self.head_dim * size));
        assert!(end.is_some_and(|end| end <= self.bytes.len()));
    }
}

/// What happens to a row of dot products before the softmax.
#[derive(Clone, Copy)]
pub(crate) struct ScoreMap {
    /// What the conversion of K left out: a power of two, which is applied first.
    pub(crate) unscale: f32,
    /// `softmax_scale × k_scale × ` what the query's row left out.
    pub(crate) factor: f32,
    /// What the weights (not their sum) are multiplied by for the conversion of V: a power of two.
    pub(crate) gain: f32,
    pub(crate) soft_cap: Option<f32>,
    /// The ALiBi slope, and the query's position relative to the chunk's first token.
    pub(crate) alibi: Option<(f32, f32)>,
}

/// A chunk's softmax of one row: the largest score and the sum of `exp(score − max)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Stats {
    pub(crate) max: f32,
    pub(crate) sum: f32,
}

impl Stats {
    /// Of no keys at all.
    pub(crate) const EMPTY: Self = Self { max: f32::NEG_INFINITY, sum: 0.0 };
}

/// `scores[r × SCORE_STRIDE + t] = q[r] · token[t] / factor`, for `rows` rows of `q` in the side's
/// order and with the side's gain. Up to 15 elements after a row's last token may be overwritten.
pub(crate) type Scores = fn(tokens: &Tokens<'_>, q: &[f32], rows: usize, scores: &mut [f32]);
/// `acc[r] += Σ_t p[r × SCORE_STRIDE + t] × token[t] / factor`, in the order of the tokens; `p` with
/// the side's gain, `acc` in the side's order.
pub(crate) type Accumulate = fn(tokens: &Tokens<'_>, p: &[f32], rows: usize, acc: &mut [f32]);
/// `tile[t] = token[t] / factor` as numbers in the side's order, `head_dim` elements apart.
pub(crate) type Decode = fn(tokens: &Tokens<'_>, tile: &mut [f32]);
/// Turns the dot products `row[visible]` into `exp(score − max)`.
pub(crate) type Softmax = fn(row: &mut [f32], visible: (usize, usize), map: &ScoreMap) -> Stats;
/// Merges a chunk's output and statistics into a running state.
pub(crate) type Merge = fn(out: &mut [f32], stats: &mut Stats, chunk_out: &[f32], chunk: Stats);

/// One instruction set's primitives for one pair of storage types.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub(crate) k: SideKernels,
    pub(crate) v: SideKernels,
    /// On tokens that [`SideKernels::decode`] has made f32.
    pub(crate) tile: SideKernels,
    pub(crate) softmax: Softmax,
    pub(crate) merge: Merge,
}

/// The primitives of one storage type.
///
/// A conversion may leave out a factor. It is split in two, powers of two both: a gain that rows are
/// multiplied by before, and `factor`, which results are multiplied by after, so that nothing on the
/// way is too small or too large for an f32. All tokens' products have the same size, and the same
/// bits, whatever care was taken.
#[derive(Clone, Copy)]
pub(crate) struct SideKernels {
    pub(crate) scores: Scores,
    pub(crate) accumulate: Accumulate,
    pub(crate) decode: Decode,
    pub(crate) order: Order,
    /// For tokens that ask for no care, and for others.
    pub(crate) gains: [f32; 2],
    pub(crate) factor: f32,
    /// Whether [`Care::Subnormal`] makes a difference.
    pub(crate) minds_subnormals: bool,
}

impl SideKernels {
    /// The care that is taken where codes ask for `care`.
    pub(crate) fn care(&self, care: Care) -> Care {
        if care == Care::Subnormal && !self.minds_subnormals { Care::Plain } else { care }
    }
}

/// The instruction sets this build knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isa {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::simd::Avx2),
    #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
    Avx512(crate::simd::Avx512),
}

impl Isa {
    /// The best one this machine has.
    pub(crate) fn detect() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
        if let Some(avx512) = crate::simd::Avx512::detect() {
            return Self::Avx512(avx512);
        }
        #[cfg(target_arch = "x86_64")]
        if let Some(avx2) = crate::simd::Avx2::detect() {
            return Self::Avx2(avx2);
        }
        Self::Scalar
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(_) => "avx2",
            #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
            Self::Avx512(_) => "avx512",
        }
    }

    pub(crate) fn integer(self) -> IntegerKernels {
        match self {
            Self::Scalar => integer::SCALAR,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.integer(),
            #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
            Self::Avx512(_) => {
                // Every processor with AVX-512 has AVX2, too.
                crate::simd::Avx2::detect().map_or(integer::SCALAR, crate::simd::Avx2::integer)
            }
        }
    }

    pub(crate) fn kernels(self, k: ElementType, v: ElementType) -> Kernels {
        match self {
            Self::Scalar => scalar::kernels(k, v),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2(avx2) => avx2.kernels(k, v),
            #[cfg(all(target_arch = "x86_64", feature = "unverified-simd"))]
            Self::Avx512(avx512) => avx512.kernels(k, v),
        }
    }
}
