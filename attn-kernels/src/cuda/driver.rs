//! What a CUDA device must do for the backend: memory and launches. A driver knows no attention;
//! the backend knows no driver, so that the same host code runs on a GPU and on an emulated one.

use std::ops::Range;

use crate::error::Error;

/// A kernel launch.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The module that holds the kernel, `attn-kernels/ptx/<arch>/<module>.ptx`.
    pub module: &'a str,
    /// The kernel.
    pub kernel: &'a str,
    /// CTAs along x, y, z.
    pub grid: [u32; 3],
    /// Threads of a CTA.
    pub threads: u32,
    /// Bytes of dynamic shared memory: may exceed 48 KiB, which a function must be told to allow
    /// (`CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES`).
    pub shared: u32,
    /// The kernel's only argument, a struct passed by value.
    pub argument: &'a [u8],
}

/// A device and its one stream: calls take effect in order, and none but [`read`](Self::read),
/// [`write_pinned`](Self::write_pinned) and [`synchronize`](Self::synchronize) waits for the device; freeing
/// may, and [`write`](Self::write) from memory that is page-locked. Where the stream can be captured
/// into a graph, launches and copies on the device are; the rest is [`Error::Captured`] meanwhile.
pub trait Driver {
    /// An allocation on the device, freed when dropped, after everything put into the stream before.
    type Memory: std::fmt::Debug + Send + Sync + 'static;

    /// Page-locked memory of the host: transfers run at the full speed of the bus.
    type Pinned: AsRef<[u8]> + AsMut<[u8]> + Send;

    /// Whether a kernel is there for this device. The module is loaded (and compiled by the
    /// driver); what goes wrong with that is the error.
    fn has(&self, module: &str, kernel: &str) -> Result<bool, Error>;

    /// Why a kernel that is not there is not.
    fn missing(&self, module: &str, kernel: &str) -> Error {
        let _ = module;
        super::names::unsupported(format!("{kernel}: no such kernel for this device"))
    }

    /// Shared memory that a CTA may have, in bytes.
    fn shared_limit(&self) -> u32;

    /// CTAs of a kernel, with so many threads and bytes of dynamic shared memory, that the whole
    /// device runs at once: where there are fewer, contexts are split.
    fn resident_ctas(
        &self,
        module: &str,
        kernel: &str,
        threads: u32,
        shared: u32,
    ) -> Result<usize, Error>;

    /// Allocates `bytes` (at least 1), aligned to 16 or more, all zero.
    fn alloc(&self, bytes: usize) -> Result<Self::Memory, Error>;

    /// Whether an allocation is of this device and its stream: only then do calls take turns on it.
    fn owns(&self, memory: &Self::Memory) -> bool;

    /// The address of an allocation on the device.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies `bytes` to `offset` of an allocation. They are taken at the call, and arrive in the
    /// stream's order.
    fn write(&self, memory: &Self::Memory, offset: usize, bytes: &[u8]) -> Result<(), Error>;

    /// Page-locked memory of `bytes` (at least 1).
    fn pinned(&self, bytes: usize) -> Result<Self::Pinned, Error>;

    /// Copies a range of page-locked memory to `offset` of an allocation, after everything before, and
    /// waits until it was read.
    fn write_pinned(
        &self,
        memory: &Self::Memory,
        offset: usize,
        from: &Self::Pinned,
        range: Range<usize>,
    ) -> Result<(), Error>;

    /// Copies from `offset` of an allocation, after everything before, and waits for it.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<(), Error>;

    /// Copies `bytes` from `(memory, offset)` to `(memory, offset)`, on the device. The two ranges
    /// must not overlap.
    fn copy(
        &self,
        from: (&Self::Memory, usize),
        to: (&Self::Memory, usize),
        bytes: usize,
    ) -> Result<(), Error>;

    /// Starts a kernel.
    ///
    /// # Safety
    ///
    /// What the kernel takes for addresses in [`argument`](Launch::argument) must be that: 0 where it
    /// allows none, or within live allocations of this very driver (or memory that it reaches as well),
    /// with as much room from there as the kernel reads and writes with this grid and the numbers beside
    /// them, and aligned as it reads. The allocations must live until this call returns: freeing them
    /// afterwards waits for the kernel. Nobody else may write meanwhile what the kernel reads or writes.
    unsafe fn launch(&self, launch: &Launch<'_>) -> Result<(), Error>;

    /// Waits until everything before is done, and tells whether it went well.
    fn synchronize(&self) -> Result<(), Error>;
}
