//! Arithmetic in every type and rounding against [`super::exact`].

use super::super::format::F16;
use super::super::real::Real;
use super::super::{compare, float_bin, float_ter, float_un, testp};
use super::exact::{Exact, layout};
use super::{Bits, rounded};
use crate::isa::{Cmp, FloatBin, FloatMods, FloatTer, FloatUn, Num, Round};

const TYPES: [Num; 4] = [Num::F16, Num::Bf16, Num::F32, Num::F64];
const ROUNDS: [Round; 4] = [Round::Rn, Round::Rz, Round::Rm, Round::Rp];

/// The magnitude of infinity.
fn infinity(ty: Num) -> u64 {
    let (exp_bits, man_bits) = layout(ty);
    ((1 << exp_bits) - 1) << man_bits
}

fn top(ty: Num) -> u64 {
    let (exp_bits, man_bits) = layout(ty);
    1 << (exp_bits + man_bits)
}

fn finite(ty: Num, bits: u64) -> bool {
    bits & (top(ty) - 1) < infinity(ty)
}

fn is_nan(ty: Num, bits: u64) -> bool {
    bits & (top(ty) - 1) > infinity(ty)
}

/// Finite operands that meet each other: extremes, subnormals, near-cancelling pairs, few bits, ties.
fn operands(ty: Num, bits: &mut Bits) -> [u64; 3] {
    let (exp_bits, man_bits) = layout(ty);
    let one = ((1u64 << (exp_bits - 1)) - 1) << man_bits;
    let near = bits.next() % (1 << exp_bits);
    std::array::from_fn(|_| {
        let fraction = match bits.next() % 4 {
            0 => bits.next() & ((1 << man_bits) - 1),
            1 => (bits.next() % 4) << (man_bits - 1) & ((1 << man_bits) - 1),
            2 => bits.next() % 3,
            _ => ((1 << man_bits) - 1) - bits.next() % 3,
        };
        let field = match bits.next() % 6 {
            0 => bits.next() % (1 << exp_bits),
            1 => 0,
            2 => (1 << exp_bits) - 2,
            3 => (one >> man_bits) + bits.next() % 5 - 2,
            _ => near.saturating_add(bits.next() % 5).min((1 << exp_bits) - 2),
        };
        let sign = bits.next() & 1;
        let magnitude = (field << man_bits | fraction).min(infinity(ty) - 1);
        (sign * top(ty)) | magnitude
    })
}

/// Asserts a result of finite operands; `zero` is the sign of an exact zero.
fn check(exact: &Exact, ty: Num, round: Round, got: u64, zero: bool, what: &str) {
    if exact.is_zero() {
        assert_eq!(got, if zero { top(ty) } else { 0 }, "{what} {ty:?} {round:?}");
    } else {
        exact.assert_rounded(ty, round, got, infinity(ty) - 1, what);
    }
}

fn negative(ty: Num, bits: u64) -> bool {
    bits & top(ty) != 0
}

/// The sign of an exactly zero sum (IEEE 754, 6.3).
fn zero_sum(ty: Num, a: u64, b: u64, round: Round) -> bool {
    let (a, b) = (negative(ty, a), negative(ty, b));
    if a == b { a } else { round == Round::Rm }
}

#[test]
fn operations_round_right() {
    let mut bits = Bits(7);
    for ty in TYPES {
        for _ in 0..20_000 {
            let [a, b, c] = operands(ty, &mut bits);
            let one = (infinity(ty) / 2) & !((1 << layout(ty).1) - 1);
            for round in ROUNDS {
                let mods = rounded(round);
                let what = |op: &str| format!("{op} {a:#x} {b:#x} {c:#x}");
                let sign = negative(ty, a) != negative(ty, b);
                let got = float_bin(FloatBin::Add, ty, mods, a, b);
                let zero = zero_sum(ty, a, b, round);
                check(&Exact::fma(ty, a, one, b), ty, round, got, zero, &what("add"));
                let got = float_bin(FloatBin::Sub, ty, mods, a, b);
                let zero = zero_sum(ty, a, b ^ top(ty), round);
                check(&Exact::fma(ty, a, one, b ^ top(ty)), ty, round, got, zero, &what("sub"));
                let got = float_bin(FloatBin::Mul, ty, mods, a, b);
                check(&Exact::fma(ty, a, b, 0), ty, round, got, sign, &what("mul"));
                let got = float_ter(FloatTer::Fma, ty, mods, a, b, c);
                let product = if sign { top(ty) } else { 0 };
                let zero = zero_sum(ty, product, c, round);
                check(&Exact::fma(ty, a, b, c), ty, round, got, zero, &what("fma"));
                if b & (top(ty) - 1) != 0 {
                    let got = float_bin(FloatBin::Div, ty, mods, a, b);
                    check(&Exact::div(ty, a, b), ty, round, got, sign, &what("div"));
                    let got = float_un(FloatUn::Rcp, ty, mods, b);
                    check(&Exact::div(ty, one, b), ty, round, got, false, &what("rcp"));
                }
                if !negative(ty, a) {
                    let got = float_un(FloatUn::Sqrt, ty, mods, a);
                    check(&Exact::sqrt(ty, a), ty, round, got, false, &what("sqrt"));
                }
            }
        }
    }
}

