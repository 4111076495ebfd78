//! Which instruction does what: hands each operation to its family.

use super::barrier::Arrival;
use super::cta::Cta;
use super::regs::lanes;
use super::stop::Stop;
use super::warp::Warp;
use super::{compare, float, int, moves};
use crate::check::FaultKind;
use crate::isa::{Op, Src};

/// Where a fragment goes after an instruction.
#[derive(Debug)]
pub(crate) enum Flow {
    Next,
    /// The executing lanes go there, the others on.
    Jump(u32),
    /// The executing lanes go to several places.
    Scatter(Vec<(u32, u32)>),
    /// The executing lanes are done.
    Exit,
    /// These lanes have to execute it again when others have come; the rest is through.
    Wait(u32),
    /// The executing lanes are at that CTA barrier.
    Barrier(u8),
    /// On, but others first.
    Yield,
}

impl Cta<'_> {
    /// Executes an instruction for the lanes `exec`, of which there is at least one.
    #[inline]
    pub(super) fn execute(
        &mut self,
        warp: &mut Warp,
        pc: u32,
        op: &Op,
        exec: u32,
    ) -> Result<Flow, Stop> {
        let regs = &mut warp.regs;
        match *op {
            Op::FloatTer { op, ty, mods, dst, a, b, c } => {
                float::ternary(regs, exec, (op, ty, mods), dst, (a, b, c))?;
            }
            Op::FloatBin { op, ty, mods, dst, a, b } => {
                float::binary(regs, exec, (op, ty, mods), dst, (a, b))?;
            }
            Op::FloatUn { op, ty, mods, dst, a } => {
                float::unary(regs, exec, (op, ty, mods), dst, a)?;
            }
            Op::Cvt { cvt, dst, a } => float::convert(regs, exec, cvt, dst, a)?,
            Op::CvtPack { bits, signed, dst, a, b, c } => {
                float::cvt_pack(regs, exec, (bits, signed), dst, (a, b, c))?;
            }
            Op::CvtStochastic { cvt, dst, a, b, random } => {
                float::convert_stochastic(regs, exec, cvt, dst, (a, b, random))?;
            }
            Op::CvtPair { cvt, dst, a, b } => {
                float::convert_pair(regs, exec, cvt, dst, (a, b))?;
            }
            Op::IntBin { op, ty, dst, a, b } => int::binary(regs, exec, op, ty, dst, (a, b))?,
            Op::IntTer { op, ty, dst, a, b, c } => {
                int::ternary(regs, exec, op, ty, dst, (a, b, c))?;
            }
            Op::IntUn { op, ty, dst, a } => int::unary(regs, exec, op, ty, dst, a)?,
            Op::Carry { op, ty, dst, a, b, c, reads, writes } => {
                int::carry(regs, exec, op, ty, dst, (a, b, c), (reads, writes))?;
            }
            Op::Bfe { ty, dst, a, pos, len } => int::bfe(regs, exec, ty, dst, (a, pos, len))?,
            Op::Bfi { ty, dst, a, b, pos, len } => {
                int::bfi(regs, exec, ty, dst, [a, b, pos, len])?;
            }
            Op::Lop3 { dst, a, b, c, lut } => int::lop3(regs, exec, dst, (a, b, c), lut)?,
            Op::Shf { left, wrap, dst, a, b, c } => {
                int::shf(regs, exec, dst, (a, b, c), left, wrap)?;
            }
            Op::Prmt { mode, dst, a, b, sel } => {
                int::prmt(regs, exec, mode, dst, (a, b, sel))?;
            }
            Op::Dot { a_signed, b_signed, half, dst, a, b, c } => {
                int::dot(regs, exec, dst, (a, b, c), (a_signed, b_signed), half)?;
            }
            Op::Mov { dst, src } => moves::copy(regs, exec, dst, src),
            Op::Special { dst, reg } => self.special(warp, exec, dst, reg),
            Op::Pack { dst, bits, ref parts } => moves::pack(regs, exec, dst, bits, parts),
            Op::Unpack { ref dst, bits, src } => moves::unpack(regs, exec, dst, bits, src),
            Op::Cvta { dst, src, space, to_generic } => {
                moves::cvta(regs, exec, dst, src, space, to_generic)?;
            }
            Op::IsSpace { dst, src, space } => moves::is_space(regs, exec, dst, src, space)?,
            Op::PredLogic { op, dst, a, b } => compare::logic(regs, exec, op, dst, (a, b))?,
            Op::Setp { cmp, ty, ftz, dst, other, a, b, with } => {
                compare::setp(regs, exec, (cmp, ty, ftz), (dst, other), (a, b), with)?;
            }
            Op::Set { cmp, ty, to, ftz, dst, a, b, with } => {
                compare::set(regs, exec, (cmp, ty, ftz), to, dst, (a, b), with)?;
            }
            Op::Selp { dst, a, b, p } => compare::selp(regs, exec, dst, (a, b), p)?,
            Op::Slct { dst, a, b, c, by, ftz } => {
                compare::slct(regs, exec, dst, (a, b, c), by, ftz)?;
            }
            Op::Testp { class, ty, dst, a } => compare::testp(regs, exec, class, ty, dst, a)?,
            Op::Bra { target } => return Ok(Flow::Jump(target)),
            Op::Exit => return Ok(Flow::Exit),
            // A fence orders the accesses around it; here all are in order.
            Op::Nop | Op::Fence => {}
            _ => return self.execute_more(warp, pc, op, exec),
        }
        Ok(Flow::Next)
    }

    /// The rest: memory, warps, barriers.
    fn execute_more(&mut self, warp: &mut Warp, pc: u32, op: &Op, exec: u32) -> Result<Flow, Stop> {
        match op {
            Op::Ld { access, dst, addr } => self.load(warp, pc, exec, *access, dst, addr)?,
            Op::St { access, src, addr } => self.store(warp, pc, exec, *access, src, addr)?,
            Op::Atom { .. } => self.atom(warp, pc, exec, op)?,
            Op::AtomVec(v) => self.atom_vector(warp, pc, exec, v)?,
            Op::Prefetch { space, addr } => self.prefetch(warp, exec, *space, addr)?,
            Op::CpAsync { .. } => self.copy_async(warp, pc, exec, op)?,
            Op::CpAsyncCommit => warp.copies.commit(exec),
            Op::CpAsyncWait { pending } => self.wait_copies(warp, exec, *pending),
            Op::CpAsyncMbarrier { noinc, bar } => {
                self.copies_to_mbarrier(warp, exec, *noinc, bar)?;
            }
            Op::Bulk { .. } => self.bulk(warp, pc, exec, op)?,
            Op::BulkCommit => warp.copies.commit_bulk(exec),
            Op::BulkWait { pending } => self.wait_bulk(warp, exec, *pending),
            Op::Mbarrier(op) => return self.mbarrier(warp, exec, op),
            Op::Shfl { .. }
            | Op::Vote { .. }
            | Op::Match { .. }
            | Op::Redux { .. }
            | Op::Elect { .. } => return self.collective(warp, exec, op),
            Op::WarpSync { mask } => return self.warp_sync(warp, exec, *mask),
            Op::ActiveMask { dst } => warp.regs.put32(*dst, exec, &[exec; 32]),
            Op::Mma(_) | Op::LdMatrix { .. } | Op::StMatrix { .. } | Op::MovMatrix { .. } => {
                return self.matrix(warp, pc, exec, op);
            }
            Op::BrxIdx { index, targets } => return brx(warp, exec, *index, targets),
            &Op::Barrier { kind, aligned, id, threads, dst, pdst, p } => {
                let op = Arrival { kind, aligned, id, threads, dst, pdst, p };
                return self.barrier(warp, pc, exec, &op);
            }
            Op::Trap => return Err(Stop::new(FaultKind::Trap, exec, "the kernel trapped")),
            other => {
                // `execute` has done all others.
                let detail = format!("no family for {other:?}");
                return Err(Stop::new(FaultKind::IllegalOperand, exec, detail));
            }
        }
        Ok(Flow::Next)
    }
}

fn brx(warp: &Warp, exec: u32, index: Src, targets: &[u32]) -> Result<Flow, Stop> {
    let index = warp.regs.copy32(index, exec)?;
    let mut places: Vec<(u32, u32)> = Vec::new();
    for lane in lanes(exec) {
        let Some(&target) = targets.get(index[lane] as usize) else {
            let detail = format!("index {} of a table of {}", index[lane], targets.len());
            return Err(Stop::new(FaultKind::IllegalOperand, 1 << lane, detail));
        };
        match places.iter_mut().find(|(t, _)| *t == target) {
            Some((_, lanes)) => *lanes |= 1 << lane,
            None => places.push((target, 1 << lane)),
        }
    }
    Ok(Flow::Scatter(places))
}
