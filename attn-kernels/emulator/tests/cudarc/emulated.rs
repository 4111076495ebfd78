//! Runs an example as a program of its own, with the emulated libcuda where the loader looks first.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Set in the child: it runs the example and nothing else. Not of the emulator's own prefix, which
/// would be an unknown setting.
const CHILD: &str = "RUN_EXAMPLE_HERE";

/// Runs `example` with `settings` in a child that must succeed, and gives its stderr. `test` is the name
/// of the calling test: the child is this very executable, told to run only that.
pub(crate) fn run<E: std::fmt::Debug>(
    test: &str,
    settings: &[(&str, &str)],
    example: fn() -> Result<(), E>,
) -> String {
    if std::env::var_os(CHILD).is_some() {
        if let Err(error) = example() {
            eprintln!("{test}: {error:?}");
            std::process::exit(1);
        }
        std::process::exit(0);
    }
    let output = spawn(test, settings);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{test} with {settings:?}: {}\n{text}", output.status);
    text
}

fn spawn(test: &str, settings: &[(&str, &str)]) -> Output {
    let exe = std::env::current_exe().expect("a path of this test");
    let mut child = Command::new(&exe);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CUDA_EMULATOR_") {
            child.env_remove(name);
        }
    }
    child
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(CHILD, "1")
        .env("LD_LIBRARY_PATH", library_folder(&exe))
        .envs(settings.iter().copied())
        .output()
        .expect("the child starts")
}

/// A folder in which the library has the names that programs ask for. It was built beside this test:
/// the test depends on the crate, which is a cdylib too.
fn library_folder(exe: &Path) -> PathBuf {
    let built = exe.with_file_name("libcuda_emulator.so");
    assert!(built.is_file(), "{} is not built", built.display());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulated");
    std::fs::create_dir_all(&folder).expect("a folder for the library");
    for name in ["libcuda.so", "libcuda.so.1"] {
        link(&built, &folder.join(name));
    }
    folder
}

/// Tests run beside each other: the link is made under another name and moved into its place.
fn link(target: &Path, place: &Path) {
    if std::fs::read_link(place).is_ok_and(|old| old == target) {
        return;
    }
    let thread = format!("{:?}-{}", std::thread::current().id(), std::process::id());
    let fresh = place.with_extension(thread.replace(['(', ')'], ""));
    let _ = std::fs::remove_file(&fresh);
    std::os::unix::fs::symlink(target, &fresh).expect("a link to the library");
    std::fs::rename(&fresh, place).expect("the link gets its name");
}
