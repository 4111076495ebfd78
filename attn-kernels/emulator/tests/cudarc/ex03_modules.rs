//! 03: modules: by text and by file, variables, and what is refused.

use cudarc::driver::{CudaContext, DriverError, LaunchConfig, PushKernelArg, sys};
use cudarc::nvrtc::Ptx;
use std::ffi::CString;

use crate::fails_with;
use sys::CUresult::*;

pub(crate) fn main() -> Result<(), DriverError> {
    let context = CudaContext::new(0)?;
    let stream = context.default_stream();
    let text = include_str!("kernels.ptx");

    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("kernels.ptx");
    std::fs::write(&path, text).expect("a file for the module");
    let module = context.load_module(Ptx::from_file(path))?;
    let scale = module.load_function("scale")?;
    fails_with(module.load_function("no_such_kernel"), CUDA_ERROR_NOT_FOUND);
    fails_with(module.get_global("no_such_variable", &stream), CUDA_ERROR_NOT_FOUND);

    // The constant is 2 in the text, and 10 after the host has written it.
    let mut x = stream.clone_htod(&[1.0_f32, 2.0, 3.0, 4.0])?;
    let config = LaunchConfig { grid_dim: (1, 1, 1), block_dim: (4, 1, 1), shared_mem_bytes: 0 };
    // SAFETY: one thread for each of the four values.
    unsafe { stream.launch_builder(&scale).arg(&mut x).launch(config) }?;
    assert_eq!(stream.clone_dtoh(&x)?, [2.0, 4.0, 6.0, 8.0]);
    let mut factor = module.get_global("factor", &stream)?;
    assert_eq!(factor.len(), 4);
    stream.memcpy_htod(&10_f32.to_le_bytes(), &mut factor)?;
    // SAFETY: as above.
    unsafe { stream.launch_builder(&scale).arg(&mut x).launch(config) }?;
    assert_eq!(stream.clone_dtoh(&x)?, [20.0, 40.0, 60.0, 80.0]);

    let load = |text: String| context.load_module(Ptx::from_src(text));
    fails_with(load("this is no PTX".to_owned()), CUDA_ERROR_INVALID_PTX);
    fails_with(load(text.replace("mad.lo", "mad.low")), CUDA_ERROR_INVALID_PTX);
    fails_with(
        load(text.replace(".version 7.8", ".version 99.9")),
        CUDA_ERROR_UNSUPPORTED_PTX_VERSION,
    );
    fails_with(
        load(text.replace("sm_80", "sm_120").replace("7.8", "8.7")),
        CUDA_ERROR_NO_BINARY_FOR_GPU,
    );
    let cubin = Ptx::from_binary(b"\x7fELF\x02\x01\x01\x33".to_vec());
    fails_with(context.load_module(cubin), CUDA_ERROR_NO_BINARY_FOR_GPU);
    let nowhere = Ptx::from_file("/no/such/file.ptx");
    fails_with(context.load_module(nowhere), CUDA_ERROR_FILE_NOT_FOUND);

    let log = error_log(&text.replace("mad.lo", "mad.low"));
    assert!(log.contains(":29: ") && log.contains("mad.low"), "{log}");
    drop(module);
    Ok(())
}

/// What the loader writes into the buffer that the options name.
fn error_log(text: &str) -> String {
    let source = CString::new(text).expect("no NUL in PTX");
    let mut log = vec![0_u8; 400];
    let mut names = [
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
        sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
    ];
    let mut values = [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(log.len())];
    let mut module = std::ptr::null_mut();
    // SAFETY: the buffer is as long as is said, and the lists have two entries.
    let result = unsafe {
        let (names, values) = (names.as_mut_ptr(), values.as_mut_ptr());
        sys::cuModuleLoadDataEx(&raw mut module, source.as_ptr().cast(), 2, names, values)
    };
    assert_eq!(result, CUDA_ERROR_INVALID_PTX);
    let length = values[1].addr();
    assert!(length > 1 && log[length - 1] == 0, "{length}");
    String::from_utf8_lossy(&log[..length - 1]).into_owned()
}
