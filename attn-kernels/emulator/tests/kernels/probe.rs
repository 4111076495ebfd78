//! The probe's kernels (`probe.cu`): f32 partials of each split, and merged outputs, against f64.

use cuda_emulator::{Device, DevicePtr, Module};
use fp8_format::{F8E4M3, Overflow};
use half::{bf16, f16};

use super::built::{ALL, each};
use crate::common::launch::{Arg, download, launch, uninit, upload};
use crate::common::values::Random;

const DIM: usize = 128;
const BLOCK: usize = 16;
const GROUP: usize = 4;
const KV_HEADS: usize = 2;
const HEADS: usize = KV_HEADS * GROUP;
const SPLITS: usize = 3;
const MAX_BLOCKS: usize = 32;
const LENGTHS: [usize; 8] = [1, 37, 259, 300, 16, 17, 255, 512];
const ROWS: usize = LENGTHS.len() * HEADS;
const K_SCALE: [f32; KV_HEADS] = [0.05, 0.03];
const V_SCALE: [f32; KV_HEADS] = [0.02, 0.04];

/// A cache of shuffled blocks, in the layout [block][head][token][dim].
struct Cache {
    k: Vec<u8>,
    v: Vec<u8>,
    table: Vec<i32>,
}

impl Cache {
    fn new(random: &mut Random) -> Self {
        let blocks: usize = LENGTHS.iter().map(|n| n.div_ceil(BLOCK)).sum();
        let mut codes = || -> Vec<u8> {
            let code = |x: f32| F8E4M3::from_f32(x * 8.0, Overflow::Saturate).to_bits();
            (0..blocks * KV_HEADS * BLOCK * DIM).map(|_| code(random.unit())).collect()
        };
        let (k, v) = (codes(), codes());
        let mut table = vec![-1; LENGTHS.len() * MAX_BLOCKS];
        let mut used = 0;
        for (s, n) in LENGTHS.iter().enumerate() {
            for b in 0..n.div_ceil(BLOCK) {
                // 7 and the number of blocks have no common factor: a permutation.
                table[s * MAX_BLOCKS + b] = ((used * 7 + 3) % blocks) as i32;
                used += 1;
            }
        }
        Self { k, v, table }
    }

    fn token(&self, seq: usize, kv: usize, t: usize) -> usize {
        let block = self.table[seq * MAX_BLOCKS + t / BLOCK] as usize;
        ((block * KV_HEADS + kv) * BLOCK + t % BLOCK) * DIM
    }

    /// Maximum (of logits in base 2), sum and output over `tokens`; `q` is one row.
    fn attend(&self, seq: usize, kv: usize, q: &[f64], tokens: std::ops::Range<usize>) -> State {
        let number = |code: u8| f64::from(F8E4M3::from_bits(code).to_f32());
        let factor = f64::from(K_SCALE[kv]) * std::f64::consts::LOG2_E / (DIM as f64).sqrt();
        let logit = |t: usize| -> f64 {
            let keys = &self.k[self.token(seq, kv, t)..][..DIM];
            q.iter().zip(keys).map(|(q, &k)| q * number(k)).sum::<f64>() * factor
        };
        let logits: Vec<f64> = tokens.clone().map(logit).collect();
        let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logits.iter().map(|l| (l - max).exp2()).collect();
        let sum = weights.iter().sum::<f64>();
        let out = (0..DIM).map(|d| {
            let terms = tokens.clone().zip(&weights);
            let total: f64 =
                terms.map(|(t, w)| w * number(self.v[self.token(seq, kv, t) + d])).sum();
            if sum > 0.0 { total * f64::from(V_SCALE[kv]) / sum } else { 0.0 }
        });
        State { max, sum, out: out.collect() }
    }
}

struct State {
    max: f64,
    sum: f64,
    out: Vec<f64>,
}

