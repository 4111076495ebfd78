//! Builds `attn-kernels/ptx` and `engine/ptx`, or checks that they are what a fresh build gives.

use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, bail};

use super::budget;
use super::manifest::{self, File, Kernel};
use super::shipped::{self, Module, PACKAGES};
use crate::nvrtc::toolkit::{self, VERSION};
use crate::nvrtc::{self, ARCHS, Nvrtc, Toolkit, ptxas};
use crate::repo;

/// Products and sums are fused only where the source says `fmaf`: results must not depend on what
/// a compiler finds to fuse.
pub(super) const OPTIONS: [&str; 1] = ["--fmad=false"];
/// All files together.
const MOST_BYTES: usize = 15_000_000;

/// A built file.
struct Built {
    package: &'static str,
    ptx: String,
    file: File,
}

/// Where a package's files are, one folder per architecture, and what is known about them.
fn directory(package: &str) -> PathBuf {
    repo::root().join(package).join("ptx")
}

/// What a package's `manifest.json` says; nothing, where there is none yet.
fn manifest_of(package: &str) -> Result<Vec<File>> {
    match fs::read_to_string(directory(package).join("manifest.json")) {
        Ok(text) => manifest::read(&text).with_context(|| format!("{package}/ptx")),
        Err(_) => Ok(Vec::new()),
    }
}

pub(crate) fn run(check: bool, only: Option<&str>) -> Result<()> {
    let toolkit = Toolkit::install()?;
    let nvrtc = Nvrtc::load(&toolkit)?;
    let mut before = Vec::new();
    for package in PACKAGES {
        before.push((package, manifest_of(package)?));
    }
    let known = |package: &str| {
        before.iter().find(|(p, _)| *p == package).map_or(&[][..], |(_, files)| files.as_slice())
    };
    let jobs: Vec<(&str, Module)> = ARCHS
        .iter()
        .flat_map(|arch| shipped::modules(arch).into_iter().map(move |module| (*arch, module)))
        .filter(|(arch, module)| only.is_none_or(|o| module.place(arch).contains(o)))
        .collect();
    if jobs.is_empty() {
        bail!("no file of {PACKAGES:?} has {:?} in its name", only.unwrap_or_default());
    }
    let built = in_parallel(&jobs, |(arch, module)| {
        let files = known(module.package);
        let hint = files.iter().find(|f| f.arch == *arch && f.name == module.name);
        build(&toolkit, &nvrtc, arch, module, hint.map(|f| f.version.as_str()))
    })?;

    let mut problems: Vec<String> = built
        .iter()
        .flat_map(|b| b.file.kernels.iter().flat_map(|k| budget::problems(&b.file.arch, k)))
        .collect();
    let bytes: usize = built.iter().map(|b| b.ptx.len()).sum();
    if bytes > MOST_BYTES {
        problems.push(format!("{bytes} bytes of PTX, at most {MOST_BYTES}"));
    }
    for package in PACKAGES {
        let built: Vec<&Built> = built.iter().filter(|b| b.package == package).collect();
        if check {
            compare(&built, known(package), only.is_none(), &mut problems);
        } else if !built.is_empty() {
            write(package, &built, known(package), only.is_none())?;
        }
    }
    for problem in &problems {
        eprintln!("{problem}");
    }
    if !problems.is_empty() {
        bail!("kernels: {} problems", problems.len());
    }
    let kernels: usize = built.iter().map(|b| b.file.kernels.len()).sum();
    let verb = if check { "are current" } else { "written" };
    println!("{} files {verb}: {kernels} kernels, {:.1} MB", built.len(), bytes as f64 / 1e6);
    Ok(())
}

