//! Faults planted in the shipped PTX: each is caught, by a check of the device or by the result.

use std::rc::Rc;

use attn_kernels::{AttnMath, Backend, KvLayout, ReferenceBackend};
use fp8_format::ElementType::F8E4M3;

use crate::common::{World, errors};
use crate::device::{Cuda, Emulated};

/// A kernel on numbers and one on codes: module, kernel, arithmetic, and the largest error of what is
/// not faulty (a weight next to a tie may be rounded to another code).
#[derive(Debug, Clone, Copy)]
struct Subject {
    module: &'static str,
    kernel: &'static str,
    math: AttnMath,
    bound: f64,
    /// Which shuffles find a row's maximum and sum, and which product is the first of P·V.
    places: [usize; 3],
}

const NUMBERS: Subject = Subject {
    module: "attention_e4m3_e4m3",
    kernel: "attention_e4m3_e4m3_d64_m1",
    math: AttnMath::Default,
    bound: 2e-3,
    // Five shuffles before are for dynamic scales.
    places: [5, 12, 8],
};
const CODES: Subject = Subject {
    module: "attention_fp8_e4m3_e4m3",
    kernel: "attention_fp8_e4m3_e4m3_d64_m1",
    math: AttnMath::Fp8,
    bound: 1e-2,
    places: [0, 7, 4],
};
const SUBJECTS: [Subject; 2] = [NUMBERS, CODES];

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
fn run(
    module: &'static str,
    math: AttnMath,
    edit: impl Fn(String) -> String + 'static,
) -> Result<f64, String> {
    let edit = move |name: &str, text: String| if name == module { edit(text) } else { text };
    let cuda = Cuda::with(Emulated::new("sm_89").edited(Rc::new(edit)));
    let world = World::new(91, 4, 2, 64, &[600]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true).with_q_scales(true);
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
    let attention = world.attention().with_math(math);
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
    for subject in SUBJECTS {
        let worst = run(subject.module, subject.math, |text| text).unwrap();
        assert!(worst <= subject.bound, "{subject:?}: {worst}");
    }
}

#[test]
fn every_dropped_wait_and_barrier_is_reported() {
    for Subject { module, kernel, math, .. } in SUBJECTS {
        for (pattern, count, kinds) in [
            ("cp.async.wait_group 0", 1, &["before its wait", "uninitialised"][..]),
            ("cp.async.wait_group 1", 2, &["before its wait", "uninitialised"]),
            ("bar.sync", 4, &["race", "before its wait", "uninitialised"]),
            ("bar.warp.sync", 1, &["race"]),
        ] {
            for n in 0..count {
                let report = run(module, math, drop_line(kernel, pattern, n));
                let Err(report) = report else {
                    panic!("{kernel}: {pattern} number {n} dropped: {report:?}")
                };
                let expected = kinds.iter().any(|kind| report.contains(kind));
                assert!(expected, "{kernel}: {pattern} {n}: {report}");
                let first = report.lines().next().unwrap_or_default();
                println!("{kernel}: {pattern} {n} dropped: {first}");
            }
        }
    }
}

#[test]
fn a_copy_without_its_bound_is_caught() {
    for Subject { module, kernel, math, bound, .. } in SUBJECTS {
        // The size operand, 0 for tokens outside of the span, becomes 16.
        let edit = move |text: String| {
            let mut text = text;
            for n in 0..text[body(&text, kernel)].matches("cp.async.cg.shared.global").count() {
                text = change(&text, kernel, "cp.async.cg.shared.global", n, |line| {
                    let (head, _) = line.rsplit_once(", %").expect("a size operand");
                    format!("{head}, 16;\n")
                });
            }
            text
        };
        match run(module, math, edit) {
            Err(report) => println!("{kernel}: copy without bound: {report}"),
            // Poison of unwritten slots, or other tokens, in the result.
            Ok(worst) => assert!(worst.is_nan() || worst > bound, "not caught: {worst}"),
        }
    }
}

#[test]
fn a_wrong_reduction_maximum_or_product_is_caught_by_the_result() {
    for Subject { module, kernel, math, bound, places: [largest, sum, values] } in SUBJECTS {
        for (pattern, n, to) in [
            // The largest and the sum of a row.
            ("shfl.sync.bfly", largest, "shfl.sync.idx"),
            ("shfl.sync.bfly", sum, "shfl.sync.idx"),
            // exp of a score: the soft cap has eight before.
            ("ex2.approx.ftz", 11, "rcp.approx.ftz"),
            // A product of Q and K and one of P and V that are not made.
            ("mma.sync", 0, "//"),
            ("mma.sync", values, "//"),
        ] {
            let edit = move |text: String| {
                change(&text, kernel, pattern, n, |line| line.replace(pattern, to))
            };
            let result = run(module, math, edit);
            let caught = !matches!(result, Ok(worst) if worst <= bound);
            assert!(caught, "{kernel}: {pattern} {n}: {result:?}");
        }
    }
}

#[test]
fn a_slot_that_is_not_skipped_is_caught() {
    let edit = |text: String| {
        change(&text, "append_kv", "setp.lt.s64", 0, |line| {
            line.replace("setp.lt.s64", "setp.gt.s64")
        })
    };
    let result = run("append", AttnMath::Default, edit);
    assert!(!matches!(result, Ok(worst) if worst <= 2e-3), "{result:?}");
}
