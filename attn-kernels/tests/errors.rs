//! Bad input is refused with the value and the limit, before anything changes.

use attn_kernels::{
    AttentionShape, AttnMath, Backend, Batch, CacheShape, CpuBackend, CpuBuffer, Error, HeadAbsmax,
    KvCache, KvScale, LayerScales, ReferenceBackend, Variant, merge_states,
};
use fp8_format::ElementType::*;

const SHAPE: CacheShape = CacheShape::new(4, 16, 2, 8, F8E4M3, F8E4M3);

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

fn cache() -> (CpuBackend, KvCache<CpuBuffer>) {
    let cpu = CpuBackend::new();
    let cache = cpu.new_cache(SHAPE).unwrap();
    (cpu, cache)
}

#[test]
fn cache_shapes() {
    let refuse = |change: fn(&mut CacheShape)| {
        let mut shape = SHAPE;
        change(&mut shape);
        let cpu = message(CpuBackend::new().new_cache(shape.clone()));
        assert_eq!(message(ReferenceBackend.new_cache(shape)), cpu);
        cpu
    };
    assert_eq!(refuse(|s| s.num_blocks = 0), "num_blocks is 0, must be at least 1");
    assert_eq!(refuse(|s| s.num_kv_heads = 0), "num_kv_heads is 0, must be at least 1");
    let limits = "must be a power of two from 8 to 256";
    for (bs, got) in [
        (4, refuse(|s| s.block_size = 4)),
        (24, refuse(|s| s.block_size = 24)),
        (512, refuse(|s| s.block_size = 512)),
    ] {
        assert_eq!(got, format!("block_size is {bs}, {limits}"));
    }
    let limits = "must be a multiple of 8, at most 1024";
    for (d, got) in [
        (0, refuse(|s| s.head_dim = 0)),
        (12, refuse(|s| s.head_dim = 12)),
        (1032, refuse(|s| s.head_dim = 1032)),
    ] {
        assert_eq!(got, format!("head_dim is {d}, {limits}"));
    }
    assert!(refuse(|s| s.num_blocks = usize::MAX).contains("block ids are 32 bits"));
    assert!(refuse(|s| (s.num_blocks, s.num_kv_heads) = (1 << 30, 1 << 30)).contains("overflows"));
    // It can be addressed, but no machine has it.
    let mut shape = SHAPE;
    (shape.num_blocks, shape.num_kv_heads) = (u32::MAX as usize, 1 << 14);
    assert!(message(CpuBackend::new().new_cache(shape)).contains("cannot allocate"));
}

#[test]
fn plans() {
    let (cpu, _) = cache();
    let plan = |attention: &AttentionShape, batch: &Batch| {
        let got = message(cpu.plan(&SHAPE, attention, batch));
        assert_eq!(message(ReferenceBackend.plan(&SHAPE, attention, batch)), got);
        got
    };
    let with = |change: fn(&mut Variant)| {
        let mut variant = Variant::default();
        change(&mut variant);
        plan(&AttentionShape::new(4, 0.3).with_variant(variant), &Batch::new())
    };
    let none = Batch::new();
    assert_eq!(plan(&AttentionShape::new(0, 0.3), &none), "num_heads is 0, must be at least 1");
    assert_eq!(
        plan(&AttentionShape::new(3, 0.3), &none),
        "num_heads is 3, must be a multiple of num_kv_heads, 2"
    );
    assert_eq!(
        plan(&AttentionShape::new(4, f32::NAN), &none),
        "softmax_scale is NaN, must be finite"
    );
    assert_eq!(with(|v| v.window = Some(0)), "window is 0, must be at least 1");
    assert_eq!(with(|v| v.soft_cap = Some(0.0)), "soft_cap is 0, must be finite and positive");
    assert_eq!(with(|v| v.sinks = Some(Box::new([1.0]))), "sinks has 1 values, must have 4");
    assert_eq!(
        with(|v| v.alibi_slopes = Some(Box::new([1.0, 1.0, f32::INFINITY, 1.0]))),
        "alibi_slopes is inf, must be finite"
    );
    assert_eq!(
        with(|v| (v.causal, v.window) = (false, Some(9))),
        "window cannot be combined with causal = false"
    );
    let push = |q_len, kv_len, table: &[u32]| {
        let mut batch = Batch::new();
        batch.push(1, 1, [3]);
        batch.push(q_len, kv_len, table.iter().copied());
        plan(&AttentionShape::new(4, 0.3), &batch)
    };
    assert_eq!(push(3, 2, &[1]), "sequence 1: q_len 3 exceeds kv_len 2 (kv_len counts them)");
    assert_eq!(push(1, 33, &[1, 2]), "sequence 1: kv_len 33 needs 3 blocks, its table has 2");
    assert_eq!(
        push(1, 32, &[1, 4]),
        "sequence 1, block table entry 1: block 4 is out of range, the cache has 4 blocks"
    );
    // Entries past the last needed one are padding.
    let mut batch = Batch::new();
    batch.push(1, 16, [1, u32::MAX]);
    assert!(cpu.plan(&SHAPE, &AttentionShape::new(4, 0.3), &batch).is_ok());
}

