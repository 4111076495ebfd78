//! Faults of single threads: what is reported, and where.

use super::*;

#[test]
fn out_of_bounds_names_thread_address_and_allocation() {
    let text = "mov.u32 %r1, 1; mul.wide.u32 %rd1, %r0, 4; add.s64 %rd1, %rd0, %rd1;
        \nst.global.u32 [%rd1+3900], %r1;";
    let fault = Case::new(text, 64).faults(FaultKind::OutOfBounds, "st.global");
    assert_eq!((fault.thread, fault.warp, fault.lane), ([49, 0, 0], 1, 17));
    let a = fault.allocation.clone().unwrap();
    assert_eq!((a.name.as_str(), a.size, a.offset, a.freed), ("out", 4096, 4096, false));
    let message = fault.to_string();
    assert!(message.starts_with("case.ptx:"), "{message}");
    for part in ["CTA (0,0,0)", "thread (49,0,0)", "allocation out, 4096 bytes", "kernel k"] {
        assert!(message.contains(part), "{message}");
    }
}

#[test]
fn each_space_has_its_bounds() {
    for (text, kind) in [
        ("ld.global.u32 %r1, [%rd0+-4];", FaultKind::OutOfBounds),
        ("ld.global.u32 %r1, [%rd0+2];", FaultKind::Misaligned),
        ("ld.global.v4.u32 {%r1,%r2,%r3,%r4}, [%rd0+8];", FaultKind::Misaligned),
        ("mov.u64 %rd1, 0; ld.global.u32 %r1, [%rd1];", FaultKind::OutOfBounds),
        ("mov.u64 %rd1, 0; ld.u32 %r1, [%rd1];", FaultKind::OutOfBounds),
        ("mov.u32 %r2, sh; ld.shared.u32 %r1, [%r2+1024];", FaultKind::OutOfBounds),
        ("mov.u32 %r2, sh; st.shared.u32 [%r2+-4], 0;", FaultKind::OutOfBounds),
        ("mov.u32 %r2, sh; st.shared.u32 [%r2+1], 0;", FaultKind::Misaligned),
        ("mov.u32 %r2, lo; st.local.u32 [%r2+64], 0;", FaultKind::OutOfBounds),
        ("ld.shared.u32 %r1, [sh];", FaultKind::UninitializedMemory),
        ("ld.local.u32 %r1, [lo];", FaultKind::UninitializedMemory),
        ("st.local.u8 [lo], 1; ld.local.u32 %r1, [lo];", FaultKind::UninitializedMemory),
        ("st.shared.u8 [sh], 1; ld.shared.u16 %h1, [sh];", FaultKind::UninitializedMemory),
        ("add.u32 %r1, %r9, 1;", FaultKind::UninitializedRegister),
        ("@%p3 mov.u32 %r1, 1;", FaultKind::UninitializedRegister),
        ("mov.u32 %r8, %r9; add.u32 %r1, %r8, 1;", FaultKind::UninitializedRegister),
        ("add.s64 %rd1, %rd9, 1;", FaultKind::UninitializedRegister),
        ("trap;", FaultKind::Trap),
    ] {
        let fault = Case::new(text, 1).fault();
        assert_eq!(fault.kind, kind, "{text}: {fault}");
    }
}

#[test]
fn registers_are_named_and_checked_per_lane() {
    let text = "setp.lt.u32 %p0, %r0, 20; @%p0 mov.u32 %r4, 1;\nadd.u32 %r1, %r4, 1;";
    let fault = Case::new(text, 32).faults(FaultKind::UninitializedRegister, "add.u32");
    assert_eq!((fault.lane, fault.detail.as_str()), (20, "%r4"));
    let guarded = text.replace("\nadd", "\n@%p0 add");
    Case::new(&guarded, 32).words();
}

#[test]
fn a_negative_base_may_come_back_into_shared_memory() {
    let text = body("st.shared.u32 [sh+4], 9; mov.u32 %r2, -60; ld.shared.u32 %r1, [%r2+64];");
    assert_eq!(Case::new(&text, 1).words()[0], 9);
}

#[test]
fn freed_memory_is_known() {
    let case = Case::new("ld.global.u32 %r1, [%rd0+16];", 1);
    let device = Device::new(case.config.clone());
    let module = device.load_ptx("case.ptx", &case.source()).unwrap();
    let gone = device.alloc_named("gone", 64).unwrap();
    let unwritten = device.alloc_named("unwritten", 64).unwrap();
    device.free(gone).unwrap();
    let kernel = module.kernel("k").unwrap();
    let launch = |pointer| {
        let params = Params::new().ptr(pointer).finish();
        *Box::new(device.launch(&kernel, LaunchConfig::linear(1, 1), &params).unwrap_err())
    };
    let error = launch(gone);
    let fault = error.fault().unwrap();
    assert_eq!(fault.kind, FaultKind::UseAfterFree);
    assert_eq!(fault.allocation.as_ref().unwrap().name, "gone");
    assert_eq!(launch(unwritten).fault().unwrap().kind, FaultKind::UninitializedMemory);
}

#[test]
fn constants_cannot_be_written() {
    let source = ".version 8.0\n.target sm_80\n.address_size 64\n.const .u32 c = 5;\n.global .u32 g = 6;
        .visible .entry k()\n{ .reg .b64 %rd<3>; .reg .b32 %r<3>; mov.u64 %rd0, g; ld.const.u32 %r0, [c];
        st.global.u32 [%rd0], %r0; mov.u64 %rd1, c; cvta.const.u64 %rd1, %rd1;\nst.u32 [%rd1], 1;\nret; }\n";
    let device = Device::new(DeviceConfig::default());
    let module = device.load_ptx("c.ptx", source).unwrap();
    let kernel = module.kernel("k").unwrap();
    let error = device.launch(&kernel, LaunchConfig::linear(1, 1), &[]).unwrap_err();
    let fault = error.fault().unwrap();
    assert_eq!((fault.kind, fault.line), (FaultKind::ReadOnly, 9), "{fault}");
    let (g, size) = module.variable("g").unwrap();
    assert_eq!((read(&device, g, 1), size), (vec![5], 4));
}
