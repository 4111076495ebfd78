//! What a CUDA device must do for the backend: memory and launches. A driver knows no attention;
//! the backend knows no driver, so that the same host code runs on a GPU and on an emulated one.

/// A kernel launch.
#[derive(Debug, Clone, Copy)]
pub struct Launch<'a> {
    /// The PTX file that holds the kernel, `attn-kernels/ptx/<arch>/<module>.ptx`.
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

/// A device and its stream: calls take effect in order. Errors are the device's own words.
pub trait Driver {
    /// An allocation on the device, freed when dropped.
    type Memory: std::fmt::Debug;

    /// Whether a kernel is there for this device.
    fn has(&self, module: &str, kernel: &str) -> bool;

    /// Shared memory that a CTA may have, in bytes.
    fn shared_limit(&self) -> u32;

    /// CTAs that fill the device about twice: where there are fewer, contexts are split.
    fn wanted_ctas(&self) -> usize;

    /// Allocates `bytes` (at least 1), aligned to 16 or more, all zero.
    fn alloc(&self, bytes: usize) -> Result<Self::Memory, String>;

    /// The address of an allocation on the device.
    fn address(&self, memory: &Self::Memory) -> u64;

    /// Copies `bytes` to `offset` of an allocation.
    fn write(&self, memory: &Self::Memory, offset: usize, bytes: &[u8]) -> Result<(), String>;

    /// Copies from `offset` of an allocation, after everything launched so far.
    fn read(&self, memory: &Self::Memory, offset: usize, bytes: &mut [u8]) -> Result<(), String>;

    /// Starts a kernel.
    fn launch(&self, launch: &Launch<'_>) -> Result<(), String>;
}
