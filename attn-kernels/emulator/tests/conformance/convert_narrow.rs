//! `cvt` with packed results and FP8: exhaustive against `fp8-format` and `half`, and on both sides of
//! every rounding boundary for f32 sources; tf32 (PTX ISA, "cvt").

use fp8_format::{F8E4M3, F8E5M2, Overflow};
use half::{bf16, f16};

use crate::common::check::{Checker, Same};
use crate::common::exact::{BF16, F16, F32, Format, Mode};
use crate::common::values::{Row, floats32, ones, packed};

/// The f32 values either side of every boundary of a format of `codes` codes, and the edges of f32.
fn around(values: impl Iterator<Item = f32>) -> Vec<u64> {
    let mut sorted: Vec<f32> = values.filter(|x| x.is_finite() && *x >= 0.0).collect();
    sorted.sort_by(f32::total_cmp);
    sorted.dedup();
    let mut all = floats32();
    let last = sorted[sorted.len() - 1] as f64;
    let beyond = [last * 1.01, last * 1.0625, last * 1.125, last * 2.0];
    let midpoints = sorted.windows(2).map(|w| (f64::from(w[0]) + f64::from(w[1])) / 2.0);
    let points = sorted.iter().map(|&x| f64::from(x)).chain(midpoints).chain(beyond);
    for x in points {
        let x = u64::from((x as f32).to_bits());
        for x in [x.saturating_sub(1), x, x + 1] {
            all.extend([x, x | 0x8000_0000]);
        }
    }
    all
}

/// Rows of two: each value beside another one.
fn beside(values: &[u64]) -> Vec<Row> {
    let n = values.len();
    (0..n).map(|i| [values[i], values[(i * 5 + 1) % n], 0, 0]).collect()
}

type Encode = fn(f32) -> u8;
type Decode = fn(u8) -> f16;
type IsNan = fn(u8) -> bool;

