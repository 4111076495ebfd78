//! `lop3` with every table, `prmt` in every mode, dot products of bytes, packing (PTX ISA, "lop3",
//! "prmt", "dp4a", "dp2a", "mov").

use crate::common::check::{Checker, bits};
use crate::common::values::{Random, Row, cut, ints, ones, pairs, triples};

/// The table is the function's value on the three columns 0xF0, 0xCC, 0xAA.
#[test]
fn lop3_all_tables() {
    let mut t = Checker::new();
    // Columns that hold every combination of bits, and random words.
    let mut rows: Vec<Row> = vec![[0xf0f0_f0f0, 0xcccc_cccc, 0xaaaa_aaaa, 0]];
    rows.extend(triples(&ints(32), &ints(32), &ints(32), 31));
    for table in 0..256u64 {
        let body = format!("lop3.b32 $d, $a, $b, $c, {table};");
        t.one(&body, "rrr", "r", &rows, bits, |[a, b, c, _]| {
            (0..32).fold(0, |x, i| {
                let index = (a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1;
                x | (table >> index & 1) << i
            })
        });
    }
    t.finish();
}

fn byte(x: u64, i: u64) -> u64 {
    x >> (8 * i) & 255
}

#[test]
fn prmt_all_selectors() {
    let mut t = Checker::new();
    let all = |a: u64, b: u64| b << 32 | a;
    // Every nibble takes all sixteen values in every place, with unlike neighbours.
    let mut random = Random(7);
    let selectors: Vec<u64> =
        (0..512).map(|i| if i < 16 { i * 0x1111 } else { random.next() & 0xffff_ffff }).collect();
    let rows: Vec<Row> =
        selectors.iter().map(|&s| [cut(random.next(), 32), cut(random.next(), 32), s, 0]).collect();
    t.one("prmt.b32 $d, $a, $b, $c;", "rrr", "r", &rows, bits, |[a, b, s, _]| {
        (0..4).fold(0, |x, i| {
            let nibble = s >> (4 * i) & 15;
            let chosen = byte(all(a, b), nibble & 7);
            let sign = if chosen >> 7 == 1 { 255 } else { 0 };
            x | (if nibble & 8 == 0 { chosen } else { sign }) << (8 * i)
        })
    });
    // The tables of the special modes, one row per selector value 0..3, highest byte first.
    let modes: [(&str, [[u64; 4]; 4]); 6] = [
        ("f4e", [[3, 2, 1, 0], [4, 3, 2, 1], [5, 4, 3, 2], [6, 5, 4, 3]]),
        ("b4e", [[5, 6, 7, 0], [6, 7, 0, 1], [7, 0, 1, 2], [0, 1, 2, 3]]),
        ("rc8", [[0; 4], [1; 4], [2; 4], [3; 4]]),
        ("ecl", [[3, 2, 1, 0], [3, 2, 1, 1], [3, 2, 2, 2], [3, 3, 3, 3]]),
        ("ecr", [[0, 0, 0, 0], [1, 1, 1, 0], [2, 2, 1, 0], [3, 2, 1, 0]]),
        ("rc16", [[1, 0, 1, 0], [3, 2, 3, 2], [1, 0, 1, 0], [3, 2, 3, 2]]),
    ];
    for (mode, table) in modes {
        t.one(&format!("prmt.b32.{mode} $d, $a, $b, $c;"), "rrr", "r", &rows, bits, {
            |[a, b, s, _]| {
                let picks = table[(s & 3) as usize];
                picks.iter().fold(0, |x, &i| x << 8 | byte(all(a, b), i))
            }
        });
    }
    t.finish();
}

fn signed_byte(x: u64, i: u64, signed: bool) -> i64 {
    let x = byte(x, i);
    if signed { i64::from(x as u8 as i8) } else { x as i64 }
}

#[test]
fn dot_products() {
    let mut t = Checker::new();
    let rows = triples(&ints(32), &ints(32), &ints(32), 1000);
    for (a_type, a_signed) in [("u32", false), ("s32", true)] {
        for (b_type, b_signed) in [("u32", false), ("s32", true)] {
            let body = format!("dp4a.{a_type}.{b_type} $d, $a, $b, $c;");
            t.one(&body, "rrr", "r", &rows, bits, |[a, b, c, _]| {
                let dot: i64 =
                    (0..4).map(|i| signed_byte(a, i, a_signed) * signed_byte(b, i, b_signed)).sum();
                cut((c as i64 + dot) as u64, 32)
            });
            for (half, from) in [("lo", 0), ("hi", 2)] {
                let body = format!("dp2a.{half}.{a_type}.{b_type} $d, $a, $b, $c;");
                t.one(&body, "rrr", "r", &rows, bits, |[a, b, c, _]| {
                    // Two 16-bit values of a, two bytes of b.
                    let word = |i: u64| {
                        let x = a >> (16 * i) & 0xffff;
                        if a_signed { i64::from(x as u16 as i16) } else { x as i64 }
                    };
                    let dot: i64 =
                        (0..2).map(|i| word(i) * signed_byte(b, from + i, b_signed)).sum();
                    cut((c as i64).wrapping_add(dot) as u64, 32)
                });
            }
        }
    }
    t.finish();
}

/// Vector moves put the first element lowest.
#[test]
fn packing() {
    let mut t = Checker::new();
    let rows = pairs(&ints(16), &ints(16));
    t.one("mov.b32 $d, {$a, $b};", "hh", "r", &rows, bits, |[a, b, ..]| b << 16 | a);
    let rows = pairs(&ints(32), &ints(32));
    t.one("mov.b64 $d, {$a, $b};", "rr", "l", &rows, bits, |[a, b, ..]| b << 32 | a);
    t.all("mov.b32 {$d, $f}, $a;", "r", "hh", &ones(&ints(32)), bits, |[a, ..]| {
        [a & 0xffff, a >> 16, 0, 0]
    });
    t.all("mov.b64 {$d, $f}, $a;", "l", "rr", &ones(&ints(64)), bits, |[a, ..]| {
        [a & 0xffff_ffff, a >> 32, 0, 0]
    });
    t.one("mov.b64 {_, $d}, $a;", "l", "r", &ones(&ints(64)), bits, |[a, ..]| a >> 32);
    t.all("mov.b64 {$d, $f, $g, $h}, $a;", "l", "hhhh", &ones(&ints(64)), bits, |[a, ..]| {
        [a & 0xffff, a >> 16 & 0xffff, a >> 32 & 0xffff, a >> 48]
    });
    t.finish();
}
