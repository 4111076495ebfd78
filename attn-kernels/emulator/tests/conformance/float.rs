//! f32 and f64 arithmetic in every rounding mode, with `.ftz` and `.sat`, against one exact rounding;
//! minimum, maximum, signs, classes (PTX ISA, "Floating-Point Instructions").

use crate::common::check::{self, Checker, Same, bits};
use crate::common::exact::{F32, F64, Format, MODES};
use crate::common::values::{Row, floats32, floats64, ones, pairs, triples};

/// One type: its format, its name, its register and its operands.
struct Type {
    format: Format,
    name: &'static str,
    r: &'static str,
    values: Vec<u64>,
    same: Same,
}

fn types() -> [Type; 2] {
    [
        Type { format: F32, name: "f32", r: "r", values: floats32(), same: check::f32 },
        Type { format: F64, name: "f64", r: "l", values: floats64(), same: check::f64 },
    ]
}

/// Where `.sat` gives a zero, its sign is open.
fn saturated(got: u64, want: u64) -> bool {
    got == want || want == 0 && got == 0x8000_0000
}

/// Clamped to [0, 1], NaN to 0.
fn sat(x: u64) -> u64 {
    if F32.is_nan(x) || F32.negative(x) { 0 } else { x.min(0x3f80_0000) }
}

/// Runs `op` plain, and for f32 with `.ftz`, `.sat` and both where the instruction has them.
fn variants(
    t: &mut Checker,
    ty: &Type,
    op: &str,
    rows: &[Row],
    arity: usize,
    has_sat: bool,
    f: impl Fn(Row) -> u64,
) {
    let operands = &", $a, $b, $c"[..4 * arity];
    let ins = ty.r.repeat(arity);
    let body = format!("{op}.{} $d{operands};", ty.name);
    t.one(&body, &ins, ty.r, rows, ty.same, &f);
    if ty.format == F64 {
        return;
    }
    let flushed = |row: Row| F32.flush(f(row.map(|x| F32.flush(x))));
    let body = format!("{op}.ftz.f32 $d{operands};");
    t.one(&body, &ins, "r", rows, check::f32, flushed);
    if has_sat {
        let body = format!("{op}.sat.f32 $d{operands};");
        t.one(&body, &ins, "r", rows, saturated, |row| sat(f(row)));
        let body = format!("{op}.ftz.sat.f32 $d{operands};");
        t.one(&body, &ins, "r", rows, saturated, |row| sat(flushed(row)));
    }
}

#[test]
fn sums_and_products() {
    let mut t = Checker::new();
    for ty in &types() {
        let format = ty.format;
        let rows = pairs(&ty.values, &ty.values);
        for (name, mode) in MODES {
            let add = |[a, b, ..]: Row| format.add(a, b, mode);
            let sub = |[a, b, ..]: Row| format.add(a, b ^ format.sign(), mode);
            let mul = |[a, b, ..]: Row| format.mul(a, b, mode);
            variants(&mut t, ty, &format!("add.{name}"), &rows, 2, true, add);
            variants(&mut t, ty, &format!("sub.{name}"), &rows, 2, true, sub);
            variants(&mut t, ty, &format!("mul.{name}"), &rows, 2, true, mul);
        }
    }
    t.finish();
}

#[test]
fn fused_multiply_add() {
    let mut t = Checker::new();
    for ty in &types() {
        let format = ty.format;
        let mut rows = triples(&ty.values, &ty.values, &ty.values, 3000);
        // Cancellation: c near -a·b, where a second rounding shows.
        let near = |&[a, b, ..]: &Row| {
            let product = format.mul(a, b, crate::common::exact::Mode::Rn);
            [a, b, product ^ format.sign(), 0]
        };
        rows.extend(pairs(&ty.values, &ty.values).iter().map(near));
        for (name, mode) in MODES {
            let fma = |[a, b, c, _]: Row| format.fma(a, b, c, mode);
            variants(&mut t, ty, &format!("fma.{name}"), &rows, 3, true, fma);
        }
    }
    t.finish();
}

#[test]
fn quotients_and_roots() {
    let mut t = Checker::new();
    for ty in &types() {
        let format = ty.format;
        let two = pairs(&ty.values, &ty.values);
        let one = ones(&ty.values);
        let unit = (format.emax as u64) << (format.precision - 1);
        for (name, mode) in MODES {
            let div = |[a, b, ..]: Row| format.div(a, b, mode);
            let rcp = |[a, ..]: Row| format.div(unit, a, mode);
            let sqrt = |[a, ..]: Row| format.sqrt(a, mode);
            variants(&mut t, ty, &format!("div.{name}"), &two, 2, false, div);
            variants(&mut t, ty, &format!("rcp.{name}"), &one, 1, false, rcp);
            variants(&mut t, ty, &format!("sqrt.{name}"), &one, 1, false, sqrt);
        }
    }
    t.finish();
}

/// Numbers before NaN, -0 below +0.
fn smaller(format: Format, a: u64, b: u64, take_max: bool) -> u64 {
    match (format.is_nan(a), format.is_nan(b)) {
        (true, true) => format.sign() - 1,
        (true, false) => b,
        (false, true) => a,
        _ => {
            // Negative numbers order backwards by their bits.
            let key = |x: u64| {
                let magnitude = (x & !format.sign()) as i64;
                if format.negative(x) { -1 - magnitude } else { magnitude }
            };
            if (key(a) <= key(b)) != take_max { a } else { b }
        }
    }
}

