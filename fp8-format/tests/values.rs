//! Constants, predicates, order and text of the four types, over all 256 codes.

use std::cmp::Ordering;
use std::num::FpCategory;
use std::panic::AssertUnwindSafe;

use fp8_format::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Fp8, Overflow, ParseError};

fn all<F: Fp8>() -> impl Iterator<Item = F> + Clone {
    (0..=255).map(F::from_bits)
}

/// Calls a generic function for each of the four types.
macro_rules! for_each_fp8 {
    ($f:ident) => {
        $f::<F8E4M3>();
        $f::<F8E5M2>();
        $f::<F8E4M3Fnuz>();
        $f::<F8E5M2Fnuz>();
    };
}

#[test]
fn constants_are_those_of_the_specifications() {
    // max, min normal, min subnormal, epsilon: OCP OFP8 1.0, table 1, and the FNUZ paper.
    let two = f32::exp2;
    assert_eq!((F8E4M3::MAX, F8E4M3::MIN, F8E4M3::EPSILON), (448.0, -448.0, 0.125));
    assert_eq!((F8E4M3::MIN_POSITIVE, F8E4M3::MIN_POSITIVE_SUBNORMAL), (two(-6.0), two(-9.0)));
    assert_eq!((F8E5M2::MAX, F8E5M2::MIN, F8E5M2::EPSILON), (57344.0, -57344.0, 0.25));
    assert_eq!((F8E5M2::MIN_POSITIVE, F8E5M2::MIN_POSITIVE_SUBNORMAL), (two(-14.0), two(-16.0)));
    assert_eq!((F8E4M3Fnuz::MAX, F8E4M3Fnuz::EPSILON), (240.0, 0.125));
    assert_eq!(
        (F8E4M3Fnuz::MIN_POSITIVE, F8E4M3Fnuz::MIN_POSITIVE_SUBNORMAL),
        (two(-7.0), two(-10.0))
    );
    assert_eq!((F8E5M2Fnuz::MAX, F8E5M2Fnuz::EPSILON), (57344.0, 0.25));
    assert_eq!(
        (F8E5M2Fnuz::MIN_POSITIVE, F8E5M2Fnuz::MIN_POSITIVE_SUBNORMAL),
        (two(-15.0), two(-17.0))
    );
    // frexp's exponents, as in std.
    assert_eq!((F8E4M3::MAX_EXP, F8E4M3::MIN_EXP), (9, -5));
    assert_eq!((F8E5M2::MAX_EXP, F8E5M2::MIN_EXP), (16, -13));
    assert_eq!((F8E4M3Fnuz::MAX_EXP, F8E4M3Fnuz::MIN_EXP), (8, -6));
    assert_eq!((F8E5M2Fnuz::MAX_EXP, F8E5M2Fnuz::MIN_EXP), (16, -14));
    assert_eq!((F8E4M3::MAX_10_EXP, F8E4M3::MIN_10_EXP), (2, -1));
    assert_eq!((F8E5M2::MAX_10_EXP, F8E5M2::MIN_10_EXP), (4, -4));
    assert_eq!((F8E4M3::MANTISSA_DIGITS, F8E5M2::MANTISSA_DIGITS, F8E4M3::DIGITS), (4, 3, 0));
    assert_eq!(F8E5M2::INFINITY.to_f32(), f32::INFINITY);
    assert_eq!(F8E5M2::NEG_INFINITY.to_f32(), f32::NEG_INFINITY);
}

fn constants_agree_with_the_codes<F: Fp8>() {
    let finite = || all::<F>().filter(|x| x.is_finite()).map(Fp8::to_f32);
    assert_eq!(finite().fold(0.0, f32::max), F::MAX);
    assert_eq!(finite().fold(0.0, f32::min), F::MIN);
    let positive = |x: &f32| *x > 0.0;
    assert_eq!(finite().filter(positive).fold(1.0, f32::min), F::MIN_POSITIVE_SUBNORMAL);
    assert_eq!(finite().filter(|x| *x > 1.0).fold(2.0, f32::min), 1.0 + F::EPSILON);
    assert_eq!((F::ZERO.to_bits(), F::ONE.to_f32(), F::NAN.is_nan()), (0, 1.0, true));
    assert_eq!(all::<F>().any(Fp8::is_infinite), F::HAS_INFINITY);
    assert_eq!(F::default().to_bits(), 0);
}

