//! The slice functions, on whatever instruction set they chose, against the scalar conversions.

mod common;

use common::f32_inputs;
use fp8_format::{
    Code, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Overflow, Source, absmax, decode_slice,
    encode_slice, try_encode_slice_with,
};
use half::{bf16, f16};

const SCALES: [f32; 9] =
    [1.0, 0.5, 0.037, 3.0, 1e-6, 448.0, f32::MIN_POSITIVE / 8.0, 1e38, f32::MAX];
const MODES: [Overflow; 2] = [Overflow::Saturate, Overflow::NonSaturating];

/// Calls a generic function for each code type.
macro_rules! for_each_code {
    ($f:ident::<_ $(, $s:ty)?>($($arg:expr),*)) => {
        $f::<F8E4M3 $(, $s)?>($($arg),*);
        $f::<F8E5M2 $(, $s)?>($($arg),*);
        $f::<F8E4M3Fnuz $(, $s)?>($($arg),*);
        $f::<F8E5M2Fnuz $(, $s)?>($($arg),*);
        $f::<i8 $(, $s)?>($($arg),*);
    };
}

fn byte<C: Code>(code: C) -> u8 {
    // SAFETY: a code is one byte.
    unsafe { std::mem::transmute_copy(&code) }
}

fn code<C: Code>(byte: u8) -> C {
    // SAFETY: a code is one byte of which every pattern is valid.
    unsafe { std::mem::transmute_copy(&byte) }
}

/// The quotient as the slice functions define it: a NaN keeps its sign.
fn quotient(x: f32, scale: f32) -> f32 {
    (x / scale).copysign(x)
}

fn encodes_as_scalar<C: Code, S: Source>(src: &[S], scale: f32) {
    for overflow in MODES {
        let mut dst = vec![code::<C>(0xaa); src.len()];
        try_encode_slice_with(src, scale, overflow, &mut dst).unwrap();
        for (x, got) in src.iter().zip(dst) {
            let x = x.to_f32();
            let expected = C::encode(quotient(x, scale), overflow);
            assert_eq!(
                byte(got),
                byte(expected),
                "{} {overflow:?} {x:e} ({:#x}) / {scale:e}",
                C::ELEMENT_TYPE,
                x.to_bits()
            );
        }
    }
}

#[test]
fn every_f32_of_the_table_encodes_as_scalar() {
    let inputs: Vec<f32> = f32_inputs().into_iter().map(f32::from_bits).collect();
    for_each_code!(encodes_as_scalar::<_, f32>(&inputs, 1.0));
    for_each_code!(encodes_as_scalar::<_, f32>(&inputs, 0.037));
}

#[test]
fn every_half_encodes_as_scalar() {
    let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
    let bfloats: Vec<bf16> = (0..=u16::MAX).map(bf16::from_bits).collect();
    for scale in SCALES {
        for_each_code!(encodes_as_scalar::<_, f16>(&halves, scale));
        for_each_code!(encodes_as_scalar::<_, bf16>(&bfloats, scale));
    }
}

/// NaN payloads of 16-bit types are not compared where a NaN only passes through.
fn same<S: Source>(a: S, b: S) -> bool {
    a.to_f32().to_bits() == b.to_f32().to_bits()
}

fn decodes_as_scalar<C: Code, D: Source>() {
    let codes: Vec<C> = (0..=255).map(code::<C>).collect();
    for scale in SCALES {
        let mut dst = vec![D::from_f32(7.0); 256];
        decode_slice(&codes, scale, &mut dst);
        for (bits, got) in (0..=255u8).zip(dst) {
            let value = code::<C>(bits).decode();
            let expected = D::from_f32(if value.is_nan() { value } else { value * scale });
            assert!(same(got, expected), "{} {bits:#04x} × {scale:e}", C::ELEMENT_TYPE);
        }
    }
}

#[test]
fn every_code_decodes_as_scalar() {
    for_each_code!(decodes_as_scalar::<_, f32>());
    for_each_code!(decodes_as_scalar::<_, f16>());
    for_each_code!(decodes_as_scalar::<_, bf16>());
}

/// Every length and alignment, with guards around the destination.
fn every_place<C: Code, S: Source>(scale: f32) {
    const GUARD: u8 = 0x5a;
    let pool: Vec<S> =
        (0..256).map(|i| S::from_f32(((i * 37) % 101) as f32 * 9.5 - 450.0)).collect();
    for len in 0..129 {
        for start in [0, 1, 2, 3, 5, 8, 13, 31] {
            let src = &pool[start..start + len];
            let mut dst = vec![code::<C>(GUARD); len + 64];
            let into = &mut dst[start..start + len];
            try_encode_slice_with(src, scale, Overflow::Saturate, into).unwrap();
            for (i, &got) in dst.iter().enumerate() {
                let expected = match i.checked_sub(start) {
                    Some(i) if i < len => {
                        byte(C::encode(quotient(src[i].to_f32(), scale), Overflow::Saturate))
                    }
                    _ => GUARD,
                };
                assert_eq!(byte(got), expected, "{} len {len} start {start}", C::ELEMENT_TYPE);
            }

            let mut back = vec![S::from_f32(7.0); len + 64];
            decode_slice(&dst[start..start + len], scale, &mut back[start..start + len]);
            for (i, &got) in back.iter().enumerate() {
                let inside = (start..start + len).contains(&i);
                let value = if inside { dst[i].decode() * scale } else { 7.0 };
                assert!(same(got, S::from_f32(value)), "len {len} start {start} at {i}");
            }
        }
    }
}

