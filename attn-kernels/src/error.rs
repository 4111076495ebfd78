//! The errors of this crate. Each is raised before anything is allocated or changed.

use crate::shape::CacheShape;

/// Why a cache, a plan or a call was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A dimension that must not be zero is.
    #[error("{name} is 0, must be at least 1")]
    ZeroDimension {
        /// Which dimension.
        name: &'static str,
    },
    /// The block size is not a power of two between 8 and 256.
    #[error("block_size is {value}, must be a power of two from 8 to 256")]
    BlockSize {
        /// The value given.
        value: usize,
    },
    /// The head dimension is not a multiple of 8, or exceeds the largest supported.
    #[error("head_dim is {value}, must be a multiple of 8, at most {limit}")]
    HeadDim {
        /// The value given.
        value: usize,
        /// The largest head dimension.
        limit: usize,
    },
    /// The cache would exceed what the address space or the block ids allow.
    #[error("cache of {num_blocks} blocks does not fit: {reason}")]
    CacheTooLarge {
        /// The number of blocks asked for.
        num_blocks: usize,
        /// Which limit it meets.
        reason: &'static str,
    },
    /// The system did not give the memory.
    #[error("cannot allocate {bytes} bytes for the cache: {reason}")]
    OutOfMemory {
        /// The size asked for.
        bytes: usize,
        /// What the system said.
        reason: String,
    },
    /// Query heads do not divide evenly over KV heads.
    #[error("num_heads is {num_heads}, must be a multiple of num_kv_heads, {num_kv_heads}")]
    HeadGroups {
        /// Query heads.
        num_heads: usize,
        /// KV heads of the cache.
        num_kv_heads: usize,
    },
    /// A number that must be finite (and, where said, positive) is not.
    #[error("{name} is {value}, must be {limit}")]
    BadNumber {
        /// What the number is.
        name: &'static str,
        /// Its value.
        value: f32,
        /// What it must be.
        limit: &'static str,
    },
    /// A list has one entry per head, and the wrong number of them.
    #[error("{name} has {len} values, must have {expected}")]
    PerHeadLength {
        /// Which list.
        name: &'static str,
        /// Its length.
        len: usize,
        /// The number of heads it is for.
        expected: usize,
    },
    /// A scale other than 1 with a storage type that takes none.
    #[error("{name} is {value} but {element_type} storage takes no scale (must be 1)")]
    UnquantizedScale {
        /// Which scale.
        name: &'static str,
        /// Its value.
        value: f32,
        /// The storage type.
        element_type: &'static str,
    },
    /// The device refused or failed.
    #[error("device: {reason}")]
    Device {
        /// What the driver said.
        reason: String,
    },
    /// A call that must reach the device at once, while its stream is captured into a graph.
    #[error("cannot {what} while the stream is captured: make the same calls once before")]
    Captured {
        /// What the call does.
        what: &'static str,
    },
    /// Memory that another device gave, or the same with another stream.
    #[error("{name} is memory of another device or stream than the backend's")]
    ForeignMemory {
        /// Which tensor or cache.
        name: &'static str,
    },
    /// A tensor would exceed the address space.
    #[error("a tensor of {len} {element_type} elements does not fit the address space")]
    TensorTooLarge {
        /// Its elements.
        len: usize,
        /// Their type.
        element_type: &'static str,
    },
    /// A copy from a part of a tensor to another that shares some of it.
    #[error("{bytes} bytes at {from} and at {to} of one allocation overlap: they cannot be copied")]
    Overlap {
        /// Where the first begins, in bytes.
        from: usize,
        /// Where the second begins.
        to: usize,
        /// The length of both.
        bytes: usize,
    },
    /// There is no CUDA driver.
    #[error("no CUDA driver: libcuda.so.1 was not found")]
    NoDriver,
    /// There is no device of that number.
    #[error("no CUDA device {ordinal}: there are {count}")]
    NoDevice {
        /// The number asked for, from 0.
        ordinal: usize,
        /// Devices that the driver has.
        count: usize,
    },
    /// The kernels need a newer GPU.
    #[error("{name} has compute capability {}.{}, need {}.{}", have.0, have.1, need.0, need.1)]
    DeviceTooOld {
        /// What the device calls itself.
        name: String,
        /// Its compute capability, (major, minor).
        have: (u32, u32),
        /// The least that kernels are there for.
        need: (u32, u32),
    },
    /// The kernels' PTX is newer than the driver.
    #[error("the driver supports CUDA {have}, the kernels of {what} need {need}")]
    DriverTooOld {
        /// The module.
        what: String,
        /// The driver's CUDA version, `12.4`.
        have: String,
        /// The least that takes the PTX.
        need: String,
    },
    /// The device has not that much memory left.
    #[error("need {need} bytes on the device, {free} free")]
    DeviceMemory {
        /// The size asked for.
        need: usize,
        /// What the device has left.
        free: usize,
    },
    /// A device has no such kernel.
    #[error("no kernel {kernel} in module {module} for {device}")]
    NoKernel {
        /// The module.
        module: String,
        /// The kernel.
        kernel: String,
        /// What the device calls itself.
        device: String,
    },
    /// A kernel does not ship, and there is nothing to compile it with.
    #[error("kernel {kernel} does not ship, and libnvrtc was not found to compile it")]
    NoCompiler {
        /// The kernel.
        kernel: String,
    },
    /// A kernel does not ship, and the compiler refuses it.
    #[error("kernel {kernel} cannot be compiled for {arch}: {reason}")]
    Compile {
        /// The kernel.
        kernel: String,
        /// The architecture it was compiled for.
        arch: String,
        /// What the compiler said.
        reason: String,
    },
    /// Two sets of kernels have the same module.
    #[error("there are two modules {name} for {arch}")]
    DuplicateModule {
        /// The module.
        name: String,
        /// The architecture.
        arch: String,
    },
    /// A launch brought an argument of another size than the kernel takes.
    #[error("{kernel} takes {expected} bytes of arguments, got {len}")]
    ArgumentBytes {
        /// The kernel.
        kernel: String,
        /// Bytes given.
        len: usize,
        /// Bytes that it takes.
        expected: usize,
    },
    /// A range is not within an allocation.
    #[error("{bytes} bytes at {offset} are not within an allocation of {size}")]
    MemoryRange {
        /// Where the range begins.
        offset: usize,
        /// Its length.
        bytes: usize,
        /// The allocation's size.
        size: usize,
    },
    /// A part of a tensor is not within it, or begins where kernels cannot read from.
    #[error("elements {from}..{to} of {len}: must be within, and begin at a multiple of {align}")]
    View {
        /// The first element.
        from: usize,
        /// The element after the last.
        to: usize,
        /// Elements of the tensor.
        len: usize,
        /// Elements of 16 bytes.
        align: usize,
    },
    /// A tensor holds numbers of another type than the call takes.
    #[error("{name} is {element_type}, must be {expected}")]
    TensorType {
        /// Which tensor.
        name: &'static str,
        /// Its type.
        element_type: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Dynamic scales for a storage type that takes none.
    #[error(
        "{side} is stored as {element_type}: only quantized types have scales per token and head"
    )]
    DynamicUnquantized {
        /// K or V.
        side: &'static str,
        /// Its storage type.
        element_type: &'static str,
    },
    /// A scale was given for a side whose scales are dynamic.
    #[error("{name} is {value} but scales are per token and head, written by append (must be 1)")]
    DynamicScale {
        /// Which scale.
        name: &'static str,
        /// Its value.
        value: f32,
    },
    /// An arithmetic with storage types it is not made for.
    #[error("attn math {math} needs {needs}; they are {k} and {v}")]
    MathNeeds {
        /// The arithmetic.
        math: &'static str,
        /// What it needs.
        needs: &'static str,
        /// How K is stored.
        k: &'static str,
        /// How V is stored.
        v: &'static str,
    },
    /// There is no such arithmetic.
    #[error("unknown attn math {name:?} (default, fp8_q, fp8, int8)")]
    UnknownMath {
        /// The name given.
        name: String,
    },
    /// This backend cannot do what was asked.
    #[error("{backend} backend does not support {what}")]
    Unsupported {
        /// The backend.
        backend: &'static str,
        /// What was asked.
        what: String,
    },
    /// Two options exclude each other.
    #[error("{a} cannot be combined with {b}")]
    Conflict {
        /// One option.
        a: &'static str,
        /// The other.
        b: &'static str,
    },
    /// With a causal mask the query tokens are the last of the KV tokens.
    #[error("sequence {sequence}: q_len {q_len} exceeds kv_len {kv_len} (kv_len counts them)")]
    QueryBeyondKv {
        /// Index of the sequence in the batch.
        sequence: usize,
        /// Its query tokens.
        q_len: usize,
        /// Its KV tokens.
        kv_len: usize,
    },
    /// A sequence has more tokens than its block table holds.
    #[error("sequence {sequence}: kv_len {kv_len} needs {needed} blocks, its table has {len}")]
    BlockTableTooShort {
        /// Index of the sequence in the batch.
        sequence: usize,
        /// Its KV tokens.
        kv_len: usize,
        /// Blocks they fill.
        needed: usize,
        /// Blocks in the table.
        len: usize,
    },
    /// A block id is not in the cache.
    #[error("{place}: block {block} is out of range, the cache has {num_blocks} blocks")]
    BlockOutOfRange {
        /// Where the id stands.
        place: String,
        /// The id.
        block: u32,
        /// Blocks in the cache.
        num_blocks: usize,
    },
    /// A slot is not in the cache.
    #[error("slots[{index}] is {slot}, the cache has {num_slots} slots")]
    SlotOutOfRange {
        /// Index in the slot list.
        index: usize,
        /// The slot.
        slot: i64,
        /// Slots in the cache.
        num_slots: usize,
    },
    /// A tensor has the wrong number of elements.
    #[error("{name} has {len} elements, must have {expected} ({shape})")]
    BufferLength {
        /// Which tensor.
        name: &'static str,
        /// Its length.
        len: usize,
        /// What it must be.
        expected: usize,
        /// The shape it stands for.
        shape: &'static str,
    },
    /// Blocks can only go between caches that store the same.
    #[error("blocks of {from:?} cannot go into {into:?}")]
    ShapeMismatch {
        /// Where the blocks are.
        from: Box<CacheShape>,
        /// Where they should go.
        into: Box<CacheShape>,
    },
    /// A plan was made for another cache shape.
    #[error("plan was made for {planned:?}, the cache is {cache:?}")]
    PlanMismatch {
        /// The shape the plan was made for.
        planned: Box<CacheShape>,
        /// The shape of the cache given.
        cache: Box<CacheShape>,
    },
}
