//! Instructions that lanes execute together.

use super::*;

#[test]
fn a_butterfly_sums_the_warp() {
    let step = |n: u32| {
        format!("shfl.sync.bfly.b32 %r2, %r1, {n}, 31, 0xffffffff; add.u32 %r1, %r1, %r2;\n")
    };
    let text = [16, 8, 4, 2, 1].map(step).concat();
    let text = body(&format!("mov.u32 %r1, %r0;\n{text}"));
    assert!(Case::new(&text, 32).words()[..32].iter().all(|&w| w == 496));
}

#[test]
fn groups_with_different_masks_are_apart() {
    let text = body(
        "setp.lt.u32 %p0, %r0, 16; selp.b32 %r3, 0xffff, 0xffff0000, %p0;
        redux.sync.add.u32 %r1, %r0, %r3;",
    );
    let words = Case::new(&text, 32).words();
    assert_eq!((words[3], words[20]), (120, 376));
}

#[test]
fn lanes_of_two_branches_meet_at_a_warp_barrier() {
    // CUDA allows `__syncwarp` at different places.
    let text = body(
        "setp.lt.u32 %p0, %r0, 16; mul.lo.u32 %r5, %r0, 4; mov.u32 %r6, sh; add.u32 %r5, %r5, %r6;
        st.shared.u32 [%r5], %r0;
        @%p0 bra LOW;
        bar.warp.sync 0xffffffff; ld.shared.u32 %r1, [%r5+-64]; bra E;
        LOW: bar.warp.sync 0xffffffff; ld.shared.u32 %r1, [%r5+64];
        E:",
    );
    let words = Case::new(&text, 32).words();
    assert_eq!((words[0], words[31]), (16, 15));
}

#[test]
fn illegal_masks_are_named() {
    let text = body("shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0x0000fffe;");
    let fault = Case::new(&text, 16).faults(FaultKind::IllegalWarpMask, "shfl");
    assert_eq!(fault.lane, 0);
    let text = body(
        "setp.lt.u32 %p0, %r0, 8; selp.b32 %r3, 0xff, 0xffff, %p0;
        shfl.sync.bfly.b32 %r1, %r0, 1, 31, %r3;",
    );
    Case::new(&text, 16).faults(FaultKind::IllegalWarpMask, "shfl");
}

#[test]
fn a_mask_that_names_lanes_elsewhere_never_completes() {
    let text = body(
        "mov.u32 %r1, 0; setp.lt.u32 %p0, %r0, 8; @!%p0 bra E;
        shfl.sync.bfly.b32 %r1, %r0, 1, 31, 0xffffffff;
        bra F;
        E: vote.sync.ballot.b32 %r1, 1, 0xffffffff;
        F:",
    );
    let fault = Case::new(&text, 32).fault();
    assert_eq!(fault.kind, FaultKind::WarpDeadlock, "{fault}");
}

#[test]
fn a_partial_warp_cannot_multiply_matrices() {
    let text = body("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r1}, [sh];");
    Case::new(&text, 16).faults(FaultKind::IllegalWarpMask, "ldmatrix");
}

#[test]
fn what_a_lane_does_not_use_need_not_be_written() {
    // Lanes 8.. never write %r4; the broadcast reads lane 0 only.
    let text = body(
        "setp.lt.u32 %p0, %r0, 8; @%p0 mov.u32 %r4, 77;
        shfl.sync.idx.b32 %r1, %r4, 0, 31, 0xffffffff;",
    );
    assert_eq!(Case::new(&text, 32).words()[31], 77);
    let text = body(
        "setp.lt.u32 %p0, %r0, 8; @%p0 mov.u32 %r4, 77;
        shfl.sync.idx.b32 %r1, %r4, 9, 31, 0xffffffff;",
    );
    Case::new(&text, 32).faults(FaultKind::UninitializedRegister, "st.global");
}