/// Runs a decode kernel and the merge. `q` holds what the kernel reads of the queries.
fn decodes(
    device: &Device,
    module: &Module,
    kernel: &str,
    cache: &Cache,
    queries: &[DevicePtr],
    q: &[f64],
    tolerance: f64,
) {
    let part_o = uninit::<f32>(device, "part_o", ROWS * SPLITS * DIM);
    let part_ml = uninit::<f32>(device, "part_ml", ROWS * SPLITS * 2);
    let out = uninit::<u16>(device, "out", ROWS * DIM);
    let lengths: Vec<i32> = LENGTHS.iter().map(|&n| n as i32).collect();
    let mut args = vec![Arg::Ptr(part_o), Arg::Ptr(part_ml)];
    args.extend(queries.iter().map(|&q| Arg::Ptr(q)));
    args.extend([
        Arg::Ptr(upload(device, "k_cache", &cache.k)),
        Arg::Ptr(upload(device, "v_cache", &cache.v)),
        Arg::Ptr(upload(device, "k_scale", &K_SCALE)),
        Arg::Ptr(upload(device, "v_scale", &V_SCALE)),
        Arg::Ptr(upload(device, "block_table", &cache.table)),
        Arg::Ptr(upload(device, "lengths", &lengths)),
        Arg::U32(MAX_BLOCKS as u32),
        Arg::U32(KV_HEADS as u32),
        Arg::U32(SPLITS as u32),
        Arg::F32(std::f32::consts::LOG2_E / (DIM as f32).sqrt()),
    ]);
    let threads = if kernel.contains("mma") { 32 } else { 128 };
    let grid = [LENGTHS.len() as u32, KV_HEADS as u32, SPLITS as u32];
    launch(device, module, kernel, grid, [threads, 1, 1], 0, &args).expect("no fault");
    let merge = [Arg::Ptr(out), Arg::Ptr(part_o), Arg::Ptr(part_ml), Arg::U32(SPLITS as u32)];
    let rows = [LENGTHS.len() as u32, HEADS as u32, 1];
    launch(device, module, "merge_splits", rows, [DIM as u32, 1, 1], 0, &merge).expect("no fault");

    let part_o: Vec<f32> = download(device, part_o, ROWS * SPLITS * DIM);
    let part_ml: Vec<f32> = download(device, part_ml, ROWS * SPLITS * 2);
    let out: Vec<u16> = download(device, out, ROWS * DIM);
    let near = |got: f64, wanted: f64, limit: f64, what: &str, row: usize| {
        assert!((got - wanted).abs() <= limit, "{kernel} row {row}: {what} {got} for {wanted}");
    };
    for (seq, &len) in LENGTHS.iter().enumerate() {
        for head in 0..HEADS {
            let (row, kv) = (seq * HEADS + head, head / GROUP);
            let q = &q[row * DIM..][..DIM];
            let per = len.div_ceil(BLOCK).div_ceil(SPLITS) * BLOCK;
            for split in 0..SPLITS {
                let at = row * SPLITS + split;
                let tokens = (split * per).min(len)..((split + 1) * per).min(len);
                let wanted = cache.attend(seq, kv, q, tokens.clone());
                if !tokens.is_empty() {
                    near(f64::from(part_ml[at * 2]), wanted.max, 1e-4, "maximum", row);
                }
                let (sum, limit) = (f64::from(part_ml[at * 2 + 1]), 1e-4 * wanted.sum);
                near(sum, wanted.sum, limit, "sum", row);
                for d in 0..DIM {
                    let got = f64::from(part_o[at * DIM + d]);
                    near(got, wanted.out[d], tolerance, "partial", row);
                }
            }
            let wanted = cache.attend(seq, kv, q, 0..len);
            for d in 0..DIM {
                let got = f16::from_bits(out[row * DIM + d]).to_f64();
                near(got, wanted.out[d], tolerance + 1e-4, "output", row);
            }
        }
    }
}

#[test]
fn the_probe_decodes_on_cuda_cores() {
    each("probe", &ALL, |device, module| {
        let mut random = Random(0x1234_5678);
        let cache = Cache::new(&mut random);
        let q: Vec<f16> = (0..ROWS * DIM).map(|_| f16::from_f32(random.unit())).collect();
        let bits: Vec<u16> = q.iter().map(|x| x.to_bits()).collect();
        let numbers: Vec<f64> = q.iter().map(|x| x.to_f64()).collect();
        let queries = [upload(device, "q", &bits)];
        decodes(device, module, "paged_decode_fp8_g4", &cache, &queries, &numbers, 2e-6);
    });
}

