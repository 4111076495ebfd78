//! Which operands an instruction reads. Knows nothing of what it does with them.

use crate::isa::{Addr, Mbarrier, Op, Src};

/// Calls `f` on every source of an instruction, address bases included.
pub(crate) fn for_each_source(op: &mut Op, f: &mut dyn FnMut(&mut Src)) {
    let mut all = |list: &mut [&mut Src]| list.iter_mut().for_each(|s| f(s));
    match op {
        Op::Mov { src, .. }
        | Op::Unpack { src, .. }
        | Op::Cvta { src, .. }
        | Op::IsSpace { src, .. } => {
            all(&mut [src]);
        }
        Op::Pack { parts, .. } => parts.iter_mut().for_each(f),
        Op::IntUn { a, .. }
        | Op::FloatUn { a, .. }
        | Op::Testp { a, .. }
        | Op::Cvt { a, .. }
        | Op::MovMatrix { a, .. } => all(&mut [a]),
        Op::IntBin { a, b, .. }
        | Op::FloatBin { a, b, .. }
        | Op::CvtPair { a, b, .. }
        | Op::Setp { a, b, .. }
        | Op::Set { a, b, .. }
        | Op::Selp { a, b, .. } => all(&mut [a, b]),
        Op::IntTer { a, b, c, .. }
        | Op::Carry { a, b, c, .. }
        | Op::Lop3 { a, b, c, .. }
        | Op::Shf { a, b, c, .. }
        | Op::Dot { a, b, c, .. }
        | Op::FloatTer { a, b, c, .. }
        | Op::Slct { a, b, c, .. } => all(&mut [a, b, c]),
        Op::CvtStochastic { a, b, random, .. } => all(&mut [a, b, random]),
        Op::Bfe { a, pos, len, .. } => all(&mut [a, pos, len]),
        Op::Bfi { a, b, pos, len, .. } => all(&mut [a, b, pos, len]),
        Op::Prmt { a, b, sel, .. } => all(&mut [a, b, sel]),
        Op::Ld { addr, .. } | Op::Prefetch { addr, .. } | Op::LdMatrix { addr, .. } => {
            all(&mut [&mut addr.base]);
        }
        Op::St { src, addr, .. } => {
            all(&mut [&mut addr.base]);
            src.iter_mut().for_each(f);
        }
        Op::StMatrix { src, addr, .. } => {
            all(&mut [&mut addr.base]);
            src.iter_mut().for_each(f);
        }
        Op::Atom { addr, b, c, .. } => {
            all(&mut [&mut addr.base, b]);
            c.iter_mut().for_each(f);
        }
        Op::AtomVec(v) => {
            all(&mut [&mut v.addr.base]);
            v.src.iter_mut().for_each(f);
        }
        Op::CvtPack { a, b, c, .. } => {
            all(&mut [a, b]);
            c.iter_mut().for_each(f);
        }
        Op::CpAsync { dst, src, src_bytes, .. } => {
            all(&mut [&mut dst.base, &mut src.base]);
            src_bytes.iter_mut().for_each(f);
        }
        Op::CpAsyncMbarrier { bar, .. } => all(&mut [&mut bar.base]),
        Op::Bulk { dst, src, bytes, bar, .. } => {
            all(&mut [&mut dst.base, &mut src.base, bytes]);
            bar.iter_mut().for_each(|bar| f(&mut bar.base));
        }
        Op::Mbarrier(op) => mbarrier(op, f),
        Op::Shfl { a, b, c, mask, .. } => all(&mut [a, b, c, mask]),
        Op::Vote { mask, .. } | Op::Elect { mask, .. } | Op::WarpSync { mask } => all(&mut [mask]),
        Op::Match { a, mask, .. } | Op::Redux { a, mask, .. } => all(&mut [a, mask]),
        Op::Mma(mma) => {
            mma.a.iter_mut().chain(mma.b.iter_mut()).chain(mma.c.iter_mut()).for_each(f);
        }
        Op::BrxIdx { index, .. } => all(&mut [index]),
        Op::Barrier { id, threads, .. } => {
            all(&mut [id]);
            threads.iter_mut().for_each(f);
        }
        Op::Special { .. }
        | Op::PredLogic { .. }
        | Op::Fence
        | Op::CpAsyncCommit
        | Op::CpAsyncWait { .. }
        | Op::BulkCommit
        | Op::BulkWait { .. }
        | Op::ActiveMask { .. }
        | Op::Bra { .. }
        | Op::Exit
        | Op::Trap
        | Op::Nop => {}
    }
}

fn mbarrier(op: &mut Mbarrier, f: &mut dyn FnMut(&mut Src)) {
    let base = |bar: &mut Addr, f: &mut dyn FnMut(&mut Src)| f(&mut bar.base);
    match op {
        Mbarrier::Init { bar, count } => {
            base(bar, f);
            f(count);
        }
        Mbarrier::Inval { bar } => base(bar, f),
        Mbarrier::Arrive { bar, count, tx, .. } => {
            base(bar, f);
            count.iter_mut().chain(tx).for_each(f);
        }
        Mbarrier::Tx { bar, bytes, .. } => {
            base(bar, f);
            f(bytes);
        }
        Mbarrier::Wait { bar, state, .. } => {
            base(bar, f);
            f(state);
        }
        Mbarrier::PendingCount { state, .. } => f(state),
    }
}
