//! `cargo xtask nvrtc`: CUDA C++ to PTX with the pinned NVRTC, on machines without CUDA or a GPU.
//!
//! The toolkit is three pinned wheels (NVRTC, CUDA headers, ptxas), installed once by pip into
//! `target/cuda/12.9.86`. The same source, options and version give the same bytes everywhere.

mod driver;
pub(crate) mod ptxas;
pub(crate) mod toolkit;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::args::Args;
pub(crate) use driver::Nvrtc;
pub(crate) use toolkit::Toolkit;

/// Every architecture that kernels are built for.
pub(crate) const ARCHS: [&str; 5] = ["sm_80", "sm_89", "sm_90a", "sm_100a", "sm_120a"];

/// What every compilation is given.
pub(crate) const OPTIONS: [&str; 2] = ["-std=c++17", "-default-device"];

/// What the bytes of a compilation depend on, besides its source and architecture.
pub(crate) fn identity() -> String {
    format!("{} {}", toolkit::VERSION, OPTIONS.join(" "))
}

/// `nvrtc --arch ARCH [--out FILE] [--cubin FILE] [--sass] [--lower] [-I DIR]… [-D NAME=VALUE]…
/// FILE.cu`: one file, its PTX (with `--lower`, at the least `.version`) or SASS to standard output
/// or `--out`, ptxas's cubin to `--cubin`. What each kernel uses goes to standard error.
pub(crate) fn run(mut args: Args) -> Result<()> {
    let arch = args.value("--arch")?.context("--arch is needed: sm_80, sm_89, sm_90a, …")?;
    let out = args.value("--out")?.map(PathBuf::from);
    let cubin = args.value("--cubin")?.map(PathBuf::from);
    let (sass, lower) = (args.flag("--sass"), args.flag("--lower"));
    let mut include: Vec<PathBuf> = all(&mut args, "-I")?.into_iter().map(PathBuf::from).collect();
    let mut options: Vec<String> =
        all(&mut args, "-D")?.iter().map(|define| format!("-D{define}")).collect();
    if args.flag("--fmad=false") {
        options.push("--fmad=false".to_owned());
    }
    let file = PathBuf::from(args.positional().context("a .cu file is needed")?);
    args.finish()?;

    let toolkit = Toolkit::install()?;
    include.push(toolkit.headers());
    let mut text = compile(&Nvrtc::load(&toolkit)?, &file, &arch, &include, &options)?;
    let assembled = if lower {
        let (lowered, _, assembled) = ptxas::lower_version(&toolkit, &text, &arch, None)?;
        text = lowered;
        assembled
    } else {
        ptxas::assemble(&toolkit, &text, &arch)?
    };
    for u in &assembled.usage {
        eprintln!(
            "{}: {} registers, {} bytes spilled, {} bytes of stack, {} bytes of shared memory",
            u.kernel, u.registers, u.spill_bytes, u.stack, u.shared
        );
    }
    if sass {
        text = toolkit::disassemble(&assembled.cubin)?;
    }
    if let Some(cubin) = cubin {
        fs::write(&cubin, &assembled.cubin)
            .with_context(|| format!("cannot write {}", cubin.display()))?;
    }
    match out {
        Some(out) => {
            fs::write(&out, &text).with_context(|| format!("cannot write {}", out.display()))
        }
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn all(args: &mut Args, name: &str) -> Result<Vec<String>> {
    std::iter::from_fn(|| args.value(name).transpose()).collect()
}

/// Compiles one file to PTX for one architecture (`sm_89`; `compute_89` is what NVRTC is told, so
/// that it stops at PTX).
pub(crate) fn compile(
    nvrtc: &Nvrtc,
    file: &Path,
    arch: &str,
    include: &[PathBuf],
    extra: &[String],
) -> Result<String> {
    let Some(number) = arch.strip_prefix("sm_") else {
        bail!("architecture {arch:?} does not begin with sm_");
    };
    let source =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut options = vec![format!("--gpu-architecture=compute_{number}")];
    options.extend(OPTIONS.map(str::to_owned));
    options.extend(file.parent().map(|dir| format!("-I{}", dir.display())));
    options.extend(include.iter().map(|dir| format!("-I{}", dir.display())));
    options.extend_from_slice(extra);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    nvrtc
        .compile(&source, &name, &options)
        .with_context(|| format!("{} for {arch}", file.display()))
}
