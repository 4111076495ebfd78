//! The driver: a `libcuda` whose device is the emulator, for host code that is used as it is.
//!
//! # With cudarc, in ten lines
//!
//! ```text
//! cargo build -p cuda-emulator --features libcuda        # makes target/debug/libcuda_emulator.so
//! mkdir -p emulated
//! ln -sf "$PWD/target/debug/libcuda_emulator.so" emulated/libcuda.so      # the first name cudarc tries
//! ln -sf "$PWD/target/debug/libcuda_emulator.so" emulated/libcuda.so.1    # the name others ask for
//!
//! export LD_LIBRARY_PATH="$PWD/emulated"
//! export CUDA_EMULATOR_PROFILE=sm_89                     # which GPU it is
//! export CUDA_EMULATOR_STREAMS=lazy                      # make missing synchronisation show
//! cargo test                                             # of a project with cudarc, `dynamic-loading`
//! ```
//!
//! Nothing in that project changes. A kernel that does what a check forbids ends with a message on
//! stderr that names the line of the PTX, the thread and the allocation; from then on every call
//! returns the error, as on a GPU, until the context is reset or gone.
//!
//! # Settings
//!
//! Read once by `cuInit`. A value that means nothing, or a name with this prefix that is no setting,
//! makes `cuInit` fail with `CUDA_ERROR_INVALID_VALUE` and a message.
//!
//! | variable | values | default |
//! |---|---|---|
//! | `CUDA_EMULATOR_PROFILE` | `sm_80`, `sm_89`, `sm_90`, `sm_100`, `sm_120` | `sm_90` |
//! | `CUDA_EMULATOR_STREAMS` | `serial`, `async`, `lazy` | `serial` |
//! | `CUDA_EMULATOR_CHECKS` | `all`, `none`, or a list with commas of `uninitialized`, `races`, `async-copies`, `uninitialized-host-reads` (which `all` leaves out) | `all` |
//! | `CUDA_EMULATOR_THREADS` | host threads that run CTAs, from 1 | one per core |
//! | `CUDA_EMULATOR_BUDGET` | warp instructions of one CTA before it counts as an infinite loop | 2^30 |
//! | `CUDA_EMULATOR_REPORT` | a file, made anew: one line of JSON per launch, with all counters | none |
//!
//! # Streams
//!
//! Order is the driver's in all three modes: within a stream, through events, and between the legacy
//! default stream and the blocking ones. They differ in when work runs of which the order is open:
//!
//! - `serial`: at the call. Deterministic; what a program that synchronises everything computes.
//! - `async`: every stream is a thread, beside the host and the others. What a GPU does, with its
//!   chance: a missing synchronisation may or may not show.
//! - `lazy`: not before somebody waits for it, and then no more than has to be. Deterministic, and the
//!   opposite of `serial`: work that nobody waits for has not happened. Asking (`cuStreamQuery`,
//!   `cuEventQuery`) does one piece of work each time, so a loop that asks comes to its end.
//!
//! Copies keep to the driver's rules for host memory ("API synchronization behavior"): an asynchronous
//! copy reads pageable memory at the call and has written it when it returns; page-locked memory is
//! read and written when the copy runs. Event times are times of the host: they order, they do not
//! measure.
//!
//! # What is there
//!
//! All that the safe interface of cudarc 0.19 calls for contexts, PTX modules, launches, memory, pools,
//! page-locked and managed memory, streams, events, host functions, occupancy and graphs made by
//! stream capture (a graph runs its operations one after the other, in the order of their capture).
//! cudarc looks each symbol up at its first call, and panics if it is missing: so the rest of the API
//! is exported as well, and every function that is not supported says so on stderr, once, and returns
//! `CUDA_ERROR_NOT_SUPPORTED`. Among those: registered memory mapped into the device, cooperative
//! launches and clusters, arrays and textures, graphs built node by node, allocation within a capture,
//! virtual memory, peers, interprocess handles, cubins and fatbins.
//!
//! Kernels reach page-locked memory that was allocated, and managed memory, at the host's own address.
//! All of it counts as written: what the host does to it is not seen.
//!
//! Stream-ordered memory is allocated at the call and freed in the stream's order; so a use on
//! another stream before the allocation's place in its own is not noticed.
//!
//! # Linking it in
//!
//! Without the feature `libcuda` the crate exports no C symbol. The functions are still there, by
//! [`symbol`], for a program that binds the driver itself.

mod abi;
mod attributes;
mod capture;
mod code;
mod context;
mod copy;
mod core;
mod device;
mod event;
mod fill;
mod function;
mod graph;
mod jit;
mod lane;
mod launch;
mod machine;
mod managed;
mod memory;
mod module;
mod op;
mod pinned;
mod pool;
mod report;
mod settings;
mod state;
mod stream;
mod stream_api;
mod table;
mod unsupported;

use std::ffi::c_void;

