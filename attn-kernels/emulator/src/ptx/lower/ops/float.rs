//! Floating point arithmetic (PTX ISA, "Floating-Point Instructions", "Half Precision …").
//! `add`, `sub` and `mul` without a rounding are `.rn`.

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{FloatBin, FloatMods, FloatTer, FloatUn, Num, Op, Round};
use crate::ptx::PtxError;

const FLOATS: &str = "f16 f16x2 bf16 bf16x2 f32 f64";

pub(super) const ROUNDINGS: &[(&str, Round)] =
    &[("rn", Round::Rn), ("rz", Round::Rz), ("rm", Round::Rm), ("rp", Round::Rp)];

/// Whether the instruction is of a floating type.
pub(super) fn is_float(line: &Line<'_, '_, '_>) -> bool {
    FLOATS.split(' ').any(|name| line.has(name))
}

/// The target that a half type needs.
fn half_since(line: &Line<'_, '_, '_>, ty: Ty, what: &str) -> Result<(), PtxError> {
    match (line.opcode(), ty.num) {
        ("add" | "sub" | "mul", Num::Bf16 | Num::Bf16x2) => line.since(what, 90, (7, 8)),
        (_, Num::Bf16 | Num::Bf16x2) => line.since(what, 80, (7, 0)),
        ("min" | "max", Num::F16 | Num::F16x2) => line.since(what, 80, (7, 0)),
        ("abs" | "neg", Num::F16 | Num::F16x2) => line.since(what, 53, (6, 0)),
        (_, Num::F16 | Num::F16x2) => line.since(what, 53, (6, 0)),
        _ => Ok(()),
    }
}

/// `add sub mul mad fma div min max abs neg`
pub(super) fn arithmetic(line: &mut Line<'_, '_, '_>) -> Lowered {
    let opcode = line.opcode();
    let ty = line.ty(FLOATS)?;
    let (half, single, double) = (ty.is_half(), ty.num == Num::F32, ty.num == Num::F64);
    let brain = matches!(ty.num, Num::Bf16 | Num::Bf16x2);
    let unary = matches!(opcode, "abs" | "neg");
    let select = matches!(opcode, "min" | "max");
    let fused = matches!(opcode, "fma" | "mad");
    let divide = opcode == "div";
    if half && (divide || opcode == "mad") {
        return Err(line.invalid(format!("type .{}, but it has f32 f64", ty.name)));
    }
    let mut mods = FloatMods::NONE;
    // Rounding: one that is written, or the default of add, sub, mul.
    if !unary && !select {
        if divide && single {
            mods.approx = line.flag("approx");
            mods.full = !mods.approx && line.flag("full");
            mods.approx |= mods.full;
        }
        if !mods.approx {
            let table = if half { &ROUNDINGS[..1] } else { ROUNDINGS };
            let written = line.pick(table);
            if written.is_none() && (fused || divide) {
                return Err(line.invalid("a rounding is missing"));
            }
            mods.round = written.unwrap_or(Round::Rn);
        }
    }
    mods.ftz = !double && !brain && line.flag("ftz");
    if matches!(opcode, "add" | "sub" | "mul") || fused {
        mods.sat = !double && !brain && line.flag("sat");
    }
    if opcode == "fma" && half {
        mods.relu = line.flag("relu");
        if mods.relu && mods.sat {
            return Err(line.invalid(".sat and .relu together"));
        }
    }
    if select && !double {
        mods.nan = line.flag("NaN");
        mods.xorsign = line.flag("xorsign");
        if mods.xorsign && !line.flag("abs") {
            return Err(line.invalid(".xorsign without .abs"));
        }
    }
    let three = select && single && line.operands() == 4;
    let operands = if fused || three {
        4
    } else if unary {
        2
    } else {
        3
    };
    line.end(operands..=operands)?;
    half_since(line, ty, &format!("{opcode}.{}", ty.name))?;
    if mods.relu {
        line.since("fma.relu", 80, (7, 0))?;
    }
    if mods.nan {
        line.since("min and max with .NaN", 80, (7, 0))?;
    }
    if mods.xorsign {
        line.since("min and max with .xorsign.abs", 86, (7, 2))?;
    }
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    if unary {
        let op = if opcode == "abs" { FloatUn::Abs } else { FloatUn::Neg };
        return Ok(Op::FloatUn { op, ty: ty.num, mods, dst, a });
    }
    let b = line.src(2, ty)?;
    if fused || three {
        let op = match opcode {
            "min" => FloatTer::Min3,
            "max" => FloatTer::Max3,
            _ => FloatTer::Fma,
        };
        if three {
            line.since("min and max of three", 100, (8, 8))?;
        }
        let c = line.src(3, ty)?;
        return Ok(Op::FloatTer { op, ty: ty.num, mods, dst, a, b, c });
    }
    let op = match opcode {
        "add" => FloatBin::Add,
        "sub" => FloatBin::Sub,
        "mul" => FloatBin::Mul,
        "div" => FloatBin::Div,
        "min" => FloatBin::Min,
        _ => FloatBin::Max,
    };
    Ok(Op::FloatBin { op, ty: ty.num, mods, dst, a, b })
}

