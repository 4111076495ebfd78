//! Conversions among the one-byte types, and from `f64`.

use fp8_format::{Code, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, F8E8M0, Fp8, Overflow};
use proptest::prelude::*;

const MODES: [Overflow; 2] = [Overflow::Saturate, Overflow::NonSaturating];

/// The nearest of all codes by exhaustive search, ties to the even one: exact in `f64`, because
/// the arguments have few bits.
fn nearest<F: Fp8>(x: f64) -> F {
    let codes = (0..=255).map(F::from_bits).filter(|code| code.is_finite());
    codes
        .min_by(|a, b| {
            let distance = |code: &F| (code.to_f64() - x).abs();
            let odd = |code: &F| code.to_bits() & 1;
            distance(a).total_cmp(&distance(b)).then(odd(a).cmp(&odd(b)))
        })
        .expect("some code is finite")
}

fn converts<F: Fp8, G: Fp8>() {
    for code in (0..=255).map(F::from_bits) {
        for overflow in MODES {
            let to: G = code.convert(overflow);
            if code.is_nan() {
                assert!(to.is_nan());
            } else if code.to_f64().abs() <= f64::from(G::MAX) {
                assert_eq!(to, nearest::<G>(code.to_f64()), "{code}");
            } else if overflow == Overflow::Saturate {
                assert_eq!(to.to_f32(), G::MAX.copysign(code.to_f32()), "{code}");
            }
            // Beyond the range, not saturating, is the f32 table's affair.
        }
    }
}

#[test]
fn formats_convert_to_the_nearest() {
    converts::<F8E4M3, F8E5M2>();
    converts::<F8E4M3, F8E4M3Fnuz>();
    converts::<F8E5M2, F8E4M3>();
    converts::<F8E5M2, F8E5M2Fnuz>();
    converts::<F8E4M3Fnuz, F8E4M3>();
    converts::<F8E5M2Fnuz, F8E5M2>();
    converts::<F8E5M2Fnuz, F8E4M3>();
}

#[test]
fn reinterpretation_keeps_bits_and_halves_values() {
    for bits in 0..=255 {
        let ocp = F8E4M3::from_bits(bits);
        let fnuz = ocp.halve_to_fnuz(Overflow::Saturate);
        match bits {
            0x80 => assert_eq!(fnuz.to_bits(), 0),
            0x7f | 0xff => assert!(fnuz.is_nan()),
            _ => {
                assert_eq!(fnuz.to_bits(), bits);
                assert_eq!(fnuz.to_f32() * 2.0, ocp.to_f32());
                assert_eq!(fnuz.double_to_ocp(Overflow::Saturate).to_bits(), bits);
            }
        }
        let ocp = F8E5M2::from_bits(bits);
        let fnuz = ocp.halve_to_fnuz(Overflow::NonSaturating);
        match bits {
            0x80 => assert_eq!(fnuz.to_bits(), 0),
            _ if !ocp.is_finite() => assert!(fnuz.is_nan()),
            _ => {
                assert_eq!(fnuz.to_bits(), bits);
                assert_eq!(fnuz.to_f32() * 2.0, ocp.to_f32());
                assert_eq!(fnuz.double_to_ocp(Overflow::Saturate).to_bits(), bits);
            }
        }
    }
    let largest = F8E4M3Fnuz::MAX_CODE;
    assert_eq!(largest.double_to_ocp(Overflow::Saturate), F8E4M3::MAX_CODE);
    assert!(largest.double_to_ocp(Overflow::NonSaturating).is_nan());
    assert!(F8E4M3Fnuz::NAN.double_to_ocp(Overflow::Saturate).is_nan());
    let largest = F8E5M2Fnuz::MIN_CODE;
    assert_eq!(largest.double_to_ocp(Overflow::Saturate), F8E5M2::MIN_CODE);
    assert_eq!(largest.double_to_ocp(Overflow::NonSaturating), F8E5M2::NEG_INFINITY);
    let infinity = F8E5M2::INFINITY;
    assert_eq!(infinity.halve_to_fnuz(Overflow::Saturate), F8E5M2Fnuz::MAX_CODE);
}

