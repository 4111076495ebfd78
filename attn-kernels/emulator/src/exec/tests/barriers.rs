//! CTA barriers and mbarriers.

use super::*;

#[test]
fn reducing_barriers_give_all_the_result() {
    let text = body(
        "setp.lt.u32 %p0, %r0, 50;
        barrier.cta.red.popc.aligned.u32 %r1, 0, %p0;
        barrier.cta.red.and.aligned.pred %p1, 0, %p0;
        barrier.cta.red.or.aligned.pred %p2, 0, %p0;
        @%p1 add.u32 %r1, %r1, 1000;
        @%p2 add.u32 %r1, %r1, 100;",
    );
    assert!(Case::new(&text, 96).words()[..96].iter().all(|&w| w == 150));
}

#[test]
fn named_barriers_order_producers_and_consumers() {
    // Warp 0 produces in two rounds, warp 1 consumes.
    let text = body(
        "mov.u32 %r1, 0; setp.ge.u32 %p0, %r0, 32; mov.u32 %r6, sh;
        and.b32 %r5, %r0, 31; mad.lo.u32 %r5, %r5, 4, %r6;
        @%p0 bra CONSUME;
        add.u32 %r2, %r0, 100; st.shared.u32 [%r5], %r2; bar.arrive 1, 64;
        bar.sync 2, 64;
        add.u32 %r2, %r0, 200; st.shared.u32 [%r5], %r2; bar.arrive 1, 64;
        bra E;
        CONSUME:
        bar.sync 1, 64; sub.u32 %r7, 31, %r0; ld.shared.u32 %r1, [%r5]; bar.arrive 2, 64;
        bar.sync 1, 64; ld.shared.u32 %r2, [%r5]; add.u32 %r1, %r1, %r2;
        E:",
    );
    let words = Case::new(&text, 64).words();
    assert!((32..64).all(|t| words[t] == 300 + 2 * (t as u32 - 32)));
    // Without the arrival on barrier 2 there is no order before the second round.
    let broken = text.replace("bar.sync 2, 64;", "").replace("bar.arrive 2, 64;", "");
    // The producer completes barrier 1 by itself, and the consumer waits for ever.
    Case::new(&broken, 64).faults(FaultKind::DivergentBarrier, "bar.sync 1");
}

#[test]
fn a_barrier_in_half_a_warp_is_divergent() {
    let text = body(
        "mov.u32 %r1, 0; and.b32 %r2, %r0, 1; setp.eq.u32 %p0, %r2, 0; @%p0 bra A;
        bar.sync 0;
        bra E;
        A: add.u32 %r1, %r1, 1;
        bar.sync 0;
        E:",
    );
    Case::new(&text, 32).faults(FaultKind::DivergentBarrier, "bar.sync");
}

#[test]
fn a_barrier_that_some_warps_never_reach_is_divergent() {
    let text = body("mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 32;\n@!%p0 bar.sync 1;\nbar.sync 0;\n");
    let fault = Case::new(&text, 96).faults(FaultKind::DivergentBarrier, "bar.sync 0");
    assert!(fault.detail.contains("96 threads, 32 came; 0"), "{fault}");
    // A count does not shrink when threads exit.
    let text = body("mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 32;\n@%p0 bar.sync 0, 64;\n");
    let fault = Case::new(&text, 96).faults(FaultKind::DivergentBarrier, "bar.sync");
    assert!(fault.detail.contains("64 threads, 32 came; 64"), "{fault}");
}

/// Threads that exit release a barrier of all threads that they alone hold up (PTX ISA, "exit"; CUDA
/// C++ Programming Guide, "Independent Thread Scheduling": all non-exited threads).
#[test]
fn exited_threads_are_not_waited_for() {
    let text = body("mov.u32 %r1, 7; setp.lt.u32 %p0, %r0, 32;\n@%p0 bar.sync 0;\n");
    assert_eq!(Case::new(&text, 96).words()[..96], [7; 96]);
    let text = body("mov.u32 %r1, 7; setp.ge.u32 %p0, %r0, 40;\n@%p0 exit;\nbar.sync 0;\n");
    assert_eq!(Case::new(&text, 64).words()[..40], [7; 40]);
}

#[test]
fn unaligned_barriers_count_threads() {
    let text = body(
        "mov.u32 %r1, 0; and.b32 %r2, %r0, 1; setp.eq.u32 %p0, %r2, 0; @%p0 bra A;
        barrier.sync 0;
        bra E;
        A: add.u32 %r1, %r1, 1;
        barrier.sync 0;
        E:",
    );
    let words = Case::new(&text, 32).words();
    assert_eq!(words[..2], [1, 0]);
}

#[test]
fn bad_barrier_operands_are_refused() {
    let text = body("mov.u32 %r1, 48; bar.sync 1, %r1;");
    Case::new(&text, 64).faults(FaultKind::IllegalBarrier, "bar.sync");
    let text = body("mov.u32 %r1, 16; bar.sync %r1;");
    Case::new(&text, 64).faults(FaultKind::IllegalBarrier, "bar.sync");
}

const INIT: &str =
    "setp.ne.u32 %p0, %r0, 0; @%p0 bra I; mbarrier.init.shared.b64 [sh+512], 64; I: ";

#[test]
fn mbarriers_order_what_comes_before_the_arrival() {
    let text = body(&format!(
        "{INIT} bar.sync 0;
        mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 4, %r6; st.shared.u32 [%r5], %r0;
        mbarrier.arrive.shared.b64 %rd2, [sh+512];
        W: mbarrier.test_wait.shared.b64 %p1, [sh+512], %rd2; @!%p1 bra W;
        sub.u32 %r2, 63, %r0; mad.lo.u32 %r5, %r2, 4, %r6; ld.shared.u32 %r1, [%r5];"
    ));
    let words = Case::new(&text, 64).words();
    assert!((0..64).all(|t| words[t] == 63 - t as u32));
    let broken = text.replace("@!%p1 bra W;", "");
    Case::new(&broken, 64).faults(FaultKind::SharedRace, "ld.shared");
}

#[test]
fn mbarriers_are_checked() {
    let text = body("mov.u32 %r1, 0; mbarrier.arrive.shared.b64 %rd2, [sh+512];");
    Case::new(&text, 32).faults(FaultKind::IllegalMbarrier, "arrive");
    let text = body(&format!("mov.u32 %r1, 0; {INIT}\nmbarrier.arrive.shared.b64 %rd2, [sh+512];"));
    Case::new(&text, 64).faults(FaultKind::SharedRace, "arrive");
    let text = body(&format!(
        "mov.u32 %r1, 0; {INIT} bar.sync 0;\nmbarrier.arrive.shared.b64 %rd2, [sh+512], 40;"
    ));
    Case::new(&text, 64).faults(FaultKind::IllegalMbarrier, "arrive");
}
