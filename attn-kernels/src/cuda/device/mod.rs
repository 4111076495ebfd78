//! A CUDA device through cudarc (feature `cuda`): context, stream, memory, modules, launches. Nothing
//! of CUDA is needed to build it; the driver's library is looked for when a device is opened.

mod calls;
#[cfg(feature = "nvrtc")]
mod compile;
mod loaded;
mod memory;
mod shipped;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::CUdevice_attribute::{
    CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
};
use cudarc::driver::{CudaContext, CudaStream, DriverError, result, sys};

use crate::error::Error;
#[cfg(feature = "nvrtc")]
pub use compile::Compiler;
use loaded::{Kernel, Loaded};
use memory::Owner;
pub use memory::{CudaMemory, CudaPinned};
pub use shipped::PtxModule;

/// A CUDA device and one stream on it. Clones are the same device and stream.
///
/// ```no_run
/// use attn_kernels::cuda::{CudaBackend, CudaDevice};
/// # fn main() -> Result<(), attn_kernels::Error> {
/// let device = CudaDevice::new(0)?;
/// println!("{}: {:?}", device.name(), device.compute_capability());
/// let backend = CudaBackend::new(device);
/// # Ok(())
/// # }
/// ```
///
/// Kernels are compiled by the driver when they are first asked for, from the PTX that suits the
/// device best: that of its own architecture (`sm_90a`), or else the newest that later ones take too
/// (`sm_89`, `sm_80`), of those that the driver is not too old for. The driver keeps what it compiled
/// in its own cache on disk.
#[derive(Debug, Clone)]
pub struct CudaDevice(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Texts: ours, and what others added.
    sets: Vec<&'static [PtxModule]>,
    modules: Mutex<Modules>,
    #[cfg(feature = "nvrtc")]
    compiler: Compiler,
    stream: Arc<CudaStream>,
    owner: Arc<Owner>,
    context: Arc<CudaContext>,
    name: String,
    capability: (u32, u32),
    driver: i32,
    shared_limit: u32,
    multiprocessors: usize,
}

/// Modules by name. Failures are kept too: nothing is compiled again to fail again.
#[derive(Debug, Default)]
struct Modules {
    loaded: HashMap<String, Tried>,
    /// Those compiled here, by module and what their kernels' names begin with.
    #[cfg(feature = "nvrtc")]
    compiled: HashMap<String, HashMap<String, Tried>>,
}

/// A module; `None`: there is none for this device.
type Tried = Result<Option<Loaded>, Error>;

/// What is worth keeping: memory may be there the next time.
fn lasting(tried: Tried) -> Result<Tried, Error> {
    match tried {
        Err(error @ Error::DeviceMemory { .. }) => Err(error),
        tried => Ok(tried),
    }
}

/// A kernel of a module that was tried.
fn kernel_of<'a>(tried: &'a mut Tried, kernel: &str) -> Result<Option<&'a mut Kernel>, Error> {
    match tried {
        Ok(Some(loaded)) => loaded.kernel(kernel),
        Ok(None) => Ok(None),
        Err(error) => Err(error.clone()),
    }
}

impl CudaDevice {
    /// The device of that number.
    ///
    /// # Errors
    ///
    /// [`Error::NoDriver`], [`Error::NoDevice`], [`Error::DriverTooOld`] (before CUDA 11.2),
    /// [`Error::DeviceTooOld`] (before compute capability 8.0), and what the driver says.
    pub fn new(ordinal: usize) -> Result<Self, Error> {
        Self::with_modules(ordinal, &[])
    }

    /// The device of that number, with kernels of another crate: a [`Launch`](super::Launch) finds them by module
    /// and kernel as it finds those of this crate.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new), and [`Error::DuplicateModule`].
    pub fn with_modules(ordinal: usize, modules: &'static [PtxModule]) -> Result<Self, Error> {
        #[cfg(feature = "nvrtc")]
        return Self::with_compiler(ordinal, modules, Compiler::new());
        #[cfg(not(feature = "nvrtc"))]
        Self::open(ordinal, modules)
    }

    /// The same, with a compiler for kernels that do not ship (feature `nvrtc`): other pairs of types
    /// of K and V, other head dimensions. [`with_modules`](Self::with_modules) takes
    /// [`Compiler::new`]. Without a libnvrtc such kernels are [`Error::NoCompiler`].
    ///
    /// # Errors
    ///
    /// As [`with_modules`](Self::with_modules).
    #[cfg(feature = "nvrtc")]
    pub fn with_compiler(
        ordinal: usize,
        modules: &'static [PtxModule],
        compiler: Compiler,
    ) -> Result<Self, Error> {
        Self::open(ordinal, modules, compiler)
    }

