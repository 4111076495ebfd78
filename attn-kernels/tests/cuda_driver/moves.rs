//! What leaves a cache and comes back, as the CPU's tests have it: copied, swapped, gathered, observed.

use attn_kernels::cuda::{CudaBackend, CudaBuffer, CudaDevice, CudaMemory};
use attn_kernels::{Backend, CpuBackend, HeadAbsmax, KvCache, KvLayout, ReferenceBackend};
use fp8_format::ElementType::{self, F8E4M3, F16, Int8};

use crate::common::{World, bits};
use crate::slices::Slices;

const KINDS: [(ElementType, bool); 4] =
    [(F8E4M3, false), (F8E4M3, true), (Int8, true), (F16, false)];

type Cache = KvCache<CudaBuffer<CudaMemory>>;

fn start(
    cuda: &Slices<CudaDevice>,
    stored: ElementType,
    own: bool,
) -> (World, Cache, Vec<Vec<u32>>) {
    let world = World::new(16, 4, 2, 64, &[40]);
    let shape = world.shape(16, KvLayout::Hnd, stored, stored).with_per_token_head(own, own);
    let world = world.with_scales(&shape, true);
    let tables = world.tables(&shape, 3);
    let cache = world.fill(cuda, &shape, &tables);
    (world, cache, tables)
}

fn attend(cuda: &Slices<CudaDevice>, world: &World, cache: &Cache, table: &[u32]) -> Vec<u32> {
    let tables = [table.to_vec()];
    bits(&world.attend(cuda, cache, &world.attention(), &tables, &[(0, 30, 40)]).0)
}

pub(crate) fn copied_and_swapped(device: &CudaDevice) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    for (stored, own) in KINDS {
        let (world, mut cache, tables) = start(&cuda, stored, own);
        let wanted = attend(&cuda, &world, &cache, &tables[0]);
        let mut shape = cache.shape().clone();
        shape.num_blocks = 9;
        let mut other = cuda.new_cache(shape.clone()).unwrap();
        let moved = [7, 2, 4];
        // The first into 7 is overwritten by the last.
        let mut copies = vec![(tables[0][1], 7)];
        copies.extend(tables[0].iter().copied().zip(moved));
        cuda.copy_blocks_from(&mut other, &cache, &copies).unwrap();
        assert_eq!(attend(&cuda, &world, &other, &moved), wanted, "{stored}");

        let mut host = vec![0; 3 * cache.shape().block_bytes()];
        cuda.swap_out(&cache, &tables[0], &mut host).unwrap();
        let slots: Vec<i64> = (0..cache.shape().num_slots() as i64).collect();
        let ones = vec![1.0; slots.len() * 128];
        cuda.append(&mut cache, &world.scales, &ones, &ones, &slots).unwrap();
        assert_ne!(attend(&cuda, &world, &cache, &tables[0]), wanted);
        let back: Vec<u32> = tables[0].iter().rev().copied().collect();
        cuda.swap_in(&mut cache, &back, &host).unwrap();
        assert_eq!(attend(&cuda, &world, &cache, &back), wanted, "{stored}");
        // Into a block given twice the last bytes go.
        let twice = [&host[host.len() / 3..host.len() / 3 * 2], &host[..host.len() / 3]].concat();
        cuda.swap_in(&mut other, &[7, 7], &twice).unwrap();
        assert_eq!(attend(&cuda, &world, &other, &moved), wanted, "{stored}");

        let error = cuda.swap_out(&cache, &[99], &mut host[..0]).unwrap_err().to_string();
        assert!(error.starts_with("blocks[0]: block 99"), "{error}");
        let error = cuda.swap_in(&mut cache, &[1], &host).unwrap_err().to_string();
        assert!(error.contains("blocks × block_bytes"), "{error}");
        cuda.swap_out(&cache, &[], &mut []).unwrap();
        assert_eq!(cuda.0.memory_stats(&cache).bytes, cache.shape().bytes());
    }
    // More than goes at a time.
    let world = World::new(3, 2, 2, 256, &[40]);
    let shape = attn_kernels::CacheShape::new(200, 64, 2, 256, F16, F16);
    let mut cache = cuda.new_cache(shape.clone()).unwrap();
    let slots: Vec<i64> = (0..40).map(|t| 199 * 64 + t).collect();
    cuda.append(&mut cache, &world.scales, &world.k[0], &world.v[0], &slots).unwrap();
    let before = cuda.0.codes(cache.k()).unwrap();
    let blocks: Vec<u32> = (0..200).collect();
    let mut host = vec![0; shape.bytes()];
    cuda.swap_out(&cache, &blocks, &mut host).unwrap();
    let mut back = cuda.new_cache(shape).unwrap();
    cuda.swap_in(&mut back, &blocks, &host).unwrap();
    assert!(cuda.0.codes(back.k()).unwrap() == before && before.iter().any(|&b| b != 0));
    assert!(cuda.0.codes(back.v()).unwrap() == cuda.0.codes(cache.v()).unwrap());
}

