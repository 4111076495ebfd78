//! Kinds of warp and CTA operations.

/// `shfl.sync` modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ShflMode {
    Up,
    Down,
    Bfly,
    Idx,
}

/// `vote.sync` modes; `Ballot` writes a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum VoteKind {
    All,
    Any,
    Uni,
    Ballot,
}

/// `match.sync` modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MatchKind {
    Any,
    All,
}

/// `redux.sync` operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum ReduxOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
}

/// What a CTA barrier does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum BarrierKind {
    /// Wait for all.
    Sync,
    /// Count in, do not wait.
    Arrive,
    /// Wait, and give the number of true predicates.
    RedPopc,
    /// Wait, and give whether all are true.
    RedAnd,
    /// Wait, and give whether any is true.
    RedOr,
}