/// The FP8 types: name, all values, f32 to code, code to f16, NaN of a code.
fn fp8() -> [(&'static str, Vec<f32>, Encode, Decode, IsNan); 2] {
    [
        (
            "e4m3x2",
            (0..=255).map(|c| F8E4M3::from_bits(c).to_f32()).collect(),
            |x| F8E4M3::from_f32(x, Overflow::Saturate).to_bits(),
            |c| F8E4M3::from_bits(c).to_f16(),
            |c| c & 0x7f == 0x7f,
        ),
        (
            "e5m2x2",
            (0..=255).map(|c| F8E5M2::from_bits(c).to_f32()).collect(),
            |x| F8E5M2::from_f32(x, Overflow::Saturate).to_bits(),
            |c| F8E5M2::from_bits(c).to_f16(),
            |c| c & 0x7f > 0x7c,
        ),
    ]
}

/// `.relu`: negative values and -0 become 0, NaN stays NaN.
fn relu(x: f32) -> f32 {
    if x.is_nan() || x > 0.0 { x } else { 0.0 }
}

#[test]
fn f32_to_fp8() {
    let mut t = Checker::new();
    for (ty, values, encode, _, is_nan) in fp8() {
        let rows = beside(&around(values.into_iter()));
        for with_relu in [false, true] {
            let modifier = if with_relu { ".relu" } else { "" };
            let body = format!("cvt.rn.satfinite{modifier}.{ty}.f32 $d, $a, $b;");
            let one = |x: u64| {
                let x = f32::from_bits(x as u32);
                encode(if with_relu { relu(x) } else { x })
            };
            compare_codes(&mut t, &body, "rr", &rows, is_nan, |[a, b, ..]| [one(b), one(a)]);
        }
    }
    t.finish();
}

#[test]
fn f16_to_fp8_every_value() {
    let mut t = Checker::new();
    let rows: Vec<Row> =
        (0..1u64 << 16).map(|x| [packed(x, x.wrapping_mul(40503)), 0, 0, 0]).collect();
    for (ty, _, encode, _, is_nan) in fp8() {
        for with_relu in [false, true] {
            let modifier = if with_relu { ".relu" } else { "" };
            let body = format!("cvt.rn.satfinite{modifier}.{ty}.f16x2 $d, $a;");
            let one = |x: u64| {
                let x = f16::from_bits(x as u16).to_f32();
                encode(if with_relu { relu(x) } else { x })
            };
            let want = |[a, ..]: Row| [one(a), one(a >> 16)];
            compare_codes(&mut t, &body, "r", &rows, is_nan, want);
        }
    }
    t.finish();
}

/// Low byte first; any NaN code for a NaN.
fn compare_codes(
    t: &mut Checker,
    body: &str,
    ins: &str,
    rows: &[Row],
    is_nan: fn(u8) -> bool,
    want: impl Fn(Row) -> [u8; 2],
) {
    // NaN codes become one before the comparison.
    let one_nan = |c: u8| if is_nan(c) { 0x7f } else { c };
    t.judge(body, ins, "h", rows, |row, [got, ..]| {
        let got = [got as u8, (got >> 8) as u8].map(one_nan);
        let want = want(row).map(one_nan);
        (got != want).then_some([u16::from_le_bytes(want).into(), 0, 0, 0])
    });
}

#[test]
fn fp8_to_f16_every_pair() {
    let mut t = Checker::new();
    let rows: Vec<Row> = (0..1u64 << 16).map(|x| [x, 0, 0, 0]).collect();
    let same = |got: u64, want: u64| {
        [0, 16].iter().all(|shift| {
            let (got, want) = (got >> shift & 0xffff, want >> shift & 0xffff);
            if F16.is_nan(want) { F16.is_nan(got) } else { got == want }
        })
    };
    for (ty, _, _, decode, _) in fp8() {
        let value = |c: u64| u64::from(decode(c as u8).to_bits());
        t.one(&format!("cvt.rn.f16x2.{ty} $d, $a;"), "h", "r", &rows, same, |[a, ..]| {
            packed(value(a & 255), value(a >> 8))
        });
        let clamp = |x: u64| if F16.negative(x) && !F16.is_nan(x) { 0 } else { x };
        t.one(&format!("cvt.rn.relu.f16x2.{ty} $d, $a;"), "h", "r", &rows, same, |[a, ..]| {
            packed(clamp(value(a & 255)), clamp(value(a >> 8)))
        });
    }
    t.finish();
}

/// Any NaN for NaN, in both halves of 16 bits of `format`.
fn pair_same(format: Format, got: u64, want: u64) -> bool {
    [0, 16].iter().all(|shift| {
        let (got, want) = (got >> shift & 0xffff, want >> shift & 0xffff);
        if format.is_nan(want) { format.is_nan(got) } else { got == want }
    })
}

#[test]
fn f32_to_packed_halves() {
    let mut t = Checker::new();
    let all = || 0..=u16::MAX;
    let kinds: [(&str, Format, Vec<u64>, Same); 2] = [
        ("f16", F16, around(all().map(|x| f16::from_bits(x).to_f32())), |g, w| {
            pair_same(F16, g, w)
        }),
        ("bf16", BF16, around(all().map(|x| bf16::from_bits(x).to_f32())), |g, w| {
            pair_same(BF16, g, w)
        }),
    ];
    for (ty, format, values, same) in kinds {
        let rows = beside(&values);
        let finite = |x: u64| {
            if format.is_infinite(x) { x - 1 } else { x }
        };
        for (name, mode) in [("rn", Mode::Rn), ("rz", Mode::Rz)] {
            let one = |x: u64| F32.convert(x, format, mode);
            let clamp = |x: u64| if format.negative(x) { 0 } else { x };
            let forms: [(&str, &dyn Fn(u64) -> u64); 4] = [
                ("", &one),
                (".relu", &|x| clamp(one(x))),
                (".satfinite", &|x| finite(one(x))),
                (".relu.satfinite", &|x| finite(clamp(one(x)))),
            ];
            for (modifier, f) in forms {
                // The first operand is the upper half.
                let body = format!("cvt.{name}{modifier}.{ty}x2.f32 $d, $a, $b;");
                t.one(&body, "rr", "r", &rows, same, |[a, b, ..]| packed(f(b), f(a)));
                let body = format!("cvt.{name}{modifier}.{ty}.f32 $d, $a;");
                t.one(&body, "r", "h", &rows, same, |[a, ..]| f(a));
            }
        }
        // `half` rounds to nearest too.
        t.one(&format!("cvt.rn.{ty}.f32 $d, $a;"), "r", "h", &rows, same, |[a, ..]| {
            let x = f32::from_bits(a as u32);
            match ty {
                "f16" => f16::from_f32(x).to_bits().into(),
                _ => bf16::from_f32(x).to_bits().into(),
            }
        });
    }
    t.finish();
}

/// tf32 keeps 10 fraction bits; the low 13 bits of the register say nothing.
#[test]
fn tf32() {
    const TF32: Format = Format { precision: 11, emax: 127 };
    let mut t = Checker::new();
    let mut values = floats32();
    for base in [0x3f80_0000u64, 0x3f80_2000, 0x0080_0000, 0x0000_2000, 0x7f7f_e000, 0x4b00_6000] {
        values.extend([base + 0xfff, base + 0x1000, base + 0x1001, base + 0x1fff]);
        values.extend([base + 0x1000, base + 0x800].map(|x| x | 0x8000_0000));
    }
    let same = |got: u64, want: u64| {
        if F32.is_nan(want) { F32.is_nan(got) } else { got & !0x1fff == want & !0x1fff }
    };
    for (name, mode) in [("rna", Mode::Rna), ("rn", Mode::Rn), ("rz", Mode::Rz)] {
        let one = |x: u64| F32.convert(x, TF32, mode) << 13;
        let body = format!("cvt.{name}.tf32.f32 $d, $a;");
        t.one(&body, "r", "r", &ones(&values), same, |[a, ..]| one(a));
        if name != "rna" {
            let body = format!("cvt.{name}.relu.tf32.f32 $d, $a;");
            t.one(&body, "r", "r", &ones(&values), same, |[a, ..]| {
                if F32.negative(a) && !F32.is_nan(a) { 0 } else { one(a) }
            });
        }
    }
    t.finish();
}
