//! Integer arithmetic (PTX ISA, "Integer Arithmetic Instructions", "Extended-Precision …").

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{CarryOp, IntBin, IntTer, IntUn, Op, Src};

const INTEGERS: &str = "u16 u32 u64 s16 s32 s64";
const PACKED: &str = "u16 u32 u64 s16 s32 s64 u16x2 s16x2";
const WIDE_ENOUGH: &str = "u32 s32 u64 s64";

fn packed(line: &Line<'_, '_, '_>, ty: Ty) -> Result<(), crate::ptx::PtxError> {
    if matches!(ty.name, "u16x2" | "s16x2") {
        line.since("packed integer arithmetic", 90, (8, 0))?;
    }
    Ok(())
}

fn carry_since(line: &Line<'_, '_, '_>, ty: Ty) -> Result<(), crate::ptx::PtxError> {
    if ty.bits() == 64 { line.since("64-bit carry", 0, (4, 3)) } else { Ok(()) }
}

/// `add sub addc subc`
pub(super) fn add(line: &mut Line<'_, '_, '_>) -> Lowered {
    let subtract = line.opcode().starts_with("sub");
    let reads = line.opcode().ends_with('c');
    let writes = line.flag("cc");
    let saturate = !reads && !writes && line.flag("sat");
    let ty = line.ty(if reads || writes {
        WIDE_ENOUGH
    } else if saturate {
        "s32"
    } else {
        PACKED
    })?;
    line.end(3..=3)?;
    packed(line, ty)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    if reads || writes {
        carry_since(line, ty)?;
        let op = if subtract { CarryOp::Sub } else { CarryOp::Add };
        return Ok(Op::Carry { op, ty: ty.num, dst, a, b, c: Src::Imm(0), reads, writes });
    }
    if subtract && ty.name.ends_with("x2") {
        return Err(line.invalid(format!("type .{}, but it has {INTEGERS}", ty.name)));
    }
    let op = match (subtract, saturate) {
        (false, false) => IntBin::Add,
        (false, true) => IntBin::AddSat,
        (true, false) => IntBin::Sub,
        (true, true) => IntBin::SubSat,
    };
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Lo,
    Hi,
    Wide,
}

const HALVES: &[(&str, Half)] = &[("lo", Half::Lo), ("hi", Half::Hi), ("wide", Half::Wide)];

/// `mul mul24`
pub(super) fn mul(line: &mut Line<'_, '_, '_>) -> Lowered {
    let short = line.opcode() == "mul24";
    let half = line.need(if short { &HALVES[..2] } else { HALVES })?;
    let ty = line.ty(match (short, half) {
        (true, _) => "u32 s32",
        (false, Half::Wide) => "u16 u32 s16 s32",
        (false, _) => INTEGERS,
    })?;
    line.end(3..=3)?;
    let out = if half == Half::Wide { ty.wide().unwrap_or(ty) } else { ty };
    let (dst, a, b) = (line.dst(0, out)?, line.src(1, ty)?, line.src(2, ty)?);
    let op = match (short, half) {
        (false, Half::Lo) => IntBin::MulLo,
        (false, Half::Hi) => IntBin::MulHi,
        (false, Half::Wide) => IntBin::MulWide,
        (true, Half::Lo) => IntBin::Mul24Lo,
        (true, _) => IntBin::Mul24Hi,
    };
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

/// `mad mad24 madc`
pub(super) fn mad(line: &mut Line<'_, '_, '_>) -> Lowered {
    let (short, reads) = (line.opcode() == "mad24", line.opcode() == "madc");
    let writes = !short && line.flag("cc");
    let half = line.need(if short || reads || writes { &HALVES[..2] } else { HALVES })?;
    let saturate = !short && !reads && !writes && half == Half::Hi && line.flag("sat");
    let ty = line.ty(match (short, half) {
        (true, _) => "u32 s32",
        _ if reads || writes => WIDE_ENOUGH,
        _ if saturate => "s32",
        (false, Half::Wide) => "u16 u32 s16 s32",
        (false, _) => INTEGERS,
    })?;
    line.end(4..=4)?;
    let out = if half == Half::Wide { ty.wide().unwrap_or(ty) } else { ty };
    let (dst, a, b, c) = (line.dst(0, out)?, line.src(1, ty)?, line.src(2, ty)?, line.src(3, out)?);
    let ty_num = ty.num;
    if reads || writes {
        carry_since(line, ty)?;
        let op = if half == Half::Hi { CarryOp::MadHi } else { CarryOp::MadLo };
        return Ok(Op::Carry { op, ty: ty_num, dst, a, b, c, reads, writes });
    }
    let op = match (short, half) {
        (false, Half::Lo) => IntTer::MadLo,
        (false, Half::Hi) if saturate => IntTer::MadHiSat,
        (false, Half::Hi) => IntTer::MadHi,
        (false, Half::Wide) => IntTer::MadWide,
        (true, Half::Lo) => IntTer::Mad24Lo,
        (true, _) => IntTer::Mad24Hi,
    };
    Ok(Op::IntTer { op, ty: ty_num, dst, a, b, c })
}

pub(super) fn sad(line: &mut Line<'_, '_, '_>) -> Lowered {
    let ty = line.ty(INTEGERS)?;
    line.end(4..=4)?;
    let (dst, a, b, c) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?, line.src(3, ty)?);
    Ok(Op::IntTer { op: IntTer::Sad, ty: ty.num, dst, a, b, c })
}

