//! Which lane holds which matrix element: the layouts of `mma` fragments and of the matrices of
//! `ldmatrix`, `stmatrix` and `movmatrix` (PTX ISA, "Matrix Fragments for mma.…", "ldmatrix",
//! "stmatrix").
//!
//! All the shapes follow one rule. With `group = lane / 4`, `thread = lane % 4`, and `per` elements
//! in a register (1 for tf32 and f64, 2 for halves, 4 for bytes):
//! - A: a register covers columns `per × thread ..` of row `group`; with 16 rows, odd registers are 8
//!   rows below; the next register (or pair of registers) is `4 × per` columns to the right.
//! - B: the same with rows and columns exchanged, and always 8 columns.
//! - C and D: element pairs at columns `2 × thread ..` of row `group`, then 8 rows below.

use crate::isa::{Elements, MatrixForm};

/// Row and column of A's element `index` (low to high over the registers) that `lane` holds, for a
/// shape of `m` rows and `per` elements in a register.
pub(crate) const fn a_element(m: usize, per: usize, lane: usize, index: usize) -> (usize, usize) {
    let (register, part) = (index / per, index % per);
    let tall = m / 8;
    let row = lane / 4 + 8 * (register % tall);
    (row, (lane % 4) * per + part + register / tall * 4 * per)
}

/// Row (of the inner dimension) and column of B's element `index` that `lane` holds.
pub(crate) const fn b_element(per: usize, lane: usize, index: usize) -> (usize, usize) {
    let (register, part) = (index / per, index % per);
    ((lane % 4) * per + part + register * 4 * per, lane / 4)
}

/// Row and column of the accumulators' element `index` that `lane` holds, for every shape.
pub(crate) const fn c_element(lane: usize, index: usize) -> (usize, usize) {
    (lane / 4 + 8 * (index / 2), (lane % 4) * 2 + index % 2)
}

/// Row and column of the b16 element that half `half` of `lane`'s register holds of an 8×8 matrix,
/// for `ldmatrix` and `stmatrix` (`trans` as in the instruction). `movmatrix` takes the element from
/// where the plain form holds it to where `trans` says.
pub(crate) const fn m8n8_element(lane: usize, half: usize, trans: bool) -> (usize, usize) {
    let (row, col) = (lane / 4, (lane % 4) * 2 + half);
    if trans { (col, row) } else { (row, col) }
}

/// Row of memory, and byte of its (unpacked) 16, that byte `byte` of `lane`'s register gets by
/// `ldmatrix`; `register` counts the two of a tall matrix.
///
/// Elements of bytes: without `.trans` four lanes share a row, four bytes each. With it four lanes share
/// a column, of which each gets four rows; the second register has the columns from 8 on.
pub(crate) const fn matrix_byte(
    form: MatrixForm,
    lane: usize,
    register: usize,
    byte: usize,
) -> (usize, usize) {
    let (group, thread) = (lane / 4, lane % 4);
    match (form.elements, form.trans) {
        (Elements::B16, trans) => {
            let (row, column) = m8n8_element(lane, byte / 2, trans);
            (row, 2 * column + byte % 2)
        }
        (_, false) => (group, 4 * thread + byte),
        (_, true) => (4 * thread + byte, group + 8 * register),
    }
}

/// The same for `stmatrix`. Of bytes there is m16n8 with `.trans` alone: the register is that of an
/// accumulator of `mma`, its 16 rows are the bytes and its 8 columns the rows of memory.
pub(crate) const fn stored_byte(form: MatrixForm, lane: usize, byte: usize) -> (usize, usize) {
    match form.elements {
        Elements::B16 => matrix_byte(form, lane, 0, byte),
        _ => {
            let (row, column) = c_element(lane, byte);
            (column, row)
        }
    }
}
