//! Perplexity and per-token log-probabilities of the passages, per KV dtype.

use crate::reference::{Model, Reference};
use crate::{Failure, Report};
use attn_kernels::AttnMath;

/// A stored variant, what reproduces it, and how near its perplexity must come. `ct_attn_tensor` is
/// compressed-tensors with Q in FP8 too.
const VARIANTS: [(&str, &str, Option<&str>, AttnMath, f64); 8] = [
    ("f32", "f32", None, AttnMath::Default, 1e-3),
    ("bf16kv", "bf16", None, AttnMath::Default, 3e-3),
    ("e4m3_one", "fp8_e4m3", None, AttnMath::Default, 1e-2),
    ("e4m3_tensor", "fp8_e4m3", Some("compressed_tensors_tensor"), AttnMath::Default, 1e-2),
    ("e4m3_head", "fp8_e4m3", Some("compressed_tensors_attn_head"), AttnMath::Default, 1e-2),
    ("e5m2_one", "fp8_e5m2", None, AttnMath::Default, 1e-2),
    ("int8_tensor", "int8", Some("compressed_tensors_tensor"), AttnMath::Default, 1e-2),
    ("ct_attn_tensor", "fp8_e4m3", Some("compressed_tensors_attn_tensor"), AttnMath::Fp8Q, 1e-2),
];

/// How near the size of the quantization's error must come to the stored one.
const ERROR_SIZE: f64 = 0.15;

pub(crate) fn check(
    model: &Model,
    reference: &Reference,
    report: &mut Report,
) -> Result<(), Failure> {
    let table = reference.json("perplexity.json")?;
    let number = |value: &serde_json::Value| value.as_f64().ok_or("perplexity.json: no number");
    let exact = reference.tensors("f32")?;
    for (variant, dtype, scales, math, limit) in VARIANTS {
        let scales = scales.map(|name| reference.scales(name));
        let mut llm = model.load_with(dtype, scales.as_deref(), math)?;
        let mut distances = Vec::new();
        for passage in reference.passages()? {
            let name = &passage.name;
            let scored = llm.score(&passage.ids)?;
            let perplexity = scored.nll().exp();
            let want = number(&table[variant]["perplexity"][name])?;
            let what = format!("{variant} {name}: perplexity {perplexity:.4}, stored {want:.4}");
            report.below(&what, (perplexity / want - 1.0).abs(), limit);
            let logprobs = exact.f32(&format!("{name}/logprob"))?;
            let pairs = scored.logprobs.iter().zip(&logprobs);
            distances.extend(pairs.map(|(a, b)| (a - f64::from(*b)).abs()));
            if variant == "f32" {
                let same = scored.argmax == exact.ids(&format!("{name}/argmax"))?;
                report.holds(&format!("f32 {name}: the stored argmax at every position"), same);
            }
        }
        let distance = distances.iter().sum::<f64>() / distances.len() as f64;
        if variant == "f32" {
            report.below("f32: mean |Δ logprob|", distance, 2e-3);
            continue;
        }
        // Token by token two correct runs differ: one code that rounds the other way changes the
        // next layer's input, and so its codes. What must agree is how large the error is.
        let want = number(&table[variant]["mean_abs_dlogp"])?;
        let what = format!("{variant}: mean |Δ logprob| from f32 {distance:.4}, stored {want:.4}");
        report.below(&what, (distance / want - 1.0).abs(), ERROR_SIZE);
    }
    Ok(())
}
