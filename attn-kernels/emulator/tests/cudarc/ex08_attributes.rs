//! 08: what the device and a kernel say of themselves, and occupancy.

use cudarc::driver::sys::{CUdevice_attribute::*, CUfunction_attribute::*, CUresult::*};
use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg};

use crate::fails_with;

pub(crate) fn main() -> Result<(), DriverError> {
    assert_eq!(CudaContext::device_count()?, 1);
    fails_with(CudaContext::new(1), CUDA_ERROR_INVALID_DEVICE);
    let context = CudaContext::new(0)?;
    assert_eq!(context.compute_capability()?, (9, 0));
    assert!(context.name()?.contains("H100"), "{}", context.name()?);
    assert_ne!(context.uuid()?.bytes, [0; 16]);
    assert_eq!(context.attribute(CU_DEVICE_ATTRIBUTE_WARP_SIZE)?, 32);
    assert_eq!(context.attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?, 132);
    assert_eq!(context.attribute(CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)?, 0);
    assert!(context.has_async_alloc());

    let module = crate::kernels(&context)?;
    let turn = module.load_function("turn")?;
    assert_eq!(turn.shared_size_bytes()?, 768);
    assert_eq!(turn.max_threads_per_block()?, 128);
    assert_eq!(turn.local_size_bytes()?, 0);
    assert_eq!((turn.ptx_version()?, turn.binary_version()?), (80, 90));
    // Registers are the work of ptxas, which did not run.
    fails_with(turn.num_regs(), CUDA_ERROR_NOT_SUPPORTED);
    fails_with(turn.num_regs(), CUDA_ERROR_NOT_SUPPORTED);

    assert_eq!(turn.occupancy_max_active_blocks_per_multiprocessor(128, 0, None)?, 16);
    let half = 112 << 10;
    assert_eq!(turn.occupancy_max_active_blocks_per_multiprocessor(128, half, None)?, 2);
    assert_eq!(turn.occupancy_max_active_blocks_per_multiprocessor(256, 0, None)?, 0);
    extern "C" fn nothing(_threads: i32) -> usize {
        0
    }
    assert_eq!(turn.occupancy_max_potential_block_size(nothing, 0, 0, None)?, (16 * 132, 128));
    let room = turn.occupancy_available_dynamic_smem_per_block(2, 128)?;
    assert_eq!(room, (114 << 10) - 1024 - 768);

    // More shared memory than 48 KiB is there for those who ask.
    let stream = context.default_stream();
    let mut x = stream.alloc_zeros::<f32>(128)?;
    let bytes = 100 << 10;
    let config =
        LaunchConfig { grid_dim: (1, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: bytes };
    // SAFETY: one block of 128 values.
    let launched = unsafe { stream.launch_builder(&turn).arg(&mut x).launch(config) };
    fails_with(launched, CUDA_ERROR_INVALID_VALUE);
    turn.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes as i32)?;
    // SAFETY: as above.
    unsafe { stream.launch_builder(&turn).arg(&mut x).launch(config) }?;
    let too_much = turn.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, 227 << 10);
    fails_with(too_much, CUDA_ERROR_INVALID_VALUE);
    stream.synchronize()
}