pub(crate) fn gathered(device: &CudaDevice) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    for (stored, own) in KINDS {
        let (world, cache, tables) = start(&cuda, stored, own);
        let host = world.fill(&ReferenceBackend, cache.shape(), &tables);
        for tokens in [0..40, 7..33, 16..16, 39..40] {
            let n = tokens.len() * 128;
            let (mut k, mut v) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            let (mut want_k, mut want_v) = (k.clone(), v.clone());
            let table = &tables[0];
            let of = tokens.clone();
            cuda.gather(&cache, &world.scales, table, of, &mut k, &mut v).unwrap();
            let of = tokens.clone();
            ReferenceBackend
                .gather(&host, &world.scales, table, of, &mut want_k, &mut want_v)
                .unwrap();
            assert_eq!((bits(&k), bits(&v)), (bits(&want_k), bits(&want_v)), "{stored} {tokens:?}");
        }
    }
}

/// The CPU sees the same magnitudes.
pub(crate) fn observed(device: &CudaDevice) {
    let (cuda, cpu) = (Slices(CudaBackend::new(device.clone())), CpuBackend::new());
    let world = World::new(18, 4, 4, 64, &[230]);
    let shape = world.shape(16, KvLayout::Nhd, F8E4M3, F8E4M3);
    let world = world.with_scales(&shape, true);
    let mut caches = (cuda.new_cache(shape.clone()).unwrap(), cpu.new_cache(shape).unwrap());
    let (mut seen, mut want) = (HeadAbsmax::new(4), HeadAbsmax::new(4));
    let mut step = |k: &[f32], v: &[f32], slots: &[i64], seen: &mut HeadAbsmax| {
        cuda.append_observed(&mut caches.0, &world.scales, k, v, slots, seen).unwrap();
        cpu.append_observed(&mut caches.1, &world.scales, k, v, slots, &mut want).unwrap();
        let same = |a: &[f32], b: &[f32]| {
            a.iter().zip(b).all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
        };
        assert!(same(&seen.k, &want.k) && same(&seen.v, &want.v), "{seen:?} {want:?}");
    };
    for from in (0..230).step_by(100) {
        let to = 230.min(from + 100);
        let slots: Vec<i64> = (from as i64..to as i64).collect();
        let at = from * 256..to * 256;
        step(&world.k[0][at.clone()], &world.v[0][at], &slots, &mut seen);
    }
    assert!(seen.k.iter().all(|&x| x > 1.0));
    // What is not stored is not seen; a NaN stays.
    step(&[1e9; 256], &[1e9; 256], &[-1], &mut seen);
    let mut nan = [0.0; 512];
    nan[65] = f32::NAN;
    step(&nan, &nan, &[0, 1], &mut seen);
    step(&[2e9; 256], &[2e9; 256], &[5], &mut seen);
    assert!(seen.k[1].is_nan() && seen.k[0] == 2e9);
    let error = cuda
        .append_observed(&mut caches.0, &world.scales, &[], &[], &[], &mut HeadAbsmax::new(3))
        .unwrap_err();
    assert_eq!(error.to_string(), "absmax of K has 3 values, must have 4");
}
