//! The conversions in registers, over all codes.
#![cfg(target_arch = "x86_64")]

use core::arch::x86_64::*;

use fp8_format::simd::{Isa, avx2};
use fp8_format::{Code, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Overflow, bytes_as_codes};

fn lanes(x: __m256) -> [u32; 8] {
    // SAFETY: both are 32 bytes of plain data.
    unsafe { core::mem::transmute(x) }
}

#[target_feature(enable = "avx2,f16c")]
fn check<C: Code>() {
    let bytes: Vec<u8> = (0..=255).collect();
    let codes: &[C] = bytes_as_codes(&bytes);
    let (blocks, _) = codes.as_chunks::<32>();
    for block in blocks {
        let expected = block.map(|code| code.decode().to_bits());
        let wide = avx2::decode_f32x32::<C>(avx2::load_codes_x32(block));
        assert_eq!(wide.map(lanes).as_flattened(), expected);
        let raw = avx2::raw_f32x32::<C>(avx2::load_codes_x32(block));
        let factor = _mm256_set1_ps(avx2::raw_factor::<C>());
        let scaled = raw.map(|x| lanes(_mm256_mul_ps(x, factor)));
        assert_eq!(scaled.as_flattened(), expected);

        for (half, expected) in block.as_chunks::<16>().0.iter().zip(expected.chunks(16)) {
            let codes = avx2::load_codes(half);
            let wide = avx2::decode_f32x16::<C>(codes);
            assert_eq!(wide.map(lanes).as_flattened(), expected);
            assert_eq!(lanes(avx2::decode_f32x8::<C>(codes)), expected[..8]);
            let raw = avx2::raw_f32x8::<C>(codes);
            assert_eq!(lanes(_mm256_mul_ps(raw, factor)), expected[..8]);
        }

        for overflow in [Overflow::Saturate, Overflow::NonSaturating] {
            let codes = avx2::encode_f32x32::<C>(wide, overflow);
            let mut back = *block;
            avx2::store_codes(codes, &mut back);
            let again = block.map(|code| C::encode(code.decode(), overflow));
            assert_eq!(back.map(bits), again.map(bits));
            let narrow = avx2::encode_f32x8::<C>(wide[1], overflow);
            let narrow = _mm_cvtsi128_si64(narrow).to_le_bytes();
            assert_eq!(narrow, again[8..16].iter().map(|&code| bits(code)).collect::<Vec<_>>()[..]);
        }
    }
}

fn bits<C: Code>(code: C) -> u8 {
    fp8_format::codes_as_bytes(&[code])[0]
}

#[test]
fn registers_hold_the_scalar_values() {
    if Isa::detected() < Isa::Avx2 {
        eprintln!("skipped: this processor has no AVX2");
        return;
    }
    // SAFETY: the processor has AVX2 and F16C.
    unsafe {
        check::<F8E4M3>();
        check::<F8E5M2>();
        check::<F8E4M3Fnuz>();
        check::<F8E5M2Fnuz>();
        check::<i8>();
    }
}
