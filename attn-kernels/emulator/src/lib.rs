//! A software CUDA device: runs PTX on the CPU, warp by warp, with the checks of a GPU sanitizer and
//! the counts of a profiler. For tests of CUDA kernels where there is no GPU.
//!
//! # The decision, and its cost
//!
//! The *text that ships* is executed, not a translation of the CUDA source: what NVRTC or nvcc made of a
//! kernel is what is tested, down to the rounding of each instruction. A warp is 32 lanes side by side
//! in one register, so an instruction is decoded once for 32 threads and most arithmetic is vector code.
//! The cost: some hundred million thread instructions a second on one core, so a kernel test has
//! thousands of threads, not millions. And PTX is not SASS: what `ptxas` does afterwards (register
//! allocation, scheduling, contraction) is not seen here.
//!
//! # In ten lines
//!
//! ```
//! use cuda_emulator::{Device, DeviceConfig, LaunchConfig, Params};
//! # let ptx = ".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry twice(.param .u64 x)\n{
//! # .reg .b32 %r<3>; .reg .b64 %rd<3>; ld.param.u64 %rd0, [x]; mov.u32 %r0, %tid.x;
//! # mul.wide.u32 %rd1, %r0, 4; add.s64 %rd0, %rd0, %rd1;
//! # ld.global.u32 %r1, [%rd0]; add.u32 %r1, %r1, %r1; st.global.u32 [%rd0], %r1; ret; }";
//! let device = Device::new(DeviceConfig::default()); // an H100 with all checks
//! let module = device.load_ptx("twice.ptx", ptx)?; // refuses what it cannot run, with its line
//! let x = device.alloc_named("x", 4 * 32)?;
//! device.fill32(x, 21, 32)?;
//! let shape = LaunchConfig::linear(1, 32);
//! let report = device.launch(&module.kernel("twice")?, shape, &Params::new().ptr(x).finish())?;
//! let mut first = [0; 4];
//! device.read(x, &mut first)?;
//! assert_eq!(u32::from_le_bytes(first), 42);
//! assert_eq!(report.counters.global_load.sectors, 4);
//! // Thread 32 would write past the end of x: the launch is an error that says so.
//! let error = device.launch(&module.kernel("twice")?, LaunchConfig::linear(1, 64), &Params::new().ptr(x).finish());
//! assert!(error.unwrap_err().to_string().contains("thread (32,0,0)"));
//! # Ok::<(), cuda_emulator::Error>(())
//! ```
//!
//! Host code that uses cudarc needs no change at all: see [`driver`].
//!
//! # What is modelled
//!
//! | matter | how |
//! |---|---|
//! | instructions | integer, logic, f16, bf16, f32, f64 with PTX rounding, `.ftz`, saturation and NaN rules; `cvt` in every form that `ptxas` 12.9 assembles, of FP8, FP6, FP4, f16 and bf16 too, but for stochastic rounding to other types than bf16x2 (below); memory in every space; atomics; warp collectives; `ldmatrix`, `stmatrix`, `mma`; `cp.async`, `cp.async.bulk`, `mbarrier`. What is missing is refused when the module is loaded |
//! | threads of a warp | independent: each lane has its own place in the program. Lanes at one instruction run together, and meet again where the compiler laid out their common continuation; one that spins lets the others go on |
//! | warps | take turns. A `.sync` instruction waits for the lanes that its mask names and that have not exited; a barrier waits for all its threads |
//! | CTAs | independent, on all host threads. If the old value of a global atomic is used, or its result depends on the order (floats, `exch`, `cas`, `inc`, `dec`), they run in order on one thread: results and counts do not depend on the host |
//! | memory | allocations with guard space between, a bit per byte for "was written". Freed addresses are not given again |
//! | asynchronous copies | the source is read when the copy is issued, the data lands in shared memory when it is waited for |
//! | limits | of a named GPU and driver ([`Profile`]): sizes of launches, memory, PTX version, target |
//!
//! # What is checked
//!
//! Each check ends the launch with a [`Fault`] that names kernel, PTX line, CTA, thread, address and
//! allocation; of several CTAs the lowest is reported. [`FaultKind`] lists them: access out of bounds,
//! misaligned, after `free`; uninitialised registers, shared, local and global memory; races in shared
//! memory between warps, and between lanes of a warp with no `bar.warp.sync` (a shuffle does not order
//! memory); the destination of an asynchronous copy before its wait; divergent barriers; warp masks that
//! leave out their lane or name lanes that never come; mbarriers that nobody or two made, that ended or
//! overflow, and any other access to their bytes while they live; endless loops.
//!
//! Moving a value that was never written is no fault, using it is: compilers move what they do not need.
//! A store of what stands there already is no race. Races are found by the order that barriers,
//! mbarriers, `bar.warp.sync`, atomics and volatile accesses make, not by chance of timing; lanes share
//! their warp's order with other warps, so a race may be missed where lanes of one warp synchronise with
//! other warps separately, and none is reported that is not there.
//!
//! # What is not modelled
//!
//! - **Weak memory.** Accesses happen in program order and are seen at once. A missing `fence` is not
//!   found, and neither are races in global memory between CTAs.
//! - **Time.** [`Counters`] are counts of instructions, bytes, sectors, bank conflicts. There are no
//!   caches, no latencies; `%clock` counts instructions.
//! - **CTAs that wait for one another.** They need not be resident together: a grid barrier or a spin on
//!   another CTA's flag ends with [`FaultKind::InstructionBudget`].
//! - **The order of additions in `mma`.** Products are exact and summed in f64 in the order of k, rounded
//!   once. Hardware adds in groups and truncates, and keeps fewer bits for FP8.
//! - **The last bits of approximations** (`ex2`, `lg2`, `rsqrt`, `tanh` …): within the documented error,
//!   not the bits of a chip.
//! - **Stochastic rounding** (`cvt.rs`) but to bf16x2. There the ISA gives 16 random bits to the 16 that go,
//!   and that is what runs. For f16x2 and the types of four values it says which random bits belong to
//!   which value, but not where they are added when more bits go than there are random ones: refused when
//!   the module is loaded. So is `cvt.ftz.f32.bf16` below `sm_90`, which the ISA excludes and `ptxas` takes.
//! - `wgmma`, `tcgen05`, tensor maps, clusters larger than one, textures, device-side launches: refused
//!   when the module is loaded.
//! - A read through `shfl` of a lane that takes no part is undefined in PTX; here it gives `0xffffdead`,
//!   a NaN.
//!
//! # Layout
//!
//! `ptx` turns text into the typed form of `isa`; `exec` runs that form; `num` is what the numbers do,
//! `mem` global memory, `check` faults and the order of accesses, `count` the counters; `device` is the
//! interface of this page and `driver` that of `libcuda`.

mod check;
mod count;
mod device;
pub mod driver;
mod exec;
mod isa;
mod mem;
mod num;
mod ptx;

pub use check::{AllocationInfo, Fault, FaultKind};
pub use count::{
    Class, ClassCount, Counters, GlobalTraffic, Limiter, Occupancy, SharedTraffic, Site, occupancy,
};
pub use device::{
    Checks, Device, DeviceConfig, DevicePtr, Error, Kernel, LaunchConfig, LaunchReport, Module,
    Params, Profile,
};
pub use ptx::{Place, PtxError};
