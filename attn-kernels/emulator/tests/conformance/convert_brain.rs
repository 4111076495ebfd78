//! `cvt` beside bf16 (PTX ISA, "cvt"): f16 to and from bf16, widening with a rounding that has nothing
//! to do, integers of 8 bits, all from every value; and stochastic rounding, from its definition.

use half::{bf16, f16};

use crate::common::check::{self, Checker, Same, bits};
use crate::common::exact::{BF16, F16, F32, MODES, Mode};
use crate::common::values::{Random, Row, floats32, ones};

fn same_bf16(got: u64, want: u64) -> bool {
    if BF16.is_nan(want) { BF16.is_nan(got) } else { got == want }
}

/// All 16-bit sources.
fn every() -> Vec<Row> {
    ones(&(0..1 << 16).collect::<Vec<u64>>())
}

/// One rounding, through no f32 that rounds: all f16 and all bf16 are f32. No modifier is `.rn`.
#[test]
fn f16_and_bf16() {
    let mut t = Checker::new();
    let rows = every();
    for (name, mode) in MODES {
        t.one(&format!("cvt.{name}.bf16.f16 $d, $a;"), "h", "h", &rows, same_bf16, |[a, ..]| {
            F16.convert(a, BF16, mode)
        });
        t.one(&format!("cvt.{name}.f16.bf16 $d, $a;"), "h", "h", &rows, check::f16, |[a, ..]| {
            BF16.convert(a, F16, mode)
        });
    }
    for rn in ["", ".rn"] {
        t.one(&format!("cvt{rn}.bf16.f16 $d, $a;"), "h", "h", &rows, same_bf16, |[a, ..]| {
            bf16::from_f32(f16::from_bits(a as u16).to_f32()).to_bits().into()
        });
        t.one(&format!("cvt{rn}.f16.bf16 $d, $a;"), "h", "h", &rows, check::f16, |[a, ..]| {
            f16::from_f32(bf16::from_bits(a as u16).to_f32()).to_bits().into()
        });
    }
    t.finish();
}

/// Every bf16 is an f32 and an f64, whatever the rounding. `.ftz` flushes the f32 that comes out.
#[test]
fn widening_with_a_rounding() {
    let mut t = Checker::new();
    let rows = every();
    let single = |a: u64| u64::from(bf16::from_bits(a as u16).to_f32().to_bits());
    for round in ["", ".rn", ".rz", ".rm", ".rp"] {
        t.one(&format!("cvt{round}.f32.bf16 $d, $a;"), "h", "r", &rows, check::f32, |[a, ..]| {
            single(a)
        });
        let flushed = format!("cvt{round}.ftz.f32.bf16 $d, $a;");
        t.one(&flushed, "h", "r", &rows, check::f32, |[a, ..]| {
            let x = f32::from_bits(single(a) as u32);
            (if x.is_subnormal() { 0.0f32.copysign(x) } else { x }).to_bits().into()
        });
        t.one(&format!("cvt{round}.f64.bf16 $d, $a;"), "h", "l", &rows, check::f64, |[a, ..]| {
            bf16::from_bits(a as u16).to_f64().to_bits()
        });
    }
    t.finish();
}

/// f32 to bf16 with `.ftz`, in every rounding.
#[test]
fn flushed_f32_to_bf16() {
    let mut t = Checker::new();
    let mut values = floats32();
    // Either side of every bf16 and of every tie between two.
    values
        .extend((0..1u64 << 16).flat_map(|h| [0, 1, 0x7fff, 0x8000, 0x8001].map(|x| h << 16 | x)));
    for (name, mode) in MODES {
        let body = format!("cvt.{name}.ftz.bf16.f32 $d, $a;");
        t.one(&body, "r", "h", &ones(&values), same_bf16, |[a, ..]| {
            F32.convert(F32.flush(a), BF16, mode)
        });
    }
    t.finish();
}

type Whole = fn(f32) -> f32;

