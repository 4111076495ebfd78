//! The typed, validated form of PTX that the machine executes: registers are indices, labels are
//! instruction indices, variables are addresses, and every modifier is a field.
//!
//! Knows neither the text (`ptx` lowers into this form) nor a machine (`exec` runs it).

mod control;
mod data;
mod math;
mod matrix;
mod memory;

pub(crate) use control::{BarrierKind, MatchKind, ReduxOp, ShflMode, VoteKind};
pub(crate) use data::{Addr, Guard, Pred, PredSrc, Reg, Special, Src};
pub(crate) use math::{
    BoolOp, CarryOp, Cmp, Cvt, FloatBin, FloatMods, FloatTer, FloatUn, IntBin, IntTer, IntUn, Num,
    PrmtMode, Round,
};
pub(crate) use matrix::{Elements, MatrixForm, Mma, MmaNum, MmaShape};
pub(crate) use memory::{Access, AtomOp, AtomVec, Mbarrier, Ordering, Space};

/// A loaded module: the kernels and the variables of one PTX text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Code {
    /// `.version`, as (major, minor).
    pub(crate) version: (u32, u32),
    /// `.target sm_NN`, its number: 80, 89, 90, 100, 120.
    pub(crate) sm: u32,
    /// Whether the target carries the suffix `a` (or `f`): it runs on that architecture only.
    pub(crate) specific: bool,
    /// `.global` and `.const` variables of module scope.
    pub(crate) variables: Vec<Variable>,
    /// The entries, in source order.
    pub(crate) kernels: Vec<KernelCode>,
}

/// A `.global` or `.const` variable of module scope.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Variable {
    /// Its name in the text.
    pub(crate) name: String,
    /// [`Space::Global`] or [`Space::Const`].
    pub(crate) space: Space,
    /// Bytes.
    pub(crate) size: usize,
    /// Bytes; a power of two.
    pub(crate) align: usize,
    /// Initial bytes, `size` of them; `None` = zero (PTX ISA, "Initializers").
    pub(crate) init: Option<Vec<u8>>,
    /// (byte offset in `init`, index of the variable whose generic address + addend stands there).
    pub(crate) pointers: Vec<(usize, usize, i64)>,
}

/// One `.entry`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KernelCode {
    /// Its name.
    pub(crate) name: String,
    /// The line of `.entry`, from 1.
    pub(crate) line: u32,
    /// In order; offsets into the parameter buffer follow the ABI (natural alignment).
    pub(crate) params: Vec<Param>,
    /// Size of the parameter buffer in bytes.
    pub(crate) param_bytes: usize,
    /// The instructions. Falling off the end is a return.
    pub(crate) code: Vec<Instr>,
    /// Registers of 32 bits or fewer (each stored zero-extended in 32).
    pub regs32: usize,
    /// Registers of 64 bits.
    pub regs64: usize,
    /// Predicates.
    pub(crate) preds: usize,
    /// Names of the registers, for messages: 32-bit file, 64-bit file, predicates.
    pub(crate) reg_names: [Vec<String>; 3],
    /// `.shared` variables with a size: (name, offset, bytes). The dynamic ones start at `shared_bytes`.
    pub(crate) shared: Vec<(String, u32, u32)>,
    /// Static shared memory in bytes, the alignment of the dynamic part included.
    pub(crate) shared_bytes: u32,
    /// Whether the kernel names an `extern .shared` array.
    pub(crate) dynamic_shared: bool,
    /// Bytes of `.local` per thread.
    pub(crate) local_bytes: u32,
    /// `.maxntid`, or the product of `.reqntid`.
    pub(crate) max_threads: Option<u32>,
    /// `.reqntid`: the block must be exactly this.
    pub(crate) required_block: Option<[u32; 3]>,
    /// `.minnctapersm`.
    pub(crate) min_ctas: Option<u32>,
}

/// One kernel parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param {
    /// Its name.
    pub(crate) name: String,
    /// Byte offset in the parameter buffer.
    pub(crate) offset: usize,
    /// Bytes.
    pub(crate) size: usize,
}

/// An instruction under its guard, with its place in the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Instr {
    /// `@p` or `@!p`.
    pub(crate) guard: Option<Guard>,
    /// What it does.
    pub(crate) op: Op,
    /// The PTX line, from 1.
    pub(crate) line: u32,
}

