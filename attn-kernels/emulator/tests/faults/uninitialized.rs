//! Values that nobody wrote: registers, predicates, shared, local and global memory.

use cuda_emulator::FaultKind;

use super::seeded::{HERE, Seeded};
use crate::common::launch::{device, fault, uninit, upload};
use crate::common::program::Program;

#[test]
fn register() {
    let body = "@@\nadd.u32 %r1, %r0, 1; //!\nst.global.u32 [%dst], %r1;";
    let found = Seeded::new(32, body, "mov.u32 %r2, 3;", "mov.u32 %r0, 3;").caught(
        FaultKind::UninitializedRegister,
        0,
        0,
    );
    assert!(found.detail.contains("%r0"), "{found}");
}

/// Only the threads that skipped the write are wrong: the lowest is named.
#[test]
fn register_of_some_threads() {
    let body = "setp.lt.u32 %p0, %me, 45;\n@%p0 mov.u32 %r0, 1;\n@@\n\
                st.global.u32 [%dst], %r0; //!";
    Seeded::new(64, body, "", "@!%p0 mov.u32 %r0, 2;").caught(
        FaultKind::UninitializedRegister,
        0,
        45,
    );
}

#[test]
fn wide_register() {
    let body = "@@\nst.global.u32 [%l5], %me; //!";
    let found = Seeded::new(1, body, "", "mov.u64 %l5, %out;").caught(
        FaultKind::UninitializedRegister,
        0,
        0,
    );
    assert!(found.detail.contains("%l5"), "{found}");
}

#[test]
fn predicate() {
    let body = "@@\n@%p3 st.global.u32 [%dst], %me; //!";
    let found = Seeded::new(32, body, "", "setp.eq.u32 %p3, %me, 0;").caught(
        FaultKind::UninitializedRegister,
        0,
        0,
    );
    assert!(found.detail.contains("%p3"), "{found}");
}

#[test]
fn branch_condition() {
    let body = "@@\n@!%p3 bra END; //!\nst.global.u32 [%dst], %me;\nEND:";
    Seeded::new(32, body, "", "setp.eq.u32 %p3, %me, 0;").caught(
        FaultKind::UninitializedRegister,
        0,
        0,
    );
}

#[test]
fn shared_memory() {
    let body = ".shared .align 4 .b8 place[256];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                setp.lt.u32 %p0, %me, @@\n@%p0 st.shared.u32 [%r1], %me;\nbar.sync 0;\n\
                ld.shared.u32 %r2, [%r1]; //!\nst.global.u32 [%dst], %r2;";
    Seeded::new(64, body, "50;", "64;").caught(FaultKind::UninitializedMemory, 0, 50);
}

/// Three of four bytes are there.
#[test]
fn shared_memory_in_part() {
    let body = ".shared .align 4 .b8 place[4];\nst.shared.u16 [place], 1;\nst.shared.u8 [place+2], 1;\n\
                @@\nld.shared.u32 %r2, [place]; //!\nst.global.u32 [%dst], %r2;";
    let body = body
        .replace("st.shared.u16 [place], 1;", "mov.b16 %h0, 1;\nst.shared.u16 [place], %h0;")
        .replace("st.shared.u8 [place+2], 1;", "st.shared.u8 [place+2], %h0;");
    Seeded::new(1, &body, "", "st.shared.u8 [place+3], %h0;").caught(
        FaultKind::UninitializedMemory,
        0,
        0,
    );
}

/// Each CTA starts with memory of its own: what an earlier one wrote is not there.
#[test]
fn shared_memory_of_another_cta() {
    let body = ".shared .align 4 .b8 place[4];\nsetp.eq.u32 %p0, %cta, 0;\n@@ st.shared.u32 [place], 7;\n\
                ld.shared.u32 %r2, [place]; //!\nst.global.u32 [%dst], %r2;";
    Seeded::new(1, body, "@%p0", "").grid(3).caught(FaultKind::UninitializedMemory, 1, 0);
}

#[test]
fn local_memory() {
    let body = ".local .align 4 .b8 mine[32];\nmov.u32 %r0, mine;\nst.local.u32 [%r0+8], %me;\n\
                ld.local.u32 %r1, [%r0+@@\nst.global.u32 [%dst], %r1;";
    Seeded::new(32, body, "4]; //!", "8];").caught(FaultKind::UninitializedMemory, 0, 0);
}

#[test]
fn global_memory() {
    let device = device();
    let program = Program::new(
        64,
        "ld.global.u32 %r0, [%src]; //!\nadd.u32 %r0, %r0, 1;\nst.global.u32 [%dst], %r0;",
    );
    // 40 words of 64 are written.
    let input = uninit::<u32>(&device, "cache", 64);
    device.fill32(input, 1, 40).expect("in bounds");
    let output = upload(&device, "out", &[0u32; 64]);
    let found = fault(program.launch(&device, input, output));
    assert_eq!((found.kind, found.line), (FaultKind::UninitializedMemory, program.line(HERE)));
    assert_eq!((found.cta, found.thread), ([0, 0, 0], [40, 0, 0]));
    let place = found.allocation.expect("where");
    assert_eq!((place.name.as_str(), place.offset), ("cache", 160));
    device.fill32(input.offset(160), 1, 24).expect("in bounds");
    program.launch(&device, input, output).expect("clean");
}

/// A kernel's own stores count as writes, for later kernels too; and what is copied keeps its state.
#[test]
fn global_memory_through_a_kernel_and_a_copy() {
    let device = device();
    let store = Program::new(32, "st.global.u32 [%dst], %me;");
    let load = Program::new(32, "ld.global.u32 %r0, [%src]; //!\nst.global.u32 [%dst], %r0;");
    let (a, b) = (uninit::<u32>(&device, "a", 64), uninit::<u32>(&device, "b", 64));
    let out = upload(&device, "out", &[0u32; 32]);
    store.launch(&device, out, a).expect("clean");
    load.launch(&device, a, out).expect("written by the kernel");
    // Half a copy: the words behind stay unwritten at the new place.
    device.copy(b, a.offset(64), 128).expect("in bounds");
    let found = fault(load.launch(&device, b, out));
    assert_eq!((found.kind, found.thread), (FaultKind::UninitializedMemory, [16, 0, 0]));
}

/// A shuffle carries what was never written to the lane that uses it; `mma` uses its operands itself.
#[test]
fn operands_across_the_warp() {
    let body = "mov.u32 %r0, 0;\nsetp.ne.u32 %p0, %me, 9;\n@@ mov.u32 %r1, 5;\n\
                shfl.sync.bfly.b32 %r2, %r1, 1, 0x1f, -1;\nst.global.u32 [%dst], %r2; //!";
    Seeded::new(32, body, "@%p0", "").caught(FaultKind::UninitializedRegister, 0, 8);
    let body = "mov.u32 %r0, 0;\n@@\n\
                mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%r4, %r5, %r6, %r7}, {%r0, %r1}, {%r0}, \
                {%r0, %r0, %r0, %r0}; //!\nst.global.u32 [%dst], %r4;";
    Seeded::new(32, body, "", "mov.u32 %r1, 0;").caught(FaultKind::UninitializedRegister, 0, 0);
}
