//! The approximations, each within the error that the PTX ISA states for it ("rcp", "sqrt", "rsqrt",
//! "sin", "cos", "lg2", "ex2", "tanh", "div"), and the exact results at the edges.

use crate::common::check::{Checker, bits};
use crate::common::exact::{BF16, F16, F32, Format, Mode};
use crate::common::values::{Random, Row, floats32, halves, ones, pairs};

/// What an approximation promises, in doubles: (operands) → (exact value, largest absolute error).
type Promise<'a> = &'a dyn Fn(f64, f64) -> (f64, f64);

/// Infinity and NaN must match; numbers must be within the error, or round to what lies within.
fn within(format: Format, got: u64, (want, error): (f64, f64)) -> bool {
    let value = format.value(got);
    if want.is_nan() {
        return value.is_nan();
    }
    let largest = format.value(format.largest());
    let smallest = format.value(1);
    if want.abs() > largest {
        return value == want.signum() * f64::INFINITY || value.abs() == largest;
    }
    (value - want).abs() <= error.max(smallest / 2.0)
}

fn approximate(
    t: &mut Checker,
    format: Format,
    op: &str,
    registers: (&str, &str),
    rows: &[Row],
    ftz: bool,
    promise: Promise<'_>,
) {
    let operands = if registers.0.len() == 2 { "$a, $b" } else { "$a" };
    let body = format!("{op} $d, {operands};");
    t.judge(&body, registers.0, registers.1, rows, |row, [got, ..]| {
        let flush = |x: u64| if ftz { format.flush(x) } else { x };
        let [a, b, ..] = row.map(|x| format.value(flush(x)));
        let (want, error) = promise(a, b);
        // With `.ftz` a result below the least normal number is a zero.
        let tiny = want.abs() < 2f64.powi(1 - format.emax);
        let fits = within(format, got, (want, error))
            || ftz && tiny && format.is_zero(got)
            || ftz && format.is_zero(got) && want.abs() - error < 2f64.powi(1 - format.emax);
        (!fits).then(|| [format_bits(format, want), 0, 0, 0])
    });
}

fn format_bits(format: Format, x: f64) -> u64 {
    crate::common::exact::F64.convert(x.to_bits(), format, Mode::Rn)
}

/// The edges of f32, and many numbers of all sizes.
fn many() -> Vec<u64> {
    let mut random = Random(99);
    let mut all = floats32();
    all.extend((0..4000).map(|_| random.next() & 0xffff_ffff));
    all
}

/// One unit in the last place of an f32 result of size x.
fn ulp(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() {
        return 0.0;
    }
    2f64.powi((x.abs().log2().floor() as i32 - 23).max(-149))
}

#[test]
fn reciprocals_and_roots() {
    let mut t = Checker::new();
    let rows = ones(&many());
    let relative = |x: f64, bits: f64| (x, x.abs() * 2f64.powf(-bits));
    for (suffix, ftz) in [("f32", false), ("ftz.f32", true)] {
        let mut run = |op: &str, promise: Promise<'_>| {
            let op = format!("{op}.{suffix}");
            approximate(&mut t, F32, &op, ("r", "r"), &rows, ftz, promise);
        };
        // 1 ulp.
        run("rcp.approx", &|a, _| (1.0 / a, ulp(1.0 / a)));
        // 2^-22.9 relative.
        run("rsqrt.approx", &|a, _| relative(1.0 / a.sqrt(), 22.9));
        // Not stated as tightly; 2^-22 holds for x·rsqrt(x).
        run("sqrt.approx", &|a, _| relative(a.sqrt(), 22.0));
    }
    t.finish();
}

#[test]
fn exponentials_and_logarithms() {
    let mut t = Checker::new();
    let mut values = many();
    let mut random = Random(5);
    values.extend((0..4000).map(|_| u64::from((random.unit() * 130.0).to_bits())));
    values.extend((0..2000).map(|_| u64::from((random.unit() * 0.01 + 1.0).to_bits())));
    let rows = ones(&values);
    for (suffix, ftz) in [("f32", false), ("ftz.f32", true)] {
        // 2 ulp over the range of results.
        approximate(
            &mut t,
            F32,
            &format!("ex2.approx.{suffix}"),
            ("r", "r"),
            &rows,
            ftz,
            &|a, _| {
                let x = a.exp2();
                (x, 2.0 * ulp(x))
            },
        );
        // 2^-22 absolute for 0.5 < x < 2, 2 ulp elsewhere.
        approximate(
            &mut t,
            F32,
            &format!("lg2.approx.{suffix}"),
            ("r", "r"),
            &rows,
            ftz,
            &|a, _| {
                let x = a.log2();
                let error = if a > 0.5 && a < 2.0 { 2f64.powi(-22) } else { 2.0 * ulp(x) };
                (x, error)
            },
        );
    }
    // Exact powers are exact, and -inf gives +0.
    let rows = ones(&[0, 0x8000_0000, 0x3f80_0000, 0xbf80_0000, 0x42fe_0000, 0xff80_0000]);
    t.one("ex2.approx.ftz.f32 $d, $a;", "r", "r", &rows, bits, |[a, ..]| {
        u64::from(f32::from_bits(a as u32).exp2().to_bits())
    });
    t.finish();
}

