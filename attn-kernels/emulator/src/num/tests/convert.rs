//! `cvt`: exhaustive from the small formats, dense and at every rounding boundary into them, and
//! against [`super::exact`] in every rounding.

use fp8_format::{F8E4M3, F8E5M2, Overflow};
use num_bigint::BigInt;

use super::super::narrow;
use super::super::{cvt, cvt_pair};
use super::exact::{Exact, layout, signed};
use super::{Bits, rounded};
use crate::isa::{Cvt, FloatMods, Num, Round};

fn how(from: Num, to: Num, round: Round) -> Cvt {
    Cvt { from, to, mods: rounded(round), satfinite: false }
}

fn satfinite(from: Num, to: Num, round: Round) -> Cvt {
    Cvt { satfinite: true, ..how(from, to, round) }
}

/// Every f16 and bf16 to f32 and f64.
#[test]
fn halves_widen() {
    for h in 0..=u16::MAX {
        let f = half::f16::from_bits(h).to_f32();
        let expected = if f.is_nan() { 0x7fff_ffff } else { f.to_bits() };
        assert_eq!(cvt(h.into(), how(Num::F16, Num::F32, Round::None)), expected.into(), "{h:#x}");
        let d = if f.is_nan() { 0x7fff_ffff_e000_0000 } else { f64::from(f).to_bits() };
        assert_eq!(cvt(h.into(), how(Num::F16, Num::F64, Round::None)), d, "{h:#x}");
        let b = half::bf16::from_bits(h).to_f32();
        let expected = if b.is_nan() { 0x7fff_ffff } else { b.to_bits() };
        assert_eq!(cvt(h.into(), how(Num::Bf16, Num::F32, Round::None)), expected.into(), "{h:#x}");
    }
}

/// Every pair of FP8 codes to f16x2, `.relu` too.
#[test]
fn fp8_to_halves() {
    let relu = FloatMods { relu: true, ..rounded(Round::Rn) };
    for pair in 0..=u16::MAX {
        let [low, high] = pair.to_le_bytes();
        let bits = |x: half::f16| u64::from(if x.is_nan() { 0x7fff } else { x.to_bits() });
        let clamp = |x: u64| if x & 0x8000 != 0 { 0 } else { x };
        let e4m3 = [low, high].map(|c| bits(F8E4M3::from_bits(c).to_f16()));
        let e5m2 = [low, high].map(|c| bits(F8E5M2::from_bits(c).to_f16()));
        for (ty, [low, high]) in [(Num::E4m3x2, e4m3), (Num::E5m2x2, e5m2)] {
            let plain = how(ty, Num::F16x2, Round::Rn);
            assert_eq!(cvt(pair.into(), plain), high << 16 | low, "{ty:?} {pair:#x}");
            let how = Cvt { mods: relu, ..plain };
            assert_eq!(cvt(pair.into(), how), clamp(high) << 16 | clamp(low), "{ty:?} {pair:#x}");
        }
    }
}

fn e4m3(x: f32) -> u8 {
    if x.is_nan() { 0x7f } else { F8E4M3::from_f32(x, Overflow::Saturate).to_bits() }
}

fn e5m2(x: f32) -> u8 {
    if x.is_nan() { 0x7f } else { F8E5M2::from_f32(x, Overflow::Saturate).to_bits() }
}

/// Every f16 to FP8 by `cvt.rn.satfinite.….f16x2`.
#[test]
fn halves_to_fp8() {
    for h in 0..=u16::MAX {
        let x = half::f16::from_bits(h).to_f32();
        let pair = u64::from(h) | 0x3c00 << 16;
        let to_e4m3 = cvt(pair, satfinite(Num::F16x2, Num::E4m3x2, Round::Rn));
        assert_eq!(to_e4m3, 0x3800 | u64::from(e4m3(x)), "{h:#x}");
        let to_e5m2 = cvt(pair, satfinite(Num::F16x2, Num::E5m2x2, Round::Rn));
        assert_eq!(to_e5m2, 0x3c00 | u64::from(e5m2(x)), "{h:#x}");
    }
}

/// The lane conversions of one f32 against `half` and fp8-format.
fn assert_narrow(bits: u32) {
    let x = f32::from_bits(bits);
    let nan = |h: u16| if x.is_nan() { 0x7fff } else { h };
    assert_eq!(narrow::f32_to_f16(bits), nan(half::f16::from_f32(x).to_bits()), "{bits:#x}");
    assert_eq!(narrow::f32_to_bf16(bits), nan(half::bf16::from_f32(x).to_bits()), "{bits:#x}");
    assert_eq!(narrow::f32_to_e4m3(bits), e4m3(x), "{bits:#x}");
    assert_eq!(narrow::f32_to_e5m2(bits), e5m2(x), "{bits:#x}");
}

