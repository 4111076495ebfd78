//! Comparison, selection and predicates.

use super::regs::{Lanes, Regs, Unset};
use crate::isa::{BoolOp, Cmp, Num, Pred, PredSrc, Reg, Src};
use crate::num;

/// The lanes of `mask` where the comparison holds.
pub(super) fn holds(
    regs: &Regs,
    mask: u32,
    (cmp, ty, ftz): (Cmp, Num, bool),
    (a, b): (Src, Src),
) -> Result<u32, Unset> {
    macro_rules! integer {
        ($test:ident, $as:ty) => {
            match cmp {
                Cmp::Eq => regs.$test(mask, (a, b), |a, b| a as $as == b as $as),
                Cmp::Ne => regs.$test(mask, (a, b), |a, b| a as $as != b as $as),
                Cmp::Lt => regs.$test(mask, (a, b), |a, b| (a as $as) < b as $as),
                Cmp::Le => regs.$test(mask, (a, b), |a, b| a as $as <= b as $as),
                Cmp::Gt => regs.$test(mask, (a, b), |a, b| a as $as > b as $as),
                Cmp::Ge => regs.$test(mask, (a, b), |a, b| a as $as >= b as $as),
                // The other comparisons are of floats.
                _ => regs.test2_wide(mask, (a, b), |a, b| num::compare(cmp, ty, ftz, a, b)),
            }
        };
    }
    match ty {
        Num::U8 => integer!(test2, u8),
        Num::S8 => integer!(test2, i8),
        Num::U16 => integer!(test2, u16),
        Num::S16 => integer!(test2, i16),
        Num::U32 => integer!(test2, u32),
        Num::S32 => integer!(test2, i32),
        Num::U64 => integer!(test2_wide, u64),
        Num::S64 => integer!(test2_wide, i64),
        Num::F32 => match (cmp, ftz) {
            (Cmp::Gt, false) => {
                regs.test2(mask, (a, b), |a, b| num::f32_compare(Cmp::Gt, a, b, false))
            }
            (Cmp::Leu, false) => {
                regs.test2(mask, (a, b), |a, b| num::f32_compare(Cmp::Leu, a, b, false))
            }
            (Cmp::Lt, false) => {
                regs.test2(mask, (a, b), |a, b| num::f32_compare(Cmp::Lt, a, b, false))
            }
            _ => regs.test2(mask, (a, b), |a, b| num::f32_compare(cmp, a, b, ftz)),
        },
        _ => regs.test2_wide(mask, (a, b), |a, b| num::compare(cmp, ty, ftz, a, b)),
    }
}

fn combine(op: BoolOp, a: u32, b: u32) -> u32 {
    match op {
        BoolOp::And => a & b,
        BoolOp::Or => a | b,
        BoolOp::Xor => a ^ b,
        BoolOp::A => a,
        BoolOp::NotA => !a,
    }
}

pub(super) fn setp(
    regs: &mut Regs,
    mask: u32,
    how: (Cmp, Num, bool),
    (dst, other): (Option<Pred>, Option<Pred>),
    (a, b): (Src, Src),
    with: Option<(BoolOp, PredSrc)>,
) -> Result<(), Unset> {
    let (cmp, ty, ftz) = how;
    let half = match ty {
        Num::F16x2 => Some(Num::F16),
        Num::Bf16x2 => Some(Num::Bf16),
        _ => None,
    };
    let (mut first, mut second) = if let Some(half) = half {
        let test = |shift: u32| {
            regs.test2_wide(mask, (a, b), |a, b| {
                num::compare(cmp, half, ftz, a >> shift & 0xffff, b >> shift & 0xffff)
            })
        };
        (test(0)?, test(16)?)
    } else {
        let first = holds(regs, mask, how, (a, b))?;
        (first, !first)
    };
    if let Some((op, p)) = with {
        let p = regs.pred(p, mask)?;
        first = combine(op, first, p);
        second = combine(op, second, p);
    }
    if let Some(dst) = dst {
        regs.put_pred(dst, mask, first);
    }
    if let Some(other) = other {
        regs.put_pred(other, mask, second);
    }
    Ok(())
}

