//! Instructions by class, divergence, barriers, matrix operations.

use cuda_emulator::{Class, Counters};

use crate::common::launch::device;
use crate::common::program::Program;

fn count(program: &Program) -> Counters {
    let input: Vec<u32> = (0..1024).collect();
    let run = program.report(&device(), &input, 1024);
    run.unwrap_or_else(|e| panic!("{e}\n{}", program.body)).1.counters
}

/// The instructions around the body, which every program here has, and the `ret`.
fn frame(threads: u32) -> Counters {
    count(&Program::new(threads, ""))
}

#[test]
fn classes() {
    let body = "add.u32 %r0, %me, 1;\nmul.lo.u32 %r1, %r0, %r0;\ncvt.rn.f32.u32 %r2, %r1;\n\
                add.f32 %r3, %r2, %r2;\nfma.rn.f32 %r3, %r3, %r3, %r2;\nex2.approx.f32 %r4, %r3;\n\
                setp.gt.f32 %p0, %r3, %r2;\nselp.f32 %r5, %r3, %r2, %p0;\ncvt.f64.f32 %l0, %r5;\n\
                add.f64 %l1, %l0, %l0;\nshfl.sync.bfly.b32 %r6, %r5, 1, 31, -1;\nbar.sync 0;\n\
                st.global.f32 [%dst], %r6;";
    for threads in [32u32, 96, 50] {
        let (base, counters) = (frame(threads), count(&Program::new(threads, body)));
        // A short warp counts as a warp; the shuffle's mask names all of it, so 50 threads leave it out.
        if threads == 50 {
            continue;
        }
        let warps = u64::from(threads.div_ceil(32));
        let more = |class: Class| {
            let (now, before) = (counters.class(class), base.class(class));
            assert_eq!(now.thread - before.thread, 32 * (now.warp - before.warp), "{class:?}");
            (now.warp - before.warp) / warps
        };
        assert_eq!(more(Class::Integer), 2);
        assert_eq!(more(Class::Convert), 2);
        assert_eq!(more(Class::Float), 2);
        assert_eq!(more(Class::Special), 1);
        assert_eq!(more(Class::Compare), 2);
        assert_eq!(more(Class::Double), 1);
        assert_eq!(more(Class::Warp), 1);
        assert_eq!(more(Class::Barrier), 1);
        assert_eq!(more(Class::GlobalStore), 1);
        assert_eq!(counters.warp_instructions - base.warp_instructions, 13 * warps);
        assert_eq!(
            counters.thread_instructions - base.thread_instructions,
            13 * u64::from(threads)
        );
        assert_eq!(counters.barriers, warps);
        let sum: u64 = Class::ALL.iter().map(|&c| counters.class(c).warp).sum();
        assert_eq!(sum, counters.warp_instructions);
    }
}

#[test]
fn grids_add_up() {
    let body = "st.global.u32 [%dst], %me;";
    let one = count(&Program::new(64, body));
    let many = count(&Program::new(64, body).grid(7));
    assert_eq!((one.ctas, many.ctas), (1, 7));
    assert_eq!(many.warp_instructions, 7 * one.warp_instructions);
    assert_eq!(many.thread_instructions, 7 * one.thread_instructions);
    assert_eq!(many.global_store.sectors, 7 * one.global_store.sectors);
}

/// A branch that both sides take; one that the warp takes as a whole; a loop of unlike lengths.
#[test]
fn divergence() {
    let split = |limit: u32| {
        let body = format!(
            "setp.lt.u32 %p0, %me, {limit};\n@%p0 bra LOW; //!\nadd.u32 %r0, %me, 1;\nadd.u32 %r0, %r0, 1;\n\
             bra JOIN;\nLOW:\nadd.u32 %r0, %me, 2;\nJOIN:\nst.global.u32 [%dst], %r0;"
        );
        let program = Program::new(64, &body);
        let counters = count(&program);
        let branch = *counters.line(program.line("//!")).next().expect("a site");
        (counters, branch)
    };
    // 48: warp 0 as a whole one way, warp 1 splits.
    let (counters, branch) = split(48);
    // 48 threads have a true guard.
    assert_eq!((branch.warp, branch.thread, branch.extra), (2, 48, 1));
    assert_eq!(counters.divergent_branches, 1);
    let (whole, branch) = split(32);
    assert_eq!((branch.extra, whole.divergent_branches), (0, 0));
    // What splits runs both sides: three instructions and a branch more for the warp, none for threads.
    assert!(counters.warp_instructions > whole.warp_instructions);
    assert!(counters.lane_utilization() < whole.lane_utilization());

    // Lane i runs i + 1 rounds: 32 rounds for the warp, 528 for the threads.
    let body = "mov.u32 %r0, 0;\nLOOP:\nadd.u32 %r0, %r0, 1; //!\nsetp.le.u32 %p0, %r0, %me;\n@%p0 bra LOOP;\n\
                st.global.u32 [%dst], %r0;";
    let program = Program::new(32, body);
    let counters = count(&program);
    let site = counters.line(program.line("//!")).next().expect("a site");
    assert_eq!((site.warp, site.thread), (32, 528));
    assert_eq!(counters.divergent_branches, 31);
    // All together again behind the loop.
    let store = counters.line(program.line("st.global")).next().expect("a site");
    assert_eq!((store.warp, store.thread, store.sectors), (1, 32, 4));
}

#[test]
fn matrix_operations() {
    let body = "mov.u32 %r0, 0;\nmov.u32 %r8, 0;\nmov.u32 %r9, 0;\nLOOP:\n\
                mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r4, %r5, %r6, %r7}, {%r0, %r0, %r0, %r0}, \
                {%r0, %r0}, {%r0, %r0, %r0, %r0};\n\
                mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%r4, %r5, %r6, %r7}, {%r0, %r0}, {%r0}, \
                {%r0, %r0, %r0, %r0};\nadd.u32 %r9, %r9, 1;\nsetp.lt.u32 %p0, %r9, 5;\n@%p0 bra LOOP;";
    let counters = count(&Program::new(96, body).grid(2));
    let warps = 6;
    assert_eq!(counters.mma, warps * 5 * 2);
    assert_eq!(counters.mma_macs, warps * 5 * (16 * 8 * 16 + 16 * 8 * 8));
    assert_eq!(counters.class(Class::Matrix).warp, counters.mma);
}

/// Barriers count the warps that arrive; nothing depends on how many host threads run.
#[test]
fn barriers_and_host_threads() {
    let body = "bar.sync 0;\nbar.sync 0;\nbar.warp.sync -1;\nst.global.u32 [%dst], %me;";
    let program = Program::new(96, body).grid(5);
    assert_eq!(count(&program).barriers, 5 * 3 * 2);
    let with = |threads: usize| {
        let config = cuda_emulator::DeviceConfig { threads, ..Default::default() };
        let device = crate::common::launch::device_with(config);
        program.report(&device, &[0u32; 128], 128).expect("clean").1.counters
    };
    assert_eq!(with(1), with(2));
    assert_eq!(with(1), with(7));
}
