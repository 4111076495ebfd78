//! Someone else's kernel on the emulated device: right once, and once with a block too many.

use cuda_emulator::{Device, DeviceConfig, Error, FaultKind, LaunchConfig, Params};

const DOUBLE: &str = "
.version 7.8
.target sm_80
.address_size 64
.visible .entry twice(.param .u64 values)
{
    .reg .f32 %f<3>;
    .reg .b32 %r<5>;
    .reg .b64 %rd<4>;
    ld.param.u64 %rd1, [values];
    mov.u32 %r1, %ctaid.x;
    mov.u32 %r2, %ntid.x;
    mov.u32 %r3, %tid.x;
    mad.lo.s32 %r4, %r1, %r2, %r3;
    mul.wide.u32 %rd2, %r4, 4;
    add.s64 %rd3, %rd1, %rd2;
    ld.global.f32 %f1, [%rd3];
    add.f32 %f2, %f1, %f1;
    st.global.f32 [%rd3], %f2;
    ret;
}
";

fn main() -> Result<(), Error> {
    let device = Device::new(DeviceConfig::default());
    let module = device.load_ptx("twice.ptx", DOUBLE)?;
    let kernel = module.kernel("twice")?;
    let values = device.alloc(4 * 64)?;
    let ones: Vec<u8> = [1f32; 64].iter().flat_map(|x| x.to_le_bytes()).collect();
    device.write(values, &ones)?;
    let params = Params::new().ptr(values).finish();

    let report = device.launch(&kernel, LaunchConfig::linear(2, 32), &params)?;
    let mut back = [0; 4 * 64];
    device.read(values, &mut back)?;
    assert!(back.chunks_exact(4).all(|x| x == 2f32.to_le_bytes()));
    assert_eq!(report.counters.global_load.bytes, 256);

    let error = device.launch(&kernel, LaunchConfig::linear(3, 32), &params).unwrap_err();
    let fault = error.fault().expect("a fault of the kernel");
    assert_eq!((fault.kind, fault.cta), (FaultKind::OutOfBounds, [2, 0, 0]));
    println!("{error}");
    Ok(())
}