/// f32 into the small formats: at, below and above every value and every midpoint of f16 (which has
/// those of FP8), and many others.
#[test]
fn singles_narrow() {
    for h in 0..=u16::MAX {
        for part in [0, 0x1000, 0x8000] {
            let value = half::f16::from_bits(h).to_f32().to_bits().wrapping_add(part);
            for bits in [value.wrapping_sub(1), value, value.wrapping_add(1)] {
                assert_narrow(bits);
            }
        }
    }
    let mut bits = Bits(11);
    for _ in 0..2_000_000 {
        assert_narrow(bits.next() as u32);
    }
}

/// All 2^32: run by hand in release.
#[test]
#[ignore = "two minutes in release"]
fn singles_narrow_exhaustively() {
    for bits in 0..=u32::MAX {
        assert_narrow(bits);
    }
}

/// Into the type of a packed conversion, one element by each rounding and format.
#[test]
fn floats_round_in_every_mode() {
    let mut bits = Bits(5);
    let sources = [Num::F16, Num::Bf16, Num::F32, Num::F64];
    for _ in 0..20_000 {
        let random = bits.next();
        for from in sources {
            let (exp_bits, man_bits) = layout(from);
            // Exponents of the small formats as often as all others.
            let a = match random % 3 {
                0 => random >> 2,
                _ => {
                    let middle = (1u64 << (exp_bits - 1)) - 1;
                    let field = middle + (random >> 2) % 40 % (middle + 1) - 20.min(middle);
                    let fraction = (random >> 8) & ((1 << man_bits) - 1);
                    let kept =
                        if random & 16 == 0 { fraction } else { fraction & !0 << (man_bits - 3) };
                    (random >> 7 & 1) << (exp_bits + man_bits) | field << man_bits | kept
                }
            };
            let a = a & (!0 >> (63 - exp_bits - man_bits));
            let infinity = ((1u64 << exp_bits) - 1) << man_bits;
            let magnitude = a & ((1 << (exp_bits + man_bits)) - 1);
            if magnitude >= infinity || magnitude == 0 {
                continue;
            }
            let exact = Exact::of(from, a);
            for to in sources {
                let (exp_bits, man_bits) = layout(to);
                let infinity = ((1u64 << exp_bits) - 1) << man_bits;
                for round in [Round::Rn, Round::Rz, Round::Rm, Round::Rp] {
                    let got = cvt(a, how(from, to, round));
                    let what = format!("{a:#x} of {from:?}");
                    exact.assert_rounded(to, round, got, infinity - 1, &what);
                }
            }
            if from == Num::F32 {
                for round in [Round::Rn, Round::Rz, Round::Rna] {
                    let got = cvt(a, how(from, Num::Tf32, round));
                    assert_eq!(got & 0x1fff, 0);
                    exact.assert_rounded(Num::Tf32, round, got >> 13, 0x3_fbff, "tf32");
                }
            }
        }
    }
}

