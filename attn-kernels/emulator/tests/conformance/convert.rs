//! `cvt` among integers, f16, bf16, f32 and f64 in every rounding (PTX ISA, "cvt").

use crate::common::check::{self, Checker, Same, bits};
use crate::common::exact::{BF16, F16, F32, F64, Format, MODES, Mode};
use crate::common::values::{Row, cut, floats32, floats64, halves, ints, ones, triples};

const INTS: [(&str, u32, bool); 8] = [
    ("u8", 8, false),
    ("s8", 8, true),
    ("u16", 16, false),
    ("s16", 16, true),
    ("u32", 32, false),
    ("s32", 32, true),
    ("u64", 64, false),
    ("s64", 64, true),
];

/// The register that holds `bits` bits, and its width.
fn register(bits: u32) -> (&'static str, u32) {
    match bits {
        8 | 16 => ("h", 16),
        32 => ("r", 32),
        _ => ("l", 64),
    }
}

fn number(x: u64, bits: u32, signed: bool) -> i128 {
    let x = cut(x, bits);
    if signed && x >> (bits - 1) == 1 { i128::from(x) - (1i128 << bits) } else { i128::from(x) }
}

fn range(bits: u32, signed: bool) -> (i128, i128) {
    if signed {
        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
    } else {
        (0, (1i128 << bits) - 1)
    }
}

#[test]
fn among_integers() {
    let mut t = Checker::new();
    for (from, n, signed) in INTS {
        // The register may be wider than the type; the rest of it does not count.
        let (r, width) = register(n);
        let rows = ones(&ints(width));
        for (to, m, to_signed) in INTS {
            let (d, to_width) = register(m);
            // A destination wider than its type is filled as the type's sign says.
            let body = format!("cvt.{to}.{from} $d, $a;");
            t.one(&body, r, d, &rows, bits, |[a, ..]| {
                let kept = number(number(a, n, signed) as u64, m, to_signed);
                cut(kept as u64, to_width)
            });
            let (low, high) = range(m, to_signed);
            let (least, most) = range(n, signed);
            if least >= low && most <= high {
                continue;
            }
            let body = format!("cvt.sat.{to}.{from} $d, $a;");
            t.one(&body, r, d, &rows, bits, |[a, ..]| {
                cut(number(a, n, signed).clamp(low, high) as u64, to_width)
            });
        }
    }
    t.finish();
}

/// A byte or a half read from a wider register, and sign-extension into one.
#[test]
fn wider_registers() {
    let mut t = Checker::new();
    let rows = ones(&ints(32));
    t.one("cvt.s32.s8 $d, $a;", "r", "r", &rows, bits, |[a, ..]| a as u8 as i8 as u32 as u64);
    t.one("cvt.u32.u8 $d, $a;", "r", "r", &rows, bits, |[a, ..]| a & 255);
    t.one("cvt.s32.s16 $d, $a;", "r", "r", &rows, bits, |[a, ..]| a as u16 as i16 as u32 as u64);
    t.one("cvt.u32.u16 $d, $a;", "r", "r", &rows, bits, |[a, ..]| a & 0xffff);
    t.one("cvt.s8.s32 $d, $a;", "r", "r", &rows, bits, |[a, ..]| a as u8 as i8 as u32 as u64);
    t.one("cvt.s64.s32 $d, $a;", "l", "l", &rows, bits, |[a, ..]| a as u32 as i32 as u64);
    t.finish();
}

struct Float {
    name: &'static str,
    format: Format,
    r: &'static str,
    values: Vec<u64>,
    same: Same,
}

fn bf16(got: u64, want: u64) -> bool {
    if BF16.is_nan(want) { BF16.is_nan(got) } else { got == want }
}

fn float_types() -> [Float; 4] {
    let around = |x: f64| {
        let x = x as f32;
        [x.to_bits() - 1, x.to_bits(), x.to_bits() + 1].map(u64::from)
    };
    let mut single = floats32();
    let mut double = floats64();
    // Either side of every limit and of every tie of the integers.
    for limit in
        [0.5, 1.5, 2.5, 127.5, 128.5, 255.5, 256.5, 32767.5, 65535.5, 2147483648.0, 4294967296.0]
    {
        for x in [limit, limit - 1.0] {
            if x > 0.0 {
                single.extend(around(x).into_iter().flat_map(|x| [x, x | 0x8000_0000]));
            }
            double.extend([x.to_bits() ^ 1, x.to_bits(), (-x).to_bits(), (-x).to_bits() ^ 1]);
        }
    }
    for limit in [2f64.powi(63), 2f64.powi(64)] {
        single.extend(around(limit).into_iter().flat_map(|x| [x, x | 0x8000_0000]));
        let b = limit.to_bits();
        double.extend([b - 1, b, b + 1, (b - 1) | 1 << 63, b | 1 << 63, (b + 1) | 1 << 63]);
    }
    let all: Vec<u64> = (0..1 << 16).collect();
    [
        Float { name: "f16", format: F16, r: "h", values: all.clone(), same: check::f16 },
        Float { name: "bf16", format: BF16, r: "h", values: all, same: bf16 },
        Float { name: "f32", format: F32, r: "r", values: single, same: check::f32 },
        Float { name: "f64", format: F64, r: "l", values: double, same: check::f64 },
    ]
}

