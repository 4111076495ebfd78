//! The approximations against the host's f64 functions: the largest error is within the ISA's bound
//! (PTX ISA 8.8, 9.7.3.8 – 9.7.3.22, 9.7.4.9, 9.7.4.10), and the special values are its tables'.

use super::super::{float_bin, float_un};
use super::Bits;
use crate::isa::{FloatBin, FloatMods, FloatUn, Num, Round};

const APPROX: FloatMods = FloatMods { approx: true, ..FloatMods::NONE };
const FTZ: FloatMods = FloatMods { ftz: true, ..APPROX };

fn un(op: FloatUn, x: f32) -> f32 {
    f32::from_bits(float_un(op, Num::F32, APPROX, x.to_bits().into()) as u32)
}

/// The distance in units of the last place of the correctly rounded result.
fn ulps(got: f32, exact: f64) -> f64 {
    let rounded = (exact as f32).abs();
    if !rounded.is_finite() || !got.is_finite() {
        return if got == exact as f32 { 0.0 } else { f64::INFINITY };
    }
    let unit = f64::from(rounded.next_up()) - f64::from(rounded);
    let unit = if unit.is_finite() { unit } else { 2f64.powi(104) };
    (f64::from(got) - f64::from(exact as f32)).abs() / unit
}

/// Every mantissa of the binade from `start`.
fn binade(start: f32) -> impl Iterator<Item = f32> {
    (0..1 << 23).map(move |i| f32::from_bits(start.to_bits() + i))
}

/// Values over all exponents.
fn positive() -> impl Iterator<Item = f32> {
    let mut bits = Bits(19);
    (0..1_000_000)
        .map(move |_| f32::from_bits((bits.next() >> 33) as u32))
        .filter(|x| x.is_finite())
}

#[test]
fn ex2() {
    let dense =
        (-1520..1300).flat_map(|i| (0..500).map(move |j| i as f32 / 10.0 + j as f32 * 2e-4));
    let worst = dense
        .chain(binade(1.0))
        .chain(binade(0.25).map(|x| -x))
        .chain(positive().map(|x| -x))
        .map(|x| ulps(un(FloatUn::Ex2, x), f64::from(x).exp2()))
        .fold(0.0, f64::max);
    assert!(worst <= 2.0, "{worst} ulp");
    let table = [
        (f32::NEG_INFINITY, 0.0),
        (-0.0, 1.0),
        (0.0, 1.0),
        (f32::INFINITY, f32::INFINITY),
        (-149.0, f32::from_bits(1)),
        (-151.0, 0.0),
        (128.0, f32::INFINITY),
        (1e30, f32::INFINITY),
        (-1e30, 0.0),
    ];
    for (x, expected) in table {
        assert_eq!(un(FloatUn::Ex2, x).to_bits(), expected.to_bits(), "{x}");
    }
    assert_eq!(un(FloatUn::Ex2, f32::NAN).to_bits(), 0x7fff_ffff);
    assert_eq!(float_un(FloatUn::Ex2, Num::F32, FTZ, (-126.5f32).to_bits().into()), 0);
    assert_eq!(float_un(FloatUn::Ex2, Num::F32, FTZ, 1), 0x3f80_0000);
}

#[test]
fn lg2() {
    // Absolute in (0.5, 2), relative outside: 2^-22.
    let near = binade(0.5).skip(1).chain(binade(1.0));
    let worst = near
        .map(|x| (f64::from(un(FloatUn::Lg2, x)) - f64::from(x).log2()).abs())
        .fold(0.0, f64::max);
    assert!(worst <= 2f64.powi(-22), "{worst}");
    let far = positive().filter(|&x| x != 0.0 && !(0.5..2.0).contains(&x));
    let worst = far
        .map(|x| (f64::from(un(FloatUn::Lg2, x)) / f64::from(x).log2() - 1.0).abs())
        .fold(0.0, f64::max);
    assert!(worst <= 2f64.powi(-22), "{worst}");
    for (x, expected) in [
        (0.0f32, f32::NEG_INFINITY),
        (-0.0, f32::NEG_INFINITY),
        (f32::INFINITY, f32::INFINITY),
        (1.0, 0.0),
        (8.0, 3.0),
        (f32::from_bits(1), -149.0),
    ] {
        assert_eq!(un(FloatUn::Lg2, x), expected, "{x}");
    }
    for x in [f32::NEG_INFINITY, -1.0, f32::NAN] {
        assert_eq!(un(FloatUn::Lg2, x).to_bits(), 0x7fff_ffff, "{x}");
    }
}

