//! Many CTAs: on several host threads, with the same results as on one.

use super::*;

fn wide(body: &str, threads: usize) -> Case<'_> {
    let mut case = Case::new(body, 64);
    case.grid = 200;
    case.config.threads = threads;
    case
}

#[test]
fn sums_of_floats_do_not_depend_on_host_threads() {
    let text = "mov.u32 %r1, %ctaid.x; mad.lo.u32 %r1, %r1, 64, %r0; cvt.rn.f32.u32 %f1, %r1;
        mul.f32 %f1, %f1, 0f3dcccccd; red.global.add.f32 [%rd0], %f1;
        red.global.add.u32 [%rd0+4], 1; red.global.max.u32 [%rd0+8], %r1;
        red.global.add.u64 [%rd0+16], 3;";
    let one = wide(text, 1).run().unwrap();
    let many = wide(text, 4).run().unwrap();
    assert_eq!(one, many);
    assert_eq!(one.0[1..6], [12800, 12799, 0, 38400, 0]);
}

#[test]
fn integer_sums_are_right_on_several_threads() {
    let text = "red.global.add.u32 [%rd0+4], 1; red.global.add.u64 [%rd0+16], 3;
        red.global.and.b32 [%rd0+8], 5; red.global.min.s32 [%rd0+12], -7;";
    let case = wide(text, 4);
    let device = Device::new(case.config.clone());
    let kernel = device.load_ptx("k", &case.source()).unwrap().kernel("k").unwrap();
    assert!(!kernel.runs_in_order());
    let words = case.words();
    assert_eq!(words[1..6], [12800, 0, -7i32 as u32, 38400, 0]);
}

#[test]
fn the_lowest_cta_that_faults_is_reported() {
    let text = "mov.u32 %r1, %ctaid.x; setp.lt.u32 %p0, %r1, 57;
        @%p0 bra OK;\ntrap;\nOK:";
    for threads in [1, 4] {
        for _ in 0..20 {
            let fault = wide(text, threads).faults(FaultKind::Trap, "trap");
            assert_eq!(fault.cta, [57, 0, 0]);
        }
    }
}

#[test]
fn counters_add_up() {
    let text = body("mov.u32 %r1, 5;");
    let (_, counters) = wide(&text, 4).run().unwrap();
    assert_eq!(counters.ctas, 200);
    // ld.param, mov, mov, mul, add, st, ret by two warps.
    assert_eq!(counters.warp_instructions, 200 * 2 * 7);
    assert_eq!(counters.thread_instructions, 200 * 64 * 7);
    assert_eq!(counters.global_store.bytes, 200 * 64 * 4);
    assert_eq!(counters.global_store.sectors, 200 * 8);
    assert_eq!(counters.lane_utilization(), 1.0);
    let line = counters.sites.iter().find(|s| s.class == crate::Class::GlobalStore).unwrap().line;
    assert_eq!(counters.line(line).count(), 3, "mul, add, st");
}

#[test]
fn a_later_cta_sees_what_the_last_block_needs() {
    // "The last CTA to finish adds up": the old value of the counter is used, so CTAs are in order.
    let text = "setp.ne.u32 %p0, %r0, 0; @%p0 bra E; mov.u32 %r3, %ctaid.x; add.u32 %r3, %r3, 1;
        red.global.add.u32 [%rd0+8], %r3;
        membar.gl; atom.global.inc.u32 %r1, [%rd0], 199;
        setp.ne.u32 %p1, %r1, 199; @%p1 bra E; ld.global.u32 %r2, [%rd0+8]; st.global.u32 [%rd0+4], %r2;
        E:";
    let words = wide(text, 4).words();
    assert_eq!(words[..3], [0, 20100, 20100]);
}
