//! What the kernels are called and how each is compiled: names to source files and definitions.
//!
//! The one place that knows it. The backend names kernels by it, whoever compiles at run time what
//! does not ship asks it ([`Module::of_kernel`]), and the build that ships PTX includes this file as
//! it is: so it uses nothing of this crate.

/// How NVRTC is called for every file. Products and sums are fused only where the source says
/// `fmaf`: results must not depend on what a compiler finds to fuse.
#[allow(dead_code, reason = "for whoever compiles")]
pub(crate) const OPTIONS: [&str; 3] = ["-std=c++17", "-default-device", "--fmad=false"];

/// Head dimensions that attention is written for.
pub(crate) const HEAD_DIMS: [usize; 4] = [64, 96, 128, 256];

/// What attention multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Products {
    /// Numbers, as f16 or bf16.
    Numbers,
    /// The codes of Q and K; P and V as numbers.
    QueryCodes,
    /// Codes: Q and K, P and V.
    Codes,
}

impl Products {
    const ALL: [Self; 3] = [Self::Numbers, Self::QueryCodes, Self::Codes];

    fn prefix(self) -> &'static str {
        match self {
            Self::Numbers => "attention",
            Self::QueryCodes => "attention_fp8q",
            Self::Codes => "attention_fp8",
        }
    }
}

/// A stored type as kernels are named after it.
pub(crate) const TYPES: [&str; 5] = ["f16", "bf16", "e4m3", "e5m2", "int8"];

/// The module of attention on K and V stored as these types.
pub(crate) fn attention_module(products: Products, k: &str, v: &str) -> String {
    format!("{}_{k}_{v}", products.prefix())
}

/// The kernel in it that serves `tiles` × 16 rows.
pub(crate) fn attention_kernel(module: &str, head_dim: usize, tiles: usize) -> String {
    format!("{module}_d{head_dim}_m{tiles}")
}

/// What gives a PTX module: a file of `cuda/`, and what is defined (`NAME=VALUE` or `NAME`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(dead_code, reason = "for whoever compiles")]
pub(crate) struct Module {
    pub(crate) source: &'static str,
    pub(crate) definitions: Vec<String>,
}

#[allow(dead_code, reason = "for whoever compiles")]
impl Module {
    /// The module `name`. Of attention it holds the kernels of `shapes`: head dimension and row
    /// tiles. `None`: there is no such module.
    pub(crate) fn new(name: &str, shapes: &[(usize, usize)]) -> Option<Self> {
        let plain = |source| Some(Self { source, definitions: Vec::new() });
        match name {
            "append" => return plain("append.cu"),
            "copy_blocks" => return plain("copy_blocks.cu"),
            "gather" => return plain("gather.cu"),
            "merge" => return plain("merge.cu"),
            _ => {}
        }
        let types = || TYPES.iter().flat_map(|k| TYPES.iter().map(move |v| (*k, *v)));
        let (products, (k, v)) = Products::ALL
            .iter()
            .flat_map(|p| types().map(move |kv| (*p, kv)))
            .find(|&(p, (k, v))| attention_module(p, k, v) == name)?;
        let fp8 = |stored: &str| matches!(stored, "e4m3" | "e5m2");
        let (source, known) = match products {
            Products::Numbers => ("attention.cu", true),
            Products::QueryCodes => ("attention_fp8.cu", fp8(k)),
            Products::Codes => ("attention_fp8.cu", fp8(k) && fp8(v)),
        };
        if !known {
            return None;
        }
        let mut definitions = vec![
            format!("K_TYPE={}", k.to_ascii_uppercase()),
            format!("V_TYPE={}", v.to_ascii_uppercase()),
            format!("K_NAME={k}"),
            format!("V_NAME={v}"),
        ];
        if products == Products::QueryCodes {
            definitions.push("QK_ONLY".to_owned());
        }
        for dim in HEAD_DIMS {
            let tiles = |n| usize::from(shapes.contains(&(dim, n))) * n;
            if tiles(1) + tiles(2) > 0 {
                definitions.push(format!("D{dim}={}", tiles(1) + tiles(2)));
            }
        }
        Some(Self { source, definitions })
    }

    /// What compiles a kernel of a module, and of attention that for the other number of row tiles too:
    /// a plan asks for both. `None`: it is no kernel of that module.
    pub(crate) fn of_kernel(module: &str, kernel: &str) -> Option<Self> {
        let other = Self::new(module, &[])?;
        if other.definitions.is_empty() {
            return Some(other);
        }
        let tiles = [1, 2];
        let is = |d: usize| tiles.iter().any(|m| attention_kernel(module, d, *m) == kernel);
        let dim = HEAD_DIMS.into_iter().find(|d| is(*d))?;
        Self::new(module, &tiles.map(|m| (dim, m)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definitions(module: &str, kernel: &str) -> (&'static str, String) {
        let found = Module::of_kernel(module, kernel).unwrap();
        (found.source, found.definitions.join(" "))
    }

    #[test]
    fn a_kernel_names_its_source() {
        assert_eq!(definitions("append", "append_kv"), ("append.cu", String::new()));
        let mixed = "K_TYPE=BF16 V_TYPE=E4M3 K_NAME=bf16 V_NAME=e4m3 D96=3";
        assert_eq!(
            definitions("attention_bf16_e4m3", "attention_bf16_e4m3_d96_m2"),
            ("attention.cu", mixed.to_owned())
        );
        let queries = "K_TYPE=E4M3 V_TYPE=INT8 K_NAME=e4m3 V_NAME=int8 QK_ONLY D64=3";
        assert_eq!(
            definitions("attention_fp8q_e4m3_int8", "attention_fp8q_e4m3_int8_d64_m1"),
            ("attention_fp8.cu", queries.to_owned())
        );
    }

    #[test]
    fn shapes_of_a_head_dim_add_up() {
        let module = Module::new("attention_fp8_e4m3_e4m3", &[(64, 1), (64, 2), (128, 1)]).unwrap();
        assert_eq!(module.definitions[4..], ["D64=3", "D128=1"]);
    }

    #[test]
    fn codes_are_multiplied_of_fp8_only() {
        for name in ["attention_fp8_int8_e4m3", "attention_fp8_e4m3_f16", "attention_fp8q_f16_e4m3"]
        {
            assert_eq!(Module::new(name, &[(64, 1)]), None, "{name}");
        }
        assert_eq!(Module::new("attention_f8_f8", &[(64, 1)]), None);
        for kernel in
            ["attention_f16_f16_d72_m1", "attention_f16_f16_d64_m3", "attention_f16_e4m3_d64_m1"]
        {
            assert_eq!(Module::of_kernel("attention_f16_f16", kernel), None, "{kernel}");
        }
    }
}
