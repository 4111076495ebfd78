//! mbarrier objects: used before they are made, made twice, used after their end, touched by what is no
//! mbarrier operation, overflown.

use cuda_emulator::FaultKind;

use super::seeded::Seeded;

/// Thread 0 makes an object for 32 arrivals in `bar`, of which `%r0` is the address; all see it.
const MADE: &str = ".shared .align 8 .b8 bar[16];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                    @%p0 mbarrier.init.shared::cta.b64 [%r0], 32;\nbar.sync 0;\n";

fn caught(body: &str, broken: &str, clean: &str, thread: u32) {
    Seeded::new(32, body, broken, clean).caught(FaultKind::IllegalMbarrier, 0, thread);
}

#[test]
fn used_before_it_is_made() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n@@\n\
                bar.sync 0;\nmbarrier.arrive.shared::cta.b64 _, [%r0]; //!";
    caught(body, "", "@%p0 mbarrier.init.shared::cta.b64 [%r0], 32;", 0);
}

#[test]
fn made_twice() {
    let body = format!("{MADE}@@\n@%p0 mbarrier.init.shared::cta.b64 [%r0], 1; //!");
    caught(&body, "", "@%p0 mbarrier.inval.shared::cta.b64 [%r0];", 0);
}

/// Every lane makes it, where one was to.
#[test]
fn made_by_all() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                @@ mbarrier.init.shared::cta.b64 [%r0], 32; //!";
    caught(body, "", "@%p0", 1);
}

#[test]
fn used_after_its_end() {
    let body = format!(
        "{MADE}@%p0 mbarrier.inval.shared::cta.b64 [%r0];\n@@\nbar.sync 0;\n\
         mbarrier.arrive.shared::cta.b64 _, [%r0]; //!"
    );
    caught(&body, "", "@%p0 mbarrier.init.shared::cta.b64 [%r0], 32;", 0);
}

#[test]
fn ended_twice() {
    let body = format!(
        "{MADE}@%p0 mbarrier.inval.shared::cta.b64 [%r0];\n@@\n\
         @%p0 mbarrier.inval.shared::cta.b64 [%r0]; //!"
    );
    caught(&body, "", "@%p0 mbarrier.init.shared::cta.b64 [%r0], 32;", 0);
}

/// A plain load, a plain store, an atomic, a volatile load, a part of it, an asynchronous copy: while
/// the object lives.
#[test]
fn touched_by_others() {
    let ending =
        "@%p0 mbarrier.inval.shared::cta.b64 [%r0];\n@%p0 st.shared.u64 [%r0], 5;\nbar.sync 0;";
    for touch in [
        "ld.shared.u32 %r3, [%r0];",
        "ld.shared.u64 %l3, [%r0];",
        "@%p0 st.shared.u32 [%r0+4], 1;",
        "@%p0 st.shared.u8 [%r0+7], 1;",
        "@%p0 atom.shared.add.u32 %r3, [%r0], 1;",
        "@%p0 red.shared.add.u32 [%r0+4], 1;",
        "ld.volatile.shared.u32 %r3, [%r0+4];",
        "@%p0 cp.async.ca.shared.global [%r0], [%in], 8;",
        "@%p0 cp.async.cg.shared.global [%r0], [%in], 16;",
    ] {
        let body = format!("{MADE}@@\n{touch} //!\ncp.async.wait_all;");
        // A row of sixteen bytes has to be aligned.
        let body = body.replace(".align 8 .b8 bar", ".align 16 .b8 bar");
        caught(&body, "", ending, 0);
    }
}

/// The bytes of an object that has ended hold nothing.
#[test]
fn read_after_its_end() {
    let body = format!(
        "{MADE}@%p0 mbarrier.inval.shared::cta.b64 [%r0];\n@@\n@%p0 ld.shared.u32 %r3, [%r0]; //!"
    );
    Seeded::new(32, &body, "", "@%p0 st.shared.u32 [%r0], 1;").caught(
        FaultKind::UninitializedMemory,
        0,
        0,
    );
}

/// Made where another thread's data stands, with nothing between.
#[test]
fn made_over_data_in_use() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                setp.eq.u32 %p1, %me, 5;\n@%p1 st.shared.u32 [%r0], 7;\n@@\n\
                @%p0 mbarrier.init.shared::cta.b64 [%r0], 32; //!";
    Seeded::new(32, body, "", "bar.warp.sync -1;").caught(FaultKind::WarpRace, 0, 0);
}

/// 33 arrivals in a phase of 32: the last comes before the phase can end.
#[test]
fn more_arrivals_than_it_counts() {
    let body = format!("{MADE}mov.u32 %r1, @@\nmbarrier.arrive.shared::cta.b64 _, [%r0], %r1; //!");
    Seeded::new(32, &body, "33;", "1;").caught(FaultKind::IllegalMbarrier, 0, 0);
}

#[test]
fn of_no_arrivals() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                @%p0 mbarrier.init.shared::cta.b64 [%r0], @@";
    caught(body, "0; //!", "32;", 0);
}

#[test]
fn misaligned() {
    let body = ".shared .align 8 .b8 bar[16];\nmov.u32 %r0, bar;\nsetp.eq.u32 %p0, %me, 0;\n\
                @%p0 mbarrier.init.shared::cta.b64 [%r0+@@";
    Seeded::new(32, body, "4], 32; //!", "8], 32;").caught(FaultKind::Misaligned, 0, 0);
}

/// A generic address has to be one of shared memory.
#[test]
fn generic_address_elsewhere() {
    let body = ".shared .align 8 .b8 bar[8];\nmov.u64 %l0, bar;\ncvta.shared.u64 %l1, %l0;\n\
                mov.u64 %l2, %out;\nsetp.eq.u32 %p0, %me, 0;\n@%p0 mbarrier.init.b64 @@";
    Seeded::new(32, body, "[%l2], 32; //!", "[%l1], 32;").caught(FaultKind::OutOfBounds, 0, 0);
}