#[test]
fn scales() {
    let (cpu, mut cache) = cache();
    let refuse = |cache: &mut KvCache<CpuBuffer>, scales: LayerScales| {
        message(cpu.append(cache, &scales, &[1.0; 16], &[1.0; 16], &[0]))
    };
    let k = |k| LayerScales { k, ..LayerScales::default() };
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let got = refuse(&mut cache, k(KvScale::PerTensor(bad)));
        assert_eq!(got, format!("k_scale is {bad}, must be finite and positive"));
    }
    let two_of_three = KvScale::PerHead(Box::new([1.0, 2.0, 3.0]));
    assert_eq!(refuse(&mut cache, k(two_of_three)), "k_scale has 3 values, must have 2");
    let prob = LayerScales { prob: Some(0.0), ..LayerScales::default() };
    assert!(refuse(&mut cache, prob).starts_with("prob_scale is 0"));
    assert!(cache.k().bytes().iter().all(|&b| b == 0), "a refused append stored something");

    let mut plain = cpu.new_cache(CacheShape::new(4, 16, 2, 8, F16, F8E4M3)).unwrap();
    let got = refuse(&mut plain, k(KvScale::PerTensor(2.0)));
    assert_eq!(got, "k_scale is 2 but f16 storage takes no scale (must be 1)");

    let mut batch = Batch::new();
    batch.push(1, 1, [1]);
    let plan = cpu.plan(&SHAPE, &AttentionShape::new(4, 0.3), &batch).unwrap();
    let q = LayerScales { q: KvScale::PerHead(Box::new([1.0; 2])), ..LayerScales::default() };
    let mut out = [7.0; 32];
    let got = message(cpu.attention(&plan, &cache, &q, &[0.0; 32], &mut out, None));
    assert_eq!(got, "q_scale has 2 values, must have 4");
    assert_eq!(out, [7.0; 32], "a refused call wrote something");
}