/// bf16 and integers of 8 bits, which must be in registers of 8 bits.
#[test]
fn bytes() {
    let mut t = Checker::new();
    let roundings: [(&str, Whole); 4] = [
        ("rni", f32::round_ties_even),
        ("rzi", f32::trunc),
        ("rmi", f32::floor),
        ("rpi", f32::ceil),
    ];
    let rows = every();
    for (name, whole) in roundings {
        // Rust's `as` clamps and makes 0 of a NaN, too.
        let value = |a: u64| whole(bf16::from_bits(a as u16).to_f32());
        let body = |ty, wide| {
            format!("{{ .reg .b8 %x; cvt.{name}.{ty}.bf16 %x, $a; cvt.{wide}.{ty} $d, %x; }}")
        };
        t.one(&body("u8", "u16"), "h", "h", &rows, bits, |[a, ..]| u64::from(value(a) as u8));
        t.one(&body("s8", "s16"), "h", "h", &rows, bits, |[a, ..]| {
            u64::from(i16::from(value(a) as i8) as u16)
        });
    }
    // All of 8 bits are values of bf16.
    let codes = ones(&(0..256).collect::<Vec<u64>>());
    for (name, _) in MODES {
        let body =
            |ty| format!("{{ .reg .b8 %x; cvt.u8.u16 %x, $a; cvt.{name}.bf16.{ty} $d, %x; }}");
        t.one(&body("u8"), "h", "h", &codes, bits, |[a, ..]| {
            bf16::from_f32(f32::from(a as u8)).to_bits().into()
        });
        t.one(&body("s8"), "h", "h", &codes, bits, |[a, ..]| {
            bf16::from_f32(f32::from(a as u8 as i8)).to_bits().into()
        });
    }
    t.finish();
}

/// `.rs` of one f32 with its 16 random bits, by distances: the share of the step from the bf16 below to
/// the one above that `x` has gone, in units of 2^-16, and the random number; away from zero if the sum
/// is a whole step.
fn stochastic(x: u64, random: u64, relu: bool, satfinite: bool) -> u64 {
    let value = F32.value(x).abs();
    let sign = x >> 31 << 15;
    let magnitude = if F32.is_nan(x) {
        return BF16.infinity() | 1;
    } else if F32.is_infinite(x) {
        BF16.infinity()
    } else {
        let below = F32.convert(x & 0x7fff_ffff, BF16, Mode::Rz);
        // Of the largest the next would be 2^128.
        let step = if below == BF16.largest() {
            2f64.powi(128) - BF16.value(below)
        } else {
            BF16.value(below + 1) - BF16.value(below)
        };
        let gone = (value - BF16.value(below)) / step * 65536.0;
        below + u64::from(gone + random as f64 >= 65536.0)
    };
    let beyond = F32.is_infinite(x) || value > BF16.value(BF16.largest());
    let magnitude = if satfinite && beyond { BF16.largest() } else { magnitude };
    if relu && sign != 0 { 0 } else { sign | magnitude }
}

#[test]
fn stochastic_rounding() {
    let mut t = Checker::blackwell();
    let mut random = Random(7);
    let mut values = floats32();
    // Subnormals, the smallest normals, one, and the last before infinity, of both signs.
    for top in [0x0000u64, 0x0001, 0x007f, 0x0080, 0x3f80, 0x3fff, 0x7f7e, 0x7f7f] {
        values.extend([0, 1, 0x7fff, 0x8000, 0x8001, 0xffff].map(|low| top << 16 | low));
    }
    values.extend((0..2000).map(|_| random.next() >> 32));
    values.extend(values.clone().iter().map(|x| x ^ 0x8000_0000));
    let mut rows = Vec::new();
    for (i, &a) in values.iter().enumerate() {
        let b = values[(i * 7 + 3) % values.len()];
        // No carry at all, every carry, and the last random number without and the first with one.
        let first = |x: u64| (0x1_0000 - (x & 0xffff)) & 0xffff;
        let edges = (first(a), first(b));
        rows.push([a, b, 0, 0]);
        rows.push([a, b, 0xffff_ffff, 0]);
        rows.push([a, b, edges.0 << 16 | edges.1.wrapping_sub(1) & 0xffff, 0]);
        rows.push([a, b, (edges.0.wrapping_sub(1) & 0xffff) << 16 | edges.1, 0]);
        rows.push([a, b, random.next() >> 32, 0]);
    }
    // Every random number for one value: exactly as many go up as bits say.
    rows.extend((0..1u64 << 16).map(|r| [0x3f80_4321, 0xbf80_c000, r << 16 | (r ^ 0x5555), 0]));
    let same: Same = |got, want| {
        [0, 16].iter().all(|shift| same_bf16(got >> shift & 0xffff, want >> shift & 0xffff))
    };
    for (modifier, relu, satfinite) in [
        ("", false, false),
        (".relu", true, false),
        (".satfinite", false, true),
        (".relu.satfinite", true, true),
    ] {
        let body = format!("cvt.rs{modifier}.bf16x2.f32 $d, $a, $b, $c;");
        t.one(&body, "rrr", "r", &rows, same, |[a, b, random, _]| {
            stochastic(a, random >> 16, relu, satfinite) << 16
                | stochastic(b, random & 0xffff, relu, satfinite)
        });
    }
    t.finish();
}
