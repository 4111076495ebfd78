//! The instruction sets there is code for, and which of them this processor has.

use core::sync::atomic::{AtomicU8, Ordering};

/// An instruction set the slice functions may run on. Each one includes those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Isa {
    /// Plain Rust, one element at a time: the specification.
    Scalar = 1,
    /// x86-64 with AVX2 and F16C.
    Avx2 = 2,
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
            2 => Self::Avx2,
            _ => {
                let isa = Self::look_up();
                DETECTED.store(isa as u8, Ordering::Relaxed);
                isa
            }
        }
    }

    #[cold]
    fn look_up() -> Self {
        #[cfg(all(target_arch = "x86_64", feature = "std"))]
        let avx2 = std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("f16c");
        #[cfg(not(all(target_arch = "x86_64", feature = "std")))]
        let avx2 = cfg!(all(target_feature = "avx2", target_feature = "f16c"));
        if avx2 { Self::Avx2 } else { Self::Scalar }
    }

    /// The name as compilers spell it: `scalar`, `avx2+f16c`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Avx2 => "avx2+f16c",
        }
    }
}
