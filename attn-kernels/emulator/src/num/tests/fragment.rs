//! Fragment layouts against the ISA's formulas, written down shape by shape (PTX ISA 8.8,
//! 9.7.14.5.2 – 9.7.14.5.10; "ldmatrix", "movmatrix").

use std::collections::HashSet;

use super::super::fragment::{a_element, b_element, c_element, m8n8_element};
use super::super::matrix::{MmaForm, elements_per_register};
use crate::isa::{MmaNum, MmaShape, Num};

/// A layout from the text: (group, thread in group, element index) to (row, column).
type Layout = fn(usize, usize, usize) -> (usize, usize);

/// One section: shape, element type, accumulator type, elements per lane of A, B, C, and the layouts.
struct Section {
    shape: (u8, u8, u8),
    num: MmaNum,
    acc: Num,
    counts: [usize; 3],
    a: Layout,
    b: Layout,
    c: Layout,
}

fn c16(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1))
}

fn c8(g: usize, t: usize, i: usize) -> (usize, usize) {
    (g, t * 2 + i)
}

/// m16n8k8 of 32-bit and 64-bit elements: a0 a2 in row g, a0 a1 in column t.
fn a1688_wide(g: usize, t: usize, i: usize) -> (usize, usize) {
    let row = if i == 0 || i == 2 { g } else { g + 8 };
    (row, if i < 2 { t } else { t + 4 })
}

fn b1688_wide(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i == 0 { t } else { t + 4 }, g)
}

fn a1684(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i == 0 { g } else { g + 8 }, t)
}

fn a16816_half(g: usize, t: usize, i: usize) -> (usize, usize) {
    let row = if i < 2 || (4..6).contains(&i) { g } else { g + 8 };
    (row, if i < 4 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 })
}

fn b16816_half(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i < 2 { t * 2 + (i & 1) } else { t * 2 + (i & 1) + 8 }, g)
}

fn a16816_byte(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i < 4 { g } else { g + 8 }, t * 4 + (i & 3))
}

fn a16832(g: usize, t: usize, i: usize) -> (usize, usize) {
    let row = if i < 4 || (8..12).contains(&i) { g } else { g + 8 };
    (row, if i < 8 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 })
}

fn b16832(g: usize, t: usize, i: usize) -> (usize, usize) {
    (if i < 4 { t * 4 + (i & 3) } else { t * 4 + (i & 3) + 16 }, g)
}

fn a16816_double(g: usize, t: usize, i: usize) -> (usize, usize) {
    if i.is_multiple_of(2) { (g, i * 2 + t) } else { (g + 8, i * 2 - 2 + t) }
}

#[rustfmt::skip]
fn sections() -> Vec<Section> {
    let of = |shape, num, acc, counts, a, b, c| Section { shape, num, acc, counts, a, b, c };
    let half: [Layout; 2] = [|g, t, i| (if i < 2 { g } else { g + 8 }, t * 2 + (i & 1)), |g, t, i| (t * 2 + i, g)];
    let single_b: Layout = |g, t, _| (t, g);
    let byte_b: Layout = |g, t, i| (t * 4 + i, g);
    let byte_a: Layout = |g, t, i| (g, t * 4 + i);
    vec![
        of((8, 8, 4), MmaNum::F64, Num::F64, [1, 1, 2], |g, t, _| (g, t), single_b, c8),
        of((8, 8, 16), MmaNum::S8, Num::S32, [4, 4, 2], byte_a, byte_b, c8),
        of((16, 8, 4), MmaNum::Tf32, Num::F32, [2, 1, 4], a1684, single_b, c16),
        of((16, 8, 4), MmaNum::F64, Num::F64, [2, 1, 4], a1684, single_b, c16),
        of((16, 8, 8), MmaNum::F16, Num::F32, [4, 2, 4], half[0], half[1], c16),
        of((16, 8, 8), MmaNum::F16, Num::F16, [4, 2, 4], half[0], half[1], c16),
        of((16, 8, 8), MmaNum::Bf16, Num::F32, [4, 2, 4], half[0], half[1], c16),
        of((16, 8, 8), MmaNum::Tf32, Num::F32, [4, 2, 4], a1688_wide, b1688_wide, c16),
        of((16, 8, 8), MmaNum::F64, Num::F64, [4, 2, 4], a1688_wide, b1688_wide, c16),
        of((16, 8, 16), MmaNum::F16, Num::F32, [8, 4, 4], a16816_half, b16816_half, c16),
        of((16, 8, 16), MmaNum::F16, Num::F16, [8, 4, 4], a16816_half, b16816_half, c16),
        of((16, 8, 16), MmaNum::Bf16, Num::F32, [8, 4, 4], a16816_half, b16816_half, c16),
        of((16, 8, 16), MmaNum::F64, Num::F64, [8, 4, 4], a16816_double, |g, t, i| (t + i * 4, g), c16),
        of((16, 8, 16), MmaNum::S8, Num::S32, [8, 4, 4], a16816_byte, byte_b, c16),
        of((16, 8, 16), MmaNum::U8, Num::S32, [8, 4, 4], a16816_byte, byte_b, c16),
        of((16, 8, 16), MmaNum::E4m3, Num::F32, [8, 4, 4], a16816_byte, byte_b, c16),
        of((16, 8, 16), MmaNum::E5m2, Num::F16, [8, 4, 4], a16816_byte, byte_b, c16),
        of((16, 8, 32), MmaNum::S8, Num::S32, [16, 8, 4], a16832, b16832, c16),
        of((16, 8, 32), MmaNum::E4m3, Num::F32, [16, 8, 4], a16832, b16832, c16),
        of((16, 8, 32), MmaNum::E5m2, Num::F32, [16, 8, 4], a16832, b16832, c16),
    ]
}

