//! The PTX of this crate's kernels, as it is in `engine/ptx`.

use attn_kernels::cuda::PtxModule;

macro_rules! module {
    ($arch:literal, $name:literal) => {
        PtxModule {
            arch: $arch,
            name: $name,
            text: include_str!(concat!("../../ptx/", $arch, "/", $name, ".ptx")),
        }
    };
}

macro_rules! modules {
    ($($arch:literal),*) => {
        &[$(
            module!($arch, "elementwise"),
            module!($arch, "embed"),
            module!($arch, "linear"),
            module!($arch, "norm"),
            module!($arch, "rotary"),
        )*]
    };
}

/// The kernels of a decoder step beside attention, for every architecture.
pub const MODULES: &[PtxModule] = modules!("sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a");