#[test]
fn int8_is_symmetric() {
    for (x, code) in [
        (0.5, 0),
        (1.5, 2),
        (2.5, 2),
        (-0.5, 0),
        (-1.5, -2),
        (126.5, 126),
        (127.5, 127),
        (1e30, 127),
        (-127.4, -127),
        (-128.0, -127),
        (f32::NEG_INFINITY, -127),
        (f32::NAN, 0),
    ] {
        assert_eq!(<i8 as Code>::encode(x, Overflow::Saturate), code, "{x}");
    }
}

#[test]
fn e8m0_is_a_power_of_two() {
    for bits in 0..255_u8 {
        let scale = F8E8M0::from_bits(bits);
        let value = scale.to_f32();
        assert_eq!(f64::from(value), 2_f64.powi(i32::from(bits) - 127));
        let round = [F8E8M0::from_f32, F8E8M0::from_f32_floor, F8E8M0::from_f32_ceil];
        assert_eq!(round.map(|f| f(value).to_bits()), [bits; 3]);
        let next = (bits + 1).min(254);
        let just_above = value.next_up();
        assert_eq!(round.map(|f| f(just_above).to_bits()), [bits, bits, next]);
        let halfway = value * 1.5;
        let even = if bits % 2 == 0 { bits } else { next };
        assert_eq!(round.map(|f| f(halfway).to_bits()), [even, bits, next]);
        assert_eq!(F8E8M0::from_f32(halfway.next_up()).to_bits(), next);
        assert_eq!(F8E8M0::from_f32(halfway.next_down()).to_bits(), bits);
    }
    for x in [-1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::from_bits(1)] {
        assert!(F8E8M0::from_f32(x).is_nan() && F8E8M0::from_f32_ceil(x).is_nan(), "{x}");
    }
    assert_eq!([0.0, -0.0, f32::from_bits(1)].map(|x| F8E8M0::from_f32(x).to_bits()), [0; 3]);
    assert_eq!((F8E8M0::MIN, F8E8M0::MAX), (2_f32.powi(-127), 2_f32.powi(127)));
    assert!(F8E8M0::NAN != F8E8M0::NAN && F8E8M0::NAN.to_f32().is_nan());
    assert_eq!(format!("{} {:?}", F8E8M0::ONE, F8E8M0::ONE), "1 1.0");
}

/// `f64` rounds once: nudging a midpoint below the precision of `f32` must show.
fn f64_is_rounded_once<F: Fp8>() {
    for bits in 0..0x78 {
        let (low, high) = (F::from_bits(bits), F::from_bits(bits + 1));
        let midpoint = (low.to_f64() + high.to_f64()) / 2.0;
        let from = |x| F::from_f64(x, Overflow::Saturate).to_bits();
        assert_eq!(from(midpoint), bits + (bits & 1));
        assert_eq!(from(midpoint.next_up()), bits + 1);
        assert_eq!(from(midpoint.next_down()), bits);
        assert_eq!(from(-midpoint.next_up()), (bits + 1) | 0x80);
    }
}

#[test]
fn f64_never_goes_through_f32() {
    f64_is_rounded_once::<F8E4M3>();
    f64_is_rounded_once::<F8E5M2>();
    f64_is_rounded_once::<F8E4M3Fnuz>();
    f64_is_rounded_once::<F8E5M2Fnuz>();
    let extremes = [f64::MAX, f64::INFINITY, -f64::MIN_POSITIVE, f64::from_bits(1)];
    let codes = extremes.map(|x| F8E4M3::from_f64(x, Overflow::Saturate).to_bits());
    assert_eq!(codes, [0x7e, 0x7e, 0x80, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_f64_goes_to_the_nearest(bits in any::<u64>(), exponent in 1000_u64..1040) {
        let x = f64::from_bits(bits & !(0x7ff << 52) | exponent << 52);
        if x.abs() <= f64::from(F8E4M3::MAX) {
            // Distances are exact in f64 only for x of few bits; compare where they are distinct.
            let code = F8E4M3::from_f64(x, Overflow::Saturate);
            let best = nearest::<F8E4M3>(x);
            let distance = |code: F8E4M3| (code.to_f64() - x).abs();
            prop_assert_eq!(distance(code), distance(best));
        }
    }
}
