//! Which kernel serves which shape: names, shared memory, and what there is no kernel for.

use fp8_format::ElementType;

use crate::cuda::work::TILE_ROWS;
use crate::error::Error;
use crate::plan::CHUNK;
use crate::shape::CacheShape;

/// Query heads per KV head that a kernel takes.
const MAX_GROUP: usize = 16;
/// Head dimensions that there are kernels for.
const HEAD_DIMS: [usize; 4] = [64, 96, 128, 256];
/// As in `cuda/attention.cuh` and `cuda/pages.cuh`.
const STAGES: usize = 3;
const SCORE_STRIDE: usize = CHUNK + 8;
const PAGE_IDS: usize = 4 * 32;
const DYNAMIC_SCALES: usize = 4 * CHUNK;

/// A stored type's number in the kernels and its name in theirs; `None`: CUDA has no kernels for it.
fn element(stored: ElementType) -> Option<(u32, &'static str)> {
    match stored {
        ElementType::F16 => Some((0, "f16")),
        ElementType::Bf16 => Some((1, "bf16")),
        ElementType::F8E4M3 => Some((2, "e4m3")),
        ElementType::F8E5M2 => Some((3, "e5m2")),
        ElementType::Int8 => Some((4, "int8")),
        _ => None,
    }
}

pub(crate) fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { backend: "cuda", what: what.into() }
}

/// The number of a stored type in the kernels.
pub(crate) fn element_number(stored: ElementType) -> Result<u32, Error> {
    let number = element(stored).map(|(number, _)| number);
    number.ok_or_else(|| unsupported(format!("{} storage", stored.name())))
}

/// The attention kernel of a cache, `tiles` × 16 rows at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttentionKernel {
    pub(crate) module: String,
    pub(crate) name: String,
    /// Dynamic shared memory, in bytes.
    pub(crate) shared: u32,
}

impl AttentionKernel {
    pub(crate) fn new(cache: &CacheShape, group: usize, tiles: usize) -> Result<Self, Error> {
        let name = |stored: ElementType| {
            let found = element(stored).map(|(_, name)| name);
            found.ok_or_else(|| unsupported(format!("{} storage", stored.name())))
        };
        let (k, v, d) = (name(cache.k_type)?, name(cache.v_type)?, cache.head_dim);
        if !HEAD_DIMS.contains(&d) {
            return Err(unsupported(format!("head_dim {d} (64, 96, 128 or 256)")));
        }
        if group > MAX_GROUP {
            return Err(unsupported(format!("{group} query heads per KV head (at most 16)")));
        }
        Ok(Self {
            module: format!("attention_{k}_{v}"),
            name: format!("attention_{k}_{v}_d{d}_m{tiles}"),
            shared: shared(cache, tiles),
        })
    }
}

/// The definitions that make a source's attention kernel of that name: `-DK_TYPE=E4M3` and so on.
/// `None`: it is not a name that [`AttentionKernel`] gives.
#[cfg(feature = "nvrtc")]
pub(crate) fn parse_attention(kernel: &str) -> Option<[String; 5]> {
    let (specialisation, tiles) = kernel.strip_prefix("attention_")?.rsplit_once("_m")?;
    let mut parts = specialisation.split('_');
    let (k, v, d) = (parts.next()?, parts.next()?, parts.next()?.strip_prefix('d')?);
    let stored = |name| {
        use ElementType::{Bf16, F8E4M3, F8E5M2, F16, Int8};
        [F16, Bf16, F8E4M3, F8E5M2, Int8].into_iter().filter_map(element).any(|(_, n)| n == name)
    };
    let known = ["1", "2"].contains(&tiles) && HEAD_DIMS.iter().any(|dim| dim.to_string() == d);
    if !known || !stored(k) || !stored(v) || parts.next().is_some() {
        return None;
    }
    // Of 256, kernels for two tiles are made only if asked for.
    let dim = if d == "256" { "-DD256=2".to_owned() } else { format!("-DD{d}") };
    Some([
        format!("-DK_TYPE={}", k.to_uppercase()),
        format!("-DV_TYPE={}", v.to_uppercase()),
        format!("-DK_NAME={k}"),
        format!("-DV_NAME={v}"),
        dim,
    ])
}

/// `Shape::BYTES` of `cuda/attention.cuh`, and `DYNAMIC_BYTES` where a side has dynamic scales.
fn shared(cache: &CacheShape, tiles: usize) -> u32 {
    let (d, rows) = (cache.head_dim, tiles * TILE_ROWS);
    let widest = d * cache.k_type.size().max(cache.v_type.size());
    let tokens = if widest <= 128 { 64 } else { 32 };
    let ring = STAGES * tokens * widest;
    let fragments = (d / 16 + CHUNK / 16) * tiles * 512;
    let dynamic = cache.k_per_token_head || cache.v_per_token_head;
    let scales = if dynamic { DYNAMIC_SCALES } else { 0 };
    let floats = rows * SCORE_STRIDE + 3 * rows + PAGE_IDS + scales;
    (ring + fragments + floats * 4) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use ElementType::{F8E4M3, F16, F32};

    fn cache(d: usize, stored: ElementType) -> CacheShape {
        CacheShape::new(4, 16, 1, d, stored, stored)
    }

    #[test]
    fn shared_memory_is_what_the_sources_say() {
        // From the variables `<kernel>_shared` of the PTX.
        for (d, stored, tiles, bytes) in [
            (64, F8E4M3, 1, 40_128),
            (96, F8E4M3, 2, 75_648),
            (128, F8E4M3, 1, 54_464),
            (128, F8E4M3, 2, 83_840),
            (256, F8E4M3, 2, 92_032),
            (128, F16, 1, 54_464),
        ] {
            assert_eq!(shared(&cache(d, stored), tiles), bytes, "{d} {stored:?} {tiles}");
            let dynamic = cache(d, stored).with_per_token_head(true, false);
            assert_eq!(shared(&dynamic, tiles), bytes + 4096);
        }
    }

    #[cfg(feature = "nvrtc")]
    #[test]
    fn a_name_says_how_its_kernel_is_made() {
        let shape = CacheShape::new(4, 16, 1, 256, F16, F8E4M3);
        let kernel = AttentionKernel::new(&shape, 4, 2).unwrap();
        let made = parse_attention(&kernel.name).unwrap();
        let expected =
            ["-DK_TYPE=F16", "-DV_TYPE=E4M3", "-DK_NAME=f16", "-DV_NAME=e4m3", "-DD256=2"];
        assert_eq!(made, expected);
        for none in [
            "attention_f16_e4m3_d72_m1",
            "attention_f16_f32_d64_m1",
            "attention_f16_f16_d64_m3",
            "attention_f16_f16_x_d64_m1",
            "append_kv",
            "attention_f16_d64_m1",
        ] {
            assert_eq!(parse_attention(none), None, "{none}");
        }
    }

    #[test]
    fn what_has_no_kernel_is_refused() {
        assert!(AttentionKernel::new(&cache(128, F32), 4, 1).is_err());
        assert!(AttentionKernel::new(&cache(72, F8E4M3), 4, 1).is_err());
        assert!(AttentionKernel::new(&cache(128, F8E4M3), 17, 1).is_err());
        let kernel = AttentionKernel::new(&cache(128, F8E4M3), 16, 2).unwrap();
        assert_eq!(kernel.name, "attention_e4m3_e4m3_d128_m2");
    }
}
