//! `mbarrier`: arrivals, phases, transactions; `cp.async.bulk` both ways and its groups (PTX ISA,
//! "Parallel Synchronization and Communication Instructions: mbarrier", "cp.async.bulk").

use crate::common::launch::device;
use crate::common::program::Program;

/// Setup by thread 0, then all see it.
fn with_barrier(count: u32, body: &str) -> String {
    format!(
        ".shared .align 8 .b8 bar[16];\n.shared .align 128 .b8 place[2048];\nmov.u32 %r60, bar;\n\
         mov.u32 %r61, place;\nsetp.eq.u32 %p15, %me, 0;\n\
         @%p15 mbarrier.init.shared::cta.b64 [%r60], {count};\n\
         @%p15 fence.mbarrier_init.release.cluster;\nbar.sync 0;\n{body}"
    )
}

/// Every thread arrives, every thread waits for its phase; the values written before are seen.
#[test]
fn arrive_and_wait() {
    let device = device();
    for (wait, name) in [
        ("mbarrier.test_wait.shared.b64 %p0, [%r60], %l0;", "test"),
        ("mbarrier.try_wait.shared::cta.b64 %p0, [%r60], %l0;", "try"),
        ("mbarrier.try_wait.shared::cta.b64 %p0, [%r60], %l0, 100000;", "time"),
        ("mbarrier.test_wait.parity.shared.b64 %p0, [%r60], %r10;", "parity"),
        ("mbarrier.try_wait.parity.shared::cta.b64 %p0, [%r60], %r10;", "try parity"),
    ] {
        let body = format!(
            "mad.lo.u32 %r1, %me, 4, %r61;\nmov.u32 %r2, 127;\nsub.u32 %r2, %r2, %me;\n\
             mad.lo.u32 %r2, %r2, 4, %r61;\nmov.u32 %r3, %me;\nmov.u32 %r11, 0;\n\
             ROUND:\nand.b32 %r12, %r11, 1;\nshr.u32 %r13, %r11, 1;\nand.b32 %r10, %r11, 1;\n\
             mad.lo.u32 %r4, %r12, 512, %r1;\nmad.lo.u32 %r5, %r12, 512, %r2;\n\
             st.shared.u32 [%r4], %r3;\nmbarrier.arrive.shared.b64 %l0, [%r60];\n\
             WAIT:\n{wait}\n@!%p0 bra WAIT;\nld.shared.u32 %r3, [%r5];\nadd.u32 %r3, %r3, 1;\n\
             add.u32 %r11, %r11, 1;\nsetp.lt.u32 %p1, %r11, 6;\n@%p1 bra ROUND;\n\
             st.global.u32 [%dst], %r3;"
        );
        let got = Program::new(128, &with_barrier(128, &body)).output(&device, &[0u32], 128);
        let want: Vec<u32> = (0..128).map(|me| me + 6).collect();
        assert_eq!(got, want, "{name}");
    }
}

/// Counts other than one, a phase that is not complete, what is left of a token, dropping out.
#[test]
fn counts() {
    let device = device();
    let body = "setp.ne.u32 %p1, %me, 0;\n@%p1 ret;\n\
                mbarrier.arrive.shared.b64 %l0, [%r60], 3;\n\
                mbarrier.test_wait.shared.b64 %p0, [%r60], %l0;\nselp.u32 %r0, 1, 0, %p0;\n\
                mbarrier.pending_count.b64 %r1, %l0;\n\
                mbarrier.arrive.noComplete.shared.b64 %l1, [%r60], 1;\n\
                mbarrier.pending_count.b64 %r2, %l1;\n\
                mbarrier.arrive_drop.shared.b64 %l2, [%r60];\n\
                mbarrier.test_wait.shared.b64 %p2, [%r60], %l0;\nselp.u32 %r3, 1, 0, %p2;\n\
                mbarrier.test_wait.parity.shared.b64 %p3, [%r60], 0;\nselp.u32 %r4, 1, 0, %p3;\n\
                mbarrier.test_wait.parity.shared.b64 %p4, [%r60], 1;\nselp.u32 %r5, 1, 0, %p4;\n\
                mbarrier.arrive.shared.b64 %l3, [%r60], 4;\n\
                mbarrier.test_wait.shared.b64 %p5, [%r60], %l3;\nselp.u32 %r6, 1, 0, %p5;\n\
                mbarrier.inval.shared.b64 [%r60];\n\
                mbarrier.init.shared.b64 [%r60], 1;\nmbarrier.arrive.shared.b64 %l4, [%r60];\n\
                mbarrier.test_wait.shared.b64 %p6, [%r60], %l4;\nselp.u32 %r7, 1, 0, %p6;\n\
                st.global.v4.u32 [%out], {%r0, %r1, %r2, %r3};\n\
                st.global.v4.u32 [%out+16], {%r4, %r5, %r6, %r7};";
    let got = Program::new(32, &with_barrier(5, body)).output(&device, &[0u32], 8);
    // The token of an arrival holds the count before it (PTX ISA, "mbarrier.pending_count"): 5, then 2.
    // The phase of parity 0 is complete, that of parity 1 is running; after the drop 4 arrivals fill one.
    assert_eq!(got, [0, 5, 2, 1, 1, 0, 1, 1]);
}

