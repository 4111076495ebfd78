//! Loaded modules and their kernels.

use super::{Device, DevicePtr, Error, Inner};
use crate::exec::Program;
use crate::isa::{Code, Space};
use crate::mem::{Allocation, Trouble};
use std::sync::Arc;

/// A loaded module. Its variables live as long as it, or one of its kernels, does.
#[derive(Clone)]
pub struct Module {
    inner: Arc<ModuleInner>,
}

pub(super) struct ModuleInner {
    pub(super) device: Arc<Inner>,
    name: String,
    variables: Vec<(String, Arc<Allocation>)>,
    programs: Vec<Arc<Program>>,
}

impl Drop for ModuleInner {
    fn drop(&mut self) {
        for (_, variable) in &self.variables {
            // It is allocated: nobody else knows the address as an allocation's start.
            let _ = self.device.memory.free(variable.base);
        }
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("name", &self.inner.name).finish_non_exhaustive()
    }
}

impl Device {
    /// Loads PTX text. `name` stands in messages.
    ///
    /// # Errors
    /// [`Error::Ptx`] for text that is wrong or uses what is not implemented, [`Error::PtxVersion`],
    /// [`Error::Target`], [`Error::OutOfMemory`] for its variables.
    pub fn load_ptx(&self, name: &str, source: &str) -> Result<Module, Error> {
        let code = crate::ptx::parse(name, source)?;
        self.admit(name, &code)?;
        self.build(name, source, code)
    }

    /// Refuses what the profile's driver would refuse.
    fn admit(&self, name: &str, code: &Code) -> Result<(), Error> {
        let profile = self.profile();
        if code.version > profile.max_ptx {
            return Err(Error::PtxVersion {
                module: name.to_owned(),
                version: code.version,
                limit: profile.max_ptx,
                driver: profile.driver_version,
            });
        }
        let runs = if code.specific { code.sm == profile.sm() } else { code.sm <= profile.sm() };
        if !runs {
            let suffix = if code.specific { "a" } else { "" };
            return Err(Error::Target {
                module: name.to_owned(),
                target: format!("sm_{}{suffix}", code.sm),
                device: profile.name,
            });
        }
        Ok(())
    }

    fn build(&self, name: &str, source: &str, code: Code) -> Result<Module, Error> {
        let device = Arc::clone(&self.inner);
        // Made first, so that an error frees what was allocated.
        let mut module = ModuleInner {
            device,
            name: name.to_owned(),
            variables: Vec::new(),
            programs: Vec::new(),
        };
        for v in &code.variables {
            let read_only = v.space == Space::Const;
            let align = v.align as u64;
            let made = module.device.memory.alloc(Some(&v.name), v.size.max(1), align, read_only);
            let made = made.map_err(|trouble| Error::OutOfMemory {
                requested: v.size,
                free: if let Trouble::Full(free) = trouble { free } else { 0 },
            })?;
            module.variables.push((v.name.clone(), made));
        }
        let bases: Vec<u64> = module.variables.iter().map(|(_, a)| a.base).collect();
        for (v, (_, memory)) in code.variables.iter().zip(&module.variables) {
            let mut bytes = v.init.clone().unwrap_or_default();
            bytes.resize(v.size, 0);
            for &(at, target, addend) in &v.pointers {
                let address = bases[target].wrapping_add_signed(addend);
                bytes[at..at + 8].copy_from_slice(&address.to_le_bytes());
            }
            memory.write(0, &bytes);
        }
        let source: Arc<str> = source.into();
        module.programs = code
            .kernels
            .into_iter()
            .map(|k| Arc::new(Program::new(k, name, Arc::clone(&source), |i| bases[i as usize])))
            .collect();
        Ok(Module { inner: Arc::new(module) })
    }
}

impl Module {
    /// The name it was loaded under.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The kernels, in the order of the text.
    pub fn kernels(&self) -> impl Iterator<Item = Kernel> + '_ {
        self.inner.programs.iter().map(|p| self.made(p))
    }

    fn made(&self, program: &Arc<Program>) -> Kernel {
        let params = program.kernel.params.iter().map(|p| (p.offset, p.size)).collect();
        Kernel { module: Arc::clone(&self.inner), program: Arc::clone(program), params }
    }

    /// One kernel.
    ///
    /// # Errors
    /// [`Error::UnknownKernel`].
    pub fn kernel(&self, name: &str) -> Result<Kernel, Error> {
        let found = self.inner.programs.iter().find(|p| p.kernel.name == name);
        let module = || self.inner.name.clone();
        found
            .map(|p| self.made(p))
            .ok_or_else(|| Error::UnknownKernel { module: module(), kernel: name.to_owned() })
    }

    /// Address and bytes of a variable of module scope.
    ///
    /// # Errors
    /// [`Error::UnknownVariable`].
    pub fn variable(&self, name: &str) -> Result<(DevicePtr, usize), Error> {
        let found = self.inner.variables.iter().find(|(n, _)| n == name);
        let module = || self.inner.name.clone();
        found
            .map(|(_, a)| (DevicePtr(a.base), a.size as usize))
            .ok_or_else(|| Error::UnknownVariable { module: module(), variable: name.to_owned() })
    }
}

/// A kernel of a loaded module.
#[derive(Clone)]
pub struct Kernel {
    pub(super) module: Arc<ModuleInner>,
    pub(super) program: Arc<Program>,
    params: Arc<[(usize, usize)]>,
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kernel").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.program.kernel.name
    }

    /// (offset, bytes) of each parameter in the parameter buffer.
    #[must_use]
    pub fn params(&self) -> &[(usize, usize)] {
        &self.params
    }

    /// Bytes of the parameter buffer.
    #[must_use]
    pub fn param_bytes(&self) -> usize {
        self.program.kernel.param_bytes
    }

    /// Bytes of static shared memory.
    #[must_use]
    pub fn shared_bytes(&self) -> u32 {
        self.program.kernel.shared_bytes
    }

    /// Bytes of local memory per thread, as the PTX declares it.
    #[must_use]
    pub fn local_bytes(&self) -> u32 {
        self.program.kernel.local_bytes
    }

    /// `.maxntid` or `.reqntid`: the most threads of a CTA that the kernel was compiled for.
    #[must_use]
    pub fn max_threads(&self) -> Option<u32> {
        self.program.kernel.max_threads
    }

    /// `.minnctapersm`.
    #[must_use]
    pub fn min_ctas_per_sm(&self) -> Option<u32> {
        self.program.kernel.min_ctas
    }

    /// Virtual registers of the PTX: (32 bits or less, 64 bits, predicates). The real ones are
    /// allocated by `ptxas` and are usually fewer.
    #[must_use]
    pub fn virtual_registers(&self) -> (usize, usize, usize) {
        let k = &self.program.kernel;
        (k.regs32, k.regs64, k.preds)
    }

    /// Whether its CTAs run one after another because an atomic depends on their order.
    #[must_use]
    pub fn runs_in_order(&self) -> bool {
        self.program.ordered
    }
}
