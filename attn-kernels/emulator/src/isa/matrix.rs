//! `mma.sync`: shapes, operand types, registers; the matrices of `ldmatrix` and `stmatrix`.

use super::{Reg, Src};

/// The shape, rows × columns × inner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MmaShape {
    /// Rows of A and D: 16 (8 for the old m8n8k4 and the integer m8n8k16).
    pub(crate) m: u8,
    /// Columns of B and D: 8.
    pub(crate) n: u8,
    /// Inner dimension, in elements.
    pub(crate) k: u8,
}

/// The element type of A or B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum MmaNum {
    F16,
    Bf16,
    Tf32,
    E4m3,
    E5m2,
    S8,
    U8,
    F64,
}

/// One `mma.sync.aligned.SHAPE.row.col.D.A.B.C`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mma {
    /// The shape.
    pub(crate) shape: MmaShape,
    /// Element type of A.
    pub(crate) a_num: MmaNum,
    /// Element type of B.
    pub(crate) b_num: MmaNum,
    /// Accumulators are f32 (`F32`), f16 pairs (`F16`), s32 (`S32`) or f64.
    pub(crate) acc: super::Num,
    /// `.satfinite` of the integer forms.
    pub(crate) satfinite: bool,
    /// Registers of D, A, B, C, in the order of the text.
    pub(crate) d: Box<[Reg]>,
    /// A.
    pub(crate) a: Box<[Src]>,
    /// B.
    pub(crate) b: Box<[Src]>,
    /// C.
    pub(crate) c: Box<[Src]>,
}

/// What a row of 16 bytes of `ldmatrix` or `stmatrix` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Elements {
    /// Eight of 16 bits.
    B16,
    /// Sixteen of 8 bits.
    B8,
    /// Sixteen of 6 bits and 32 bits of padding; a register has them as bytes.
    B6,
    /// Sixteen of 4 bits and 64 bits of padding; a register has them as bytes.
    B4,
}

/// The matrices of one `ldmatrix` or `stmatrix`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct MatrixForm {
    /// The rows in memory.
    pub(crate) elements: Elements,
    /// `.trans`: registers hold columns of memory.
    pub(crate) trans: bool,
    /// 16 rows of memory and two registers a matrix (m16n16), otherwise 8 rows and one.
    pub(crate) tall: bool,
}