    fn open(
        ordinal: usize,
        modules: &'static [PtxModule],
        #[cfg(feature = "nvrtc")] compiler: Compiler,
    ) -> Result<Self, Error> {
        let sets = vec![shipped::SHIPPED, modules];
        check_unique(&sets)?;
        if !Self::is_driver_present() {
            return Err(Error::NoDriver);
        }
        let count = match result::init().and_then(|()| CudaContext::device_count()) {
            Ok(count) => usize::try_from(count).unwrap_or(0),
            Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            Err(error) => return Err(failed("the driver cannot be initialized", error)),
        };
        if ordinal >= count {
            return Err(Error::NoDevice { ordinal, count });
        }
        let mut driver = 0;
        // SAFETY: the place is a number of the call's own.
        unsafe { sys::cuDriverGetVersion(&raw mut driver) }
            .result()
            .map_err(|error| failed("the driver's version", error))?;
        check_driver(driver)?;
        let context = CudaContext::new(ordinal).map_err(|error| failed("no context", error))?;
        let told = |error| failed("the device cannot be asked", error);
        let name = context.name().map_err(told)?;
        let (major, minor) = context.compute_capability().map_err(told)?;
        let capability = (major.unsigned_abs(), minor.unsigned_abs());
        check_capability(&name, capability)?;
        let attribute = |which| context.attribute(which).map(i32::unsigned_abs).map_err(told);
        let shared_limit = attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let multiprocessors = attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)? as usize;
        let stream = context.new_stream().map_err(|error| failed("no stream", error))?;
        let modules = Mutex::default();
        Ok(Self(Arc::new(Inner {
            sets,
            modules,
            #[cfg(feature = "nvrtc")]
            compiler,
            owner: Arc::new(Owner::new(stream.clone())),
            stream,
            context,
            name,
            capability,
            driver,
            shared_limit,
            multiprocessors,
        })))
    }

    /// Whether a CUDA driver is installed: whether `libcuda` can be loaded.
    pub fn is_driver_present() -> bool {
        // SAFETY: loads the driver's library, which has no requirements, and lets go of it.
        unsafe { sys::is_culib_present() }
    }

    /// What the device calls itself.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Compute capability, (major, minor).
    pub fn compute_capability(&self) -> (u32, u32) {
        self.0.capability
    }

    /// Streaming multiprocessors.
    pub fn multiprocessors(&self) -> usize {
        self.0.multiprocessors
    }

    /// Memory of the device in bytes: (free, total).
    ///
    /// # Errors
    ///
    /// What the driver says.
    pub fn memory_info(&self) -> Result<(usize, usize), Error> {
        self.bind()?;
        result::mem_get_info().map_err(|error| failed("memory of the device", error))
    }

    /// The architecture of the text that a module is loaded from on this device; `None`: there is
    /// no such module for it.
    ///
    /// # Errors
    ///
    /// [`Error::DriverTooOld`].
    pub fn module_arch(&self, module: &str) -> Result<Option<&'static str>, Error> {
        Ok(self.choose(module)?.map(|module| module.arch))
    }

    /// The stream that everything is put into, for libraries that work beside our kernels. What is
    /// put into another stream must be ordered against this one.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.0.stream
    }

    fn bind(&self) -> Result<(), Error> {
        self.0.context.bind_to_thread().map_err(|error| failed("the context", error))
    }

    /// Refuses what a graph cannot hold: it would record addresses of the host that are good for this
    /// call alone, memory that only a replay allocates, or a wait that ends the capture.
    fn refuse_captured(&self, what: &'static str) -> Result<(), Error> {
        match memory::is_captured(&self.0.stream) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Error::Captured { what }),
            Err(error) => Err(failed("the stream", error)),
        }
    }

    fn choose(&self, module: &str) -> Result<Option<&'static PtxModule>, Error> {
        let all = self.0.sets.iter().copied().flatten();
        shipped::choose(all, module, self.0.capability, self.0.driver)
    }

    /// Does something with a kernel, once its module is loaded; `None`: there is no such kernel.
    fn with_kernel<R>(
        &self,
        module: &str,
        kernel: &str,
        what: impl FnOnce(&mut Kernel) -> Result<R, Error>,
    ) -> Result<Option<R>, Error> {
        self.bind()?;
        let mut modules = self.0.modules.lock().unwrap_or_else(PoisonError::into_inner);
        if !modules.loaded.contains_key(module) {
            self.refuse_captured("load kernels")?;
            let tried = lasting(self.load(module))?;
            modules.loaded.insert(module.to_owned(), tried);
        }
        if let Some(tried) = modules.loaded.get_mut(module)
            && let Some(found) = kernel_of(tried, kernel)?
        {
            return what(found).map(Some);
        }
        #[cfg(feature = "nvrtc")]
        if let Some(found) = self.compiled(&mut modules.compiled, module, kernel)? {
            return what(found).map(Some);
        }
        Ok(None)
    }

    /// The text that ships, loaded.
    fn load(&self, module: &str) -> Tried {
        let text = self.choose(module)?.map(|found| found.text.into());
        text.map(|text| Loaded::new(&self.0.context, module, text)).transpose()
    }

    /// A kernel that does not ship, of a module compiled here; `None`: it cannot be made.
    #[cfg(feature = "nvrtc")]
    fn compiled<'a>(
        &self,
        all: &'a mut HashMap<String, HashMap<String, Tried>>,
        module: &str,
        kernel: &str,
    ) -> Result<Option<&'a mut Kernel>, Error> {
        // One module has the kernels for one tile of rows and for two.
        let (name, _) = kernel.rsplit_once("_m").unwrap_or((kernel, ""));
        if all.get(module).is_none_or(|all| !all.contains_key(name)) {
            self.refuse_captured("load kernels")?;
            let tried = lasting(self.compile(module, kernel, name))?;
            all.entry(module.to_owned()).or_default().insert(name.to_owned(), tried);
        }
        match all.get_mut(module).and_then(|all| all.get_mut(name)) {
            Some(tried) => kernel_of(tried, kernel),
            None => Ok(None),
        }
    }

    /// The module of a kernel, made from the sources.
    #[cfg(feature = "nvrtc")]
    fn compile(&self, module: &str, kernel: &str, name: &str) -> Tried {
        let text = self.0.compiler.attention(module, kernel, self.0.capability, self.0.driver)?;
        text.map(|text| Loaded::new(&self.0.context, name, text.into())).transpose()
    }

    fn no_kernel(&self, module: &str, kernel: &str) -> Error {
        #[cfg(feature = "nvrtc")]
        if compile::lacks_compiler(module, kernel, self.0.capability) {
            return Error::NoCompiler { kernel: kernel.to_owned() };
        }
        let (module, kernel) = (module.to_owned(), kernel.to_owned());
        Error::NoKernel { module, kernel, device: self.0.name.clone() }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Modules are unloaded next, and kernels may still run.
        self.context.record_err(memory::wait(&self.stream));
    }
}

