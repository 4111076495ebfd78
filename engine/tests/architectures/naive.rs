//! The forward pass in f64, without a cache, in the plainest way.

use crate::support::models::Tensors;
use serde_json::Value;

pub(crate) struct Naive<'a> {
    pub(crate) config: &'a Value,
    pub(crate) tensors: &'a Tensors,
    pub(crate) windows: &'a [Option<usize>],
}

impl Naive<'_> {
    fn n(&self, key: &str) -> usize {
        self.config[key].as_u64().unwrap() as usize
    }

    fn tensor(&self, name: &str) -> Option<&[f64]> {
        self.tensors.get(name).map(|t| t.values.as_slice())
    }

    fn linear(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.tensor(&format!("{name}.weight")).unwrap();
        let bias = self.tensor(&format!("{name}.bias"));
        let row = |(i, w): (usize, &[f64])| {
            w.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias.map_or(0.0, |b| b[i])
        };
        weight.chunks(x.len()).enumerate().map(row).collect()
    }

    fn norm(&self, name: &str, x: &[f64]) -> Vec<f64> {
        let weight = self.tensor(&format!("{name}.weight")).unwrap();
        let square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (square + self.config["rms_norm_eps"].as_f64().unwrap()).sqrt();
        x.iter().zip(weight).map(|(x, w)| x * scale * w).collect()
    }

    /// Norms the heads where there are norms, then turns them.
    fn heads(&self, norm: &str, x: &[f64], position: usize) -> Vec<f64> {
        let d = self.n("head_dim");
        let mut out = Vec::new();
        for head in x.chunks(d) {
            let head = match self.tensor(&format!("{norm}.weight")) {
                Some(_) => self.norm(norm, head),
                None => head.to_vec(),
            };
            let turn = |i: usize| {
                let angle = position as f64 * self.frequency(i % (d / 2));
                let other = if i < d / 2 { -head[i + d / 2] } else { head[i - d / 2] };
                head[i] * angle.cos() + other * angle.sin()
            };
            out.extend((0..d).map(turn));
        }
        out
    }

    fn frequency(&self, pair: usize) -> f64 {
        let rope = ["rope_parameters", "rope_scaling"].map(|key| &self.config[key]);
        let rope = rope.into_iter().find(|rope| rope.is_object()).unwrap_or(&Value::Null);
        let theta = [&self.config["rope_theta"], &rope["rope_theta"]];
        let theta = theta.into_iter().find_map(Value::as_f64).unwrap();
        let plain = theta.powf(-2.0 * pair as f64 / self.n("head_dim") as f64);
        let factor = rope["factor"].as_f64().unwrap_or(1.0);
        match rope["rope_type"].as_str().or(rope["type"].as_str()) {
            Some("linear") => plain / factor,
            Some("llama3") => {
                let f = |key: &str| rope[key].as_f64().unwrap();
                let turns = f("original_max_position_embeddings") * plain / std::f64::consts::TAU;
                let (low, high) = (f("low_freq_factor"), f("high_freq_factor"));
                // How much of the plain frequency is kept: none below `low` turns of the original
                // context, all above `high`.
                let kept = ((turns - low) / (high - low)).clamp(0.0, 1.0);
                (1.0 - kept) * plain / factor + kept * plain
            }
            _ => plain,
        }
    }

    fn attend(
        &self,
        q: &[Vec<f64>],
        k: &[Vec<f64>],
        v: &[Vec<f64>],
        at: usize,
        window: Option<usize>,
    ) -> Vec<f64> {
        let (d, heads) = (self.n("head_dim"), self.n("num_attention_heads"));
        let group = heads / self.n("num_key_value_heads");
        let first = window.map_or(0, |w| (at + 1).saturating_sub(w));
        let mut out = Vec::new();
        for head in 0..heads {
            let (q, kv) = (&q[at][head * d..][..d], head / group * d);
            let score = |t: usize| {
                let dot: f64 = q.iter().zip(&k[t][kv..]).map(|(a, b)| a * b).sum();
                (dot / (d as f64).sqrt()).exp()
            };
            let weights: Vec<f64> = (first..=at).map(score).collect();
            let total: f64 = weights.iter().sum();
            out.extend((0..d).map(|i| {
                let terms = weights.iter().zip(first..);
                terms.map(|(w, t)| w * v[t][kv + i]).sum::<f64>() / total
            }));
        }
        out
    }

    /// Logits of every position.
    pub(crate) fn logits(&self, tokens: &[u32]) -> Vec<f64> {
        let hidden = self.n("hidden_size");
        let embedding = self.tensor("model.embed_tokens.weight").unwrap();
        let embed = |t: &u32| embedding[*t as usize * hidden..][..hidden].to_vec();
        let mut x: Vec<Vec<f64>> = tokens.iter().map(embed).collect();
        for (layer, window) in self.windows.iter().enumerate() {
            let name = |part: &str| format!("model.layers.{layer}.{part}");
            let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
            for (position, x) in x.iter().enumerate() {
                let h = self.norm(&name("input_layernorm"), x);
                let project = |part: &str| self.linear(&name(&format!("self_attn.{part}")), &h);
                q.push(self.heads(&name("self_attn.q_norm"), &project("q_proj"), position));
                k.push(self.heads(&name("self_attn.k_norm"), &project("k_proj"), position));
                v.push(project("v_proj"));
            }
            for (at, x) in x.iter_mut().enumerate() {
                let out = self.attend(&q, &k, &v, at, *window);
                add(x, &self.linear(&name("self_attn.o_proj"), &out));
                let h = self.norm(&name("post_attention_layernorm"), x);
                let gate = self.linear(&name("mlp.gate_proj"), &h);
                let up = self.linear(&name("mlp.up_proj"), &h);
                let silu = |(g, u): (&f64, &f64)| g / (1.0 + (-g).exp()) * u;
                let inner: Vec<f64> = gate.iter().zip(&up).map(silu).collect();
                add(x, &self.linear(&name("mlp.down_proj"), &inner));
            }
        }
        let tied = self.config["tie_word_embeddings"] == true;
        let output = if tied { "model.embed_tokens" } else { "lm_head" };
        x.iter().flat_map(|x| self.linear(output, &self.norm("model.norm", x))).collect()
    }
}

fn add(x: &mut [f64], y: &[f64]) {
    for (x, y) in x.iter_mut().zip(y) {
        *x += y;
    }
}
