//! Logic, shifts and bit fields (PTX ISA, "Logic and Shift Instructions", "Integer Arithmetic
//! Instructions").

use crate::common::check::{Checker, bits};
use crate::common::values::{Row, cut, ints, ones, pairs, triples};

const WIDTHS: [(u32, &str); 3] = [(16, "h"), (32, "r"), (64, "l")];

#[test]
fn logic() {
    let mut t = Checker::new();
    for (n, r) in WIDTHS {
        let rows = pairs(&ints(n), &ints(n));
        let ins = r.repeat(2);
        let mut binary = |op: &str, f: fn(u64, u64) -> u64| {
            let body = format!("{op}.b{n} $d, $a, $b;");
            t.one(&body, &ins, r, &rows, bits, |[a, b, ..]| f(a, b));
        };
        binary("and", |a, b| a & b);
        binary("or", |a, b| a | b);
        binary("xor", |a, b| a ^ b);
        let rows = ones(&ints(n));
        t.one(&format!("not.b{n} $d, $a;"), r, r, &rows, bits, |[a, ..]| cut(!a, n));
        t.one(&format!("cnot.b{n} $d, $a;"), r, r, &rows, bits, |[a, ..]| u64::from(a == 0));
    }
    t.finish();
}

#[test]
fn predicate_logic() {
    let mut t = Checker::new();
    let rows = pairs(&[0, 1], &[0, 1]);
    t.one("and.pred $d, $a, $b;", "pp", "p", &rows, bits, |[a, b, ..]| a & b);
    t.one("or.pred $d, $a, $b;", "pp", "p", &rows, bits, |[a, b, ..]| a | b);
    t.one("xor.pred $d, $a, $b;", "pp", "p", &rows, bits, |[a, b, ..]| a ^ b);
    t.one("not.pred $d, $a;", "p", "p", &rows, bits, |[a, ..]| a ^ 1);
    t.one("mov.pred $d, $a;", "p", "p", &rows, bits, |[a, ..]| a);
    t.one("mov.u32 $d, 5;\n@$a mov.u32 $d, 6;\n@!$b add.u32 $d, $d, 2;", "pp", "r", &rows, bits, {
        |[a, b, ..]| 5 + a + 2 * (1 - b)
    });
    t.finish();
}

/// Amounts are 32 bits, and clamp at the width.
#[test]
fn shifts() {
    let mut t = Checker::new();
    for (n, r) in WIDTHS {
        let amounts =
            [0, 1, 7, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, 0x8000_0000, 0xffff_ffff];
        let rows = pairs(&ints(n), &amounts);
        let ins = [r, "r"].concat();
        let over = |b: u64| b >= u64::from(n);
        t.one(&format!("shl.b{n} $d, $a, $b;"), &ins, r, &rows, bits, |[a, b, ..]| {
            if over(b) { 0 } else { cut(a << b, n) }
        });
        for ty in ["b", "u"] {
            t.one(&format!("shr.{ty}{n} $d, $a, $b;"), &ins, r, &rows, bits, |[a, b, ..]| {
                if over(b) { 0 } else { a >> b }
            });
        }
        t.one(&format!("shr.s{n} $d, $a, $b;"), &ins, r, &rows, bits, |[a, b, ..]| {
            let signed = (a << (64 - n)) as i64 >> (64 - n);
            cut((signed >> b.min(63)) as u64, n)
        });
    }
    t.finish();
}

#[test]
fn funnel_shifts() {
    let mut t = Checker::new();
    let rows = triples(&ints(32), &ints(32), &[0, 1, 7, 31, 32, 33, 63, 64, 0xffff_ffff], 1500);
    for (mode, amount) in [("clamp", (|c| c.min(32)) as fn(u64) -> u64), ("wrap", |c| c & 31)] {
        // b holds the high word (PTX ISA, "shf").
        t.one(&format!("shf.l.{mode}.b32 $d, $a, $b, $c;"), "rrr", "r", &rows, bits, {
            |[a, b, c, _]| cut(((u128::from(b << 32 | a) << amount(c)) >> 32) as u64, 32)
        });
        t.one(&format!("shf.r.{mode}.b32 $d, $a, $b, $c;"), "rrr", "r", &rows, bits, {
            |[a, b, c, _]| cut((b << 32 | a) >> amount(c), 32)
        });
    }
    t.finish();
}

#[test]
fn counts_and_searches() {
    let mut t = Checker::new();
    for (n, r) in &WIDTHS[1..] {
        let (n, r) = (*n, *r);
        let rows = ones(&ints(n));
        let highest = |a: u64| if a == 0 { 0xffff_ffff } else { u64::from(a.ilog2()) };
        t.one(&format!("popc.b{n} $d, $a;"), r, "r", &rows, bits, |[a, ..]| a.count_ones().into());
        t.one(&format!("clz.b{n} $d, $a;"), r, "r", &rows, bits, |[a, ..]| {
            (0..n).rev().take_while(|i| a >> i & 1 == 0).count() as u64
        });
        t.one(&format!("brev.b{n} $d, $a;"), r, r, &rows, bits, |[a, ..]| {
            (0..n).fold(0, |x, i| x | (a >> i & 1) << (n - 1 - i))
        });
        // Signed: the highest bit that differs from the sign.
        let plain = |a: u64| a;
        let folded = move |a: u64| if a >> (n - 1) == 1 { cut(!a, n) } else { a };
        for (ty, f) in [("u", &plain as &dyn Fn(u64) -> u64), ("s", &folded)] {
            t.one(&format!("bfind.{ty}{n} $d, $a;"), r, "r", &rows, bits, |[a, ..]| highest(f(a)));
            t.one(&format!("bfind.shiftamt.{ty}{n} $d, $a;"), r, "r", &rows, bits, |[a, ..]| {
                let found = highest(f(a));
                if found == 0xffff_ffff { found } else { u64::from(n) - 1 - found }
            });
        }
    }
    t.finish();
}

