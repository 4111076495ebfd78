//! `cp.async` and `cp.async.bulk` (PTX ISA, "Asynchronous copy").

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use super::memory::{hints, policy};
use crate::isa::{Op, Space};
use crate::ptx::ast::Kind;

const SHARED: &[(&str, ())] = &[("shared", ()), ("shared::cta", ())];

pub(super) fn cp(line: &mut Line<'_, '_, '_>) -> Lowered {
    if !line.flag("async") {
        return Err(line.unsupported("cp other than cp.async"));
    }
    if line.has("reduce") {
        return Err(line.unsupported("cp.reduce.async.bulk"));
    }
    if line.flag("bulk") {
        return bulk(line);
    }
    line.since("cp.async", 80, (7, 0))?;
    if line.flag("commit_group") {
        line.end(0..=0)?;
        return Ok(Op::CpAsyncCommit);
    }
    if line.flag("wait_all") {
        line.end(0..=0)?;
        return Ok(Op::CpAsyncWait { pending: None });
    }
    if line.flag("wait_group") {
        line.end(1..=1)?;
        let pending = u32::try_from(line.literal(0, 0, u64::from(u32::MAX))?).ok();
        return Ok(Op::CpAsyncWait { pending });
    }
    if line.flag("mbarrier") {
        line.need(&[("arrive", ())])?;
        let noinc = line.flag("noinc");
        let shared = line.pick(SHARED).is_some();
        line.ty("b64")?;
        line.end(1..=1)?;
        let bar = line.shared_addr(0, shared)?;
        return Ok(Op::CpAsyncMbarrier { noinc, bar });
    }
    let cg = line.need(&[("ca", false), ("cg", true)])?;
    line.need(SHARED)?;
    line.need(&[("global", ())])?;
    let spaces = line.inst.mods.iter().position(|m| m.text.starts_with("shared"));
    if spaces > line.inst.mods.iter().position(|m| m.text == "global") {
        return Err(line.invalid("cp.async copies from .global to .shared"));
    }
    let hint = hints(line)?;
    line.end(3 + usize::from(hint)..=4 + usize::from(hint))?;
    let (dst, _) = line.addr(0, Space::Shared)?;
    let (src, _) = line.addr(1, Space::Global)?;
    let bytes = line.literal(2, 4, 16)?;
    if !(bytes == 16 || (!cg && (bytes == 4 || bytes == 8))) {
        return Err(line.invalid(format!("{bytes} bytes: .ca copies 4, 8, 16, .cg 16")));
    }
    let (mut src_bytes, mut ignore) = (None, None);
    if line.operands() == 4 + usize::from(hint) {
        if let Ok(pred) = line.pred_src(3)
            && !matches!(line.operand(3)?.kind, Kind::Int { .. })
        {
            line.since("ignore-src of cp.async", 80, (8, 3))?;
            ignore = Some(pred);
        } else {
            if let Kind::Int { .. } = line.operand(3)?.kind {
                line.literal(3, 0, bytes)?;
            }
            src_bytes = Some(line.src(3, Ty::U32)?);
        }
    }
    if hint {
        policy(line, line.operands() - 1)?;
    }
    let bytes = u8::try_from(bytes).unwrap_or(u8::MAX);
    Ok(Op::CpAsync { bytes, dst, src, src_bytes, ignore, cg })
}

fn bulk(line: &mut Line<'_, '_, '_>) -> Lowered {
    line.since("cp.async.bulk", 90, (8, 0))?;
    if line.flag("commit_group") {
        line.end(0..=0)?;
        return Ok(Op::BulkCommit);
    }
    if line.flag("wait_group") {
        line.flag("read");
        line.end(1..=1)?;
        let pending = line.literal(0, 0, u64::from(u32::MAX))?;
        return Ok(Op::BulkWait { pending: u32::try_from(pending).unwrap_or(u32::MAX) });
    }
    if let Some(what) = ["tensor", "prefetch", "multicast::cluster", "cp_mask", "ignore_oob"]
        .into_iter()
        .find(|name| line.has(name))
    {
        return Err(line.unsupported(format!("cp.async.bulk with .{what}")));
    }
    let tracked = line.flag("mbarrier::complete_tx::bytes");
    let grouped = !tracked && line.flag("bulk_group");
    if !tracked && !grouped {
        return Err(line.invalid("a completion mechanism is missing"));
    }
    // Destination space, then source space.
    let to_shared = tracked;
    if to_shared && line.has("shared::cta") {
        line.since("cp.async.bulk to .shared::cta", 90, (8, 6))?;
    }
    line.need(if to_shared { &[("shared::cluster", ()), ("shared::cta", ())] } else { SHARED })?;
    if !line.flag("global") {
        return Err(line.unsupported("cp.async.bulk between shared memories"));
    }
    let shared = line.inst.mods.iter().position(|m| m.text.starts_with("shared"));
    let global = line.inst.mods.iter().position(|m| m.text == "global");
    if (shared < global) != to_shared {
        return Err(line.invalid("the completion mechanism is of the other direction"));
    }
    let hint = hints(line)?;
    let operands = 3 + usize::from(tracked) + usize::from(hint);
    line.end(operands..=operands)?;
    let spaces =
        if to_shared { [Space::Shared, Space::Global] } else { [Space::Global, Space::Shared] };
    let (dst, _) = line.addr(0, spaces[0])?;
    let (src, _) = line.addr(1, spaces[1])?;
    let bytes = line.src(2, Ty::U32)?;
    let bar = if tracked { Some(line.addr(3, Space::Shared)?.0) } else { None };
    if hint {
        policy(line, operands - 1)?;
    }
    Ok(Op::Bulk { to_shared, dst, src, bytes, bar })
}
