//! The paged kernels: append against `fp8-format`, partials and outputs of decode against f64.

use cuda_emulator::{Device, DevicePtr, Module};
use fp8_format::{F8E4M3, Overflow};
use half::{bf16, f16};

use super::built::{ALL, each};
use crate::common::launch::{Arg, download, launch, uninit, upload};
use crate::common::values::Random;

const DIM: usize = 128;
const BLOCK: usize = 16;
const GROUP: usize = 4;

/// A cache with holes and shuffled blocks, and the queries of one step.
pub(crate) struct Case {
    lengths: Vec<usize>,
    heads: usize,
    splits: usize,
    /// The blocks of each sequence.
    tables: Vec<Vec<usize>>,
    /// Codes, in the NHD layout.
    k: Vec<u8>,
    v: Vec<u8>,
    k_scale: Vec<f32>,
    v_scale: Vec<f32>,
    /// [sequence][q head][dim]
    q: Vec<f16>,
}

const SCALE_LOG2: f32 = 0.088_388_35 * std::f32::consts::LOG2_E;

impl Case {
    pub(crate) fn new(lengths: &[usize], heads: usize, splits: usize) -> Self {
        let mut random = Random(lengths.iter().sum::<usize>() as u64 + heads as u64);
        let blocks: usize = lengths.iter().map(|l| l.div_ceil(BLOCK)).sum();
        // Physical blocks backwards, every third left out.
        let mut free = (0..blocks * 2 + 3).rev().filter(|b| b % 3 != 1);
        let tables: Vec<Vec<usize>> = lengths
            .iter()
            .map(|l| (0..l.div_ceil(BLOCK)).map(|_| free.next().expect("a block")).collect())
            .collect();
        let bytes = (blocks * 2 + 3) * BLOCK * heads * DIM;
        let mut codes = || -> Vec<u8> {
            (0..bytes)
                .map(|_| F8E4M3::from_f32(random.unit() * 3.0, Overflow::Saturate).to_bits())
                .collect()
        };
        let (k, v) = (codes(), codes());
        let q = (0..lengths.len() * heads * GROUP * DIM)
            .map(|_| f16::from_f32(random.unit() * 2.0))
            .collect();
        let k_scale = (0..heads).map(|h| 0.5 + h as f32 * 0.25).collect();
        let v_scale = (0..heads).map(|h| 1.75 - h as f32 * 0.5).collect();
        Self { lengths: lengths.to_vec(), heads, splits, tables, k, v, k_scale, v_scale, q }
    }

    fn row(&self, seq: usize, token: usize, head: usize) -> usize {
        let block = self.tables[seq][token / BLOCK];
        ((block * BLOCK + token % BLOCK) * self.heads + head) * DIM
    }

    fn max_blocks(&self) -> usize {
        self.tables.iter().map(Vec::len).max().unwrap_or(0).max(1)
    }

    /// The slots that hold tokens are written; the rest of the cache stays unwritten memory, which no
    /// kernel may read.
    fn upload_cache(&self, device: &Device, name: &str, codes: &[u8]) -> DevicePtr {
        let pointer = uninit::<u8>(device, name, codes.len());
        for (seq, &length) in self.lengths.iter().enumerate() {
            for token in 0..length {
                for head in 0..self.heads {
                    let at = self.row(seq, token, head);
                    let to = pointer.offset(at as u64);
                    device.write(to, &codes[at..at + DIM]).expect("in bounds");
                }
            }
        }
        pointer
    }

    /// Maximum (log2) and denominator, and output times denominator, of a range of tokens; in f64.
    fn reference(
        &self,
        seq: usize,
        q_head: usize,
        tokens: std::ops::Range<usize>,
    ) -> (f64, f64, Vec<f64>) {
        let head = q_head / GROUP;
        let value = |code: u8| f64::from(F8E4M3::from_bits(code).to_f32());
        let q = &self.q[(seq * self.heads * GROUP + q_head) * DIM..][..DIM];
        let scores: Vec<f64> = tokens
            .clone()
            .map(|token| {
                let k = &self.k[self.row(seq, token, head)..][..DIM];
                let dot: f64 = q.iter().zip(k).map(|(q, &k)| q.to_f64() * value(k)).sum();
                dot * f64::from(self.k_scale[head]) * f64::from(SCALE_LOG2)
            })
            .collect();
        let best = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mut o = vec![0.0; DIM];
        let mut d = 0.0;
        for (token, score) in tokens.zip(&scores) {
            let p = (score - best).exp2();
            d += p;
            let v = &self.v[self.row(seq, token, head)..][..DIM];
            for (o, &v) in o.iter_mut().zip(v) {
                *o += p * value(v) * f64::from(self.v_scale[head]);
            }
        }
        (best, d, o)
    }

