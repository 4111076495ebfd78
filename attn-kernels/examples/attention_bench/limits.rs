//! What this library sets itself for attention on the CPU, and whether a run meets it.

use attn_kernels::AttnMath;
use fp8_format::ElementType::{self, *};

use crate::case::{Case, Timing};

/// The context that the limits of decoding are stated for.
const CONTEXT: usize = 16384;

/// Whether a limit speaks of a case.
pub(crate) fn concern(c: &Case) -> bool {
    let decode = c.q_len == 1 && c.kv_len == CONTEXT && c.batch == 1;
    let shape = (c.num_heads, c.num_kv_heads, c.head_dim);
    match shape {
        (32, 8, 128) if decode => matches!(c.stored, F8E4M3 | F8E5M2 | Int8 | F16),
        (8, 8, 128) if decode => matches!(c.stored, F8E4M3 | F16),
        (32, 8, 128) => c.q_len > 1,
        _ => false,
    }
}

/// Prints every limit whose cases were timed: the measured value, the limit, whether it is met.
pub(crate) fn print(timings: &[Timing]) {
    let find = |heads, stored, math, threads| {
        timings.iter().find(|t: &&Timing| {
            let c = &t.case;
            concern(c)
                && c.q_len == 1
                && (c.num_heads, c.stored, c.math, t.threads) == (heads, stored, math, threads)
        })
    };
    let mut lines = Vec::new();
    let mut line = |what: String, value: f64, met: bool, limit: String| {
        let verdict = if met { "met" } else { "NOT MET" };
        lines.push(format!("  {what:<52}{value:>6.2}  {limit:<34}{verdict}"));
    };
    let mut of_roof = |heads, stored: ElementType, math: AttnMath, limit: f64, goal: f64| {
        let Some(one) = find(heads, stored, math, 1) else { return };
        let plus = if math == AttnMath::Int8 { "+" } else { "" };
        let name = format!("{heads}/8, {stored}{plus}");
        let value = one.of_roof();
        line(
            format!("{name}: of the roof"),
            value,
            value >= limit,
            format!("≥ {limit:.2}, goal {goal:.2}"),
        );
        if let Some(two) = find(heads, stored, math, 2) {
            // Where the roof allows it: the roof of two threads may be less than twice as high.
            let roof = |t: &Timing| t.read_seconds.max(t.fma_seconds);
            let allowed = (roof(one) / roof(two)).min(2.0);
            let value = one.seconds / two.seconds;
            let limit = 0.9 * allowed;
            let stated = format!("≥ 0.9 × {allowed:.2}, as the roof allows");
            line(format!("{name}: two threads, × one"), value, value >= limit, stated);
        }
    };
    for stored in [F8E4M3, F8E5M2, Int8, F16] {
        of_roof(32, stored, AttnMath::Default, 0.60, 0.70);
    }
    of_roof(32, Int8, AttnMath::Int8, 0.85, 0.85);
    of_roof(8, F8E4M3, AttnMath::Default, 0.55, 0.70);
    let of_f16 = |heads| {
        let time = |stored| find(heads, stored, AttnMath::Default, 1).map(|t| t.seconds);
        Some(time(F8E4M3)? / time(F16)?)
    };
    if let Some(value) = of_f16(8) {
        line("8/8, fp8_e4m3: time, × f16's".into(), value, value <= 0.6, "≤ 0.60".into());
    }
    for t in timings.iter().filter(|t| concern(&t.case) && t.case.q_len > 1 && t.threads == 1) {
        let c = &t.case;
        let plus = if c.math == AttnMath::Int8 { "+" } else { "" };
        let value = t.fma_seconds / t.seconds;
        let what =
            format!("prefill of {} on {}, {}{plus}: of FMA peak", c.q_len, c.kv_len, c.stored);
        line(what, value, value >= 0.5, "≥ 0.50".into());
    }
    if !lines.is_empty() {
        println!("\nLimits, on this machine in this run\n{}", lines.join("\n"));
    }
}
