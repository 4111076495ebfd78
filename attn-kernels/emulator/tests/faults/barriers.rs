//! CTA barriers that cannot complete, bad barrier operands, misused mbarriers.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

/// Half of a warp waits at one `bar.sync`, half at another.
#[test]
fn divergent_barrier_within_a_warp() {
    let body = "setp.lt.u32 %p0, %me, @@\n@%p0 bra LOW;\nbar.sync 0; //!\nbra END;\nLOW:\nbar.sync 0;\nEND:";
    Seeded::new(64, body, "16;", "32;").caught_by(FaultKind::DivergentBarrier);
}

/// One warp waits for all, the other has left the kernel by another barrier.
#[test]
fn two_barriers() {
    let body = "setp.lt.u32 %p0, %me, 32;\n@%p0 bra LOW;\nbar.sync @@\nbra END;\nLOW:\nbar.sync 0; //!\nEND:";
    Seeded::new(64, body, "1;", "0;").caught(FaultKind::DivergentBarrier, 0, 0);
}

/// 64 are awaited, 32 come.
#[test]
fn too_few_arrivals() {
    let body = "setp.lt.u32 %p0, %me, 32;\n@!%p0 bra END;\nbar.sync 2, @@\nEND:";
    Seeded::new(64, body, "64; //!", "32;").caught(FaultKind::DivergentBarrier, 0, 0);
}

#[test]
fn barrier_number() {
    let body = "add.u32 %r0, %cta, @@\nbar.sync %r0, 32; //!";
    Seeded::new(32, body, "16;", "15;").caught(FaultKind::IllegalBarrier, 0, 0);
}

#[test]
fn barrier_count() {
    let body = "add.u32 %r0, %cta, @@\nbar.sync 1, %r0; //!";
    Seeded::new(64, body, "40;", "64;").caught(FaultKind::IllegalBarrier, 0, 0);
}

const MBARRIER: &str =
    ".shared .align 8 .b8 bar[16];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n";

#[test]
fn mbarrier_initialised_twice() {
    let body = format!(
        "{MBARRIER}@!%p0 bra END;\nmbarrier.init.shared.b64 [%r0], 1;\n@@\n\
         mbarrier.init.shared.b64 [%r0], 2; //!\nEND:"
    );
    Seeded::new(32, &body, "", "mbarrier.inval.shared.b64 [%r0];").caught(
        FaultKind::IllegalMbarrier,
        0,
        0,
    );
}

#[test]
fn mbarrier_never_initialised() {
    let body = format!("{MBARRIER}@@\nbar.sync 0;\nmbarrier.arrive.shared.b64 %l0, [%r0]; //!");
    Seeded::new(32, &body, "", "@%p0 mbarrier.init.shared.b64 [%r0], 32;").caught(
        FaultKind::IllegalMbarrier,
        0,
        0,
    );
}

/// Three arrivals are awaited in the phase, five come at once.
#[test]
fn mbarrier_overflow() {
    let body = format!(
        "{MBARRIER}@%p0 mbarrier.init.shared.b64 [%r0], 3;\nbar.sync 0;\n\
         @%p0 mbarrier.arrive.shared.b64 %l0, [%r0], @@"
    );
    Seeded::new(32, &body, "5; //!", "3;").caught(FaultKind::IllegalMbarrier, 0, 0);
}

#[test]
fn mbarrier_misaligned() {
    let body =
        format!("{MBARRIER}add.u32 %r0, %r0, @@\n@%p0 mbarrier.init.shared.b64 [%r0], 1; //!");
    Seeded::new(32, &body, "4;", "8;").caught(FaultKind::Misaligned, 0, 0);
}
