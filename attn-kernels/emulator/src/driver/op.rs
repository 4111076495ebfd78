//! What streams do: copies, fills, launches, callbacks. An operation can be run any number of times,
//! which is what a graph does. Knows the machine; not when it is run.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use super::abi::Host;
use super::code::Code;
use super::core::{Core, without_driver_calls};
use super::launch::Launch;
use super::machine::{DevicePtr, code_of};

/// One operation in a stream.
#[derive(Clone)]
pub(super) enum Op {
    Copy(Copy),
    Fill(Fill),
    Launch(Arc<Launch>),
    /// A function of the host and its argument.
    Host(Callback),
    /// Notes the time.
    Stamp(Arc<OnceLock<Instant>>),
    /// Gives stream-ordered memory back.
    Free(DevicePtr),
    /// The nodes of a graph, one after the other in the order of their capture.
    Graph(Arc<[Op]>),
    /// Only a place in the order.
    Nothing,
}

/// Where a copy reads or writes.
#[derive(Clone)]
pub(super) enum Place {
    Device(DevicePtr),
    Host(Host),
    /// Pageable memory that was read when the copy was called.
    Staged(Arc<[u8]>),
}

/// `rows` rows of `bytes`, each `pitch` bytes after the one before.
#[derive(Clone)]
pub(super) struct Copy {
    pub(super) dst: Place,
    pub(super) src: Place,
    pub(super) bytes: usize,
    pub(super) rows: usize,
    pub(super) dst_pitch: usize,
    pub(super) src_pitch: usize,
}

/// `rows` rows of `count` values.
#[derive(Clone)]
pub(super) struct Fill {
    pub(super) dst: DevicePtr,
    pub(super) value: Value,
    pub(super) count: usize,
    pub(super) rows: usize,
    pub(super) pitch: usize,
}

/// What a fill writes; its width is the unit of the count.
#[derive(Clone, Copy)]
pub(super) enum Value {
    D8(u8),
    D16(u16),
    D32(u32),
}

/// A host function of `cuLaunchHostFunc`.
#[derive(Clone, Copy)]
pub(super) struct Callback {
    pub(super) function: extern "C" fn(Host),
    pub(super) data: Host,
}

/// Why an operation failed: the sticky code and the message that names the operation.
pub(super) struct Failure {
    pub(super) code: Code,
    pub(super) message: String,
}

impl Op {
    pub(super) fn run(&self, core: &Core) -> Result<(), Failure> {
        match self {
            Op::Copy(copy) => copy.run(core),
            Op::Fill(fill) => fill.run(core),
            Op::Launch(launch) => launch.run(core),
            Op::Host(callback) => {
                without_driver_calls(|| (callback.function)(callback.data));
                Ok(())
            }
            Op::Stamp(time) => {
                let _ = time.set(Instant::now());
                Ok(())
            }
            Op::Free(ptr) => failed("stream-ordered free", core.device.free(*ptr)),
            Op::Graph(nodes) => nodes.iter().try_for_each(|node| node.run(core)),
            Op::Nothing => Ok(()),
        }
    }
}

fn failed(what: &str, result: Result<(), super::machine::Error>) -> Result<(), Failure> {
    result.map_err(|error| Failure { code: code_of(&error), message: format!("{what}: {error}") })
}

impl Copy {
    fn run(&self, core: &Core) -> Result<(), Failure> {
        if self.bytes == 0 {
            return Ok(());
        }
        (0..self.rows).try_for_each(|row| self.run_row(core, row))
    }

    fn run_row(&self, core: &Core, row: usize) -> Result<(), Failure> {
        let (device, bytes) = (&core.device, self.bytes);
        let (to, from) = (row * self.dst_pitch, row * self.src_pitch);
        match (&self.dst, &self.src) {
            (Place::Device(dst), Place::Device(src)) => {
                failed("copy on the device", device.copy(at(*dst, to), at(*src, from), bytes))
            }
            (Place::Device(dst), Place::Host(src)) => src.offset(from).read(bytes, |source| {
                failed("copy to the device", device.write(at(*dst, to), source))
            }),
            (Place::Device(dst), Place::Staged(src)) => {
                failed("copy to the device", device.write(at(*dst, to), &src[from..from + bytes]))
            }
            (Place::Host(dst), Place::Device(src)) => dst.offset(to).write(bytes, |target| {
                failed("copy to the host", device.read(at(*src, from), target))
            }),
            (Place::Host(dst), Place::Host(src)) => {
                // By way of a buffer: the two may overlap.
                let rows = src.offset(from).read(bytes, <[u8]>::to_vec);
                dst.offset(to).write(bytes, |target| target.copy_from_slice(&rows));
                Ok(())
            }
            (Place::Host(dst), Place::Staged(src)) => {
                dst.offset(to).write(bytes, |to| to.copy_from_slice(&src[from..from + bytes]));
                Ok(())
            }
            (Place::Staged(_), _) => Ok(()), // Only ever a source.
        }
    }
}

impl Fill {
    fn run(&self, core: &Core) -> Result<(), Failure> {
        (0..self.rows).try_for_each(|row| {
            let dst = at(self.dst, row * self.pitch);
            let result = match self.value {
                Value::D8(value) => core.device.fill8(dst, value, self.count),
                Value::D16(value) => core.device.fill16(dst, value, self.count),
                Value::D32(value) => core.device.fill32(dst, value, self.count),
            };
            failed("memset", result)
        })
    }
}

impl Value {
    pub(super) fn bytes(self) -> usize {
        match self {
            Value::D8(_) => 1,
            Value::D16(_) => 2,
            Value::D32(_) => 4,
        }
    }
}

fn at(ptr: DevicePtr, offset: usize) -> DevicePtr {
    DevicePtr(ptr.0 + offset as u64)
}