#[test]
fn the_probe_decodes_with_mma() {
    // FP8 mma exists from sm_89.
    each("probe", &ALL[1..], |device, module| {
        let mut random = Random(0x8765_4321);
        let cache = Cache::new(&mut random);
        let codes: Vec<u8> = (0..ROWS * DIM)
            .map(|_| F8E4M3::from_f32(random.unit() * 64.0, Overflow::Saturate).to_bits())
            .collect();
        let scale = 1.0 / 64.0;
        let number = |&c: &u8| f64::from(F8E4M3::from_bits(c).to_f32()) * scale;
        let numbers: Vec<f64> = codes.iter().map(number).collect();
        let queries =
            [upload(device, "q", &codes), upload(device, "q_scale", &vec![scale as f32; ROWS])];
        // The weights are rounded to f16 before P · V.
        decodes(device, module, "paged_decode_mma_g4", &cache, &queries, &numbers, 2e-4);
    });
}

#[test]
fn the_probe_appends() {
    const SLOTS: [i64; 3] = [19, -1, 2];
    each("probe", &ALL, |device, module| {
        let mut random = Random(7);
        let mut side = || -> Vec<bf16> {
            let count = SLOTS.len() * KV_HEADS * DIM;
            (0..count).map(|_| bf16::from_f32(random.unit() * 30.0)).collect()
        };
        let (k, v) = (side(), side());
        let bits = |x: &[bf16]| -> Vec<u16> { x.iter().map(|x| x.to_bits()).collect() };
        let unwritten = vec![0xaa_u8; 2 * KV_HEADS * BLOCK * DIM];
        let caches = [upload(device, "k_cache", &unwritten), upload(device, "v_cache", &unwritten)];
        let absmax = upload(device, "absmax", &[0_u32; KV_HEADS]);
        let args = [
            Arg::Ptr(caches[0]),
            Arg::Ptr(caches[1]),
            Arg::Ptr(upload(device, "k", &bits(&k))),
            Arg::Ptr(upload(device, "v", &bits(&v))),
            Arg::Ptr(upload(device, "k_scale", &K_SCALE)),
            Arg::Ptr(upload(device, "v_scale", &V_SCALE)),
            Arg::Ptr(upload(device, "slots", &SLOTS)),
            Arg::Ptr(absmax),
            Arg::U32(KV_HEADS as u32),
        ];
        let grid = [SLOTS.len() as u32, KV_HEADS as u32, 1];
        launch(device, module, "append_kv_fp8", grid, [64, 1, 1], 0, &args).expect("no fault");

        for (cache, from, scales) in [(caches[0], &k, K_SCALE), (caches[1], &v, V_SCALE)] {
            let mut wanted = unwritten.clone();
            for (t, &slot) in SLOTS.iter().enumerate().filter(|&(_, &slot)| slot >= 0) {
                let (block, offset) = (slot as usize / BLOCK, slot as usize % BLOCK);
                for (head, scale) in scales.iter().enumerate() {
                    let to = ((block * KV_HEADS + head) * BLOCK + offset) * DIM;
                    for (d, x) in from[(t * KV_HEADS + head) * DIM..][..DIM].iter().enumerate() {
                        // The probe multiplies by the reciprocal.
                        let x = x.to_f32() * (1.0 / scale);
                        wanted[to + d] = F8E4M3::from_f32(x, Overflow::Saturate).to_bits();
                    }
                }
            }
            assert_eq!(download::<u8>(device, cache, wanted.len()), wanted);
        }
        let largest = |head: usize| {
            let row = |t: usize| k[(t * KV_HEADS + head) * DIM..][..DIM].iter();
            row(0).chain(row(2)).fold(0.0_f32, |most, x| most.max(x.to_f32().abs())).to_bits()
        };
        assert_eq!(download::<u32>(device, absmax, KV_HEADS), [largest(0), largest(1)]);
    });
}
