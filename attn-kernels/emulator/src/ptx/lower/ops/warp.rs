//! Operations of a warp: `shfl vote match redux activemask elect` (PTX ISA, "Parallel
//! Synchronization and Communication Instructions"). The forms without `.sync` are gone since
//! sm_70, PTX 6.4.

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use crate::isa::{MatchKind, Op, ReduxOp, ShflMode, VoteKind};
use crate::ptx::PtxError;

fn sync(line: &mut Line<'_, '_, '_>) -> Result<(), PtxError> {
    if line.flag("sync") {
        return Ok(());
    }
    Err(line.unsupported(format!("{} without .sync", line.opcode())))
}

pub(super) fn shfl(line: &mut Line<'_, '_, '_>) -> Lowered {
    sync(line)?;
    let mode = line.need(&[
        ("up", ShflMode::Up),
        ("down", ShflMode::Down),
        ("bfly", ShflMode::Bfly),
        ("idx", ShflMode::Idx),
    ])?;
    line.ty("b32")?;
    line.end(5..=5)?;
    let (dst, pred) = line.dst_and_pred(0, Ty::B32)?;
    if dst.is_none() {
        return Err(line.invalid("a destination `_`"));
    }
    let (a, b) = (line.src(1, Ty::B32)?, line.src(2, Ty::B32)?);
    let (c, mask) = (line.src(3, Ty::B32)?, line.src(4, Ty::B32)?);
    Ok(Op::Shfl { mode, dst, pred, a, b, c, mask })
}

pub(super) fn vote(line: &mut Line<'_, '_, '_>) -> Lowered {
    sync(line)?;
    let kind = line.need(&[
        ("all", VoteKind::All),
        ("any", VoteKind::Any),
        ("uni", VoteKind::Uni),
        ("ballot", VoteKind::Ballot),
    ])?;
    let ballot = kind == VoteKind::Ballot;
    if ballot {
        line.ty("b32")?;
    } else {
        line.need(&[("pred", ())])?;
    }
    line.end(3..=3)?;
    let (mut dst, mut pred) = (None, None);
    if ballot {
        dst = Some(line.dst(0, Ty::B32)?);
    } else {
        pred = Some(line.pred_dst(0)?);
    }
    let (a, mask) = (line.pred_src(1)?, line.src(2, Ty::B32)?);
    Ok(Op::Vote { kind, dst, pred, a, mask })
}

pub(super) fn match_sync(line: &mut Line<'_, '_, '_>) -> Lowered {
    sync(line)?;
    let kind = line.need(&[("any", MatchKind::Any), ("all", MatchKind::All)])?;
    let ty = line.ty("b32 b64")?;
    line.end(3..=3)?;
    let (dst, pred) = line.dst_and_pred(0, Ty::B32)?;
    if pred.is_some() && kind == MatchKind::Any {
        return Err(line.invalid("match.any has no predicate"));
    }
    let dst = dst.ok_or_else(|| line.invalid("a destination `_`"))?;
    let (a, mask) = (line.src(1, ty)?, line.src(2, Ty::B32)?);
    Ok(Op::Match { kind, ty: ty.num, dst, pred, a, mask })
}

pub(super) fn redux(line: &mut Line<'_, '_, '_>) -> Lowered {
    sync(line)?;
    let op = line.need(&[
        ("add", ReduxOp::Add),
        ("min", ReduxOp::Min),
        ("max", ReduxOp::Max),
        ("and", ReduxOp::And),
        ("or", ReduxOp::Or),
        ("xor", ReduxOp::Xor),
    ])?;
    let (abs, nan) = (line.flag("abs"), line.flag("NaN"));
    let ty = line.ty(match op {
        ReduxOp::And | ReduxOp::Or | ReduxOp::Xor => "b32",
        ReduxOp::Min | ReduxOp::Max => "u32 s32 f32",
        ReduxOp::Add => "u32 s32",
    })?;
    let float = ty.is_float();
    if (abs || nan) && !float {
        return Err(line.invalid(".abs and .NaN are for f32"));
    }
    line.end(3..=3)?;
    line.since("redux.sync", 80, (7, 0))?;
    if float {
        line.since("redux.sync of f32", 100, (8, 6))?;
        line.specific("redux.sync of f32")?;
    }
    let (dst, a, mask) = (line.dst(0, ty)?, line.src(1, ty)?, line.src(2, Ty::B32)?);
    Ok(Op::Redux { op, ty: ty.num, abs, nan, dst, a, mask })
}

pub(super) fn activemask(line: &mut Line<'_, '_, '_>) -> Lowered {
    line.ty("b32")?;
    line.end(1..=1)?;
    Ok(Op::ActiveMask { dst: line.dst(0, Ty::B32)? })
}

pub(super) fn elect(line: &mut Line<'_, '_, '_>) -> Lowered {
    sync(line)?;
    line.end(2..=2)?;
    line.since("elect.sync", 90, (8, 0))?;
    let (dst, pred) = line.dst_and_pred(0, Ty::B32)?;
    let pred = pred.ok_or_else(|| line.invalid("a predicate is missing"))?;
    Ok(Op::Elect { dst, pred, mask: line.src(1, Ty::B32)? })
}
