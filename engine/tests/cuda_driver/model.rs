//! The decoder itself on the device, against the CPU's and against itself.

use std::sync::Arc;

use attn_kernels::Batch;
use attn_kernels::cuda::{CudaBackend, CudaDevice};
use engine::cache::CacheLayout;
use engine::config::ModelConfig;
use engine::cuda::{CudaDecoder, CudaWeights, MODULES, head_dim};
use engine::model::{Executor, Step, Tap, Watches};
use engine::weights::Weights;
use fp8_format::ElementType;
use kv_scales::Checkpoint;
use serde_json::{Value, json};

use crate::support::models::{checkpoint, tensors, with};
use crate::support::{Random, Runner};

fn decoder(
    config: ModelConfig,
    weights: &Weights,
    layout: CacheLayout,
    num_blocks: usize,
) -> Box<dyn Executor> {
    let backend = Arc::new(CudaBackend::new(CudaDevice::with_modules(0, MODULES).unwrap()));
    let width = head_dim(backend.as_ref(), &config, layout.layers()).unwrap();
    let weights = CudaWeights::upload(backend.as_ref(), &config, weights, width).unwrap();
    let caches = layout.with_head_dim(width).into_layers(num_blocks);
    Box::new(CudaDecoder::new(config, Arc::new(weights), backend, caches).unwrap())
}

fn on_device(checkpoint: &Checkpoint, element: ElementType, block_size: usize) -> Runner {
    Runner::on(checkpoint, element, block_size, |config, weights, layout, num_blocks| {
        decoder(config, &weights, layout, num_blocks)
    })
}

fn embedded() -> Checkpoint {
    Checkpoint::from_memory(engine::assets::files()).unwrap()
}

fn sequences(lengths: &[usize]) -> Vec<Vec<u32>> {
    let mut random = Random(7);
    let mut sequence = |&len: &usize| (0..len).map(|_| (random.next() % 2048) as u32).collect();
    lengths.iter().map(&mut sequence).collect()
}

fn bits(logits: &[f32]) -> Vec<u32> {
    logits.iter().map(|x| x.to_bits()).collect()
}

/// The first sequence goes past the first chunk of attention, and is no multiple of anything below.
pub(crate) fn invariance() {
    let all = sequences(&[269, 1, 17, 258]);
    let alone = vec![all[0].clone()];
    for (element, schedules) in [
        (ElementType::F8E4M3, &[(&alone, 16, 1), (&alone, 64, 9), (&all, 16, 7)][..]),
        (ElementType::Bf16, &[(&all, 32, 128)]),
    ] {
        let want = bits(&on_device(&embedded(), element, 16).logits(&alone, 269)[0]);
        assert!(want.iter().all(|bits| f32::from_bits(*bits).is_finite()));
        for &(batch, block_size, chunk) in schedules {
            let got = on_device(&embedded(), element, block_size).logits(batch, chunk);
            let what = format!("{element}, {} sequences, chunks of {chunk}", batch.len());
            assert!(bits(&got[0]) == want, "{what}");
        }
    }
    // The comparison can fail: another dtype gives other bits.
    let short = vec![all[2].clone()];
    let of = |element| bits(&on_device(&embedded(), element, 16).logits(&short, 17)[0]);
    assert_ne!(of(ElementType::F16), of(ElementType::Bf16));
}

fn agrees(changes: &Value, extra: &[&str], dtype: &str) {
    let config = with(changes);
    let tensors = tensors(&config, dtype, extra);
    let checkpoint = checkpoint(&config, &tensors, dtype);
    let mut random = Random(11);
    let tokens: Vec<u32> = (0..37).map(|_| (random.next() % 50) as u32).collect();
    let alone = std::slice::from_ref(&tokens);
    let want = &Runner::new(&checkpoint, ElementType::F16, 8).logits(alone, 37)[0];
    let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
    for chunk in [5, 37] {
        let got = &on_device(&checkpoint, ElementType::F16, 8).logits(alone, chunk)[0];
        assert_eq!(got.len(), want.len());
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            // Q and P have 11 bits on the device, and these random models amplify.
            let error = (got - want).abs() / largest;
            assert!(error < 1e-3, "{changes}, chunk {chunk}, logit {i}: {got} for {want}");
        }
    }
}

/// As `tests/architectures.rs`, with heads of 8 and 16 and widths of 24 and 40, all of which the device
/// fills up.
pub(crate) fn architectures() {
    let rope = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    });
    let changes = json!({"rope_scaling": rope, "attention_bias": true, "mlp_bias": true});
    agrees(&changes, &["proj"], "BF16");
    agrees(&json!({"tie_word_embeddings": true}), &[], "F32");
    let changes = json!({"architectures": ["MistralForCausalLM"], "sliding_window": 6});
    agrees(&changes, &[], "F16");
    let changes = json!({
        "architectures": ["Qwen2ForCausalLM"], "sliding_window": 9, "use_sliding_window": true,
        "max_window_layers": 1,
    });
    agrees(&changes, &["q_proj", "k_proj", "v_proj"], "F32");
    let changes = json!({
        "architectures": ["Qwen3ForCausalLM"], "head_dim": 16, "num_attention_heads": 3,
        "num_key_value_heads": 1,
    });
    agrees(&changes, &["qk_norm"], "BF16");
}

