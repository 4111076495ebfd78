//! What a device refuses, and what it says when a kernel fails.

use attn_kernels::cuda::{CudaBackend, CudaDevice, Driver, Launch, PtxModule};
use attn_kernels::{AttentionShape, Backend, Batch, CacheShape, Error, LayerScales};
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
    assert_eq!(message(bad.has("bad", "other").unwrap_err()), text, "kept");

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

/// Another stream of the same device: nobody orders its kernels against ours.
pub(crate) fn foreign(device: &CudaDevice) {
    let ours = CudaBackend::new(device.clone());
    let theirs = CudaBackend::new(CudaDevice::new(0).unwrap());
    let shape = CacheShape::new(4, 16, 1, 64, F8E4M3, F8E4M3);
    let (mut cache, mut other) =
        (ours.new_cache(shape.clone()).unwrap(), theirs.new_cache(shape.clone()).unwrap());
    let (mut own, mut alien) = (ours.zeros(64).unwrap(), theirs.zeros(64).unwrap());
    let scales = LayerScales::default();
    let mut batch = Batch::new();
    batch.push(1, 1, [1]);
    let plan = ours.plan(&shape, &AttentionShape::new(1, 0.125), &batch).unwrap();
    let q = own.clone();
    let mut host = vec![0; shape.block_bytes()];
    for (name, result) in [
        ("the cache", ours.append(&mut other, &scales, &own, &own, &[16])),
        ("k", ours.append(&mut cache, &scales, &alien, &own, &[16])),
        ("v", ours.append(&mut cache, &scales, &own, &alien, &[16])),
        ("q", ours.attention(&plan, &cache, &scales, &alien, &mut own, None)),
        ("out", ours.attention(&plan, &cache, &scales, &q, &mut alien, None)),
        ("the cache", ours.attention(&plan, &other, &scales, &q, &mut own, None)),
        ("the cache", ours.copy_blocks(&mut other, &[(0, 1)])),
        ("the source", ours.copy_blocks_from(&mut cache, &other, &[(0, 1)])),
        ("the cache", ours.swap_out(&other, &[1], &mut host)),
        ("the allocation", ours.copy(&alien, &mut own)),
        ("the allocation", ours.write(&alien, &[0.0; 64])),
        ("the allocation", ours.download(&alien).map(|_| ())),
    ] {
        assert_eq!(result, Err(Error::ForeignMemory { name }));
    }
    // A clone of the device is the same stream, and another backend on it may use all of it.
    let same = CudaBackend::new(device.clone());
    same.append(&mut cache, &scales, &own, &own, &[16]).unwrap();
    same.attention(&plan, &cache, &scales, &q, &mut own, None).unwrap();
    same.download(&own).unwrap();
}