#[test]
fn every_length_and_alignment_stays_in_place() {
    for_each_code!(every_place::<_, f32>(1.0));
    for_each_code!(every_place::<_, f32>(0.37));
    for_each_code!(every_place::<_, f16>(0.37));
    for_each_code!(every_place::<_, bf16>(1.0));
}

fn finds_the_largest<S: Source>() {
    for len in 0..200 {
        let mut data: Vec<S> =
            (0..len).map(|i| S::from_f32(((i * 29) % 61) as f32 * -0.25)).collect();
        let expected = data.iter().map(|x| x.to_f32().abs()).fold(0.0, f32::max);
        assert_eq!(absmax(&data), expected, "len {len}");
        for at in 0..len {
            let before = data[at];
            data[at] = S::from_f32(-100.0);
            assert_eq!(absmax(&data), 100.0, "len {len} at {at}");
            data[at] = S::from_f32(f32::NEG_INFINITY);
            assert_eq!(absmax(&data), f32::INFINITY, "len {len} at {at}");
            data[(at + 7) % len] = S::from_f32(f32::NAN.copysign(-1.0));
            assert!(absmax(&data).is_nan(), "len {len} at {at}");
            data[(at + 7) % len] = before;
            data[at] = before;
        }
    }
}

#[test]
fn absmax_finds_the_largest_anywhere() {
    finds_the_largest::<f32>();
    finds_the_largest::<f16>();
    finds_the_largest::<bf16>();
    let tiny = [f32::from_bits(1), -f32::from_bits(3)];
    assert_eq!(absmax(&tiny), f32::from_bits(3));
}

/// A destination beyond 32 MiB is written another way.
fn decodes_much<D: Source + PartialEq>() {
    let len = (32 << 20) / size_of::<D>() + 77;
    let codes: Vec<F8E4M3> = (0..len).map(|i| code((i % 251 % 127) as u8)).collect();
    let mut pool = vec![D::from_f32(7.0); len + 8];
    for start in [0, 1, 5] {
        decode_slice(&codes, 0.37, &mut pool[start..start + len]);
        for (i, &got) in pool[start..start + len].iter().enumerate() {
            assert!(got == D::from_f32(codes[i].to_f32() * 0.37), "start {start} at {i}");
        }
        assert!(pool[start + len..].iter().all(|&x| x == D::from_f32(7.0)));
        pool.fill(D::from_f32(7.0));
    }
}

/// The codes of a source beyond 32 MiB are written another way.
#[test]
fn much_encodes_past_the_caches() {
    let len = (32 << 20) / size_of::<f32>() + 333;
    let src: Vec<f32> = (0..len).map(|i| (i * 7919 % 100_003) as f32 * 0.01 - 500.0).collect();
    let mut pool = vec![F8E4M3::ONE; len + 65];
    for (start, scale) in [(0, 1.0), (1, 0.37), (63, 0.37)] {
        encode_slice(&src, scale, &mut pool[start..start + len]);
        for (i, got) in pool[start..start + len].iter().enumerate() {
            let wanted = F8E4M3::from_f32(src[i] / scale, Overflow::Saturate);
            assert!(got.to_bits() == wanted.to_bits(), "start {start} at {i}");
        }
        assert!(pool[start + len..].iter().all(|x| x.to_bits() == F8E4M3::ONE.to_bits()));
        pool.fill(F8E4M3::ONE);
    }
}

fn encodes_much<S: Source>() {
    let len = (8 << 20) / size_of::<S>() + 77;
    let mut src: Vec<S> =
        (0..len).map(|i| S::from_f32((i * 7919 % 100_003) as f32 * 0.01 - 500.0)).collect();
    encodes_as_scalar::<F8E4M3, S>(&src, 0.37);
    encodes_as_scalar::<F8E5M2, S>(&src, 1.0);
    for at in [0, len / 8, len / 2, len - 100, len - 1] {
        let before = std::mem::replace(&mut src[at], S::from_f32(-1024.0));
        assert_eq!(absmax(&src), 1024.0);
        src[at] = S::from_f32(f32::NAN);
        assert!(absmax(&src).is_nan());
        src[at] = before;
    }
}

#[test]
fn large_slices_encode_as_scalar() {
    encodes_much::<f32>();
    encodes_much::<f16>();
    encodes_much::<bf16>();
}

#[test]
fn large_slices_decode_as_scalar() {
    decodes_much::<f32>();
    decodes_much::<f16>();
    decodes_much::<bf16>();
}
