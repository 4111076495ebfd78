//! Number types and the operations on them.

/// A PTX number type: what the bits of an operand mean. `.bN` types are the unsigned ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Num {
    U8,
    U16,
    U32,
    U64,
    S8,
    S16,
    S32,
    S64,
    F16,
    Bf16,
    Tf32,
    F32,
    F64,
    /// Two halves in 32 bits, the first value in the lower half.
    F16x2,
    Bf16x2,
    U16x2,
    S16x2,
    /// Two FP8 codes in 16 bits, the first value in the lower byte.
    E4m3x2,
    E5m2x2,
    /// Packed FP6, FP4 and scale types of sm_100.
    E2m3x2,
    E3m2x2,
    E2m1x2,
    Ue8m0x2,
}

impl Num {
    /// Bits of one operand of this type.
    #[must_use]
    pub(crate) const fn bits(self) -> u32 {
        use Num::{
            Bf16, Bf16x2, E2m1x2, E2m3x2, E3m2x2, E4m3x2, E5m2x2, F16, F16x2, F32, F64, S8, S16,
            S16x2, S32, S64, Tf32, U8, U16, U16x2, U32, U64, Ue8m0x2,
        };
        match self {
            U8 | S8 | E2m1x2 => 8,
            U16 | S16 | F16 | Bf16 | E4m3x2 | E5m2x2 | E2m3x2 | E3m2x2 | Ue8m0x2 => 16,
            U32 | S32 | F32 | Tf32 | F16x2 | Bf16x2 | U16x2 | S16x2 => 32,
            U64 | S64 | F64 => 64,
        }
    }

    /// Whether it is a signed integer.
    #[must_use]
    pub(crate) const fn signed(self) -> bool {
        matches!(self, Num::S8 | Num::S16 | Num::S32 | Num::S64 | Num::S16x2)
    }
}

/// Rounding. The `i` forms round to an integral value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Round {
    None,
    Rn,
    Rz,
    Rm,
    Rp,
    Rna,
    Rni,
    Rzi,
    Rmi,
    Rpi,
}

/// What an instruction does beside its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FloatMods {
    /// Rounding; `None` where the operation has none.
    pub(crate) round: Round,
    /// Subnormal inputs and results become zero of the same sign.
    pub(crate) ftz: bool,
    /// Clamp to [0, 1], NaN to 0.
    pub(crate) sat: bool,
    /// Clamp below at 0, NaN to canonical NaN.
    pub(crate) relu: bool,
    /// `.NaN` of min and max: a NaN operand wins.
    pub(crate) nan: bool,
    /// `.xorsign.abs` of min and max.
    pub(crate) xorsign: bool,
    /// `.approx`; `.full` of div is `approx` with `full`.
    pub(crate) approx: bool,
    /// `.full`.
    pub(crate) full: bool,
}

impl FloatMods {
    /// Nothing set.
    pub(crate) const NONE: Self = Self {
        round: Round::None,
        ftz: false,
        sat: false,
        relu: false,
        nan: false,
        xorsign: false,
        approx: false,
        full: false,
    };
}

/// `cvt`: from, to and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Cvt {
    /// Source type.
    pub(crate) from: Num,
    /// Destination type.
    pub(crate) to: Num,
    /// Rounding, `.ftz`, `.sat`, `.relu`.
    pub(crate) mods: FloatMods,
    /// `.satfinite`.
    pub(crate) satfinite: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Integer operations on two operands. `U16x2`/`S16x2` work by halves.
pub(crate) enum IntBin {
    Add,
    AddSat,
    Sub,
    SubSat,
    MulLo,
    MulHi,
    MulWide,
    Mul24Lo,
    Mul24Hi,
    Div,
    Rem,
    Min,
    Max,
    MinRelu,
    MaxRelu,
    And,
    Or,
    Xor,
    /// Amount in the low 32 bits, clamped at the width.
    Shl,
    Shr,
    /// `szext` / `bmsk`, clamping or wrapping.
    SzextClamp,
    SzextWrap,
    BmskClamp,
    BmskWrap,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Integer operations on three operands.
pub(crate) enum IntTer {
    MadLo,
    MadHi,
    MadHiSat,
    MadWide,
    Mad24Lo,
    Mad24Hi,
    Sad,
    Fns,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Integer operations on one operand.
pub(crate) enum IntUn {
    Abs,
    Neg,
    Not,
    Cnot,
    Popc,
    Clz,
    Brev,
    Bfind,
    BfindShift,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Extended-precision operations.
pub(crate) enum CarryOp {
    Add,
    Sub,
    MadLo,
    MadHi,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Floating operations on two operands.
pub(crate) enum FloatBin {
    Add,
    Sub,
    Mul,
    Div,
    Min,
    Max,
    Copysign,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Floating operations on three operands (`min`/`max` of three from sm_100).
pub(crate) enum FloatTer {
    Fma,
    Min3,
    Max3,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Floating operations on one operand.
pub(crate) enum FloatUn {
    Abs,
    Neg,
    Rcp,
    Sqrt,
    Rsqrt,
    Sin,
    Cos,
    Lg2,
    Ex2,
    Tanh,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Comparisons; the `u` forms of floats are true for NaN, `Num`/`Nan` test both operands.
/// `lo ls hi hs` of unsigned integers are `Lt Le Gt Ge`.
pub(crate) enum Cmp {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
    Equ,
    Neu,
    Ltu,
    Leu,
    Gtu,
    Geu,
    Num,
    Nan,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// How predicates combine. `A` takes the first (mov), `NotA` negates it.
pub(crate) enum BoolOp {
    And,
    Or,
    Xor,
    A,
    NotA,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
/// Modes of `prmt`.
pub(crate) enum PrmtMode {
    Index,
    F4e,
    B4e,
    Rc8,
    Ecl,
    Ecr,
    Rc16,
}