/// f32 pairs into every packed format with `.satfinite`, against the exact nearest value.
#[test]
fn pairs_narrow() {
    let largest = |ty| match ty {
        Num::E4m3x2 => 0x7e,
        Num::E5m2x2 => 0x7b,
        Num::E2m3x2 | Num::E3m2x2 => 0x1f,
        _ => 7,
    };
    let mut bits = Bits(9);
    for ty in [Num::E4m3x2, Num::E5m2x2, Num::E2m3x2, Num::E3m2x2, Num::E2m1x2] {
        let (exp_bits, man_bits) = layout(ty);
        let stride = if ty == Num::E2m1x2 { 4 } else { 8 };
        let how = satfinite(Num::F32, ty, Round::Rn);
        let relu = Cvt { mods: FloatMods { relu: true, ..how.mods }, ..how };
        for _ in 0..20_000 {
            let random = bits.next();
            // Exponents around the format's, few bits, so that ties and extremes are met.
            let field = 127 + (random % 64) as u32 - 32;
            let fraction = ((random >> 8) as u32) & (!0 << (random >> 60)) & 0x7f_ffff;
            let bits = ((random >> 40) as u32) << 31 | field << 23 | fraction;
            let x = f32::from_bits(bits);
            let packed = cvt_pair(bits.into(), 0x3f80_0000, how);
            let one = ((1u64 << (exp_bits - 1)) - 1) << man_bits;
            let unit = if exp_bits == 2 { 1 << man_bits } else { one };
            assert_eq!(packed & ((1 << stride) - 1), unit, "{ty:?}");
            let code = packed >> stride;
            let sign = 1u64 << (exp_bits + man_bits);
            let clamped = cvt_pair(0x3f80_0000, bits.into(), relu) & ((1 << stride) - 1);
            assert_eq!(clamped, if x < 0.0 { 0 } else { code }, "{ty:?} {x}");
            let limit = decode(ty, largest(ty));
            if x.abs() >= limit {
                assert_eq!(code & (sign - 1), largest(ty), "{ty:?} {x}");
            } else {
                Exact::of(Num::F32, bits.into()).assert_rounded(
                    ty,
                    Round::Rn,
                    code,
                    largest(ty),
                    "pair",
                );
            }
        }
        let nan = if largest(ty) > 0x1f { 0x7f } else { largest(ty) };
        for source in [0x7fc0_0000, 0xffff_ffff] {
            assert_eq!(cvt_pair(source, source, how), nan << stride | nan, "{ty:?}");
            assert_eq!(cvt_pair(source, source, relu), nan << stride | nan, "{ty:?}");
        }
        let infinite = cvt_pair(0xff80_0000, 0x7f80_0000, how);
        let sign = 1u64 << (exp_bits + man_bits);
        assert_eq!(infinite, (largest(ty) | sign) << stride | largest(ty), "{ty:?}");
    }
}

/// The value of a positive code.
fn decode(ty: Num, code: u64) -> f32 {
    let (m, e) = signed(ty, code);
    let m: u64 = m.try_into().expect("positive and small");
    m as f32 * 2f32.powi(e as i32)
}

/// Every FP6 and FP4 code to f16, `.relu` for the negative ones.
#[test]
fn small_codes_widen() {
    for (ty, codes, stride) in [(Num::E2m3x2, 64, 8), (Num::E3m2x2, 64, 8), (Num::E2m1x2, 16, 4)] {
        for code in 0..codes {
            let positive = code & (codes / 2 - 1);
            let magnitude = half::f16::from_f32(decode(ty, positive));
            let sign = if code & (codes / 2) != 0 { 0x8000 } else { 0 };
            let got = cvt(code | positive << stride, how(ty, Num::F16x2, Round::Rn));
            let expected = u64::from(magnitude.to_bits());
            assert_eq!(got, expected << 16 | expected | sign, "{ty:?} {code}");
        }
    }
}

#[test]
fn powers_of_two() {
    let to = |x: f32, round| {
        cvt_pair(0, x.to_bits().into(), satfinite(Num::F32, Num::Ue8m0x2, round)) & 255
    };
    for (x, down, up) in [
        (1.0, 127, 127),
        (1.5, 127, 128),
        (-3.0, 128, 129),
        (0.0, 0, 0),
        (2f32.powi(-127), 0, 0),
        (2f32.powi(-127) * 1.25, 0, 1),
        (2f32.powi(-126), 1, 1),
        (f32::MAX, 254, 254),
        (f32::INFINITY, 254, 254),
        (f32::NAN, 255, 255),
    ] {
        assert_eq!((to(x, Round::Rz), to(x, Round::Rp)), (down, up), "{x}");
    }
    let open = how(Num::F32, Num::Ue8m0x2, Round::Rp);
    assert_eq!(cvt_pair(f32::MAX.to_bits().into(), 0x3f80_0000, open), 0xff7f);
    let from_bf16 = how(Num::Bf16x2, Num::Ue8m0x2, Round::Rp);
    assert_eq!(cvt(0x3f80_3fc0, from_bf16), 0x7f80);
    let back = how(Num::Ue8m0x2, Num::Bf16x2, Round::Rn);
    for code in 0..255u64 {
        let expected = half::bf16::from_f64(2f64.powi(code as i32 - 127)).to_bits();
        assert_eq!(cvt(code << 8 | 0xff, back), u64::from(expected) << 16 | 0x7fff);
    }
}

const INTEGERS: [Num; 8] =
    [Num::U8, Num::U16, Num::U32, Num::U64, Num::S8, Num::S16, Num::S32, Num::S64];

fn range(ty: Num) -> (i128, i128) {
    match ty.signed() {
        true => (-(1 << (ty.bits() - 1)), (1 << (ty.bits() - 1)) - 1),
        false => (0, (1 << ty.bits()) - 1),
    }
}