#[test]
fn trigonometry() {
    let mut t = Checker::new();
    let mut random = Random(6);
    let angles: Vec<u64> =
        (0..4000).map(|_| u64::from((random.unit() * std::f32::consts::PI).to_bits())).collect();
    for suffix in ["f32", "ftz.f32"] {
        let ftz = suffix != "f32";
        // 2^-20.5 absolute on [-π, π].
        let error = 2f64.powf(-20.5);
        let rows = ones(&angles);
        let op = format!("sin.approx.{suffix}");
        approximate(&mut t, F32, &op, ("r", "r"), &rows, ftz, &|a, _| (a.sin(), error));
        let op = format!("cos.approx.{suffix}");
        approximate(&mut t, F32, &op, ("r", "r"), &rows, ftz, &|a, _| (a.cos(), error));
    }
    // Infinity has no sine; 2^-11 relative for tanh, everywhere.
    let rows = ones(&[0x7f80_0000, 0xff80_0000, 0x7fc0_0000]);
    approximate(&mut t, F32, "sin.approx.f32", ("r", "r"), &rows, false, &|_, _| (f64::NAN, 0.0));
    let rows = ones(&many());
    approximate(&mut t, F32, "tanh.approx.f32", ("r", "r"), &rows, false, &|a, _| {
        (a.tanh(), a.tanh().abs() * 2f64.powi(-11))
    });
    t.finish();
}

#[test]
fn quotients() {
    let mut t = Checker::new();
    let values: Vec<u64> = many().into_iter().step_by(31).collect();
    let rows = pairs(&values, &values);
    // 2 ulp over the full range; numerators and denominators that are subnormal too.
    approximate(&mut t, F32, "div.full.f32", ("rr", "r"), &rows, false, &|a, b| {
        (a / b, 2.0 * ulp(a / b))
    });
    // 2 ulp for denominators in 2^-126..2^126; a larger one gives 0 (inf / it gives NaN).
    let inside: Vec<Row> = rows
        .iter()
        .copied()
        .filter(|row| {
            let b = F32.value(row[1]).abs();
            (2f64.powi(-126)..=2f64.powi(126)).contains(&b)
        })
        .collect();
    for (op, ftz) in [("div.approx.f32", false), ("div.approx.ftz.f32", true)] {
        approximate(&mut t, F32, op, ("rr", "r"), &inside, ftz, &|a, b| (a / b, 2.0 * ulp(a / b)));
    }
    t.finish();
}

/// The 16-bit approximations, all values: errors of "ex2.f16" and "tanh.f16".
#[test]
fn sixteen_bits() {
    let mut t = Checker::new();
    let rows = ones(&(0..1 << 16).collect::<Vec<u64>>());
    approximate(&mut t, F16, "ex2.approx.f16", ("h", "h"), &rows, false, &|a, _| {
        let x = a.exp2();
        // 2^-9.9 relative.
        (x, x * 2f64.powf(-9.9))
    });
    approximate(&mut t, F16, "tanh.approx.f16", ("h", "h"), &rows, false, &|a, _| {
        // 2^-10.987 absolute.
        (a.tanh(), 2f64.powf(-10.987))
    });
    approximate(&mut t, BF16, "ex2.approx.ftz.bf16", ("h", "h"), &rows, true, &|a, _| {
        // 2^-7 relative.
        (a.exp2(), a.exp2() * 2f64.powi(-7))
    });
    approximate(&mut t, BF16, "tanh.approx.bf16", ("h", "h"), &rows, false, &|a, _| {
        // 2^-8 relative.
        (a.tanh(), a.tanh().abs() * 2f64.powi(-8))
    });
    // Packed forms give the halves' results.
    for (op, wide) in [
        ("ex2.approx.f16", "ex2.approx.f16x2"),
        ("tanh.approx.f16", "tanh.approx.f16x2"),
        ("ex2.approx.ftz.bf16", "ex2.approx.ftz.bf16x2"),
        ("tanh.approx.bf16", "tanh.approx.bf16x2"),
    ] {
        let pick = pairs(&halves(), &halves());
        let body = format!(
            "{op} %v0, $a;\n{op} %v1, $b;\nmov.b32 $d, {{%v0, %v1}};\n\
             mov.b32 %t0, {{$a, $b}};\n{wide} $f, %t0;"
        );
        t.judge(&body, "hh", "rr", &pick, |_, [d, f, ..]| (d != f).then_some([d, d, 0, 0]));
    }
    t.finish();
}
