//! Tensors, and kernels that another crate brings.

use attn_kernels::cuda::{Argument, CudaBackend, CudaDevice, Driver, Launch, PtxModule};
use fp8_format::ElementType::{Bf16, F16, F32};

/// `struct { float *values; u32 n; float factor; }`: `values[i] *= factor` below `n`.
const MULTIPLY: &str = "
.version 7.0
.target sm_80
.address_size 64
.visible .entry multiply(
	.param .align 8 .b8 multiply_param_0[16]
)
{
	.reg .pred %p<2>;
	.reg .b32 %r<6>;
	.reg .f32 %f<4>;
	.reg .b64 %rd<4>;
	ld.param.u64 %rd1, [multiply_param_0];
	ld.param.u32 %r1, [multiply_param_0+8];
	ld.param.f32 %f1, [multiply_param_0+12];
	mov.u32 %r2, %ctaid.x;
	mov.u32 %r3, %ntid.x;
	mov.u32 %r4, %tid.x;
	mad.lo.s32 %r5, %r2, %r3, %r4;
	setp.ge.u32 %p1, %r5, %r1;
	@%p1 bra DONE;
	mul.wide.u32 %rd2, %r5, 4;
	add.s64 %rd3, %rd1, %rd2;
	ld.global.f32 %f2, [%rd3];
	mul.f32 %f3, %f2, %f1;
	st.global.f32 [%rd3], %f3;
DONE:
	ret;
}
";

pub(crate) const OWN: &[PtxModule] = &[PtxModule { arch: "sm_80", name: "own", text: MULTIPLY }];

/// A launch of the kernel above.
pub(crate) fn multiply(
    backend: &CudaBackend,
    address: u64,
    n: u32,
    factor: f32,
) -> Result<(), attn_kernels::Error> {
    let argument = Argument::new().u64(address).u32(n).f32(factor).finish();
    let launch = Launch {
        module: "own",
        kernel: "multiply",
        grid: [n.div_ceil(64), 1, 1],
        threads: 64,
        shared: 0,
        argument: &argument,
    };
    // SAFETY: `n` floats of a live tensor; of more, an emulated device tells.
    unsafe { backend.driver().launch(&launch) }
}

pub(crate) fn own_modules(first: &CudaDevice) {
    assert!(!first.has("own", "multiply").unwrap());
    let backend = CudaBackend::new(CudaDevice::with_modules(0, OWN).unwrap());
    let device = backend.driver();
    assert!(device.has("own", "multiply").unwrap() && !device.has("own", "divide").unwrap());
    assert!(device.has("append", "append_kv").unwrap(), "ours are still there");
    let resident = device.resident_ctas("own", "multiply", 64, 0).unwrap();
    assert!(resident >= device.multiprocessors(), "{resident}");
    let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
    let tensor = backend.upload(&values).unwrap();
    // The second works on a part, in the order of the stream.
    multiply(&backend, backend.address(&tensor), 100, 2.0).unwrap();
    let part = tensor.view(40..60).unwrap();
    multiply(&backend, backend.address(&part), 20, 0.5).unwrap();
    let expected = |i: usize| if (40..60).contains(&i) { i as f32 } else { 2.0 * i as f32 };
    assert_eq!(backend.download(&tensor).unwrap(), (0..100).map(expected).collect::<Vec<_>>());
    assert_eq!(backend.download(&part).unwrap(), &values[40..60]);
}

pub(crate) fn tensors(device: &CudaDevice) {
    let backend = CudaBackend::new(device.clone());
    let (free, total) = device.memory_info().unwrap();
    assert!(free <= total && total > 1 << 30);

    let tensor = backend.zeros(64).unwrap();
    assert_eq!(backend.download(&tensor).unwrap(), [0.0; 64]);
    // What is written is taken at the call, though it may arrive later.
    let mut values = vec![1.5f32; 64];
    backend.write(&tensor, &values).unwrap();
    values.fill(-1.0);
    let mut other = backend.zeros(64).unwrap();
    backend.copy(&tensor, &mut other).unwrap();
    backend.write(&tensor, &values).unwrap();
    assert_eq!(backend.download(&other).unwrap(), [1.5; 64]);
    let mut read = [0.0; 8];
    backend.read(&tensor.view(56..64).unwrap(), &mut read).unwrap();
    assert_eq!(read, [-1.0; 8]);
    // Parts of one tensor into another.
    let mut part = other.view(8..16).unwrap();
    backend.copy(&tensor.view(0..8).unwrap(), &mut part).unwrap();
    backend.driver().synchronize().unwrap();
    let got = backend.download(&other).unwrap();
    assert!(
        got.iter().enumerate().all(|(i, &x)| x == if (8..16).contains(&i) { -1.0 } else { 1.5 })
    );

    backend.copy(&other.view(0..8).unwrap(), &mut part).unwrap();
    assert_eq!(backend.download(&part).unwrap(), [1.5; 8]);

    let halves = backend.upload_bytes(F16, &[0, 0x3c, 0, 0x40]).unwrap();
    assert_eq!((halves.len(), halves.bytes(), halves.element()), (2, 4, F16));
    assert_eq!(backend.zeros_of(Bf16, 7).unwrap().bytes(), 14);
    for error in [
        backend.upload_bytes(F32, &[0; 7]).unwrap_err(),
        backend.write(&tensor, &[0.0; 3]).unwrap_err(),
        backend.read(&tensor, &mut [0.0; 3]).unwrap_err(),
        backend.download(&halves).unwrap_err(),
        backend.copy(&halves, &mut other).unwrap_err(),
        backend.copy(&tensor, &mut part).unwrap_err(),
        // Of one tensor.
        backend.copy(&other.view(4..12).unwrap(), &mut part).unwrap_err(),
        backend.copy(&part.clone(), &mut part).unwrap_err(),
        backend.zeros(usize::MAX / 2).unwrap_err(),
    ] {
        let text = error.to_string();
        assert!(["must", "overlap", "does not fit"].iter().any(|why| text.contains(why)), "{text}");
    }
}

/// The driver may read page-locked memory later: what the caller writes there then must not arrive.
pub(crate) fn page_locked(device: &CudaDevice) {
    const BYTES: usize = 1 << 16;
    let memory = device.alloc(2 * BYTES).unwrap();
    let mut pinned = device.pinned(BYTES).unwrap();
    let mut got = vec![0; 2 * BYTES];
    for round in [1, 2, 3] {
        pinned.as_mut().fill(round);
        device.write(&memory, 0, pinned.as_ref()).unwrap();
        pinned.as_mut().fill(round + 10);
        device.write_pinned(&memory, BYTES, &pinned, 0..BYTES).unwrap();
        pinned.as_mut().fill(round + 20);
        // A part in the middle, as a slice like any other.
        device.write(&memory, 64, &pinned.as_ref()[100..132]).unwrap();
        pinned.as_mut().fill(round + 30);
        device.read(&memory, 0, &mut got).unwrap();
        let wanted = |i: usize| match i {
            64..96 => round + 20,
            i if i < BYTES => round,
            _ => round + 10,
        };
        assert!(got.iter().enumerate().all(|(i, &byte)| byte == wanted(i)), "round {round}");
    }
    device.write(&memory, 0, &[]).unwrap();
    device.write_pinned(&memory, 0, &pinned, 8..8).unwrap();
}
