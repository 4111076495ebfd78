//! What ships: which source becomes which PTX file, with which specialisations.
//!
//! Every combination of K and V types and head dimensions can be compiled from the same sources at
//! run time. Shipped are those that models and caches of today have, so that the files stay under
//! 15 MB: `attn-kernels/cuda/README.md` says what and why.

use std::path::PathBuf;

use crate::repo;

#[path = "../../../attn-kernels/src/cuda/modules.rs"]
#[allow(dead_code, unreachable_pub, reason = "shared with attn-kernels, which uses all of it")]
mod modules;

use modules::HEAD_DIMS;

/// The packages that have kernels, in `<package>/cuda`.
pub(crate) const PACKAGES: [&str; 2] = ["attn-kernels", "engine"];

/// One PTX file: `<package>/ptx/<arch>/<name>.ptx`.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) package: &'static str,
    pub(crate) name: String,
    /// In `<package>/cuda`.
    source: &'static str,
    pub(crate) options: Vec<String>,
}

impl Module {
    /// Its source file.
    pub(crate) fn source(&self) -> PathBuf {
        repo::root().join(self.package).join("cuda").join(self.source)
    }

    /// Where it ships, as `--only` sees it.
    pub(crate) fn place(&self, arch: &str) -> String {
        format!("{}/ptx/{arch}/{}", self.package, self.name)
    }
}

/// Where headers are that the sources of other packages use too.
pub(crate) fn vocabulary() -> [PathBuf; 1] {
    [repo::root().join("attn-kernels/cuda")]
}

/// Attention that ships on every architecture, with the head dimensions; 16 and 32 rows each.
const ATTENTION: [(&str, &[usize]); 5] = [
    ("attention_e4m3_e4m3", &HEAD_DIMS),
    ("attention_e5m2_e5m2", &[64, 128]),
    ("attention_int8_int8", &[64, 128]),
    ("attention_f16_f16", &[64, 128]),
    ("attention_bf16_bf16", &[64, 128]),
];

/// Attention that multiplies codes, where tensor cores do that by `mma.sync`.
const ON_CODES: [(&str, &[usize]); 2] =
    [("attention_fp8_e4m3_e4m3", &HEAD_DIMS), ("attention_fp8q_e4m3_e4m3", &[128])];
const ON_CODES_ARCHS: [&str; 2] = ["sm_89", "sm_120a"];

/// The rest of a decoder step, with its sources.
const ENGINE: [(&str, &str); 5] = [
    ("elementwise", "elementwise.cu"),
    ("embed", "embed.cu"),
    ("linear", "linear.cu"),
    ("norm", "norm.cu"),
    ("rotary", "rotary.cu"),
];

/// The modules of one architecture.
pub(crate) fn modules(arch: &str) -> Vec<Module> {
    let plain = ["append", "copy_blocks", "gather", "merge"].map(|name| (name, &[][..]));
    let on_codes = if ON_CODES_ARCHS.contains(&arch) { &ON_CODES[..] } else { &[] };
    let all = plain.iter().chain(&ATTENTION).chain(on_codes);
    let attention = all.filter_map(|&(name, dims)| module(name, dims));
    attention.chain(ENGINE.map(engine)).collect()
}

fn engine((name, source): (&str, &'static str)) -> Module {
    Module { package: "engine", name: name.to_owned(), source, options: Vec::new() }
}

/// Modules that do not ship but are run by tests: every pair of stored types, with head dimensions
/// that do not ship where the pair does; and Q and K multiplied as codes, where that can be.
pub(crate) fn unshipped(arch: &str) -> Vec<Module> {
    let types = modules::TYPES;
    let pairs = types.iter().enumerate().flat_map(|(i, k)| types.iter().map(move |v| (i, *k, *v)));
    let mut all: Vec<Module> = pairs
        .filter_map(|(i, k, v)| {
            let name = format!("attention_{k}_{v}");
            match ATTENTION.iter().find(|(shipped, _)| *shipped == name) {
                Some((_, dims)) => {
                    let others: Vec<usize> =
                        HEAD_DIMS.into_iter().filter(|d| !dims.contains(d)).collect();
                    if others.is_empty() { None } else { module(&name, &others) }
                }
                // One of the four for each pair, all of them for each type.
                None => {
                    let j = types.iter().position(|t| *t == v).unwrap_or(0);
                    module(&name, &[HEAD_DIMS[(i + j) % 4]])
                }
            }
        })
        .collect();
    if ON_CODES_ARCHS.contains(&arch) {
        all.extend(module("attention_fp8q_e4m3_e4m3", &[64]));
        all.extend(module("attention_fp8q_e5m2_f16", &[96]));
        all.extend(module("attention_fp8_e5m2_e5m2", &[64]));
    }
    all
}

/// A module, 16 and 32 rows of each head dimension.
fn module(name: &str, dims: &[usize]) -> Option<Module> {
    // 32 rows and 16-bit storage at 256 need more shared memory than sm_89 and sm_120 have.
    let wide = name.contains("f16");
    let shapes: Vec<(usize, usize)> = dims
        .iter()
        .flat_map(|&d| [(d, 1), (d, 2)])
        .filter(|&shape| !(wide && shape == (256, 2)))
        .collect();
    let found = modules::Module::new(name, &shapes)?;
    let options = found.definitions.iter().map(|d| format!("-D{d}")).collect();
    let (name, source) = (name.to_owned(), found.source);
    Some(Module { package: "attn-kernels", name, source, options })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kernels::build, nvrtc};

    #[test]
    fn what_ships_is_compiled_as_at_run_time() {
        let ours = nvrtc::OPTIONS.iter().chain(&build::OPTIONS);
        assert!(ours.eq(&modules::OPTIONS));
    }

    #[test]
    fn names_are_unique_and_sources_exist() {
        let modules = modules("sm_89");
        let attention = 4 + ATTENTION.len() + ON_CODES.len();
        assert_eq!(modules.len(), attention + ENGINE.len(), "each has a source");
        assert_eq!(unshipped("sm_80").len(), 24, "all pairs but that of which everything ships");
        assert_eq!(unshipped("sm_89").len(), 27);
        let mut names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), modules.len());
        for module in &modules {
            assert!(module.source().is_file(), "{}", module.source().display());
            assert!(PACKAGES.contains(&module.package));
        }
    }
}
