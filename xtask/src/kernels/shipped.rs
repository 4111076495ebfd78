//! What ships: which source becomes which PTX file, with which specialisations.
//!
//! Every combination of K and V types and head dimensions can be compiled from the same sources at
//! run time. Shipped are those that models and caches of today have, so that the files stay under
//! 15 MB: `attn-kernels/cuda/README.md` says what and why.

/// One PTX file: `attn-kernels/ptx/<arch>/<name>.ptx`.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) name: String,
    /// In `attn-kernels/cuda`.
    pub(crate) source: &'static str,
    pub(crate) options: Vec<String>,
}

/// Stored types as file names and as the sources call them.
const PAIRS: [(&str, &str, &[&str]); 5] = [
    ("e4m3", "E4M3", &["D64", "D96", "D128", "D256=2"]),
    ("e5m2", "E5M2", &["D64", "D128"]),
    ("int8", "INT8", &["D64", "D128"]),
    ("f16", "F16", &["D64", "D128"]),
    ("bf16", "BF16", &["D64", "D128"]),
];

/// The modules of one architecture.
pub(crate) fn modules(_arch: &str) -> Vec<Module> {
    let mut all: Vec<Module> = ["append", "copy_blocks", "gather", "merge"]
        .into_iter()
        .zip(["append.cu", "copy_blocks.cu", "gather.cu", "merge.cu"])
        .map(|(name, source)| Module { name: name.to_owned(), source, options: Vec::new() })
        .collect();
    for (name, element, dims) in PAIRS {
        all.push(attention((name, element), (name, element), dims));
    }
    all
}

/// Modules that do not ship but are run by tests: K and V stored differently.
pub(crate) fn mixed() -> Vec<Module> {
    [
        (("f16", "F16"), ("e4m3", "E4M3")),
        (("bf16", "BF16"), ("int8", "INT8")),
        (("e4m3", "E4M3"), ("bf16", "BF16")),
        (("int8", "INT8"), ("f16", "F16")),
        (("e5m2", "E5M2"), ("e4m3", "E4M3")),
    ]
    .into_iter()
    .map(|(k, v)| attention(k, v, &["D64", "D96"]))
    .collect()
}

/// Attention for a type of K and one of V, each with its name and as the sources call it.
fn attention(k: (&str, &str), v: (&str, &str), dims: &[&str]) -> Module {
    let mut options = vec![
        format!("-DK_TYPE={}", k.1),
        format!("-DV_TYPE={}", v.1),
        format!("-DK_NAME={}", k.0),
        format!("-DV_NAME={}", v.0),
    ];
    options.extend(dims.iter().map(|dim| format!("-D{dim}")));
    Module { name: format!("attention_{}_{}", k.0, v.0), source: "attention.cu", options }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_sources_exist() {
        let modules = modules("sm_89");
        let mut names: Vec<&str> = modules.iter().map(|m| m.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), modules.len());
        for module in &modules {
            let path = crate::repo::root().join("attn-kernels/cuda").join(module.source);
            assert!(path.is_file(), "{}", path.display());
        }
    }
}