fn predicates_agree_with_the_value<F: Fp8>() {
    for code in all::<F>() {
        let x = code.to_f32();
        assert_eq!(code.is_nan(), x.is_nan());
        assert_eq!(code.is_infinite(), x.is_infinite());
        assert_eq!(code.is_finite(), x.is_finite());
        let magnitude = x.abs();
        assert_eq!(code.is_subnormal(), magnitude > 0.0 && magnitude < F::MIN_POSITIVE);
        assert_eq!(code.is_normal(), magnitude.is_finite() && magnitude >= F::MIN_POSITIVE);
        assert_eq!(code.is_sign_negative(), x.is_sign_negative());
        assert_eq!(code.is_sign_positive(), x.is_sign_positive());
        let category = match magnitude {
            _ if code.is_subnormal() => FpCategory::Subnormal,
            _ => x.classify(),
        };
        assert_eq!(code.classify(), category);
        if !code.is_nan() {
            assert_eq!(code.abs().to_f32(), magnitude);
        }
    }
}

fn comparisons_agree_with_the_value<F: Fp8>() {
    for a in all::<F>() {
        for b in all::<F>() {
            let (x, y) = (a.to_f32(), b.to_f32());
            assert_eq!(a == b, x == y);
            assert_eq!(a.partial_cmp(&b), x.partial_cmp(&y));
            if a.is_nan() && b.is_nan() {
                // Several NaN codes decode to the same `f32`: they are ordered by their bits.
                let same = a.to_bits() == b.to_bits();
                assert_eq!(a.total_cmp(&b) == Ordering::Equal, same);
                assert_eq!(a.total_cmp(&b), b.total_cmp(&a).reverse());
            } else {
                assert_eq!(a.total_cmp(&b), x.total_cmp(&y), "{a} {b}");
            }
        }
    }
}

/// What picks one of its arguments does as `f32` does.
fn selections_agree_with_the_value<F: Fp8>() {
    let same = |code: F, x: f32| (code.is_nan() && x.is_nan()) || code.to_f32() == x;
    for a in all::<F>() {
        for b in all::<F>() {
            let (x, y) = (a.to_f32(), b.to_f32());
            assert!(same(a.max(b), x.max(y)), "max {a} {b}");
            assert!(same(a.min(b), x.min(y)), "min {a} {b}");
            let signed = a.copysign(b);
            assert!(same(signed, x.copysign(y)), "{a} with the sign of {b}");
            // The zero and the NaN of FNUZ have no sign.
            if !F::ZERO.copysign(F::from_f32(-1.0, Overflow::Saturate)).is_sign_positive()
                || !(a.is_nan() || x == 0.0)
            {
                assert_eq!(signed.is_sign_negative(), b.is_sign_negative(), "{a} {b}");
            }
            let (low, high) = if x <= y { (a, b) } else { (b, a) };
            if !x.is_nan() && !y.is_nan() && b.to_bits() % 5 == 0 {
                for code in all::<F>() {
                    let clamped = code.to_f32().clamp(low.to_f32(), high.to_f32());
                    assert!(same(code.clamp(low, high), clamped), "{code} in {low}..={high}");
                }
            }
        }
    }
    for (low, high) in [(F::ONE, F::ZERO), (F::NAN, F::ONE), (F::ZERO, F::NAN)] {
        let clamped = AssertUnwindSafe(|| F::ONE.clamp(low, high).to_bits());
        assert!(std::panic::catch_unwind(clamped).is_err());
    }
}

fn text_is_read_back<F: Fp8 + std::str::FromStr<Err = ParseError> + std::fmt::UpperExp>() {
    for code in all::<F>() {
        let x = code.to_f32();
        let texts = [format!("{code}"), format!("{code:?}"), format!("{code:e}")];
        assert_eq!(texts, [format!("{x}"), format!("{x:?}"), format!("{x:e}")]);
        for text in texts.into_iter().chain([format!("{code:E}"), format!("{code:.30}")]) {
            let back: F = text.parse().unwrap();
            let same = back.to_bits() == code.to_bits();
            assert!(same || (back.is_nan() && code.is_nan()), "{text}");
        }
    }
}

