//! Bytes, 32-byte sectors and wavefronts of access patterns whose answers are known by hand.

use cuda_emulator::{Class, Counters};

use crate::common::launch::device;
use crate::common::program::Program;

/// Runs one warp (or as many threads as said) over 4096 words of input.
fn count(threads: u32, body: &str) -> (Counters, Program) {
    let program = Program::new(threads, body);
    let input: Vec<u32> = (0..8192).collect();
    let (_, report) =
        program.report(&device(), &input, 4096).unwrap_or_else(|e| panic!("{e}\n{body}"));
    (report.counters, program)
}

/// (requests, bytes, sectors) of a load whose byte offset is the thread's index by `stride`, plus `offset`.
fn load(ty: &str, registers: &str, stride: u32, offset: u32) -> (u64, u64, u64) {
    let body = format!(
        "mul.lo.u32 %r20, %me, {stride};\ncvt.u64.u32 %l0, %r20;\nadd.u64 %l0, %in, %l0;\n\
         ld.global.{ty} {registers}, [%l0+{offset}];"
    );
    let (counters, program) = count(32, &body);
    let traffic = counters.global_load;
    // The site says the same as the sum.
    let line = program.line(&format!("ld.global.{ty}"));
    let site = counters.line(line).next().expect("a site");
    assert_eq!(
        (site.requests, site.bytes, site.sectors),
        (traffic.requests, traffic.bytes, traffic.sectors)
    );
    assert_eq!((site.class, site.warp, site.thread), (Class::GlobalLoad, 1, 32));
    assert_eq!(counters.global_store, Default::default());
    (traffic.requests, traffic.bytes, traffic.sectors)
}

#[test]
fn sectors_of_loads() {
    const V4: &str = "{%r0, %r1, %r2, %r3}";
    // Neighbours: 128 bytes in 4 sectors; 16 bytes each: 512 bytes in 16.
    assert_eq!(load("u32", "%r0", 4, 0), (1, 128, 4));
    assert_eq!(load("u64", "%l1", 8, 0), (1, 256, 8));
    assert_eq!(load("v4.u32", V4, 16, 0), (1, 512, 16));
    assert_eq!(load("u8", "%r0", 1, 0), (1, 32, 1));
    // Shifted by one word they touch one sector more.
    assert_eq!(load("u32", "%r0", 4, 4), (1, 128, 5));
    assert_eq!(load("u8", "%r0", 1, 31), (1, 32, 2));
    // Every other word: twice the sectors; a sector each; more than that changes nothing.
    assert_eq!(load("u32", "%r0", 8, 0), (1, 128, 8));
    assert_eq!(load("u32", "%r0", 32, 0), (1, 128, 32));
    assert_eq!(load("u32", "%r0", 256, 0), (1, 128, 32));
    assert_eq!(load("v4.u32", V4, 32, 0), (1, 512, 32));
    assert_eq!(load("v4.u32", V4, 64, 16), (1, 512, 32));
    // All the same word.
    assert_eq!(load("u32", "%r0", 0, 0), (1, 128, 1));
}

/// Threads whose guard is false ask for nothing; a request without threads is none.
#[test]
fn guards_and_stores() {
    let body = "setp.lt.u32 %p0, %me, 8;\n@%p0 st.global.u32 [%dst], %me;\nsetp.gt.u32 %p1, %me, 99;\n\
                @%p1 st.global.u32 [%dst], %me;\n@!%p0 ld.global.u32 %r0, [%src];";
    let (counters, program) = count(32, body);
    let store = counters.global_store;
    assert_eq!((store.requests, store.bytes, store.sectors), (1, 32, 1));
    let load = counters.global_load;
    assert_eq!((load.requests, load.bytes, load.sectors), (1, 96, 3));
    let line = program.line("@%p1 st.global");
    let silent = counters.line(line).next().expect("a site");
    assert_eq!((silent.warp, silent.thread, silent.requests), (1, 0, 0));
}

/// Two warps are two requests; a generic address counts where it leads; so does `cp.async`.
#[test]
fn other_ways_to_memory() {
    let (counters, _) = count(64, "ld.u32 %r0, [%src];\nst.u32 [%dst], %r0;");
    assert_eq!((counters.global_load.requests, counters.global_load.sectors), (2, 8));
    assert_eq!((counters.global_store.requests, counters.global_store.sectors), (2, 8));
    let body = ".shared .align 16 .b8 tile[512];\nmov.u32 %r0, tile;\nmad.lo.u32 %r0, %me, 16, %r0;\n\
                mul.wide.u32 %l0, %me, 16;\nadd.u64 %l0, %in, %l0;\n\
                cp.async.cg.shared.global [%r0], [%l0], 16;\ncp.async.wait_all;";
    let (counters, _) = count(32, body);
    let load = counters.global_load;
    assert_eq!((load.requests, load.bytes, load.sectors), (1, 512, 16));
    assert_eq!(counters.shared_store.bytes, 512);
    assert_eq!(counters.shared_store.conflicts, 0);
    let (counters, _) =
        count(32, "red.global.add.u32 [%dst], 1;\natom.global.add.u32 %r0, [%out], 1;");
    let atomic = counters.global_atomic;
    assert_eq!((atomic.requests, atomic.bytes, atomic.sectors), (2, 256, 5));
}