/// What an instruction does. The operand widths follow from the types: a 64-bit type works on
/// [`Reg::R64`], narrower ones on [`Reg::R32`]; loads, stores and conversions may have a wider register.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[rustfmt::skip]
pub(crate) enum Op {
    // --- moves ---------------------------------------------------------------------------------
    /// `mov`, `cvta` where it changes nothing: copies a register, an immediate or an address.
    Mov { dst: Reg, src: Src },
    /// `mov` from a special register.
    Special { dst: Reg, reg: Special },
    /// `mov.b32 %r, {a, b}`: parts of `bits` bits each, the first lowest.
    Pack { dst: Reg, bits: u8, parts: Box<[Src]> },
    /// `mov.b32 {a, b}, %r`; `None` is the sink `_`.
    Unpack { dst: Box<[Option<Reg>]>, bits: u8, src: Src },
    /// `cvta.SPACE` (`to_generic`) and `cvta.to.SPACE`; global addresses are generic already.
    Cvta { dst: Reg, src: Src, space: Space, to_generic: bool },
    /// `isspacep`.
    IsSpace { dst: Pred, src: Src, space: Space },
    /// `mov.pred`, `and/or/xor/not.pred`.
    PredLogic { op: BoolOp, dst: Pred, a: PredSrc, b: PredSrc },

    // --- integer and logic ---------------------------------------------------------------------
    /// Two operands; `.wide` forms have a result of twice the width of `ty`.
    IntBin { op: IntBin, ty: Num, dst: Reg, a: Src, b: Src },
    /// Three operands.
    IntTer { op: IntTer, ty: Num, dst: Reg, a: Src, b: Src, c: Src },
    /// One operand.
    IntUn { op: IntUn, ty: Num, dst: Reg, a: Src },
    /// `add.cc`, `addc`, `sub.cc`, `subc`, `mad{c}.lo/hi.cc`.
    Carry { op: CarryOp, ty: Num, dst: Reg, a: Src, b: Src, c: Src, reads: bool, writes: bool },
    /// `bfe`.
    Bfe { ty: Num, dst: Reg, a: Src, pos: Src, len: Src },
    /// `bfi`.
    Bfi { ty: Num, dst: Reg, a: Src, b: Src, pos: Src, len: Src },
    /// `lop3.b32` with its table.
    Lop3 { dst: Reg, a: Src, b: Src, c: Src, lut: u8 },
    /// `shf.l/.r .clamp/.wrap .b32`.
    Shf { left: bool, wrap: bool, dst: Reg, a: Src, b: Src, c: Src },
    /// `prmt.b32`.
    Prmt { mode: PrmtMode, dst: Reg, a: Src, b: Src, sel: Src },
    /// `dp4a` / `dp2a` (`half`: None = dp4a, Some(hi)).
    Dot { a_signed: bool, b_signed: bool, half: Option<bool>, dst: Reg, a: Src, b: Src, c: Src },

    // --- floating point --------------------------------------------------------------------------
    /// f32, f64, f16, bf16 and the packed pairs.
    FloatBin { op: FloatBin, ty: Num, mods: FloatMods, dst: Reg, a: Src, b: Src },
    /// `fma` (and `mad`, which is fma here), packed forms included.
    FloatTer { op: FloatTer, ty: Num, mods: FloatMods, dst: Reg, a: Src, b: Src, c: Src },
    /// `abs neg rcp sqrt rsqrt sin cos lg2 ex2 tanh`.
    FloatUn { op: FloatUn, ty: Num, mods: FloatMods, dst: Reg, a: Src },
    /// `testp`: the class test is a bit set over finite 1, infinite 2, number 4, nan 8, normal 16, subnormal 32.
    Testp { class: u8, ty: Num, dst: Pred, a: Src },
    /// `cvt` of one value (or one packed value).
    Cvt { cvt: Cvt, dst: Reg, a: Src },
    /// `cvt` of two f32 into a packed pair: `a` becomes the upper half (PTX ISA, "cvt").
    CvtPair { cvt: Cvt, dst: Reg, a: Src, b: Src },
    /// `cvt.rs` of two f32 into bf16x2: each half of `random` rounds the value of its half of `dst`.
    CvtStochastic { cvt: Cvt, dst: Reg, a: Src, b: Src, random: Src },
    /// `cvt.pack`: two s32 clipped to `bits`, `a` above `b`, and `c` above both.
    CvtPack { bits: u32, signed: bool, dst: Reg, a: Src, b: Src, c: Option<Src> },

    // --- comparison and selection ----------------------------------------------------------------
    /// `setp`, with the optional second predicate (the complement) and combination.
    /// For f16x2/bf16x2 `dst` is the lower, `other` the upper half's result.
    Setp { cmp: Cmp, ty: Num, ftz: bool, dst: Option<Pred>, other: Option<Pred>, a: Src, b: Src, with: Option<(BoolOp, PredSrc)> },
    /// `set`: all ones or 1.0 as `to` says.
    Set { cmp: Cmp, ty: Num, to: Num, ftz: bool, dst: Reg, a: Src, b: Src, with: Option<(BoolOp, PredSrc)> },
    /// `selp`.
    Selp { dst: Reg, a: Src, b: Src, p: PredSrc },
    /// `slct` on the sign of `c` (s32 or f32).
    Slct { dst: Reg, a: Src, b: Src, c: Src, by: Num, ftz: bool },