/// Position and length are the low 8 bits of their operands.
#[test]
fn fields() {
    let mut t = Checker::new();
    let places = [0, 1, 5, 16, 31, 32, 33, 40, 63, 64, 100, 255, 256, 259];
    for (n, r) in &WIDTHS[1..] {
        let (n, r) = (*n, *r);
        let ins = [r, "rr"].concat();
        let rows = triples(&ints(n), &places, &places, 2500);
        t.one(&format!("bfe.u{n} $d, $a, $b, $c;"), &ins, r, &rows, bits, |[a, b, c, _]| {
            (0..64).filter(|i| *i < (c & 255)).fold(0, |x, i| x | bit(a, (b & 255) + i, n) << i)
        });
        t.one(&format!("bfe.s{n} $d, $a, $b, $c;"), &ins, r, &rows, bits, |[a, b, c, _]| {
            let (pos, len) = (b & 255, c & 255);
            // The sign is the field's top bit, or the word's where the field goes beyond it.
            let sign = if len == 0 { 0 } else { bit(a, (pos + len - 1).min(u64::from(n) - 1), n) };
            let at = |i: u64| i < len && pos + i < u64::from(n);
            cut((0..64).fold(0, |x, i| x | (if at(i) { bit(a, pos + i, n) } else { sign }) << i), n)
        });
        let rows: Vec<Row> = rows
            .iter()
            .zip(triples(&ints(n), &ints(n), &places, 2500))
            .map(|(x, y)| [x[0], y[1], x[1], x[2]])
            .collect();
        let ins = [r, r, "rr"].concat();
        t.one(&format!("bfi.b{n} $d, $a, $b, $c, $e;"), &ins, r, &rows, bits, |[a, b, c, e]| {
            let (pos, len) = (c & 255, e & 255);
            (0..u64::from(n)).fold(0, |x, i| {
                let inside = i >= pos && i < pos + len;
                x | (if inside { bit(a, i - pos, n) } else { bit(b, i, n) }) << i
            })
        });
    }
    t.finish();
}

fn bit(x: u64, at: u64, width: u32) -> u64 {
    if at < u64::from(width) { x >> at & 1 } else { 0 }
}

#[test]
fn masks_and_extensions() {
    let mut t = Checker::new();
    let places = [0, 1, 5, 16, 31, 32, 33, 40, 255, 256, 0xffff_ffff];
    for (mode, wrap) in [("clamp", false), ("wrap", true)] {
        let rows = pairs(&places, &places);
        let limit = |x: u64| if wrap { x & 31 } else { x.min(32) };
        t.one(&format!("bmsk.{mode}.b32 $d, $a, $b;"), "rr", "r", &rows, bits, |[a, b, ..]| {
            // Ones from bit a, b of them.
            (0..32)
                .filter(|i| *i >= limit(a) && *i < limit(a) + limit(b))
                .fold(0, |x, i| x | 1 << i)
        });
        let rows = pairs(&ints(32), &places);
        for (ty, signed) in [("u32", false), ("s32", true)] {
            let body = format!("szext.{mode}.{ty} $d, $a, $b;");
            t.one(&body, "rr", "r", &rows, bits, |[a, b, ..]| {
                let len = limit(b);
                let sign = signed && len > 0 && bit(a, len - 1, 32) == 1;
                (0..32).fold(0, |x, i| {
                    x | (if i < len { bit(a, i, 32) } else { u64::from(sign) }) << i
                })
            });
        }
    }
    t.finish();
}

/// The n-th set bit from a base, up or down (PTX ISA, "fns").
#[test]
fn nth_set_bit() {
    let mut t = Checker::new();
    let masks = [0, 1, 0x8000_0000, 0xaaaa_aaaa, 0x0001_8000, 0xffff_ffff, 0x1234_5678];
    let counts = [0, 1, 2, 5, 0xffff_ffff, 0xffff_fffe, 0xffff_fff0];
    let rows = triples(&masks, &[0, 1, 3, 16, 30, 31], &counts, 600);
    t.one("fns.b32 $d, $a, $b, $c;", "rrr", "r", &rows, bits, |[mask, base, offset, _]| {
        let (offset, base) = (offset as u32 as i32, base as i32);
        let set = |i: &i32| mask >> i & 1 == 1;
        let found = match offset {
            0 => Some(base).filter(set),
            1.. => (base..32).filter(set).nth(offset as usize - 1),
            _ => (0..=base).rev().filter(set).nth(offset.unsigned_abs() as usize - 1),
        };
        found.map_or(0xffff_ffff, |i| i as u64)
    });
    t.finish();
}