/// (wavefronts, conflicts) of a shared load whose byte offset is the thread's index by `stride`.
fn banks(ty: &str, registers: &str, stride: u32, mask: u32) -> (u64, u64) {
    let body = format!(
        ".shared .align 16 .b8 tile[8192];\nmov.u32 %r20, tile;\nmov.u32 %r23, 0;\nFILL:\n\
         mad.lo.u32 %r22, %r23, 32, %me;\nmad.lo.u32 %r22, %r22, 4, %r20;\nst.shared.u32 [%r22], 0;\n\
         add.u32 %r23, %r23, 1;\nsetp.lt.u32 %p0, %r23, 64;\n@%p0 bra FILL;\nbar.sync 0;\n\
         and.b32 %r21, %me, {mask};\nmad.lo.u32 %r21, %r21, {stride}, %r20;\n\
         ld.shared.{ty} {registers}, [%r21];"
    );
    let (counters, _) = count(32, &body);
    // The fill is free of conflicts: 64 stores of one pass.
    let fill = counters.shared_store;
    assert_eq!((fill.requests, fill.bytes, fill.wavefronts, fill.conflicts), (64, 64 * 128, 64, 0));
    assert_eq!(counters.shared_load.requests, 1);
    (counters.shared_load.wavefronts, counters.shared_load.conflicts)
}

#[test]
fn bank_conflicts() {
    assert_eq!(banks("u32", "%r0", 4, 31), (1, 0));
    assert_eq!(banks("u32", "%r0", 8, 31), (2, 1), "two ways");
    assert_eq!(banks("u32", "%r0", 16, 31), (4, 3), "four ways");
    assert_eq!(banks("u32", "%r0", 64, 31), (16, 15), "sixteen ways");
    assert_eq!(banks("u32", "%r0", 128, 31), (32, 31), "one bank");
    assert_eq!(banks("u32", "%r0", 132, 31), (1, 0), "a padded column");
    assert_eq!(banks("u32", "%r0", 12, 31), (1, 0), "an odd stride");
    assert_eq!(banks("u32", "%r0", 4, 0), (1, 0), "one word for all");
    assert_eq!(banks("u32", "%r0", 4, 7), (1, 0), "each word for four");
    assert_eq!(banks("u8", "%r0", 1, 31), (1, 0), "bytes of eight words");
    assert_eq!(banks("u8", "%r0", 4, 31), (1, 0));
    assert_eq!(banks("u16", "%r0", 128, 31), (32, 31));
}

/// 64-bit accesses go in two phases, 128-bit ones in four: a pass each without conflicts.
#[test]
fn phases_of_wide_accesses() {
    assert_eq!(banks("u64", "%l0", 8, 31), (2, 0));
    assert_eq!(banks("v2.u32", "{%r0, %r1}", 8, 31), (2, 0));
    assert_eq!(banks("u64", "%l0", 16, 31), (4, 2), "two ways in each phase");
    assert_eq!(banks("v4.u32", "{%r0, %r1, %r2, %r3}", 16, 31), (4, 0));
    assert_eq!(banks("v4.u32", "{%r0, %r1, %r2, %r3}", 32, 31), (8, 4), "two ways");
    assert_eq!(banks("v4.u32", "{%r0, %r1, %r2, %r3}", 128, 31), (32, 28), "rows of 128 bytes");
    assert_eq!(banks("v4.u32", "{%r0, %r1, %r2, %r3}", 144, 31), (4, 0), "padded rows");
}

/// The eight rows of a matrix are a phase of `ldmatrix`: (wavefronts, conflicts).
fn matrix_rows(x: u32, pitch: u32) -> (u64, u64) {
    let registers = ["{%r0}", "{%r0, %r1}", "", "{%r0, %r1, %r2, %r3}"][x as usize - 1];
    let body = format!(
        ".shared .align 16 .b8 tile[8192];\nmov.u32 %r20, tile;\nmov.u32 %r23, 0;\nFILL:\n\
         mad.lo.u32 %r22, %r23, 32, %me;\nmad.lo.u32 %r22, %r22, 4, %r20;\nst.shared.u32 [%r22], 0;\n\
         add.u32 %r23, %r23, 1;\nsetp.lt.u32 %p0, %r23, 64;\n@%p0 bra FILL;\nbar.sync 0;\n\
         mad.lo.u32 %r21, %me, {pitch}, %r20;\n\
         ldmatrix.sync.aligned.m8n8.x{x}.shared.b16 {registers}, [%r21];"
    );
    let (counters, _) = count(32, &body);
    (counters.shared_load.wavefronts, counters.shared_load.conflicts)
}

#[test]
fn conflicts_of_ldmatrix() {
    assert_eq!(matrix_rows(1, 16), (1, 0));
    assert_eq!(matrix_rows(2, 16), (2, 0));
    assert_eq!(matrix_rows(4, 16), (4, 0));
    assert_eq!(matrix_rows(4, 128), (32, 28), "all rows in the same banks");
    assert_eq!(matrix_rows(4, 144), (4, 0), "padded");
    assert_eq!(matrix_rows(1, 128), (8, 7));
    assert_eq!(matrix_rows(2, 64), (8, 6), "four ways");
}
