//! The tile of the matrix product for AVX2, FMA and F16C: eight lanes per accumulator, four
//! weight rows by one to three input rows, twelve accumulators at most in sixteen registers.

use super::super::WeightType;
use super::super::scalar::{LANES, TILE_COLUMNS};
use std::arch::x86_64::*;

const F32: u8 = 0;
const F16: u8 = 1;
const BF16: u8 = 2;

/// # Safety
/// AVX2, FMA and F16C; `x` holds `rows` (1 to 3) rows of `depth`, each of `w` holds `depth`
/// weights.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn tile(
    x: &[f32],
    rows: usize,
    depth: usize,
    w: [&[u8]; TILE_COLUMNS],
    dtype: WeightType,
) -> [[f32; TILE_COLUMNS]; 3] {
    let mut y = [[0.0; TILE_COLUMNS]; 3];
    // SAFETY: the caller's contract is each kernel's.
    unsafe {
        match (dtype, rows) {
            (WeightType::F32, 1) => rows_by_four::<F32, 1>(x, depth, w, &mut y),
            (WeightType::F32, 2) => rows_by_four::<F32, 2>(x, depth, w, &mut y),
            (WeightType::F32, _) => rows_by_four::<F32, 3>(x, depth, w, &mut y),
            (WeightType::F16, 1) => rows_by_four::<F16, 1>(x, depth, w, &mut y),
            (WeightType::F16, 2) => rows_by_four::<F16, 2>(x, depth, w, &mut y),
            (WeightType::F16, _) => rows_by_four::<F16, 3>(x, depth, w, &mut y),
            (WeightType::Bf16, 1) => rows_by_four::<BF16, 1>(x, depth, w, &mut y),
            (WeightType::Bf16, 2) => rows_by_four::<BF16, 2>(x, depth, w, &mut y),
            (WeightType::Bf16, _) => rows_by_four::<BF16, 3>(x, depth, w, &mut y),
        }
    }
    y
}

/// # Safety
/// As [`tile`], with `ROWS` rows in `x`.
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn rows_by_four<const TYPE: u8, const ROWS: usize>(
    x: &[f32],
    depth: usize,
    w: [&[u8]; TILE_COLUMNS],
    y: &mut [[f32; TILE_COLUMNS]; 3],
) {
    let mut sum = [[_mm256_setzero_ps(); TILE_COLUMNS]; ROWS];
    let whole = depth - depth % LANES;
    let mut k = 0;
    while k < whole {
        // SAFETY: `k + 8 <= depth`, and row `r < ROWS` of `x` and every weight row hold `depth`
        // elements; loads need no alignment.
        unsafe {
            let mut input = [_mm256_setzero_ps(); ROWS];
            for (r, input) in input.iter_mut().enumerate() {
                *input = _mm256_loadu_ps(x.as_ptr().add(r * depth + k));
            }
            for c in 0..TILE_COLUMNS {
                let weight = load::<TYPE>(w[c].as_ptr().add(k * bytes_of(TYPE)));
                for r in 0..ROWS {
                    sum[r][c] = _mm256_fmadd_ps(input[r], weight, sum[r][c]);
                }
            }
        }
        k += LANES;
    }
    if whole < depth {
        let rest = depth - whole;
        for c in 0..TILE_COLUMNS {
            let mut bytes = [0u8; LANES * 4];
            let tail = &w[c][whole * bytes_of(TYPE)..];
            bytes[..tail.len()].copy_from_slice(tail);
            // SAFETY: 32 bytes are at least eight weights of any type.
            let weight = unsafe { load::<TYPE>(bytes.as_ptr()) };
            for r in 0..ROWS {
                let mut input = [0.0; LANES];
                input[..rest].copy_from_slice(&x[r * depth + whole..][..rest]);
                // SAFETY: eight f32.
                let input = unsafe { _mm256_loadu_ps(input.as_ptr()) };
                sum[r][c] = _mm256_fmadd_ps(input, weight, sum[r][c]);
            }
        }
    }
    for (sum, y) in sum.into_iter().zip(y) {
        *y = sum_four(sum);
    }
}

const fn bytes_of(ty: u8) -> usize {
    if ty == F32 { 4 } else { 2 }
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
            F32 => _mm256_loadu_ps(p.cast()),
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
        // SAFETY: group `i` is whole in `out` and so in `bytes`.
        unsafe {
            let weight = load::<TYPE>(bytes.as_ptr().add(i * LANES * bytes_of(TYPE)));
            _mm256_storeu_ps(out.as_mut_ptr(), weight);
        }
    }
}
