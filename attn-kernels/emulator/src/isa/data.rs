//! Operands: registers, predicates, sources, addresses, special registers.

/// A general register of a kernel, by its index in the file of its width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reg {
    /// 8, 16 or 32 bits in 32. A register declared narrower may hold anything above its width
    /// (`ld.s8` into a 16-bit register extends to 32): each reader cuts to its own type.
    R32(u32),
    /// 64 bits.
    R64(u32),
}

/// A predicate register, by its index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Pred(pub u32);

/// A predicate operand, possibly negated (`!p`), or a constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PredSrc {
    /// The predicate, and whether it is negated.
    Reg(Pred, bool),
    /// A constant.
    Const(bool),
}

/// The guard of an instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guard {
    /// The predicate.
    pub(crate) pred: Pred,
    /// `@!p`.
    pub(crate) negate: bool,
}

/// A source operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Src {
    /// A register.
    Reg(Reg),
    /// The bits of an immediate, cut to the width of the type that reads it. Addresses of shared,
    /// local and param variables are immediates too (offsets in their windows).
    Imm(u64),
    /// The generic address of a module variable plus an offset: known once the module is loaded.
    Variable(u32, i64),
}

/// A memory operand: `[base + offset]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Addr {
    /// A register (32 or 64 bits), an immediate, or a variable.
    pub(crate) base: Src,
    /// Bytes.
    pub(crate) offset: i64,
    /// A generic address, of an instruction that is for shared memory only: whether it lies there is
    /// seen when it is used.
    pub(crate) generic: bool,
}

/// Special registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Special {
    Tid(u8),
    Ntid(u8),
    Ctaid(u8),
    Nctaid(u8),
    LaneId,
    WarpId,
    NwarpId,
    SmId,
    NsmId,
    GridId,
    LanemaskEq,
    LanemaskLe,
    LanemaskLt,
    LanemaskGe,
    LanemaskGt,
    /// `%clock`, `%clock_hi`: the low or the high half of the CTA's instruction count.
    Clock(bool),
    Clock64,
    GlobalTimer,
    /// `%globaltimer_lo`, `%globaltimer_hi`.
    GlobalTimerHalf(bool),
    DynamicSmemSize,
    TotalSmemSize,
    /// Cluster registers of a grid without clusters: size 1, rank 0.
    ClusterOne,
    ClusterZero,
}
