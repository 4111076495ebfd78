//! f16, bf16 and their packed pairs: arithmetic against one exact rounding, with `.ftz`, `.sat` and
//! `.relu`; minimum and maximum with NaN rules (PTX ISA, "Half Precision Floating-Point Instructions").

use crate::common::check::{Checker, Same};
use crate::common::exact::{BF16, F16, Format, Mode};
use crate::common::values::{Row, halves, ones, packed, pairs, triples};

const FORMATS: [(&str, Format); 2] = [("f16", F16), ("bf16", BF16)];
const NAN: u64 = 0x7fff;

/// A zero that `.sat` or `.relu` made may have either sign.
fn clamped(got: u64, want: u64) -> bool {
    got == want || want == 0 && got == 0x8000
}
fn exactly(got: u64, want: u64) -> bool {
    got == want
}

/// Runs an instruction on single values and on pairs.
fn both(
    t: &mut Checker,
    ops: (&str, &str),
    arity: usize,
    rows: &[Row],
    same: Same,
    f: impl Fn(Row) -> u64,
) {
    let (op, ty) = ops;
    let operands = &", $a, $b, $c"[..4 * arity];
    let body = format!("{op}.{ty} $d{operands};");
    t.one(&body, &"h".repeat(arity), "h", rows, same, &f);
    // The upper halves come from other rows, so that neither half can stand for the other.
    let other = |i: usize| rows[(i * 7 + 3) % rows.len()];
    let wide: Vec<Row> =
        (0..rows.len()).map(|i| std::array::from_fn(|k| packed(rows[i][k], other(i)[k]))).collect();
    let body = format!("{op}.{ty}x2 $d{operands};");
    let want = |row: Row| packed(f(row.map(|x| x & 0xffff)), f(row.map(|x| x >> 16)));
    t.judge(&body, &"r".repeat(arity), "r", &wide, |row, [got, ..]| {
        let want = want(row);
        let fits = same(got & 0xffff, want & 0xffff) && same(got >> 16, want >> 16);
        (!fits).then_some([want, 0, 0, 0])
    });
}

fn sat(format: Format, x: u64) -> u64 {
    let one = (format.emax as u64) << (format.precision - 1);
    if format.is_nan(x) || format.negative(x) { 0 } else { x.min(one) }
}

fn relu(format: Format, x: u64) -> u64 {
    if format.is_nan(x) {
        NAN
    } else if format.negative(x) {
        0
    } else {
        x
    }
}

#[test]
fn sums_and_products() {
    let mut t = Checker::new();
    for (ty, format) in FORMATS {
        let rows = pairs(&halves(), &halves());
        let add = |[a, b, ..]: Row| format.add(a, b, Mode::Rn);
        let sub = |[a, b, ..]: Row| format.add(a, b ^ 0x8000, Mode::Rn);
        let mul = |[a, b, ..]: Row| format.mul(a, b, Mode::Rn);
        let all: [(&str, &dyn Fn(Row) -> u64); 3] = [("add", &add), ("sub", &sub), ("mul", &mul)];
        for (op, f) in all {
            both(&mut t, (op, ty), 2, &rows, exactly, f);
            both(&mut t, (&format!("{op}.rn"), ty), 2, &rows, exactly, f);
            if ty == "bf16" {
                continue;
            }
            let flush = |row: Row| F16.flush(f(row.map(|x| F16.flush(x))));
            both(&mut t, (&format!("{op}.ftz"), ty), 2, &rows, exactly, flush);
            both(&mut t, (&format!("{op}.sat"), ty), 2, &rows, clamped, |row| sat(F16, f(row)));
            let op = format!("{op}.rn.ftz.sat");
            both(&mut t, (&op, ty), 2, &rows, clamped, |row| sat(F16, flush(row)));
        }
    }
    t.finish();
}

