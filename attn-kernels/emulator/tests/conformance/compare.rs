//! Comparison and selection: every comparison on every type, combined with predicates (PTX ISA,
//! "Comparison and Selection Instructions", "Half Precision Comparison Instructions").

use std::cmp::Ordering::{self, Equal, Greater, Less};

use crate::common::check::{Checker, bits};
use crate::common::exact::{BF16, F16, F32, F64, Format};
use crate::common::values::{Row, cut, floats32, floats64, halves, ints, packed, pairs, triples};

type Test = fn(Option<Ordering>) -> bool;

/// The ordered comparisons; of NaN all false.
const ORDERED: [(&str, Test); 6] = [
    ("eq", |o| o == Some(Equal)),
    ("ne", |o| matches!(o, Some(Less | Greater))),
    ("lt", |o| o == Some(Less)),
    ("le", |o| matches!(o, Some(Less | Equal))),
    ("gt", |o| o == Some(Greater)),
    ("ge", |o| matches!(o, Some(Greater | Equal))),
];

/// The unordered ones; of NaN all true. And the two that ask for NaN.
const UNORDERED: [(&str, Test); 8] = [
    ("equ", |o| matches!(o, None | Some(Equal))),
    ("neu", |o| o != Some(Equal)),
    ("ltu", |o| matches!(o, None | Some(Less))),
    ("leu", |o| o != Some(Greater)),
    ("gtu", |o| matches!(o, None | Some(Greater))),
    ("geu", |o| o != Some(Less)),
    ("num", |o| o.is_some()),
    ("nan", |o| o.is_none()),
];

#[test]
fn integers() {
    let mut t = Checker::new();
    for (n, r) in [(16, "h"), (32, "r"), (64, "l")] {
        let rows = pairs(&ints(n), &ints(n));
        let signed = move |x: u64| (x << (64 - n)) as i64;
        for (name, test) in ORDERED {
            let body = format!("setp.{name}.s{n} $d, $a, $b;");
            t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| {
                test(Some(signed(a).cmp(&signed(b)))).into()
            });
            let body = format!("setp.{name}.u{n} $d, $a, $b;");
            t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| test(Some(a.cmp(&b))).into());
        }
        for (name, test) in &ORDERED[..2] {
            let body = format!("setp.{name}.b{n} $d, $a, $b;");
            t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| test(Some(a.cmp(&b))).into());
        }
        for (name, test) in
            [("lo", ORDERED[2].1), ("ls", ORDERED[3].1), ("hi", ORDERED[4].1), ("hs", ORDERED[5].1)]
        {
            let body = format!("setp.{name}.u{n} $d, $a, $b;");
            t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| test(Some(a.cmp(&b))).into());
        }
    }
    t.finish();
}

fn order(format: Format, a: u64, b: u64) -> Option<Ordering> {
    format.value(a).partial_cmp(&format.value(b))
}

#[test]
fn floats() {
    let mut t = Checker::new();
    let types: [(&str, Format, &str, Vec<u64>); 4] = [
        ("f16", F16, "h", halves()),
        ("bf16", BF16, "h", halves()),
        ("f32", F32, "r", floats32()),
        ("f64", F64, "l", floats64()),
    ];
    for (ty, format, r, values) in types {
        let rows = pairs(&values, &values);
        for (name, test) in ORDERED.iter().chain(&UNORDERED) {
            let body = format!("setp.{name}.{ty} $d, $a, $b;");
            t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| {
                test(order(format, a, b)).into()
            });
            if matches!(ty, "f16" | "f32") {
                let body = format!("setp.{name}.ftz.{ty} $d, $a, $b;");
                t.one(&body, &r.repeat(2), "p", &rows, bits, |[a, b, ..]| {
                    test(order(format, format.flush(a), format.flush(b))).into()
                });
            }
        }
    }
    t.finish();
}

/// `p|q`, and the combination with a third predicate, negated or not: q compares with the opposite.
#[test]
fn two_predicates() {
    type Combine = fn(bool, bool) -> bool;
    let mut t = Checker::new();
    let rows = triples(&ints(32), &ints(32), &[0, 1], 400);
    let combine: [(&str, Combine); 3] =
        [("and", |x, y| x && y), ("or", |x, y| x || y), ("xor", |x, y| x ^ y)];
    t.all("setp.lt.s32 $d|$f, $a, $b;", "rr", "pp", &rows, bits, |[a, b, ..]| {
        let less = (a as u32 as i32) < b as u32 as i32;
        [less.into(), (!less).into(), 0, 0]
    });
    t.one("setp.lt.s32 _|$d, $a, $b;", "rr", "p", &rows, bits, |[a, b, ..]| {
        u64::from(a as u32 as i32 >= b as u32 as i32)
    });
    for (name, f) in combine {
        for (negate, sign) in [(false, ""), (true, "!")] {
            let body = format!("setp.ge.{name}.u32 $d|$f, $a, $b, {sign}$c;");
            t.all(&body, "rrp", "pp", &rows, bits, |[a, b, c, _]| {
                let c = (c == 1) != negate;
                [f(a >= b, c).into(), f(a < b, c).into(), 0, 0]
            });
        }
    }
    t.finish();
}

