//! Bounds, alignment, freed memory, null pointers, constant memory.

use cuda_emulator::FaultKind;

use super::seeded::{HERE, Seeded, WORDS};
use crate::common::launch::{device, fault, upload};
use crate::common::program::Program;

#[test]
fn load_past_the_end() {
    let body = "@@\nst.global.u32 [%out], %r0;";
    let broken = "setp.lt.u32 %p0, %me, 65;\n@%p0 ld.global.u32 %r0, [%src]; //!\nmov.u32 %r0, 0;";
    let clean = "setp.lt.u32 %p0, %me, 64;\n@%p0 ld.global.u32 %r0, [%src];\nmov.u32 %r0, 0;";
    let found = Seeded::new(96, body, broken, clean).caught(FaultKind::OutOfBounds, 0, 64);
    let near = found.allocation.expect("the allocation next to it");
    assert_eq!((near.name.as_str(), near.size, near.offset), ("in", 256, 256));
    assert!(!near.freed);
}

#[test]
fn store_before_the_start() {
    let body = "sub.u64 %l0, %dst, @@\nst.global.u32 [%l0], %me; //!";
    let found = Seeded::new(32, body, "4;", "0;").caught(FaultKind::OutOfBounds, 0, 0);
    let near = found.allocation.expect("the allocation next to it");
    assert_eq!((near.name.as_str(), near.offset), ("out", -4));
}

/// The last element of a vector alone is outside.
#[test]
fn vector_across_the_end() {
    let body = "ld.global.@@\nst.global.u32 [%out], %r0;";
    let broken = "v4.u32 {%r0, %r1, %r2, %r3}, [%in+256]; //!";
    let clean = "v4.u32 {%r0, %r1, %r2, %r3}, [%in+240];";
    Seeded::new(1, body, broken, clean).caught(FaultKind::OutOfBounds, 0, 0);
}

/// The second CTA of two, the third thread: a block id out of range.
#[test]
fn block_id_out_of_range() {
    let body = "mov.u32 %r0, 3;\nsetp.eq.u32 %p0, %cta, 1;\nsetp.eq.and.u32 %p1, %me, 34, %p0;\n\
                @%p1 mov.u32 %r0, @@\nmul.wide.s32 %l0, %r0, 16;\nadd.u64 %l0, %in, %l0;\n\
                ld.global.u32 %r1, [%l0]; //!\nst.global.u32 [%out], %r1;";
    let found = Seeded::new(64, body, "-7;", "7;").grid(3).caught(FaultKind::OutOfBounds, 1, 34);
    assert_eq!(found.allocation.expect("near").offset, -112);
}

#[test]
fn null_pointer() {
    let body = "mov.u64 %l0, %out;\nsetp.eq.u32 %p0, %me, 5;\n@%p0 mov.u64 %l0, @@\n\
                st.global.u32 [%l0+8], %r63; //!";
    let body = format!("mov.u32 %r63, 1;\n{body}");
    let found = Seeded::new(32, &body, "0;", "%in;").caught(FaultKind::OutOfBounds, 0, 5);
    assert_eq!(found.address, Some(8));
}

#[test]
fn misaligned_load() {
    let body = "ld.global.u64 %l0, [%in+@@\nst.global.u64 [%out], %l0;";
    let found = Seeded::new(32, body, "12]; //!", "16];").caught(FaultKind::Misaligned, 0, 0);
    assert_eq!(found.allocation.expect("inside").offset, 12);
}

/// A vector asks for its whole size.
#[test]
fn misaligned_vector() {
    let body = "mov.u32 %r0, 0;\nst.global.@@";
    let broken = "v4.u32 [%out+8], {%r0, %r0, %r0, %r0}; //!";
    let clean = "v2.u32 [%out+8], {%r0, %r0};";
    Seeded::new(1, body, broken, clean).caught(FaultKind::Misaligned, 0, 0);
}

#[test]
fn misaligned_atomic() {
    let body = "add.u64 %l0, %out, @@\nred.global.add.u32 [%l0], 1; //!";
    Seeded::new(32, body, "2;", "4;").caught(FaultKind::Misaligned, 0, 0);
}

