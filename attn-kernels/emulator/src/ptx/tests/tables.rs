//! Tables of accepted and refused instructions, made by asking ptxas for each.

use super::{FIRST, load, with_body, with_target};
use crate::ptx::PtxError;

fn rows(table: &str) -> impl Iterator<Item = &str> {
    table.lines().filter(|line| !line.starts_with("# ") && !line.is_empty())
}

#[test]
fn takes_what_ptxas_assembles() {
    let mut count = 0;
    for line in rows(include_str!("accepted.txt")) {
        if let Err(error) = load(&with_body(line)) {
            panic!("{line}: {error}");
        }
        count += 1;
    }
    assert!(count > 450, "{count}");
}

#[test]
fn refuses_with_the_line_and_the_reason() {
    let mut count = 0;
    for row in rows(include_str!("refused.txt")) {
        let (line, message) = row.split_once(" # ").expect(row);
        let shift = count % 7;
        let text = with_body(&format!("{}{line}", "\n".repeat(shift as usize)));
        let Err(error) = load(&text) else { panic!("accepted: {line}") };
        let found = error.to_string();
        // Names declared twice and labels that stand nowhere are reported where they stand.
        let at = format!("kernel.ptx:{}: ", FIRST + shift);
        let last = format!("kernel.ptx:{}: ", FIRST + shift + 1);
        let rest = found.strip_prefix(&at).or(found.strip_prefix(&last));
        let rest = rest.unwrap_or_else(|| panic!("{line}: {found}"));
        assert!(rest.starts_with(message), "{line}: {rest}, not {message}");
        assert!(error.place().column >= 1 && !error.place().text.is_empty(), "{found}");
        count += 1;
    }
    assert!(count > 250, "{count}");
}

