//! Integer arithmetic: add to mad, minimum and maximum, saturation, carry chains (PTX ISA, "Integer
//! Arithmetic Instructions", "Extended-Precision Integer Arithmetic Instructions").

use crate::common::check::{Checker, bits};
use crate::common::values::{Row, cut, ints, pairs, triples};

const TYPES: [(&str, u32, bool); 6] = [
    ("u16", 16, false),
    ("s16", 16, true),
    ("u32", 32, false),
    ("s32", 32, true),
    ("u64", 64, false),
    ("s64", 64, true),
];

fn register(bits: u32) -> &'static str {
    match bits {
        16 => "h",
        32 => "r",
        _ => "l",
    }
}

/// The number that the low `bits` bits mean.
fn number(x: u64, bits: u32, signed: bool) -> i128 {
    let x = cut(x, bits);
    if signed && x >> (bits - 1) == 1 { i128::from(x) - (1i128 << bits) } else { i128::from(x) }
}

/// The full product of two numbers, as two's complement.
fn product(a: u64, b: u64, bits: u32, signed: bool) -> u128 {
    if signed {
        (number(a, bits, true) * number(b, bits, true)) as u128
    } else {
        u128::from(cut(a, bits)) * u128::from(cut(b, bits))
    }
}

fn low(x: u128, bits: u32) -> u64 {
    cut(x as u64, bits)
}

#[test]
fn two_operands() {
    let mut t = Checker::new();
    for (ty, n, signed) in TYPES {
        let r = register(n);
        let ins = [r, r].concat();
        let rows = pairs(&ints(n), &ints(n));
        let num = |x| number(x, n, signed);
        let mut binary = |op: &str, f: &dyn Fn(u64, u64) -> u64| {
            t.one(&format!("{op}.{ty} $d, $a, $b;"), &ins, r, &rows, bits, |[a, b, ..]| f(a, b));
        };
        binary("add", &|a, b| cut(a.wrapping_add(b), n));
        binary("sub", &|a, b| cut(a.wrapping_sub(b), n));
        binary("mul.lo", &|a, b| low(product(a, b, n, signed), n));
        binary("mul.hi", &|a, b| low(product(a, b, n, signed) >> n, n));
        binary("min", &|a, b| if num(a) <= num(b) { a } else { b });
        binary("max", &|a, b| if num(a) >= num(b) { a } else { b });
        // Division by zero and the one overflow have no defined result.
        let defined: Vec<Row> = rows
            .iter()
            .copied()
            .filter(|&[a, b, ..]| b != 0 && !(num(b) == -1 && a == 1 << (n - 1)))
            .collect();
        for (op, quotient) in [("div", true), ("rem", false)] {
            let body = format!("{op}.{ty} $d, $a, $b;");
            t.one(&body, &ins, r, &defined, bits, |[a, b, ..]| {
                let (a, b) = (num(a), num(b));
                cut((if quotient { a / b } else { a % b }) as u64, n)
            });
        }
    }
    t.finish();
}

#[test]
fn wide_products() {
    let mut t = Checker::new();
    for (ty, n, signed) in &TYPES[..4] {
        let (n, signed) = (*n, *signed);
        let (r, wide) = (register(n), register(2 * n));
        let ins = [r, r].concat();
        let rows = pairs(&ints(n), &ints(n));
        t.one(&format!("mul.wide.{ty} $d, $a, $b;"), &ins, wide, &rows, bits, |[a, b, ..]| {
            low(product(a, b, n, signed), 2 * n)
        });
        let rows = triples(&ints(n), &ints(n), &ints(2 * n), 1500);
        let ins = [r, r, wide].concat();
        t.one(
            &format!("mad.wide.{ty} $d, $a, $b, $c;"),
            &ins,
            wide,
            &rows,
            bits,
            |[a, b, c, _]| low(product(a, b, n, signed).wrapping_add(u128::from(c)), 2 * n),
        );
    }
    t.finish();
}

#[test]
fn three_operands() {
    let mut t = Checker::new();
    for (ty, n, signed) in TYPES {
        let r = register(n);
        let ins = [r, r, r].concat();
        let rows = triples(&ints(n), &ints(n), &ints(n), 2000);
        let num = |x| number(x, n, signed);
        let mut ternary = |op: &str, f: &dyn Fn(u64, u64, u64) -> u64| {
            let body = format!("{op}.{ty} $d, $a, $b, $c;");
            t.one(&body, &ins, r, &rows, bits, |[a, b, c, _]| f(a, b, c));
        };
        ternary("mad.lo", &|a, b, c| low(product(a, b, n, signed).wrapping_add(c.into()), n));
        ternary("mad.hi", &|a, b, c| {
            low((product(a, b, n, signed) >> n).wrapping_add(c.into()), n)
        });
        ternary("sad", &|a, b, c| cut(((num(a) - num(b)).abs() + i128::from(c)) as u64, n));
    }
    let rows = triples(&ints(32), &ints(32), &ints(32), 2000);
    t.one("mad.hi.sat.s32 $d, $a, $b, $c;", "rrr", "r", &rows, bits, |[a, b, c, _]| {
        let high = (product(a, b, 32, true) as i128) >> 32;
        let sum = high + number(c, 32, true);
        cut(sum.clamp(i32::MIN.into(), i32::MAX.into()) as u64, 32)
    });
    t.finish();
}

