//! `cvt` between all types (PTX ISA, "cvt"), on bits, one lane at a time.

use super::float::{finish, integer};
use super::format::{self, Format};
use super::narrow;
use super::real::Real;
use crate::isa::{Cvt, Num, Round};

/// `cvt` of one value, scalar or packed. Bits of `a` above the source type are ignored.
///
/// The result is extended to 64 bits, as a destination register wider than the type needs it: with
/// the sign for signed integers, with zeros for all others. A conversion that PTX does not have
/// gives 0; the front end admits none.
pub(crate) fn cvt(a: u64, how: Cvt) -> u64 {
    if let Some(result) = fast(a, how) {
        return result;
    }
    match (packed_stride(how.from), packed_stride(how.to)) {
        (Some(from), Some(to)) => element(a, how) | element(a >> from, how) << to,
        (None, None) => scalar(a, how),
        _ => 0,
    }
}

/// `cvt` of two f32 into a packed pair: `a` becomes the upper part, `b` the lower.
pub(crate) fn cvt_pair(a: u64, b: u64, how: Cvt) -> u64 {
    let Some(stride) = packed_stride(how.to) else { return 0 };
    element(a, how) << stride | element(b, how)
}

/// One f32 to one bf16 of a pair, `.rs`: towards zero, or away from it if the 16 `random` bits carry out
/// of the 16 that go (PTX ISA, "cvt", `.rs`).
pub(crate) fn cvt_stochastic(x: u32, random: u32, how: Cvt) -> u32 {
    // Sign and magnitude: the carry goes into the bits that stay, up to infinity. An infinity or a NaN
    // takes no part.
    let finite = x & 0x7fff_ffff < 0x7f80_0000;
    let rounded = if finite { (x + random) & 0xffff_0000 } else { x };
    element(rounded.into(), how) as u32
}

/// The distance in bits of the two elements of a packed type.
fn packed_stride(ty: Num) -> Option<u32> {
    match ty {
        Num::F16x2 | Num::Bf16x2 => Some(16),
        Num::E4m3x2 | Num::E5m2x2 | Num::E2m3x2 | Num::E3m2x2 | Num::Ue8m0x2 => Some(8),
        Num::E2m1x2 => Some(4),
        _ => None,
    }
}

/// The hot conversions, to nearest with no modifier but the `.satfinite` of FP8.
#[inline]
fn fast(a: u64, how: Cvt) -> Option<u64> {
    let mods = how.mods;
    if mods.ftz || mods.sat || mods.relu || !matches!(mods.round, Round::None | Round::Rn) {
        return None;
    }
    Some(match (how.from, how.to) {
        (Num::F32, Num::F16) if !how.satfinite => narrow::f32_to_f16(a as u32).into(),
        (Num::F32, Num::Bf16) if !how.satfinite => narrow::f32_to_bf16(a as u32).into(),
        (Num::F16, Num::F32) => narrow::f16_to_f32(a as u16).into(),
        (Num::Bf16, Num::F32) => narrow::bf16_to_f32(a as u16).into(),
        (Num::E4m3x2, Num::F16x2) => {
            let [low, high] = [a as u8, (a >> 8) as u8].map(narrow::e4m3_to_f16);
            u64::from(low) | u64::from(high) << 16
        }
        (Num::E5m2x2, Num::F16x2) => {
            let [low, high] = [a as u8, (a >> 8) as u8].map(narrow::e5m2_to_f16);
            u64::from(low) | u64::from(high) << 16
        }
        _ => return None,
    })
}

/// One element of a packed conversion; the source in the low bits.
fn element(a: u64, how: Cvt) -> u64 {
    let nearest = how.mods.round == Round::Rn && !how.mods.relu;
    match (how.from, how.to) {
        (_, Num::Ue8m0x2) => {
            // bf16 is the upper half of an f32.
            let single = if how.from == Num::F32 { a as u32 } else { (a as u32) << 16 };
            to_ue8m0(single, how)
        }
        (Num::Ue8m0x2, _) => match a as u8 {
            0 => 0x0040,
            255 => format::BF16.nan,
            code => u64::from(code) << 7,
        },
        (Num::F32, Num::F16x2) if nearest && !how.satfinite => narrow::f32_to_f16(a as u32).into(),
        (Num::F32, Num::Bf16x2) if nearest && !how.satfinite => {
            narrow::f32_to_bf16(a as u32).into()
        }
        (Num::F32, Num::E4m3x2) if nearest && how.satfinite => narrow::f32_to_e4m3(a as u32).into(),
        (Num::F32, Num::E5m2x2) if nearest && how.satfinite => narrow::f32_to_e5m2(a as u32).into(),
        _ => match (format::format(how.from), format::format(how.to)) {
            (Some(from), Some(to)) => float_to_float(a, from, to, how),
            _ => 0,
        },
    }
}

