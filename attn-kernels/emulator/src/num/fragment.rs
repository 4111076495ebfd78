//! Which lane holds which matrix element: the layouts of `mma` fragments and of the 8×8 matrices of
//! `ldmatrix`, `stmatrix` and `movmatrix` (PTX ISA, "Matrix Fragments for mma.…", "ldmatrix").
//!
//! All the shapes follow one rule. With `group = lane / 4`, `thread = lane % 4`, and `per` elements
//! in a register (1 for tf32 and f64, 2 for halves, 4 for bytes):
//! - A: a register covers columns `per × thread ..` of row `group`; with 16 rows, odd registers are 8
//!   rows below; the next register (or pair of registers) is `4 × per` columns to the right.
//! - B: the same with rows and columns exchanged, and always 8 columns.
//! - C and D: element pairs at columns `2 × thread ..` of row `group`, then 8 rows below.

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