/// |x| to an integer, exact: the integer below, and how the rest compares with a half.
fn integral(format: Format, x: u64, mode: Mode) -> i128 {
    let (negative, m, e) = format.parts(x);
    let magnitude = if e >= 0 {
        // Beyond any integer type: the exact value does not matter.
        if e > 70 { 1 << 120 } else { i128::from(m) << e }
    } else if e < -64 {
        let up = m != 0 && (mode == Mode::Rm && negative || mode == Mode::Rp && !negative);
        i128::from(up)
    } else {
        let drop = -e as u32;
        let whole = i128::from(m) >> drop;
        let rest = i128::from(m) - (whole << drop);
        let half = 1i128 << drop >> 1;
        let up = match mode {
            Mode::Rn => rest > half || rest == half && whole & 1 == 1,
            Mode::Rm => negative && rest > 0,
            Mode::Rp => !negative && rest > 0,
            Mode::Rz | Mode::Rna => false,
        };
        whole + i128::from(up)
    };
    if negative { -magnitude } else { magnitude }
}

#[test]
fn floats_to_integers() {
    let mut t = Checker::new();
    for ty in float_types() {
        let format = ty.format;
        let rows = ones(&ty.values);
        for (to, n, signed) in INTS {
            if ty.name == "bf16" && n == 8 {
                continue; // Wants registers of 8 bits: `convert_brain`.
            }
            let (d, width) = register(n);
            let (low, high) = range(n, signed);
            for (name, mode) in MODES {
                // NaN is 0, but a 64-bit side makes it the top bit (PTX ISA, "cvt").
                let nan = if ty.name == "f64" || n == 64 { 1i128 << (n - 1) } else { 0 };
                let want = |a: u64| {
                    let x = if format.is_nan(a) {
                        nan
                    } else if format.is_infinite(a) {
                        if format.negative(a) { low } else { high }
                    } else {
                        integral(format, a, mode).clamp(low, high)
                    };
                    cut(number(x as u64, n, signed) as u64, width)
                };
                let body = format!("cvt.{name}i.{to}.{} $d, $a;", ty.name);
                t.one(&body, ty.r, d, &rows, bits, |[a, ..]| want(a));
                if ty.name == "f32" {
                    let body = format!("cvt.{name}i.ftz.{to}.f32 $d, $a;");
                    t.one(&body, ty.r, d, &rows, bits, |[a, ..]| want(F32.flush(a)));
                }
            }
        }
    }
    t.finish();
}

#[test]
fn integers_to_floats() {
    let mut t = Checker::new();
    for ty in float_types() {
        for (from, n, signed) in INTS {
            if ty.name == "bf16" && n == 8 {
                continue;
            }
            let (r, width) = register(n);
            let mut values = ints(width);
            // Ties of every precision.
            for shift in [8, 11, 24, 53] {
                let tie = (1u64 << shift) + 1;
                values.extend([tie, tie << 1 | 1, tie << 2 | 1, (tie << 2) - 1, (tie << 1) - 1]);
            }
            values.iter_mut().for_each(|x| *x = cut(*x, width));
            for (name, mode) in MODES {
                let body = format!("cvt.{name}.{}.{from} $d, $a;", ty.name);
                t.one(&body, r, ty.r, &ones(&values), ty.same, |[a, ..]| {
                    let x = number(a, n, signed);
                    match x {
                        0 => 0,
                        _ => ty.format.round(x < 0, x.unsigned_abs(), 0, false, mode),
                    }
                });
            }
        }
    }
    t.finish();
}

/// Values either side of every rounding boundary of `narrow`, in `wide`.
fn boundaries(wide: Format, narrow: Format, values: &[u64]) -> Vec<u64> {
    let mut all = values.to_vec();
    let low = wide.precision - narrow.precision;
    let halfway = 1u64 << (low - 1);
    for code in halves() {
        let format = if narrow.bits() == 16 { narrow } else { F16 };
        let x = format.convert(code, wide, Mode::Rn);
        if !wide.is_nan(x) && !wide.is_infinite(x) {
            all.extend([x, x + 1, x + halfway - 1, x + halfway, x + halfway + 1]);
            all.push(x + 3 * halfway);
        }
    }
    all
}

