//! The instruction sets there is code for, and which of them this processor has.

use core::sync::atomic::{AtomicU8, Ordering};

/// An instruction set the slice functions may run on. On x86-64 each one includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, one element at a time: the specification.
    Scalar = 1,
    /// AArch64 with NEON; chosen with feature `unverified-simd` only. Never executed.
    Neon = 2,
    /// x86-64 with AVX2 and F16C.
    Avx2 = 3,
    /// x86-64 with AVX-512 F, BW, DQ and VL; chosen with feature `unverified-simd` only.
    Avx512 = 4,
}

impl Isa {
    /// The best instruction set of this processor. Looked up once, then remembered; without
    /// feature `std`, the one that the crate was compiled for.
    #[inline]
    pub fn detected() -> Self {
        /// 0 until looked up, then the discriminant. Two threads that race store the same.
        static DETECTED: AtomicU8 = AtomicU8::new(0);
        match DETECTED.load(Ordering::Relaxed) {
            1 => Self::Scalar,
            2 => Self::Neon,
            3 => Self::Avx2,
            4 => Self::Avx512,
            _ => {
                let isa = Self::look_up();
                DETECTED.store(isa as u8, Ordering::Relaxed);
                isa
            }
        }
    }

    #[cold]
    fn look_up() -> Self {
        /// Whether the processor has the features, or without `std` the target.
        macro_rules! has {
            ($($feature:tt),*) => {{
                #[cfg(all(target_arch = "x86_64", feature = "std"))]
                let has = true $(&& std::is_x86_feature_detected!($feature))*;
                #[cfg(not(all(target_arch = "x86_64", feature = "std")))]
                let has = cfg!(all($(target_feature = $feature),*));
                has
            }};
        }
        let unverified = cfg!(feature = "unverified-simd");
        if !has!("avx2", "f16c") {
            let neon = cfg!(all(target_arch = "aarch64", target_feature = "neon"));
            return if unverified && neon { Self::Neon } else { Self::Scalar };
        }
        if unverified && has!("avx512f", "avx512bw", "avx512dq", "avx512vl") {
            return Self::Avx512;
        }
        Self::Avx2
    }

    /// The name as compilers spell it: `scalar`, `neon`, `avx2+f16c`, `avx512`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2+f16c",
            Self::Avx512 => "avx512",
        }
    }
}
