//! Barriers of the CTA: plain, named, of a part of the threads, with arrivals and reductions (PTX ISA,
//! "bar, barrier", "bar.warp.sync", "membar, fence").

use crate::common::launch::device;
use crate::common::program::Program;

/// Values cross warps through shared memory, again and again.
#[test]
fn rounds_of_exchange() {
    let device = device();
    for barrier in [
        "bar.sync 0",
        "barrier.sync 0",
        "barrier.sync.aligned 0",
        "bar.cta.sync 0",
        "barrier.cta.sync.aligned 0",
    ] {
        let body = format!(
            ".shared .align 4 .b8 cells[512];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
             sub.u32 %r2, 127, %me;\nmad.lo.u32 %r2, %r2, 4, %r0;\nmov.u32 %r3, %me;\nmov.u32 %r4, 0;\n\
             LOOP:\nst.shared.u32 [%r1], %r3;\n{barrier};\nld.shared.u32 %r3, [%r2];\n\
             add.u32 %r3, %r3, 1;\n{barrier};\nadd.u32 %r4, %r4, 1;\nsetp.lt.u32 %p0, %r4, 5;\n\
             @%p0 bra LOOP;\nst.global.u32 [%dst], %r3;"
        );
        let want: Vec<u32> = (0..128).map(|me| 127 - me + 5).collect();
        assert_eq!(Program::new(128, &body).output(&device, &[0u32], 128), want, "{barrier}");
    }
}

/// All threads learn how many, whether all, whether any predicates are true.
#[test]
fn reductions() {
    let device = device();
    let body = "ld.global.u32 %r0, [%src];\nsetp.ne.u32 %p0, %r0, 0;\n\
                bar.red.popc.u32 %r1, 0, %p0;\nbar.red.and.pred %p1, 0, %p0;\n\
                bar.red.or.pred %p2, 0, %p0;\nbar.red.popc.u32 %r2, 1, 96, !%p0;\n\
                barrier.red.or.pred %p3, 2, !%p0;\n\
                selp.u32 %r3, 1, 0, %p1;\nselp.u32 %r4, 2, 0, %p2;\nselp.u32 %r5, 4, 0, %p3;\n\
                or.b32 %r3, %r3, %r4;\nor.b32 %r3, %r3, %r5;\nst.global.u32 [%dst], %r1;\n\
                st.global.u32 [%dst+384], %r2;\nst.global.u32 [%dst+768], %r3;";
    for true_ones in [0usize, 1, 33, 95, 96] {
        let input: Vec<u32> = (0..96).map(|i| u32::from(i * 5 % 96 < true_ones)).collect();
        let got = Program::new(96, body).output(&device, &input, 3 * 96);
        let flags = u32::from(true_ones == 96)
            + 2 * u32::from(true_ones > 0)
            + 4 * u32::from(true_ones < 96);
        for me in 0..96 {
            let at = [got[me], got[96 + me], got[192 + me]];
            assert_eq!(at, [true_ones as u32, 96 - true_ones as u32, flags], "{true_ones}");
        }
    }
}

/// Two pairs of warps meet at barriers of their own, at unlike times.
#[test]
fn named_barriers() {
    let device = device();
    let body = ".shared .align 4 .b8 cells[512];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
                shr.u32 %r2, %me, 6;\nadd.u32 %r3, %r2, 1;\nxor.b32 %r4, %me, 32;\n\
                mad.lo.u32 %r4, %r4, 4, %r0;\nmov.u32 %r5, 0;\nLOOP:\nst.shared.u32 [%r1], %r5;\n\
                barrier.sync %r3, 64;\nld.shared.u32 %r6, [%r4];\nbarrier.sync %r3, 64;\n\
                add.u32 %r5, %r6, %r3;\nsetp.lt.u32 %p0, %r5, 20;\n@%p0 bra LOOP;\n\
                st.global.u32 [%dst], %r5;";
    let want = vec![20; 128];
    assert_eq!(Program::new(128, body).output(&device, &[0u32], 128), want);
}