#[test]
fn saturating_sums() {
    let mut t = Checker::new();
    let rows = pairs(&ints(32), &ints(32));
    let signed = |x: u64| x as u32 as i32;
    t.one("add.sat.s32 $d, $a, $b;", "rr", "r", &rows, bits, |[a, b, ..]| {
        u64::from(signed(a).saturating_add(signed(b)) as u32)
    });
    t.one("sub.sat.s32 $d, $a, $b;", "rr", "r", &rows, bits, |[a, b, ..]| {
        u64::from(signed(a).saturating_sub(signed(b)) as u32)
    });
    t.finish();
}

#[test]
fn one_operand() {
    let mut t = Checker::new();
    for (ty, n, _) in TYPES.iter().filter(|(_, _, signed)| *signed) {
        let (n, r) = (*n, register(*n));
        let rows: Vec<Row> = ints(n).iter().map(|&a| [a, 0, 0, 0]).collect();
        t.one(&format!("neg.{ty} $d, $a;"), r, r, &rows, bits, |[a, ..]| cut(a.wrapping_neg(), n));
        t.one(&format!("abs.{ty} $d, $a;"), r, r, &rows, bits, |[a, ..]| {
            cut(number(a, n, true).unsigned_abs() as u64, n)
        });
    }
    t.finish();
}

#[test]
fn products_of_24_bits() {
    let mut t = Checker::new();
    let rows = pairs(&ints(32), &ints(32));
    let three = triples(&ints(32), &ints(32), &ints(32), 1500);
    for (ty, signed) in [("u32", false), ("s32", true)] {
        // The low 24 bits of each, a product of 48, of which the low or the high 32.
        let full = |a, b| product(a, b, 24, signed);
        for (half, shift) in [("lo", 0), ("hi", 16)] {
            let body = format!("mul24.{half}.{ty} $d, $a, $b;");
            t.one(&body, "rr", "r", &rows, bits, |[a, b, ..]| low(full(a, b) >> shift, 32));
            let body = format!("mad24.{half}.{ty} $d, $a, $b, $c;");
            t.one(&body, "rrr", "r", &three, bits, |[a, b, c, _]| {
                low((full(a, b) >> shift).wrapping_add(c.into()), 32)
            });
        }
    }
    t.finish();
}

#[test]
fn packed_16_bits() {
    let mut t = Checker::new();
    let rows = pairs(&ints(32), &ints(32));
    let halves = |x: u64, f: &dyn Fn(u64) -> i128| [f(x & 0xffff), f(x >> 16)];
    for (ty, signed) in [("u16x2", false), ("s16x2", true)] {
        let num = |x| number(x, 16, signed);
        for op in ["add", "min", "max"] {
            let body = format!("{op}.{ty} $d, $a, $b;");
            t.one(&body, "rr", "r", &rows, bits, |[a, b, ..]| {
                let (a, b) = (halves(a, &num), halves(b, &num));
                let f = |x: i128, y: i128| match op {
                    "add" => x + y,
                    "min" => x.min(y),
                    _ => x.max(y),
                };
                cut(f(a[0], b[0]) as u64, 16) | cut(f(a[1], b[1]) as u64, 16) << 16
            });
        }
    }
    for op in ["min", "max"] {
        let body = format!("{op}.relu.s32 $d, $a, $b;");
        t.one(&body, "rr", "r", &rows, bits, |[a, b, ..]| {
            let (a, b) = (number(a, 32, true), number(b, 32, true));
            (if op == "min" { a.min(b) } else { a.max(b) }).max(0) as u64
        });
    }
    t.finish();
}

/// `add.cc; addc.cc; addc` over three words, and the same of `sub`.
#[test]
fn carry_chains() {
    let mut t = Checker::new();
    for (ty, n, r) in [("u32", 32, "r"), ("u64", 64, "l")] {
        let rows: Vec<Row> = triples(&ints(n), &ints(n), &ints(n), 1500)
            .iter()
            .zip(&triples(&ints(n), &ints(n), &ints(n), 1499))
            .map(|(x, y)| [x[0], x[1], y[0], y[1]])
            .collect();
        let ins = r.repeat(4);
        let add = format!("add.cc.{ty} $d, $a, $b;\naddc.cc.{ty} $f, $c, $e;\naddc.{ty} $g, 0, 0;");
        t.all(&add, &ins, &r.repeat(3), &rows, bits, |[a, b, c, e]| {
            let first = u128::from(a) + u128::from(b);
            let second = u128::from(c) + u128::from(e) + (first >> n);
            [low(first, n), low(second, n), low(second >> n, n), 0]
        });
        let sub = format!("sub.cc.{ty} $d, $a, $b;\nsubc.cc.{ty} $f, $c, $e;\nsubc.{ty} $g, 0, 0;");
        t.all(&sub, &ins, &r.repeat(3), &rows, bits, |[a, b, c, e]| {
            let first = i128::from(a) - i128::from(b);
            let second = i128::from(c) - i128::from(e) - i128::from(first < 0);
            let borrow = if second < 0 { cut(u64::MAX, n) } else { 0 };
            [cut(first as u64, n), cut(second as u64, n), borrow, 0]
        });
        // a·b as two words plus (e : c), the schoolbook step: mad.lo.cc, madc.hi.cc, addc.
        let mad = format!(
            "mad.lo.cc.{ty} $d, $a, $b, $c;\nmadc.hi.cc.{ty} $f, $a, $b, $e;\naddc.{ty} $g, 0, 0;"
        );
        t.all(&mad, &ins, &r.repeat(3), &rows, bits, |[a, b, c, e]| {
            let full = product(a, b, n, false);
            let first = (full & (u128::MAX >> (128 - n))) + u128::from(c);
            let second = (full >> n) + u128::from(e) + (first >> n);
            [low(first, n), low(second, n), low(second >> n, n), 0]
        });
    }
    t.finish();
}
