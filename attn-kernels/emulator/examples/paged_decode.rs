//! Runs the decode kernels of a PTX file (`paged_decode_fp8_g4`, `paged_decode_mma_g4`: FP8 E4M3 keys
//! and values in blocks of 16 tokens, 4 query heads per KV head, head size 128) on the emulated
//! device, compares with f64, and prints how fast the emulator was:
//!
//! `cargo run --release -p cuda-emulator --example paged_decode -- FILE.ptx [threads] [checks|none]`

use cuda_emulator::{
    Checks, Device, DeviceConfig, DevicePtr, Error, LaunchConfig, Params, Profile,
};
use fp8_format::{F8E4M3, Overflow};
use std::error::Error as StdError;
use std::time::Instant;

const HEAD: usize = 128;
const BLOCK: usize = 16;
const GROUP: usize = 4;
const KV_HEADS: usize = 2;
const SPLITS: usize = 3;
const LENGTHS: [usize; 8] = [1, 37, 259, 300, 16, 17, 255, 512];
const MAX_BLOCKS: usize = 32;

/// Numbers from -1 to 1.
fn noise(seed: u64) -> impl FnMut() -> f32 {
    let mut x = seed;
    move || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        (x >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }
}

fn upload<T: Copy, const N: usize>(
    device: &Device,
    name: &str,
    data: &[T],
    bytes: impl Fn(T) -> [u8; N],
) -> Result<DevicePtr, Error> {
    let bytes: Vec<u8> = data.iter().flat_map(|&x| bytes(x)).collect();
    let pointer = device.alloc_named(name, bytes.len())?;
    device.write(pointer, &bytes)?;
    Ok(pointer)
}

