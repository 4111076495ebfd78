//! What a device refuses, and what it says when a kernel fails.

use attn_kernels::cuda::{CudaBackend, CudaDevice, Driver, Launch, PtxModule};
use attn_kernels::{Backend, CacheShape, Error};
use cudarc::driver::DriverError;
use cudarc::driver::sys::CUresult;
use fp8_format::ElementType::{F8E4M3, F32};

use crate::device::{OWN, multiply};
use crate::gate::is_emulated;

/// Nothing but a header.
const NEW: &[PtxModule] =
    &[PtxModule { arch: "sm_80", name: "new", text: ".version 99.0\n.target sm_80\n" }];
const BAD: &[PtxModule] = &[PtxModule {
    arch: "sm_80",
    name: "bad",
    text: ".version 7.0\n.target sm_80\n.address_size 64\n.visible .entry k(\n.param .u64 k_param_0\n)\n{ nonsense; }\n",
}];
const TWICE: &[PtxModule] = &[PtxModule { arch: "sm_80", name: "append", text: "" }];

pub(crate) fn refused(device: &CudaDevice) {
    let message = |error: Error| error.to_string();
    let no_device = CudaDevice::new(1000).unwrap_err();
    assert!(matches!(no_device, Error::NoDevice { ordinal: 1000, count: 1.. }), "{no_device:?}");
    assert!(matches!(
        CudaDevice::with_modules(0, TWICE).unwrap_err(),
        Error::DuplicateModule { .. }
    ));

    let (free, total) = device.memory_info().unwrap();
    match device.alloc(2 * total).unwrap_err() {
        Error::DeviceMemory { need, free: left } => {
            assert_eq!(need, 2 * total);
            assert!(left <= free, "{left}");
        }
        other => panic!("{other:?}"),
    }
    // A refused allocation harms nothing.
    let memory = device.alloc(64).unwrap();
    let mut bytes = [1; 32];
    device.read(&memory, 32, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 32]);
    let range = "32 bytes at 33 are not within an allocation of 64";
    assert_eq!(message(device.read(&memory, 33, &mut bytes).unwrap_err()), range);
    assert_eq!(message(device.write(&memory, 33, &bytes).unwrap_err()), range);
    assert_eq!(message(device.copy((&memory, 0), (&memory, 33), 32).unwrap_err()), range);
    assert!(device.write(&memory, usize::MAX, &bytes).is_err());

    let launch = Launch {
        module: "append",
        kernel: "append_kv",
        grid: [1, 1, 1],
        threads: 128,
        shared: 0,
        argument: &[0; 8],
    };
    // SAFETY: refused.
    let text = message(unsafe { device.launch(&launch) }.unwrap_err());
    assert!(
        text.starts_with("append_kv takes ") && text.ends_with("of arguments, got 8"),
        "{text}"
    );
    let absent = Launch { kernel: "append_nothing", ..launch };
    // SAFETY: refused.
    let text = message(unsafe { device.launch(&absent) }.unwrap_err());
    assert!(text.starts_with("no kernel append_nothing in module append for "), "{text}");

    let new = CudaDevice::with_modules(0, NEW).unwrap();
    let text = message(new.has("new", "k").unwrap_err());
    assert!(text.ends_with("the kernels of new need 103.0"), "{text}");
    let bad = CudaDevice::with_modules(0, BAD).unwrap();
    let text = message(bad.has("bad", "k").unwrap_err());
    assert!(text.contains("module bad cannot be loaded") && text.contains("nonsense"), "{text}");

    let backend = CudaBackend::new(device.clone());
    let error = backend.new_cache(CacheShape::new(4, 16, 1, 64, F32, F8E4M3)).unwrap_err();
    assert_eq!(message(error), "cuda backend does not support f32 storage");
}

/// An address that nobody allocated: the launch or the next wait says so, and so does all after it.
pub(crate) fn fault(device: &CudaDevice) {
    if !is_emulated(device) {
        // A GPU's context would be lost for the tests beside this one.
        return;
    }
    let backend = CudaBackend::new(CudaDevice::with_modules(0, OWN).unwrap());
    let tensor = backend.zeros(16).unwrap();
    let launched = multiply(&backend, backend.address(&tensor), 17, 2.0);
    let error = launched.and_then(|()| backend.driver().synchronize()).unwrap_err();
    assert!(error.to_string().contains("CUDA_ERROR_ILLEGAL_ADDRESS"), "{error}");
    assert!(backend.download(&tensor).is_err());
}

/// An error that an earlier call left (of memory that was let go, say) is told once, by a call that
/// waits all the same.
pub(crate) fn waited(_: &CudaDevice) {
    let backend = CudaBackend::new(CudaDevice::with_modules(0, OWN).unwrap());
    let (device, stream) = (backend.driver(), backend.driver().stream());
    let tensor = backend.upload(&[1.0; 64]).unwrap();
    multiply(&backend, backend.address(&tensor), 64, 2.0).unwrap();
    let event = stream.record_event(None).unwrap();
    let left = DriverError(CUresult::CUDA_ERROR_INVALID_VALUE);
    stream.context().record_err(Err::<(), _>(left));
    let error = device.synchronize().unwrap_err().to_string();
    assert!(error.contains("CUDA_ERROR_INVALID_VALUE"), "{error}");
    assert!(event.is_complete(), "nobody waited");
    device.synchronize().unwrap();
    assert_eq!(backend.download(&tensor).unwrap(), [2.0; 64]);
}
