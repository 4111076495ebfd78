//! Which kernel serves which shape: names, shared memory, and what there is no kernel for.

use fp8_format::ElementType;

use crate::cuda::modules::{HEAD_DIMS, Products, TYPES, attention_kernel, attention_module};
use crate::cuda::work::TILE_ROWS;
use crate::error::Error;
use crate::math::AttnMath;
use crate::plan::{CHUNK, Plan};
use crate::shape::{CacheShape, Side};

/// What a grid may have along y: KV heads, in attention's.
pub(crate) const MAX_GRID_Y: usize = 65_535;
/// Query heads per KV head that a kernel takes.
const MAX_GROUP: usize = 16;
/// As in `cuda/attention.cuh` and `cuda/pages.cuh`.
const STAGES: usize = 3;
const SCORE_STRIDE: usize = CHUNK + 8;
const PAGE_IDS: usize = 4 * 32;
const DYNAMIC_SCALES: usize = 4 * CHUNK;

/// A stored type's number in the kernels; `None`: CUDA has no kernels for it.
fn element(stored: ElementType) -> Option<u32> {
    match stored {
        ElementType::F16 => Some(0),
        ElementType::Bf16 => Some(1),
        ElementType::F8E4M3 => Some(2),
        ElementType::F8E5M2 => Some(3),
        ElementType::Int8 => Some(4),
        _ => None,
    }
}

pub(crate) fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { backend: "cuda", what: what.into() }
}

/// Whether an error says that there is no such kernel here, and not that the device has failed.
pub(crate) fn is_absence(error: &Error) -> bool {
    matches!(
        error,
        Error::Unsupported { .. }
            | Error::NoKernel { .. }
            | Error::NoCompiler { .. }
            | Error::DriverTooOld { .. }
            | Error::Compile { .. }
    )
}

/// Whether a kernel can be had; what else goes wrong stays an error.
fn is_there(found: Result<bool, Error>) -> Result<bool, Error> {
    found.or_else(|error| if is_absence(&error) { Ok(false) } else { Err(error) })
}

/// The number of a stored type in the kernels.
pub(crate) fn element_number(stored: ElementType) -> Result<u32, Error> {
    element(stored).ok_or_else(|| unsupported(format!("{} storage", stored.name())))
}

/// Refuses a cache that no kernel serves, whatever is done with it.
pub(crate) fn check_cache(cache: &CacheShape) -> Result<(), Error> {
    element_number(cache.k_type)?;
    element_number(cache.v_type)?;
    let heads = cache.num_kv_heads;
    if heads > MAX_GRID_Y {
        return Err(unsupported(format!("{heads} KV heads (at most {MAX_GRID_Y})")));
    }
    for side in [Side::K, Side::V] {
        let bytes = cache.codes(side).block;
        if u32::try_from(bytes).is_err() {
            return Err(unsupported(format!("blocks of {bytes} bytes (less than 2^32)")));
        }
    }
    Ok(())
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
    /// The kernel of a plan. Where its arithmetic makes codes of what is multiplied and the device
    /// `has` a kernel that multiplies those, that one: for all rows or for none, whatever `tiles` is.
    /// Where it cannot be had (too old a driver, no compiler), attention on numbers does the same.
    pub(crate) fn of_plan(
        plan: &Plan,
        tiles: usize,
        has: impl Fn(&Self) -> Result<bool, Error>,
    ) -> Result<Self, Error> {
        let cache = plan.cache();
        let kernel = Self::new(cache, plan.group_size(), tiles)?;
        let on_codes = |tiles| Self::on_codes(cache, plan.attention().math, tiles);
        match (on_codes(1), on_codes(tiles)) {
            (Some(one), Some(found)) if is_there(has(&one))? => Ok(found),
            _ => Ok(kernel),
        }
    }

    /// The kernel that converts codes to numbers, whatever the arithmetic: every device has these.
    fn new(cache: &CacheShape, group: usize, tiles: usize) -> Result<Self, Error> {
        if !HEAD_DIMS.contains(&cache.head_dim) {
            let d = cache.head_dim;
            return Err(unsupported(format!("head_dim {d} (64, 96, 128 or 256)")));
        }
        if group > MAX_GROUP {
            return Err(unsupported(format!("{group} query heads per KV head (at most 16)")));
        }
        check_cache(cache)?;
        Self::multiplying(Products::Numbers, cache, tiles)
    }

    /// The kernel that multiplies codes instead, where the arithmetic makes some of all that it
    /// multiplies. Devices without such tensor cores have none.
    fn on_codes(cache: &CacheShape, math: AttnMath, tiles: usize) -> Option<Self> {
        // Scales of V's tokens go into P, which then is no code.
        let products = match math {
            AttnMath::Fp8 if !cache.v_per_token_head => Products::Codes,
            AttnMath::Fp8Q => Products::QueryCodes,
            _ => return None,
        };
        Self::multiplying(products, cache, tiles).ok()
    }

    fn multiplying(products: Products, cache: &CacheShape, tiles: usize) -> Result<Self, Error> {
        let name = |stored| Ok(TYPES[element_number(stored)? as usize]);
        let module = attention_module(products, name(cache.k_type)?, name(cache.v_type)?);
        Ok(Self {
            name: attention_kernel(&module, cache.head_dim, tiles),
            module,
            shared: shared(products, cache, tiles),
        })
    }
}

