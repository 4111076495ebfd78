//! Every floating operation in every type, rounding and modifier, on bits, one lane at a time
//! (PTX ISA, "Floating-Point Instructions" and "Half Precision Floating-Point Instructions").

use super::approx;
use super::format::{self, Format};
use super::half::{Bf16, F16, half_add, half_fma, half_mul, half_sub};
use super::real::Real;
use super::single;
use crate::isa::{Cmp, FloatBin, FloatMods, FloatTer, FloatUn, Num, Round};

/// `a op b`. A packed type works by halves. Bits above the type are ignored and come out zero.
/// A type that is not a float gives 0: the front end admits none.
pub(crate) fn float_bin(op: FloatBin, ty: Num, mods: FloatMods, a: u64, b: u64) -> u64 {
    if let Some(scalar) = half_of(ty) {
        return by_halves(|i| float_bin(op, scalar, mods, a >> i & 0xffff, b >> i & 0xffff));
    }
    let Some(format) = format::format(ty) else { return 0 };
    let [a, b] = [a, b].map(|x| operand(format, x, mods));
    let result = match op {
        FloatBin::Copysign => {
            return a & format.sign_bit() | b & format.magnitude_mask();
        }
        FloatBin::Min | FloatBin::Max => extreme(format, mods, a, b, op == FloatBin::Max),
        FloatBin::Div if mods.approx && ty == Num::F32 => approx::f32_div(a, b, mods),
        _ => arithmetic(op, ty, format, mods, a, b),
    };
    finish(format, mods, result)
}

/// `fma`, and `min`/`max` of three.
pub(crate) fn float_ter(op: FloatTer, ty: Num, mods: FloatMods, a: u64, b: u64, c: u64) -> u64 {
    if let Some(scalar) = half_of(ty) {
        return by_halves(|i| {
            float_ter(op, scalar, mods, a >> i & 0xffff, b >> i & 0xffff, c >> i & 0xffff)
        });
    }
    let Some(format) = format::format(ty) else { return 0 };
    let [a, b, c] = [a, b, c].map(|x| operand(format, x, mods));
    let result = match op {
        FloatTer::Fma => fused(ty, format, mods.round, a, b, c),
        FloatTer::Min3 | FloatTer::Max3 => {
            let max = op == FloatTer::Max3;
            // Of three operands there is only `.abs`, which the field for `.xorsign.abs` carries.
            let [a, b, c] =
                [a, b, c].map(|x| if mods.xorsign { x & format.magnitude_mask() } else { x });
            let mods = FloatMods { xorsign: false, ..mods };
            extreme(format, mods, extreme(format, mods, a, b, max), c, max)
        }
    };
    finish(format, mods, result)
}

/// One operand.
pub(crate) fn float_un(op: FloatUn, ty: Num, mods: FloatMods, a: u64) -> u64 {
    if let Some(scalar) = half_of(ty) {
        return by_halves(|i| float_un(op, scalar, mods, a >> i & 0xffff));
    }
    let Some(format) = format::format(ty) else { return 0 };
    let a = operand(format, a, mods);
    let result = match op {
        FloatUn::Abs => return a & format.magnitude_mask(),
        FloatUn::Neg => return a ^ format.sign_bit(),
        FloatUn::Rcp if mods.approx && ty == Num::F64 => return approx::f64_rcp(a),
        FloatUn::Rsqrt if mods.ftz && ty == Num::F64 => return approx::f64_rsqrt_coarse(a),
        FloatUn::Rcp | FloatUn::Sqrt => root_or_reciprocal(op, ty, format, mods.round, a),
        _ => approx::float_un(op, ty, a),
    };
    finish(format, mods, result)
}

/// A comparison of two operands of any scalar type, integers too. For packed types compare each half.
pub(crate) fn compare(cmp: Cmp, ty: Num, ftz: bool, a: u64, b: u64) -> bool {
    match ty {
        Num::F32 => single::f32_compare(cmp, a as u32, b as u32, ftz),
        Num::F64 => single::compare_floats(cmp, f64::from_bits(a), f64::from_bits(b)),
        Num::F16 | Num::Bf16 => {
            let format = if ty == Num::F16 { &format::F16 } else { &format::BF16 };
            let widen = |x: u64| {
                let x = if ftz { format.flush(x & 0xffff) } else { x & 0xffff } as u16;
                widen_half(ty, x)
            };
            single::compare_floats(cmp, widen(a), widen(b))
        }
        _ => {
            let (a, b) = (integer(ty, a), integer(ty, b));
            match cmp {
                Cmp::Eq | Cmp::Equ => a == b,
                Cmp::Ne | Cmp::Neu => a != b,
                Cmp::Lt | Cmp::Ltu => a < b,
                Cmp::Le | Cmp::Leu => a <= b,
                Cmp::Gt | Cmp::Gtu => a > b,
                Cmp::Ge | Cmp::Geu => a >= b,
                Cmp::Num => true,
                Cmp::Nan => false,
            }
        }
    }
}