/// Floats to integers in every rounding: exact floor and friends by big integers, then clamped.
#[test]
fn floats_to_integers() {
    let mut bits = Bits(13);
    for _ in 0..20_000 {
        let random = bits.next();
        for from in [Num::F16, Num::Bf16, Num::F32, Num::F64] {
            let (exp_bits, man_bits) = layout(from);
            let middle = (1u64 << (exp_bits - 1)) - 1;
            let field = (middle + random % 70).saturating_sub(4).min(2 * middle);
            let fraction = (random >> 8) & (!0 << ((random >> 3) % u64::from(man_bits)));
            let fraction = fraction & ((1 << man_bits) - 1);
            let a = (random >> 63) << (exp_bits + man_bits) | field << man_bits | fraction;
            let (m, e) = signed(from, a);
            let floor = |m: &BigInt| if e >= 0 { m << e } else { m >> -e };
            let double = |m: &BigInt| if e >= 1 { m << (e - 1) } else { m >> (1 - e) };
            // ⌊x⌋, ⌈x⌉, and the nearest: ⌊(⌊2x⌋ + 1) / 2⌋, one less if x is a tie and that is odd.
            let low = floor(&m);
            let high: BigInt = -floor(&-&m);
            let twice: BigInt = double(&(&m << 2));
            let tie = e < 0 && (&twice % 2u32 != BigInt::ZERO) && (&twice << -e) == (&m << 1);
            let up: BigInt = (&twice + 1u32) >> 1;
            let nearest = if tie && &up % 2u32 != BigInt::ZERO { &up - 1u32 } else { up };
            let zero = if m < BigInt::ZERO { high.clone() } else { low.clone() };
            for (round, whole) in [
                (Round::Rmi, &low),
                (Round::Rpi, &high),
                (Round::Rni, &nearest),
                (Round::Rzi, &zero),
            ] {
                for to in INTEGERS {
                    let (min, max) = range(to);
                    let clamped = whole.clamp(&BigInt::from(min), &BigInt::from(max)).clone();
                    let clamped: i128 = clamped.try_into().expect("clamped");
                    let got = cvt(a, how(from, to, round));
                    assert_eq!(got, clamped as u64, "{a:#x} of {from:?} to {to:?} by {round:?}");
                }
                let got = cvt(a, how(from, from, round));
                let (back, exp) = signed(from, got);
                let scale = exp.min(0);
                assert_eq!(
                    back << (exp - scale),
                    whole << -scale,
                    "{a:#x} of {from:?} by {round:?}"
                );
                assert_eq!(got >> (exp_bits + man_bits), random >> 63, "the sign stays");
            }
        }
    }
}

#[test]
fn nan_and_infinity_to_integers() {
    let nan = |from| match from {
        Num::F16 => 0x7e00,
        Num::Bf16 => 0x7fc0,
        Num::F32 => 0x7fc0_0000,
        _ => 0x7ff8 << 48,
    };
    for from in [Num::F16, Num::Bf16, Num::F32, Num::F64] {
        for to in INTEGERS {
            let got = cvt(nan(from), how(from, to, Round::Rzi));
            if from != Num::F64 && to.bits() != 64 {
                assert_eq!(got, 0, "{from:?} {to:?}");
            } else {
                // Extended as a register wider than the type needs it.
                let top = 1u64 << (to.bits() - 1);
                assert_eq!(
                    got,
                    if to.signed() { top.wrapping_neg() } else { top },
                    "{from:?} {to:?}"
                );
            }
        }
    }
    for to in INTEGERS {
        let (min, max) = range(to);
        let infinity = 0x7f80_0000;
        assert_eq!(cvt(infinity, how(Num::F32, to, Round::Rni)), max as u64);
        assert_eq!(cvt(infinity | 1 << 31, how(Num::F32, to, Round::Rni)), min as u64);
    }
}

