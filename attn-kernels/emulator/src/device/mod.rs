//! The public interface: a device with memory, modules and launches. Knows no instruction; `ptx`
//! reads the text, `exec` runs it.

mod config;
mod error;
mod launch;
mod module;
mod params;
mod profile;

pub use config::{Checks, DeviceConfig};
pub use error::Error;
pub use launch::{LaunchConfig, LaunchReport};
pub use module::{Kernel, Module};
pub use params::Params;
pub use profile::Profile;

use crate::mem::{AddressSpace, Allocation, HostPages, Place, Trouble};
use std::sync::Arc;

/// An address of global memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DevicePtr(pub u64);

impl DevicePtr {
    /// The address so many bytes further on.
    #[must_use]
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

/// An emulated GPU. Clones are the same device.
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    config: DeviceConfig,
    memory: AddressSpace,
    pool: launch::Pool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("config", &self.inner.config).finish_non_exhaustive()
    }
}

impl Device {
    /// A device with nothing on it.
    #[must_use]
    pub fn new(config: DeviceConfig) -> Self {
        let memory = AddressSpace::new(config.profile.memory_bytes);
        let pool = launch::Pool::new(config.threads);
        Self { inner: Arc::new(Inner { config, memory, pool }) }
    }

    /// The GPU whose limits hold.
    #[must_use]
    pub fn profile(&self) -> &Profile {
        &self.inner.config.profile
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &DeviceConfig {
        &self.inner.config
    }

    fn memory(&self) -> &AddressSpace {
        &self.inner.memory
    }

    /// Unwritten bytes, aligned to 512.
    ///
    /// # Errors
    /// [`Error::EmptyAllocation`], [`Error::OutOfMemory`].
    pub fn alloc(&self, bytes: usize) -> Result<DevicePtr, Error> {
        self.allocate(None, bytes)
    }

    /// As [`Self::alloc`], with a name for messages.
    ///
    /// # Errors
    /// As [`Self::alloc`].
    pub fn alloc_named(&self, name: &str, bytes: usize) -> Result<DevicePtr, Error> {
        self.allocate(Some(name), bytes)
    }

    fn allocate(&self, name: Option<&str>, bytes: usize) -> Result<DevicePtr, Error> {
        if bytes == 0 {
            return Err(Error::EmptyAllocation);
        }
        match self.memory().alloc(name, bytes, 1, false) {
            Ok(made) => Ok(DevicePtr(made.base)),
            Err(Trouble::Full(free)) => Err(Error::OutOfMemory { requested: bytes, free }),
            Err(Trouble::Unknown) => Err(Error::EmptyAllocation),
        }
    }

    /// Lets kernels and copies reach host memory, at the address it has for the host, until
    /// [`Self::free`].
    pub(crate) fn map(&self, pages: &Arc<HostPages>, bytes: usize) -> Result<DevicePtr, Error> {
        match self.memory().map(pages, bytes) {
            Ok(()) => Ok(DevicePtr(pages.address() as u64)),
            Err(Trouble::Full(free)) => Err(Error::OutOfMemory { requested: bytes, free }),
            Err(Trouble::Unknown) => Err(Error::EmptyAllocation),
        }
    }

    /// Gives an allocation back. Its addresses are never used again.
    ///
    /// # Errors
    /// [`Error::NotAllocated`].
    pub fn free(&self, pointer: DevicePtr) -> Result<(), Error> {
        self.memory().free(pointer.0).map_err(|_| Error::not_allocated(pointer))
    }

    /// (free, total) bytes of device memory.
    #[must_use]
    pub fn memory_info(&self) -> (u64, u64) {
        self.memory().info()
    }

    /// The allocation around an address, as (first address, bytes).
    #[must_use]
    pub fn allocation(&self, pointer: DevicePtr) -> Option<(DevicePtr, u64)> {
        match self.memory().place(pointer.0, 1) {
            Place::Inside(a, _) => Some((DevicePtr(a.base), a.size)),
            Place::Outside(_) => None,
        }
    }

    fn place(&self, pointer: DevicePtr, bytes: usize) -> Result<(Arc<Allocation>, u64), Error> {
        let near = match self.memory().place(pointer.0, bytes as u64) {
            Place::Inside(a, offset) => return Ok((a, offset)),
            Place::Outside(near) => near,
        };
        let near = near.map_or_else(String::new, |(name, base, size, freed)| {
            let offset = pointer.0.wrapping_sub(base) as i64;
            let freed = if freed { "freed " } else { "" };
            format!("; nearest is byte {offset} of {freed}allocation {name} of {size} bytes")
        });
        Err(Error::OutOfBounds { address: pointer.0, bytes, near })
    }

    /// Copies host bytes to the device.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn write(&self, to: DevicePtr, data: &[u8]) -> Result<(), Error> {
        if data.is_empty() {
            return Ok(());
        }
        let (a, offset) = self.place(to, data.len())?;
        a.write(offset, data);
        Ok(())
    }

    /// Copies device bytes to the host. Unwritten bytes are zero.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]; [`Error::Uninitialized`] if [`Checks::uninitialized_host_reads`] is on.
    pub fn read(&self, from: DevicePtr, out: &mut [u8]) -> Result<(), Error> {
        if out.is_empty() {
            return Ok(());
        }
        let (a, offset) = self.place(from, out.len())?;
        if self.inner.config.checks.uninitialized_host_reads
            && let Some(offset) = a.first_unwritten(offset, out.len() as u64)
        {
            return Err(Error::Uninitialized { allocation: a.name.clone(), offset });
        }
        a.read(offset, out);
        Ok(())
    }

    fn fill(&self, to: DevicePtr, pattern: &[u8], count: usize) -> Result<(), Error> {
        if count == 0 {
            return Ok(());
        }
        let bytes = count.saturating_mul(pattern.len());
        let (a, offset) = self.place(to, bytes)?;
        let mut block = [0u8; 4096];
        for part in block.chunks_exact_mut(pattern.len()) {
            part.copy_from_slice(pattern);
        }
        for start in (0..bytes).step_by(block.len()) {
            let step = block.len().min(bytes - start);
            a.write(offset + start as u64, &block[..step]);
        }
        Ok(())
    }

    /// Sets `count` bytes.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn fill8(&self, to: DevicePtr, value: u8, count: usize) -> Result<(), Error> {
        self.fill(to, &[value], count)
    }

    /// Sets `count` values of 16 bits.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn fill16(&self, to: DevicePtr, value: u16, count: usize) -> Result<(), Error> {
        self.fill(to, &value.to_le_bytes(), count)
    }

    /// Sets `count` values of 32 bits.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`].
    pub fn fill32(&self, to: DevicePtr, value: u32, count: usize) -> Result<(), Error> {
        self.fill(to, &value.to_le_bytes(), count)
    }

    /// Copies within the device. Unwritten bytes stay unwritten at their new place.
    ///
    /// # Errors
    /// [`Error::OutOfBounds`]. The ranges must not overlap; if they do, the result is that of a
    /// forward copy in blocks.
    pub fn copy(&self, to: DevicePtr, from: DevicePtr, bytes: usize) -> Result<(), Error> {
        if bytes == 0 {
            return Ok(());
        }
        let (target, offset) = self.place(to, bytes)?;
        let (source, start) = self.place(from, bytes)?;
        target.copy_from(offset, &source, start, bytes as u64);
        Ok(())
    }
}