/// A bulk copy completes its barrier when all bytes are there.
#[test]
fn bulk_loads() {
    let device = device();
    for form in [
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes",
        "cp.async.bulk.shared::cta.global.mbarrier::complete_tx::bytes",
    ] {
        let body = format!(
            "@!%p15 bra GO;\nmbarrier.arrive.expect_tx.shared::cta.b64 _, [%r60], 1536;\n\
             {form} [%r61], [%in], 1024, [%r60];\nadd.u32 %r0, %r61, 1024;\nadd.u64 %l0, %in, 2048;\n\
             {form} [%r0], [%l0], 512, [%r60];\nGO:\n\
             WAIT:\nmbarrier.try_wait.parity.shared::cta.b64 %p0, [%r60], 0;\n@!%p0 bra WAIT;\n\
             mul.lo.u32 %r1, %me, 12;\nadd.u32 %r1, %r61, %r1;\nld.shared.u32 %r2, [%r1];\n\
             ld.shared.u32 %r3, [%r1+4];\nld.shared.u32 %r4, [%r1+8];\nmul.wide.u32 %l1, %me, 12;\n\
             add.u64 %l1, %out, %l1;\nst.global.u32 [%l1], %r2;\nst.global.u32 [%l1+4], %r3;\n\
             st.global.u32 [%l1+8], %r4;"
        );
        let data: Vec<u32> = (0..640).map(|i| i * 3 + 1).collect();
        let got = Program::new(128, &with_barrier(1, &body)).output(&device, &data, 384);
        let want: Vec<u32> =
            (0..384).map(|i| if i < 256 { data[i] } else { data[i + 256] }).collect();
        assert_eq!(got, want, "{form}");
    }
}

/// `expect_tx` and `complete_tx` on their own; the phase ends when arrivals and bytes are both done.
#[test]
fn transactions() {
    let device = device();
    let body = "setp.ne.u32 %p1, %me, 0;\n@%p1 ret;\n\
                mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%r60], 48;\n\
                mbarrier.arrive.shared.b64 _, [%r60];\n\
                mbarrier.test_wait.parity.shared.b64 %p2, [%r60], 0;\nselp.u32 %r0, 1, 0, %p2;\n\
                mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r60], 16;\n\
                mbarrier.test_wait.parity.shared.b64 %p2, [%r60], 0;\nselp.u32 %r1, 1, 0, %p2;\n\
                mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%r60], 32;\n\
                mbarrier.test_wait.parity.shared.b64 %p2, [%r60], 0;\nselp.u32 %r2, 1, 0, %p2;\n\
                st.global.u32 [%out], %r0;\nst.global.u32 [%out+4], %r1;\nst.global.u32 [%out+8], %r2;";
    assert_eq!(Program::new(32, &with_barrier(1, body)).output(&device, &[0u32], 3), [0, 0, 1]);
}

