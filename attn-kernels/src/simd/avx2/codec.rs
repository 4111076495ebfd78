//! Stored elements to f32 in registers. FP8 has a file of its own, `fp8`.

use std::arch::x86_64::*;

use crate::cpu::order::Order;

/// A storage type, and how its elements become numbers: the quicker, the less care they ask for.
pub(super) trait Storage {
    type Plain: Codec;
    /// For tokens with subnormal codes.
    type Subnormal: Codec;
    /// For tokens with NaN codes.
    type Nan: Codec;
    /// That of all three.
    const ORDER: Order;
    /// What rows are multiplied by for `Plain`, and for the other two. See
    /// [`SideKernels`](crate::cpu::kernels::SideKernels).
    const GAINS: [f32; 2];
    const FACTOR: f32;
}

/// How elements become f32.
///
/// # Safety of its functions
/// AVX2 and F16C are present, and the 8 or 32 elements at the pointer may be read.
pub(super) trait Codec {
    /// Bytes per element.
    const SIZE: usize;

    /// 32 elements, in the storage type's order.
    #[inline(always)]
    unsafe fn quad(p: *const u8) -> [__m256; 4] {
        // SAFETY: the trait's contract.
        unsafe {
            let ([a, b], [c, d]) = (Self::half(p, false), Self::half(p, true));
            [a, b, c, d]
        }
    }
    /// The first or last two vectors of [`quad`](Self::quad).
    #[inline(always)]
    unsafe fn half(p: *const u8, last: bool) -> [__m256; 2] {
        let p = p.wrapping_add(if last { 16 * Self::SIZE } else { 0 });
        // SAFETY: the trait's contract.
        unsafe { [Self::single(p), Self::single(p.add(8 * Self::SIZE))] }
    }
    /// 8 elements in their natural order.
    unsafe fn single(p: *const u8) -> __m256;
}

pub(super) struct F32;
pub(super) struct F16;
pub(super) struct Bf16;
pub(super) struct Int8;

macro_rules! as_they_are {
    ($($name:ident)*) => {$(
        impl Storage for $name {
            type Plain = Self;
            type Subnormal = Self;
            type Nan = Self;
            const ORDER: Order = Order::Natural;
            const GAINS: [f32; 2] = [1.0; 2];
            const FACTOR: f32 = 1.0;
        }
    )*};
}

as_they_are!(F32 F16 Bf16 Int8);

impl Codec for F32 {
    const SIZE: usize = 4;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_loadu_ps(p.cast()) }
    }
}

impl Codec for F16 {
    const SIZE: usize = 2;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_cvtph_ps(_mm_loadu_si128(p.cast())) }
    }
}

impl Codec for Bf16 {
    const SIZE: usize = 2;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe {
            let x = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
            _mm256_castsi256_ps(_mm256_slli_epi32::<16>(x))
        }
    }
}

impl Codec for Int8 {
    const SIZE: usize = 1;

    #[inline(always)]
    unsafe fn single(p: *const u8) -> __m256 {
        // SAFETY: the trait's contract.
        unsafe { _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast()))) }
    }
}
