//! Coverage-guided fuzzing of the PTX loader; `fuzz/README.md` says how to run it. Any panic ends
//! it, and any refusal that names no line of the text.
#![no_main]

use std::sync::LazyLock;

use cuda_emulator::{Device, DeviceConfig, Error};
use libfuzzer_sys::fuzz_target;

static DEVICE: LazyLock<Device> = LazyLock::new(|| Device::new(DeviceConfig::default()));

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    match DEVICE.load_ptx("kernel.ptx", &text) {
        Ok(module) => {
            for kernel in module.kernels() {
                assert!(!kernel.name().is_empty());
            }
        }
        Err(Error::Ptx(error)) => {
            let lines = text.lines().count() + 1;
            let line = error.place().line as usize;
            assert!((1..=lines).contains(&line), "{error}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
