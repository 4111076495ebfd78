//! Branches, barriers and what ends or delays a thread (PTX ISA, "Control Flow Instructions",
//! "Miscellaneous Instructions").

use super::super::line::Line;
use super::super::scope::Binding;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{BarrierKind, Op, Src};
use crate::ptx::PtxError;
use crate::ptx::ast::Kind;

/// The number of a label; `Body::link` makes it an index.
fn label<'a>(line: &mut Line<'_, '_, 'a>, name: &'a str) -> Result<u32, PtxError> {
    match line.body.find(name) {
        Some(Binding::Label(label)) => Ok(u32::try_from(label).unwrap_or(u32::MAX)),
        _ => Err(line.invalid(format!("`{name}` is no label of this block or one around it"))),
    }
}

/// `bra{.uni} label`, `brx.idx{.uni} index, table`
pub(super) fn branch(line: &mut Line<'_, '_, '_>) -> Lowered {
    line.flag("uni");
    if line.opcode() == "bra" {
        line.end(1..=1)?;
        let Kind::Name(name) = line.operand(0)?.kind else {
            return Err(line.invalid("the target is no label"));
        };
        return Ok(Op::Bra { target: label(line, name)? });
    }
    line.need(&[("idx", ())])?;
    line.end(2..=2)?;
    let index = line.src(0, Ty::U32)?;
    let Kind::Name(table) = line.operand(1)?.kind else {
        return Err(line.invalid("the table is no name"));
    };
    let Some(Binding::Targets(names)) = line.body.find(table) else {
        return Err(line.invalid(format!("`{table}` is no .branchtargets table")));
    };
    let mut targets = Vec::with_capacity(names.len());
    for name in names {
        targets.push(label(line, name.text)?);
    }
    Ok(Op::BrxIdx { index, targets: targets.into() })
}

/// `bar{.cta}`, `barrier{.cta}`, `bar.warp.sync`
pub(super) fn barrier(line: &mut Line<'_, '_, '_>) -> Lowered {
    if line.opcode() == "bar" && line.flag("warp") {
        line.need(&[("sync", ())])?;
        line.end(1..=1)?;
        return Ok(Op::WarpSync { mask: line.src(0, Ty::B32)? });
    }
    if line.has("cluster") {
        return Err(line.unsupported("barrier.cluster"));
    }
    line.flag("cta");
    // `bar` is `barrier.aligned`.
    let aligned = line.opcode() == "bar" || line.flag("aligned");
    let kind = line.need(&[("sync", 0), ("arrive", 1), ("red", 2)])?;
    if kind == 2 {
        return reduction(line, aligned);
    }
    line.end(if kind == 1 { 2..=2 } else { 1..=2 })?;
    let (id, threads) = (number(line, 0)?, threads(line, 1)?);
    let kind = if kind == 0 { BarrierKind::Sync } else { BarrierKind::Arrive };
    Ok(Op::Barrier { kind, aligned, id, threads, dst: None, pdst: None, p: None })
}

/// `.red.popc.u32 d, a{, b}, {!}p`, `.red.and/.or.pred`
fn reduction(line: &mut Line<'_, '_, '_>, aligned: bool) -> Lowered {
    let kind = line.need(&[
        ("popc", BarrierKind::RedPopc),
        ("and", BarrierKind::RedAnd),
        ("or", BarrierKind::RedOr),
    ])?;
    if kind == BarrierKind::RedPopc {
        line.ty("u32")?;
    } else {
        line.need(&[("pred", ())])?;
    }
    line.end(3..=4)?;
    let (mut dst, mut pdst) = (None, None);
    if kind == BarrierKind::RedPopc {
        dst = Some(line.dst(0, Ty::U32)?);
    } else {
        pdst = Some(line.pred_dst(0)?);
    }
    let id = number(line, 1)?;
    let threads = if line.operands() == 4 { threads(line, 2)? } else { None };
    let p = Some(line.pred_src(line.operands() - 1)?);
    Ok(Op::Barrier { kind, aligned, id, threads, dst, pdst, p })
}

/// A barrier number, 0 to 15.
fn number(line: &mut Line<'_, '_, '_>, index: usize) -> Result<Src, PtxError> {
    match line.src(index, Ty::U32)? {
        Src::Imm(id) if id > 15 => Err(line.invalid(format!("barrier {id}, the last one is 15"))),
        id => Ok(id),
    }
}

/// A number of threads: whole warps.
fn threads(line: &mut Line<'_, '_, '_>, index: usize) -> Result<Option<Src>, PtxError> {
    if index >= line.operands() {
        return Ok(None);
    }
    match line.src(index, Ty::U32)? {
        Src::Imm(n) if n == 0 || n % 32 != 0 || n > 1024 => {
            Err(line.invalid(format!("{n} threads at a barrier: multiples of 32 up to 1024")))
        }
        threads => Ok(Some(threads)),
    }
}

/// What has no data result.
pub(super) fn simple(line: &mut Line<'_, '_, '_>) -> Lowered {
    match line.opcode() {
        "exit" => {
            line.end(0..=0)?;
            Ok(Op::Exit)
        }
        "trap" | "brkpt" => {
            line.end(0..=0)?;
            Ok(Op::Trap)
        }
        "nanosleep" => {
            line.ty("u32")?;
            line.end(1..=1)?;
            line.src(0, Ty::U32)?;
            Ok(Op::Nop)
        }
        "pmevent" => {
            let mask = line.flag("mask");
            line.end(1..=1)?;
            line.literal(0, 0, if mask { 0xFFFF } else { 15 })?;
            Ok(Op::Nop)
        }
        "griddepcontrol" => {
            line.need(&[("launch_dependents", ()), ("wait", ())])?;
            line.end(0..=0)?;
            line.since("griddepcontrol", 90, (7, 8))?;
            Ok(Op::Nop)
        }
        _ => {
            line.need(&[("inc", ()), ("dec", ())])?;
            for name in ["sync", "aligned"] {
                if !line.flag(name) {
                    return Err(line.invalid(format!(".{name} is missing")));
                }
            }
            line.ty("u32")?;
            line.end(1..=1)?;
            line.since("setmaxnreg", 90, (8, 0))?;
            line.specific("setmaxnreg")?;
            let count = line.literal(0, 24, 256)?;
            if count % 8 != 0 {
                return Err(line.invalid(format!("{count} registers: multiples of 8")));
            }
            Ok(Op::Nop)
        }
    }
}