/// Shared to global, completing in a bulk group.
#[test]
fn bulk_stores() {
    let device = device();
    let body = "mad.lo.u32 %r1, %me, 4, %r61;\nmad.lo.u32 %r2, %me, 5, 9;\nst.shared.u32 [%r1], %r2;\n\
                fence.proxy.async.shared::cta;\nbar.sync 0;\n@!%p15 bra GO;\n\
                cp.async.bulk.global.shared::cta.bulk_group [%out], [%r61], 512;\n\
                cp.async.bulk.commit_group;\ncp.async.bulk.wait_group.read 0;\n\
                cp.async.bulk.wait_group 0;\nGO:";
    let want: Vec<u32> = (0..128).map(|me| me * 5 + 9).collect();
    assert_eq!(Program::new(128, &with_barrier(1, body)).output(&device, &[0u32], 128), want);
}

/// `cp.async` that arrives on a barrier when the thread's copies are done.
#[test]
fn copies_that_arrive() {
    let device = device();
    for (form, count) in [
        ("cp.async.mbarrier.arrive.noinc.shared.b64 [%r60];", 128),
        (
            "cp.async.mbarrier.arrive.shared.b64 [%r60];\nmbarrier.arrive.shared.b64 %l9, [%r60];",
            128,
        ),
    ] {
        let body = format!(
            "mad.lo.u32 %r1, %me, 16, %r61;\nmul.wide.u32 %l0, %me, 16;\nadd.u64 %l1, %in, %l0;\n\
             cp.async.cg.shared.global [%r1], [%l1], 16;\n{form}\n\
             WAIT:\nmbarrier.test_wait.parity.shared.b64 %p0, [%r60], 0;\n@!%p0 bra WAIT;\n\
             mov.u32 %r2, 127;\nsub.u32 %r2, %r2, %me;\nmad.lo.u32 %r2, %r2, 16, %r61;\n\
             ld.shared.u32 %r3, [%r2+8];\nst.global.u32 [%dst], %r3;"
        );
        let data: Vec<u32> = (0..512).map(|i| i * 7).collect();
        let got = Program::new(128, &with_barrier(count, &body)).output(&device, &data, 128);
        let want: Vec<u32> = (0..128).map(|me| data[(127 - me) * 4 + 2]).collect();
        assert_eq!(got, want, "{form}");
    }
}

/// Without `.shared` the address is a generic one.
#[test]
fn generic_addresses() {
    let device = device();
    let body = ".shared .align 8 .b8 bar[8];\n.shared .align 128 .b8 place[2048];\nmov.u64 %l20, bar;\n\
                cvta.shared.u64 %l21, %l20;\nmov.u32 %r61, place;\nsetp.eq.u32 %p15, %me, 0;\n\
                @%p15 mbarrier.init.b64 [%l21], 128;\nbar.sync 0;\n\
                mad.lo.u32 %r1, %me, 16, %r61;\nmul.wide.u32 %l0, %me, 16;\nadd.u64 %l1, %in, %l0;\n\
                cp.async.cg.shared.global [%r1], [%l1], 16;\n\
                cp.async.mbarrier.arrive.b64 [%l21];\n@%p15 mbarrier.expect_tx.relaxed.cta.b64 [%l21], 8;\n\
                mbarrier.arrive.b64 %l9, [%l21];\n@%p15 mbarrier.complete_tx.relaxed.cta.b64 [%l21], 8;\n\
                WAIT:\nmbarrier.try_wait.b64 %p0, [%l21], %l9;\n@!%p0 bra WAIT;\n\
                mbarrier.test_wait.parity.b64 %p1, [%l21], 0;\nselp.u32 %r4, 1, 0, %p1;\n\
                mov.u32 %r2, 127;\nsub.u32 %r2, %r2, %me;\nmad.lo.u32 %r2, %r2, 16, %r61;\n\
                ld.shared.u32 %r3, [%r2+8];\nadd.u32 %r3, %r3, %r4;\nst.global.u32 [%dst], %r3;\n\
                bar.sync 0;\n@%p15 mbarrier.inval.b64 [%l21];\n\
                @%p15 mbarrier.init.b64 [%l21], 1;\n@%p15 mbarrier.arrive_drop.b64 %l9, [%l21];";
    let data: Vec<u32> = (0..512).map(|i| i * 7).collect();
    let got = Program::new(128, body).output(&device, &data, 128);
    let want: Vec<u32> = (0..128).map(|me| data[(127 - me) * 4 + 2] + 1).collect();
    assert_eq!(got, want);
}
