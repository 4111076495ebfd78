//! `cp.async`: sizes, zero fill, ignored sources, groups and their waits (PTX ISA, "cp.async",
//! "cp.async.commit_group", "cp.async.wait_group").

use crate::common::launch::device;
use crate::common::program::Program;

fn words(n: u32) -> Vec<u32> {
    (0..n).map(|i| 0x0101_0101u32.wrapping_mul(i + 1) ^ i << 24).collect()
}

/// Each thread copies `bytes` of its 16; the rest of the 16 was 0xdeadbeef before.
fn copies(instruction: &str, bytes: usize) -> Vec<u32> {
    let body = format!(
        ".shared .align 16 .b8 place[1024];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
         mul.wide.u32 %l0, %me, 16;\nadd.u64 %l1, %in, %l0;\nadd.u64 %l2, %out, %l0;\n\
         mov.u32 %r2, 0xdeadbeef;\nst.shared.v4.u32 [%r1], {{%r2, %r2, %r2, %r2}};\n\
         mov.u32 %r9, {bytes};\nand.b32 %r10, %me, 15;\nmin.u32 %r10, %r10, %r9;\nand.b32 %r11, %me, 1;\n\
         setp.eq.u32 %p0, %r11, 1;\n{instruction}\n\
         cp.async.commit_group;\ncp.async.wait_group 0;\nbar.sync 0;\n\
         ld.shared.v4.u32 {{%r4, %r5, %r6, %r7}}, [%r1];\n\
         st.global.v4.u32 [%l2], {{%r4, %r5, %r6, %r7}};"
    );
    Program::new(64, &body).output(&device(), &words(256), 256)
}

/// Thread `me`'s sixteen bytes: the first `read` of the source, zero up to `bytes`, then untouched.
fn expected(bytes: usize, read: impl Fn(usize) -> usize) -> Vec<u32> {
    let source: Vec<u8> = words(256).iter().flat_map(|w| w.to_le_bytes()).collect();
    let old = 0xdead_beefu32.to_le_bytes();
    let byte = |at: usize| {
        let (me, i) = (at / 16, at % 16);
        match i {
            _ if i >= bytes => old[i % 4],
            _ if i < read(me) => source[at],
            _ => 0,
        }
    };
    let all: Vec<u8> = (0..1024).map(byte).collect();
    all.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().expect("four"))).collect()
}

#[test]
fn sizes() {
    for bytes in [4, 8, 16] {
        let mut forms = vec![
            format!("cp.async.ca.shared.global [%r1], [%l1], {bytes};"),
            format!("cp.async.ca.shared.global.L2::128B [%r1], [%l1], {bytes};"),
            format!("cp.async.ca.shared::cta.global [%r1], [%l1], {bytes};"),
        ];
        if bytes == 16 {
            forms.push("cp.async.cg.shared.global [%r1], [%l1], 16;".into());
            forms.push("cp.async.cg.shared.global.L2::256B [%r1], [%l1], 16;".into());
        }
        for form in forms {
            assert_eq!(copies(&form, bytes), expected(bytes, |_| bytes), "{form}");
        }
    }
}

/// `src-size` in a register: so many bytes come, the rest is zero.
#[test]
fn source_sizes() {
    for bytes in [4, 8, 16] {
        let form = format!("cp.async.ca.shared.global [%r1], [%l1], {bytes}, %r10;");
        assert_eq!(copies(&form, bytes), expected(bytes, |me| (me & 15).min(bytes)), "{form}");
    }
    let form = "cp.async.cg.shared.global [%r1], [%l1], 16, 0;";
    assert_eq!(copies(form, 16), expected(16, |_| 0));
    // Nothing is read where the size is 0: the address may be anything.
    let form = "setp.eq.u32 %p1, %r10, 0;\n@%p1 mov.u64 %l1, 0;\n\
                cp.async.cg.shared.global [%r1], [%l1], 16, %r10;";
    assert_eq!(copies(form, 16), expected(16, |me| me & 15));
}

/// `ignore-src`: a true predicate gives zeros.
#[test]
fn ignored_sources() {
    let form = "cp.async.cg.shared.global [%r1], [%l1], 16, %p0;";
    assert_eq!(copies(form, 16), expected(16, |me| if me & 1 == 1 { 0 } else { 16 }));
}

/// Three stages in flight, each read as soon as its group is done.
#[test]
fn stages() {
    let device = device();
    let body = ".shared .align 16 .b8 place[1536];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
                mul.wide.u32 %l0, %me, 16;\nadd.u64 %l1, %in, %l0;\n\
                cp.async.cg.shared.global [%r1], [%l1], 16;\ncp.async.commit_group;\n\
                cp.async.cg.shared.global [%r1+512], [%l1+512], 16;\ncp.async.commit_group;\n\
                cp.async.cg.shared.global [%r1+1024], [%l1+1024], 16;\ncp.async.commit_group;\n\
                mov.u32 %r20, 0;\n\
                cp.async.wait_group 2;\nbar.warp.sync -1;\nxor.b32 %r2, %me, 3;\nmad.lo.u32 %r3, %r2, 16, %r0;\n\
                ld.shared.u32 %r4, [%r3];\nmad.lo.u32 %r20, %r20, 31, %r4;\n\
                cp.async.wait_group 1;\nbar.warp.sync -1;\nld.shared.u32 %r4, [%r3+512];\n\
                mad.lo.u32 %r20, %r20, 31, %r4;\n\
                cp.async.wait_all;\nbar.warp.sync -1;\nld.shared.u32 %r4, [%r3+1024];\n\
                mad.lo.u32 %r20, %r20, 31, %r4;\nst.global.u32 [%dst], %r20;";
    let data = words(384);
    let got = Program::new(32, body).output(&device, &data, 32);
    for (me, got) in got.iter().enumerate() {
        let at = |stage: usize| data[stage * 128 + (me ^ 3) * 4];
        let want = at(0).wrapping_mul(31).wrapping_add(at(1)).wrapping_mul(31).wrapping_add(at(2));
        assert_eq!(*got, want, "thread {me}");
    }
}

/// Empty groups count: a loop that commits in every round waits by number.
#[test]
fn empty_groups() {
    let device = device();
    let body = ".shared .align 16 .b8 place[512];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 16, %r0;\n\
                mul.wide.u32 %l0, %me, 16;\nadd.u64 %l1, %in, %l0;\n\
                cp.async.cg.shared.global [%r1], [%l1], 16;\ncp.async.commit_group;\n\
                cp.async.commit_group;\ncp.async.wait_group 1;\nld.shared.u32 %r4, [%r1+12];\n\
                st.global.u32 [%dst], %r4;";
    let data = words(128);
    let want: Vec<u32> = (0..32).map(|me| data[me * 4 + 3]).collect();
    assert_eq!(Program::new(32, body).output(&device, &data, 32), want);
}

/// What the source holds when the copy is issued is what lands (nothing else writes it meanwhile), and
/// the executing thread needs no barrier for its own copies.
#[test]
fn own_copies_need_no_barrier() {
    let device = device();
    let body = ".shared .align 16 .b8 place[512];\nmov.u32 %r0, place;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                st.global.u32 [%dst], %me;\ncp.async.ca.shared.global [%r1], [%dst], 4;\n\
                cp.async.wait_all;\nld.shared.u32 %r4, [%r1];\nadd.u32 %r4, %r4, 7;\n\
                st.global.u32 [%dst], %r4;";
    let want: Vec<u32> = (0..32).map(|me| me + 7).collect();
    assert_eq!(Program::new(32, body).output(&device, &[0u32], 32), want);
}
