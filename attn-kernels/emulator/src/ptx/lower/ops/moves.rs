//! `mov`, `cvta`, `isspacep`, `createpolicy`.

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{BoolOp, Op, Space, Src};
use crate::ptx::ast::Kind;

/// The state spaces of generic addresses. Clusters have one CTA: `shared::cluster` is the same.
pub(super) const SPACES: &[(&str, Space)] = &[
    ("global", Space::Global),
    ("shared", Space::Shared),
    ("shared::cta", Space::Shared),
    ("shared::cluster", Space::Shared),
    ("local", Space::Local),
    ("const", Space::Const),
    ("param", Space::Param),
    ("param::entry", Space::Param),
];

const TYPES: &str = "b16 b32 b64 u16 u32 u64 s16 s32 s64 f32 f64";

pub(super) fn mov(line: &mut Line<'_, '_, '_>) -> Lowered {
    if line.flag("pred") {
        line.end(2..=2)?;
        let (dst, a) = (line.pred_dst(0)?, line.pred_src(1)?);
        return Ok(Op::PredLogic { op: BoolOp::A, dst, a, b: a });
    }
    let ty = line.ty(TYPES)?;
    line.end(2..=2)?;
    if let Kind::Vector(_) = line.operand(0)?.kind {
        let (part, items) = part(line, ty, 0)?;
        let src = line.src(1, ty)?;
        let mut dst = Vec::with_capacity(items);
        for item in line.vector(0)? {
            let sink = matches!(item.kind, Kind::Name("_"));
            dst.push(if sink { None } else { Some(line.dst_of(item, part)?) });
        }
        if dst.iter().all(Option::is_none) {
            return Err(line.invalid("every part is `_`"));
        }
        return Ok(Op::Unpack { dst: dst.into(), bits: bits(part), src });
    }
    let dst = line.dst(0, ty)?;
    if let Kind::Vector(_) = line.operand(1)?.kind {
        let (part, items) = part(line, ty, 1)?;
        let mut parts = Vec::with_capacity(items);
        for item in line.vector(1)? {
            parts.push(line.src_exact_of(item, part)?);
        }
        return Ok(Op::Pack { dst, bits: bits(part), parts: parts.into() });
    }
    if let Some((op, width)) = line.special(1, dst)? {
        // The low half of %gridid, and of any other register, may be read alone.
        let name = line.inst.operands[1].kind.clone();
        let halves = matches!(name, Kind::Name("%gridid")) && ty.bits() == 32;
        let low = ty.bits() == 16 && width == 32;
        if (ty.bits() != width && !halves && !low) || ty.is_float() {
            let what = format!("type .{}, the special register has {width} bits", ty.name);
            return Err(line.invalid(what));
        }
        return Ok(op);
    }
    if let Some((src, space)) = line.variable(1)? {
        let windowed = !matches!(space, Space::Global | Space::Const);
        if ty.is_float() || !(ty.bits() == 64 || (ty.bits() == 32 && windowed)) {
            return Err(line.invalid(format!("an address in a register of type .{}", ty.name)));
        }
        return Ok(Op::Mov { dst, src });
    }
    let src = line.src(1, ty)?;
    Ok(Op::Mov { dst, src })
}

/// The type of one item of a packed operand.
fn part(
    line: &Line<'_, '_, '_>,
    ty: Ty,
    index: usize,
) -> Result<(Ty, usize), crate::ptx::PtxError> {
    let items = line.vector(index)?.len();
    let part = match (ty.name, items) {
        ("b16", 2) | ("b32", 4) => "b8",
        ("b32", 2) | ("b64", 4) => "b16",
        ("b64", 2) => "b32",
        _ => {
            let what = format!("{items} parts of type .{}: .bN in 2 or 4 parts", ty.name);
            return Err(line.invalid(what));
        }
    };
    Ty::named(part).map(|ty| (ty, items)).ok_or_else(|| line.invalid("a type is missing"))
}

#[expect(clippy::cast_possible_truncation, reason = "at most 64")]
fn bits(ty: Ty) -> u8 {
    ty.bits() as u8
}

pub(super) fn cvta(line: &mut Line<'_, '_, '_>) -> Lowered {
    let to_generic = !line.flag("to");
    let space = line.need(SPACES)?;
    line.ty("u64")?;
    line.end(2..=2)?;
    let dst = line.dst(0, Ty::U64)?;
    let src = match line.variable(1)? {
        Some((src, found)) if to_generic && found == space => src,
        Some(_) => return Err(line.invalid("the variable lies in another state space")),
        None => match line.src(1, Ty::U64)? {
            Src::Reg(reg) => Src::Reg(reg),
            _ => return Err(line.invalid("the address is no register and no variable")),
        },
    };
    if space == Space::Param {
        line.since("cvta.param", 70, (7, 7))?;
    }
    if matches!(space, Space::Global | Space::Const) {
        // These addresses are generic already.
        return Ok(Op::Mov { dst, src });
    }
    Ok(Op::Cvta { dst, src, space, to_generic })
}

pub(super) fn isspacep(line: &mut Line<'_, '_, '_>) -> Lowered {
    let space = line.need(SPACES)?;
    line.end(2..=2)?;
    if space == Space::Param {
        line.since("isspacep.param", 70, (7, 7))?;
    }
    let (dst, src) = (line.pred_dst(0)?, line.src(1, Ty::U64)?);
    Ok(Op::IsSpace { dst, src, space })
}

/// Cache policies are hints: the value is zero, and whoever takes it ignores it.
pub(super) fn createpolicy(line: &mut Line<'_, '_, '_>) -> Lowered {
    if !line.flag("fractional") {
        return Err(line.unsupported("createpolicy other than .fractional"));
    }
    let level = [("L2::evict_last", ()), ("L2::evict_normal", ()), ("L2::evict_first", ())];
    let unchanged = [("L2::evict_unchanged", ())];
    line.pick(&level).or(line.pick(&unchanged)).ok_or_else(|| line.invalid("no priority"))?;
    line.pick(&level[2..]).or(line.pick(&unchanged));
    line.ty("b64")?;
    line.end(1..=2)?;
    line.since("createpolicy", 80, (7, 4))?;
    if line.operands() == 2 {
        line.src(1, Ty::F32)?;
    }
    let dst = line.dst(0, Ty::B64)?;
    Ok(Op::Mov { dst, src: Src::Imm(0) })
}
