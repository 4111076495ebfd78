//! The emulated device as a driver of the backend.

use std::cell::RefCell;
use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use attn_kernels::Error;
use attn_kernels::cuda::{CudaBackend, Driver, Launch};
use cuda_emulator::{Counters, Device, DeviceConfig, DevicePtr, LaunchConfig, Module, Profile};

use crate::slices::Slices;

/// The architectures that kernels ship for, and the device that runs them.
pub(crate) const ARCHS: [&str; 5] = ["sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a"];

fn profile(arch: &str) -> Profile {
    match arch {
        "sm_80" => Profile::sm_80(),
        "sm_89" => Profile::sm_89(),
        "sm_90a" => Profile::sm_90(),
        "sm_100a" => Profile::sm_100(),
        "sm_120a" => Profile::sm_120(),
        _ => panic!("no profile for {arch}"),
    }
}

/// An allocation, freed when dropped.
#[derive(Debug)]
pub(crate) struct Memory {
    device: Device,
    at: DevicePtr,
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.device.free(self.at).unwrap();
    }
}

/// Changes the text of a module, named first.
pub(crate) type Edit = Rc<dyn Fn(&str, String) -> String>;

/// The shipped PTX on an emulated device, all checks on.
#[derive(Clone)]
pub(crate) struct Emulated {
    pub(crate) device: Device,
    arch: &'static str,
    /// What is put in a text before it is loaded, to plant a fault.
    edit: Option<Edit>,
    /// By file: the text and what was loaded.
    modules: Rc<RefCell<HashMap<String, (String, Module)>>>,
    /// Of every launch: the kernel and its counts.
    pub(crate) launches: Rc<RefCell<Vec<(String, Counters)>>>,
    /// CTAs below which contexts are split.
    pub(crate) wanted: usize,
}

impl Emulated {
    pub(crate) fn new(arch: &'static str) -> Self {
        let config = DeviceConfig { profile: profile(arch), ..DeviceConfig::default() };
        Self {
            device: Device::new(config),
            arch,
            edit: None,
            modules: Rc::default(),
            launches: Rc::default(),
            wanted: 1,
        }
    }

    pub(crate) fn wanting(mut self, ctas: usize) -> Self {
        self.wanted = ctas;
        self
    }

    pub(crate) fn edited(mut self, edit: Edit) -> Self {
        self.edit = Some(edit);
        self
    }

    /// The module `name` that has the kernel: the one that ships, or else the one of the tests.
    fn module(&self, name: &str, kernel: &str) -> Result<Module, String> {
        let shipped = shipped_ptx(self.arch).join(format!("{name}.ptx"));
        let entry = format!(".entry {kernel}(");
        for file in [shipped, test_ptx(name, self.arch)] {
            let key = file.to_string_lossy().into_owned();
            if let Some((text, module)) = self.modules.borrow().get(&key) {
                if text.contains(&entry) {
                    return Ok(module.clone());
                }
                continue;
            }
            let Ok(mut text) = std::fs::read_to_string(&file) else { continue };
            if let Some(edit) = &self.edit {
                text = edit(name, text);
            }
            let short = format!("{}/{name}.ptx", self.arch);
            let module = self.device.load_ptx(&short, &text).map_err(|e| e.to_string());
            let module = module.inspect_err(|error| eprintln!("{short}: {error}"))?;
            let found = text.contains(&entry);
            self.modules.borrow_mut().insert(key, (text, module.clone()));
            if found {
                return Ok(module);
            }
        }
        Err(format!("{name}: no {kernel}"))
    }
}

/// The folder of an architecture's kernels.
pub(crate) fn shipped_ptx(arch: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("ptx").join(arch)
}

/// What `cargo xtask kernels --tests` makes.
pub(crate) fn test_ptx(name: &str, arch: &str) -> PathBuf {
    let default =
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("cuda").join("ptx/tests");
    let dir = std::env::var_os("FP8KV_PTX_DIR").map_or_else(default, PathBuf::from);
    dir.join(format!("{name}.{arch}.ptx"))
}

impl Driver for Emulated {
    type Memory = Memory;
    type Pinned = Vec<u8>;

    fn has(&self, module: &str, kernel: &str) -> Result<bool, Error> {
        Ok(self.module(module, kernel).is_ok_and(|module| module.kernel(kernel).is_ok()))
    }

    fn shared_limit(&self) -> u32 {
        self.device.profile().shared_per_block_optin
    }

    fn resident_ctas(&self, _: &str, _: &str, _: u32, _: u32) -> Result<usize, Error> {
        Ok(self.wanted)
    }

    fn alloc(&self, bytes: usize) -> Result<Memory, Error> {
        let at = self.device.alloc(bytes).map_err(|e| failed(&e))?;
        self.device.fill8(at, 0, bytes).map_err(|e| failed(&e))?;
        Ok(Memory { device: self.device.clone(), at })
    }

    /// The tests have no memory of another.
    fn owns(&self, _: &Memory) -> bool {
        true
    }

    fn address(&self, memory: &Memory) -> u64 {
        memory.at.0
    }

    fn write(&self, memory: &Memory, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        self.device.write(memory.at.offset(offset as u64), bytes).map_err(|e| failed(&e))
    }

    fn pinned(&self, bytes: usize) -> Result<Vec<u8>, Error> {
        Ok(vec![0; bytes])
    }

    fn write_pinned(
        &self,
        memory: &Memory,
        offset: usize,
        from: &Vec<u8>,
        range: Range<usize>,
    ) -> Result<(), Error> {
        self.write(memory, offset, &from[range])
    }

    fn read(&self, memory: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), Error> {
        self.device.read(memory.at.offset(offset as u64), bytes).map_err(|e| failed(&e))
    }

    fn copy(
        &self,
        from: (&Memory, usize),
        to: (&Memory, usize),
        bytes: usize,
    ) -> Result<(), Error> {
        let mut all = vec![0; bytes];
        self.read(from.0, from.1, &mut all)?;
        self.write(to.0, to.1, &all)
    }

    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<(), Error> {
        let module =
            self.module(launch.module, launch.kernel).map_err(|reason| Error::Device { reason })?;
        let kernel = module.kernel(launch.kernel).map_err(|e| failed(&e))?;
        let shape = LaunchConfig {
            grid: launch.grid,
            block: [launch.threads, 1, 1],
            shared_bytes: launch.shared,
        };
        let report = self.device.launch(&kernel, shape, launch.argument).map_err(|e| failed(&e))?;
        self.launches.borrow_mut().push((launch.kernel.to_owned(), report.counters));
        Ok(())
    }

    /// Everything is done at the call.
    fn synchronize(&self) -> Result<(), Error> {
        Ok(())
    }
}

fn failed(error: &impl ToString) -> Error {
    Error::Device { reason: error.to_string() }
}

/// The backend over slices, on an emulated device.
pub(crate) type Cuda = Slices<Emulated>;

impl Cuda {
    pub(crate) fn new(arch: &'static str) -> Self {
        Self(CudaBackend::new(Emulated::new(arch)))
    }

    pub(crate) fn with(driver: Emulated) -> Self {
        Self(CudaBackend::new(driver))
    }
}