#[allow(clippy::too_many_arguments)] // The fields of one instruction.
pub(super) fn set(
    regs: &mut Regs,
    mask: u32,
    how: (Cmp, Num, bool),
    to: Num,
    dst: Reg,
    (a, b): (Src, Src),
    with: Option<(BoolOp, PredSrc)>,
) -> Result<(), Unset> {
    let (cmp, ty, ftz) = how;
    let one: u64 = match to {
        Num::F32 => 0x3f80_0000,
        Num::F16 => 0x3c00,
        Num::Bf16 => 0x3f80,
        Num::F16x2 => 0x3c00_3c00,
        Num::Bf16x2 => 0x3f80_3f80,
        other => u64::MAX >> (64 - other.bits()),
    };
    let combined = |held: u32| -> Result<u32, Unset> {
        Ok(match with {
            Some((op, p)) => combine(op, held, regs.pred(p, mask)?),
            None => held,
        })
    };
    let pick =
        |held: u32, lane: usize, field: u64| if held >> lane & 1 == 1 { one & field } else { 0 };
    let out: Lanes<u64> = match ty {
        Num::F16x2 | Num::Bf16x2 => {
            let half = if ty == Num::F16x2 { Num::F16 } else { Num::Bf16 };
            let test = |shift: u32| {
                regs.test2_wide(mask, (a, b), |a, b| {
                    num::compare(cmp, half, ftz, a >> shift & 0xffff, b >> shift & 0xffff)
                })
            };
            let (low, high) = (combined(test(0)?)?, combined(test(16)?)?);
            std::array::from_fn(|i| pick(low, i, 0xffff) | pick(high, i, 0xffff_0000))
        }
        _ => {
            let held = combined(holds(regs, mask, how, (a, b))?)?;
            std::array::from_fn(|i| pick(held, i, u64::MAX))
        }
    };
    regs.put64(dst, mask, &out);
    Ok(())
}

/// Selects, and passes on whether the selected value was ever written: a compiler may select
/// between a value and nothing.
pub(super) fn selp(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    (a, b): (Src, Src),
    p: PredSrc,
) -> Result<(), Unset> {
    let yes = regs.pred(p, mask)?;
    let (wa, wb) = (regs.written(a), regs.written(b));
    let low = regs.low_written(a) & yes | regs.low_written(b) & !yes;
    select(regs, dst, (a, b), mask, yes);
    let written = wa & yes | wb & !yes;
    if written & mask != mask {
        regs.set_written(dst, mask, written, low);
    }
    Ok(())
}

fn select(regs: &mut Regs, dst: Reg, (a, b): (Src, Src), mask: u32, yes: u32) {
    let none = 0;
    match dst {
        Reg::R32(_) => {
            // Nothing is asked of lanes outside an empty mask, so these cannot fail.
            let (Ok(a), Ok(b)) = (regs.copy32(a, none), regs.copy32(b, none)) else { return };
            let out = std::array::from_fn(|i| if yes >> i & 1 == 1 { a[i] } else { b[i] });
            regs.put32(dst, mask, &out);
        }
        Reg::R64(_) => {
            let (Ok(a), Ok(b)) = (regs.copy64(a, none), regs.copy64(b, none)) else { return };
            let out = std::array::from_fn(|i| if yes >> i & 1 == 1 { a[i] } else { b[i] });
            regs.put64(dst, mask, &out);
        }
    }
}

/// `slct`: `a` where `c` is not negative (a negative zero is not, a NaN is).
pub(super) fn slct(
    regs: &mut Regs,
    mask: u32,
    dst: Reg,
    (a, b, c): (Src, Src, Src),
    by: Num,
    ftz: bool,
) -> Result<(), Unset> {
    let zero = Src::Imm(0);
    let yes = if by == Num::F32 {
        holds(regs, mask, (Cmp::Ge, Num::F32, ftz), (c, zero))?
    } else {
        holds(regs, mask, (Cmp::Ge, Num::S32, false), (c, zero))?
    };
    let (a, b) = (regs.copy64(a, mask & yes)?, regs.copy64(b, mask & !yes)?);
    let out = std::array::from_fn(|i| if yes >> i & 1 == 1 { a[i] } else { b[i] });
    regs.put64(dst, mask, &out);
    Ok(())
}

pub(super) fn logic(
    regs: &mut Regs,
    mask: u32,
    op: BoolOp,
    dst: Pred,
    (a, b): (PredSrc, PredSrc),
) -> Result<(), Unset> {
    let first = regs.pred(a, mask)?;
    let second = if matches!(op, BoolOp::A | BoolOp::NotA) { 0 } else { regs.pred(b, mask)? };
    regs.put_pred(dst, mask, combine(op, first, second));
    Ok(())
}

pub(super) fn testp(
    regs: &mut Regs,
    mask: u32,
    classes: u8,
    ty: Num,
    dst: Pred,
    a: Src,
) -> Result<(), Unset> {
    let held = regs.test2_wide(mask, (a, a), |a, _| num::testp(classes, ty, a))?;
    regs.put_pred(dst, mask, held);
    Ok(())
}