#[test]
fn narrower_floats() {
    let mut t = Checker::new();
    let [f16, bf16_type, f32, f64] = &float_types();
    for (from, to) in [(f32, f16), (f64, f16), (f64, f32), (f32, bf16_type), (f64, bf16_type)] {
        let values = boundaries(from.format, to.format, &from.values);
        let rows = ones(&values);
        for (name, mode) in MODES {
            let want = |[a, ..]: Row| from.format.convert(a, to.format, mode);
            let body = format!("cvt.{name}.{}.{} $d, $a;", to.name, from.name);
            t.one(&body, from.r, to.r, &rows, to.same, want);
            if to.name == "f32" || (from.name == "f32" && to.name == "f16") {
                // `.ftz` flushes f32 sides only.
                let body = format!("cvt.{name}.ftz.{}.{} $d, $a;", to.name, from.name);
                t.one(&body, from.r, to.r, &rows, to.same, |[a, ..]| {
                    let a = if from.name == "f32" { F32.flush(a) } else { a };
                    let d = from.format.convert(a, to.format, mode);
                    if to.name == "f32" { F32.flush(d) } else { d }
                });
            }
            if to.name != "bf16" {
                let body = format!("cvt.{name}.sat.{}.{} $d, $a;", to.name, from.name);
                let one = (to.format.emax as u64) << (to.format.precision - 1);
                let sign = to.format.sign();
                t.judge(&body, from.r, to.r, &rows, |row, [got, ..]| {
                    let d = want(row);
                    let nothing = to.format.is_nan(d) || d & sign != 0;
                    let clamped = if nothing { 0 } else { d.min(one) };
                    // The sign of a zero is open.
                    let fits = got == clamped || clamped == 0 && got == sign;
                    (!fits).then_some([clamped, 0, 0, 0])
                });
            }
        }
    }
    t.finish();
}

#[test]
fn wider_floats() {
    let mut t = Checker::new();
    let [f16, bf16_type, f32, f64] = &float_types();
    for (from, to) in [(f16, f32), (f16, f64), (bf16_type, f32), (bf16_type, f64), (f32, f64)] {
        let rows = ones(&from.values);
        let want = |[a, ..]: Row| from.format.convert(a, to.format, Mode::Rn);
        let body = format!("cvt.{}.{} $d, $a;", to.name, from.name);
        t.one(&body, from.r, to.r, &rows, to.same, want);
    }
    let rows = ones(&f32.values);
    t.one("cvt.ftz.f64.f32 $d, $a;", "r", "l", &rows, check::f64, |[a, ..]| {
        F32.convert(F32.flush(a), F64, Mode::Rn)
    });
    // `half` says the same of all 65,536.
    let rows = ones(&f16.values);
    t.one("cvt.f32.f16 $d, $a;", "h", "r", &rows, check::f32, |[a, ..]| {
        u64::from(half::f16::from_bits(a as u16).to_f32().to_bits())
    });
    t.finish();
}

/// Rounding to an integral value in the same type.
#[test]
fn integral_values() {
    let mut t = Checker::new();
    for ty in float_types() {
        let format = ty.format;
        for (name, mode) in MODES {
            let want = |a: u64| {
                if format.is_nan(a) || format.is_infinite(a) {
                    return a;
                }
                let (_, _, e) = format.parts(a);
                if e >= 0 {
                    return a;
                }
                // A result of zero keeps the sign.
                match integral(format, a, mode) {
                    0 => a & format.sign(),
                    x => format.round(x < 0, x.unsigned_abs(), 0, false, Mode::Rn),
                }
            };
            let body = format!("cvt.{name}i.{0}.{0} $d, $a;", ty.name);
            t.one(&body, ty.r, ty.r, &ones(&ty.values), ty.same, |[a, ..]| want(a));
            if ty.name == "f32" {
                let body = format!("cvt.{name}i.ftz.f32.f32 $d, $a;");
                let rows = ones(&ty.values);
                t.one(&body, "r", "r", &rows, ty.same, |[a, ..]| want(F32.flush(a)));
            }
        }
    }
    let rows = ones(&floats32());
    t.one(
        "cvt.sat.f32.f32 $d, $a;",
        "r",
        "r",
        &rows,
        |a, b| a & 0x7fff_ffff == b,
        |[a, ..]| {
            if F32.is_nan(a) || F32.negative(a) { 0 } else { a.min(0x3f80_0000) }
        },
    );
    t.finish();
}

/// `cvt.pack`: the first operand stands above the second, what is left of the third above both.
#[test]
fn packed_integers() {
    let mut t = Checker::new();
    let rows = triples(&ints(32), &ints(32), &ints(32), 400);
    for (name, bits) in [("16", 16), ("8", 8), ("4", 4), ("2", 2)] {
        for (sign, least, most) in
            [("u", 0, (1_i64 << bits) - 1), ("s", -(1 << (bits - 1)), (1 << (bits - 1)) - 1)]
        {
            let clip = |x: u64| i64::from(x as u32 as i32).clamp(least, most) as u64;
            let field = |x: u64| clip(x) & ((1 << bits) - 1);
            let (third, ins) = if bits == 16 { ("", "rr") } else { (", $c", "rrr") };
            let ty = if bits == 16 { "s32" } else { "s32.b32" };
            let body = format!("cvt.pack.sat.{sign}{name}.{ty} $d, $a, $b{third};");
            t.one(&body, ins, "r", &rows, check::bits, |[a, b, c, _]| {
                let above = if bits == 16 { 0 } else { c << (2 * bits) };
                (above | field(a) << bits | field(b)) & 0xffff_ffff
            });
        }
    }
    t.finish();
}
