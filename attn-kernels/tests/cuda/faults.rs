//! Faults planted in the shipped PTX: each is caught, by a check of the device or by the result.

use std::rc::Rc;

use attn_kernels::{Backend, KvLayout, ReferenceBackend};
use fp8_format::ElementType::F8E4M3;

use crate::common::{World, errors};
use crate::device::{Cuda, Emulated};

const ATTENTION: &str = "attention_e4m3_e4m3_d64_m1";

/// Where a kernel's text is in its module.
fn body(text: &str, kernel: &str) -> std::ops::Range<usize> {
    let from = text.find(&format!(".entry {kernel}(")).expect("the kernel is in the module");
    let to = text[from + 1..].find(".entry ").map_or(text.len(), |at| from + 1 + at);
    from..to
}

/// Changes the `n`-th line (from 0) of a kernel that contains `pattern`.
fn change(
    text: &str,
    kernel: &str,
    pattern: &str,
    n: usize,
    to: impl Fn(&str) -> String,
) -> String {
    let range = body(text, kernel);
    let mut seen = 0;
    let mut out = text[..range.start].to_owned();
    for line in text[range.clone()].split_inclusive('\n') {
        if line.contains(pattern) {
            if seen == n {
                out.push_str(&to(line));
                seen += 1;
                continue;
            }
            seen += 1;
        }
        out.push_str(line);
    }
    assert!(seen > n, "{kernel} has {seen} lines with {pattern:?}, none with number {n}");
    out.push_str(&text[range.end..]);
    out
}

/// Decodes and prefills with an edited module; the device's report, or the largest error.
fn run(module: &'static str, edit: impl Fn(String) -> String + 'static) -> Result<f64, String> {
    let edit = move |name: &str, text: String| if name == module { edit(text) } else { text };
    let cuda = Cuda::with(Emulated::new("sm_89").edited(Rc::new(edit)));
    let world = World::new(91, 4, 2, 64, &[600]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true);
    let tables = world.tables(&shape, 7);
    let host = world.fill(&ReferenceBackend, &shape, &tables);
    let mut device = cuda.new_cache(shape.clone()).unwrap();
    let n = shape.num_slots();
    let nan = vec![f32::NAN; n * world.kv_heads * world.d];
    let all: Vec<i64> = (0..n as i64).collect();
    cuda.append(&mut device, &world.scales, &nan, &nan, &all).map_err(|e| e.to_string())?;
    let mut slots = World::slots(&tables[0], shape.block_size, 0..600);
    slots.push(-1);
    let with_skipped = |x: &[f32]| [x, &x[..world.kv_heads * world.d]].concat();
    let (k, v) = (with_skipped(&world.k[0]), with_skipped(&world.v[0]));
    cuda.append(&mut device, &world.scales, &k, &v, &slots).map_err(|e| e.to_string())?;
    let queries = [(0, 589, 590), (0, 120, 125)];
    let attention = world.attention();
    let want = world.attend(&ReferenceBackend, &host, &attention, &tables, &queries);
    let mut batch = attn_kernels::Batch::new();
    let mut q = Vec::new();
    let row = world.heads * world.d;
    for (s, from, to) in queries {
        batch.push(to - from, to, tables[s].iter().copied());
        q.extend_from_slice(&world.q[s][from * row..to * row]);
    }
    let plan = cuda.plan(&shape, &attention, &batch).map_err(|e| e.to_string())?;
    let mut out = vec![0.0; q.len()];
    cuda.attention(&plan, &device, &world.scales, &q, &mut out, None).map_err(|e| e.to_string())?;
    Ok(errors(&out, &want.0).0)
}

fn drop_line(kernel: &'static str, pattern: &'static str, n: usize) -> impl Fn(String) -> String {
    move |text| change(&text, kernel, pattern, n, |_| String::new())
}

#[test]
fn the_shipped_kernels_pass() {
    let worst = run("attention_e4m3_e4m3", |text| text).unwrap();
    assert!(worst <= 2e-3, "{worst}");
}

#[test]
fn every_dropped_wait_and_barrier_is_reported() {
    for (pattern, count, kinds) in [
        ("cp.async.wait_group 0", 1, &["before its wait", "uninitialised"][..]),
        ("cp.async.wait_group 1", 2, &["before its wait", "uninitialised"]),
        ("bar.sync", 4, &["race", "before its wait", "uninitialised"]),
    ] {
        for n in 0..count {
            let report = run("attention_e4m3_e4m3", drop_line(ATTENTION, pattern, n));
            let Err(report) = report else { panic!("{pattern} number {n} dropped: {report:?}") };
            assert!(kinds.iter().any(|kind| report.contains(kind)), "{pattern} {n}: {report}");
            println!("{pattern} {n} dropped: {}", report.lines().next().unwrap_or_default());
        }
    }
}

#[test]
fn a_copy_without_its_bound_is_caught() {
    // The size operand, 0 for tokens outside of the span, becomes 16.
    let edit = |text: String| {
        let mut text = text;
        for n in 0..8 {
            text = change(&text, ATTENTION, "cp.async.cg.shared.global", n, |line| {
                let (head, _) = line.rsplit_once(", %").expect("a size operand");
                format!("{head}, 16;\n")
            });
        }
        text
    };
    match run("attention_e4m3_e4m3", edit) {
        Err(report) => println!("copy without bound: {report}"),
        // Poison of unwritten slots, or other tokens, in the result.
        Ok(worst) => assert!(worst.is_nan() || worst > 2e-3, "not caught: {worst}"),
    }
}

#[test]
fn a_wrong_scale_or_reduction_is_caught_by_the_result() {
    for (pattern, n, from, to) in [
        ("shfl.sync.bfly.b32", 0, ".bfly", ".idx"),
        ("shfl.sync.bfly.b32", 12, ".bfly", ".idx"),
        ("ex2.approx.ftz.f32", 11, "ex2.approx.ftz.f32", "rcp.approx.ftz.f32"),
    ] {
        let edit = move |text: String| {
            change(&text, ATTENTION, pattern, n, |line| {
                assert!(line.contains(from), "{line}");
                line.replace(from, to)
            })
        };
        let result = run("attention_e4m3_e4m3", edit);
        assert!(!matches!(result, Ok(worst) if worst <= 2e-3), "{pattern} {n}: {result:?}");
    }
}

#[test]
fn a_slot_that_is_not_skipped_is_caught() {
    let edit = |text: String| {
        change(&text, "append_kv", "setp.lt.s64", 0, |line| {
            line.replace("setp.lt.s64", "setp.gt.s64")
        })
    };
    let result = run("append", edit);
    assert!(!matches!(result, Ok(worst) if worst <= 2e-3), "{result:?}");
}