/// A significand of 128 bits far below the last place: only the half that it makes counts.
#[test]
fn far_below_the_last_place() {
    let pack = |sig| {
        // 2^-24 is the last place of f16: `exp` puts it 128 bits above the significand's.
        let tiny = Real::Num { neg: false, exp: -24 - 128, sig, sticky: false };
        tiny.pack(&F16, Round::Rn, false)
    };
    assert_eq!((pack(1 << 127), pack((1 << 127) + 1), pack((1 << 127) - 1)), (0, 1, 0));
}

/// Widens a value of a type exactly, for the host's opinion on infinities and NaNs.
fn host(ty: Num, bits: u64) -> f64 {
    match ty {
        Num::F16 => half::f16::from_bits(bits as u16).into(),
        Num::Bf16 => half::bf16::from_bits(bits as u16).into(),
        Num::F32 => f32::from_bits(bits as u32).into(),
        _ => f64::from_bits(bits),
    }
}

/// Infinities, NaNs and division by zero as IEEE 754 says, in every rounding.
#[test]
fn special_values() {
    for ty in TYPES {
        let one = (infinity(ty) / 2) & !((1 << layout(ty).1) - 1);
        let nan = infinity(ty) + 1;
        let mut values = vec![0, 1, one, infinity(ty), nan];
        values.extend(values.clone().iter().map(|x| x | top(ty)));
        for round in ROUNDS {
            let mods = rounded(round);
            let same = |got: u64, host: f64, what: &str, args: &[u64]| {
                let fits = match host {
                    x if x.is_nan() => is_nan(ty, got),
                    x if x.is_infinite() => got == infinity(ty) | if x < 0.0 { top(ty) } else { 0 },
                    _ => finite(ty, got),
                };
                assert!(fits, "{what} {ty:?} {round:?} {args:x?}: {got:#x}, not {host}");
                if host.is_nan() && ty != Num::F64 {
                    let canonical = if ty == Num::F32 { 0x7fff_ffff } else { 0x7fff };
                    assert_eq!(got, canonical, "{what} {ty:?}");
                }
            };
            for &a in &values {
                let x = host(ty, a);
                same(float_un(FloatUn::Sqrt, ty, mods, a), x.sqrt(), "sqrt", &[a]);
                let reciprocal = if x == 0.0 || !x.is_finite() { 1.0 / x } else { 1.0 };
                if finite(ty, a) && a & (top(ty) - 1) == 1 {
                    continue;
                }
                same(float_un(FloatUn::Rcp, ty, mods, a), reciprocal, "rcp", &[a]);
                for &b in &values {
                    if b & (top(ty) - 1) == 1 {
                        continue;
                    }
                    let y = host(ty, b);
                    same(float_bin(FloatBin::Add, ty, mods, a, b), x + y, "add", &[a, b]);
                    same(float_bin(FloatBin::Sub, ty, mods, a, b), x - y, "sub", &[a, b]);
                    same(float_bin(FloatBin::Mul, ty, mods, a, b), x * y, "mul", &[a, b]);
                    same(float_bin(FloatBin::Div, ty, mods, a, b), x / y, "div", &[a, b]);
                    for &c in &values {
                        let got = float_ter(FloatTer::Fma, ty, mods, a, b, c);
                        same(got, x * y + host(ty, c), "fma", &[a, b, c]);
                    }
                }
            }
        }
    }
}

/// An f64's NaN keeps its payload and becomes quiet; the first operand wins.
#[test]
fn doubles_keep_nan_payloads() {
    let (a, b) = (0x7ff0_0000_0000_1234, 0xfff8_0000_0000_5678);
    for round in [Round::Rn, Round::Rz] {
        let add = |a, b| float_bin(FloatBin::Add, Num::F64, rounded(round), a, b);
        assert_eq!(add(a, b), 0x7ff8_0000_0000_1234);
        assert_eq!(add(0, b), b);
        assert_eq!(add(0x7ff0 << 48, 0xfff0 << 48), 0xfff8 << 48);
    }
}

