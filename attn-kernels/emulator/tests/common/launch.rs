//! The public interface of the emulator as the tests use it: buffers of plain numbers, one-line launches.

use cuda_emulator::{
    Device, DeviceConfig, DevicePtr, Error, Fault, LaunchConfig, LaunchReport, Module, Params,
};

/// A parameter of a kernel.
#[derive(Clone, Copy)]
pub(crate) enum Arg {
    Ptr(DevicePtr),
    U32(u32),
    F32(f32),
}

/// A device of the default profile (sm_90) with every check on.
pub(crate) fn device() -> Device {
    device_with(DeviceConfig::default())
}

pub(crate) fn device_with(config: DeviceConfig) -> Device {
    Device::new(config)
}

/// A number that lies in device memory as its little-endian bytes.
pub(crate) trait Plain: Copy {
    const SIZE: usize;
    fn put(self, to: &mut Vec<u8>);
    fn get(from: &[u8]) -> Self;
}

macro_rules! plain {
    ($($t:ty),*) => {$(
        impl Plain for $t {
            const SIZE: usize = size_of::<$t>();
            fn put(self, to: &mut Vec<u8>) {
                to.extend_from_slice(&self.to_le_bytes());
            }
            fn get(from: &[u8]) -> Self {
                Self::from_le_bytes(from.try_into().expect("size"))
            }
        }
    )*};
}
plain!(u8, i8, u16, i16, u32, i32, u64, i64, f32, f64);

pub(crate) fn to_bytes<T: Plain>(data: &[T]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(data.len() * T::SIZE);
    data.iter().for_each(|&x| x.put(&mut bytes));
    bytes
}

/// A new allocation that holds `data`.
pub(crate) fn upload<T: Plain>(device: &Device, name: &str, data: &[T]) -> DevicePtr {
    let pointer = device.alloc_named(name, data.len() * T::SIZE).expect("memory");
    device.write(pointer, &to_bytes(data)).expect("in bounds");
    pointer
}

/// A new allocation whose bytes were never written.
pub(crate) fn uninit<T: Plain>(device: &Device, name: &str, len: usize) -> DevicePtr {
    device.alloc_named(name, len * T::SIZE).expect("memory")
}

pub(crate) fn download<T: Plain>(device: &Device, from: DevicePtr, len: usize) -> Vec<T> {
    let mut bytes = vec![0; len * T::SIZE];
    device.read(from, &mut bytes).expect("in bounds");
    bytes.chunks_exact(T::SIZE).map(T::get).collect()
}

pub(crate) fn params(args: &[Arg]) -> Vec<u8> {
    args.iter()
        .fold(Params::new(), |params, arg| match *arg {
            Arg::Ptr(x) => params.ptr(x),
            Arg::U32(x) => params.u32(x),
            Arg::F32(x) => params.f32(x),
        })
        .finish()
}

/// Launches `kernel` of `module`.
pub(crate) fn launch(
    device: &Device,
    module: &Module,
    kernel: &str,
    grid: [u32; 3],
    block: [u32; 3],
    shared_bytes: u32,
    args: &[Arg],
) -> Result<LaunchReport, Error> {
    let kernel = module.kernel(kernel)?;
    device.launch(&kernel, LaunchConfig { grid, block, shared_bytes }, &params(args))
}

/// The fault in an error; anything else is a failure of the test.
pub(crate) fn fault(result: Result<LaunchReport, Error>) -> Fault {
    match result {
        Err(Error::Fault(fault)) => *fault,
        Err(other) => panic!("an error that is no fault: {other}"),
        Ok(_) => panic!("nothing was caught"),
    }
}
