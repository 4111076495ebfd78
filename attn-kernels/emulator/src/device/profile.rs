//! The limits of named GPUs, from NVIDIA's public documents: the CUDA C++ Programming Guide (table
//! "Technical Specifications per Compute Capability"), the architecture whitepapers and product
//! specifications. They decide what launches and loads, and what attribute queries answer.

/// One GPU and the driver on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Profile {
    /// The architecture, `sm_90`.
    pub name: &'static str,
    /// The product whose figures these are.
    pub device_name: &'static str,
    /// Compute capability, (major, minor).
    pub compute_capability: (u32, u32),
    /// As `cuDriverGetVersion` gives it: 12090 is 12.9.
    pub driver_version: u32,
    /// The newest `.version` of PTX that the driver takes.
    pub max_ptx: (u32, u32),
    /// Streaming multiprocessors.
    pub sm_count: u32,
    /// Threads of a CTA.
    pub max_threads_per_block: u32,
    /// Most threads along x, y and z of a CTA.
    pub max_block: [u32; 3],
    /// Most CTAs along x, y and z of a grid.
    pub max_grid: [u32; 3],
    /// Threads resident on one SM.
    pub max_threads_per_sm: u32,
    /// CTAs resident on one SM.
    pub max_blocks_per_sm: u32,
    /// 32-bit registers that a CTA may have.
    pub registers_per_block: u32,
    /// 32-bit registers of an SM.
    pub registers_per_sm: u32,
    /// Registers are given to warps in units of this many.
    pub register_unit: u32,
    /// Bytes of shared memory of a CTA, without opting in to more.
    pub shared_per_block: u32,
    /// With opting in.
    pub shared_per_block_optin: u32,
    /// Of an SM.
    pub shared_per_sm: u32,
    /// Of an SM for each CTA, for the system's own use.
    pub shared_reserved: u32,
    /// Bytes of constant memory.
    pub constant_bytes: u32,
    /// Bytes of L2 cache.
    pub l2_bytes: u32,
    /// Bytes of device memory.
    pub memory_bytes: u64,
    /// Boost clock.
    pub clock_khz: u32,
    /// Memory clock, of which the data rate is the double.
    pub memory_clock_khz: u32,
    /// Width of the memory bus.
    pub bus_width_bits: u32,
}

/// What all five have in common, and the figures of the A100.
const A100: Profile = Profile {
    name: "sm_80",
    device_name: "NVIDIA A100-SXM4-80GB (emulated)",
    compute_capability: (8, 0),
    driver_version: 12090,
    max_ptx: (8, 8),
    sm_count: 108,
    max_threads_per_block: 1024,
    max_block: [1024, 1024, 64],
    max_grid: [0x7fff_ffff, 65535, 65535],
    max_threads_per_sm: 2048,
    max_blocks_per_sm: 32,
    registers_per_block: 65536,
    registers_per_sm: 65536,
    register_unit: 256,
    shared_per_block: 48 << 10,
    shared_per_block_optin: 163 << 10,
    shared_per_sm: 164 << 10,
    shared_reserved: 1 << 10,
    constant_bytes: 64 << 10,
    l2_bytes: 40 << 20,
    memory_bytes: 80 << 30,
    clock_khz: 1_410_000,
    memory_clock_khz: 1_593_000,
    bus_width_bits: 5120,
};

const L40S: Profile = Profile {
    name: "sm_89",
    device_name: "NVIDIA L40S (emulated)",
    compute_capability: (8, 9),
    sm_count: 142,
    max_threads_per_sm: 1536,
    max_blocks_per_sm: 24,
    shared_per_block_optin: 99 << 10,
    shared_per_sm: 100 << 10,
    l2_bytes: 96 << 20,
    memory_bytes: 48 << 30,
    clock_khz: 2_520_000,
    memory_clock_khz: 9_001_000,
    bus_width_bits: 384,
    ..A100
};

const H100: Profile = Profile {
    name: "sm_90",
    device_name: "NVIDIA H100 80GB HBM3 (emulated)",
    compute_capability: (9, 0),
    sm_count: 132,
    shared_per_block_optin: 227 << 10,
    shared_per_sm: 228 << 10,
    l2_bytes: 50 << 20,
    clock_khz: 1_980_000,
    memory_clock_khz: 2_619_000,
    ..A100
};

const B200: Profile = Profile {
    name: "sm_100",
    device_name: "NVIDIA B200 (emulated)",
    compute_capability: (10, 0),
    sm_count: 148,
    l2_bytes: 126 << 20,
    memory_bytes: 180 << 30,
    clock_khz: 1_965_000,
    memory_clock_khz: 3_996_000,
    bus_width_bits: 8192,
    ..H100
};

const RTX_5090: Profile = Profile {
    name: "sm_120",
    device_name: "NVIDIA GeForce RTX 5090 (emulated)",
    compute_capability: (12, 0),
    sm_count: 170,
    max_threads_per_sm: 1536,
    max_blocks_per_sm: 24,
    shared_per_block_optin: 99 << 10,
    shared_per_sm: 100 << 10,
    l2_bytes: 96 << 20,
    memory_bytes: 32 << 30,
    clock_khz: 2_407_000,
    memory_clock_khz: 14_001_000,
    bus_width_bits: 512,
    ..A100
};

impl Profile {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [A100, L40S, H100, B200, RTX_5090];

    /// A100, 80 GB.
    #[must_use]
    pub const fn sm_80() -> Self {
        A100
    }

    /// L40S.
    #[must_use]
    pub const fn sm_89() -> Self {
        L40S
    }

    /// H100 SXM, 80 GB.
    #[must_use]
    pub const fn sm_90() -> Self {
        H100
    }

    /// B200.
    #[must_use]
    pub const fn sm_100() -> Self {
        B200
    }

    /// GeForce RTX 5090.
    #[must_use]
    pub const fn sm_120() -> Self {
        RTX_5090
    }

    /// By its architecture: `sm_90`, also `90` and `sm_90a`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        let number = name.strip_prefix("sm_").unwrap_or(name);
        let number = number.strip_suffix(['a', 'f']).unwrap_or(number);
        Self::ALL.into_iter().find(|p| p.name.strip_prefix("sm_") == Some(number))
    }

    /// The compute capability as one number: 90.
    #[must_use]
    pub const fn sm(&self) -> u32 {
        self.compute_capability.0 * 10 + self.compute_capability.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_every_spelling() {
        for profile in Profile::ALL {
            let number = profile.sm().to_string();
            for name in [format!("sm_{number}"), number.clone(), format!("sm_{number}a")] {
                assert_eq!(Profile::by_name(&name), Some(profile), "{name}");
            }
        }
        assert_eq!(Profile::by_name("sm_75"), None);
        assert_eq!(Profile::by_name(""), None);
    }
}