/// `Shape::BYTES` of `cuda/attention.cuh`, and `DYNAMIC_BYTES` where a side has dynamic scales.
fn shared(products: Products, cache: &CacheShape, tiles: usize) -> u32 {
    let (d, rows) = (cache.head_dim, tiles * TILE_ROWS);
    let widest = d * cache.k_type.size().max(cache.v_type.size());
    let tokens = if widest <= 128 { 64 } else { 32 };
    let ring = STAGES * tokens * widest;
    let queries = match (products, cache.k_type) {
        // The sum of two.
        (Products::Numbers, ElementType::Bf16) => 1024,
        (Products::Numbers, _) => 512,
        _ => 256,
    };
    let queries = d / 16 * tiles * queries;
    let dynamic = cache.k_per_token_head || cache.v_per_token_head;
    let scales = if dynamic { DYNAMIC_SCALES } else { 0 };
    let floats = rows * SCORE_STRIDE + PAGE_IDS + scales;
    (ring + queries + floats * 4) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AttentionShape, Batch};
    use ElementType::{Bf16, F8E4M3, F16, F32};

    fn cache(d: usize, stored: ElementType) -> CacheShape {
        CacheShape::new(4, 16, 1, d, stored, stored)
    }

    #[test]
    fn shared_memory_is_what_the_sources_say() {
        // From the variables `<kernel>_shared` of the PTX.
        let (numbers, codes) = (Products::Numbers, Products::Codes);
        for (products, d, stored, tiles, bytes) in [
            (numbers, 64, F8E4M3, 1, 31_744),
            (numbers, 96, F8E4M3, 2, 58_880),
            (numbers, 128, F8E4M3, 1, 46_080),
            (numbers, 128, F8E4M3, 2, 67_072),
            (numbers, 256, F8E4M3, 1, 50_176),
            (numbers, 128, F16, 1, 46_080),
            (numbers, 128, Bf16, 1, 50_176),
            (codes, 128, F8E4M3, 1, 44_032),
            (codes, 64, F8E4M3, 2, 48_640),
        ] {
            let name = format!("{products:?} {d} {stored:?} {tiles}");
            assert_eq!(shared(products, &cache(d, stored), tiles), bytes, "{name}");
            let dynamic = cache(d, stored).with_per_token_head(true, false);
            assert_eq!(shared(products, &dynamic, tiles), bytes + 4096, "{name}");
        }
    }

    #[test]
    fn codes_are_multiplied_where_all_factors_are_codes() {
        let e4m3 = cache(128, F8E4M3);
        let name = |cache: &CacheShape, math| {
            AttentionKernel::on_codes(cache, math, 2).map(|kernel| kernel.name)
        };
        assert_eq!(name(&e4m3, AttnMath::Default), None);
        let fp8 = Some("attention_fp8_e4m3_e4m3_d128_m2".to_owned());
        assert_eq!(name(&e4m3, AttnMath::Fp8), fp8);
        assert_eq!(name(&e4m3.clone().with_per_token_head(true, false), AttnMath::Fp8), fp8);
        assert_eq!(name(&e4m3.clone().with_per_token_head(false, true), AttnMath::Fp8), None);
        let queries = Some("attention_fp8q_e4m3_e4m3_d128_m2".to_owned());
        assert_eq!(name(&e4m3, AttnMath::Fp8Q), queries);
    }

    #[test]
    fn without_a_kernel_on_codes_numbers_are_multiplied() {
        let (cache, mut batch) = (cache(64, F8E4M3), Batch::new());
        batch.push(1, 1, [1]);
        let attention = AttentionShape::new(1, 1.0).with_math(AttnMath::Fp8);
        let plan = Plan::new(&cache, &attention, &batch).unwrap();
        let chosen = |has: &dyn Fn(&AttentionKernel) -> Result<bool, Error>| {
            AttentionKernel::of_plan(&plan, 2, has).unwrap().name
        };
        let numbers = "attention_e4m3_e4m3_d64_m2";
        assert_eq!(chosen(&|_| Ok(true)), "attention_fp8_e4m3_e4m3_d64_m2");
        assert_eq!(chosen(&|_| Ok(false)), numbers);
        assert_eq!(chosen(&|kernel| Err(unsupported(kernel.name.clone()))), numbers);
        // A device that failed is no device without kernels.
        let error = Error::Device { reason: "lost".to_owned() };
        let found = AttentionKernel::of_plan(&plan, 2, |_| Err(error.clone()));
        assert_eq!(found, Err(error));
        // All rows alike: what there is for 16 rows decides.
        assert_eq!(chosen(&|kernel| Ok(kernel.name.ends_with("m2"))), numbers);
    }

    #[test]
    fn what_has_no_kernel_is_refused() {
        assert!(AttentionKernel::new(&cache(128, F32), 4, 1).is_err());
        assert!(AttentionKernel::new(&cache(72, F8E4M3), 4, 1).is_err());
        assert!(AttentionKernel::new(&cache(128, F8E4M3), 17, 1).is_err());
        let with = |heads, bs| CacheShape::new(1, bs, heads, 256, F16, F8E4M3);
        let text = |cache| AttentionKernel::new(&cache, 1, 1).unwrap_err().to_string();
        assert!(text(with(65_536, 8)).ends_with("65536 KV heads (at most 65535)"));
        assert!(AttentionKernel::new(&with(65_535, 8), 1, 1).is_ok());
        assert!(text(with(65_535, 256)).ends_with("blocks of 8589803520 bytes (less than 2^32)"));
        let kernel = AttentionKernel::new(&cache(128, F8E4M3), 16, 2).unwrap();
        assert_eq!(kernel.name, "attention_e4m3_e4m3_d128_m2");
    }
}