    // --- memory ----------------------------------------------------------------------------------
    /// `ld`, `ldu`: one, two, four or eight registers.
    Ld { access: Access, dst: Box<[Option<Reg>]>, addr: Addr },
    /// `st`.
    St { access: Access, src: Box<[Src]>, addr: Addr },
    /// `atom` (`dst` given) and `red`.
    Atom { op: AtomOp, ty: Num, space: Space, order: Ordering, noftz: bool, dst: Option<Reg>, addr: Addr, b: Src, c: Option<Src> },
    /// The same on two to eight neighbours in global memory, each for itself.
    AtomVec(Box<AtomVec>),
    /// `prefetch`, `prefetchu`, `applypriority`, `discard` hints with an address: checked, otherwise nothing.
    Prefetch { space: Space, addr: Addr },
    /// `membar`, `fence` (proxy forms too).
    Fence,
    /// `cp.async.ca/.cg`: `bytes` 4, 8 or 16; `src_bytes` fewer are read, the rest is zero. `ignore` = ignore-src.
    CpAsync { bytes: u8, dst: Addr, src: Addr, src_bytes: Option<Src>, ignore: Option<PredSrc>, cg: bool },
    /// `cp.async.commit_group`.
    CpAsyncCommit,
    /// `cp.async.wait_group n`; `wait_all` is `None`.
    CpAsyncWait { pending: Option<u32> },
    /// `cp.async.mbarrier.arrive`.
    CpAsyncMbarrier { noinc: bool, bar: Addr },
    /// `cp.async.bulk` between global and shared::cta, completing on an mbarrier or a bulk group.
    Bulk { to_shared: bool, dst: Addr, src: Addr, bytes: Src, bar: Option<Addr> },
    /// `cp.async.bulk.commit_group`.
    BulkCommit,
    /// `cp.async.bulk.wait_group{.read} n`.
    BulkWait { pending: u32 },
    /// `mbarrier.*`.
    Mbarrier(Mbarrier),

    // --- warp -------------------------------------------------------------------------------------
    /// `shfl.sync`.
    Shfl { mode: ShflMode, dst: Option<Reg>, pred: Option<Pred>, a: Src, b: Src, c: Src, mask: Src },
    /// `vote.sync`.
    Vote { kind: VoteKind, dst: Option<Reg>, pred: Option<Pred>, a: PredSrc, mask: Src },
    /// `match.sync`.
    Match { kind: MatchKind, ty: Num, dst: Reg, pred: Option<Pred>, a: Src, mask: Src },
    /// `redux.sync`.
    Redux { op: ReduxOp, ty: Num, abs: bool, nan: bool, dst: Reg, a: Src, mask: Src },
    /// `activemask`.
    ActiveMask { dst: Reg },
    /// `elect.sync`.
    Elect { dst: Option<Reg>, pred: Pred, mask: Src },
    /// `bar.warp.sync`.
    WarpSync { mask: Src },

    // --- matrix -----------------------------------------------------------------------------------
    /// `mma.sync`.
    Mma(Box<Mma>),
    /// `ldmatrix`: 1, 2 or 4 matrices, or twice as many registers of tall ones.
    LdMatrix { form: MatrixForm, dst: Box<[Reg]>, addr: Addr },
    /// `stmatrix`: 1, 2 or 4 matrices.
    StMatrix { form: MatrixForm, src: Box<[Src]>, addr: Addr },
    /// `movmatrix.trans`.
    MovMatrix { dst: Reg, a: Src },

    // --- control ----------------------------------------------------------------------------------
    /// `bra`: the index of the next instruction.
    Bra { target: u32 },
    /// `brx.idx`.
    BrxIdx { index: Src, targets: Box<[u32]> },
    /// `bar.sync/.arrive/.red`, `barrier.*`. `threads` counts threads; `None` = the whole CTA.
    /// `aligned`: `bar.*` and `barrier.*.aligned`, all threads of the warp must come to it together.
    Barrier { kind: BarrierKind, aligned: bool, id: Src, threads: Option<Src>, dst: Option<Reg>, pdst: Option<Pred>, p: Option<PredSrc> },
    /// `ret` in an entry and `exit`: the thread is done.
    Exit,
    /// `trap`, `brkpt`, a failed device-side assert.
    Trap,
    /// `nanosleep`, `griddepcontrol`, `pmevent`, `setmaxnreg`: nothing that the model has, and listed as such in the docs.
    Nop,
}