fn scalar(a: u64, how: Cvt) -> u64 {
    match (format::format(how.from), format::format(how.to)) {
        (None, None) => clamp_or_cut(integer(how.from, a), how.to, how.mods.sat),
        (None, Some(to)) => {
            let bits = Real::integer(integer(how.from, a)).pack(to, how.mods.round, false);
            finish(to, how.mods, bits)
        }
        (Some(from), None) => float_to_integer(a, from, how),
        (Some(from), Some(to)) => float_to_float(a, from, to, how),
    }
}

/// Cuts an integer to a type, or clamps it, and extends it again.
fn clamp_or_cut(value: i128, to: Num, clamp: bool) -> u64 {
    let bits = to.bits();
    let (min, max) = if to.signed() {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    };
    let value = if clamp { value.clamp(min, max) } else { value };
    integer(to, value as u64) as u64
}

/// Out of range values clamp. A NaN is 0, but where the source is f64 or the destination has 64 bits
/// it is the lone top bit ("cvt", Integer Notes).
fn float_to_integer(a: u64, from: &Format, how: Cvt) -> u64 {
    let a = source(a, from, how);
    match Real::unpack(from, a).to_integer(how.mods.round) {
        Some(value) => clamp_or_cut(value, how.to, true),
        None if *from != format::F64 && how.to.bits() != 64 => 0,
        None => clamp_or_cut(1 << (how.to.bits() - 1), how.to, false),
    }
}

fn float_to_float(a: u64, from: &Format, to: &Format, how: Cvt) -> u64 {
    let a = source(a, from, how);
    let mods = how.mods;
    let value = Real::unpack(from, a);
    let bits = match (value, mods.round) {
        // A double's NaN keeps its payload; one made from a narrower NaN is the widened canonical one.
        (Real::Nan, _) if *to == format::F64 => {
            if *from == format::F64 {
                a | 1 << 51
            } else {
                0x7fff_ffff_e000_0000
            }
        }
        (Real::Num { neg, .. }, Round::Rni | Round::Rzi | Round::Rmi | Round::Rpi) => {
            let whole = match value.to_integer(mods.round) {
                // A value of 2^100 or more is whole already.
                Some(i) if i.unsigned_abs() < 1 << 100 => Real::integer(i),
                _ => value,
            };
            let whole = if let Real::Zero { .. } = whole { Real::Zero { neg } } else { whole };
            whole.pack(to, Round::Rn, how.satfinite)
        }
        _ => value.pack(to, mods.round, how.satfinite),
    };
    // `.ftz` is about f32 alone.
    let mods = crate::isa::FloatMods { ftz: mods.ftz && *to == format::F32, ..mods };
    let bits = finish(to, mods, bits);
    // TF32 stands in the upper bits of a 32-bit register.
    if *to == format::TF32 { bits << 13 } else { bits }
}

/// The source's bits cut to its type, flushed if it is f32 and the conversion flushes.
fn source(a: u64, from: &Format, how: Cvt) -> u64 {
    let a = if *from == format::TF32 { a >> 13 } else { a };
    let a = a & (from.sign_bit() | from.magnitude_mask());
    if how.mods.ftz && *from == format::F32 { from.flush(a) } else { a }
}

/// The power of two next to |x|: towards zero, or up with `.rp`. 2^-127 is the least. A NaN, and
/// without `.satfinite` a value beyond 2^127, is the NaN 255. The ISA has no sign here.
fn to_ue8m0(x: u32, how: Cvt) -> u64 {
    let magnitude = x & 0x7fff_ffff;
    if magnitude > 0x7f80_0000 {
        return 0xff;
    }
    // The field is the code for normal values; an f32 subnormal lies at or below 2^-126.
    let (field, fraction) = (magnitude >> 23, magnitude & 0x7f_ffff);
    let up = match (how.mods.round, field) {
        (Round::Rp, 0) => fraction > 0x40_0000,
        (Round::Rp, _) => fraction != 0,
        _ => false,
    };
    let code = field + u32::from(up);
    match code {
        255.. => {
            if how.satfinite {
                254
            } else {
                255
            }
        }
        _ => code.into(),
    }
}
