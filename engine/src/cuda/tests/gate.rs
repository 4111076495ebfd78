//! Which device a test runs on. A GPU: here. The emulated device: in a process for each of the settings,
//! which its driver reads once. None: nowhere, which is said, and a failure where one is required.

use std::io::Write as _;
use std::process::Command;

use attn_kernels::cuda::CudaDevice;

/// The GPUs that the emulated device can be.
pub(crate) const PROFILES: [&str; 5] = ["sm_80", "sm_89", "sm_90", "sm_100", "sm_120"];

/// Set in the child.
const CHILD: &str = "RUN_ON_THIS_DEVICE";
/// Set where a device must be there: by `cargo xtask test`.
const REQUIRED: &str = "REQUIRE_LIBCUDA";

/// Whether there is a driver; says that `test` is skipped if not.
pub(crate) fn is_driver_present(test: &str) -> bool {
    let present = CudaDevice::is_driver_present();
    if !present {
        assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and there is no libcuda");
        // Past the harness, which shows what a test prints only if it fails.
        writeln!(std::io::stderr(), "{test}: skipped: no libcuda").expect("stderr is open");
    }
    present
}

/// Runs `body` on the device there is. `test` is the whole name of the calling test: the child is this
/// very executable, told to run only that, once for each profile.
pub(crate) fn on_every_device(test: &str, profiles: &[&str], body: fn()) {
    if !is_driver_present(test) {
        return;
    }
    let emulated = CudaDevice::new(0).expect("a device").name().ends_with("(emulated)");
    if std::env::var_os(CHILD).is_some() || !emulated {
        body();
        return;
    }
    for profile in profiles {
        let mut child = Command::new(std::env::current_exe().expect("a path of this test"));
        child
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .env("CUDA_EMULATOR_PROFILE", profile)
            // What the host does too early, or does not wait for, shows.
            .env("CUDA_EMULATOR_STREAMS", "lazy");
        let output = child.output().expect("the child starts");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{test} on {profile}:\n{out}\n{err}");
        assert!(out.contains("1 passed"), "{test}: the child ran nothing:\n{out}");
    }
}
