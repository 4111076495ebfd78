//! Q, K, V, the attention's output and the residual stream of stored layers.

use crate::reference::{Model, Reference, Tensors};
use crate::{Failure, Report};
use engine::model::Tap;

/// The layers that are stored.
const LAYERS: [usize; 3] = [0, 14, 29];
/// Largest difference over largest value.
const LIMIT: f64 = 1e-4;
/// Deeper layers of a quantized run see inputs that differ by codes that rounded the other way, so
/// only the size of the error can be compared: its root mean square against the stored one's.
const ERROR_SIZE: f64 = 0.25;

/// Everything one forward pass shows.
#[derive(Default)]
struct Seen {
    q: Vec<Vec<f32>>,
    k: Vec<Vec<f32>>,
    v: Vec<Vec<f32>>,
    out: Vec<Vec<f32>>,
    hidden: Vec<Vec<f32>>,
}

impl Tap for Seen {
    fn qkv(&mut self, _layer: usize, q: &[f32], k: &[f32], v: &[f32]) {
        self.q.push(q.into());
        self.k.push(k.into());
        self.v.push(v.into());
    }

    fn attention(&mut self, _layer: usize, out: &[f32]) {
        self.out.push(out.into());
    }

    fn hidden(&mut self, _layer: usize, x: &[f32]) {
        self.hidden.push(x.into());
    }
}

pub(crate) fn check(
    model: &Model,
    reference: &Reference,
    report: &mut Report,
) -> Result<(), Failure> {
    let stored = reference.tensors("attn_layers")?;
    let ids = stored.ids("ids")?;
    for (variant, dtype, scales) in [
        ("f32", "f32", None),
        ("e4m3_tensor", "fp8_e4m3", Some("compressed_tensors_tensor")),
        ("e4m3_head", "fp8_e4m3", Some("compressed_tensors_attn_head")),
    ] {
        let scales = scales.map(|name| reference.scales(name));
        let mut llm = model.load(dtype, scales.as_deref())?;
        let mut seen = Seen::default();
        llm.score_with(&ids, &mut seen)?;
        for layer in LAYERS {
            let (got, want) = (&seen.out[layer], stored.f32(&format!("{variant}/L{layer}/out"))?);
            let what = format!("{variant} layer {layer}: attention output");
            if variant == "f32" || layer == 0 {
                report.below(&what, relative(got, &want), LIMIT);
                continue;
            }
            let exact = stored.f32(&format!("f32/L{layer}/out"))?;
            let (got, want) = (rms_distance(got, &exact), rms_distance(&want, &exact));
            let what = format!("{what}: error {got:.3e}, stored {want:.3e}");
            report.below(&what, (got / want - 1.0).abs(), ERROR_SIZE);
        }
        if variant == "f32" {
            projections(&stored, &seen, ids.len(), report)?;
            residual(&stored, &seen, ids.len(), report)?;
        }
    }
    Ok(())
}

fn rms_distance(a: &[f32], b: &[f32]) -> f64 {
    let sum: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    (sum / a.len() as f64).sqrt()
}

fn projections(
    stored: &Tensors,
    seen: &Seen,
    tokens: usize,
    report: &mut Report,
) -> Result<(), Failure> {
    for layer in LAYERS {
        for (name, got) in [("q", &seen.q), ("k", &seen.k), ("v", &seen.v)] {
            let want = stored.f32(&format!("f32/L{layer}/{name}"))?;
            let got = heads_first(&got[layer], tokens, 64);
            report.below(&format!("f32 layer {layer}: {name}"), relative(&got, &want), LIMIT);
        }
    }
    Ok(())
}

/// The stored rows are the embedding, then every layer's output, the last one normed.
fn residual(
    stored: &Tensors,
    seen: &Seen,
    tokens: usize,
    report: &mut Report,
) -> Result<(), Failure> {
    let want = stored.f32("f32/hidden_last_token")?;
    let width = seen.hidden[0].len() / tokens;
    let mut worst = 0.0f64;
    for (layer, hidden) in seen.hidden.iter().enumerate().take(seen.hidden.len() - 1) {
        let got = &hidden[(tokens - 1) * width..];
        worst = worst.max(relative(got, &want[(layer + 1) * width..][..width]));
    }
    report.below("f32 residual stream of the last token, worst layer", worst, LIMIT);
    Ok(())
}

/// `[tokens][heads][head_dim]` → `[heads][tokens][head_dim]`.
fn heads_first(x: &[f32], tokens: usize, head_dim: usize) -> Vec<f32> {
    let heads = x.len() / tokens / head_dim;
    let head =
        |h: usize| (0..tokens).flat_map(move |t| &x[(t * heads + h) * head_dim..][..head_dim]);
    (0..heads).flat_map(head).copied().collect()
}

/// Largest difference over largest value; infinite where the lengths differ.
fn relative(got: &[f32], want: &[f32]) -> f64 {
    if got.len() != want.len() {
        return f64::INFINITY;
    }
    let largest = want.iter().fold(0.0f64, |m, x| m.max(f64::from(x.abs())));
    let pairs = got.iter().zip(want);
    let difference = pairs.fold(0.0f64, |m, (a, b)| {
        let d = (f64::from(*a) - f64::from(*b)).abs();
        if d.is_nan() { f64::INFINITY } else { m.max(d) }
    });
    difference / largest
}
