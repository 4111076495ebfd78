//! Accesses of shared memory that nothing orders, and those that something does.

use super::*;

const SLOT: &str = "mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 4, %r6;";

#[test]
fn a_missing_barrier_is_found_with_both_threads() {
    let text = body(&format!(
        "{SLOT} st.shared.u32 [%r5], %r0;\nbar.sync 0;\n
        sub.u32 %r2, 63, %r0; mad.lo.u32 %r5, %r2, 4, %r6;\nld.shared.u32 %r1, [%r5];\n"
    ));
    assert_eq!(Case::new(&text, 64).words()[0], 63);
    // Warp 0 runs first, and its read finds memory that nobody has written yet.
    let broken = text.replace("bar.sync 0;", "");
    let fault = Case::new(&broken, 64).faults(FaultKind::SharedRace, "ld.shared");
    assert!(fault.detail.contains("warp 1 lane 0 wrote it later"), "{fault}");
    let unwritten = broken.replace("st.shared.u32 [%r5], %r0;", "");
    Case::new(&unwritten, 64).faults(FaultKind::UninitializedMemory, "ld.shared");
    let broken = text.replace("bar.sync 0;", "").replace(
        "st.shared.u32 [%r5], %r0;",
        "st.shared.u32 [%r5], 7; bar.sync 0; st.shared.u32 [%r5], %r0;",
    );
    let fault = Case::new(&broken, 64).fault();
    assert_eq!(fault.kind, FaultKind::SharedRace, "{fault}");
}

#[test]
fn write_after_read_needs_a_barrier_too() {
    let text = body(&format!(
        "{SLOT} st.shared.u32 [%r5], %r0; bar.sync 0;
        sub.u32 %r2, 63, %r0; mad.lo.u32 %r7, %r2, 4, %r6; ld.shared.u32 %r1, [%r7];
        bar.sync 0;\nst.shared.u32 [%r5], 5;"
    ));
    assert_eq!(Case::new(&text, 64).words()[0], 63);
    let broken = text.replace("bar.sync 0;\nst", "\nst");
    // Warp 0 has written before warp 1 reads.
    Case::new(&broken, 64).faults(FaultKind::SharedRace, "ld.shared");
    let late = broken
        .replace("ld.shared.u32 %r1, [%r7];", "ld.shared.u32 %r1, [%r7];setp.lt.u32 %p0, %r0, 32;")
        .replace("\nst.shared", "\n@!%p0 st.shared");
    let fault = Case::new(&late, 64).faults(FaultKind::SharedRace, "st.shared");
    assert!(fault.detail.contains("read it"), "{fault}");
}

#[test]
fn lanes_need_a_warp_barrier_even_around_a_shuffle() {
    // Shuffles do not order memory (CUDA C++ Programming Guide, "Warp Shuffle Functions").
    let text = body(&format!(
        "{SLOT} st.shared.u32 [%r5], %r0;
        shfl.sync.bfly.b32 %r3, %r0, 1, 31, 0xffffffff;
        bar.warp.sync 0xffffffff;
        sub.u32 %r2, 31, %r0; mad.lo.u32 %r7, %r2, 4, %r6;\nld.shared.u32 %r1, [%r7];"
    ));
    assert_eq!(Case::new(&text, 32).words()[0], 31);
    let broken = text.replace("bar.warp.sync 0xffffffff;", "");
    let fault = Case::new(&broken, 32).faults(FaultKind::WarpRace, "ld.shared");
    assert!(fault.detail.contains("warp 0 lane 31"), "{fault}");
}

#[test]
fn one_store_with_two_values_is_a_race_with_one_value_it_is_not() {
    let text = body("mov.u32 %r1, 0;\nst.shared.u32 [sh], %r0;");
    Case::new(&text, 32).faults(FaultKind::WarpRace, "st.shared");
    let text = body("mov.u32 %r1, 0;\nst.shared.u32 [sh], 5;");
    Case::new(&text, 64).words();
}

#[test]
fn neighbouring_bytes_are_apart() {
    let text = body(
        "mov.u32 %r6, sh; add.u32 %r5, %r0, %r6; st.shared.u8 [%r5], %r0;
        bar.sync 0;
        and.b32 %r2, %r0, 60; add.u32 %r5, %r2, %r6; ld.shared.u32 %r1, [%r5];",
    );
    assert_eq!(Case::new(&text, 64).words()[5], 0x0706_0504);
    // Each warp reads what it wrote itself.
    Case::new(&text.replace("bar.sync 0;", "bar.warp.sync 0xffffffff;"), 64).words();
    let broken = text.replace("bar.sync 0;", "");
    Case::new(&broken, 64).faults(FaultKind::WarpRace, "ld.shared");
}

#[test]
fn volatile_flags_hand_over() {
    // Warp 1 spins until warp 0 has set a flag; the value behind it is then in order.
    let text = body(
        "mov.u32 %r1, 0; setp.eq.u32 %p0, %r0, 0; @%p0 st.shared.u32 [sh+4], 0;
        bar.sync 0;
        setp.ge.u32 %p0, %r0, 32; @%p0 bra WAIT;
        setp.ne.u32 %p1, %r0, 0; @%p1 bra E;
        st.shared.u32 [sh], 42; membar.cta; st.volatile.shared.u32 [sh+4], 1;
        bra E;
        WAIT: ld.volatile.shared.u32 %r2, [sh+4]; setp.eq.u32 %p1, %r2, 0; @%p1 bra WAIT;
        membar.cta;
        ld.shared.u32 %r1, [sh];
        E:",
    );
    assert_eq!(Case::new(&text, 64).words()[63], 42);
    // Also if the waiting warp has its turn first.
    let swapped = text.replace("setp.ge.u32 %p0, %r0, 32; @%p0", "setp.lt.u32 %p0, %r0, 32; @%p0");
    let swapped = swapped.replace("setp.ne.u32 %p1, %r0, 0;", "setp.ne.u32 %p1, %r0, 32;");
    assert_eq!(Case::new(&swapped, 64).words()[0], 42);
}

#[test]
fn atomics_count_without_a_race() {
    let text = body(
        "setp.eq.u32 %p0, %r0, 0; @%p0 st.shared.u32 [sh], 0;
        bar.sync 0;
        atom.shared.add.u32 %r2, [sh], 1;
        bar.sync 0;
        ld.shared.u32 %r1, [sh];",
    );
    assert!(Case::new(&text, 128).words()[..128].iter().all(|&w| w == 128));
    let broken = text.replace("[sh], 1;\n        bar.sync 0;", "[sh], 1;");
    Case::new(&broken, 128).faults(FaultKind::WarpRace, "ld.shared");
}

#[test]
fn checks_that_are_off_do_not_alarm() {
    let text = body("mov.u32 %r1, 0;\nst.shared.u32 [sh], %r0;");
    let mut case = Case::new(&text, 64);
    case.config.checks.races = false;
    case.words();
}