#[test]
fn integers_to_floats() {
    let mut bits = Bits(17);
    for _ in 0..20_000 {
        let a = bits.next() >> (bits.next() % 64);
        for from in INTEGERS {
            let unused = 128 - from.bits();
            let shifted = i128::from(a) << unused;
            let value =
                if from.signed() { shifted >> unused } else { (shifted as u128 >> unused) as i128 };
            for to in [Num::F16, Num::Bf16, Num::F32, Num::F64] {
                let (exp_bits, man_bits) = layout(to);
                let largest = (((1u64 << exp_bits) - 1) << man_bits) - 1;
                for round in [Round::Rn, Round::Rz, Round::Rm, Round::Rp] {
                    let got = cvt(a, how(from, to, round));
                    if value == 0 {
                        assert_eq!(got, 0);
                    } else {
                        let what = format!("{value} of {from:?}");
                        Exact::integer(value).assert_rounded(to, round, got, largest, &what);
                    }
                }
            }
            for to in INTEGERS {
                let (min, max) = range(to);
                let saturating = Cvt {
                    mods: FloatMods { sat: true, ..FloatMods::NONE },
                    ..how(from, to, Round::None)
                };
                assert_eq!(cvt(a, saturating), value.clamp(min, max) as u64, "{from:?} {to:?}");
                let shifted = value << (128 - to.bits());
                let cut = if to.signed() {
                    shifted >> (128 - to.bits())
                } else {
                    (shifted as u128 >> (128 - to.bits())) as i128
                };
                assert_eq!(cvt(a, how(from, to, Round::None)), cut as u64, "{from:?} {to:?}");
            }
        }
    }
}

#[test]
fn modifiers() {
    let with = |from, to, round, mods| Cvt {
        from,
        to,
        mods: FloatMods { round, ..mods },
        satfinite: false,
    };
    let ftz = FloatMods { ftz: true, ..FloatMods::NONE };
    let sat = FloatMods { sat: true, ..FloatMods::NONE };
    let relu = FloatMods { relu: true, ..FloatMods::NONE };
    // Subnormal f32 sources and results are flushed, subnormal f16 ones are not.
    assert_eq!(cvt(1, with(Num::F32, Num::S32, Round::Rpi, FloatMods::NONE)), 1);
    assert_eq!(cvt(1, with(Num::F32, Num::S32, Round::Rpi, ftz)), 0);
    assert_eq!(cvt(0x8000_0001, with(Num::F32, Num::F32, Round::None, ftz)), 0x8000_0000);
    assert_eq!(cvt(0xb690 << 48, with(Num::F64, Num::F32, Round::Rp, ftz)), 0x8000_0000);
    assert_eq!(cvt(1, with(Num::F16, Num::F32, Round::None, ftz)), 0x3380_0000);
    assert_eq!(cvt(0x3380_0000, with(Num::F32, Num::F16, Round::Rn, ftz)), 1);
    assert_eq!(cvt(0x0000_0001, with(Num::Bf16, Num::F32, Round::None, ftz)), 0);
    // [0, 1], NaN to 0.
    for (x, expected) in [(2.0f32, 1.0f32), (-1.0, 0.0), (0.25, 0.25), (f32::NAN, 0.0), (-0.0, 0.0)]
    {
        let got = cvt(x.to_bits().into(), with(Num::F32, Num::F32, Round::None, sat));
        assert_eq!(got, expected.to_bits().into(), "{x}");
        let got = cvt(x.to_bits().into(), with(Num::F32, Num::F16, Round::Rn, sat));
        assert_eq!(got, half::f16::from_f32(expected).to_bits().into(), "{x}");
    }
    // At least 0, NaN canonical.
    for (x, expected) in [(-3.0f32, 0u64), (3.0, 0x4200_4200), (f32::NAN, 0x7fff_7fff), (-0.0, 0)] {
        let x = x.to_bits().into();
        assert_eq!(cvt_pair(x, x, with(Num::F32, Num::F16x2, Round::Rn, relu)), expected);
    }
    // The largest finite value instead of infinity.
    let large = f32::INFINITY.to_bits().into();
    assert_eq!(cvt(large, satfinite(Num::F32, Num::F16, Round::Rn)), 0x7bff);
    assert_eq!(cvt(large, satfinite(Num::F32, Num::Bf16, Round::Rz)), 0x7f7f);
    assert_eq!(cvt(large, satfinite(Num::F32, Num::Tf32, Round::Rna)), 0x7f7f_e000);
    assert_eq!(cvt(large, how(Num::F32, Num::Tf32, Round::Rna)), 0x7f80_0000);
    assert_eq!(cvt(0x7fc0_0001, how(Num::F32, Num::Tf32, Round::Rna)), 0x7fff_e000);
    assert_eq!(cvt_pair(large, 0, satfinite(Num::F32, Num::Bf16x2, Round::Rn)), 0x7f7f_0000);
    assert_eq!(cvt(0x7ff0_0000_0000_0001, how(Num::F64, Num::F32, Round::Rn)), 0x7fff_ffff);
    assert_eq!(cvt(u64::MAX, how(Num::F16, Num::F32, Round::None)), 0x7fff_ffff, "bits above");
}