    /// Tokens of a split.
    fn part(&self, seq: usize, split: usize) -> std::ops::Range<usize> {
        let blocks = self.lengths[seq].div_ceil(BLOCK);
        let each = blocks.div_ceil(self.splits);
        let at = |block: usize| (block.min(blocks) * BLOCK).min(self.lengths[seq]);
        at(split * each)..at((split + 1) * each)
    }

    /// Uploads everything: the arguments of the decode kernels, and the partials among them.
    pub(crate) fn arguments(&self, device: &Device) -> (Vec<Arg>, (DevicePtr, DevicePtr)) {
        let rows = self.lengths.len() * self.heads * GROUP * self.splits;
        let part_o = uninit::<f32>(device, "part_o", rows * DIM);
        let part_md = uninit::<f32>(device, "part_md", rows * 2);
        let width = self.max_blocks();
        let tables: Vec<i32> = self
            .tables
            .iter()
            .flat_map(|t| (0..width).map(|i| t.get(i).map_or(-1, |&b| b as i32)))
            .collect();
        let lengths: Vec<i32> = self.lengths.iter().map(|&l| l as i32).collect();
        let q: Vec<u16> = self.q.iter().map(|x| x.to_bits()).collect();
        let args = vec![
            Arg::Ptr(part_o),
            Arg::Ptr(part_md),
            Arg::Ptr(upload(device, "q", &q)),
            Arg::Ptr(self.upload_cache(device, "k_cache", &self.k)),
            Arg::Ptr(self.upload_cache(device, "v_cache", &self.v)),
            Arg::Ptr(upload(device, "k_scale", &self.k_scale)),
            Arg::Ptr(upload(device, "v_scale", &self.v_scale)),
            Arg::Ptr(upload(device, "tables", &tables)),
            Arg::Ptr(upload(device, "lengths", &lengths)),
            Arg::U32(width as u32),
            Arg::U32(self.heads as u32),
            Arg::U32(self.splits as u32),
            Arg::F32(SCALE_LOG2),
        ];
        (args, (part_o, part_md))
    }

    pub(crate) fn grid(&self) -> [u32; 3] {
        [self.lengths.len() as u32, self.heads as u32, self.splits as u32]
    }

    fn launch(
        &self,
        device: &Device,
        module: &Module,
        kernel: &str,
        threads: u32,
    ) -> (DevicePtr, DevicePtr) {
        let (args, partials) = self.arguments(device);
        launch(device, module, kernel, self.grid(), [threads, 1, 1], 0, &args)
            .unwrap_or_else(|error| panic!("{kernel}: {error}"));
        partials
    }

    /// Compares the f32 partials; `loss` is the relative error of a probability.
    pub(crate) fn check_partials(
        &self,
        device: &Device,
        (part_o, part_md): (DevicePtr, DevicePtr),
        loss: f64,
    ) {
        let rows = self.lengths.len() * self.heads * GROUP;
        let o = download::<f32>(device, part_o, rows * self.splits * DIM);
        let md = download::<f32>(device, part_md, rows * self.splits * 2);
        for row in 0..rows {
            let (seq, q_head) = (row / (self.heads * GROUP), row % (self.heads * GROUP));
            for split in 0..self.splits {
                let tokens = self.part(seq, split);
                let at = row * self.splits + split;
                let (m, d) = (f64::from(md[at * 2]), f64::from(md[at * 2 + 1]));
                if tokens.is_empty() {
                    assert_eq!((m, d), (f64::NEG_INFINITY, 0.0), "an empty split");
                    continue;
                }
                let (want_m, want_d, want_o) = self.reference(seq, q_head, tokens.clone());
                let place = format!("sequence {seq}, head {q_head}, split {split} {tokens:?}");
                assert!((m - want_m).abs() < 2e-5 * want_m.abs().max(1.0), "{place}: {m} {want_m}");
                // Both on the reference's maximum.
                let shift = (m - want_m).exp2();
                assert!((d * shift - want_d).abs() < 1e-4 * want_d, "{place}: {d} {want_d}");
                let most = want_d * 3.0 * f64::from(self.v_scale[q_head / GROUP].abs());
                for (dim, want) in want_o.iter().enumerate() {
                    let got = f64::from(o[at * DIM + dim]) * shift;
                    assert!((got - want).abs() < loss * most, "{place}, {dim}: {got} {want}");
                }
            }
        }
    }

    fn check_merged(&self, device: &Device, module: &Module, (o, md): (DevicePtr, DevicePtr)) {
        let heads = self.heads * GROUP;
        let out = uninit::<u16>(device, "out", self.lengths.len() * heads * DIM);
        let args = [Arg::Ptr(out), Arg::Ptr(o), Arg::Ptr(md), Arg::U32(self.splits as u32)];
        let grid = [self.lengths.len() as u32, heads as u32, 1];
        launch(device, module, "merge", grid, [128, 1, 1], 0, &args).expect("a clean merge");
        let got = download::<u16>(device, out, self.lengths.len() * heads * DIM);
        for (row, got) in got.chunks(DIM).enumerate() {
            let (seq, q_head) = (row / heads, row % heads);
            let length = self.lengths[seq];
            if length == 0 {
                assert!(got.iter().all(|&x| x == 0), "an empty sequence gives zeros");
                continue;
            }
            let (_, d, o) = self.reference(seq, q_head, 0..length);
            for (got, want) in got.iter().zip(&o) {
                let (got, want) = (f16::from_bits(*got).to_f64(), want / d);
                assert!((got - want).abs() < 1.5e-3, "sequence {seq}, head {q_head}: {got} {want}");
            }
        }
    }
}