#[test]
fn roots_and_reciprocals() {
    let all = || binade(1.0).step_by(3).chain(binade(2.0).step_by(3)).chain(positive());
    let worst = |bound: f64, error: &dyn Fn(f32) -> f64| {
        let worst = all().filter(|&x| x != 0.0).map(error).fold(0.0, f64::max);
        assert!(worst <= bound, "{worst} above {bound}");
    };
    worst(1.0, &|x| ulps(un(FloatUn::Rcp, x), 1.0 / f64::from(x)));
    let relative = |got: f32, exact: f64| (f64::from(got) / exact - 1.0).abs();
    worst(2f64.powf(-22.9), &|x| relative(un(FloatUn::Rsqrt, x), 1.0 / f64::from(x).sqrt()));
    worst(2f64.powi(-23), &|x| relative(un(FloatUn::Sqrt, x), f64::from(x).sqrt()));
    let special = |op, table: &[(f32, f32)]| {
        for &(x, expected) in table {
            let got = un(op, x);
            assert!(
                got.to_bits() == expected.to_bits() || got.is_nan() && expected.is_nan(),
                "{op:?} {x}: {got}"
            );
        }
    };
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    special(FloatUn::Rcp, &[(-inf, -0.0), (-0.0, -inf), (0.0, inf), (inf, 0.0), (nan, nan)]);
    special(
        FloatUn::Rsqrt,
        &[(-inf, nan), (-1.0, nan), (-0.0, -inf), (0.0, inf), (inf, 0.0), (nan, nan)],
    );
    special(
        FloatUn::Sqrt,
        &[(-inf, nan), (-1.0, nan), (-0.0, -0.0), (0.0, 0.0), (inf, inf), (nan, nan)],
    );
    let flushed = |op, bits| float_un(op, Num::F32, FTZ, bits);
    assert_eq!(flushed(FloatUn::Rcp, 0x8000_0001), 0xff80_0000);
    assert_eq!(flushed(FloatUn::Rcp, 0x7f00_0000), 0);
    assert_eq!(flushed(FloatUn::Rsqrt, 1), 0x7f80_0000);
    assert_eq!(flushed(FloatUn::Sqrt, 0x8000_0001), 0x8000_0000);
}

#[test]
fn doubles() {
    let un = |op, mods, x: f64| f64::from_bits(float_un(op, Num::F64, mods, x.to_bits()));
    for i in 1..100_000 {
        let x = f64::from(i) * 1.234_567_891_234e-3;
        let exact = 1.0 / x.sqrt();
        assert!((un(FloatUn::Rsqrt, APPROX, x) / exact - 1.0).abs() < 2f64.powi(-51));
        let coarse = [(FloatUn::Rcp, 1.0 / x), (FloatUn::Rsqrt, exact)];
        for (op, exact) in coarse {
            let got = un(op, FTZ, x);
            assert_eq!(got.to_bits() as u32, 0, "the lower word");
            assert!((got / exact - 1.0).abs() < 2f64.powi(-18), "{op:?} {x}");
        }
    }
    let bits = |op, x: u64| float_un(op, Num::F64, FTZ, x);
    assert_eq!(bits(FloatUn::Rcp, 0x7ff8_0000_0000_0001), 0x7fff_ffff_0000_0000);
    assert_eq!(bits(FloatUn::Rcp, 0x8000_0001_0000_0000), 0xfff0_0000_0000_0000);
    assert_eq!(bits(FloatUn::Rsqrt, 0x8000_0001_0000_0000), 0xfff0_0000_0000_0000);
    assert_eq!(bits(FloatUn::Rsqrt, 0xbff0_0000_0000_0000), 0x7fff_ffff_0000_0000);
}

fn div(mods: FloatMods, a: f32, b: f32) -> f32 {
    let (a, b) = (a.to_bits().into(), b.to_bits().into());
    f32::from_bits(float_bin(FloatBin::Div, Num::F32, mods, a, b) as u32)
}

#[test]
fn divisions() {
    let full = FloatMods { full: true, ..APPROX };
    let mut bits = Bits(23);
    let (mut worst, mut worst_full) = (0.0f64, 0.0f64);
    for _ in 0..2_000_000 {
        let (a, b) = (f32::from_bits(bits.next() as u32), f32::from_bits(bits.next() as u32));
        if !a.is_finite() || !b.is_finite() || b == 0.0 {
            continue;
        }
        let exact = f64::from(a) / f64::from(b);
        worst_full = worst_full.max(ulps(div(full, a, b), exact));
        if (2f32.powi(-126)..=2f32.powi(126)).contains(&b.abs()) {
            worst = worst.max(ulps(div(APPROX, a, b), exact));
        }
    }
    assert!(worst <= 2.0 && worst_full <= 2.0, "{worst} {worst_full}");
    let huge = 2f32.powi(127);
    assert_eq!(div(APPROX, -3e38, huge).to_bits(), 0x8000_0000);
    assert_eq!(div(APPROX, 3e38, -huge).to_bits(), 0x8000_0000);
    assert!(div(APPROX, f32::INFINITY, huge).is_nan());
    assert!(div(APPROX, f32::INFINITY, f32::INFINITY).is_nan());
    assert!(div(APPROX, 1.0, f32::NAN).is_nan());
    assert_eq!(div(APPROX, 1.0, f32::INFINITY), 0.0);
    assert_eq!(div(APPROX, 1.0, 0.0), f32::INFINITY);
    assert_eq!(div(full, huge, huge), 1.0);
    assert_eq!(div(full, f32::INFINITY, huge), f32::INFINITY);
}

