//! Integer and logic instructions. One scalar definition per operation; loops over lanes with a fixed
//! operation and type are made from it.

use super::regs::{Regs, Unset};
use crate::isa::{CarryOp, IntBin, IntTer, IntUn, Num, PrmtMode, Reg, Src};

#[inline(always)]
fn ones(bits: u32) -> u64 {
    u64::MAX >> (64 - bits)
}

/// The value of the low `bits`, with their sign.
#[inline(always)]
fn signed(x: u64, bits: u32) -> i64 {
    (x << (64 - bits)) as i64 >> (64 - bits)
}

/// The value as a type reads it.
#[inline(always)]
fn value(ty: Num, x: u64) -> i128 {
    if ty.signed() { signed(x, ty.bits()).into() } else { (x & ones(ty.bits())).into() }
}

#[inline(always)]
fn clamp(ty: Num, x: i128) -> u64 {
    let bits = ty.bits();
    let (low, high) = if ty.signed() {
        (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    } else {
        (0, (1 << bits) - 1)
    };
    x.clamp(low, high) as u64
}

/// Applies a 16-bit operation to both halves.
#[inline(always)]
fn by_halves(ty: Num, a: u64, b: u64, f: impl Fn(Num, u64, u64) -> u64) -> u64 {
    let part = if ty == Num::S16x2 { Num::S16 } else { Num::U16 };
    f(part, a & 0xffff, b & 0xffff) | f(part, a >> 16 & 0xffff, b >> 16 & 0xffff) << 16
}

#[inline(always)]
fn scalar2(op: IntBin, ty: Num, a: u64, b: u64) -> u64 {
    if matches!(ty, Num::U16x2 | Num::S16x2) {
        return by_halves(ty, a, b, |part, a, b| scalar_one(op, part, a, b));
    }
    scalar_one(op, ty, a, b)
}

/// PTX ISA, "Integer Arithmetic Instructions" and "Logic and Shift Instructions".
#[inline(always)]
fn scalar_one(op: IntBin, ty: Num, a: u64, b: u64) -> u64 {
    let bits = ty.bits();
    let (za, zb) = (a & ones(bits), b & ones(bits));
    let (sa, sb) = (signed(a, bits), signed(b, bits));
    let less = if ty.signed() { sa < sb } else { za < zb };
    let amount = b as u32;
    let result = match op {
        IntBin::Add => a.wrapping_add(b),
        IntBin::Sub => a.wrapping_sub(b),
        IntBin::AddSat => clamp(ty, value(ty, a) + value(ty, b)),
        IntBin::SubSat => clamp(ty, value(ty, a) - value(ty, b)),
        IntBin::MulLo => a.wrapping_mul(b),
        IntBin::MulHi if bits <= 32 && ty.signed() => (sa.wrapping_mul(sb) >> bits) as u64,
        IntBin::MulHi if bits <= 32 => za.wrapping_mul(zb) >> bits,
        IntBin::MulHi if ty.signed() => ((i128::from(sa) * i128::from(sb)) >> 64) as u64,
        IntBin::MulHi => ((u128::from(za) * u128::from(zb)) >> 64) as u64,
        IntBin::MulWide => {
            let product =
                if ty.signed() { sa.wrapping_mul(sb) as u64 } else { za.wrapping_mul(zb) };
            return product & ones((2 * bits).min(64));
        }
        IntBin::Mul24Lo => mul24(ty, a, b),
        IntBin::Mul24Hi => (mul24(ty, a, b) as i64 >> 16) as u64,
        // Division by zero gives all ones, and its remainder the dividend, as NVIDIA's GPUs do.
        IntBin::Div if zb == 0 => u64::MAX,
        IntBin::Rem if zb == 0 => za,
        IntBin::Div if ty.signed() => sa.wrapping_div(sb) as u64,
        IntBin::Div => za / zb,
        IntBin::Rem if ty.signed() => sa.wrapping_rem(sb) as u64,
        IntBin::Rem => za % zb,
        IntBin::Min => {
            if less {
                a
            } else {
                b
            }
        }
        IntBin::Max => {
            if less {
                b
            } else {
                a
            }
        }
        IntBin::MinRelu => sa.min(sb).max(0) as u64,
        IntBin::MaxRelu => sa.max(sb).max(0) as u64,
        IntBin::And => a & b,
        IntBin::Or => a | b,
        IntBin::Xor => a ^ b,
        IntBin::Shl if amount >= bits => 0,
        IntBin::Shl => a << (amount & 63),
        IntBin::Shr if ty.signed() => (sa >> amount.min(bits - 1)) as u64,
        IntBin::Shr if amount >= bits => 0,
        IntBin::Shr => za >> (amount & 63),
        IntBin::SzextClamp => szext(ty, a, u64::from(amount).min(32)),
        IntBin::SzextWrap => szext(ty, a, u64::from(amount & 31)),
        IntBin::BmskClamp => bmsk(a.min(32), b.min(32)),
        IntBin::BmskWrap => bmsk(a & 31, b & 31),
    };
    result & ones(bits)
}

fn mul24(ty: Num, a: u64, b: u64) -> u64 {
    if ty.signed() {
        signed(a, 24).wrapping_mul(signed(b, 24)) as u64
    } else {
        (a & 0xff_ffff) * (b & 0xff_ffff)
    }
}

fn szext(ty: Num, a: u64, bits: u64) -> u64 {
    match (bits, ty.signed()) {
        (0, _) => 0,
        (n, true) => signed(a, n as u32) as u64,
        (n, false) => a & ones(n as u32),
    }
}

/// `b` ones from bit `a` on.
fn bmsk(a: u64, b: u64) -> u64 {
    if b == 0 { 0 } else { ones(b as u32) << a }
}

/// A loop over lanes for each operation of the list, with the operation and the type as constants;
/// any other is worked out lane by lane.
macro_rules! per_op {
    ($op:expr, $ty:expr, $run:ident, [$($name:ident)*]) => {
        match $op {
            $(IntBin::$name => $run!(|a, b| scalar2(IntBin::$name, $ty, a, b)),)*
            other => $run!(|a, b| scalar2(other, $ty, a, b)),
        }
    };
}

pub(super) fn binary(
    regs: &mut Regs,
    mask: u32,
    op: IntBin,
    ty: Num,
    dst: Reg,
    (a, b): (Src, Src),
) -> Result<(), Unset> {
    macro_rules! narrow {
        (|$a:ident, $b:ident| $f:expr) => {
            regs.map2(mask, dst, (a, b), |$a, $b| {
                let ($a, $b) = (u64::from($a), u64::from($b));
                $f as u32
            })
        };
    }
    macro_rules! wide {
        (|$a:ident, $b:ident| $f:expr) => {
            regs.wide2(mask, dst, (a, b), |$a, $b| $f)
        };
    }
    match ty {
        _ if op == IntBin::MulWide => match ty {
            Num::S32 => wide!(|a, b| scalar2(IntBin::MulWide, Num::S32, a, b)),
            Num::U32 => wide!(|a, b| scalar2(IntBin::MulWide, Num::U32, a, b)),
            _ => wide!(|a, b| scalar2(IntBin::MulWide, ty, a, b)),
        },
        Num::U32 => {
            per_op!(op, Num::U32, narrow, [Add Sub MulLo Min Max And Or Xor Shl Shr Div Rem])
        }
        Num::S32 => per_op!(op, Num::S32, narrow, [Add Sub MulLo Min Max Shl Shr Div Rem]),
        Num::U16 => per_op!(op, Num::U16, narrow, [Add Sub MulLo And Or Xor Shl Shr]),
        Num::S16 => per_op!(op, Num::S16, narrow, [Add Sub MulLo Shl Shr]),
        Num::U64 => per_op!(op, Num::U64, wide, [Add Sub MulLo Min Max And Or Xor Shl Shr]),
        Num::S64 => per_op!(op, Num::S64, wide, [Add Sub MulLo Min Max Shl Shr]),
        _ => narrow!(|a, b| scalar2(op, ty, a, b)),
    }
}

pub(super) fn ternary(
    regs: &mut Regs,
    mask: u32,
    op: IntTer,
    ty: Num,
    dst: Reg,
    (a, b, c): (Src, Src, Src),
) -> Result<(), Unset> {
    match (op, ty) {
        (IntTer::MadLo, Num::U32 | Num::S32) => {
            regs.map3(mask, dst, (a, b, c), |a, b, c| a.wrapping_mul(b).wrapping_add(c))
        }
        _ => regs.wide3(mask, dst, (a, b, c), |a, b, c| scalar3(op, ty, a, b, c)),
    }
}

#[inline(always)]
fn scalar3(op: IntTer, ty: Num, a: u64, b: u64, c: u64) -> u64 {
    let bits = ty.bits();
    let result = match op {
        IntTer::MadLo => a.wrapping_mul(b).wrapping_add(c),
        IntTer::MadHi => scalar2(IntBin::MulHi, ty, a, b).wrapping_add(c),
        IntTer::MadHiSat => clamp(ty, value(ty, scalar2(IntBin::MulHi, ty, a, b)) + value(ty, c)),
        IntTer::MadWide => {
            let product = scalar2(IntBin::MulWide, ty, a, b);
            return product.wrapping_add(c) & ones((2 * bits).min(64));
        }
        IntTer::Mad24Lo => mul24(ty, a, b).wrapping_add(c),
        IntTer::Mad24Hi => scalar2(IntBin::Mul24Hi, ty, a, b).wrapping_add(c),
        IntTer::Sad => {
            let (x, y) = (value(ty, a), value(ty, b));
            c.wrapping_add((x - y).unsigned_abs() as u64)
        }
        IntTer::Fns => fns(a as u32, b as u32, c as i32),
    };
    result & ones(bits)
}

/// The position of the n-th set bit, counted from `base` on in the direction of the sign of `offset`.
fn fns(mask: u32, base: u32, offset: i32) -> u64 {
    let base = base & 31;
    let bits: Vec<u32> = match offset.signum() {
        0 => return if mask >> base & 1 == 1 { base.into() } else { u32::MAX.into() },
        1 => (base..32).collect(),
        _ => (0..=base).rev().collect(),
    };
    let wanted = offset.unsigned_abs() as usize - 1;
    let found = bits.into_iter().filter(|&i| mask >> i & 1 == 1).nth(wanted);
    found.unwrap_or(u32::MAX).into()
}

pub(super) fn unary(
    regs: &mut Regs,
    mask: u32,
    op: IntUn,
    ty: Num,
    dst: Reg,
    a: Src,
) -> Result<(), Unset> {
    regs.wide1(mask, dst, a, |a| match ty {
        Num::U16x2 | Num::S16x2 => by_halves(ty, a, 0, |part, a, _| scalar1(op, part, a)),
        _ => scalar1(op, ty, a),
    })
}

fn scalar1(op: IntUn, ty: Num, a: u64) -> u64 {
    let bits = ty.bits();
    let (z, s) = (a & ones(bits), signed(a, bits));
    let result = match op {
        IntUn::Abs => s.wrapping_abs() as u64,
        IntUn::Neg => a.wrapping_neg(),
        IntUn::Not => !a,
        IntUn::Cnot => u64::from(z == 0),
        IntUn::Popc => return z.count_ones().into(),
        IntUn::Clz => return u64::from(z.leading_zeros() - (64 - bits)),
        IntUn::Brev => z.reverse_bits() >> (64 - bits),
        IntUn::Bfind | IntUn::BfindShift => {
            let x = if ty.signed() && s < 0 { !a & ones(bits) } else { z };
            if x == 0 {
                return u32::MAX.into();
            }
            let at = 63 - x.leading_zeros();
            return u64::from(if op == IntUn::Bfind { at } else { bits - 1 - at });
        }
    };
    result & ones(bits)
}

/// `add.cc`, `addc`, `sub.cc`, `subc`, `mad{c}`: (reads, writes) the carry flag.
pub(super) fn carry(
    regs: &mut Regs,
    mask: u32,
    op: CarryOp,
    ty: Num,
    dst: Reg,
    (a, b, c): (Src, Src, Src),
    (reads, writes): (bool, bool),
) -> Result<(), Unset> {
    let bits = ty.bits();
    let a = regs.copy64(a, mask)?;
    let b = regs.copy64(b, mask)?;
    let c = if matches!(op, CarryOp::Add | CarryOp::Sub) { [0; 32] } else { regs.copy64(c, mask)? };
    let mut out = [0; 32];
    let mut flags = 0;
    for lane in 0..32 {
        let cf = u128::from(reads && regs.carry >> lane & 1 == 1);
        let z = |x: u64| u128::from(x & ones(bits));
        let (a, b, c) = (a[lane], b[lane], c[lane]);
        let exact = match op {
            CarryOp::Add => z(a) + z(b) + cf,
            // The borrow appears above the width.
            CarryOp::Sub => z(a).wrapping_sub(z(b)).wrapping_sub(cf),
            CarryOp::MadLo => z(a.wrapping_mul(b)) + z(c) + cf,
            CarryOp::MadHi => z(scalar2(IntBin::MulHi, ty, a, b)) + z(c) + cf,
        };
        out[lane] = exact as u64 & ones(bits);
        flags |= u32::from(exact >> bits & 1 == 1) << lane;
    }
    if writes {
        regs.carry = regs.carry & !mask | flags & mask;
    }
    regs.put64(dst, mask, &out);
    Ok(())
}

pub(super) fn bfe(
    regs: &mut Regs,
    mask: u32,
    ty: Num,
    dst: Reg,
    operands: (Src, Src, Src),
) -> Result<(), Unset> {
    let bits = ty.bits();
    regs.wide3(mask, dst, operands, |a, pos, len| {
        let (pos, len) = ((pos & 0xff) as u32, (len & 0xff) as u32);
        let a = a & ones(bits);
        let top = (pos + len).saturating_sub(1).min(bits - 1);
        let sign = ty.signed() && len > 0 && a >> top & 1 == 1;
        let field = if pos >= bits { 0 } else { a >> pos };
        let kept = if len == 0 { 0 } else { field & ones(len.min(64)) };
        // Bits past the end of the operand are copies of the sign.
        let have = len.min(bits.saturating_sub(pos));
        let fill = if have >= 64 { 0 } else { u64::MAX << have };
        (if sign { kept | fill } else { kept }) & ones(bits)
    })
}

pub(super) fn bfi(
    regs: &mut Regs,
    mask: u32,
    ty: Num,
    dst: Reg,
    [a, b, pos, len]: [Src; 4],
) -> Result<(), Unset> {
    let bits = ty.bits();
    let len = regs.copy32(len, mask)?;
    let pos = regs.copy32(pos, mask)?;
    let (a, b) = (regs.copy64(a, mask)?, regs.copy64(b, mask)?);
    let out = std::array::from_fn(|i| {
        let (pos, len) = (pos[i] & 0xff, len[i] & 0xff);
        let room = bits.saturating_sub(pos);
        let len = len.min(room);
        if len == 0 {
            return b[i] & ones(bits);
        }
        let field = ones(len) << pos;
        (b[i] & !field | a[i] << pos & field) & ones(bits)
    });
    regs.put64(dst, mask, &out);
    Ok(())
}

pub(super) fn lop3(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    operands: (Src, Src, Src),
    lut: u8,
) -> Result<(), Unset> {
    let on = |i: u32| if lut >> i & 1 == 1 { u32::MAX } else { 0 };
    let table: [u32; 8] = std::array::from_fn(|i| on(i as u32));
    regs.map3(mask, dst, operands, |a, b, c| {
        let mut r = 0;
        for (i, t) in table.iter().enumerate() {
            let pick = |x: u32, bit: usize| if i >> bit & 1 == 1 { x } else { !x };
            r |= t & pick(a, 2) & pick(b, 1) & pick(c, 0);
        }
        r
    })
}

pub(super) fn shf(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    operands: (Src, Src, Src),
    left: bool,
    wrap: bool,
) -> Result<(), Unset> {
    regs.map3(mask, dst, operands, |a, b, c| {
        let n = if wrap { c & 31 } else { c.min(32) };
        let both = u64::from(b) << 32 | u64::from(a);
        if left { (both << n >> 32) as u32 } else { (both >> n) as u32 }
    })
}

pub(super) fn prmt(
    regs: &mut Regs,
    mask: u32,
    mode: PrmtMode,
    dst: Reg,
    operands: (Src, Src, Src),
) -> Result<(), Unset> {
    regs.map3(mask, dst, operands, |a, b, sel| {
        let bytes = (u64::from(b) << 32 | u64::from(a)).to_le_bytes();
        let s = (sel & 3) as usize;
        let pick: [usize; 4] = match mode {
            PrmtMode::Index => std::array::from_fn(|i| (sel >> (4 * i) & 15) as usize),
            PrmtMode::F4e => std::array::from_fn(|i| s + i),
            PrmtMode::B4e => std::array::from_fn(|i| (s + 8 - i) & 7),
            PrmtMode::Rc8 => [s; 4],
            PrmtMode::Ecl => std::array::from_fn(|i| i.max(s)),
            PrmtMode::Ecr => std::array::from_fn(|i| i.min(s)),
            PrmtMode::Rc16 => std::array::from_fn(|i| (s & 1) * 2 + (i & 1)),
        };
        u32::from_le_bytes(pick.map(|p| {
            let byte = bytes[p & 7];
            // The upper bit of a selector spreads the sign of its byte.
            if p & 8 == 0 { byte } else { ((byte as i8) >> 7) as u8 }
        }))
    })
}

/// `dp4a`, or `dp2a` with the lower or upper half of `b`.
pub(super) fn dot(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    operands: (Src, Src, Src),
    (a_signed, b_signed): (bool, bool),
    half: Option<bool>,
) -> Result<(), Unset> {
    let take = |x: u32, bits: u32, i: u32, sign: bool| {
        let part = u64::from(x >> (bits * i)) & ones(bits);
        if sign { signed(part, bits) } else { part as i64 }
    };
    regs.map3(mask, dst, operands, |a, b, c| {
        let sum: i64 = match half {
            None => (0..4).map(|i| take(a, 8, i, a_signed) * take(b, 8, i, b_signed)).sum(),
            Some(high) => {
                let first = if high { 2 } else { 0 };
                (0..2).map(|i| take(a, 16, i, a_signed) * take(b, 8, first + i, b_signed)).sum()
            }
        };
        c.wrapping_add(sum as u32)
    })
}