/// Two results for the two halves of a packed pair.
#[test]
fn packed_halves() {
    let mut t = Checker::new();
    let values = halves();
    let rows: Vec<Row> = pairs(&values, &values)
        .iter()
        .zip(pairs(&values, &values).iter().rev())
        .map(|(x, y)| [packed(x[0], y[1]), packed(x[1], y[0]), 0, 0])
        .collect();
    for (ty, format) in [("f16x2", F16), ("bf16x2", BF16)] {
        for (name, test) in ORDERED.iter().chain(&UNORDERED) {
            let body = format!("setp.{name}.{ty} $d|$f, $a, $b;");
            t.all(&body, "rr", "pp", &rows, bits, |[a, b, ..]| {
                let at = |shift: u32| {
                    let (a, b) = (a >> shift & 0xffff, b >> shift & 0xffff);
                    u64::from(test(order(format, a, b)))
                };
                [at(0), at(16), 0, 0]
            });
        }
    }
    t.finish();
}

/// `set`: all ones or 1.0.
#[test]
fn set() {
    let mut t = Checker::new();
    let floats = pairs(&floats32(), &floats32());
    let numbers = pairs(&ints(32), &ints(32));
    for (name, test) in ORDERED.iter().chain(&UNORDERED) {
        for (to, truth) in [("u32", 0xffff_ffff), ("s32", 0xffff_ffff), ("f32", 0x3f80_0000)] {
            let body = format!("set.{name}.{to}.f32 $d, $a, $b;");
            t.one(
                &body,
                "rr",
                "r",
                &floats,
                bits,
                |[a, b, ..]| {
                    if test(order(F32, a, b)) { truth } else { 0 }
                },
            );
        }
    }
    for (name, test) in ORDERED {
        for (to, truth) in [("u32", 0xffff_ffff), ("f32", 0x3f80_0000)] {
            let body = format!("set.{name}.{to}.s32 $d, $a, $b;");
            t.one(&body, "rr", "r", &numbers, bits, |[a, b, ..]| {
                let order = (a as u32 as i32).cmp(&(b as u32 as i32));
                if test(Some(order)) { truth } else { 0 }
            });
        }
    }
    let rows = triples(&ints(32), &ints(32), &[0, 1], 300);
    t.one("set.lt.and.u32.u32 $d, $a, $b, !$c;", "rrp", "r", &rows, bits, |[a, b, c, _]| {
        if a < b && c == 0 { 0xffff_ffff } else { 0 }
    });
    t.finish();
}

#[test]
fn selection() {
    let mut t = Checker::new();
    for (n, r) in [(16, "h"), (32, "r"), (64, "l")] {
        let rows = triples(&ints(n), &ints(n), &[0, 1], 200);
        let ins = [r, r, "p"].concat();
        let pick = |[a, b, c, _]: Row| if c == 1 { a } else { b };
        for ty in ["b", "u", "s"] {
            t.one(&format!("selp.{ty}{n} $d, $a, $b, $c;"), &ins, r, &rows, bits, pick);
        }
    }
    let rows = triples(&ints(32), &ints(32), &[0, 1], 100);
    t.one(
        "selp.f32 $d, $a, $b, $c;",
        "rrp",
        "r",
        &rows,
        bits,
        |[a, b, c, _]| {
            if c == 1 { a } else { b }
        },
    );
    let rows = triples(&ints(64), &ints(64), &[0, 1], 100);
    t.one(
        "selp.f64 $d, $a, $b, $c;",
        "llp",
        "l",
        &rows,
        bits,
        |[a, b, c, _]| {
            if c == 1 { a } else { b }
        },
    );
    t.finish();
}

/// The first where c >= 0; -0 counts as 0, NaN takes the second (PTX ISA, "slct").
#[test]
fn selection_by_sign() {
    let mut t = Checker::new();
    for (n, r) in [(32, "r"), (64, "l")] {
        let ins = [r, r, "r"].concat();
        let rows = triples(&ints(n), &ints(n), &ints(32), 300);
        for ty in ["b", "u", "s", "f"] {
            let body = format!("slct.{ty}{n}.s32 $d, $a, $b, $c;");
            t.one(&body, &ins, r, &rows, bits, |[a, b, c, _]| if c >> 31 == 0 { a } else { b });
        }
        let rows = triples(&ints(n), &ints(n), &floats32(), 500);
        let body = format!("slct.b{n}.f32 $d, $a, $b, $c;");
        t.one(&body, &ins, r, &rows, bits, |[a, b, c, _]| if F32.value(c) >= 0.0 { a } else { b });
        let body = format!("slct.ftz.u{n}.f32 $d, $a, $b, $c;");
        t.one(&body, &ins, r, &rows, bits, |[a, b, c, _]| {
            if F32.value(F32.flush(c)) >= 0.0 { a } else { cut(b, n) }
        });
    }
    t.finish();
}