#[test]
fn flush_saturate_relu() {
    let ftz = FloatMods { ftz: true, ..rounded(Round::Rn) };
    let add = |mods, a, b| float_bin(FloatBin::Add, Num::F32, mods, a, b);
    let mul = |mods, a, b| float_bin(FloatBin::Mul, Num::F32, mods, a, b);
    assert_eq!(add(ftz, 0x0080_0000, 0x8000_0001), 0x0080_0000, "a subnormal operand is zero");
    assert_eq!(add(ftz, 0x0080_0001, 0x8080_0000), 0, "a subnormal result is zero");
    assert_eq!(add(ftz, 0x8080_0001, 0x0080_0000), 0x8000_0000, "of its sign");
    assert_eq!(mul(ftz, 0x8000_0001, 0x7f80_0000), 0x7fff_ffff, "0 × ∞");
    let sat = FloatMods { sat: true, ..rounded(Round::Rn) };
    let one = 0x3f80_0000;
    assert_eq!(add(sat, one, one), one);
    assert_eq!(add(sat, one, 0xbfc0_0000), 0);
    assert_eq!(add(sat, 0x7f80_0000, 0xff80_0000), 0, "NaN");
    assert_eq!(add(sat, 0x8000_0000, 0x8000_0000), 0, "-0");
    assert_eq!(add(sat, 0x3e80_0000, 0x3e80_0000), 0x3f00_0000);
    let relu = FloatMods { relu: true, ..rounded(Round::Rn) };
    let fma = |a, b, c| float_ter(FloatTer::Fma, Num::F16x2, relu, a, b, c);
    // Upper: 1 × -2 + 1 < 0. Lower: 2 × 3 + 1.
    assert_eq!(fma(0x3c00_4000, 0xc000_4200, 0x3c00_3c00), 0x0000_4700);
    assert_eq!(fma(0x7c00_3c00, 0x0000_3c00, 0x3c00_3c00), 0x7fff_4000);
    let half_ftz = FloatMods { ftz: true, ..rounded(Round::Rn) };
    assert_eq!(float_bin(FloatBin::Add, Num::F16, half_ftz, 0x0001, 0x0400), 0x0400);
    assert_eq!(float_un(FloatUn::Neg, Num::F32, ftz, 1), 0x8000_0000);
    assert_eq!(float_un(FloatUn::Abs, Num::F16x2, FloatMods::NONE, 0x8001_c000), 0x0001_4000);
    assert_eq!(
        float_bin(FloatBin::Copysign, Num::F32, FloatMods::NONE, 0x8000_0000, one),
        0xbf80_0000
    );
}

#[test]
fn minima_and_maxima() {
    let none = FloatMods::NONE;
    let nan = FloatMods { nan: true, ..none };
    let xor = FloatMods { xorsign: true, ..none };
    let (one, two, minus, bad) = (0x3f80_0000u64, 0x4000_0000u64, 0xbf80_0000u64, 0x7fc0_0000u64);
    let max = |mods, a, b| float_bin(FloatBin::Max, Num::F32, mods, a, b);
    let min = |mods, a, b| float_bin(FloatBin::Min, Num::F32, mods, a, b);
    assert_eq!((max(none, one, two), min(none, one, two)), (two, one));
    assert_eq!((max(none, one, minus), min(none, one, minus)), (one, minus));
    assert_eq!((max(none, 0, 0x8000_0000), max(none, 0x8000_0000, 0)), (0, 0));
    assert_eq!((min(none, 0, 0x8000_0000), min(none, 0x8000_0000, 0)), (0x8000_0000, 0x8000_0000));
    assert_eq!(
        (max(none, bad, one), min(none, one, bad), max(none, bad, bad)),
        (one, one, 0x7fff_ffff)
    );
    assert_eq!((max(nan, bad, one), min(nan, one, bad)), (0x7fff_ffff, 0x7fff_ffff));
    assert_eq!((max(xor, one, 0xc000_0000), min(xor, minus, 0xc000_0000)), (0xc000_0000, one));
    let three = |op, mods, a, b, c| float_ter(op, Num::F32, mods, a, b, c);
    assert_eq!(three(FloatTer::Max3, none, one, bad, two), two);
    assert_eq!(three(FloatTer::Min3, nan, one, bad, two), 0x7fff_ffff);
    assert_eq!(three(FloatTer::Max3, xor, one, 0xc000_0000, one), two);
    assert_eq!(float_bin(FloatBin::Max, Num::Bf16x2, none, 0x3f80_8000, 0xbf80_0000), 0x3f80_0000);
    // The lane form is the same function.
    let mut bits = Bits(3);
    for _ in 0..10_000 {
        let (a, b) = (bits.next() as u32, bits.next() as u32);
        let (a, b) = if a % 7 == 0 { (a | 0x7f80_0000, b) } else { (a, b) };
        for nan in [false, true] {
            let mods = FloatMods { nan, ..none };
            let lane = super::super::f32_max(a, b, false, nan);
            assert_eq!(u64::from(lane), max(mods, a.into(), b.into()));
            let lane = super::super::f32_min(a, b, false, nan);
            assert_eq!(u64::from(lane), min(mods, a.into(), b.into()));
        }
    }
}

