//! `atom`, `red` (PTX ISA, "Parallel Synchronization and Communication Instructions").

use super::super::line::Line;
use super::Lowered;
use super::memory::{hints, policy, scope};
use crate::isa::{AtomOp, AtomVec, Num, Op, Ordering, Space};
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
    if let Some(count) = line.pick(&[("v2", 2), ("v4", 4), ("v8", 8)]) {
        return vector(line, op, space, count, hint);
    }
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

/// `.v2 .v4 .v8`: at most 16 bytes of floats in global memory.
fn vector(
    line: &mut Line<'_, '_, '_>,
    op: AtomOp,
    space: Space,
    count: usize,
    hint: bool,
) -> Lowered {
    let returns = line.opcode() == "atom";
    let noftz = line.flag("noftz");
    let ty = line.ty(match op {
        AtomOp::Add => "f32 f16 f16x2 bf16 bf16x2",
        AtomOp::Min | AtomOp::Max => "f16 f16x2 bf16 bf16x2",
        _ => return Err(line.invalid("vectors have .add .min .max")),
    })?;
    if ty.is_half() != noftz {
        return Err(line.invalid(".noftz goes with f16 and bf16, and only with them"));
    }
    if ty.bits() as usize * count > 128 {
        return Err(line.invalid(format!("{count} elements of {} bits", ty.bits())));
    }
    if space != Space::Global {
        return Err(line.unsupported(format!("{} of vectors other than .global", line.opcode())));
    }
    let first = usize::from(returns);
    let operands = first + 2 + usize::from(hint);
    line.end(operands..=operands)?;
    line.since(&format!("{} of vectors", line.opcode()), 90, (8, 1))?;
    let sized = |items: usize, line: &Line<'_, '_, '_>| {
        if items == count {
            return Ok(());
        }
        Err(line.invalid(format!("a vector of {items}, not of {count}")))
    };
    let mut dst = None;
    if returns {
        let items = line.vector(0)?;
        sized(items.len(), line)?;
        let registers: Result<Vec<_>, _> = items.iter().map(|item| line.dst_of(item, ty)).collect();
        dst = Some(registers?.into());
    }
    let (addr, _) = line.addr(first, space)?;
    let items = line.vector(first + 1)?;
    sized(items.len(), line)?;
    let src: Result<Vec<_>, _> = items.iter().map(|item| line.src_reg_of(item, ty)).collect();
    let src = src?.into();
    if hint {
        policy(line, operands - 1)?;
    }
    Ok(Op::AtomVec(Box::new(AtomVec { op, ty: ty.num, dst, addr, src })))
}
