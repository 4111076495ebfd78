//! The pinned CUDA compiler: three wheels in `target/cuda`, put there once by pip.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, bail};

use crate::repo;

/// The version that all committed PTX is made with; register counts change between versions.
pub(crate) const VERSION: &str = "12.9.86";

/// The wheels, for x86-64 Linux, with their hashes.
const COMPILER: &str = "\
nvidia-cuda-nvrtc-cu12==12.9.86 --hash=sha256:210cf05005a447e29214e9ce50851e83fc5f4358df8b453155d5e1918094dcb4
nvidia-cuda-runtime-cu12==12.9.79 --hash=sha256:25bba2dfb01d48a9b59ca474a1ac43c6ebf7011f1b0b8cc44f54eb6ac48a96c3
nvidia-cuda-nvcc-cu12==12.9.86 --hash=sha256:5d6a0d32fdc7ea39917c20065614ae93add6f577d840233237ff08e9a38f58f0
";

/// The disassembler: it reads cubins of 12.9 as well.
const DISASSEMBLER: &str = "\
nvidia-cuda-nvdisasm==13.5.37 --hash=sha256:d3fdbdd49fa53e2e4aacd3db8259d052bd2b049ececdcb69e92e083c6728e7ca
";

/// Where the wheels are.
pub(crate) struct Toolkit {
    dir: PathBuf,
}

impl Toolkit {
    /// The toolkit, fetched if it is not there yet.
    pub(crate) fn install() -> Result<Self> {
        let dir = repo::target_dir().join("cuda").join(VERSION);
        install(&dir, COMPILER).context("the CUDA compiler cannot be had")?;
        Ok(Self { dir })
    }

    /// Why the toolkit cannot be had on this machine at all, if so: for a step to be skipped.
    pub(crate) fn unavailable() -> Option<&'static str> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Some("the CUDA compiler's wheels are for x86-64 Linux");
        }
        let installed = repo::target_dir().join("cuda").join(VERSION).join(STAMP).is_file();
        if !installed && !repo::succeeds(Command::new("python3").args(["-m", "pip", "--version"])) {
            return Some("the CUDA compiler comes with pip, and there is no python3 with pip");
        }
        None
    }

    pub(crate) fn nvrtc(&self) -> PathBuf {
        self.dir.join("nvidia/cuda_nvrtc/lib/libnvrtc.so.12")
    }

    pub(crate) fn ptxas(&self) -> PathBuf {
        self.dir.join("nvidia/cuda_nvcc/bin/ptxas")
    }

    /// CUDA's own headers, for code that is not header-free.
    pub(crate) fn headers(&self) -> PathBuf {
        self.dir.join("nvidia/cuda_runtime/include")
    }
}

/// A cubin as SASS, by `nvdisasm`, which is fetched if it is not there yet.
pub(crate) fn disassemble(cubin: &[u8]) -> Result<String> {
    static INSTALL: Mutex<()> = Mutex::new(());
    let dir = repo::target_dir().join("cuda").join("sass");
    let guard = INSTALL.lock().unwrap_or_else(PoisonError::into_inner);
    install(&dir, DISASSEMBLER).context("the disassembler cannot be had")?;
    let program = find(&dir, "nvdisasm").context("the wheel holds no nvdisasm")?;
    drop(guard);
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("sass-{}-{number}.cubin", std::process::id());
    let file = repo::target_dir().join("cuda").join(name);
    fs::write(&file, cubin)?;
    let text = repo::output(Command::new(program).args(["--print-code"]).arg(&file));
    let _ = fs::remove_file(&file);
    text
}

fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.filter_map(Result::ok).map(|e| e.path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let here = files.into_iter().find(|path| path.file_name().is_some_and(|n| n == name));
    here.or_else(|| folders.iter().find_map(|folder| find(folder, name)))
}

/// Holds the requirements that a folder was installed from.
const STAMP: &str = "installed.txt";

/// Puts the wheels into `dir`, unless they are there.
fn install(dir: &Path, requirements: &str) -> Result<()> {
    let stamp = dir.join(STAMP);
    if fs::read_to_string(&stamp).is_ok_and(|text| text == requirements) {
        return Ok(());
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        bail!("the wheels are for x86-64 Linux");
    }
    let parent = dir.parent().context("a folder without a parent")?;
    fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    // Filled beside its place and then renamed: an interrupted run leaves nothing half done.
    let partial = parent.join(format!("partial-{}", std::process::id()));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir_all(&partial)?;
    let list = partial.join(STAMP);
    fs::write(&list, requirements)?;
    let names: Vec<&str> = requirements.lines().filter_map(|l| l.split(' ').next()).collect();
    eprintln!("fetching {} with pip", names.join(", "));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    pip.args(["--root-user-action", "ignore", "--no-compile"]);
    pip.args(["--only-binary", ":all:", "--require-hashes", "--requirement"]).arg(&list);
    let done = repo::run(pip.arg("--target").arg(&partial));
    if let Err(error) = done {
        let _ = fs::remove_dir_all(&partial);
        return Err(error);
    }
    if stamp.is_file() || dir.is_dir() {
        fs::remove_dir_all(dir).with_context(|| format!("cannot remove {}", dir.display()))?;
    }
    fs::rename(&partial, dir).with_context(|| format!("cannot make {}", dir.display()))
}
