//! Launches: `cuLaunchKernel` and its kin. The arguments are copied at the call, and what is wrong with
//! the shape is found at the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::abi::{Handle, Host, In, Reply, driver_api, say};
use super::code::Code;
use super::core::Core;
use super::machine::{Kernel, LaunchConfig, code_of};
use super::module::Function;
use super::op::{Failure, Op};
use super::state::{live, live_stream};

/// A launch that only has to be run.
pub(super) struct Launch {
    kernel: Kernel,
    shape: LaunchConfig,
    params: Vec<u8>,
}

impl Launch {
    pub(super) fn run(&self, core: &Core) -> Result<(), Failure> {
        let report = core.device.launch(&self.kernel, self.shape, &self.params);
        let report = report.map_err(|error| Failure {
            code: code_of(&error),
            message: format!("launch of {}: {error}", self.kernel.name()),
        })?;
        core.report.launch(self.kernel.name(), &self.shape, &report);
        Ok(())
    }
}

/// Where the arguments stand: an address for each, or one packed buffer.
struct Arguments {
    pointers: In<usize>,
    extra: In<usize>,
}

impl Arguments {
    fn gather(&self, kernel: &Kernel) -> Reply<Vec<u8>> {
        match (self.pointers.is_null(), self.extra.is_null()) {
            (true, true) if kernel.params().is_empty() => Ok(vec![0; kernel.param_bytes()]),
            (false, true) => self.gather_pointers(kernel),
            (true, false) => self.gather_buffer(kernel),
            _ => refuse(kernel, "needs its arguments in kernelParams or in extra, one of the two"),
        }
    }

    fn gather_pointers(&self, kernel: &Kernel) -> Reply<Vec<u8>> {
        let mut buffer = vec![0; kernel.param_bytes()];
        for (index, &(offset, size)) in kernel.params().iter().enumerate() {
            let argument = Host(self.pointers.at(index)?).checked(size)?;
            let place = buffer.get_mut(offset..offset + size).ok_or(Code::INVALID_VALUE)?;
            argument.read(size, |bytes| place.copy_from_slice(bytes));
        }
        Ok(buffer)
    }

    /// `extra` is a list of pairs that ends with `CU_LAUNCH_PARAM_END`.
    fn gather_buffer(&self, kernel: &Kernel) -> Reply<Vec<u8>> {
        const END: usize = 0;
        const BUFFER_POINTER: usize = 1;
        const BUFFER_SIZE: usize = 2;
        let (mut buffer, mut size) = (None, None);
        for index in (0..).step_by(2) {
            match self.extra.at(index)? {
                END => break,
                BUFFER_POINTER => buffer = Some(Host(self.extra.at(index + 1)?)),
                BUFFER_SIZE => size = Some(Host(self.extra.at(index + 1)?)),
                _ => return Err(Code::INVALID_VALUE),
            }
        }
        let (buffer, size) = (buffer.ok_or(Code::INVALID_VALUE)?, size.ok_or(Code::INVALID_VALUE)?);
        let mut bytes = [0; size_of::<usize>()];
        size.checked(bytes.len())?.read(bytes.len(), |value| bytes.copy_from_slice(value));
        let size = usize::from_ne_bytes(bytes);
        if size != kernel.param_bytes() {
            let takes = kernel.param_bytes();
            return refuse(kernel, &format!("takes {takes} bytes of arguments, got {size}"));
        }
        Ok(buffer.checked(size)?.read(size, <[u8]>::to_vec))
    }
}

fn refuse<T>(kernel: &Kernel, why: &str) -> Reply<T> {
    say(format_args!("cuLaunchKernel: kernel {} {why}", kernel.name()));
    Err(Code::INVALID_VALUE)
}

fn launch(function: Handle, shape: LaunchConfig, stream: Handle, arguments: &Arguments) -> Reply {
    let (driver, context, stream) = live_stream(stream)?;
    let function = driver.functions.get(function)?;
    if function.context != context.handle {
        return Err(Code::INVALID_CONTEXT);
    }
    let kernel = &function.kernel;
    check_shape(&context.core, &function, &shape)?;
    let params = arguments.gather(kernel)?;
    stream.push(Op::Launch(Arc::new(Launch { kernel: kernel.clone(), shape, params })))
}

fn check_shape(core: &Core, function: &Function, shape: &LaunchConfig) -> Reply {
    core.device.check_shape(&function.kernel, shape).map_err(|error| {
        say(format_args!("cuLaunchKernel: {error}"));
        code_of(&error)
    })?;
    let limit = function.max_dynamic_shared.load(Ordering::Relaxed);
    if i64::from(shape.shared_bytes) > i64::from(limit) {
        let bytes = shape.shared_bytes;
        let why = format!(
            "may have {limit} bytes of dynamic shared memory, got {bytes}: see \
             CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"
        );
        return refuse(&function.kernel, &why);
    }
    Ok(())
}

/// `CUlaunchConfig`.
#[derive(Clone, Copy)]
#[repr(C)]
struct Config {
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    stream: Handle,
    attributes: In<Attribute>,
    count: u32,
}

/// `CUlaunchAttribute`: the value is a union of 64 bytes.
#[derive(Clone, Copy)]
#[repr(C)]
struct Attribute {
    id: u32,
    pad: u32,
    value: [u32; 16],
}

impl Config {
    fn shape(&self) -> LaunchConfig {
        LaunchConfig { grid: self.grid, block: self.block, shared_bytes: self.shared_bytes }
    }

    /// Takes the attributes that ask for what happens anyhow, or only for speed.
    fn check_attributes(&self) -> Reply {
        for index in 0..self.count as usize {
            let attribute = self.attributes.at(index)?;
            let fits = match attribute.id {
                // Ignore, access policy, synchronisation policy, priority.
                0 | 1 | 3 | 8 => true,
                // Programmatic stream serialization permits an overlap; none is made.
                6 => true,
                // Cooperative.
                2 => attribute.value[0] == 0,
                // Cluster dimensions.
                4 => attribute.value[..3].iter().all(|size| *size <= 1),
                _ => false,
            };
            if !fits {
                return Err(Code::NOT_SUPPORTED);
            }
        }
        Ok(())
    }
}

driver_api! {
    fn cuLaunchKernel(
        function: Handle, grid_x: u32, grid_y: u32, grid_z: u32, block_x: u32, block_y: u32,
        block_z: u32, shared_bytes: u32, stream: Handle, pointers: In<usize>, extra: In<usize>,
    ) {
        let grid = [grid_x, grid_y, grid_z];
        let block = [block_x, block_y, block_z];
        let arguments = Arguments { pointers, extra };
        launch(function, LaunchConfig { grid, block, shared_bytes }, stream, &arguments)
    }

    fn cuLaunchKernelEx(
        config: In<Config>, function: Handle, pointers: In<usize>, extra: In<usize>,
    ) {
        let config = config.get()?;
        config.check_attributes()?;
        launch(function, config.shape(), config.stream, &Arguments { pointers, extra })
    }

    // CTAs run one after the other on each host thread: they cannot wait for one another.
    fn cuLaunchCooperativeKernel(
        _function: Handle, _grid_x: u32, _grid_y: u32, _grid_z: u32, _block_x: u32, _block_y: u32,
        _block_z: u32, _shared_bytes: u32, _stream: Handle, _pointers: In<usize>,
    ) {
        live()?;
        Err(Code::NOT_SUPPORTED)
    }
}