#[test]
fn fused_multiply_add() {
    let mut t = Checker::new();
    for (ty, format) in FORMATS {
        let mut rows = triples(&halves(), &halves(), &halves(), 4000);
        let near = |&[a, b, ..]: &Row| [a, b, format.mul(a, b, Mode::Rn) ^ 0x8000, 0];
        rows.extend(pairs(&halves(), &halves()).iter().map(near));
        let f = |[a, b, c, _]: Row| format.fma(a, b, c, Mode::Rn);
        both(&mut t, ("fma.rn", ty), 3, &rows, exactly, f);
        both(&mut t, ("fma.rn.relu", ty), 3, &rows, clamped, |row| relu(format, f(row)));
        if ty == "f16" {
            let flush = |row: Row| F16.flush(f(row.map(|x| F16.flush(x))));
            both(&mut t, ("fma.rn.ftz", ty), 3, &rows, exactly, flush);
            both(&mut t, ("fma.rn.sat", ty), 3, &rows, clamped, |row| sat(F16, f(row)));
            let f = |row| relu(F16, flush(row));
            both(&mut t, ("fma.rn.ftz.relu", ty), 3, &rows, clamped, f);
        }
    }
    t.finish();
}

/// The smaller or the larger, -0 below +0; one NaN loses, two give the canonical one.
fn choose(format: Format, a: u64, b: u64, take_max: bool) -> u64 {
    match (format.is_nan(a), format.is_nan(b)) {
        (true, true) => NAN,
        (true, false) => b,
        (false, true) => a,
        _ => {
            let (x, y) = (format.value(a), format.value(b));
            let a_first = if x == y { format.negative(a) } else { x < y };
            if a_first != take_max { a } else { b }
        }
    }
}

#[test]
fn minimum_and_maximum() {
    let mut t = Checker::new();
    for (ty, format) in FORMATS {
        let rows = pairs(&halves(), &halves());
        for (op, take_max) in [("min", false), ("max", true)] {
            let plain = |[a, b, ..]: Row| choose(format, a, b, take_max);
            let nan = |[a, b, ..]: Row| match format.is_nan(a) || format.is_nan(b) {
                true => NAN,
                false => choose(format, a, b, take_max),
            };
            both(&mut t, (op, ty), 2, &rows, exactly, plain);
            both(&mut t, (&format!("{op}.NaN"), ty), 2, &rows, exactly, nan);
            if ty == "f16" {
                let flushed = |row: Row| plain(row.map(|x| F16.flush(x)));
                both(&mut t, (&format!("{op}.ftz"), ty), 2, &rows, exactly, flushed);
            }
            let numbers: Vec<Row> = rows
                .iter()
                .copied()
                .filter(|[a, b, ..]| !format.is_nan(*a) && !format.is_nan(*b))
                .collect();
            let xorsign =
                |[a, b, ..]: Row| choose(format, a & NAN, b & NAN, take_max) | (a ^ b) & 0x8000;
            both(&mut t, (&format!("{op}.xorsign.abs"), ty), 2, &numbers, exactly, xorsign);
        }
    }
    t.finish();
}

#[test]
fn signs() {
    let mut t = Checker::new();
    for (ty, format) in FORMATS {
        let numbers: Vec<u64> = halves().into_iter().filter(|&x| !format.is_nan(x)).collect();
        let rows = ones(&numbers);
        both(&mut t, ("abs", ty), 1, &rows, exactly, |[a, ..]| a & NAN);
        both(&mut t, ("neg", ty), 1, &rows, exactly, |[a, ..]| a ^ 0x8000);
        if ty == "f16" {
            both(&mut t, ("neg.ftz", ty), 1, &rows, exactly, |[a, ..]| F16.flush(a) ^ 0x8000);
            both(&mut t, ("abs.ftz", ty), 1, &rows, exactly, |[a, ..]| F16.flush(a) & NAN);
        }
    }
    t.finish();
}

/// `fma` of f32 inputs cut to bf16: NVRTC's way on sm_80, where bf16 has no `add`.
#[test]
fn bf16_sum_as_fma_with_one() {
    let mut t = Checker::new();
    let rows = pairs(&halves(), &halves());
    let body = "mov.b16 %v0, 0x3F80;\nfma.rn.bf16 $d, $a, %v0, $b;";
    t.one(body, "hh", "h", &rows, exactly, |[a, b, ..]| BF16.add(a, b, Mode::Rn));
    t.finish();
}
