//! `atom`, `red` (PTX ISA, "Parallel Synchronization and Communication Instructions").

use super::super::line::Line;
use super::Lowered;
use super::memory::{hints, policy, scope};
use crate::isa::{AtomOp, Num, Op, Ordering, Space};
use crate::ptx::ast::Kind;

const OPERATIONS: &[(&str, AtomOp)] = &[
    ("add", AtomOp::Add),
    ("min", AtomOp::Min),
    ("max", AtomOp::Max),
    ("and", AtomOp::And),
    ("or", AtomOp::Or),
    ("xor", AtomOp::Xor),
    ("inc", AtomOp::Inc),
    ("dec", AtomOp::Dec),
    ("exch", AtomOp::Exch),
    ("cas", AtomOp::Cas),
];

pub(super) fn atom(line: &mut Line<'_, '_, '_>) -> Lowered {
    let returns = line.opcode() == "atom";
    let order = line
        .pick(&[
            ("relaxed", Ordering::Relaxed),
            ("acquire", Ordering::Acquire),
            ("release", Ordering::Release),
            ("acq_rel", Ordering::AcqRel),
        ])
        .unwrap_or(Ordering::Relaxed);
    if !returns && matches!(order, Ordering::Acquire | Ordering::AcqRel) {
        return Err(line.invalid("red has .relaxed and .release"));
    }
    scope(line)?;
    let space = line
        .pick(&[
            ("global", Space::Global),
            ("shared", Space::Shared),
            ("shared::cta", Space::Shared),
            ("shared::cluster", Space::Shared),
        ])
        .unwrap_or(Space::Generic);
    let op = line.need(if returns { OPERATIONS } else { &OPERATIONS[..8] })?;
    let hint = hints(line)?;
    let noftz = op == AtomOp::Add && line.flag("noftz");
    let ty = line.ty(match op {
        AtomOp::Add => "u32 s32 u64 f32 f64 f16 f16x2 bf16 bf16x2",
        AtomOp::Min | AtomOp::Max => "u32 s32 u64 s64",
        AtomOp::And | AtomOp::Or | AtomOp::Xor => "b32 b64",
        AtomOp::Inc | AtomOp::Dec => "u32",
        AtomOp::Exch => "b32 b64",
        AtomOp::Cas => "b16 b32 b64",
    })?;
    if ty.is_half() != noftz {
        return Err(line.invalid(".noftz goes with f16 and bf16, and only with them"));
    }
    let first = usize::from(returns);
    let compare = usize::from(op == AtomOp::Cas);
    let operands = first + 2 + compare + usize::from(hint);
    line.end(operands..=operands)?;
    match ty.num {
        Num::F64 => line.since("atomic add of f64", 60, (6, 0))?,
        Num::F16x2 => line.since("atomic add of f16x2", 60, (6, 2))?,
        Num::F16 => line.since("atomic add of f16", 70, (6, 3))?,
        Num::Bf16 | Num::Bf16x2 => line.since("atomic add of bf16", 90, (7, 8))?,
        _ => {}
    }
    let dst = if returns { line.dst_or_sink(0, ty)? } else { None };
    let (addr, space) = line.addr(first, space)?;
    if !matches!(space, Space::Generic | Space::Global | Space::Shared) {
        return Err(line.invalid("an atomic outside .global and .shared"));
    }
    if ty.is_half() && matches!(line.operand(first + 1)?.kind, Kind::Int { .. }) {
        return Err(line.invalid(format!("an integer where .{} is wanted", ty.name)));
    }
    let b = line.src(first + 1, ty)?;
    let c = if compare == 1 { Some(line.src(first + 2, ty)?) } else { None };
    if hint {
        policy(line, operands - 1)?;
    }
    Ok(Op::Atom { op, ty: ty.num, space, order, noftz, dst, addr, b, c })
}
