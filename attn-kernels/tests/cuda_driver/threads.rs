//! Two threads on one backend: what they do is what each does alone.

use attn_kernels::cuda::{CudaBackend, CudaBuffer, CudaDevice, CudaMemory};
use attn_kernels::{AttnMath, Backend, CacheShape, KvCache, KvLayout, KvScale};
use fp8_format::ElementType::F8E4M3;

use crate::common::{World, bits};
use crate::slices::Slices;

/// Tokens stored at a time: few, so that the threads meet often.
const STEP: usize = 48;
const ROUNDS: usize = 4;

/// A cache of its own, and what to do with it.
struct Work {
    world: World,
    shape: CacheShape,
    tables: Vec<Vec<u32>>,
    /// Tokens stored at a time.
    step: usize,
}

impl Work {
    fn new(seed: u64, heads: usize, kv_heads: usize, lens: &[usize], step: usize) -> Self {
        let world = World::new(seed, heads, kv_heads, 64, lens);
        let shape = world.shape(16, KvLayout::Hnd, F8E4M3, F8E4M3);
        let mut world = world.with_scales(&shape, true).with_q_scales(true);
        if let KvScale::PerTensor(scale) = &mut world.scales.k {
            *scale *= seed as f32;
        }
        let tables = world.tables(&shape, seed);
        Self { world, shape, tables, step }
    }

    /// Stores every token, attends with the last of each sequence (contexts are split), reads a
    /// sequence back: the outputs' bits, and the codes.
    fn run(
        &self,
        cuda: &Slices<CudaDevice>,
        cache: &mut KvCache<CudaBuffer<CudaMemory>>,
    ) -> Vec<Vec<u32>> {
        let (world, mut found) = (&self.world, Vec::new());
        let row = world.kv_heads * world.d;
        for (s, table) in self.tables.iter().enumerate() {
            let len = world.kv_len(s);
            for from in (0..len).step_by(self.step) {
                let tokens = from..len.min(from + self.step);
                let at = tokens.start * row..tokens.end * row;
                let slots = World::slots(table, self.shape.block_size, tokens);
                let (k, v) = (&world.k[s][at.clone()], &world.v[s][at]);
                cuda.append(cache, &world.scales, k, v, &slots).unwrap();
            }
        }
        let queries: Vec<_> =
            (0..self.tables.len()).map(|s| (s, world.kv_len(s) - 1, world.kv_len(s))).collect();
        for math in [AttnMath::Default, AttnMath::Fp8Q] {
            let attention = world.attention().with_math(math);
            for _ in 0..ROUNDS {
                let (out, lse) = world.attend(cuda, cache, &attention, &self.tables, &queries);
                found.extend([bits(&out), bits(&lse)]);
            }
        }
        let (mut k, mut v) = (vec![0.0; STEP * row], vec![0.0; STEP * row]);
        let last = self.tables.len() - 1;
        cuda.gather(cache, &world.scales, &self.tables[last], 0..STEP, &mut k, &mut v).unwrap();
        found.extend([bits(&k), bits(&v)]);
        for side in [cache.k(), cache.v()] {
            found.push(cuda.0.codes(side).unwrap().into_iter().map(u32::from).collect());
        }
        found
    }
}

pub(crate) fn shared(device: &CudaDevice) {
    let cuda = Slices(CudaBackend::new(device.clone()));
    let works = [Work::new(31, 8, 2, &[700, 60], STEP), Work::new(32, 4, 4, &[300, 600], STEP / 2)];
    // Each with a backend of its own: nothing is shared.
    let alone = works.each_ref().map(|work| {
        let cuda = Slices(CudaBackend::new(device.clone()));
        let mut cache = cuda.new_cache(work.shape.clone()).unwrap();
        work.run(&cuda, &mut cache)
    });
    for _ in 0..ROUNDS {
        std::thread::scope(|scope| {
            for (work, alone) in works.iter().zip(&alone) {
                let cuda = &cuda;
                scope.spawn(move || {
                    let mut cache = cuda.new_cache(work.shape.clone()).unwrap();
                    let found = work.run(cuda, &mut cache);
                    assert!(found == *alone, "of {} heads: not as alone", work.world.heads);
                });
            }
        });
    }
}
