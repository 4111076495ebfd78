//! Logic, shifts and bit fields (PTX ISA, "Logic and Shift Instructions", `bfe`, `bfi`, `prmt`).

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{BoolOp, IntBin, IntUn, Op, PrmtMode};

/// `and or xor not cnot`
pub(super) fn logic(line: &mut Line<'_, '_, '_>) -> Lowered {
    let unary = matches!(line.opcode(), "not" | "cnot");
    let operands = if unary { 2 } else { 3 };
    if line.opcode() != "cnot" && line.flag("pred") {
        line.end(operands..=operands)?;
        let (dst, a) = (line.pred_dst(0)?, line.pred_src(1)?);
        let b = if unary { a } else { line.pred_src(2)? };
        let op = match line.opcode() {
            "and" => BoolOp::And,
            "or" => BoolOp::Or,
            "xor" => BoolOp::Xor,
            _ => BoolOp::NotA,
        };
        return Ok(Op::PredLogic { op, dst, a, b });
    }
    let ty = line.ty("b16 b32 b64")?;
    line.end(operands..=operands)?;
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    let op = match line.opcode() {
        "and" => IntBin::And,
        "or" => IntBin::Or,
        "xor" => IntBin::Xor,
        "not" => return Ok(Op::IntUn { op: IntUn::Not, ty: ty.num, dst, a }),
        _ => return Ok(Op::IntUn { op: IntUn::Cnot, ty: ty.num, dst, a }),
    };
    let b = line.src(2, ty)?;
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

/// `shl shr`: the amount is 32 bits whatever the type.
pub(super) fn shift(line: &mut Line<'_, '_, '_>) -> Lowered {
    let left = line.opcode() == "shl";
    let ty = line.ty(if left { "b16 b32 b64" } else { "b16 b32 b64 u16 u32 u64 s16 s32 s64" })?;
    line.end(3..=3)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, Ty::U32)?);
    let op = if left { IntBin::Shl } else { IntBin::Shr };
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

pub(super) fn funnel(line: &mut Line<'_, '_, '_>) -> Lowered {
    let left = line.need(&[("l", true), ("r", false)])?;
    let wrap = line.need(&[("wrap", true), ("clamp", false)])?;
    let ty = line.ty("b32")?;
    line.end(4..=4)?;
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    let (b, c) = (line.src(2, ty)?, line.src(3, Ty::U32)?);
    Ok(Op::Shf { left, wrap, dst, a, b, c })
}

/// `bfe d, a, pos, len`; `bfi d, a, b, pos, len`
pub(super) fn field(line: &mut Line<'_, '_, '_>) -> Lowered {
    if line.opcode() == "bfe" {
        let ty = line.ty("u32 u64 s32 s64")?;
        line.end(4..=4)?;
        let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
        let (pos, len) = (line.src(2, Ty::U32)?, line.src(3, Ty::U32)?);
        return Ok(Op::Bfe { ty: ty.num, dst, a, pos, len });
    }
    let ty = line.ty("b32 b64")?;
    line.end(5..=5)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    let (pos, len) = (line.src(3, Ty::U32)?, line.src(4, Ty::U32)?);
    Ok(Op::Bfi { ty: ty.num, dst, a, b, pos, len })
}

/// `szext bmsk`
pub(super) fn mask(line: &mut Line<'_, '_, '_>) -> Lowered {
    let wrap = line.need(&[("clamp", false), ("wrap", true)])?;
    let extend = line.opcode() == "szext";
    let ty = line.ty(if extend { "u32 s32" } else { "b32" })?;
    line.end(3..=3)?;
    line.since(line.opcode(), 70, (7, 6))?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, Ty::U32)?);
    let op = match (extend, wrap) {
        (true, false) => IntBin::SzextClamp,
        (true, true) => IntBin::SzextWrap,
        (false, false) => IntBin::BmskClamp,
        (false, true) => IntBin::BmskWrap,
    };
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

pub(super) fn lop3(line: &mut Line<'_, '_, '_>) -> Lowered {
    let ty = line.ty("b32")?;
    line.end(5..=5)?;
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    let (b, c) = (line.src(2, ty)?, line.src(3, ty)?);
    let lut = u8::try_from(line.literal(4, 0, 255)?).unwrap_or(u8::MAX);
    Ok(Op::Lop3 { dst, a, b, c, lut })
}

pub(super) fn prmt(line: &mut Line<'_, '_, '_>) -> Lowered {
    let modes = [
        ("f4e", PrmtMode::F4e),
        ("b4e", PrmtMode::B4e),
        ("rc8", PrmtMode::Rc8),
        ("ecl", PrmtMode::Ecl),
        ("ecr", PrmtMode::Ecr),
        ("rc16", PrmtMode::Rc16),
    ];
    let mode = line.pick(&modes).unwrap_or(PrmtMode::Index);
    let ty = line.ty("b32")?;
    line.end(4..=4)?;
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    let (b, sel) = (line.src(2, ty)?, line.src(3, ty)?);
    Ok(Op::Prmt { mode, dst, a, b, sel })
}