#[test]
fn tensors_and_slots() {
    let (cpu, mut cache) = cache();
    let s = LayerScales::default();
    let mut append = |k: usize, v: usize, slots: &[i64]| {
        message(cpu.append(&mut cache, &s, &vec![1.0; k], &vec![1.0; v], slots))
    };
    let shape = "(slots × num_kv_heads × head_dim)";
    assert_eq!(append(15, 16, &[0]), format!("k has 15 elements, must have 16 {shape}"));
    assert_eq!(append(32, 16, &[0, 1]), format!("v has 16 elements, must have 32 {shape}"));
    // The first token is fine, and must not be stored either.
    assert_eq!(append(32, 32, &[0, 64]), "slots[1] is 64, the cache has 64 slots");
    assert!(cache.k().bytes().iter().all(|&b| b == 0), "a refused append stored something");
    cpu.append(&mut cache, &s, &[1.0; 32], &[1.0; 32], &[-1, i64::MIN]).unwrap();
    assert!(cache.k().bytes().iter().all(|&b| b == 0), "a negative slot was stored");

    let copies = message(cpu.copy_blocks(&mut cache, &[(0, 1), (1, 4)]));
    assert_eq!(copies, "copies[1] destination: block 4 is out of range, the cache has 4 blocks");

    let mut batch = Batch::new();
    batch.push(1, 1, [1]);
    let plan = cpu.plan(&SHAPE, &AttentionShape::new(4, 0.3), &batch).unwrap();
    let call = |cache: &KvCache<CpuBuffer>, q: usize, out: usize, lse: usize| {
        let (mut out, mut lse) = (vec![7.0; out], vec![7.0; lse]);
        let got = message(cpu.attention(&plan, cache, &s, &vec![0.0; q], &mut out, Some(&mut lse)));
        assert!(out.iter().chain(&lse).all(|&x| x == 7.0), "a refused call wrote something");
        got
    };
    let shape = "(rows × num_heads × head_dim)";
    assert_eq!(call(&cache, 31, 32, 4), format!("q has 31 elements, must have 32 {shape}"));
    assert_eq!(call(&cache, 32, 64, 4), format!("out has 64 elements, must have 32 {shape}"));
    assert_eq!(call(&cache, 32, 32, 5), "lse has 5 elements, must have 4 (rows × num_heads)");
    let other = cpu.new_cache(CacheShape::new(5, 16, 2, 8, F8E4M3, F8E4M3)).unwrap();
    assert!(call(&other, 32, 32, 4).starts_with("plan was made for CacheShape { num_blocks: 4"));

    assert!(message(merge_states(0, &mut [], &mut [], &[], &[])).contains("head_dim is 0"));
    let lens = message(merge_states(8, &mut [0.0; 16], &mut [0.0; 2], &[0.0; 8], &[0.0; 2]));
    assert_eq!(lens, "other_out has 8 elements, must have 16 (rows × head_dim)");
}

#[test]
fn the_last_of_two_tokens_for_a_slot_wins() {
    let (cpu, mut cache) = cache();
    let k: Vec<f32> = [1.0, 2.0].into_iter().flat_map(|x| [x; 16]).collect();
    cpu.append(&mut cache, &LayerScales::default(), &k, &k, &[20, 20]).unwrap();
    assert_eq!(cache.k().bytes()[20 * 16..21 * 16], [0x40; 16]);
}

#[test]
fn arithmetic_and_dynamic_scales() {
    let (cpu, mut cache) = cache();
    let plan = |shape: &CacheShape, math| {
        let attention = AttentionShape::new(4, 0.3).with_math(math);
        let got = message(cpu.plan(shape, &attention, &Batch::new()));
        assert_eq!(message(ReferenceBackend.plan(shape, &attention, &Batch::new())), got);
        got
    };
    let types = |k, v| CacheShape::new(4, 16, 2, 8, k, v);
    for (math, k, v, needs) in [
        (AttnMath::Fp8Q, F16, F8E4M3, "K in FP8"),
        (AttnMath::Fp8Q, Int8, Int8, "K in FP8"),
        (AttnMath::Fp8, F8E4M3, Bf16, "K and V in FP8"),
        (AttnMath::Int8, Int8, F8E4M3, "K and V in INT8"),
    ] {
        let want = format!("attn math {math} needs {needs}; they are {k} and {v}");
        assert_eq!(plan(&types(k, v), math), want);
    }
    let unknown = "unknown attn math \"fp9\" (default, fp8_q, fp8, int8)";
    assert_eq!(message("fp9".parse::<AttnMath>()), unknown);
    assert!(AttnMath::ALL.iter().all(|math| math.name().parse() == Ok(*math)));

    let unquantized = types(F8E4M3, F16).with_per_token_head(true, true);
    let want = "V is stored as f16: only quantized types have scales per token and head";
    assert_eq!(message(cpu.new_cache(unquantized.clone())), want);
    assert_eq!(message(ReferenceBackend.new_cache(unquantized)), want);

    let mut own = cpu.new_cache(SHAPE.with_per_token_head(true, false)).unwrap();
    let scales =
        LayerScales { k: KvScale::PerHead(Box::new([1.0, 0.5])), ..LayerScales::default() };
    let want = "k_scale is 0.5 but scales are per token and head, written by append (must be 1)";
    assert_eq!(message(cpu.append(&mut own, &scales, &[1.0; 16], &[1.0; 16], &[0])), want);
    assert!(own.k().bytes().iter().all(|&b| b == 0), "a refused append stored something");
    assert!(cpu.append(&mut cache, &scales, &[1.0; 16], &[1.0; 16], &[0]).is_ok());
}

