//! How an instruction says that it cannot go on; the machine makes a [`Fault`] of it.

use super::cta::Cta;
use super::regs::Unset;
use super::warp::Warp;
use crate::check::{AllocationInfo, Fault, FaultKind};
use crate::mem::Place;

/// Why a warp stopped, small enough to be returned by every instruction.
#[derive(Debug)]
pub(crate) struct Stop(Box<Cause>);

#[derive(Debug)]
struct Cause {
    kind: FaultKind,
    lanes: u32,
    address: Option<u64>,
    /// The address is a global one, of an access of so many bytes.
    global: Option<u64>,
    detail: String,
    unset: Option<Unset>,
}

impl Stop {
    #[cold]
    pub(crate) fn new(kind: FaultKind, lanes: u32, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Box::new(Cause { kind, lanes, address: None, global: None, detail, unset: None }))
    }

    /// At an address of shared, local or param memory.
    #[cold]
    pub(crate) fn at(mut self, address: u64) -> Self {
        self.0.address = Some(address);
        self
    }

    /// At an address of global memory.
    #[cold]
    pub(crate) fn at_global(mut self, address: u64, bytes: u64) -> Self {
        self.0.address = Some(address);
        self.0.global = Some(bytes);
        self
    }

    /// What is reported.
    pub(crate) fn fault(self, cta: &Cta<'_>, warp: &Warp, pc: u32) -> Box<Fault> {
        let program = cta.grid.program;
        let cause = *self.0;
        let mut kind = cause.kind;
        let mut detail = cause.detail;
        if let Some(unset) = cause.unset {
            let name = program.kernel.reg_names[unset.file].get(unset.index as usize);
            detail = name.map_or_else(|| format!("register {}", unset.index), Clone::clone);
        }
        let mut allocation = None;
        if let (Some(address), Some(bytes)) = (cause.address, cause.global) {
            let info = |name: String, base: u64, size, freed| AllocationInfo {
                name,
                size,
                offset: address.wrapping_sub(base) as i64,
                freed,
            };
            allocation = match cta.grid.memory.place(address, bytes) {
                Place::Inside(a, _) => Some(info(a.name.clone(), a.base, a.size, false)),
                Place::Outside(near) => near.map(|(name, base, size, f)| info(name, base, size, f)),
            };
            if kind == FaultKind::OutOfBounds && allocation.as_ref().is_some_and(|a| a.freed) {
                kind = FaultKind::UseAfterFree;
            }
        }
        let lane = if cause.lanes == 0 { 0 } else { cause.lanes.trailing_zeros() };
        let instr = program.kernel.code.get(pc as usize);
        let line = instr.map_or(program.kernel.line, |i| i.line);
        Box::new(Fault {
            kind,
            kernel: program.kernel.name.clone(),
            file: program.file.clone(),
            line,
            instruction: program.line(line).to_owned(),
            cta: cta.id,
            thread: cta.thread(warp.index * 32 + lane),
            warp: warp.index,
            lane,
            address: cause.address,
            allocation,
            detail,
        })
    }
}

impl From<Unset> for Stop {
    #[cold]
    fn from(unset: Unset) -> Self {
        let mut stop = Self::new(FaultKind::UninitializedRegister, unset.lanes, "");
        stop.0.unset = Some(unset);
        stop
    }
}
