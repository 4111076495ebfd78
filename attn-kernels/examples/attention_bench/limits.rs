//! What this library sets itself for attention on the CPU, and whether a run meets it.

use fp8_format::ElementType::*;

use crate::case::{Case, Timing};

/// The context that the limits of decoding are stated for.
const CONTEXT: usize = 16384;

/// E4M3 with scales of 1, for which the limits are those of E4M3.
const UNSCALED: &str = "fp8_e4m3@1";

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
    let find = |heads, kind: &str, threads| {
        timings.iter().find(|t: &&Timing| {
            let c = &t.case;
            concern(c)
                && c.q_len == 1
                && (c.num_heads, c.kind().as_str(), t.threads) == (heads, kind, threads)
        })
    };
    let mut lines = Vec::new();
    let mut line = |what: String, value: f64, met: bool, limit: String| {
        let verdict = if met { "met" } else { "NOT MET" };
        lines.push(format!("  {what:<52}{value:>6.2}  {limit:<34}{verdict}"));
    };
    let mut of_roof = |heads, kind: &str, limit: f64, goal: f64| {
        let Some(one) = find(heads, kind, 1) else { return };
        let name = format!("{heads}/8, {kind}");
        let value = one.of_roof();
        line(
            format!("{name}: of the roof"),
            value,
            value >= limit,
            format!("≥ {limit:.2}, goal {goal:.2}"),
        );
        if let Some(two) = find(heads, kind, 2) {
            // Where the roof allows it: the roof of two threads may be less than twice as high.
            let roof = |t: &Timing| t.read_seconds.max(t.fma_seconds);
            let allowed = (roof(one) / roof(two)).min(2.0);
            let value = one.seconds / two.seconds;
            let limit = 0.9 * allowed;
            let stated = format!("≥ 0.9 × {allowed:.2}, as the roof allows");
            line(format!("{name}: two threads, × one"), value, value >= limit, stated);
        }
    };
    for kind in ["fp8_e4m3", UNSCALED, "fp8_e5m2", "int8", "f16"] {
        of_roof(32, kind, 0.60, 0.70);
    }
    of_roof(32, "int8+", 0.85, 0.85);
    for kind in ["fp8_e4m3", UNSCALED] {
        of_roof(8, kind, 0.55, 0.70);
    }
    for kind in ["fp8_e4m3", UNSCALED] {
        let time = |kind| find(8, kind, 1).map(|t| t.seconds);
        if let Some((own, f16)) = time(kind).zip(time("f16")) {
            let value = own / f16;
            line(format!("8/8, {kind}: time, × f16's"), value, value <= 0.6, "≤ 0.60".into());
        }
    }
    for t in timings.iter().filter(|t| concern(&t.case) && t.case.q_len > 1 && t.threads == 1) {
        let c = &t.case;
        let value = t.fma_seconds / t.seconds;
        let what = format!("prefill of {} on {}, {}: of FMA peak", c.q_len, c.kv_len, c.kind());
        line(what, value, value >= 0.5, "≥ 0.50".into());
    }
    if !lines.is_empty() {
        println!("\nLimits, on this machine in this run\n{}", lines.join("\n"));
    }
}
