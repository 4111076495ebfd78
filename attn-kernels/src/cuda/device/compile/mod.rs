//! Kernels that do not ship (feature `nvrtc`): compiled from the embedded sources when they are first
//! asked for, by the libnvrtc that the loader finds, and kept on disk.

mod cache;
mod nvrtc;

use std::path::PathBuf;

use super::shipped;
use crate::cuda::modules::{Module, OPTIONS};
use crate::error::Error;
use cache::Cache;

/// The sources by name: `attention.cu` and all that it includes.
const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// Attention that multiplies codes.
const CODES: &str = "attention_fp8.cu";

/// What compiles kernels at run time, and where it keeps them.
///
/// ```no_run
/// use attn_kernels::cuda::{Compiler, CudaDevice};
/// # fn main() -> Result<(), attn_kernels::Error> {
/// let compiler = Compiler::new().cache_in("/var/cache/kernels");
/// let device = CudaDevice::with_compiler(0, &[], compiler)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Compiler {
    cache: Option<PathBuf>,
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new()
    }
}

impl Compiler {
    /// Keeps what it compiles in `attn-kernels` under the user's cache folder: `$XDG_CACHE_HOME`, or
    /// `.cache` in `$HOME`, or on Windows `%LOCALAPPDATA%`; nowhere if none of these is set.
    pub fn new() -> Self {
        let set =
            |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let user = match cfg!(windows) {
            true => set("LOCALAPPDATA"),
            false => set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache"))),
        };
        Self { cache: user.map(|folder| folder.join("attn-kernels")) }
    }

    /// The same, kept in another folder, which is made when it is needed. Entries are written beside
    /// their place and then renamed, so that programs may share it. What cannot be written there is
    /// compiled again the next time.
    #[must_use]
    pub fn cache_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// The same, kept nowhere.
    #[must_use]
    pub fn without_cache(mut self) -> Self {
        self.cache = None;
        self
    }

    /// Whether the loader finds libnvrtc.
    pub fn is_available() -> bool {
        nvrtc::is_present()
    }

    /// The PTX of a module that holds an attention kernel. `None`: it is none that the sources can make,
    /// or none that suits the device, or there is no libnvrtc.
    pub(super) fn attention(
        &self,
        module: &str,
        kernel: &str,
        capability: (u32, u32),
        driver: i32,
    ) -> Result<Option<String>, Error> {
        let Some(made) = recipe(module, kernel, capability).filter(|_| Self::is_available()) else {
            return Ok(None);
        };
        let arch = arch(capability);
        let refused = |reason| Error::Compile {
            kernel: kernel.to_owned(),
            arch: format!("compute_{arch}"),
            reason,
        };
        let mut options: Vec<String> = OPTIONS.map(str::to_owned).into();
        options.push(format!("--gpu-architecture=compute_{arch}"));
        options.extend(made.definitions.iter().map(|definition| format!("-D{definition}")));
        let version = nvrtc::version().map_err(refused)?;
        let cache = Cache::new(self.cache.as_deref(), key(made.source, version, &options));
        let make = || nvrtc::compile(made.source, SOURCES, &options);
        let text = cache.get_or_make(make).map_err(refused)?;
        Ok(Some(shipped::for_driver(text, driver)))
    }
}

/// How an attention kernel is made; `None`: it is none that the sources can make, or none that suits the
/// device.
fn recipe(module: &str, kernel: &str, capability: (u32, u32)) -> Option<Module> {
    // Of the other modules everything ships.
    let made = Module::of_kernel(module, kernel).filter(|made| !made.definitions.is_empty())?;
    (made.source != CODES || multiplies_codes(capability)).then_some(made)
}

/// Whether a kernel is missing for want of a compiler.
pub(super) fn lacks_compiler(module: &str, kernel: &str, capability: (u32, u32)) -> bool {
    recipe(module, kernel, capability).is_some() && !Compiler::is_available()
}

/// Whether `mma.sync` on FP8 codes is the hardware's own. Capability 9.0 and 10.x would emulate it with
/// products of f16, which the other kernels use without a detour.
fn multiplies_codes(capability: (u32, u32)) -> bool {
    capability == (8, 9) || capability.0 == 12
}

/// Everything that the compiler's output depends on.
fn key(source: &str, version: (i32, i32), options: &[String]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    // Each part with its length, so that no two lists of parts are one text.
    let mut part = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    part(source);
    part(&format!("NVRTC {}.{}", version.0, version.1));
    options.iter().for_each(|option| part(option));
    for (name, text) in SOURCES {
        part(name);
        part(text);
    }
    hasher.finalize()
}

/// What to compile for: the features of its own architecture where our sources use any, else the
/// newest of those that ship which is not newer than the device.
fn arch(capability: (u32, u32)) -> &'static str {
    match capability {
        (9, 0) => "90a",
        (10, 0) => "100a",
        (12, 0) => "120a",
        newer if newer >= (8, 9) => "89",
        _ => "80",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_input_has_a_part_in_the_key() {
        let options = |all: &[&str]| all.iter().map(|&o| o.to_owned()).collect::<Vec<_>>();
        let of = |version, all: &[&str]| key("attention.cu", version, &options(all));
        let first = of((12, 9), &["-DA", "-DB"]);
        assert_eq!(first, of((12, 9), &["-DA", "-DB"]));
        for other in [
            of((12, 8), &["-DA", "-DB"]),
            of((12, 9), &["-DA-DB"]),
            of((12, 9), &["-DB", "-DA"]),
            of((12, 9), &["-DA", "-DB", ""]),
        ] {
            assert_ne!(first, other);
        }
        assert_ne!(first, key(CODES, (12, 9), &options(&["-DA", "-DB"])));
        assert!(SOURCES.iter().any(|(name, text)| *name == "attention.cu" && !text.is_empty()));
    }

    #[test]
    fn the_folder_can_be_chosen() {
        let chosen = Compiler::new().cache_in("/x");
        assert_eq!(chosen.cache.as_deref(), Some("/x".as_ref()));
        assert_eq!(chosen.without_cache().cache, None);
        let named = Compiler::new().cache.is_none_or(|folder| folder.ends_with("attn-kernels"));
        assert!(named);
    }
}