/// Midpoints, written out and then touched far beyond the digits of an `f64`.
fn text_is_rounded_once<F: Fp8 + std::str::FromStr<Err = ParseError>>() {
    let mut codes: Vec<F> = all::<F>().filter(|x| x.is_finite()).collect();
    codes.sort_by(F::total_cmp);
    for pair in codes.windows(2).filter(|pair| pair[0] != pair[1]) {
        let (low, high) = (pair[0], pair[1]);
        let midpoint = (low.to_f64() + high.to_f64()) / 2.0;
        let written = format!("{midpoint:.40}");
        let even = if low.to_bits() & 1 == 0 { low } else { high };
        let parse = |text: &str| text.parse::<F>().unwrap();
        assert_eq!(parse(&written), even, "{written}");
        assert_eq!(parse(&format!("{midpoint:e}")), even, "{midpoint:e}");
        let outward = format!("{written}000000001");
        assert_eq!(parse(&outward), if midpoint > 0.0 { high } else { low }, "{outward}");
        // One less in the last of 60 places.
        let inward = decrement(&format!("{midpoint:.60}"));
        assert_eq!(parse(&inward), if midpoint > 0.0 { low } else { high }, "{inward}");
        let shifted = format!("{}e1", parse_shift(&outward));
        assert_eq!(parse(&shifted), parse(&outward), "{shifted}");
    }
}

/// A decimal number that is one smaller in its last place. It must not be zero.
fn decrement(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for byte in bytes.iter_mut().rev().filter(|byte| byte.is_ascii_digit()) {
        if *byte == b'0' {
            *byte = b'9';
        } else {
            *byte -= 1;
            break;
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// The text of a tenth of a number.
fn parse_shift(text: &str) -> String {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text),
    };
    let point = digits.find('.').unwrap();
    let digits = format!("00{}", digits.replace('.', ""));
    format!("{sign}{}.{}", &digits[..point + 1], &digits[point + 1..])
}

#[test]
fn every_code_agrees_with_its_value() {
    for_each_fp8!(constants_agree_with_the_codes);
    for_each_fp8!(predicates_agree_with_the_value);
    for_each_fp8!(comparisons_agree_with_the_value);
    for_each_fp8!(selections_agree_with_the_value);
}

#[test]
fn text_goes_both_ways() {
    for_each_fp8!(text_is_read_back);
    for_each_fp8!(text_is_rounded_once);
    assert_eq!(format!("{:08b} {:#x}", F8E4M3::ONE, F8E4M3::NAN), "00111000 0x7f");
    assert_eq!(format!("{:>6.1}|", F8E4M3::ONE), "   1.0|");
}

#[test]
fn text_out_of_range_is_an_error() {
    assert_eq!("464".parse(), Ok(F8E4M3::MAX_CODE));
    let error = "464.00000000000000000000000000001".parse::<F8E4M3>().unwrap_err();
    assert_eq!(error.to_string(), "number out of range of fp8_e4m3, which reaches ±448");
    for text in ["465", "-1e400", "inf", "-infinity"] {
        assert!(matches!(text.parse::<F8E4M3>(), Err(ParseError::OutOfRange { .. })), "{text}");
    }
    for text in ["61440", "1e400"] {
        assert!(matches!(text.parse::<F8E5M2>(), Err(ParseError::OutOfRange { .. })), "{text}");
    }
    assert_eq!("inf".parse(), Ok(F8E5M2::INFINITY));
    assert_eq!("-inf".parse(), Ok(F8E5M2::NEG_INFINITY));
    assert!("nan".parse::<F8E4M3Fnuz>().unwrap().is_nan());
    for text in ["", "x", "1.2.3", "0x10", "1e", " 1"] {
        assert_eq!(text.parse::<F8E4M3>(), Err(ParseError::Invalid), "{text:?}");
    }
    assert_eq!("1e-999999999999".parse(), Ok(F8E4M3::ZERO));
}

#[test]
fn consts_are_const() {
    const CODE: F8E4M3 = F8E4M3::from_f32(1.06, Overflow::Saturate);
    const VALUE: f32 = CODE.to_f32();
    const EQUAL: bool = matches!(CODE.total_cmp(&F8E4M3::ONE), Ordering::Equal);
    assert_eq!((VALUE, EQUAL), (1.0, true));
}
