//! Masks of `.sync` instructions.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

/// The executing thread must be in its own mask.
#[test]
fn shuffle_without_itself() {
    let body = "shfl.sync.bfly.b32 %r0, %me, 1, 0x1f, @@\nst.global.u32 [%dst], %r0;";
    let found =
        Seeded::new(32, body, "0xfffffff7; //!", "-1;").caught(FaultKind::IllegalWarpMask, 0, 3);
    assert!(found.detail.contains("fffffff7"), "{found}");
}

/// Half of the warp asks for the other half, which waits elsewhere.
#[test]
fn shuffle_for_threads_that_never_come() {
    let body = "setp.lt.u32 %p0, %me, 16;\n@!%p0 bra HIGH;\n\
                shfl.sync.idx.b32 %r0, %me, 0, 0x1f, @@\nbra END;\nHIGH:\n\
                vote.sync.ballot.b32 %r0, %p0, 0xffff0000;\nbar.warp.sync -1;\nbra OUT;\nEND:\n\
                bar.warp.sync -1;\nOUT:\nst.global.u32 [%dst], %r0;";
    Seeded::new(32, body, "-1; //!", "0xffff;").caught(FaultKind::WarpDeadlock, 0, 0);
}

#[test]
fn masks_that_differ() {
    let body = "setp.lt.u32 %p0, %me, 16;\nmov.u32 %r1, -1;\n@%p0 mov.u32 %r1, @@\n\
                vote.sync.ballot.b32 %r0, %p0, %r1; //!\nst.global.u32 [%dst], %r0;";
    Seeded::new(32, body, "0xffff;", "-1;").caught_by(FaultKind::IllegalWarpMask);
}

#[test]
fn warp_barrier_without_itself() {
    let body = "mov.u32 %r0, @@\nbar.warp.sync %r0; //!";
    Seeded::new(64, body, "0x7fffffff;", "-1;").caught(FaultKind::IllegalWarpMask, 0, 31);
}

/// `mma` wants the whole warp.
#[test]
fn mma_in_a_branch() {
    let body = "mov.u32 %r0, 0;\nsetp.lt.u32 %p0, %me, @@\n@!%p0 bra END;\n\
                mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r4, %r5, %r6, %r7}, {%r0, %r0}, {%r0}, \
                {%r0, %r0, %r0, %r0}; //!\nst.global.u32 [%dst], %r4;\nEND:";
    let seeded = Seeded::new(32, body, "20;", "32;");
    let kind = seeded.kind();
    assert!(matches!(kind, FaultKind::WarpDeadlock | FaultKind::IllegalWarpMask), "{kind:?}");
}