/// Every layout equals the text's, and is a bijection onto its matrix; the register counts fit.
#[test]
fn layouts_equal_the_isa() {
    for Section { shape: (m, n, k), num, acc, counts, a, b, c } in sections() {
        let shape = MmaShape { m, n, k };
        let form = MmaForm { shape, a_num: num, b_num: num, acc, satfinite: false };
        let per = elements_per_register(num);
        let per_c = if acc == Num::F16 { 2 } else { 1 };
        let registers = (counts[0] / per, counts[1] / per, counts[2] / per_c);
        assert_eq!(form.registers(), Some(registers), "{form:?}");
        let (m, n, k) = (usize::from(m), usize::from(n), usize::from(k));
        let mut seen = [HashSet::new(), HashSet::new(), HashSet::new()];
        for lane in 0..32 {
            let (g, t) = (lane >> 2, lane % 4);
            for i in 0..counts[0] {
                assert_eq!(a_element(m, per, lane, i), a(g, t, i), "A of {form:?}, {lane}, {i}");
                seen[0].insert(a(g, t, i));
            }
            for i in 0..counts[1] {
                assert_eq!(b_element(per, lane, i), b(g, t, i), "B of {form:?}, {lane}, {i}");
                seen[1].insert(b(g, t, i));
            }
            for i in 0..counts[2] {
                assert_eq!(c_element(lane, i), c(g, t, i), "C of {form:?}, {lane}, {i}");
                seen[2].insert(c(g, t, i));
            }
        }
        for (seen, (rows, cols)) in seen.iter().zip([(m, k), (k, n), (m, n)]) {
            assert_eq!(seen.len(), rows * cols, "{form:?}");
            assert!(seen.iter().all(|&(r, c)| r < rows && c < cols), "{form:?}");
        }
    }
}

/// Forms that PTX does not have are refused.
#[test]
fn other_forms_are_refused() {
    let form = |m, n, k, a_num, b_num, acc, satfinite| MmaForm {
        shape: MmaShape { m, n, k },
        a_num,
        b_num,
        acc,
        satfinite,
    };
    for form in [
        form(8, 8, 4, MmaNum::F16, MmaNum::F16, Num::F32, false),
        form(16, 8, 16, MmaNum::F16, MmaNum::Bf16, Num::F32, false),
        form(16, 8, 16, MmaNum::Bf16, MmaNum::Bf16, Num::F16, false),
        form(16, 8, 16, MmaNum::Tf32, MmaNum::Tf32, Num::F32, false),
        form(16, 8, 32, MmaNum::F16, MmaNum::F16, Num::F32, false),
        form(16, 8, 32, MmaNum::E4m3, MmaNum::S8, Num::F32, false),
        form(16, 8, 32, MmaNum::E4m3, MmaNum::E5m2, Num::F32, true),
        form(8, 8, 32, MmaNum::S8, MmaNum::S8, Num::S32, false),
    ] {
        assert_eq!(form.registers(), None, "{form:?}");
    }
}

/// `ldmatrix`: lane 4r + c/2 holds elements (r, c) and (r, c + 1); with `.trans` it holds (c, r) and
/// (c + 1, r).
#[test]
fn matrices_of_eight_rows() {
    for row in 0..8 {
        for col in 0..8 {
            let (lane, half) = (row * 4 + col / 2, col % 2);
            assert_eq!(m8n8_element(lane, half, false), (row, col));
            assert_eq!(m8n8_element(lane, half, true), (col, row));
        }
    }
}
