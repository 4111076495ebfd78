//! PTX that only tests run, in `target/cuda/ptx/tests`: attention that does not ship
//! (`attention_<K>_<V>.<arch>.ptx`), and the emulator's test kernels: every `.cu` of `attn-kernels/emulator/tests/kernels`, for every
//! architecture, as `<name>.<arch>.ptx`.
//!
//! A file whose first line is `// arch: sm_89 sm_90a` is compiled for those only. Nothing is
//! compiled again while neither it nor a header beside it changed. Tests find the folder by the
//! environment variable `FP8KV_PTX_DIR`, or else relative to the workspace, as above.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::{build, shipped};
use crate::nvrtc::{self, ARCHS, Nvrtc, Toolkit};
use crate::repo;

const SOURCES: &str = "attn-kernels/emulator/tests/kernels";

/// Where the PTX goes.
pub(crate) fn directory() -> PathBuf {
    repo::target_dir().join("cuda/ptx/tests")
}

/// The architectures for which tests run what does not ship: one of each kind of code that NVRTC
/// makes (sm_90a's is sm_89's, sm_100a's is sm_120a's, but for the name).
const UNSHIPPED_ARCHS: [&str; 3] = ["sm_80", "sm_89", "sm_120a"];

pub(crate) fn run() -> Result<()> {
    let out = directory();
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let toolkit = Toolkit::install()?;
    let mut maker = Maker { nvrtc: Nvrtc::load(&toolkit)?, out, made: 0, kept: 0 };

    let shipped = repo::root().join("attn-kernels/cuda");
    let headers = list(&shipped, "cuh")?;
    for arch in UNSHIPPED_ARCHS {
        for module in shipped::unshipped(arch) {
            let mut options = module.options.clone();
            options.extend(build::OPTIONS.map(str::to_owned));
            maker.make(&module.name, &module.source(), arch, &headers, &[], &options)?;
        }
    }

    let sources = repo::root().join(SOURCES);
    if sources.is_dir() {
        let headers = list(&sources, "cuh")?;
        let include = [sources.clone(), toolkit.headers()];
        for file in list(&sources, "cu")? {
            let source = fs::read_to_string(&file)
                .with_context(|| format!("cannot read {}", file.display()))?;
            let stem = file.file_stem().unwrap_or_default().to_string_lossy();
            for arch in archs(&source)? {
                maker.make(&stem, &file, arch, &headers, &include, &[])?;
            }
        }
    }
    println!("{} PTX files made, {} up to date", maker.made, maker.kept);
    Ok(())
}

/// Compiles what is not up to date.
struct Maker {
    nvrtc: Nvrtc,
    out: PathBuf,
    made: usize,
    kept: usize,
}

impl Maker {
    fn make(
        &mut self,
        name: &str,
        file: &Path,
        arch: &str,
        headers: &[PathBuf],
        include: &[PathBuf],
        options: &[String],
    ) -> Result<()> {
        let ptx = self.out.join(format!("{name}.{arch}.ptx"));
        let stamp = self.out.join(format!("{name}.{arch}.stamp"));
        let hash = fingerprint(file, headers, options)?;
        if ptx.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == hash) {
            self.kept += 1;
            return Ok(());
        }
        fs::write(&ptx, nvrtc::compile(&self.nvrtc, file, arch, include, options)?)?;
        fs::write(&stamp, hash)?;
        self.made += 1;
        Ok(())
    }
}

/// The architectures that a source asks for; all, if it does not say.
fn archs(source: &str) -> Result<Vec<&'static str>> {
    let first = source.lines().next().unwrap_or_default();
    let Some(names) = first.strip_prefix("// arch:") else {
        return Ok(ARCHS.to_vec());
    };
    let known = |name| match ARCHS.iter().find(|arch| **arch == name) {
        Some(arch) => Ok(*arch),
        None => bail!("{name} is none of {}", ARCHS.join(", ")),
    };
    names.split_whitespace().map(known).collect()
}

fn fingerprint(file: &Path, headers: &[PathBuf], options: &[String]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    (nvrtc::identity(), options).hash(&mut hasher);
    for path in headers.iter().map(PathBuf::as_path).chain([file]) {
        path.file_name().hash(&mut hasher);
        fs::read(path)?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn list(dir: &Path, extension: &str) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) => bail!("cannot read {}: {error}", dir.display()),
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?
        .into_iter()
        .filter(|path| path.extension().is_some_and(|e| e == extension))
        .collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_architectures() {
        assert_eq!(archs("// arch: sm_89 sm_90a\n").unwrap(), ["sm_89", "sm_90a"]);
        assert_eq!(archs("// A kernel.\n").unwrap(), ARCHS);
        assert!(archs("// arch: sm_70\n").is_err());
    }
}