#[test]
fn minimum_and_maximum() {
    let mut t = Checker::new();
    for ty in &types() {
        let format = ty.format;
        let rows = pairs(&ty.values, &ty.values);
        for (op, take_max) in [("min", false), ("max", true)] {
            let plain = |[a, b, ..]: Row| smaller(format, a, b, take_max);
            variants(&mut t, ty, op, &rows, 2, false, plain);
            if format == F64 {
                continue;
            }
            let nan = |[a, b, ..]: Row| match F32.is_nan(a) || F32.is_nan(b) {
                true => F32.sign() - 1,
                false => smaller(F32, a, b, take_max),
            };
            t.one(&format!("{op}.NaN.f32 $d, $a, $b;"), "rr", "r", &rows, check::f32, nan);
            let numbers: Vec<Row> = rows
                .iter()
                .copied()
                .filter(|[a, b, ..]| !F32.is_nan(*a) && !F32.is_nan(*b))
                .collect();
            let xorsign = |[a, b, ..]: Row| {
                let magnitude = smaller(F32, a & !F32.sign(), b & !F32.sign(), take_max);
                magnitude | (a ^ b) & F32.sign()
            };
            let body = format!("{op}.xorsign.abs.f32 $d, $a, $b;");
            t.one(&body, "rr", "r", &numbers, bits, xorsign);
        }
    }
    t.finish();
}

#[test]
fn signs() {
    let mut t = Checker::new();
    for ty in &types() {
        let sign = ty.format.sign();
        let numbers: Vec<u64> =
            ty.values.iter().copied().filter(|&x| !ty.format.is_nan(x)).collect();
        let one = ones(&numbers);
        variants(&mut t, ty, "abs", &one, 1, false, |[a, ..]| a & !sign);
        variants(&mut t, ty, "neg", &one, 1, false, |[a, ..]| a ^ sign);
        // The sign of the first, the rest of the second (PTX ISA, "copysign").
        let body = format!("copysign.{} $d, $a, $b;", ty.name);
        let rows = pairs(&ty.values, &numbers);
        t.one(&body, &ty.r.repeat(2), ty.r, &rows, bits, |[a, b, ..]| b & !sign | a & sign);
    }
    t.finish();
}

/// Zero counts as normal (PTX ISA, "testp").
#[test]
fn classes() {
    let mut t = Checker::new();
    for ty in &types() {
        let rows = ones(&ty.values);
        let mut class = |name: &str, f: &dyn Fn(f64, u64) -> bool| {
            let body = format!("testp.{name}.{} $d, $a;", ty.name);
            t.one(&body, ty.r, "p", &rows, bits, |[a, ..]| f(ty.format.value(a), a).into());
        };
        let small = |x: u64| !ty.format.is_zero(x) && ty.format.flush(x) != x;
        class("finite", &|x, _| x.is_finite());
        class("infinite", &|x, _| x.is_infinite());
        class("number", &|x, _| !x.is_nan());
        class("notanumber", &|x, _| x.is_nan());
        class("normal", &|x, a| x.is_finite() && !small(a));
        class("subnormal", &|_, a| small(a));
    }
    t.finish();
}

/// What the machine returns as NaN: PTX leaves it open for f32, the hardware gives 0x7fffffff.
#[test]
fn canonical_nan() {
    let mut t = Checker::new();
    let rows = [[0x7f80_0001, 0x3f80_0000, 0, 0], [0x7f80_0000, 0xff80_0000, 0, 0]];
    t.one("add.f32 $d, $a, $b;", "rr", "r", &rows, bits, |_| 0x7fff_ffff);
    let rows = [[0x7f80_0001, 0xffc0_0000, 0, 0]];
    t.one("min.f32 $d, $a, $b;", "rr", "r", &rows, bits, |_| 0x7fff_ffff);
    t.one("max.NaN.f32 $d, $a, $b;", "rr", "r", &rows, bits, |_| 0x7fff_ffff);
    t.finish();
}

/// Immediates of the three notations (PTX ISA, "Floating-Point Constants").
#[test]
fn immediates() {
    let mut t = Checker::new();
    let rows = ones(&[0x3f80_0000, 0x4000_0000]);
    t.one("add.f32 $d, $a, 0f3F000000;", "r", "r", &rows, bits, |[a, ..]| {
        u64::from((f32::from_bits(a as u32) + 0.5).to_bits())
    });
    t.one("mul.f32 $d, $a, 2.5;", "r", "r", &rows, bits, |[a, ..]| {
        u64::from((f32::from_bits(a as u32) * 2.5).to_bits())
    });
    t.one("mov.f64 $d, 0d3FF8000000000000;", "", "l", &rows, bits, |_| 1.5f64.to_bits());
    t.one("mov.b32 $d, -7;", "", "r", &rows, bits, |_| 0xffff_fff9);
    t.one("mov.b32 $d, 0x7F;", "", "r", &rows, bits, |_| 127);
    t.one("mov.b32 $d, 0b101;", "", "r", &rows, bits, |_| 5);
    t.one("mov.b32 $d, 017;", "", "r", &rows, bits, |_| 15);
    t.finish();
}
