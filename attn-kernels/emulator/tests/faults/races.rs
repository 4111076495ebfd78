//! Races in shared memory: between warps without a barrier, within a warp without `bar.warp.sync`.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

/// Cells of 64 threads, set to 0 and made visible: `%r1` is the thread's own, `%r2` the one 32 further.
const CELLS: &str = ".shared .align 4 .b8 cells[256];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                     xor.b32 %r2, %me, 32;\nmad.lo.u32 %r2, %r2, 4, %r0;\nst.shared.u32 [%r1], 0;\n\
                     bar.sync 0;\n";

fn cells(body: &str) -> String {
    format!("{CELLS}{body}")
}

/// Written by one warp, read by the other: warp 0 comes first and reads, then warp 1 writes.
#[test]
fn missing_barrier_before_a_read() {
    let body = cells(
        "st.shared.u32 [%r1], %me; //!\n@@\nld.shared.u32 %r3, [%r2];\nst.global.u32 [%dst], %r3;",
    );
    let found = Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 32);
    assert!(found.detail.contains("thread (0,0,0)") || found.detail.contains('0'), "{found}");
}

/// One warp writes, the other reads what it wrote.
#[test]
fn read_after_write() {
    let body = cells(
        "setp.lt.u32 %p0, %me, 32;\n@%p0 st.shared.u32 [%r1], 5;\n@@\n\
         @!%p0 ld.shared.u32 %r3, [%r2]; //!\n@!%p0 st.global.u32 [%dst], %r3;",
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 32);
}

#[test]
fn write_after_write() {
    let body = cells(
        "setp.eq.u32 %p0, %me, 3;\n@%p0 st.shared.u32 [%r1], 5;\n@@\nsetp.eq.u32 %p1, %me, 35;\n\
         @%p1 st.shared.u32 [%r2], 6; //!",
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 35);
}

/// A loop that reuses its buffer needs a barrier at its end too: warp 0 is in the next
/// round already when warp 1 reads.
#[test]
fn missing_barrier_at_the_end_of_a_round() {
    let body = cells(
        "mov.u32 %r5, 0;\nLOOP:\nst.shared.u32 [%r1], %r5;\nbar.sync 0;\nld.shared.u32 %r3, [%r2]; //!\n\
         @@\nadd.u32 %r5, %r5, 1;\nsetp.lt.u32 %p0, %r5, 3;\n@%p0 bra LOOP;\nst.global.u32 [%dst], %r3;",
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 32);
}

/// A named barrier orders those that take part in it only.
#[test]
fn barrier_of_others() {
    let body = cells(
        "setp.eq.u32 %p1, %me, 3;\n@%p1 st.shared.u32 [%r1], 1;\nshr.u32 %r4, %me, 5;\nadd.u32 %r4, %r4, 1;\n\
         @@\nsetp.eq.u32 %p0, %me, 35;\n@%p0 ld.shared.u32 %r3, [%r2]; //!\n@%p0 st.global.u32 [%dst], %r3;",
    );
    Seeded::new(64, &body, "bar.sync %r4, 32;", "bar.sync 1, 64;").caught(
        FaultKind::SharedRace,
        0,
        35,
    );
}

/// Atomics do not race with each other, but with a plain access.
#[test]
fn atomic_and_plain() {
    let body = cells(
        "setp.lt.u32 %p1, %me, 32;\n@%p1 red.shared.add.u32 [cells], 1;\n@@\nsetp.eq.u32 %p0, %me, 40;\n\
         @%p0 ld.shared.u32 %r3, [cells]; //!\n@%p0 st.global.u32 [%dst], %r3;",
    );
    Seeded::new(64, &body, "", "bar.sync 0;").caught(FaultKind::SharedRace, 0, 40);
}

/// Two threads of one warp, a store and a later load: only `bar.warp.sync` orders them.
#[test]
fn missing_warp_barrier() {
    let body = ".shared .align 4 .b8 cells[256];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                xor.b32 %r2, %me, 1;\nmad.lo.u32 %r2, %r2, 4, %r0;\nst.shared.u32 [%r1], %me;\n@@\n\
                ld.shared.u32 %r3, [%r2]; //!\nst.global.u32 [%dst], %r3;";
    Seeded::new(64, body, "", "bar.warp.sync -1;").caught(FaultKind::WarpRace, 0, 0);
}

/// The same with a load before a store of another lane.
#[test]
fn missing_warp_barrier_after_a_read() {
    let body = cells(
        "xor.b32 %r4, %me, 1;\nmad.lo.u32 %r4, %r4, 4, %r0;\nld.shared.u32 %r3, [%r4];\n@@\n\
         st.shared.u32 [%r1], 9; //!\nst.global.u32 [%dst], %r3;",
    );
    Seeded::new(32, &body, "", "bar.warp.sync -1;").caught(FaultKind::WarpRace, 0, 0);
}

/// Two lanes of one store, unlike values, one address. The same value from all is no fault.
#[test]
fn two_values_at_one_address() {
    let body = ".shared .align 4 .b8 cell[4];\nmov.u32 %r0, @@\nst.shared.u32 [cell], %r0; //!";
    Seeded::new(32, body, "%me;", "7;").caught_by(FaultKind::WarpRace);
}
