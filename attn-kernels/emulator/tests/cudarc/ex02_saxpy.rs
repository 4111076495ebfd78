//! 02: a kernel.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg};

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let module = crate::kernels(&context)?;
    let (saxpy, turn) = (module.load_function("saxpy")?, module.load_function("turn")?);

    let x: Vec<f32> = (0..1000).map(|i| i as f32).collect();
    let (x_dev, mut y_dev) = (stream.clone_htod(&x)?, stream.clone_htod(&[1.0_f32; 1000])?);
    let config = LaunchConfig { grid_dim: (4, 1, 1), block_dim: (256, 1, 1), shared_mem_bytes: 0 };
    for a in [2.0_f32, 0.5] {
        let mut launch = stream.launch_builder(&saxpy);
        launch.arg(&a).arg(&x_dev).arg(&mut y_dev).arg(&1000_u32);
        // SAFETY: the arguments are those of the kernel, and its n is the length of both.
        unsafe { launch.launch(config) }?;
    }
    let y = stream.clone_dtoh(&y_dev)?;
    assert!(y.iter().zip(&x).all(|(y, x)| *y == 2.5 * x + 1.0), "{:?}", &y[..4]);

    let mut values = stream.clone_htod(&x[..256])?;
    let config = LaunchConfig { grid_dim: (2, 1, 1), block_dim: (128, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: two blocks of 128 values.
    unsafe { stream.launch_builder(&turn).arg(&mut values).launch(config) }?;
    let turned = stream.clone_dtoh(&values)?;
    assert_eq!((turned[0], turned[127], turned[128], turned[255]), (127.0, 0.0, 255.0, 128.0));
    Ok(())
}