/// One file: compiled, its version lowered, assembled, disassembled where that is possible.
fn build(
    toolkit: &Toolkit,
    nvrtc: &Nvrtc,
    arch: &str,
    module: &Module,
    hint: Option<&str>,
) -> Result<Built> {
    let mut options = module.options.clone();
    options.extend(OPTIONS.map(str::to_owned));
    let ptx = nvrtc::compile(nvrtc, &module.source(), arch, &shipped::vocabulary(), &options)?;
    let ptx = ptxas::without_hints(&ptx);
    let (ptx, version, assembled) = ptxas::lower_version(toolkit, &ptx, arch, hint)
        .with_context(|| format!("{} for {arch}", module.name))?;
    let mut kernels: Vec<Kernel> = assembled
        .usage
        .into_iter()
        .map(|u| Kernel {
            shared: u.shared + dynamic_shared(&ptx, &u.kernel),
            name: u.kernel,
            registers: u.registers,
            spill_bytes: u.spill_bytes,
            stack: u.stack,
            sass: None,
        })
        .collect();
    kernels.sort_by(|a, b| a.name.cmp(&b.name));
    match toolkit::disassemble(&assembled.cubin) {
        Ok(sass) => budget::count(&sass, &mut kernels),
        Err(error) => eprintln!("skipped: SASS of {} for {arch}: {error:#}", module.name),
    }
    let file = File { arch: arch.to_owned(), name: module.name.clone(), version, kernels };
    Ok(Built { package: module.package, ptx, file })
}

/// The value of the variable `<kernel>_shared`, where the module has it.
fn dynamic_shared(ptx: &str, kernel: &str) -> u32 {
    let variable = format!(" {kernel}_shared = ");
    let value = ptx.split_once(&variable).and_then(|(_, rest)| rest.split_once(';'));
    value.and_then(|(number, _)| number.trim().parse().ok()).unwrap_or(0)
}

fn place(package: &str, file: &File) -> PathBuf {
    directory(package).join(&file.arch).join(format!("{}.ptx", file.name))
}

/// Puts a package's files down; what is no longer built goes.
fn write(package: &str, built: &[&Built], before: &[File], all: bool) -> Result<()> {
    if all {
        for arch in ARCHS {
            let dir = directory(package).join(arch);
            if dir.is_dir() {
                fs::remove_dir_all(&dir)?;
            }
        }
    }
    for b in built {
        let path = place(package, &b.file);
        fs::create_dir_all(path.parent().context("a file without a folder")?)?;
        fs::write(&path, &b.ptx).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut files: Vec<File> = built.iter().map(|b| b.file.clone()).collect();
    if !all {
        let kept = |old: &&File| !files.iter().any(|f| f.arch == old.arch && f.name == old.name);
        let mut others: Vec<File> = before.iter().filter(kept).cloned().collect();
        files.append(&mut others);
    }
    let rank = |arch: &str| ARCHS.iter().position(|a| *a == arch);
    files.sort_by(|a, b| (rank(&a.arch), &a.name).cmp(&(rank(&b.arch), &b.name)));
    let text = manifest::write(VERSION, &files)?;
    fs::write(directory(package).join("manifest.json"), text)?;
    Ok(())
}

fn compare(built: &[&Built], before: &[File], all: bool, problems: &mut Vec<String>) {
    for b in built {
        let name = format!("{}/ptx/{}/{}.ptx", b.package, b.file.arch, b.file.name);
        match fs::read_to_string(place(b.package, &b.file)) {
            Ok(text) if text == b.ptx => {}
            Ok(_) => problems.push(format!("{name} is not what its source gives")),
            Err(error) => problems.push(format!("{name}: {error}")),
        }
        let mut old =
            before.iter().find(|f| f.arch == b.file.arch && f.name == b.file.name).cloned();
        // Without a disassembler its part cannot be compared.
        for (old, new) in old.iter_mut().flat_map(|f| &mut f.kernels).zip(&b.file.kernels) {
            if new.sass.is_none() {
                old.sass = None;
            }
        }
        if old.as_ref() != Some(&b.file) {
            problems.push(format!("{name}: manifest.json says something else about it"));
        }
    }
    if all && before.len() != built.len() {
        let package = built.first().map_or("?", |b| b.package);
        let (has, not) = (before.len(), built.len());
        problems.push(format!("{package}/ptx/manifest.json has {has} files, not {not}"));
    }
}

/// Runs `f` on every item, on as many threads as there are processors; the first error counts.
fn in_parallel<T: Sync, R: Send>(
    items: &[T],
    f: impl Fn(&T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(items.len());
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<R>)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(item) = {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    items.get(at).map(|item| (at, item))
                } {
                    let result = f(item.1);
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((item.0, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