#[test]
fn gather_swap_and_copies() {
    let (cpu, mut cache) = cache();
    let s = LayerScales::default();
    let gather = |table: &[u32], tokens, k, v| {
        let (mut k, mut v) = (vec![7.0; k], vec![7.0; v]);
        let got = message(cpu.gather(&cache, &s, table, tokens, &mut k, &mut v));
        assert!(k.iter().chain(&v).all(|&x| x == 7.0), "a refused call wrote something");
        got
    };
    assert!(gather(&[1], 0..17, 272, 272).contains("kv_len 17 needs 2 blocks, its table has 1"));
    assert!(gather(&[1, 4], 10..17, 112, 112).starts_with("block table entry 1: block 4"));
    let shape = "(tokens × num_kv_heads × head_dim)";
    assert_eq!(gather(&[1], 0..2, 31, 32), format!("k has 31 elements, must have 32 {shape}"));
    assert_eq!(gather(&[1], 0..2, 32, 33), format!("v has 33 elements, must have 32 {shape}"));

    let bytes = SHAPE.block_bytes();
    let mut host = vec![7; 2 * bytes];
    let want = format!("host has {bytes} elements, must have {} (blocks × block_bytes)", 2 * bytes);
    assert_eq!(message(cpu.swap_out(&cache, &[1, 2], &mut host[..bytes])), want);
    assert!(message(cpu.swap_out(&cache, &[1, 4], &mut host)).starts_with("blocks[1]: block 4"));
    assert!(host.iter().all(|&b| b == 7), "a refused call wrote something");
    assert_eq!(message(cpu.swap_in(&mut cache, &[1, 2], &host[..bytes])), want);
    assert!(message(cpu.swap_in(&mut cache, &[1, 4], &host)).starts_with("blocks[1]: block 4"));
    assert!(cache.k().bytes().iter().all(|&b| b == 0), "a refused call stored something");

    let mut larger = SHAPE;
    larger.num_blocks = 6;
    let mut larger = cpu.new_cache(larger).unwrap();
    assert!(cpu.copy_blocks_from(&mut larger, &cache, &[(3, 5)]).is_ok());
    let got = message(cpu.copy_blocks_from(&mut cache, &larger, &[(5, 3), (0, 4)]));
    assert!(got.starts_with("copies[1] destination: block 4"), "{got}");
    let got = message(cpu.copy_blocks_from(&mut larger, &cache, &[(4, 5)]));
    assert!(got.starts_with("copies[0] source: block 4"), "{got}");
    let other = cpu.new_cache(CacheShape::new(4, 16, 2, 8, F8E4M3, F8E5M2)).unwrap();
    let got = message(cpu.copy_blocks_from(&mut cache, &other, &[]));
    assert!(got.starts_with("blocks of CacheShape { num_blocks: 4"), "{got}");

    let mut seen = HeadAbsmax::new(3);
    let got = cpu.append_observed(&mut cache, &s, &[1.0; 16], &[1.0; 16], &[0], &mut seen);
    assert_eq!(message(got), "absmax of K has 3 values, must have 2");
    assert!(cache.k().bytes().iter().all(|&b| b == 0), "a refused append stored something");
    // What a backend does not have it refuses, and says so.
    let slow = ReferenceBackend.new_cache(SHAPE).unwrap();
    let got = message(ReferenceBackend.swap_out(&slow, &[1], &mut host));
    assert!(got.contains("ReferenceBackend") && got.contains("swap_out"), "{got}");
}