#[test]
fn refuses_what_is_newer_than_the_target_or_the_version() {
    // Instruction; the oldest (version, target) that has it; one that has not; what is said.
    let rows = [
        ("cvt.rn.f16x2.e4m3x2 %r1, %rs1;", ("8.1", "sm_89"), ("8.8", "sm_80"), "sm_89"),
        ("cvt.rn.f16x2.e4m3x2 %r1, %rs1;", ("7.8", "sm_90"), ("7.8", "sm_89"), "PTX 8.1"),
        (
            "cvt.rn.satfinite.e4m3x2.f32 %rs1, %f1, %f2;",
            ("8.1", "sm_89"),
            ("8.1", "sm_86"),
            "sm_89",
        ),
        ("cvt.rn.bf16.f32 %rs1, %f1;", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        ("cvt.f32.bf16 %f1, %rs1;", ("7.1", "sm_80"), ("7.0", "sm_80"), "PTX 7.1"),
        ("cvt.rm.ftz.bf16.f32 %rs1, %f1;", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        ("cvt.rn.f32.bf16 %f1, %rs1;", ("7.1", "sm_80"), ("7.0", "sm_80"), "PTX 7.1"),
        ("cvt.rn.ftz.f32.bf16 %f1, %rs1;", ("7.8", "sm_90"), ("7.8", "sm_89"), "sm_90"),
        ("cvt.bf16.f16 %rs1, %rs2;", ("7.8", "sm_90"), ("7.8", "sm_89"), "sm_90"),
        (
            "cvt.rs.bf16x2.f32 %r1, %f1, %f2, %r3;",
            ("8.7", "sm_100a"),
            ("8.6", "sm_100a"),
            "PTX 8.7",
        ),
        ("cvt.rs.bf16x2.f32 %r1, %f1, %f2, %r3;", ("8.7", "sm_100a"), ("8.7", "sm_100"), "sm_100a"),
        ("fma.rn.bf16x2 %r1, %r2, %r3, %r4;", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        ("add.bf16 %rs1, %rs2, %rs3;", ("7.8", "sm_90"), ("8.1", "sm_89"), "sm_90"),
        ("cp.async.wait_all;", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        ("redux.sync.add.s32 %r1, %r2, -1;", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        ("elect.sync _|%p1, -1;", ("8.0", "sm_90"), ("8.1", "sm_89"), "sm_90"),
        (
            "stmatrix.sync.aligned.m8n8.x1.shared.b16 [%r1], {%r2};",
            ("7.8", "sm_90"),
            ("8.1", "sm_89"),
            "sm_90",
        ),
        (
            "ldmatrix.sync.aligned.m16n16.x2.trans.shared.b8 {%r1,%r2,%r3,%r4}, [%r5];",
            ("8.6", "sm_100a"),
            ("8.6", "sm_100"),
            "sm_100a",
        ),
        (
            "ldmatrix.sync.aligned.m8n16.x4.b8x16.b4x16_p64 {%r1,%r2,%r3,%r4}, [%rd5];",
            ("8.7", "sm_120a"),
            ("8.7", "sm_120"),
            "sm_120a",
        ),
        (
            "stmatrix.sync.aligned.m16n8.x4.trans.shared::cta.b8 [%r5], {%r1,%r2,%r3,%r4};",
            ("8.6", "sm_100a"),
            ("8.6", "sm_90a"),
            "sm_100",
        ),
        ("mbarrier.inval.shared.b64 [sh];", ("7.0", "sm_80"), ("7.0", "sm_75"), "sm_80"),
        (
            "mbarrier.try_wait.shared.b64 %p1, [sh], %rd1;",
            ("7.8", "sm_90"),
            ("8.1", "sm_89"),
            "sm_90",
        ),
        ("cp.async.bulk.commit_group;", ("8.0", "sm_90"), ("7.8", "sm_90"), "PTX 8.0"),
        ("setmaxnreg.inc.sync.aligned.u32 240;", ("8.0", "sm_90a"), ("8.0", "sm_90"), "sm_90a"),
        ("min.relu.s32 %r1, %r2, %r3;", ("8.0", "sm_90"), ("8.1", "sm_89"), "sm_90"),
        ("max.f32 %f1, %f2, %f3, %f4;", ("8.8", "sm_100"), ("8.8", "sm_90"), "sm_100"),
        ("min.xorsign.abs.f32 %f1, %f2, %f3;", ("7.2", "sm_86"), ("7.2", "sm_80"), "sm_86"),
        ("tanh.approx.bf16 %rs1, %rs2;", ("7.8", "sm_90"), ("8.1", "sm_89"), "sm_90"),
        ("mov.u32 %r1, %cluster_ctarank;", ("7.8", "sm_90"), ("8.1", "sm_89"), "sm_90"),
        ("ld.shared::cta.u32 %r1, [%r2];", ("7.8", "sm_80"), ("7.7", "sm_80"), "PTX 7.8"),
    ];
    for (line, (version, target), (old_version, old_target), needs) in rows {
        if let Err(error) = load(&with_target(version, target, line)) {
            panic!("{line} for {target}, PTX {version}: {error}");
        }
        match load(&with_target(old_version, old_target, line)) {
            Err(PtxError::TooNew { at, needs: found, .. }) => {
                assert_eq!((found.as_str(), at.line), (needs, FIRST), "{line}");
            }
            other => panic!("{line} for {old_target}, PTX {old_version}: {other:?}"),
        }
    }
}

/// `.rs` is of `sm_100a` and `sm_103a` alone, not of what came later.
#[test]
fn stochastic_rounding_needs_its_target() {
    let line = "cvt.rs.bf16x2.f32 %r1, %f1, %f2, %r3;";
    for target in ["sm_100a", "sm_103a"] {
        assert!(load(&with_target("8.8", target, line)).is_ok(), "{target}");
    }
    for target in ["sm_101a", "sm_120a"] {
        let error = load(&with_target("8.8", target, line)).expect_err(target).to_string();
        assert!(error.contains("only on sm_100a and sm_103a"), "{error}");
    }
}

#[test]
fn matrix_products_need_their_target() {
    let half = "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1,%f2,%f3,%f4}, \
                {%r1,%r2,%r3,%r4}, {%r5,%r6}, {%f1,%f2,%f3,%f4};";
    let fp8 = half.replace("k16.", "k32.").replace("f16.f16", "e4m3.e5m2");
    assert!(load(&with_target("7.0", "sm_80", half)).is_ok());
    assert!(load(&with_target("7.0", "sm_75", half)).is_err());
    assert!(load(&with_target("8.4", "sm_89", &fp8)).is_ok());
    for (version, target) in [("8.4", "sm_86"), ("8.3", "sm_89")] {
        let error = load(&with_target(version, target, &fp8)).unwrap_err();
        assert!(matches!(error, PtxError::TooNew { .. }), "{error}");
    }
}