#[test]
fn comparisons() {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let all = [Cmp::Eq, Cmp::Ne, Cmp::Lt, Cmp::Le, Cmp::Gt, Cmp::Ge, Cmp::Equ, Cmp::Neu, Cmp::Ltu];
    let all = all.into_iter().chain([Cmp::Leu, Cmp::Gtu, Cmp::Geu, Cmp::Num, Cmp::Nan]);
    let values = [0.0, -0.0, 1.0, -1.0, 1.5, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
    for cmp in all {
        for a in values {
            for b in values {
                let order = a.partial_cmp(&b);
                let expected = match cmp {
                    Cmp::Eq => order == Some(Equal),
                    Cmp::Ne => matches!(order, Some(Less | Greater)),
                    Cmp::Lt => order == Some(Less),
                    Cmp::Le => matches!(order, Some(Less | Equal)),
                    Cmp::Gt => order == Some(Greater),
                    Cmp::Ge => matches!(order, Some(Greater | Equal)),
                    Cmp::Equ => matches!(order, None | Some(Equal)),
                    Cmp::Neu => order != Some(Equal),
                    Cmp::Ltu => matches!(order, None | Some(Less)),
                    Cmp::Leu => order != Some(Greater),
                    Cmp::Gtu => matches!(order, None | Some(Greater)),
                    Cmp::Geu => order != Some(Less),
                    Cmp::Num => order.is_some(),
                    Cmp::Nan => order.is_none(),
                };
                let f16 = |x: f32| u64::from(half::f16::from_f32(x).to_bits());
                let bf16 = |x: f32| u64::from(half::bf16::from_f32(x).to_bits());
                let (x, y) = (u64::from(a.to_bits()), u64::from(b.to_bits()));
                let (u, v) = (f64::from(a).to_bits(), f64::from(b).to_bits());
                assert_eq!(compare(cmp, Num::F32, false, x, y), expected, "{cmp:?} {a} {b}");
                assert_eq!(compare(cmp, Num::F64, false, u, v), expected, "{cmp:?} {a} {b}");
                assert_eq!(compare(cmp, Num::F16, false, f16(a), f16(b)), expected);
                assert_eq!(compare(cmp, Num::Bf16, false, bf16(a), bf16(b)), expected);
            }
        }
    }
    assert!(compare(Cmp::Eq, Num::F32, true, 1, 0x8000_0002));
    assert!(compare(Cmp::Lt, Num::S32, false, 0xffff_ffff, 0));
    assert!(compare(Cmp::Gt, Num::U32, false, 0xffff_ffff, 0));
    assert!(compare(Cmp::Lt, Num::S16, false, 0x1_8000, 0x2_0000));
    assert!(compare(Cmp::Ge, Num::U64, false, u64::MAX, 1));
    assert!(compare(Cmp::Lt, Num::S64, false, u64::MAX, 1));
}

#[test]
fn classes() {
    // finite 1, infinite 2, number 4, nan 8, normal 16, subnormal 32.
    let classes = |ty, bits| (0..6).fold(0, |all, i| all | u8::from(testp(1 << i, ty, bits)) << i);
    for (bits, expected) in [
        (0, 1 | 4 | 16),
        (0x8000_0000, 1 | 4 | 16),
        (0x8000_0001, 1 | 4 | 32),
        (0x3f80_0000, 1 | 4 | 16),
        (0xff80_0000, 2 | 4),
        (0x7f80_0001, 8),
    ] {
        assert_eq!(classes(Num::F32, bits), expected, "{bits:#x}");
    }
    assert_eq!(classes(Num::F64, 1), 1 | 4 | 32);
    assert_eq!(classes(Num::F64, 0x7ff0 << 48), 2 | 4);
}
