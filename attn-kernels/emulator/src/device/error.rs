//! What can go wrong at the public interface.

use super::DevicePtr;
use crate::check::Fault;
use crate::ptx::PtxError;

/// An error of a device operation. Nothing was changed, except by a kernel before its fault.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The device, or the host under it, has not that much memory.
    #[error("out of memory: {requested} bytes asked, {free} free")]
    OutOfMemory {
        /// Bytes asked for.
        requested: usize,
        /// Bytes that the profile has left.
        free: u64,
    },
    /// An allocation of no bytes.
    #[error("an allocation needs at least one byte")]
    EmptyAllocation,
    /// `free` of something that is no allocation's start, or was freed.
    #[error("{address:#x} is not the start of a live allocation")]
    NotAllocated {
        /// The address given.
        address: u64,
    },
    /// A host access outside of every allocation.
    #[error("{bytes} bytes at {address:#x} are not inside one allocation{near}")]
    OutOfBounds {
        /// First address.
        address: u64,
        /// Length of the access.
        bytes: usize,
        /// The nearest allocation, as a part of the sentence; empty if none is near.
        near: String,
    },
    /// A host read of bytes that nobody wrote, with that check on.
    #[error("byte {offset} of allocation {allocation} was never written")]
    Uninitialized {
        /// Name of the allocation.
        allocation: String,
        /// The first unwritten byte.
        offset: u64,
    },
    /// The PTX cannot be read, or uses what is not implemented.
    #[error(transparent)]
    Ptx(#[from] PtxError),
    /// The PTX is newer than the profile's driver.
    #[error(
        "{module}: PTX version {}.{} is newer than {}.{}, the newest of driver {driver}",
        version.0, version.1, limit.0, limit.1
    )]
    PtxVersion {
        /// Name of the module.
        module: String,
        /// Its `.version`.
        version: (u32, u32),
        /// The newest that the driver takes.
        limit: (u32, u32),
        /// `cuDriverGetVersion` of the profile.
        driver: u32,
    },
    /// The PTX is for another architecture.
    #[error("{module}: target {target} does not run on {device}")]
    Target {
        /// Name of the module.
        module: String,
        /// Its `.target`.
        target: String,
        /// The profile's architecture.
        device: &'static str,
    },
    /// No such entry in the module.
    #[error("module {module} has no kernel {kernel}")]
    UnknownKernel {
        /// Name of the module.
        module: String,
        /// The name asked for.
        kernel: String,
    },
    /// No such variable in the module.
    #[error("module {module} has no variable {variable}")]
    UnknownVariable {
        /// Name of the module.
        module: String,
        /// The name asked for.
        variable: String,
    },
    /// The kernel belongs to another device.
    #[error("kernel {kernel} was loaded on another device")]
    WrongDevice {
        /// Name of the kernel.
        kernel: String,
    },
    /// A grid, block or shared-memory size that the device or the kernel does not take.
    #[error("kernel {kernel}: {what} {value} is outside of {least}..={limit}")]
    LaunchShape {
        /// Name of the kernel.
        kernel: String,
        /// What is out of range: `grid.x`, `block.y`, `threads per block`, `shared bytes` …
        what: &'static str,
        /// The value given.
        value: u64,
        /// The least it may be.
        least: u64,
        /// The most it may be.
        limit: u64,
    },
    /// The parameter buffer has another length than the kernel's parameters.
    #[error("kernel {kernel} takes {expected} bytes of parameters, got {got}")]
    ParameterBytes {
        /// Name of the kernel.
        kernel: String,
        /// Bytes of its parameters.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// The host could not give the threads asked for.
    #[error("cannot start {threads} host threads: {reason}")]
    Threads {
        /// Threads asked for.
        threads: usize,
        /// What the host said.
        reason: String,
    },
    /// A check of the running kernel failed.
    #[error("{0}")]
    Fault(Box<Fault>),
}

impl Error {
    /// The fault, if it is one.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Fault(fault) => Some(fault),
            _ => None,
        }
    }

    pub(crate) fn not_allocated(pointer: DevicePtr) -> Self {
        Self::NotAllocated { address: pointer.0 }
    }
}
