//! Every conversion against the tables of ml_dtypes, bit for bit.

mod common;

use common::{f32_inputs, table};
use fp8_format::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Fp8, Overflow};
use half::{bf16, f16};

const MODES: [(&str, Overflow); 2] =
    [("nonsat", Overflow::NonSaturating), ("satfinite", Overflow::Saturate)];

/// The `satfinite` tables note an E5M2 NaN as 0x7f, where this crate, as the `nonsat` tables,
/// writes 0x7e.
fn expected<F: Fp8>(code: u8, overflow: Overflow) -> u8 {
    if F::HAS_INFINITY && overflow == Overflow::Saturate && code & 0x7f == 0x7f {
        code & !1
    } else {
        code
    }
}

fn decodes<F: Fp8>(name: &str) {
    let bytes = table(&format!("decode_{name}.u32le.xz"));
    let (words, rest) = bytes.as_chunks::<4>();
    assert_eq!((words.len(), rest.len()), (256, 0));
    for (bits, word) in (0..=255).zip(words) {
        let (code, expected) = (F::from_bits(bits), f32::from_le_bytes(*word));
        assert_eq!(code.to_f32().to_bits(), expected.to_bits(), "{name} {bits:#04x}");
        assert_eq!(code.is_nan(), expected.is_nan(), "{name} {bits:#04x}");
        // Wider formats round nothing here; f64 is checked through its exact narrowing.
        let wide = code.to_f64();
        let half = (code.to_f16(), code.to_bf16());
        if expected.is_nan() {
            let signs =
                [wide.is_sign_negative(), half.0.is_sign_negative(), half.1.is_sign_negative()];
            assert!(wide.is_nan() && half.0.is_nan() && half.1.is_nan());
            assert_eq!(signs, [expected.is_sign_negative(); 3]);
        } else {
            assert_eq!(wide.to_bits(), f64::from(expected).to_bits(), "{name} {bits:#04x}");
            assert_eq!(half.0.to_f64().to_bits(), wide.to_bits(), "{name} {bits:#04x}");
            assert_eq!(half.1.to_f64().to_bits(), wide.to_bits(), "{name} {bits:#04x}");
        }
    }
}

fn encodes<F: Fp8>(name: &str) {
    let inputs = f32_inputs();
    for (mode, overflow) in MODES {
        let codes = table(&format!("encode_f32_{name}_{mode}.u8.xz"));
        assert_eq!(codes.len(), inputs.len());
        for (&bits, &code) in inputs.iter().zip(&codes) {
            let x = f32::from_bits(bits);
            let code = expected::<F>(code, overflow);
            assert_eq!(F::from_f32(x, overflow).to_bits(), code, "{name} {mode} {bits:#010x}");
            let wide = F::from_f64(f64::from(x), overflow).to_bits();
            assert_eq!(wide, code, "{name} {mode} f64 of {bits:#010x}");
        }
        let halves = table(&format!("encode_f16_{name}_{mode}.u8.xz"));
        let bfloats = table(&format!("encode_bf16_{name}_{mode}.u8.xz"));
        assert_eq!((halves.len(), bfloats.len()), (65_536, 65_536));
        for bits in 0..=u16::MAX {
            let code = F::from_f16(f16::from_bits(bits), overflow).to_bits();
            let table = expected::<F>(halves[usize::from(bits)], overflow);
            assert_eq!(code, table, "{name} {mode} f16 {bits:#06x}");
            let code = F::from_bf16(bf16::from_bits(bits), overflow).to_bits();
            let table = expected::<F>(bfloats[usize::from(bits)], overflow);
            assert_eq!(code, table, "{name} {mode} bf16 {bits:#06x}");
        }
    }
}

#[test]
fn e4m3_is_the_table() {
    decodes::<F8E4M3>("e4m3fn");
    encodes::<F8E4M3>("e4m3fn");
}

#[test]
fn e5m2_is_the_table() {
    decodes::<F8E5M2>("e5m2");
    encodes::<F8E5M2>("e5m2");
}

#[test]
fn e4m3_fnuz_is_the_table() {
    decodes::<F8E4M3Fnuz>("e4m3fnuz");
    encodes::<F8E4M3Fnuz>("e4m3fnuz");
}

#[test]
fn e5m2_fnuz_is_the_table() {
    decodes::<F8E5M2Fnuz>("e5m2fnuz");
    encodes::<F8E5M2Fnuz>("e5m2fnuz");
}
