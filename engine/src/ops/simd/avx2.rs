//! The tile of the matrix product for AVX2, FMA and F16C: eight lanes per accumulator, four
//! weight rows by one to three input rows, twelve accumulators at most in sixteen registers.

use super::super::WeightType;
use super::super::scalar::{LANES, Lanes, Sums, TILE_COLUMNS, TILE_ROWS};
use super::{Input, Weights};
use std::arch::x86_64::*;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;
/// f32 that was widened into L1: nothing to fetch ahead.
const WIDE: u8 = 3;

/// The depth's part of a tile, and what to do before and after it.
#[derive(Clone, Copy)]
struct Block {
    depth: usize,
    begin: bool,
    end: bool,
}

/// # Safety
/// AVX2, FMA and F16C; every weight row holds `depth` weights; `input` holds 1 to 3 rows, each of
/// at least `depth` from its stride on.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tile(
    input: Input<'_>,
    depth: usize,
    weights: Weights<'_>,
    lanes: &mut Lanes,
    begin: bool,
    end: bool,
) -> Sums {
    let block = Block { depth, begin, end };
    // SAFETY: the caller's contract is each kernel's.
    unsafe {
        match weights {
            Weights::Wide(w) => by_count::<WIDE>(input, w.map(|w| w.as_ptr().cast()), lanes, block),
            Weights::Streamed(w, dtype) => {
                let w = w.map(<[u8]>::as_ptr);
                match dtype {
                    WeightType::F32 => by_count::<F32>(input, w, lanes, block),
                    WeightType::F16 => by_count::<F16>(input, w, lanes, block),
                    WeightType::Bf16 => by_count::<BF16>(input, w, lanes, block),
                }
            }
        }
    }
}

/// # Safety
/// As [`tile`].
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn by_count<const TYPE: u8>(
    input: Input<'_>,
    w: [*const u8; TILE_COLUMNS],
    lanes: &mut Lanes,
    block: Block,
) -> Sums {
    // SAFETY: the caller's contract.
    unsafe {
        match input.count {
            1 => rows_by_four::<TYPE, 1>(input, w, lanes, block),
            2 => rows_by_four::<TYPE, 2>(input, w, lanes, block),
            _ => rows_by_four::<TYPE, 3>(input, w, lanes, block),
        }
    }
}

/// # Safety
/// As [`tile`], with `ROWS` rows in `input`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows_by_four<const TYPE: u8, const ROWS: usize>(
    input: Input<'_>,
    w: [*const u8; TILE_COLUMNS],
    lanes: &mut Lanes,
    block: Block,
) -> Sums {
    let Input { x, stride, .. } = input;
    let x: [*const f32; ROWS] = std::array::from_fn(|r| x[r * stride..].as_ptr());
    let mut sum = [[_mm256_setzero_ps(); TILE_COLUMNS]; ROWS];
    if !block.begin {
        for (sum, lanes) in sum.as_flattened_mut().iter_mut().zip(lanes.0.as_flattened()) {
            // SAFETY: eight f32.
            *sum = unsafe { _mm256_loadu_ps(lanes.as_ptr()) };
        }
    }
    let whole = block.depth - block.depth % LANES;
    // The four weight rows lie one behind the other in the file, and so do those of the next tile:
    // its lines are asked for in order while this tile is computed. Rows are short, and the
    // hardware would find each of them anew.
    let mut next = w[TILE_COLUMNS - 1].wrapping_add(block.depth * bytes_of(TYPE));
    let mut k = 0;
    while k < whole {
        if TYPE != WIDE {
            for _ in 0..bytes_of(TYPE) / 2 {
                _mm_prefetch::<_MM_HINT_T0>(next.cast());
                next = next.wrapping_add(64);
            }
        }
        // SAFETY: `k + 8 <= depth`, and row `r < ROWS` of `x` and every weight row hold `depth`
        // elements; loads need no alignment.
        unsafe {
            let mut input = [_mm256_setzero_ps(); ROWS];
            for (r, input) in input.iter_mut().enumerate() {
                *input = _mm256_loadu_ps(x[r].add(k));
            }
            for c in 0..TILE_COLUMNS {
                let weight = load::<TYPE>(w[c].add(k * bytes_of(TYPE)));
                for r in 0..ROWS {
                    sum[r][c] = _mm256_fmadd_ps(input[r], weight, sum[r][c]);
                }
            }
        }
        k += LANES;
    }
    if whole < block.depth {
        let rest = block.depth - whole;
        for c in 0..TILE_COLUMNS {
            let mut bytes = [0u8; LANES * 4];
            let mut padded = [[0.0f32; LANES]; ROWS];
            // SAFETY: `rest < 8` elements from `whole` on, inside each row; 32 bytes are at least
            // eight weights of any type.
            unsafe {
                let tail = w[c].add(whole * bytes_of(TYPE));
                std::ptr::copy_nonoverlapping(tail, bytes.as_mut_ptr(), rest * bytes_of(TYPE));
                let weight = load::<TYPE>(bytes.as_ptr());
                for r in 0..ROWS {
                    std::ptr::copy_nonoverlapping(x[r].add(whole), padded[r].as_mut_ptr(), rest);
                    let input = _mm256_loadu_ps(padded[r].as_ptr());
                    sum[r][c] = _mm256_fmadd_ps(input, weight, sum[r][c]);
                }
            }
        }
    }
    let mut y = [[0.0; TILE_COLUMNS]; TILE_ROWS];
    if block.end {
        for (sum, y) in sum.into_iter().zip(&mut y) {
            *y = sum_four(sum);
        }
    } else {
        for (sum, lanes) in sum.as_flattened().iter().zip(lanes.0.as_flattened_mut()) {
            // SAFETY: eight f32.
            unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), *sum) };
        }
    }
    y
}

