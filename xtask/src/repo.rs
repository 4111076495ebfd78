//! Where things are: the repository's root, its target folder, and the programs to call.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// The workspace's root. xtask is always run from source, so its manifest's parent is it.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// The target folder in force.
pub(crate) fn target_dir() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}

/// `cargo`, as it called us, in the repository's root.
pub(crate) fn cargo() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Runs to the end, with the output shown; an exit code other than 0 is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", show(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", show(command));
    }
    Ok(())
}

/// Runs to the end and returns what was written to standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot start {}", show(command)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{}", show(command), output.status, stderr.trim());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{} wrote no UTF-8", show(command)))
}

/// Whether `command` runs and succeeds, its output hidden.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|o| o.status.success())
}

/// Whether the crate `package` has the example `name`. The name of a folder works as well.
pub(crate) fn has_example(package: &str, name: &str) -> bool {
    let examples = root().join(package).join("examples");
    examples.join(format!("{name}.rs")).is_file() || examples.join(name).join("main.rs").is_file()
}

/// Runs one release-mode example of a crate, with `args`; an example that is missing is an error.
pub(crate) fn run_example(package: &str, name: &str, args: &[String]) -> Result<()> {
    if !has_example(package, name) {
        bail!("{package} has no example {name}: expected {package}/examples/{name}.rs");
    }
    let mut command = cargo();
    command.args(["run", "--quiet", "--release", "--package", package, "--example", name, "--"]);
    run(command.args(args))
}

fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let mut text = program.to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
