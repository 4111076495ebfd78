//! Asynchronous copies.

use super::*;

/// Each thread copies 16 bytes of `out` to shared memory.
const ISSUE: &str = "mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 16, %r6; mul.wide.u32 %rd1, %r0, 16;
    add.s64 %rd2, %rd0, %rd1; add.s64 %rd2, %rd2, 1024;
    mad.lo.u32 %r3, %r0, 4, 1000; st.global.u32 [%rd2], %r3;
    cp.async.ca.shared.global [%r5], [%rd2], 16;
    cp.async.commit_group;\n";

#[test]
fn data_is_there_after_the_wait_and_a_barrier() {
    let text = body(&format!(
        "{ISSUE}cp.async.wait_group 0;\nbar.sync 0;\n
        sub.u32 %r2, 63, %r0; mad.lo.u32 %r5, %r2, 16, %r6;\nld.shared.u32 %r1, [%r5];"
    ));
    let words = Case::new(&text, 64).words();
    assert!((0..64).all(|t| words[t] == 1000 + 4 * (63 - t as u32)));
    let no_wait = text.replace("cp.async.wait_group 0;", "");
    Case::new(&no_wait, 64).faults(FaultKind::ReadBeforeWait, "ld.shared");
    let early = text.replace("wait_group 0", "wait_group 1");
    Case::new(&early, 64).faults(FaultKind::ReadBeforeWait, "ld.shared");
    let no_commit = text.replace("cp.async.commit_group;", "");
    Case::new(&no_commit, 64).faults(FaultKind::ReadBeforeWait, "ld.shared");
    let all = no_commit.replace("wait_group 0", "wait_all");
    Case::new(&all, 64).words();
    let no_barrier = text.replace("bar.sync 0;", "");
    Case::new(&no_barrier, 64).faults(FaultKind::SharedRace, "ld.shared");
}

#[test]
fn a_pipeline_of_two_stages_waits_for_the_older_one() {
    let text = body(
        "mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 16, %r6; mul.wide.u32 %rd1, %r0, 16;
        add.s64 %rd2, %rd0, %rd1; add.s64 %rd2, %rd2, 1024; st.global.u32 [%rd2], 7;
        cp.async.cg.shared.global [%r5], [%rd2], 16; cp.async.commit_group;
        cp.async.cg.shared.global [%r5+512], [%rd2], 16; cp.async.commit_group;
        cp.async.wait_group 1; ld.shared.u32 %r1, [%r5];
        cp.async.wait_group 0; ld.shared.u32 %r2, [%r5+512]; add.u32 %r1, %r1, %r2;",
    );
    assert_eq!(Case::new(&text, 32).words()[31], 14);
    let wrong = text.replace("ld.shared.u32 %r1, [%r5];", "ld.shared.u32 %r1, [%r5+512];");
    Case::new(&wrong, 32).faults(FaultKind::ReadBeforeWait, "ld.shared");
}

#[test]
fn fewer_source_bytes_leave_zeros() {
    let text = body(
        "mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 16, %r6; mul.wide.u32 %rd1, %r0, 16;
        add.s64 %rd2, %rd0, %rd1; st.global.v4.u32 [%rd2], {1, 2, 3, 4};
        setp.lt.u32 %p0, %r0, 8; selp.b32 %r4, 8, 0, %p0;
        cp.async.ca.shared.global [%r5], [%rd2], 16, %r4; cp.async.wait_all;
        ld.shared.v4.u32 {%r7, %r8, %r9, %r10}, [%r5];
        mad.lo.u32 %r1, %r7, 1000, %r8; mad.lo.u32 %r1, %r1, 10, %r9;
        bar.sync 0;",
    );
    let words = Case::new(&text, 32).words();
    assert_eq!((words[7], words[8]), (10020, 0));
}

#[test]
fn the_source_and_the_destination_are_checked() {
    let text = body("mov.u32 %r1, 0; cp.async.ca.shared.global [sh], [%rd0+4096], 16;");
    let fault = Case::new(&text, 1).faults(FaultKind::OutOfBounds, "cp.async");
    assert_eq!(fault.allocation.unwrap().offset, 4096);
    let text = body("mov.u32 %r1, 0; cp.async.ca.shared.global [sh+8], [%rd0], 16;");
    Case::new(&text, 1).faults(FaultKind::Misaligned, "cp.async");
}

const BULK: &str = "setp.ne.u32 %p0, %r0, 0; @%p0 bra I;
    mbarrier.init.shared.b64 [sh+512], 1;
    I: bar.sync 0; @%p0 bra W;
    st.global.v4.u32 [%rd0+2048], {5, 6, 7, 8}; st.global.v4.u32 [%rd0+2064], {9, 10, 11, 12};
    mbarrier.arrive.expect_tx.shared.b64 %rd3, [sh+512], 32;
    cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [sh], [%rd0+2048], 32, [sh+512];
    W: mbarrier.try_wait.parity.shared.b64 %p1, [sh+512], 0;\n@!%p1 bra W;
    and.b32 %r2, %r0, 7; mov.u32 %r6, sh; mad.lo.u32 %r5, %r2, 4, %r6;\nld.shared.u32 %r1, [%r5];";

#[test]
fn bulk_copies_complete_on_their_mbarrier() {
    let text = body(BULK);
    let words = Case::new(&text, 64).words();
    assert!((0..64).all(|t| words[t] == 5 + t as u32 % 8));
    let broken = text.replace("@!%p1 bra W;", "");
    Case::new(&broken, 64).faults(FaultKind::ReadBeforeWait, "ld.shared");
    let short = text.replace("[sh+512], 32;", "[sh+512], 48;");
    Case::new(&short, 64).faults(FaultKind::InstructionBudget, "");
}

#[test]
fn copies_arrive_on_mbarriers() {
    let text = body(
        "setp.ne.u32 %p0, %r0, 0; @%p0 bra I; mbarrier.init.shared.b64 [sh+512], 32; I: bar.sync 0;
        mov.u32 %r6, sh; mad.lo.u32 %r5, %r0, 16, %r6; mul.wide.u32 %rd1, %r0, 16;
        add.s64 %rd2, %rd0, %rd1; st.global.u32 [%rd2], %r0;
        cp.async.ca.shared.global [%r5], [%rd2], 16;
        cp.async.mbarrier.arrive.noinc.shared.b64 [sh+512];
        W: mbarrier.try_wait.parity.shared.b64 %p1, [sh+512], 0;\n@!%p1 bra W;
        sub.u32 %r2, 31, %r0; mad.lo.u32 %r5, %r2, 16, %r6;\nld.shared.u32 %r1, [%r5]; bar.sync 0;",
    );
    let words = Case::new(&text, 32).words();
    assert!((0..32).all(|t| words[t] == 31 - t as u32));
    let broken = text.replace("@!%p1 bra W;", "");
    Case::new(&broken, 32).faults(FaultKind::ReadBeforeWait, "ld.shared");
}
