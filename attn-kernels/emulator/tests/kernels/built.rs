//! Where the compiled PTX is, and a device for each architecture it is for.

use std::path::PathBuf;

use cuda_emulator::{Device, DeviceConfig, Module, Profile};

use crate::common::launch::device_with;

pub(crate) const ALL: [&str; 5] = ["sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a"];
pub(crate) const BULK: [&str; 3] = ["sm_90a", "sm_100a", "sm_120a"];

fn profile(arch: &str) -> Profile {
    match arch {
        "sm_80" => Profile::sm_80(),
        "sm_89" => Profile::sm_89(),
        "sm_90a" => Profile::sm_90(),
        "sm_100a" => Profile::sm_100(),
        "sm_120a" => Profile::sm_120(),
        _ => panic!("no profile for {arch}"),
    }
}

/// `FP8KV_PTX_DIR`, or the workspace's target folder.
fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("FP8KV_PTX_DIR") {
        return folder.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let workspace = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."));
    target.unwrap_or_else(|| workspace.join("target")).join("cuda/ptx/tests")
}

/// The PTX of `stem` for `arch`. Without it the test is skipped, in CI it fails.
pub(crate) fn ptx(stem: &str, arch: &str) -> Option<String> {
    let path = folder().join(format!("{stem}.{arch}.ptx"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) => {
            let ci = std::env::var("CI").is_ok_and(|x| x == "true");
            assert!(!ci, "{}: {error}; `cargo xtask kernels --tests` makes it", path.display());
            eprintln!("skipped: no {stem}.{arch}.ptx; `cargo xtask kernels --tests` makes it");
            None
        }
    }
}

/// Runs `test` with the module of each architecture, on its device.
pub(crate) fn each(stem: &str, archs: &[&str], test: impl Fn(&Device, &Module)) {
    for arch in archs {
        let Some(text) = ptx(stem, arch) else { continue };
        let device =
            device_with(DeviceConfig { profile: profile(arch), ..DeviceConfig::default() });
        let module = device
            .load_ptx(&format!("{stem}.{arch}.ptx"), &text)
            .unwrap_or_else(|error| panic!("{stem} for {arch}: {error}"));
        test(&device, &module);
        eprintln!("{stem}.{arch}: ran");
    }
}