/// The address of the driver function `name`, spelled as the library exports it (`cuMemAlloc_v2`).
/// Its type is that of the header; calling it as another is undefined.
///
/// ```
/// assert!(cuda_emulator::driver::symbol("cuInit").is_some());
/// assert!(cuda_emulator::driver::symbol("cuMemAlloc").is_none()); // the header makes it cuMemAlloc_v2
/// ```
#[must_use]
pub fn symbol(name: &str) -> Option<*const c_void> {
    let places = [
        code::find,
        context::find,
        copy::find,
        device::find,
        event::find,
        fill::find,
        function::find,
        graph::find,
        launch::find,
        managed::find,
        memory::find,
        module::find,
        pinned::find,
        pool::find,
        stream_api::find,
        unsupported::find,
    ];
    places.into_iter().find_map(|find| find(name))
}

/// As `cuGetProcAddress`: `name` without a suffix, and the CUDA version whose form of it is meant.
fn resolve(name: &str, version: i32) -> Option<*const c_void> {
    let forms = match name {
        "cuCtxCreate" if version >= 12050 => &["_v4"][..],
        "cuCtxCreate" if version >= 11040 => &["_v3"],
        "cuEventElapsedTime" if version < 12080 => &[""],
        "cuGetProcAddress" if version < 12000 => &[""],
        _ => &["_v2", ""],
    };
    forms.iter().find_map(|suffix| symbol(&format!("{name}{suffix}")))
}

#[cfg(test)]
mod tests {
    use super::code::Code;
    use super::*;

    /// More arguments than any function of the driver has; those it has not, it does not see.
    #[rustfmt::skip]
    type Call = extern "C" fn(
        usize, usize, usize, usize, usize, usize, usize, usize, usize, usize, usize, usize,
    ) -> Code;

    fn call_with_nothing(name: &str) -> Code {
        let address = symbol(name).expect("an exported function");
        // SAFETY: in the C calling conventions of the 64-bit targets, words of zero serve as arguments
        // of every integer and pointer type, and further ones do no harm.
        let function: Call = unsafe { std::mem::transmute(address) };
        function(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
    }

    /// A null pointer is refused, a null handle is one or is refused; nothing crashes, and nothing that
    /// is not supported pretends to be.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn every_function_survives_nothing() {
        let names = || EXPORTED.iter().copied().flatten().copied();
        for name in names() {
            assert_ne!(call_with_nothing(name), Code::UNKNOWN, "{name} before cuInit");
        }
        assert_eq!(call_with_nothing("cuInit"), Code::SUCCESS);
        for name in names() {
            assert_ne!(call_with_nothing(name), Code::UNKNOWN, "{name} without a context");
        }
        let mut context = 0;
        let create = symbol("cuDevicePrimaryCtxRetain").expect("an exported function");
        // SAFETY: this is its type.
        let create: extern "C" fn(*mut abi::Handle, i32) -> Code =
            unsafe { std::mem::transmute(create) };
        assert_eq!(create(&raw mut context, 0), Code::SUCCESS);
        core::STACK.with_borrow_mut(|stack| stack.push(context));
        for name in names() {
            let code = call_with_nothing(name);
            assert_ne!(code, Code::UNKNOWN, "{name}");
            let unsupported = unsupported::NAMES.contains(&name);
            assert_eq!(code == Code::NOT_SUPPORTED, unsupported || NEVER.contains(&name), "{name}");
            core::STACK.with_borrow_mut(|stack| *stack = vec![context]);
        }
    }

    /// Refused for what they are, not for their arguments.
    const NEVER: [&str; 1] = ["cuLaunchCooperativeKernel"];

    const EXPORTED: [&[&str]; 16] = [
        code::NAMES,
        copy::NAMES,
        device::NAMES,
        event::NAMES,
        fill::NAMES,
        function::NAMES,
        graph::NAMES,
        launch::NAMES,
        managed::NAMES,
        memory::NAMES,
        module::NAMES,
        pinned::NAMES,
        pool::NAMES,
        stream_api::NAMES,
        unsupported::NAMES,
        // Last: it ends the context.
        context::NAMES,
    ];

    #[test]
    fn the_form_follows_the_version() {
        for (name, version, form) in [
            ("cuInit", 12000, "cuInit"),
            ("cuMemAlloc", 12000, "cuMemAlloc_v2"),
            ("cuCtxCreate", 11000, "cuCtxCreate_v2"),
            ("cuCtxCreate", 12000, "cuCtxCreate_v3"),
            ("cuCtxCreate", 12090, "cuCtxCreate_v4"),
            ("cuEventElapsedTime", 12000, "cuEventElapsedTime"),
            ("cuEventElapsedTime", 12080, "cuEventElapsedTime_v2"),
            ("cuGetProcAddress", 12000, "cuGetProcAddress_v2"),
            ("cuStreamBeginCapture", 12000, "cuStreamBeginCapture_v2"),
        ] {
            assert!(symbol(form).is_some(), "{form}");
            assert_eq!(resolve(name, version), symbol(form), "{name} at {version}");
        }
        assert_eq!(resolve("cuNoSuchThing", 12090), None);
    }
}