/// Keeps everything that it is shown.
struct Seen {
    watches: Watches,
    calls: Vec<(&'static str, usize, Vec<f32>)>,
}

impl Tap for Seen {
    fn watches(&self) -> Watches {
        self.watches
    }

    fn qkv(&mut self, layer: usize, q: &[f32], k: &[f32], v: &[f32]) {
        for (name, values) in [("q", q), ("k", k), ("v", v)] {
            self.calls.push((name, layer, values.to_vec()));
        }
    }

    fn attention(&mut self, layer: usize, out: &[f32]) {
        self.calls.push(("attention", layer, out.to_vec()));
    }

    fn hidden(&mut self, layer: usize, x: &[f32]) {
        self.calls.push(("hidden", layer, x.to_vec()));
    }
}

pub(crate) fn taps() {
    let sequence = sequences(&[40]);
    let see = |mut runner: Runner, watches: Watches| {
        let mut seen = Seen { watches, calls: Vec::new() };
        runner.watched(&sequence, 40, &mut seen);
        seen.calls
    };
    let cpu = see(Runner::new(&embedded(), ElementType::F16, 16), Watches::ALL);
    let device = || on_device(&embedded(), ElementType::F16, 16);
    let all = see(device(), Watches::ALL);
    assert_eq!(all.len(), 4 * 5);
    for ((name, layer, got), (cpu_name, cpu_layer, want)) in all.iter().zip(&cpu) {
        assert_eq!((name, layer, got.len()), (cpu_name, cpu_layer, want.len()));
        let largest = want.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        let error = got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error <= 2e-3 * largest, "{name} of layer {layer}: {error} of {largest}");
    }
    let qkv = see(device(), Watches::QKV);
    let of_all = all.into_iter().filter(|(name, ..)| ["q", "k", "v"].contains(name));
    assert!(
        qkv.into_iter().eq(of_all),
        "what is watched is the same beside other things and alone"
    );
    assert!(see(device(), Watches::NOTHING).is_empty());
}

/// A decoder of the embedded model with eight blocks of 16 tokens in E5M2.
fn small() -> Box<dyn Executor> {
    let checkpoint = embedded();
    let config = ModelConfig::from_json(checkpoint.config().unwrap(), None).unwrap();
    let weights = Weights::load(&checkpoint, &config).unwrap();
    let layout = CacheLayout::uniform(&config, 16, ElementType::F8E5M2, ElementType::F8E5M2);
    decoder(config, &weights, layout, 8)
}

/// A row may be wanted more often than a step has rows: its logits come as often.
pub(crate) fn wanted_often() {
    let mut decoder = small();
    let mut batch = Batch::new();
    batch.push(1, 1, [1]);
    let step =
        Step { batch: &batch, tokens: &[5], positions: &[0], slots: &[16], logits_rows: &[0; 70] };
    let mut logits = Vec::new();
    decoder.step(&step, &mut (), &mut logits).unwrap();
    let width = decoder.vocab_size();
    assert_eq!(logits.len(), 70 * width);
    let first = bits(&logits[..width]);
    assert!(logits.chunks_exact(width).all(|row| bits(row) == first));
}

/// Two sequences share a context of two and a half blocks, until the second gets a copy of the half block:
/// its logits are the first one's, bit by bit, and what it writes does not reach the first.
pub(crate) fn copies() {
    let mut decoder = small();
    let tokens = &sequences(&[41])[0];
    let mut step = |tables: &[[u32; 3]], tokens: &[u32], positions: std::ops::Range<usize>| {
        let mut batch = Batch::new();
        let (mut slots, mut all, mut at) = (Vec::new(), Vec::new(), Vec::new());
        for table in tables {
            batch.push(positions.len(), positions.end, table.iter().copied());
            let slot = |p: usize| i64::from(table[p / 16]) * 16 + (p % 16) as i64;
            slots.extend(positions.clone().map(slot));
            all.extend_from_slice(tokens);
            at.extend(positions.clone().map(|p| p as u32));
        }
        let logits_rows: Vec<usize> = (0..all.len()).collect();
        let step = Step {
            batch: &batch,
            tokens: &all,
            positions: &at,
            slots: &slots,
            logits_rows: &logits_rows,
        };
        let mut logits = Vec::new();
        if let [_, [_, _, copy]] = tables {
            decoder.copy_blocks(&[(3, *copy)]).unwrap();
        }
        decoder.step(&step, &mut (), &mut logits).unwrap();
        logits
    };
    step(&[[1, 2, 3]], &tokens[..40], 0..40);
    let both = step(&[[1, 2, 3], [1, 2, 6]], &tokens[40..], 40..41);
    let (first, second) = both.split_at(both.len() / 2);
    assert_eq!(bits(first), bits(second));
    // The copy goes on with another token; the original, asked again, is as before.
    step(&[[1, 2, 6]], &[tokens[40] ^ 1], 40..41);
    assert_eq!(bits(&step(&[[1, 2, 3]], &tokens[40..], 40..41)), bits(first));
}
