//! Modules that a device has loaded: PTX text compiled by the driver, and its kernels.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CString, c_void};
use std::sync::Arc;

use cudarc::driver::{CudaContext, result, sys};

use super::shipped::argument_bytes;
use super::{failed, log_text};
use crate::error::Error;

/// Bytes for the driver's compiler to complain in.
const LOG: usize = 4096;

/// A loaded module, unloaded when dropped.
#[derive(Debug)]
pub(super) struct Loaded {
    module: sys::CUmodule,
    text: Cow<'static, str>,
    kernels: HashMap<String, Option<Kernel>>,
    context: Arc<CudaContext>,
}

/// A kernel of a loaded module.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernel {
    pub(super) function: sys::CUfunction,
    /// Bytes of its argument.
    pub(super) argument: usize,
    /// Dynamic shared memory that it was told to allow.
    allowed: u32,
}

// SAFETY: module and function handles are of a context, not of a thread; the driver locks.
unsafe impl Send for Loaded {}

/// What a function may have without being told to allow more, its own fixed part included.
const PLAIN_SHARED: u32 = 48 << 10;

impl Loaded {
    /// Compiles and loads a text; the context is current.
    pub(super) fn new(
        context: &Arc<CudaContext>,
        name: &str,
        text: Cow<'static, str>,
    ) -> Result<Self, Error> {
        let image = CString::new(&*text)
            .map_err(|_| Error::Device { reason: format!("module {name}: a NUL in its text") })?;
        let mut log = vec![0u8; LOG];
        let mut options = [
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER,
            sys::CUjit_option::CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES,
        ];
        // The size is passed in the pointer itself (driver API, cuModuleLoadDataEx).
        let mut values: [*mut c_void; 2] =
            [log.as_mut_ptr().cast(), std::ptr::without_provenance_mut(LOG)];
        let mut module = std::ptr::null_mut();
        // SAFETY: the image ends with NUL; the options and their values are as many as said, and
        // the log lives through the call.
        let loaded = unsafe {
            sys::cuModuleLoadDataEx(
                &raw mut module,
                image.as_ptr().cast(),
                options.len() as u32,
                options.as_mut_ptr(),
                values.as_mut_ptr(),
            )
        };
        loaded.result().map_err(|error| match error.0 {
            sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY => {
                let free = result::mem_get_info().map_or(0, |(free, _)| free);
                Error::DeviceMemory { need: text.len(), free }
            }
            _ => failed(&format!("module {name} cannot be loaded{}", log_text(&log)), error),
        })?;
        Ok(Self { module, text, kernels: HashMap::new(), context: context.clone() })
    }

    /// A kernel; `None`: the module has none of that name with one struct for an argument.
    pub(super) fn kernel(&mut self, name: &str) -> Result<Option<&mut Kernel>, Error> {
        if !self.kernels.contains_key(name) {
            let kernel = match argument_bytes(&self.text, name) {
                None => None,
                Some(argument) => {
                    let symbol = CString::new(name).map_err(|_| Error::Device {
                        reason: format!("kernel {name:?}: a NUL in its name"),
                    })?;
                    // SAFETY: the module is loaded, and unloaded when `self` is dropped.
                    let function = unsafe { result::module::get_function(self.module, symbol) }
                        .map_err(|error| failed(&format!("kernel {name}"), error))?;
                    let attribute =
                        sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES;
                    // SAFETY: the function was just found.
                    let fixed =
                        unsafe { result::function::get_function_attribute(function, attribute) }
                            .map_err(|error| failed(&format!("kernel {name}"), error))?;
                    let allowed = PLAIN_SHARED.saturating_sub(fixed.unsigned_abs());
                    Some(Kernel { function, argument, allowed })
                }
            };
            self.kernels.insert(name.to_owned(), kernel);
        }
        Ok(self.kernels.get_mut(name).and_then(Option::as_mut))
    }
}

impl Kernel {
    /// Has the kernel allow so much dynamic shared memory.
    pub(super) fn allow(&mut self, name: &str, shared: u32) -> Result<(), Error> {
        if shared <= self.allowed {
            return Ok(());
        }
        let attribute =
            sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(shared).unwrap_or(i32::MAX);
        // SAFETY: the function is of a loaded module.
        unsafe { result::function::set_function_attribute(self.function, attribute, bytes) }
            .map_err(|error| {
                failed(&format!("{shared} bytes of shared memory for {name}"), error)
            })?;
        self.allowed = shared;
        Ok(())
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // SAFETY: the context is there as long as `self`.
        self.context.record_err(unsafe { result::ctx::set_current(self.context.cu_ctx()) });
        // SAFETY: loaded by `new`, unloaded once; the device waits for its kernels first (see
        // `Inner`'s drop).
        self.context.record_err(unsafe { result::module::unload(self.module) });
    }
}