/// `testp`: whether `a` is in one of the classes of the set (finite 1, infinite 2, number 4, nan 8,
/// normal 16, subnormal 32). Zeros are normal (PTX ISA, "testp").
pub(crate) fn testp(classes: u8, ty: Num, a: u64) -> bool {
    let Some(format) = format::format(ty) else { return false };
    let magnitude = a & format.magnitude_mask();
    let subnormal = magnitude != 0 && magnitude & format.infinity() == 0;
    let class = if magnitude > format.infinity() {
        8
    } else if magnitude == format.infinity() {
        2 | 4
    } else if subnormal {
        1 | 4 | 32
    } else {
        1 | 4 | 16
    };
    class & classes != 0
}

/// An integer operand's value.
pub(crate) fn integer(ty: Num, bits: u64) -> i128 {
    let unused = 64 - ty.bits();
    if ty.signed() {
        i128::from(((bits << unused) as i64) >> unused)
    } else {
        i128::from((bits << unused) >> unused)
    }
}

/// The type of the halves of a packed half type.
fn half_of(ty: Num) -> Option<Num> {
    match ty {
        Num::F16x2 => Some(Num::F16),
        Num::Bf16x2 => Some(Num::Bf16),
        _ => None,
    }
}

fn by_halves(op: impl Fn(u32) -> u64) -> u64 {
    op(0) | op(16) << 16
}

fn widen_half(ty: Num, x: u16) -> f64 {
    use super::half::Half;
    if ty == Num::F16 { F16::widen(x) } else { Bf16::widen(x) }
}

/// An operand cut to its type and flushed if asked.
fn operand(format: &Format, bits: u64, mods: FloatMods) -> u64 {
    let bits = bits & (format.sign_bit() | format.magnitude_mask());
    if mods.ftz { format.flush(bits) } else { bits }
}

/// `.ftz`, `.sat` and `.relu` of a result.
pub(super) fn finish(format: &Format, mods: FloatMods, bits: u64) -> u64 {
    let bits = if mods.ftz { format.flush(bits) } else { bits };
    let nan = format.is_nan(bits);
    let negative = bits & format.sign_bit() != 0;
    if mods.sat {
        let one = (format.bias() as u64) << format.man_bits;
        return if nan || negative { 0 } else { bits.min(one) };
    }
    match (mods.relu, nan, negative) {
        (true, true, _) => format.nan,
        (true, false, true) => 0,
        _ => bits,
    }
}

fn nearest(round: Round) -> bool {
    matches!(round, Round::None | Round::Rn)
}

/// The NaN of an f64 operation: the first NaN operand, made quiet, or the canonical one.
fn payload(operands: &[u64]) -> u64 {
    let nan = operands.iter().find(|&&x| format::F64.is_nan(x));
    nan.map_or(format::F64.nan, |x| x | 1 << 51)
}

/// A host result to nearest, or the exact path: an f64's NaN keeps its payload.
fn f64_result(operands: &[u64], value: f64) -> u64 {
    if value.is_nan() { payload(operands) } else { value.to_bits() }
}

fn exact(format: &Format, round: Round, operands: &[u64], value: Real) -> u64 {
    match value {
        Real::Nan if *format == format::F64 => payload(operands),
        _ => value.pack(format, round, false),
    }
}