fn cases() -> [Case; 3] {
    [
        Case::new(&[1, 15, 16, 17, 0, 100], 2, 1),
        Case::new(&[255, 33, 256], 1, 4),
        Case::new(&[64], 3, 3),
    ]
}

#[test]
fn decode_on_cuda_cores() {
    each("paged_decode", &ALL, |device, module| {
        for case in cases() {
            let partials = case.launch(device, module, "decode", 128);
            case.check_partials(device, partials, 2e-6);
            case.check_merged(device, module, partials);
        }
    });
}

#[test]
fn decode_on_tensor_cores() {
    each("paged_mma", &ALL, |device, module| {
        for case in cases() {
            let partials = case.launch(device, module, "decode_mma", 32);
            // Probabilities are rounded to halves before the second product.
            case.check_partials(device, partials, 6e-4);
        }
    });
}

#[test]
fn append() {
    each("paged_decode", &ALL, |device, module| {
        let (seqs, heads, blocks) = (5usize, 3usize, 4usize);
        let mut random = Random(21);
        let slots = [17i64, 0, -1, 63, 16];
        let mut rows = || -> Vec<bf16> {
            (0..seqs * heads * DIM)
                .map(|i| match i % 97 {
                    0 => bf16::from_f32(1e4),
                    1 => bf16::from_f32(-0.0),
                    _ => bf16::from_f32(random.unit() * random.unit() * 4.0),
                })
                .collect()
        };
        let (k, v) = (rows(), rows());
        let (k_scale, v_scale) = ([0.5f32, 2.0, 0.037], [1.5f32, 0.25, 3.0]);
        let bits = |x: &[bf16]| x.iter().map(|x| x.to_bits()).collect::<Vec<u16>>();
        let bytes = blocks * BLOCK * heads * DIM;
        let fresh = |name: &str| upload(device, name, &vec![0xaau8; bytes]);
        let (k_cache, v_cache) = (fresh("k_cache"), fresh("v_cache"));
        let absmax = upload(device, "absmax", &[0u32; 3]);
        let args = [
            Arg::Ptr(k_cache),
            Arg::Ptr(v_cache),
            Arg::Ptr(upload(device, "k", &bits(&k))),
            Arg::Ptr(upload(device, "v", &bits(&v))),
            Arg::Ptr(upload(device, "k_scale", &k_scale)),
            Arg::Ptr(upload(device, "v_scale", &v_scale)),
            Arg::Ptr(upload(device, "slots", &slots)),
            Arg::Ptr(absmax),
            Arg::U32(heads as u32),
        ];
        let grid = [seqs as u32, heads as u32, 1];
        launch(device, module, "append", grid, [64, 1, 1], 0, &args).expect("a clean append");
        check_codes(device, k_cache, &k, &k_scale, &slots, bytes);
        check_codes(device, v_cache, &v, &v_scale, &slots, bytes);
        for (head, got) in download::<f32>(device, absmax, 3).iter().enumerate() {
            let of = |seq: usize| {
                k[(seq * heads + head) * DIM..][..DIM].iter().map(|x| x.to_f32().abs())
            };
            let want = (0..seqs).filter(|&s| slots[s] >= 0).flat_map(of).fold(0.0, f32::max);
            assert_eq!(*got, want, "head {head}");
        }
    });
}

/// Every byte of the cache: the codes of `fp8-format` where a token went, untouched elsewhere.
fn check_codes(
    device: &Device,
    cache: DevicePtr,
    x: &[bf16],
    scales: &[f32],
    slots: &[i64],
    bytes: usize,
) {
    let mut want = vec![0xaau8; bytes];
    let heads = scales.len();
    for (seq, &slot) in slots.iter().enumerate().filter(|(_, slot)| **slot >= 0) {
        for head in 0..heads {
            let inverse = 1.0 / scales[head];
            for dim in 0..DIM {
                let value = x[(seq * heads + head) * DIM + dim].to_f32() * inverse;
                want[(slot as usize * heads + head) * DIM + dim] =
                    F8E4M3::from_f32(value, Overflow::Saturate).to_bits();
            }
        }
    }
    let got = download::<u8>(device, cache, bytes);
    let wrong = (0..bytes).find(|&i| got[i] != want[i]);
    assert_eq!(wrong.map(|i| (i, got[i], want[i])), None);
}
