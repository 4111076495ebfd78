//! What a device is told when it is made.

use super::Profile;

/// Which checks run. A check that is off costs nothing or little, and what it would have caught
/// gives a value that is not to be relied on. Bounds, alignment and instruction budget are always checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checks {
    /// Reading registers, shared, local or global memory that was never written.
    pub uninitialized: bool,
    /// Shared-memory accesses of two threads with nothing between that orders them.
    pub races: bool,
    /// Reading the destination of an asynchronous copy before its wait.
    pub async_copies: bool,
    /// [`Device::read`](crate::Device::read) of bytes that nobody wrote is an error. Off by default:
    /// hosts copy whole buffers of which a kernel fills a part.
    pub uninitialized_host_reads: bool,
}

impl Checks {
    /// All checks of kernels.
    #[must_use]
    pub const fn all() -> Self {
        Self {
            uninitialized: true,
            races: true,
            async_copies: true,
            uninitialized_host_reads: false,
        }
    }

    /// None of those that can be switched off.
    #[must_use]
    pub const fn none() -> Self {
        Self {
            uninitialized: false,
            races: false,
            async_copies: false,
            uninitialized_host_reads: false,
        }
    }
}

impl Default for Checks {
    fn default() -> Self {
        Self::all()
    }
}

/// The device to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceConfig {
    /// The GPU whose limits hold.
    pub profile: Profile,
    /// The checks that run.
    pub checks: Checks,
    /// Host threads that run CTAs; 0 = as many as the host has.
    pub threads: usize,
    /// Warp instructions that one CTA may execute before it is called an infinite loop.
    pub instruction_budget: u64,
}

impl Default for DeviceConfig {
    /// An H100 with all checks.
    fn default() -> Self {
        Self {
            profile: Profile::sm_90(),
            checks: Checks::all(),
            threads: 0,
            instruction_budget: 1 << 30,
        }
    }
}
