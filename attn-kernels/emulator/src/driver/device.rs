//! The device and the driver itself: `cuInit`, `cuDriverGetVersion`, `cuDevice*`, `cuGetProcAddress`.

use std::ffi::c_char;

use super::abi::{In, Out, Reply, Symbol, Text, driver_api};
use super::attributes;
use super::code::Code;
use super::state::{driver, init};

/// There is one device, of ordinal 0.
pub(super) fn only_device(device: i32) -> Reply {
    if device == 0 { Ok(()) } else { Err(Code::INVALID_DEVICE) }
}

/// A UUID that says what the device is: "cuda-emulator" and the architecture.
fn uuid() -> Reply<[u8; 16]> {
    let mut uuid = *b"cuda-emulator\0\0\0";
    uuid[14..].copy_from_slice(&(driver()?.device.profile().sm() as u16).to_be_bytes());
    Ok(uuid)
}

/// Writes `text` cut to `size` bytes, its NUL included.
fn put_text(place: &Out<c_char>, size: i32, text: &str) -> Reply {
    let room = usize::try_from(size).ok().and_then(|size| size.checked_sub(1));
    let room = room.ok_or(Code::INVALID_VALUE)?;
    let bytes = text.bytes().take(room).chain([0]);
    bytes.enumerate().try_for_each(|(index, byte)| place.at(index).set(byte as c_char))
}

/// `CUdriverProcAddressQueryResult`.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Found {
    Success = 0,
    Nothing = 1,
    VersionTooNew = 2,
}

fn proc_address(name: &str, place: Out<Symbol>, version: i32, flags: u64) -> Reply<Found> {
    const PER_THREAD_DEFAULT_STREAM: u64 = 2;
    // Those are other functions, "…_ptsz", and none of them is here.
    if flags & PER_THREAD_DEFAULT_STREAM != 0 {
        return Err(Code::NOT_SUPPORTED);
    }
    if version > driver_version() {
        place.set(std::ptr::null())?;
        return Ok(Found::VersionTooNew);
    }
    match super::resolve(name, version) {
        Some(symbol) => place.set(symbol).map(|()| Found::Success),
        None => place.set(std::ptr::null()).map(|()| Found::Nothing),
    }
}

/// Known before `cuInit`: all profiles have the same driver.
fn driver_version() -> i32 {
    let of_profile = |driver: &super::state::Driver| driver.device.profile().driver_version;
    driver().map_or(crate::Profile::sm_90().driver_version, of_profile) as i32
}

driver_api! {
    fn cuInit(flags: u32) {
        if flags == 0 { init() } else { Err(Code::INVALID_VALUE) }
    }

    fn cuDriverGetVersion(version: Out<i32>) {
        version.set(driver_version())
    }

    fn cuDeviceGetCount(count: Out<i32>) {
        driver()?;
        count.set(1)
    }

    fn cuDeviceGet(device: Out<i32>, ordinal: i32) {
        driver()?;
        only_device(ordinal)?;
        device.set(0)
    }

    fn cuDeviceGetName(name: Out<c_char>, size: i32, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        put_text(&name, size, driver.device.profile().device_name)
    }

    fn cuDeviceGetUuid(place: Out<[u8; 16]>, device: i32) {
        let uuid = uuid()?;
        only_device(device)?;
        place.set(uuid)
    }

    fn cuDeviceGetUuid_v2(place: Out<[u8; 16]>, device: i32) {
        let uuid = uuid()?;
        only_device(device)?;
        place.set(uuid)
    }

    fn cuDeviceTotalMem_v2(bytes: Out<usize>, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        bytes.set(driver.device.memory_info().1 as usize)
    }

    fn cuDeviceGetAttribute(value: Out<i32>, attribute: u32, device: i32) {
        let driver = driver()?;
        only_device(device)?;
        value.set(attributes::value(driver.device.profile(), attribute)?)
    }

    fn cuDeviceComputeCapability(major: Out<i32>, minor: Out<i32>, device: i32) {
        let (high, low) = driver()?.device.profile().compute_capability;
        only_device(device)?;
        major.set(high as i32)?;
        minor.set(low as i32)
    }

    fn cuDeviceGetPCIBusId(id: Out<c_char>, size: i32, device: i32) {
        driver()?;
        only_device(device)?;
        put_text(&id, size, "0000:00:00.0")
    }

    fn cuDeviceCanAccessPeer(answer: Out<i32>, device: i32, peer: i32) {
        driver()?;
        only_device(device)?;
        only_device(peer)?;
        answer.set(0)
    }

    fn cuGetProcAddress(name: Text, place: Out<Symbol>, version: i32, flags: u64) {
        match proc_address(name.get()?, place.required()?, version, flags)? {
            Found::Success => Ok(()),
            Found::Nothing | Found::VersionTooNew => Err(Code::NOT_FOUND),
        }
    }

    fn cuGetProcAddress_v2(
        name: Text, place: Out<Symbol>, version: i32, flags: u64, status: Out<Found>,
    ) {
        let found = proc_address(name.get()?, place.required()?, version, flags)?;
        status.set_if_wanted(found);
        match found {
            Found::Success => Ok(()),
            Found::Nothing | Found::VersionTooNew => Err(Code::NOT_FOUND),
        }
    }

    fn cuGetExportTable(table: Out<Symbol>, _id: In<[u8; 16]>) {
        // Undocumented tables of functions, of which there are none here.
        table.set(std::ptr::null())?;
        Err(Code::NOT_SUPPORTED)
    }
}
