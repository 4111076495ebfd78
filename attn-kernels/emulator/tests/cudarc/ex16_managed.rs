//! 16: managed memory, which host and kernels use without a copy.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, sys};

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let saxpy = crate::kernels(&context)?.load_function("saxpy")?;
    // SAFETY: written before they are read.
    let (mut x, mut y) =
        unsafe { (context.alloc_unified::<f32>(100, true)?, context.alloc_unified(100, false)?) };
    x.as_mut_slice()?.iter_mut().zip(0_u8..).for_each(|(x, i)| *x = f32::from(i));
    y.as_mut_slice()?.fill(1.0);

    let config = LaunchConfig { grid_dim: (4, 1, 1), block_dim: (32, 1, 1), shared_mem_bytes: 0 };
    let mut launch = stream.launch_builder(&saxpy);
    launch.arg(&2.0_f32).arg(&x).arg(&mut y).arg(&100_u32);
    // SAFETY: the kernel looks at no more than 100 values of each.
    unsafe { launch.launch(config) }?;
    stream.synchronize()?;
    assert!(y.as_slice()?.iter().zip(0_u8..).all(|(y, i)| *y == 2.0 * f32::from(i) + 1.0));
    // Copies between it and memory of the device.
    let mut device = stream.alloc_zeros::<f32>(100)?;
    stream.memcpy_dtod(&y, &mut device)?;
    assert_eq!(stream.clone_dtoh(&device)?, y.as_slice()?);

    let stray = [0_u8; 8].as_ptr().addr() as u64;
    // SAFETY: no memory is touched.
    unsafe {
        fails_with(sys::cuMemAdvise(stray, 8, ADVICE, 0).result(), CUDA_ERROR_INVALID_VALUE);
        let mut place = 0;
        let none = sys::cuMemAllocManaged(&raw mut place, 8, 4).result();
        fails_with(none, CUDA_ERROR_INVALID_VALUE);
    }
    Ok(())
}

const ADVICE: sys::CUmem_advise = sys::CUmem_advise::CU_MEM_ADVISE_SET_READ_MOSTLY;
