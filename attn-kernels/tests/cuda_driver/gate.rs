//! Which device a test runs on. A GPU: here. The emulated device: in a process for each of the settings,
//! which its driver reads once. None: nowhere, which is said, and a failure where one is required.

use std::io::Write as _;
use std::process::Command;

use attn_kernels::Error;
use attn_kernels::cuda::CudaDevice;

/// How the emulated device's streams run.
pub(crate) const MODES: [&str; 3] = ["serial", "async", "lazy"];
/// Which GPU it is.
pub(crate) const PROFILES: [&str; 5] = ["sm_80", "sm_89", "sm_90", "sm_100", "sm_120"];

/// Set in the child.
const CHILD: &str = "RUN_ON_THIS_DEVICE";
/// Set where a device must be there: by `cargo xtask test`.
const REQUIRED: &str = "REQUIRE_LIBCUDA";

/// Runs `body` on the device there is. `test` is the name of the calling test: the child is this very
/// executable, told to run only that, once for each `(profile, mode)`.
pub(crate) fn on_every_device(test: &str, settings: &[(&str, &str)], body: fn(&CudaDevice)) {
    if !CudaDevice::is_driver_present() {
        assert!(std::env::var_os(REQUIRED).is_none(), "{REQUIRED} is set and there is no libcuda");
        assert_eq!(CudaDevice::new(0).err(), Some(Error::NoDriver));
        // Past the harness, which shows what a test prints only if it fails.
        writeln!(std::io::stderr(), "{test}: skipped: no libcuda").expect("stderr is open");
        return;
    }
    let device = CudaDevice::new(0).expect("a device");
    if std::env::var_os(CHILD).is_some() || !is_emulated(&device) {
        body(&device);
        return;
    }
    for (profile, mode) in settings {
        let mut child = Command::new(std::env::current_exe().expect("a path of this test"));
        child
            .args(["--exact", test, "--nocapture", "--test-threads=1"])
            .env(CHILD, "1")
            .env("CUDA_EMULATOR_PROFILE", profile)
            .env("CUDA_EMULATOR_STREAMS", mode);
        let output = child.output().expect("the child starts");
        let (out, err) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{test} on {profile}, {mode}:\n{out}\n{err}");
        for line in err.lines().filter(|line| line.starts_with("skipped: ")) {
            writeln!(std::io::stderr(), "{test} on {profile}: {line}").expect("stderr is open");
        }
        assert!(out.contains("1 passed"), "{test}: the child ran nothing:\n{out}");
    }
}

/// Its names end so.
pub(crate) fn is_emulated(device: &CudaDevice) -> bool {
    device.name().ends_with("(emulated)")
}