fn arithmetic(op: FloatBin, ty: Num, format: &Format, mods: FloatMods, a: u64, b: u64) -> u64 {
    let (x, y) = (a as u32, b as u32);
    if nearest(mods.round) {
        match (ty, op) {
            (Num::F32, FloatBin::Add) => return single::f32_add(x, y, false).into(),
            (Num::F32, FloatBin::Sub) => return single::f32_sub(x, y, false).into(),
            (Num::F32, FloatBin::Mul) => return single::f32_mul(x, y, false).into(),
            (Num::F32, FloatBin::Div) => return single::f32_div(x, y, false).into(),
            (Num::F64, FloatBin::Add | FloatBin::Sub | FloatBin::Mul | FloatBin::Div) => {
                let (x, y) = (f64::from_bits(a), f64::from_bits(b));
                let value = match op {
                    FloatBin::Add => x + y,
                    FloatBin::Sub => x - y,
                    FloatBin::Mul => x * y,
                    _ => x / y,
                };
                return f64_result(&[a, b], value);
            }
            (Num::F16, FloatBin::Add) => return half_add::<F16>(a as u16, b as u16).into(),
            (Num::F16, FloatBin::Sub) => return half_sub::<F16>(a as u16, b as u16).into(),
            (Num::F16, FloatBin::Mul) => return half_mul::<F16>(a as u16, b as u16).into(),
            (Num::Bf16, FloatBin::Add) => return half_add::<Bf16>(a as u16, b as u16).into(),
            (Num::Bf16, FloatBin::Sub) => return half_sub::<Bf16>(a as u16, b as u16).into(),
            (Num::Bf16, FloatBin::Mul) => return half_mul::<Bf16>(a as u16, b as u16).into(),
            _ => {}
        }
    }
    let (x, y) = (Real::unpack(format, a), Real::unpack(format, b));
    let value = match op {
        FloatBin::Add => Real::add(x, y, mods.round),
        FloatBin::Sub => Real::add(x, Real::unpack(format, b ^ format.sign_bit()), mods.round),
        FloatBin::Mul => Real::mul(x, y),
        _ => Real::div(x, y),
    };
    exact(format, mods.round, &[a, b], value)
}

fn fused(ty: Num, format: &Format, round: Round, a: u64, b: u64, c: u64) -> u64 {
    if nearest(round) {
        match ty {
            Num::F32 => return single::f32_fma(a as u32, b as u32, c as u32, false).into(),
            Num::F64 => {
                let [x, y, z] = [a, b, c].map(f64::from_bits);
                return f64_result(&[a, b, c], x.mul_add(y, z));
            }
            Num::F16 => return half_fma::<F16>(a as u16, b as u16, c as u16).into(),
            Num::Bf16 => return half_fma::<Bf16>(a as u16, b as u16, c as u16).into(),
            _ => {}
        }
    }
    let [x, y, z] = [a, b, c].map(|x| Real::unpack(format, x));
    exact(format, round, &[a, b, c], Real::fma(x, y, z, round))
}

fn root_or_reciprocal(op: FloatUn, ty: Num, format: &Format, round: Round, a: u64) -> u64 {
    // The approximations (round `None`) are the nearest too: within every documented error.
    if nearest(round) {
        match (ty, op) {
            (Num::F32, FloatUn::Rcp) => return single::f32_rcp(a as u32, false).into(),
            (Num::F32, _) => return single::f32_sqrt(a as u32, false).into(),
            (Num::F64, FloatUn::Rcp) => return f64_result(&[a], 1.0 / f64::from_bits(a)),
            (Num::F64, _) => return f64_result(&[a], f64::from_bits(a).sqrt()),
            _ => {}
        }
    }
    let x = Real::unpack(format, a);
    let value = if op == FloatUn::Rcp { Real::div(Real::integer(1), x) } else { Real::sqrt(x) };
    exact(format, round, &[a], value)
}

/// `min` and `max` (PTX ISA, "min"): a NaN loses unless `.NaN`; -0 < +0.
fn extreme(format: &Format, mods: FloatMods, a: u64, b: u64, max: bool) -> u64 {
    let sign = (a ^ b) & format.sign_bit();
    let [a, b] = [a, b].map(|x| if mods.xorsign { x & format.magnitude_mask() } else { x });
    let chosen = match (format.is_nan(a), format.is_nan(b)) {
        (true, true) => return format.nan,
        (true, false) | (false, true) if mods.nan => return format.nan,
        (true, false) => b,
        (false, true) => a,
        (false, false) => {
            // Sign and magnitude as an integer that orders -0 below +0.
            let key = |x: u64| {
                let magnitude = (x & format.magnitude_mask()) as i64;
                if x & format.sign_bit() != 0 { !magnitude } else { magnitude }
            };
            if (key(a) > key(b)) == max { a } else { b }
        }
    };
    if mods.xorsign { chosen & format.magnitude_mask() | sign } else { chosen }
}
