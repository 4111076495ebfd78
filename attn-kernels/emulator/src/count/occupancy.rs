//! How many CTAs fit on an SM (CUDA C++ Programming Guide, "Hardware Multithreading").

use crate::device::Profile;

/// What keeps more CTAs from an SM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limiter {
    /// Resident threads.
    Threads,
    /// Resident CTAs.
    Blocks,
    /// The register file.
    Registers,
    /// Shared memory.
    Shared,
}

/// CTAs that are resident on one SM at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occupancy {
    /// CTAs per SM; 0 if one CTA does not fit.
    pub blocks_per_sm: u32,
    /// Warps per SM.
    pub warps_per_sm: u32,
    /// Warps that an SM can hold.
    pub max_warps_per_sm: u32,
    /// The tightest limit.
    pub limiter: Limiter,
}

impl Occupancy {
    /// Resident warps of those possible.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        f64::from(self.warps_per_sm) / f64::from(self.max_warps_per_sm)
    }
}

/// The occupancy of a kernel that needs so many registers per thread, bytes of shared memory per CTA
/// (static and dynamic) and threads per CTA.
#[must_use]
pub fn occupancy(profile: &Profile, registers: u32, shared: u32, threads: u32) -> Occupancy {
    let warps = threads.div_ceil(32).max(1);
    let max_warps = profile.max_threads_per_sm / 32;
    let per_warp = (registers.max(1) * 32).next_multiple_of(profile.register_unit);
    // Each of the four partitions of an SM has a quarter of the registers, and holds whole warps.
    let register_warps = profile.registers_per_sm / 4 / per_warp * 4;
    let by_registers = if registers > 255 || per_warp * warps > profile.registers_per_block {
        0
    } else {
        register_warps / warps
    };
    let by_shared = if shared > profile.shared_per_block_optin {
        0
    } else {
        profile.shared_per_sm / (shared + profile.shared_reserved).next_multiple_of(128)
    };
    let by_threads = if threads > profile.max_threads_per_block { 0 } else { max_warps / warps };
    let (blocks_per_sm, limiter) = [
        (by_threads, Limiter::Threads),
        (profile.max_blocks_per_sm, Limiter::Blocks),
        (by_registers, Limiter::Registers),
        (by_shared, Limiter::Shared),
    ]
    .into_iter()
    .min_by_key(|&(blocks, _)| blocks)
    .unwrap_or((0, Limiter::Threads));
    Occupancy {
        blocks_per_sm,
        warps_per_sm: blocks_per_sm * warps,
        max_warps_per_sm: max_warps,
        limiter,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_limits_in_turn() {
        let h100 = Profile::sm_90();
        let of = |r, s, t| {
            let o = occupancy(&h100, r, s, t);
            (o.blocks_per_sm, o.limiter)
        };
        assert_eq!(of(32, 0, 256), (8, Limiter::Threads));
        assert_eq!(of(16, 0, 32), (32, Limiter::Blocks));
        assert_eq!(of(128, 0, 128), (4, Limiter::Registers));
        assert_eq!(of(255, 0, 128), (2, Limiter::Registers));
        assert_eq!(of(32, 100 << 10, 128), (2, Limiter::Shared));
        assert_eq!(of(32, 228 << 10, 128), (0, Limiter::Shared));
        assert_eq!(occupancy(&h100, 64, 0, 128).fraction(), 0.5);
    }
}