fn main() -> Result<(), Box<dyn StdError>> {
    let mut args = std::env::args().skip(1);
    let path = args.next().ok_or("usage: paged_decode FILE.ptx [threads] [checks|none]")?;
    let threads = args.next().map_or(Ok(1), |n| n.parse())?;
    let checks =
        if args.next().as_deref() == Some("none") { Checks::none() } else { Checks::all() };
    let source = std::fs::read_to_string(&path)?;
    let target = source.lines().find_map(|l| l.strip_prefix(".target ")).unwrap_or("sm_90");
    let profile = Profile::by_name(target.trim()).ok_or("no profile for this target")?;
    let device = Device::new(DeviceConfig { profile, checks, threads, ..DeviceConfig::default() });
    let start = Instant::now();
    let module = device.load_ptx("decode.ptx", &source)?;
    println!("loaded in {:.1} ms", start.elapsed().as_secs_f64() * 1e3);

    let mut next = noise(0x1234_5678);
    let heads = KV_HEADS * GROUP;
    let blocks: usize = LENGTHS.iter().map(|n| n.div_ceil(BLOCK)).sum();
    let codes = |next: &mut dyn FnMut() -> f32| -> Vec<F8E4M3> {
        let mut code = || F8E4M3::from_f32(next() * 8.0, Overflow::Saturate);
        (0..blocks * KV_HEADS * BLOCK * HEAD).map(|_| code()).collect()
    };
    let (keys, values) = (codes(&mut next), codes(&mut next));
    let (k_scale, v_scale) = ([0.05f32, 0.03], [0.02f32, 0.04]);
    let queries: Vec<f32> = (0..LENGTHS.len() * heads * HEAD).map(|_| next()).collect();
    let mut table = vec![-1i32; LENGTHS.len() * MAX_BLOCKS];
    let mut used = 0;
    for (s, n) in LENGTHS.iter().enumerate() {
        for b in 0..n.div_ceil(BLOCK) {
            // 7 and the number of blocks have no common factor: a permutation.
            table[s * MAX_BLOCKS + b] = ((used * 7 + 3) % blocks) as i32;
            used += 1;
        }
    }
    let kc = upload(&device, "k_cache", &keys, |x| [x.to_bits()])?;
    let vc = upload(&device, "v_cache", &values, |x| [x.to_bits()])?;
    let ks = upload(&device, "k_scale", &k_scale, f32::to_le_bytes)?;
    let vs = upload(&device, "v_scale", &v_scale, f32::to_le_bytes)?;
    let tables = upload(&device, "block_table", &table, i32::to_le_bytes)?;
    let lengths = upload(&device, "lengths", &LENGTHS, |n| (n as i32).to_le_bytes())?;
    let scale = std::f32::consts::LOG2_E / (HEAD as f32).sqrt();

    for kernel in ["paged_decode_fp8_g4", "paged_decode_mma_g4"] {
        let Ok(decode) = module.kernel(kernel) else { continue };
        let matrix = kernel.contains("mma");
        let rows = LENGTHS.len() * heads;
        let part_o = device.alloc_named("part_o", rows * SPLITS * HEAD * 4)?;
        let part_ml = device.alloc_named("part_ml", rows * SPLITS * 8)?;
        let out = device.alloc_named("out", rows * HEAD * 2)?;
        let mut params = Params::new().ptr(part_o).ptr(part_ml);
        // What the kernel reads of the queries, as numbers.
        let rounded: Vec<f64> = if matrix {
            let codes: Vec<F8E4M3> =
                queries.iter().map(|x| F8E4M3::from_f32(x * 64.0, Overflow::Saturate)).collect();
            let q = upload(&device, "q", &codes, |x| [x.to_bits()])?;
            let scales = vec![1.0f32 / 64.0; rows];
            params = params.ptr(q).ptr(upload(&device, "q_scale", &scales, f32::to_le_bytes)?);
            codes.iter().map(|c| f64::from(c.to_f32()) / 64.0).collect()
        } else {
            let halves: Vec<half::f16> = queries.iter().map(|&x| half::f16::from_f32(x)).collect();
            params = params.ptr(upload(&device, "q", &halves, half::f16::to_le_bytes)?);
            halves.iter().map(|h| h.to_f64()).collect()
        };
        let params = params.ptr(kc).ptr(vc).ptr(ks).ptr(vs).ptr(tables).ptr(lengths);
        let params = params.u32(MAX_BLOCKS as u32).u32(KV_HEADS as u32).u32(SPLITS as u32);
        let params = params.f32(scale).finish();
        let shape = LaunchConfig {
            grid: [LENGTHS.len() as u32, KV_HEADS as u32, SPLITS as u32],
            block: [if matrix { 32 } else { 128 }, 1, 1],
            shared_bytes: 0,
        };
        let mut best = f64::INFINITY;
        let mut report = device.launch(&decode, shape, &params)?;
        for _ in 0..5 {
            let start = Instant::now();
            report = device.launch(&decode, shape, &params)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let merge = module.kernel("merge_splits")?;
        let merge_shape = LaunchConfig {
            grid: [LENGTHS.len() as u32, heads as u32, 1],
            block: [HEAD as u32, 1, 1],
            shared_bytes: 0,
        };
        let merge_params = Params::new().ptr(out).ptr(part_o).ptr(part_ml).u32(SPLITS as u32);
        device.launch(&merge, merge_shape, &merge_params.finish())?;
        let mut bytes = vec![0; rows * HEAD * 2];
        device.read(out, &mut bytes)?;
        let mut worst = 0.0f64;
        for (s, &n) in LENGTHS.iter().enumerate() {
            for h in 0..heads {
                let kv = h / GROUP;
                let row = s * heads + h;
                let at = |p: usize| {
                    let block = table[s * MAX_BLOCKS + p / BLOCK] as usize;
                    ((block * KV_HEADS + kv) * BLOCK + p % BLOCK) * HEAD
                };
                let q = &rounded[row * HEAD..(row + 1) * HEAD];
                let dot = |p: usize| -> f64 {
                    q.iter().zip(&keys[at(p)..]).map(|(q, k)| q * f64::from(k.to_f32())).sum()
                };
                let k_scale = f64::from(k_scale[kv]) / (HEAD as f64).sqrt();
                let logits: Vec<f64> = (0..n).map(|p| dot(p) * k_scale).collect();
                let max = logits.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = logits.iter().map(|l| (l - max).exp()).collect();
                let total: f64 = weights.iter().sum();
                for d in 0..HEAD {
                    let sum: f64 =
                        (0..n).map(|p| weights[p] * f64::from(values[at(p) + d].to_f32())).sum();
                    let expected = sum / total * f64::from(v_scale[kv]);
                    let i = (row * HEAD + d) * 2;
                    let got = half::f16::from_le_bytes([bytes[i], bytes[i + 1]]).to_f64();
                    worst = worst.max((got - expected).abs());
                }
            }
        }
        let c = &report.counters;
        println!(
            "{kernel}: max error {worst:.2e}; {:.2} ms, {:.1} M warp and {:.0} M thread instructions/s",
            best * 1e3,
            c.warp_instructions as f64 / best / 1e6,
            c.thread_instructions as f64 / best / 1e6
        );
        println!(
            "  {} warp instructions, loads {:?}, shared {:?}, mma {}, barriers {}, divergent {}",
            c.warp_instructions,
            c.global_load,
            c.shared_load,
            c.mma,
            c.barriers,
            c.divergent_branches
        );
    }
    Ok(())
}