#[test]
fn sine_and_cosine() {
    use std::f32::consts::PI;
    let worst = |limit: f32, bound: f64| {
        for i in -1_000_000..=1_000_000 {
            let x = limit * i as f32 / 1e6;
            let sin = (f64::from(un(FloatUn::Sin, x)) - f64::from(x).sin()).abs();
            let cos = (f64::from(un(FloatUn::Cos, x)) - f64::from(x).cos()).abs();
            assert!(sin <= bound && cos <= bound, "{x}: {sin} {cos}");
        }
    };
    worst(2.0 * PI, 2f64.powf(-20.5));
    worst(100.0 * PI, 2f64.powf(-14.7));
    for x in positive() {
        assert!(un(FloatUn::Sin, x).abs() <= 1.0 && un(FloatUn::Cos, x).abs() <= 1.0, "{x}");
    }
    for x in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        assert!(un(FloatUn::Sin, x).is_nan() && un(FloatUn::Cos, x).is_nan());
    }
    assert_eq!(un(FloatUn::Sin, -0.0).to_bits(), 0x8000_0000);
    assert_eq!((un(FloatUn::Sin, 0.0), un(FloatUn::Cos, -0.0)), (0.0, 1.0));
    assert_eq!(float_un(FloatUn::Sin, Num::F32, FTZ, 0x8000_0001), 0x8000_0000);
}

#[test]
fn tanh() {
    let all = positive().chain((1..1_000_000).map(|i| i as f32 * 1e-5));
    let relative = |x: f32| (f64::from(un(FloatUn::Tanh, x)) / f64::from(x).tanh() - 1.0).abs();
    let worst = all.filter(|&x| x != 0.0).map(relative).fold(0.0, f64::max);
    assert!(worst <= 2f64.powi(-11), "{worst}");
    for (x, expected) in [
        (f32::NEG_INFINITY, -1.0),
        (-0.0, -0.0),
        (0.0, 0.0),
        (f32::INFINITY, 1.0),
        (f32::from_bits(0x8000_0001), f32::from_bits(0x8000_0001)),
    ] {
        assert_eq!(un(FloatUn::Tanh, x).to_bits(), f32::to_bits(expected), "{x}");
    }
    assert_eq!(un(FloatUn::Tanh, f32::NAN).to_bits(), 0x7fff_ffff);
}

/// Every f16 and bf16: ex2 by relative error where the result is normal (half the least subnormal
/// below), tanh by absolute error.
#[test]
fn halves() {
    let f16 = |h: u64| f64::from(half::f16::from_bits(h as u16));
    let bf16 = |h: u64| f64::from(half::bf16::from_bits(h as u16));
    type Widen = fn(u64) -> f64;
    let types: [(Num, Widen, FloatMods, f64, f64, f64, f64); 2] = [
        (Num::F16, f16, APPROX, 65504.0, 2f64.powi(-14), 2f64.powf(-9.9), 2f64.powf(-10.987)),
        (Num::Bf16, bf16, FTZ, 3.38e38, 2f64.powi(-126), 2f64.powi(-7), 2f64.powi(-8)),
    ];
    for (ty, widen, mods, largest, smallest, relative, absolute) in types {
        for h in 0..=0xffffu64 {
            let x = widen(h);
            let ex2 = float_un(FloatUn::Ex2, ty, mods, h);
            let tanh = float_un(FloatUn::Tanh, ty, FloatMods { ftz: false, ..mods }, h);
            if x.is_nan() {
                assert_eq!((ex2, tanh), (0x7fff, 0x7fff));
                continue;
            }
            assert!((widen(tanh) - x.tanh()).abs() <= absolute, "{ty:?} tanh {x}");
            let exact = x.exp2();
            if exact > largest {
                assert!(widen(ex2).is_infinite() || widen(ex2) > largest * 0.99, "{ty:?} ex2 {x}");
            } else if exact >= smallest {
                assert!((widen(ex2) / exact - 1.0).abs() <= relative, "{ty:?} ex2 {x}");
            } else {
                assert!((widen(ex2) - exact).abs() <= smallest, "{ty:?} ex2 {x}");
            }
        }
    }
    let packed = |op, ty, a| float_un(op, ty, FTZ, a);
    assert_eq!(packed(FloatUn::Ex2, Num::Bf16x2, 0x8001_4000), 0x3f80_4080);
    assert_eq!(packed(FloatUn::Tanh, Num::F16x2, 0xfc00_7c00), 0xbc00_3c00);
    let nearest = FloatMods { round: Round::Rn, ..APPROX };
    assert_eq!(float_un(FloatUn::Ex2, Num::F16, nearest, 0xfc00), 0);
}
