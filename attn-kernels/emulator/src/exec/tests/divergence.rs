//! Fragments: where they part, meet and wait for one another.

use super::*;

#[test]
fn both_sides_of_a_branch_run_and_meet() {
    let text = body(
        "and.b32 %r2, %r0, 1; setp.eq.u32 %p0, %r2, 0;
        @%p0 bra EVEN;
        mov.u32 %r1, 1000;
        bra JOIN;
        EVEN: mov.u32 %r1, 2000;
        JOIN: add.u32 %r1, %r1, %r0;",
    );
    let (words, counters) = Case::new(&text, 64).run().unwrap();
    for t in 0..64u32 {
        assert_eq!(words[t as usize], t + if t % 2 == 0 { 2000 } else { 1000 });
    }
    assert_eq!(counters.divergent_branches, 2);
    let stores = counters.class(crate::Class::GlobalStore);
    assert_eq!((stores.warp, stores.thread), (2, 64), "the warps were whole again");
}

#[test]
fn loops_of_different_length_leave_one_by_one() {
    let text = body(
        "mov.u32 %r1, 0; mov.u32 %r2, 0;
        LOOP: setp.gt.u32 %p0, %r2, %r0;
        @%p0 bra DONE;
        add.u32 %r1, %r1, %r2; add.u32 %r2, %r2, 1;
        bra LOOP;
        DONE:",
    );
    let words = Case::new(&text, 32).words();
    let sums: Vec<u32> = (0..32).map(|t| t * (t + 1) / 2).collect();
    assert_eq!(words[..32], sums);
}

#[test]
fn lanes_that_spin_let_the_holder_of_the_lock_go_on() {
    // A lock in shared memory, taken by every lane of two warps in turn: on hardware before
    // independent thread scheduling this hung.
    let text = body(
        "mov.u32 %r5, sh;
        setp.ne.u32 %p0, %r0, 0; @%p0 bra READY;
        st.shared.u32 [sh], 0; st.shared.u32 [sh+4], 0;
        READY: bar.sync 0;
        TRY: atom.shared.cas.b32 %r2, [%r5], 0, 1;
        setp.ne.u32 %p1, %r2, 0; @%p1 bra TRY;
        ld.volatile.shared.u32 %r1, [sh+4]; add.u32 %r3, %r1, 1;
        st.volatile.shared.u32 [sh+4], %r3;
        membar.cta;
        atom.shared.exch.b32 %r2, [%r5], 0;",
    );
    let mut words = Case::new(&text, 64).words()[..64].to_vec();
    words.sort_unstable();
    assert_eq!(words, (0..64).collect::<Vec<_>>());
}

#[test]
fn a_branch_table_sends_lanes_to_several_places() {
    let text = body(
        "and.b32 %r2, %r0, 3;
        T: .branchtargets L0, L1, L2, L3;
        brx.idx %r2, T;
        L0: mov.u32 %r1, 10; bra E;
        L1: mov.u32 %r1, 11; bra E;
        L2: mov.u32 %r1, 12; bra E;
        L3: mov.u32 %r1, 13;
        E:",
    );
    let words = Case::new(&text, 32).words();
    assert!((0..32).all(|t| words[t] == 10 + t as u32 % 4));
}

#[test]
fn exited_lanes_are_missed_by_nobody_who_does_not_name_them() {
    let text = body(
        "setp.ge.u32 %p0, %r0, 20; @%p0 exit;
        vote.sync.ballot.b32 %r1, 1, 0xffffffff;",
    );
    let words = Case::new(&text, 32).words();
    assert_eq!(words[0], 0xf_ffff, "lanes that exited are not waited for");
    assert_eq!(words[20], 0);
}

#[test]
fn an_endless_loop_ends_with_its_budget() {
    let fault = Case::new("L: bra L;", 32).faults(FaultKind::InstructionBudget, "bra");
    assert_eq!(fault.thread, [0, 0, 0]);
}