#[test]
fn misaligned_shared_load() {
    let body = ".shared .align 16 .b8 place[64];\nmov.u32 %r0, place;\nmov.u32 %r1, 0;\n\
                st.shared.v4.u32 [%r0], {%r1, %r1, %r1, %r1};\nst.shared.v4.u32 [%r0+16], {%r1, %r1, %r1, %r1};\n\
                ld.shared.v2.u32 {%r2, %r3}, [%r0+@@\nst.global.u32 [%out], %r2;";
    Seeded::new(1, body, "4]; //!", "8];").caught(FaultKind::Misaligned, 0, 0);
}

#[test]
fn shared_past_the_end() {
    let body = ".shared .align 4 .b8 place[128];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                setp.lt.u32 %p0, %me, @@\n@%p0 st.shared.u32 [%r1], %me; //!";
    Seeded::new(64, body, "34;", "32;").caught(FaultKind::OutOfBounds, 0, 32);
}

/// Dynamic shared memory ends where the launch says.
#[test]
fn dynamic_shared_past_the_end() {
    let body = "mov.u32 %r0, tail;\nmad.lo.u32 %r1, %me, 8, %r0;\n@@";
    let mut pair =
        Seeded::new(32, body, "st.shared.u64 [%r1], %in; //!", "st.shared.u32 [%r1], 1;")
            .module(".extern .shared .align 8 .b8 tail[];");
    pair.broken = pair.broken.dynamic_shared(252);
    pair.clean = pair.clean.dynamic_shared(252);
    pair.caught(FaultKind::OutOfBounds, 0, 31);
}

#[test]
fn local_past_the_end() {
    let body = ".local .align 4 .b8 mine[16];\nmov.u32 %r0, mine;\nmad.lo.u32 %r0, %me, 4, %r0;\n\
                setp.lt.u32 %p0, %me, @@\n@%p0 st.local.u32 [%r0], %me; //!";
    Seeded::new(32, body, "6;", "4;").caught(FaultKind::OutOfBounds, 0, 4);
}

#[test]
fn store_to_constant_memory() {
    let body = "mov.u64 %l1, table;\ncvta.const.u64 %l0, %l1;\n@@\nst.u32 [%l0], 1; //!";
    Seeded::new(1, body, "", "mov.u64 %l0, %out;")
        .module(".const .align 4 .b8 table[16] = {1, 2, 3};\n")
        .caught(FaultKind::ReadOnly, 0, 0);
}

#[test]
fn use_after_free() {
    let device = device();
    let program = Program::new(
        32,
        "ld.global.u32 %r0, [%src]; //!\nadd.u32 %r0, %r0, 1;\nst.global.u32 [%dst], %r0;",
    );
    let input = upload(&device, "weights", &[1u32; WORDS]);
    let output = upload(&device, "out", &[0u32; WORDS]);
    program.launch(&device, input, output).expect("still there");
    device.free(input).expect("once");
    // What comes later does not get its addresses.
    let later = upload(&device, "later", &[2u32; WORDS]);
    let found = fault(program.launch(&device, input, output));
    assert_eq!((found.kind, found.line), (FaultKind::UseAfterFree, program.line(HERE)));
    assert_eq!((found.cta, found.thread), ([0, 0, 0], [0, 0, 0]));
    let gone = found.allocation.expect("what it was");
    assert_eq!((gone.name.as_str(), gone.freed), ("weights", true));
    program.launch(&device, later, output).expect("clean");
    assert!(device.free(input).is_err(), "a second free");
}

/// Rows of `ldmatrix` start at multiples of 16.
#[test]
fn misaligned_matrix_row() {
    let body = ".shared .align 16 .b8 rows[256];\nmov.u32 %r0, rows;\nmad.lo.u32 %r1, %me, 8, %r0;\n\
                st.shared.u64 [%r1], %in;\nbar.sync 0;\nand.b32 %r2, %me, 7;\n\
                mul.lo.u32 %r2, %r2, @@\nadd.u32 %r2, %r2, %r0;\n\
                ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%r3}, [%r2]; //!\nst.global.u32 [%dst], %r3;";
    Seeded::new(32, body, "24;", "16;").caught(FaultKind::Misaligned, 0, 1);
}
