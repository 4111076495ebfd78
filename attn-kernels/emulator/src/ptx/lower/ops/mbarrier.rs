//! `mbarrier.*` (PTX ISA, "Parallel Synchronization and Communication Instructions: mbarrier").

use super::super::line::Line;
use super::super::types::Ty;
use super::Lowered;
use super::memory::scope;
use crate::isa::{Mbarrier, Op};
use crate::ptx::PtxError;

const SHARED: &[(&str, ())] = &[("shared", ()), ("shared::cta", ())];

/// `.sem.scope`, and whether the space is said; if not, the address is a generic one.
fn place(line: &mut Line<'_, '_, '_>, orders: &[(&str, ())]) -> Result<bool, PtxError> {
    let relaxed = line.has("relaxed");
    if line.pick(orders).is_some() {
        if relaxed {
            let transaction = line.has("complete_tx")
                || (line.has("expect_tx") && !line.has("arrive") && !line.has("arrive_drop"));
            let version = if transaction { (8, 0) } else { (8, 6) };
            line.since("mbarrier with .relaxed", 90, version)?;
        }
        line.since("ordering of mbarrier", 80, (8, 0))?;
        if !scope(line)? {
            return Err(line.invalid("a scope is missing"));
        }
    }
    if line.has("shared::cluster") {
        return Err(line.unsupported("mbarrier of another CTA (.shared::cluster)"));
    }
    let shared = line.pick(SHARED).is_some();
    line.ty("b64").map(|_| shared)
}

pub(super) fn mbarrier(line: &mut Line<'_, '_, '_>) -> Lowered {
    line.since("mbarrier", 80, (7, 0))?;
    let action = line.need(&[
        ("init", 0),
        ("inval", 1),
        ("expect_tx", 2),
        ("complete_tx", 3),
        ("arrive", 4),
        ("arrive_drop", 5),
        ("test_wait", 6),
        ("try_wait", 7),
        ("pending_count", 8),
    ]);
    // `.arrive.expect_tx` is an arrival.
    Ok(Op::Mbarrier(match action? {
        0 => {
            let shared = place(line, &[])?;
            line.end(2..=2)?;
            Mbarrier::Init { bar: line.shared_addr(0, shared)?, count: line.src(1, Ty::U32)? }
        }
        1 => {
            let shared = place(line, &[])?;
            line.end(1..=1)?;
            Mbarrier::Inval { bar: line.shared_addr(0, shared)? }
        }
        action @ (2 | 3) => {
            if action == 2 && (line.flag("arrive") || line.has("arrive_drop")) {
                return Err(line.invalid(".expect_tx before .arrive"));
            }
            let shared = place(line, &[("relaxed", ())])?;
            line.end(2..=2)?;
            line.since("mbarrier transactions", 90, (8, 0))?;
            let (bar, bytes) = (line.shared_addr(0, shared)?, line.src(1, Ty::U32)?);
            Mbarrier::Tx { bar, bytes, complete: action == 3 }
        }
        action @ (4 | 5) => arrive(line, action == 5)?,
        action @ (6 | 7) => wait(line, action == 7)?,
        _ => {
            line.ty("b64")?;
            line.end(2..=2)?;
            Mbarrier::PendingCount { dst: line.dst(0, Ty::U32)?, state: line.src(1, Ty::B64)? }
        }
    }))
}

fn arrive(line: &mut Line<'_, '_, '_>, drop: bool) -> Result<Mbarrier, PtxError> {
    let expect = line.flag("expect_tx");
    let no_complete = !expect && line.flag("noComplete");
    let shared = place(line, &[("release", ()), ("relaxed", ())])?;
    line.end(if expect || no_complete { 3..=3 } else { 2..=3 })?;
    if expect {
        line.since("mbarrier transactions", 90, (8, 0))?;
    }
    let dst = line.dst_or_sink(0, Ty::B64)?;
    if dst.is_none() {
        line.since("mbarrier.arrive into `_`", 90, (8, 0))?;
    }
    let bar = line.shared_addr(1, shared)?;
    let number = if line.operands() == 3 { Some(line.src(2, Ty::U32)?) } else { None };
    if number.is_some() && !expect && !no_complete {
        line.since("mbarrier.arrive with a count", 90, (7, 8))?;
    }
    let (count, tx) = if expect { (None, number) } else { (number, None) };
    Ok(Mbarrier::Arrive { dst, bar, count, tx, drop, no_complete })
}

fn wait(line: &mut Line<'_, '_, '_>, may_block: bool) -> Result<Mbarrier, PtxError> {
    let parity = line.flag("parity");
    let shared = place(line, &[("acquire", ()), ("relaxed", ())])?;
    line.end(if may_block { 3..=4 } else { 3..=3 })?;
    if may_block {
        line.since("mbarrier.try_wait", 90, (7, 8))?;
    } else if parity {
        line.since("mbarrier.test_wait.parity", 80, (7, 1))?;
    }
    let dst = line.pred_dst(0)?;
    let bar = line.shared_addr(1, shared)?;
    let state = line.src(2, if parity { Ty::U32 } else { Ty::B64 })?;
    if line.operands() == 4 {
        // A time hint.
        line.src(3, Ty::U32)?;
    }
    Ok(Mbarrier::Wait { dst, bar, state, parity, may_block })
}
