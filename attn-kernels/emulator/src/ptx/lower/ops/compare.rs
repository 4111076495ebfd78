//! `setp`, `set`, `selp`, `slct` (PTX ISA, "Comparison and Selection Instructions").

use super::super::line::Line;
use super::super::types::{Class, Ty};
use super::Lowered;
use crate::isa::{BoolOp, Cmp, Num, Op, PredSrc};
use crate::ptx::PtxError;

const TYPES: &str = "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64 f16 f16x2 bf16 bf16x2";

/// The comparison, by name; which class of types has it is checked after the type is known.
const COMPARISONS: &[(&str, Cmp)] = &[
    ("eq", Cmp::Eq),
    ("ne", Cmp::Ne),
    ("lt", Cmp::Lt),
    ("le", Cmp::Le),
    ("gt", Cmp::Gt),
    ("ge", Cmp::Ge),
    ("equ", Cmp::Equ),
    ("neu", Cmp::Neu),
    ("ltu", Cmp::Ltu),
    ("leu", Cmp::Leu),
    ("gtu", Cmp::Gtu),
    ("geu", Cmp::Geu),
    ("num", Cmp::Num),
    ("nan", Cmp::Nan),
];
const UNSIGNED: &[(&str, Cmp)] =
    &[("lo", Cmp::Lt), ("ls", Cmp::Le), ("hi", Cmp::Gt), ("hs", Cmp::Ge)];
const BOOLS: &[(&str, BoolOp)] = &[("and", BoolOp::And), ("or", BoolOp::Or), ("xor", BoolOp::Xor)];

/// The common part: comparison, combination, `.ftz`.
struct Test {
    cmp: Cmp,
    ty: Ty,
    ftz: bool,
    with: Option<(BoolOp, PredSrc)>,
}

fn test(line: &mut Line<'_, '_, '_>) -> Result<Test, PtxError> {
    let strict = line.pick(UNSIGNED);
    let cmp = match strict {
        Some(cmp) => cmp,
        None => line.need(COMPARISONS)?,
    };
    let combine = line.pick(BOOLS);
    let ty = line.ty(TYPES)?;
    let float = ty.is_float();
    let ftz = float && !matches!(ty.num, Num::F64 | Num::Bf16 | Num::Bf16x2) && line.flag("ftz");
    let ordered = matches!(cmp, Cmp::Lt | Cmp::Le | Cmp::Gt | Cmp::Ge);
    let fits = match ty.class {
        _ if strict.is_some() => ty.class == Class::Int && !ty.num.signed(),
        _ if float => true,
        Class::Bits => matches!(cmp, Cmp::Eq | Cmp::Ne),
        _ => ordered || matches!(cmp, Cmp::Eq | Cmp::Ne),
    };
    if !fits {
        return Err(line.invalid(format!("this comparison is not there for .{}", ty.name)));
    }
    let operands = if combine.is_some() { 4 } else { 3 };
    line.end(operands..=operands)?;
    if matches!(ty.num, Num::Bf16 | Num::Bf16x2) {
        line.since(&format!("{}.{}", line.opcode(), ty.name), 90, (7, 8))?;
    }
    let with = match combine {
        Some(op) => Some((op, line.pred_src(3)?)),
        None => None,
    };
    Ok(Test { cmp, ty, ftz, with })
}

pub(super) fn setp(line: &mut Line<'_, '_, '_>) -> Lowered {
    let Test { cmp, ty, ftz, with } = test(line)?;
    let (dst, other) = line.pred_pair(0)?;
    let (a, b) = (line.src(1, ty)?, line.src(2, ty)?);
    Ok(Op::Setp { cmp, ty: ty.num, ftz, dst, other, a, b, with })
}

pub(super) fn set(line: &mut Line<'_, '_, '_>) -> Lowered {
    let to = line.ty("u32 s32 f32 u16 s16 f16 f16x2 bf16 bf16x2")?;
    let Test { cmp, ty, ftz, with } = test(line)?;
    let fits = match ty.num {
        Num::F16 => matches!(to.name, "f16" | "u16" | "s16" | "u32" | "s32"),
        Num::Bf16 => matches!(to.name, "bf16" | "u16" | "s16" | "u32" | "s32"),
        Num::F16x2 => matches!(to.name, "f16x2" | "u32" | "s32"),
        Num::Bf16x2 => matches!(to.name, "bf16x2" | "u32" | "s32"),
        _ => matches!(to.name, "u32" | "s32" | "f32"),
    };
    if !fits {
        return Err(line.invalid(format!("a .{} result of comparing .{}", to.name, ty.name)));
    }
    let (dst, a, b) = (line.dst(0, to)?, line.src(1, ty)?, line.src(2, ty)?);
    Ok(Op::Set { cmp, ty: ty.num, to: to.num, ftz, dst, a, b, with })
}

const SELECTED: &str = "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64";

pub(super) fn selp(line: &mut Line<'_, '_, '_>) -> Lowered {
    let ty = line.ty(SELECTED)?;
    line.end(4..=4)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    let p = line.pred_src(3)?;
    Ok(Op::Selp { dst, a, b, p })
}

pub(super) fn slct(line: &mut Line<'_, '_, '_>) -> Lowered {
    let ftz = line.flag("ftz");
    let ty = line.ty(SELECTED)?;
    let by = line.ty(if ftz { "f32" } else { "s32 f32" })?;
    line.end(4..=4)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    let c = line.src(3, by)?;
    Ok(Op::Slct { dst, a, b, c, by: by.num, ftz })
}