/// `div rem`
pub(super) fn div(line: &mut Line<'_, '_, '_>) -> Lowered {
    let op = if line.opcode() == "div" { IntBin::Div } else { IntBin::Rem };
    let ty = line.ty(INTEGERS)?;
    line.end(3..=3)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

pub(super) fn min_max(line: &mut Line<'_, '_, '_>) -> Lowered {
    let min = line.opcode() == "min";
    let relu = line.flag("relu");
    let ty = line.ty(if relu { "s16x2 s32" } else { PACKED })?;
    line.end(3..=3)?;
    packed(line, ty)?;
    if relu {
        line.since("min and max with .relu", 90, (8, 0))?;
    }
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    let op = match (min, relu) {
        (true, false) => IntBin::Min,
        (false, false) => IntBin::Max,
        (true, true) => IntBin::MinRelu,
        (false, true) => IntBin::MaxRelu,
    };
    Ok(Op::IntBin { op, ty: ty.num, dst, a, b })
}

pub(super) fn abs_neg(line: &mut Line<'_, '_, '_>) -> Lowered {
    let op = if line.opcode() == "abs" { IntUn::Abs } else { IntUn::Neg };
    let ty = line.ty("s16 s32 s64")?;
    line.end(2..=2)?;
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    Ok(Op::IntUn { op, ty: ty.num, dst, a })
}

/// `popc clz bfind brev`
pub(super) fn count(line: &mut Line<'_, '_, '_>) -> Lowered {
    let op = match line.opcode() {
        "popc" => IntUn::Popc,
        "clz" => IntUn::Clz,
        "brev" => IntUn::Brev,
        _ if line.flag("shiftamt") => IntUn::BfindShift,
        _ => IntUn::Bfind,
    };
    let find = matches!(op, IntUn::Bfind | IntUn::BfindShift);
    let ty = line.ty(if find { WIDE_ENOUGH } else { "b32 b64" })?;
    line.end(2..=2)?;
    let dst = line.dst(0, if op == IntUn::Brev { ty } else { Ty::U32 })?;
    let a = line.src(1, ty)?;
    Ok(Op::IntUn { op, ty: ty.num, dst, a })
}

/// `fns.b32 d, mask, base, offset`
pub(super) fn fns(line: &mut Line<'_, '_, '_>) -> Lowered {
    line.ty("b32")?;
    line.end(4..=4)?;
    let (dst, a) = (line.dst(0, Ty::B32)?, line.src(1, Ty::B32)?);
    let (b, c) = (line.src(2, Ty::B32)?, line.src(3, Ty::S32)?);
    Ok(Op::IntTer { op: IntTer::Fns, ty: Ty::B32.num, dst, a, b, c })
}

/// `dp4a.atype.btype`, `dp2a.lo/hi.atype.btype`
pub(super) fn dot(line: &mut Line<'_, '_, '_>) -> Lowered {
    let half = match line.opcode() {
        "dp2a" => Some(line.need(&[("lo", false), ("hi", true)])?),
        _ => None,
    };
    let (a_ty, b_ty) = (line.ty("u32 s32")?, line.ty("u32 s32")?);
    line.end(4..=4)?;
    let (a_signed, b_signed) = (a_ty.name == "s32", b_ty.name == "s32");
    let sum = if a_signed || b_signed { Ty::S32 } else { Ty::U32 };
    let (dst, a) = (line.dst(0, sum)?, line.src(1, a_ty)?);
    let (b, c) = (line.src(2, b_ty)?, line.src(3, sum)?);
    Ok(Op::Dot { a_signed, b_signed, half, dst, a, b, c })
}
