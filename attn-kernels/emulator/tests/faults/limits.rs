//! Endless loops, traps, operands that an instruction does not take.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

#[test]
fn endless_loop() {
    let body =
        "mov.u32 %r0, 0;\nLOOP:\nadd.u32 %r0, %r0, @@\nsetp.ne.u32 %p0, %r0, 100;\n@%p0 bra LOOP;";
    let seeded = Seeded::new(32, body, "3;", "4;");
    assert_eq!(seeded.kind(), FaultKind::InstructionBudget);
    // Any line of the loop may use up the budget.
    let found = seeded.found();
    let first = seeded.broken.line("add.u32 %r0, %r0");
    assert!((first..first + 3).contains(&found.line), "{found}");
    assert_eq!((found.cta, found.thread), ([0, 0, 0], [0, 0, 0]));
}

/// A thread spins for a flag that nobody sets.
#[test]
fn wait_for_a_flag() {
    let body =
        "WAIT:\nld.volatile.global.u32 %r0, [%out+128];\nsetp.eq.u32 %p0, %r0, @@\n@%p0 bra WAIT;";
    assert_eq!(Seeded::new(1, body, "0;", "1;").kind(), FaultKind::InstructionBudget);
}

#[test]
fn mbarrier_that_never_completes() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                @%p0 mbarrier.init.shared.b64 [%r0], @@\nbar.sync 0;\n\
                mbarrier.arrive.shared.b64 %l0, [%r0];\nWAIT:\n\
                mbarrier.try_wait.shared::cta.b64 %p1, [%r0], %l0;\n@!%p1 bra WAIT;";
    let kind = Seeded::new(32, body, "33;", "32;").kind();
    assert!(matches!(kind, FaultKind::InstructionBudget | FaultKind::IllegalMbarrier), "{kind:?}");
}

#[test]
fn trap() {
    let body = "setp.eq.u32 %p0, %me, @@\n@%p0 trap; //!";
    Seeded::new(64, body, "37;", "64;").caught(FaultKind::Trap, 0, 37);
}

#[test]
fn jump_past_the_table() {
    let body = "setp.eq.u32 %p0, %me, 6;\nmov.u32 %r0, 0;\n@%p0 mov.u32 %r0, @@\n\
                TS: .branchtargets A, B;\nbrx.idx %r0, TS; //!\nA:\nB:\nst.global.u32 [%dst], %r0;";
    Seeded::new(32, body, "2;", "1;").caught(FaultKind::IllegalOperand, 0, 6);
}