const fn bytes_of(ty: u8) -> usize {
    if matches!(ty, F32 | WIDE) { 4 } else { 2 }
}

/// Eight weights, widened exactly.
///
/// # Safety
/// Eight weights can be read at `p`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn load<const TYPE: u8>(p: *const u8) -> __m256 {
    // SAFETY: the caller's contract; unaligned loads.
    unsafe {
        match TYPE {
            F32 | WIDE => _mm256_loadu_ps(p.cast()),
            F16 => _mm256_cvtph_ps(_mm_loadu_si128(p.cast())),
            _ => {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            }
        }
    }
}

/// The four horizontal sums, in the order of `scalar::sum_lanes`.
#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn sum_four(sum: [__m256; TILE_COLUMNS]) -> [f32; TILE_COLUMNS] {
    // Each `hadd` adds neighbours within a half: after two, the low half of element c holds
    // (0+1)+(2+3) of sum c and the high half (4+5)+(6+7).
    let pairs = [_mm256_hadd_ps(sum[0], sum[1]), _mm256_hadd_ps(sum[2], sum[3])];
    let fours = _mm256_hadd_ps(pairs[0], pairs[1]);
    let all = _mm_add_ps(_mm256_castps256_ps128(fours), _mm256_extractf128_ps::<1>(fours));
    let mut y = [0.0; TILE_COLUMNS];
    // SAFETY: `y` holds four f32.
    unsafe { _mm_storeu_ps(y.as_mut_ptr(), all) };
    y
}

/// # Safety
/// AVX2 and F16C; `bytes` holds `out.len()` weights of `dtype`.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn widen(bytes: &[u8], dtype: WeightType, out: &mut [f32]) {
    // SAFETY: the caller's contract.
    unsafe {
        match dtype {
            WeightType::F32 => widen_as::<F32>(bytes, out),
            WeightType::F16 => widen_as::<F16>(bytes, out),
            WeightType::Bf16 => widen_as::<BF16>(bytes, out),
        }
    }
    let whole = out.len() - out.len() % LANES;
    dtype.to_f32(&bytes[whole * dtype.size()..], &mut out[whole..]);
}

/// The whole groups of eight.
///
/// # Safety
/// As [`widen`].
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn widen_as<const TYPE: u8>(bytes: &[u8], out: &mut [f32]) {
    for (i, out) in out.chunks_exact_mut(LANES).enumerate() {
        // SAFETY: group `i` is whole in `out` and so in `bytes`; a prefetch may go anywhere.
        unsafe {
            let ahead = bytes.as_ptr().wrapping_add(i * LANES * bytes_of(TYPE));
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(TILE_COLUMNS * bytes.len()).cast());
            let weight = load::<TYPE>(bytes.as_ptr().add(i * LANES * bytes_of(TYPE)));
            _mm256_storeu_ps(out.as_mut_ptr(), weight);
        }
    }
}
