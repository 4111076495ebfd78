//! Asynchronous copies read too early, waits that wait for too little, bulk copies and their barriers.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

/// Thread `me` copies its word to its cell. `%r1` is the cell, `%r2` the neighbour's.
const COPY: &str = ".shared .align 16 .b8 cells[512];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                    xor.b32 %r2, %me, 1;\nmad.lo.u32 %r2, %r2, 4, %r0;\n\
                    cp.async.ca.shared.global [%r1], [%src], 4;\n";

#[test]
fn read_before_the_wait() {
    let body = format!(
        "{COPY}cp.async.commit_group;\n@@\nld.shared.u32 %r3, [%r1]; //!\nst.global.u32 [%dst], %r3;\n\
         cp.async.wait_all;"
    );
    Seeded::new(32, &body, "", "cp.async.wait_group 0;").caught(FaultKind::ReadBeforeWait, 0, 0);
}

/// Two groups are in flight; the second is read when only the first is done.
#[test]
fn wait_for_too_few_groups() {
    let body = format!(
        "{COPY}cp.async.commit_group;\ncp.async.ca.shared.global [%r1+256], [%src], 4;\n\
         cp.async.commit_group;\ncp.async.wait_group @@\nld.shared.u32 %r3, [%r1+256]; //!\n\
         st.global.u32 [%dst], %r3;\ncp.async.wait_all;"
    );
    Seeded::new(32, &body, "1;", "0;").caught(FaultKind::ReadBeforeWait, 0, 0);
}

/// A copy behind the last commit belongs to no group that `wait_group` could wait for.
#[test]
fn wait_without_a_commit() {
    let body = format!(
        "{COPY}@@\ncp.async.wait_group 0;\nld.shared.u32 %r3, [%r1]; //!\nst.global.u32 [%dst], %r3;\n\
         cp.async.wait_all;"
    );
    Seeded::new(32, &body, "", "cp.async.commit_group;").caught(FaultKind::ReadBeforeWait, 0, 0);
}

/// Writing to the destination of a copy in flight.
#[test]
fn write_before_the_wait() {
    let body = format!(
        "{COPY}cp.async.commit_group;\n@@\nst.shared.u32 [%r1], 5; //!\ncp.async.wait_all;\n\
         ld.shared.u32 %r3, [%r1];\nst.global.u32 [%dst], %r3;"
    );
    Seeded::new(32, &body, "", "cp.async.wait_group 0;").caught(FaultKind::ReadBeforeWait, 0, 0);
}

/// Each thread waited for its own copies; the neighbour's are another matter.
#[test]
fn neighbours_copy_without_a_barrier() {
    let body = format!(
        "{COPY}cp.async.wait_all;\n@@\nld.shared.u32 %r3, [%r2]; //!\nst.global.u32 [%dst], %r3;"
    );
    Seeded::new(32, &body, "", "bar.warp.sync -1;").caught(FaultKind::WarpRace, 0, 0);
}

/// The neighbour is in another warp.
#[test]
fn other_warps_copy_without_a_barrier() {
    let body = format!(
        "{COPY}cp.async.wait_all;\n@@\nsetp.eq.u32 %p0, %me, 33;\n@%p0 ld.shared.u32 %r3, [%r0]; //!\n\
         @%p0 st.global.u32 [%dst], %r3;"
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 33);
}

/// The stage that is read next is overwritten too early: no barrier between the round's reads and the
/// next copy into the same place. Warp 0 is ahead, so it is warp 1's read that comes too late.
#[test]
fn stage_reused_too_early() {
    let body = format!(
        "{COPY}cp.async.wait_all;\nbar.sync 0;\nxor.b32 %r4, %me, 32;\nmad.lo.u32 %r4, %r4, 4, %r0;\n\
         ld.shared.u32 %r3, [%r4]; //!\n@@\ncp.async.ca.shared.global [%r1], [%src], 4;\n\
         cp.async.wait_all;\nst.global.u32 [%dst], %r3;"
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 32);
}

#[test]
fn misaligned_copy() {
    let body = ".shared .align 16 .b8 cells[64];\nmov.u32 %r0, cells;\n\
                cp.async.cg.shared.global [%r0], [%in+@@\ncp.async.wait_all;";
    Seeded::new(1, body, "8], 16; //!", "16], 16;").caught(FaultKind::Misaligned, 0, 0);
}

#[test]
fn copy_from_outside() {
    let body = ".shared .align 16 .b8 cells[64];\nmov.u32 %r0, cells;\nmov.u32 %r1, @@\n\
                cp.async.cg.shared.global [%r0], [%in+256], 16, %r1; //!\ncp.async.wait_all;";
    Seeded::new(1, body, "16;", "0;").caught(FaultKind::OutOfBounds, 0, 0);
}

/// An mbarrier for one arrival, a bulk copy of 128 bytes into `%r1`.
const BULK: &str = ".shared .align 8 .b8 bar[8];\n.shared .align 128 .b8 tile[256];\nmov.u32 %r0, bar;\n\
                    mov.u32 %r1, tile;\nsetp.eq.u32 %p0, %me, 0;\n@%p0 mbarrier.init.shared.b64 [%r0], 1;\n\
                    fence.proxy.async.shared::cta;\nbar.sync 0;\n";

#[test]
fn bulk_copy_read_before_its_barrier() {
    let body = format!(
        "{BULK}@!%p0 bra GO;\nmbarrier.arrive.expect_tx.shared::cta.b64 _, [%r0], 128;\n\
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%in], 128, [%r0];\n\
         GO:\n@@\nmad.lo.u32 %r2, %me, 4, %r1;\nld.shared.u32 %r3, [%r2]; //!\nst.global.u32 [%dst], %r3;\n\
         END:\nmbarrier.try_wait.parity.shared::cta.b64 %p2, [%r0], 0;\n@!%p2 bra END;"
    );
    let wait = "WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r0], 0;\n@!%p1 bra WAIT;";
    Seeded::new(32, &body, "", wait).caught(FaultKind::ReadBeforeWait, 0, 0);
}

/// The barrier expects more bytes than come: the wait never ends.
#[test]
fn bulk_copy_of_fewer_bytes_than_expected() {
    let body = format!(
        "{BULK}@!%p0 bra GO;\nmbarrier.arrive.expect_tx.shared::cta.b64 _, [%r0], @@\n\
         cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%r1], [%in], 128, [%r0];\n\
         GO:\nWAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p1, [%r0], 0;\n@!%p1 bra WAIT;"
    );
    let seeded = Seeded::new(32, &body, "256;", "128;");
    let kind = seeded.kind();
    assert!(matches!(kind, FaultKind::InstructionBudget | FaultKind::IllegalMbarrier), "{kind:?}");
}