/// `rcp sqrt rsqrt sin cos lg2 ex2 tanh`
pub(super) fn function(line: &mut Line<'_, '_, '_>) -> Lowered {
    let (op, allowed, rounds) = match line.opcode() {
        "rcp" => (FloatUn::Rcp, "f32 f64", true),
        "sqrt" => (FloatUn::Sqrt, "f32 f64", true),
        "rsqrt" => (FloatUn::Rsqrt, "f32 f64", false),
        "sin" => (FloatUn::Sin, "f32", false),
        "cos" => (FloatUn::Cos, "f32", false),
        "lg2" => (FloatUn::Lg2, "f32", false),
        "ex2" => (FloatUn::Ex2, "f32 f16 f16x2 bf16 bf16x2", false),
        _ => (FloatUn::Tanh, "f32 f16 f16x2 bf16 bf16x2", false),
    };
    let ty = line.ty(allowed)?;
    let mut mods = FloatMods::NONE;
    mods.approx = line.flag("approx");
    if !mods.approx {
        mods.round = match line.pick(ROUNDINGS) {
            Some(round) if rounds => round,
            _ => return Err(line.invalid(".approx is missing, or a rounding")),
        };
    }
    mods.ftz = match (op, ty.num) {
        (FloatUn::Tanh, _) => false,
        (_, Num::F64) => mods.approx && line.flag("ftz"),
        _ => line.flag("ftz"),
    };
    line.end(2..=2)?;
    match (op, ty.num) {
        (FloatUn::Rcp, Num::F64) if mods.approx && !mods.ftz => {
            return Err(line.invalid("rcp.approx.f64 without .ftz"));
        }
        (FloatUn::Sqrt, Num::F64) if mods.approx => {
            return Err(line.invalid("sqrt.f64 needs a rounding"));
        }
        (FloatUn::Ex2, Num::Bf16 | Num::Bf16x2) if !mods.ftz => {
            return Err(line.invalid("ex2 of bf16 without .ftz"));
        }
        (FloatUn::Ex2, Num::F16 | Num::F16x2) if mods.ftz => {
            return Err(line.invalid("ex2.ftz of f16"));
        }
        (FloatUn::Ex2 | FloatUn::Tanh, Num::Bf16 | Num::Bf16x2) => {
            line.since(&format!("{} of bf16", line.opcode()), 90, (7, 8))?;
        }
        (FloatUn::Ex2 | FloatUn::Tanh, Num::F16 | Num::F16x2) | (FloatUn::Tanh, _) => {
            line.since(&format!("{}.{}", line.opcode(), ty.name), 75, (7, 0))?;
        }
        _ => {}
    }
    let (dst, a) = (line.dst(0, ty)?, line.src(1, ty)?);
    Ok(Op::FloatUn { op, ty: ty.num, mods, dst, a })
}

pub(super) fn copysign(line: &mut Line<'_, '_, '_>) -> Lowered {
    let ty = line.ty("f32 f64")?;
    line.end(3..=3)?;
    let (dst, a, b) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, ty)?);
    Ok(Op::FloatBin { op: FloatBin::Copysign, ty: ty.num, mods: FloatMods::NONE, dst, a, b })
}

pub(super) fn testp(line: &mut Line<'_, '_, '_>) -> Lowered {
    let class = line.need(&[
        ("finite", 1),
        ("infinite", 2),
        ("number", 4),
        ("notanumber", 8),
        ("normal", 16),
        ("subnormal", 32),
    ])?;
    let ty = line.ty("f32 f64")?;
    line.end(2..=2)?;
    let (dst, a) = (line.pred_dst(0)?, line.src(1, ty)?);
    Ok(Op::Testp { class, ty: ty.num, dst, a })
}
