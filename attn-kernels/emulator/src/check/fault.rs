//! A fault: what a kernel did wrong, where in its text and by which thread.

use std::fmt;

/// The classes of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultKind {
    /// An access outside of every allocation, variable or window.
    OutOfBounds,
    /// An address that is no multiple of the access.
    Misaligned,
    /// An access to memory that was freed.
    UseAfterFree,
    /// A store to constant memory.
    ReadOnly,
    /// A register or predicate was used before anything was written to it.
    UninitializedRegister,
    /// A load of bytes that nobody wrote.
    UninitializedMemory,
    /// Two threads accessed the same shared memory, one of them wrote, nothing orders the two.
    SharedRace,
    /// Two lanes of one store wrote different values to one address, or two threads of one warp
    /// communicated with no `bar.warp.sync` between.
    WarpRace,
    /// The destination of `cp.async` or `cp.async.bulk` was accessed before the wait.
    ReadBeforeWait,
    /// A CTA barrier that can never complete: threads wait elsewhere, or fewer are left than it counts.
    DivergentBarrier,
    /// A bad barrier number or thread count.
    IllegalBarrier,
    /// A `.sync` instruction whose mask leaves out the thread that executes it, or differs among the threads.
    IllegalWarpMask,
    /// A `.sync` instruction whose mask names threads that never come.
    WarpDeadlock,
    /// An mbarrier that was not initialised, was used wrongly or overflowed.
    IllegalMbarrier,
    /// The instruction budget is used up: an infinite loop, or a wait for something that never happens.
    InstructionBudget,
    /// `trap`, a failed device-side assertion.
    Trap,
    /// An operand that the instruction does not take, e.g. an index of `brx` past its table.
    IllegalOperand,
}

impl FaultKind {
    /// A few words.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::OutOfBounds => "access out of bounds",
            Self::Misaligned => "misaligned access",
            Self::UseAfterFree => "use after free",
            Self::ReadOnly => "store to constant memory",
            Self::UninitializedRegister => "use of an uninitialised register",
            Self::UninitializedMemory => "load of uninitialised memory",
            Self::SharedRace => "race in shared memory",
            Self::WarpRace => "race within a warp",
            Self::ReadBeforeWait => {
                "access to the destination of an asynchronous copy before its wait"
            }
            Self::DivergentBarrier => "divergent barrier",
            Self::IllegalBarrier => "illegal barrier",
            Self::IllegalWarpMask => "illegal warp mask",
            Self::WarpDeadlock => "warp synchronisation that never completes",
            Self::IllegalMbarrier => "illegal mbarrier operation",
            Self::InstructionBudget => "instruction budget used up",
            Self::Trap => "trap",
            Self::IllegalOperand => "illegal operand",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.describe())
    }
}

/// The allocation that a faulting address belongs to or is nearest to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationInfo {
    /// The name given, the name of the variable, or `#number`.
    pub name: String,
    /// Its bytes.
    pub size: u64,
    /// The address, from the start of the allocation; negative before it.
    pub offset: i64,
    /// It was freed.
    pub freed: bool,
}

/// A failed check. Of several CTAs that fault, the lowest is reported.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The class.
    pub kind: FaultKind,
    /// The kernel.
    pub kernel: String,
    /// The name under which its module was loaded.
    pub file: String,
    /// The line of the PTX, from 1.
    pub line: u32,
    /// The text of that line.
    pub instruction: String,
    /// The CTA.
    pub cta: [u32; 3],
    /// The thread in the CTA: the lowest lane concerned.
    pub thread: [u32; 3],
    /// Its warp in the CTA.
    pub warp: u32,
    /// Its lane in the warp.
    pub lane: u32,
    /// The address, in its space, where there is one.
    pub address: Option<u64>,
    /// What stands at or next to the address, if it is a global one.
    pub allocation: Option<AllocationInfo>,
    /// What exactly: the register, the other thread, the count.
    pub detail: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [cx, cy, cz] = self.cta;
        let [tx, ty, tz] = self.thread;
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.kind, self.detail)?;
        if let Some(address) = self.address {
            write!(f, " at {address:#x}")?;
        }
        if let Some(a) = &self.allocation {
            let gone = if a.freed { "freed allocation" } else { "allocation" };
            write!(f, " (byte {} of {gone} {}, {} bytes)", a.offset, a.name, a.size)?;
        }
        write!(
            f,
            "; kernel {}, CTA ({cx},{cy},{cz}), thread ({tx},{ty},{tz}), warp {} lane {}",
            self.kernel, self.warp, self.lane
        )?;
        if !self.instruction.is_empty() {
            write!(f, "; `{}`", self.instruction)?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}