/// Producer warps arrive and go on, consumers wait: a double buffer with four barriers.
#[test]
fn arrivals() {
    let device = device();
    let body = ".shared .align 4 .b8 buffer[256];\nmov.u32 %r0, buffer;\nand.b32 %r1, %me, 31;\n\
                mad.lo.u32 %r2, %r1, 4, %r0;\nsetp.ge.u32 %p0, %me, 32;\nmov.u32 %r3, 0;\n\
                mov.u32 %r9, 0;\n@%p0 bra CONSUMER;\n\
                PRODUCER:\nand.b32 %r4, %r3, 1;\nadd.u32 %r5, %r4, 3;\nsetp.lt.u32 %p1, %r3, 2;\n\
                @%p1 bra FREE;\nbar.sync %r5, 64;\nFREE:\nmad.lo.u32 %r6, %r4, 128, %r2;\n\
                mad.lo.u32 %r7, %r3, 100, %r1;\nst.shared.u32 [%r6], %r7;\nadd.u32 %r8, %r4, 1;\n\
                bar.arrive %r8, 64;\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p2, %r3, 6;\n\
                @%p2 bra PRODUCER;\nret;\n\
                CONSUMER:\nand.b32 %r4, %r3, 1;\nadd.u32 %r8, %r4, 1;\nbar.sync %r8, 64;\n\
                mov.u32 %r10, 31;\nsub.u32 %r10, %r10, %r1;\nmad.lo.u32 %r10, %r10, 4, %r0;\n\
                mad.lo.u32 %r6, %r4, 128, %r10;\nld.shared.u32 %r7, [%r6];\n\
                add.u32 %r9, %r9, %r7;\nsetp.ge.u32 %p3, %r3, 4;\n@%p3 bra LATE;\nadd.u32 %r5, %r4, 3;\n\
                bar.arrive %r5, 64;\nLATE:\nadd.u32 %r3, %r3, 1;\nsetp.lt.u32 %p2, %r3, 6;\n\
                @%p2 bra CONSUMER;\nmul.wide.u32 %l0, %r1, 4;\nadd.u64 %l0, %out, %l0;\n\
                st.global.u32 [%l0], %r9;";
    let want: Vec<u32> = (0..32).map(|i| 1500 + 6 * (31 - i)).collect();
    assert_eq!(Program::new(64, body).output(&device, &[0u32], 32), want);
}

/// Threads that have left do not hold up a barrier of the others of their warp.
#[test]
fn exited_threads() {
    let device = device();
    let body = ".shared .align 4 .b8 cell[4];\nsetp.ge.u32 %p0, %me, 50;\n@%p0 ret;\n\
                setp.eq.u32 %p1, %me, 3;\n@%p1 st.shared.u32 [cell], 42;\nbarrier.sync 0;\n\
                ld.shared.u32 %r0, [cell];\nst.global.u32 [%dst], %r0;";
    let got = Program::new(64, body).output(&device, &[0u32], 64);
    assert!(got[..50].iter().all(|&x| x == 42));
}

/// Exchange inside a warp, ordered by `bar.warp.sync` alone; fences change nothing.
#[test]
fn warp_barriers_and_fences() {
    let device = device();
    let fences = [
        "membar.cta;",
        "membar.gl;",
        "membar.sys;",
        "fence.acq_rel.cta;",
        "fence.acq_rel.gpu;",
        "fence.sc.sys;",
        "fence.proxy.async;",
        "fence.proxy.async.shared::cta;",
        "fence.mbarrier_init.release.cluster;",
    ];
    for fence in fences {
        let body = format!(
            ".shared .align 4 .b8 cells[256];\nmov.u32 %r0, cells;\nmad.lo.u32 %r1, %me, 4, %r0;\n\
             xor.b32 %r2, %me, 5;\nmad.lo.u32 %r2, %r2, 4, %r0;\nst.shared.u32 [%r1], %me;\n{fence}\n\
             bar.warp.sync 0xffffffff;\nld.shared.u32 %r3, [%r2];\nbar.warp.sync 0xffffffff;\n\
             st.shared.u32 [%r2], %r3;\nbar.warp.sync -1;\nld.shared.u32 %r4, [%r1];\n\
             mad.lo.u32 %r3, %r4, 1000, %r3;\nst.global.u32 [%dst], %r3;"
        );
        let want: Vec<u32> = (0..64).map(|me| (me ^ 5) + 1000 * me).collect();
        assert_eq!(Program::new(64, &body).output(&device, &[0u32], 64), want, "{fence}");
    }
}
