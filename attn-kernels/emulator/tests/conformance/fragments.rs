//! The fragment layouts of `mma`, `ldmatrix`, `stmatrix` and `movmatrix`, written down from the PTX ISA
//! (§ "Matrix Fragments for mma.m…", "ldmatrix", "stmatrix", "movmatrix"), with `g = laneid >> 2`,
//! `t = laneid % 4`. Nothing here is the emulator's.

/// (row, column) of element `i` of a lane's fragment.
pub(crate) type Layout = fn(lane: usize, i: usize) -> (usize, usize);

fn g(lane: usize) -> usize {
    lane >> 2
}
fn t(lane: usize) -> usize {
    lane % 4
}
/// `groupID` or `groupID + 8`.
fn row(lane: usize, lower: bool) -> usize {
    g(lane) + if lower { 8 } else { 0 }
}

/// One shape and its fragments.
pub(crate) struct Shape {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
    /// Elements per lane of A, B and C/D, and where they are.
    pub(crate) a: (usize, Layout),
    pub(crate) b: (usize, Layout),
    pub(crate) c: (usize, Layout),
}

/// C and D of every m16n8: rows g and g + 8, columns 2t and 2t + 1.
const WIDE_C: (usize, Layout) = (4, |l, i| (row(l, i >= 2), t(l) * 2 + (i & 1)));
/// C and D of m8n8.
const SMALL_C: (usize, Layout) = (2, |l, i| (g(l), t(l) * 2 + i));

/// m16n8k8 of f16 and bf16.
pub(crate) const M16N8K8_HALF: Shape = Shape {
    m: 16,
    n: 8,
    k: 8,
    a: (4, |l, i| (row(l, i >= 2), t(l) * 2 + (i & 1))),
    b: (2, |l, i| (t(l) * 2 + i, g(l))),
    c: WIDE_C,
};
/// m16n8k16 of f16 and bf16.
pub(crate) const M16N8K16_HALF: Shape = Shape {
    m: 16,
    n: 8,
    k: 16,
    a: (8, |l, i| {
        let upper = i < 2 || (4..6).contains(&i);
        (row(l, !upper), t(l) * 2 + (i & 1) + if i < 4 { 0 } else { 8 })
    }),
    b: (4, |l, i| (t(l) * 2 + (i & 1) + if i < 2 { 0 } else { 8 }, g(l))),
    c: WIDE_C,
};
/// m16n8k4 of tf32 and f64.
pub(crate) const M16N8K4: Shape = Shape {
    m: 16,
    n: 8,
    k: 4,
    a: (2, |l, i| (row(l, i == 1), t(l))),
    b: (1, |l, _| (t(l), g(l))),
    c: WIDE_C,
};
/// m16n8k8 of tf32 and f64.
pub(crate) const M16N8K8_WORD: Shape = Shape {
    m: 16,
    n: 8,
    k: 8,
    a: (4, |l, i| (row(l, i == 1 || i == 3), t(l) + if i < 2 { 0 } else { 4 })),
    b: (2, |l, i| (t(l) + 4 * i, g(l))),
    c: WIDE_C,
};
/// m16n8k16 of f64.
pub(crate) const M16N8K16_DOUBLE: Shape = Shape {
    m: 16,
    n: 8,
    k: 16,
    a: (8, |l, i| {
        let column = if i % 2 == 0 { i * 2 + t(l) } else { i * 2 - 2 + t(l) };
        (row(l, i % 2 == 1), column)
    }),
    b: (4, |l, i| (t(l) + 4 * i, g(l))),
    c: WIDE_C,
};
/// m8n8k4 of f64.
pub(crate) const M8N8K4_DOUBLE: Shape = Shape {
    m: 8,
    n: 8,
    k: 4,
    a: (1, |l, _| (g(l), t(l))),
    b: (1, |l, _| (t(l), g(l))),
    c: SMALL_C,
};
/// m8n8k16 of s8 and u8.
pub(crate) const M8N8K16_BYTE: Shape = Shape {
    m: 8,
    n: 8,
    k: 16,
    a: (4, |l, i| (g(l), t(l) * 4 + i)),
    b: (4, |l, i| (t(l) * 4 + i, g(l))),
    c: SMALL_C,
};
/// m16n8k16 of s8, u8 and FP8.
pub(crate) const M16N8K16_BYTE: Shape = Shape {
    m: 16,
    n: 8,
    k: 16,
    a: (8, |l, i| (row(l, i >= 4), t(l) * 4 + (i & 3))),
    b: (4, |l, i| (t(l) * 4 + i, g(l))),
    c: WIDE_C,
};
/// m16n8k32 of s8, u8 and FP8.
pub(crate) const M16N8K32_BYTE: Shape = Shape {
    m: 16,
    n: 8,
    k: 32,
    a: (16, |l, i| {
        let upper = i < 4 || (8..12).contains(&i);
        (row(l, !upper), t(l) * 4 + (i & 3) + if i < 8 { 0 } else { 16 })
    }),
    b: (8, |l, i| (t(l) * 4 + (i & 3) + if i < 4 { 0 } else { 16 }, g(l))),
    c: WIDE_C,
};

/// The 8×8 matrices of 16-bit elements of `ldmatrix`, `stmatrix` and `movmatrix`: a lane holds
/// elements 2t and 2t + 1 of row g.
pub(crate) fn eight_by_eight(lane: usize, i: usize) -> (usize, usize) {
    (g(lane), t(lane) * 2 + i)
}

/// Each layout is a bijection: every element once, whatever the tables say.
#[test]
fn layouts_cover_their_matrices() {
    for shape in [
        M16N8K8_HALF,
        M16N8K16_HALF,
        M16N8K4,
        M16N8K8_WORD,
        M16N8K16_DOUBLE,
        M8N8K4_DOUBLE,
        M8N8K16_BYTE,
        M16N8K16_BYTE,
        M16N8K32_BYTE,
    ] {
        for ((count, layout), rows, columns) in
            [(shape.a, shape.m, shape.k), (shape.b, shape.k, shape.n), (shape.c, shape.m, shape.n)]
        {
            let mut seen = vec![false; rows * columns];
            for lane in 0..32 {
                for i in 0..count {
                    let (r, c) = layout(lane, i);
                    assert!(!std::mem::replace(&mut seen[r * columns + c], true), "{r} {c} twice");
                }
            }
            assert!(seen.iter().all(|x| *x));
        }
    }
}