/// The oldest driver, as `cuDriverGetVersion` numbers them: CUDA 11.2 brought pools of memory, and cudarc
/// asks for them when it makes a context.
const LEAST_DRIVER: i32 = 11_020;

/// A driver that has what is called here, whatever the kernels need.
fn check_driver(have: i32) -> Result<(), Error> {
    match have >= LEAST_DRIVER {
        true => Ok(()),
        false => Err(Error::DriverTooOld {
            what: "this backend".to_owned(),
            have: shipped::cuda_version(have),
            need: shipped::cuda_version(LEAST_DRIVER),
        }),
    }
}

/// A device that kernels are there for.
fn check_capability(name: &str, have: (u32, u32)) -> Result<(), Error> {
    match have >= shipped::LEAST {
        true => Ok(()),
        false => Err(Error::DeviceTooOld { name: name.to_owned(), have, need: shipped::LEAST }),
    }
}

/// No two texts for one module and architecture.
fn check_unique(sets: &[&[PtxModule]]) -> Result<(), Error> {
    let mut seen = std::collections::HashSet::new();
    for module in sets.iter().copied().flatten() {
        if !seen.insert((module.arch, module.name)) {
            let (arch, name) = (module.arch.to_owned(), module.name.to_owned());
            return Err(Error::DuplicateModule { name, arch });
        }
    }
    Ok(())
}

/// The driver's own words as an error.
fn failed(what: &str, error: DriverError) -> Error {
    let words = error.error_string().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    Error::Device { reason: format!("{what}: {:?} ({words})", error.0) }
}

/// A log of the driver's compiler as part of a message: up to its NUL.
fn log_text(log: &[u8]) -> String {
    let end = log.iter().position(|&b| b == 0).unwrap_or(log.len());
    match String::from_utf8_lossy(&log[..end]).trim() {
        "" => String::new(),
        text => format!(" ({text})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_may_not_be_there_twice() {
        const TWICE: &[PtxModule] = &[PtxModule { arch: "sm_80", name: "append", text: "" }];
        let error = check_unique(&[shipped::SHIPPED, TWICE]).unwrap_err();
        assert_eq!(error.to_string(), "there are two modules append for sm_80");
        assert_eq!(check_unique(&[shipped::SHIPPED, &[]]), Ok(()));
    }

    #[test]
    fn an_old_device_is_refused_by_name() {
        let error = check_capability("Tesla T4", (7, 5)).unwrap_err();
        assert_eq!(error.to_string(), "Tesla T4 has compute capability 7.5, need 8.0");
        assert!(check_capability("A100", (8, 0)).is_ok() && check_capability("x", (12, 1)).is_ok());
    }

    #[test]
    fn an_old_driver_is_refused_before_it_is_asked() {
        let error = check_driver(11_010).unwrap_err().to_string();
        assert_eq!(error, "the driver supports CUDA 11.1, the kernels of this backend need 11.2");
        assert_eq!(check_driver(11_020), Ok(()));
    }

    #[test]
    fn threads_may_share_a_backend() {
        fn shared<T: Send + Sync>() {}
        shared::<crate::cuda::CudaBackend>();
        shared::<crate::cuda::CudaTensor<CudaMemory>>();
        shared::<crate::Plan>();
    }

    #[test]
    fn a_log_ends_with_its_nul() {
        assert_eq!(log_text(b"line 1: no\n\0xx"), " (line 1: no)");
        assert_eq!(log_text(&[0; 4]), "");
    }
}
