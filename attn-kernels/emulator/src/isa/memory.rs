//! Memory operations: spaces, accesses, atomics, mbarriers.

use super::{Addr, Num, Pred, Reg, Src};

/// A state space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Space {
    Generic,
    Global,
    Shared,
    Local,
    Const,
    Param,
}

/// What a load or a store does at its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Access {
    /// Where.
    pub(crate) space: Space,
    /// The type of one element: its width, and whether a load sign-extends.
    pub(crate) ty: Num,
    /// `.nc` or `ldu`: through the read-only path.
    pub(crate) nc: bool,
    /// `.relaxed`, `.acquire`, `.release`, `.volatile` or none.
    pub(crate) order: Ordering,
}

/// Memory ordering, as written. The machine is sequentially consistent; race checks need to know
/// which accesses synchronise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Ordering {
    Weak,
    Volatile,
    Relaxed,
    Acquire,
    Release,
    AcqRel,
}

/// Operations of `atom` and `red`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AtomOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Inc,
    Dec,
    Exch,
    Cas,
}

/// `atom` (`dst` given) and `red` of a vector: what each of its elements does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AtomVec {
    pub(crate) op: AtomOp,
    pub(crate) ty: Num,
    pub(crate) dst: Option<Box<[Reg]>>,
    pub(crate) addr: Addr,
    pub(crate) src: Box<[Src]>,
}

/// `mbarrier.*` on shared memory (PTX ISA, "Parallel Synchronization: mbarrier").
#[derive(Debug, Clone, PartialEq)]
#[rustfmt::skip]
pub(crate) enum Mbarrier {
    /// `init [bar], count`.
    Init { bar: Addr, count: Src },
    /// `inval`.
    Inval { bar: Addr },
    /// `arrive{_drop}{.expect_tx}{.noComplete}`; `tx` bytes expected first, `count` arrivals (1 if absent).
    Arrive { dst: Option<Reg>, bar: Addr, count: Option<Src>, tx: Option<Src>, drop: bool, no_complete: bool },
    /// `expect_tx` and `complete_tx` alone.
    Tx { bar: Addr, bytes: Src, complete: bool },
    /// `test_wait`, `try_wait`: of a phase token or, with `parity`, of a phase parity.
    Wait { dst: Pred, bar: Addr, state: Src, parity: bool, may_block: bool },
    /// `pending_count`.
    PendingCount { dst: Reg, state: Src },
}
