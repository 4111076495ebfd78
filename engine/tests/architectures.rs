//! Every architecture and option against a plain f64 forward pass written from the papers, on
//! small random checkpoints.

#[path = "architectures/naive.rs"]
mod naive;
mod support;

use fp8_format::ElementType;
use naive::Naive;
use serde_json::{Value, json};
use support::models::{checkpoint, tensors, with};
use support::{Random, Runner};

/// Tokens fed: longer than the windows below, several blocks of 8.
const TOKENS: usize = 37;

/// Engine and naive forward must agree to f32 rounding.
fn agrees(changes: &Value, extra: &[&str], dtype: &str, windows: &[Option<usize>]) {
    let config = with(changes);
    let tensors = tensors(&config, dtype, extra);
    let checkpoint = checkpoint(&config, &tensors, dtype);
    let mut random = Random(11);
    let tokens: Vec<u32> = (0..TOKENS).map(|_| (random.next() % 50) as u32).collect();
    let want = Naive { config: &config, tensors: &tensors, windows }.logits(&tokens);
    let mut runner = Runner::new(&checkpoint, ElementType::F32, 8);
    for chunk in [1, 5, TOKENS] {
        let got = runner.logits(std::slice::from_ref(&tokens), chunk);
        assert_eq!(got[0].len(), want.len());
        let largest = want.iter().fold(0.0f64, |m, x| m.max(x.abs()));
        for (i, (got, want)) in got[0].iter().zip(&want).enumerate() {
            let error = (f64::from(*got) - want).abs() / largest;
            assert!(error < 5e-6, "chunk {chunk}, logit {i}: {got} for {want}");
        }
    }
}

#[test]
fn llama_with_every_bias_and_llama3_rope() {
    let rope = json!({
        "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 16,
    });
    let changes = json!({"rope_scaling": rope, "attention_bias": true, "mlp_bias": true});
    agrees(&changes, &["proj"], "BF16", &[None, None]);
}

#[test]
fn llama_tied_with_the_new_rope_form() {
    let changes = json!({
        "rope_theta": null, "rope_parameters": {"rope_theta": 500.0, "rope_type": "default"},
        "tie_word_embeddings": true, "dtype": "float32",
    });
    agrees(&changes, &[], "F32", &[None, None]);
}

#[test]
fn mistral_with_its_window() {
    let changes = json!({"architectures": ["MistralForCausalLM"], "sliding_window": 6});
    agrees(&changes, &[], "F16", &[Some(6), Some(6)]);
    let changes = json!({"architectures": ["MistralForCausalLM"], "sliding_window": null});
    agrees(&changes, &[], "F16", &[None, None]);
}

#[test]
fn qwen2_with_biases_and_linear_rope() {
    let changes = json!({
        "architectures": ["Qwen2ForCausalLM"], "rope_scaling": {"type": "linear", "factor": 3.0},
        "sliding_window": 4, "use_sliding_window": false,
    });
    agrees(&changes, &["q_proj", "k_proj", "v_proj"], "BF16", &[None, None]);
}

#[test]
fn qwen2_with_a_window_in_its_later_layers() {
    let changes = json!({
        "architectures": ["Qwen2ForCausalLM"], "sliding_window": 9, "use_sliding_window": true,
        "max_window_layers": 1,
    });
    agrees(&changes, &["q_proj", "k_proj", "v_proj"], "F32", &[None, Some(9)]);
}

#[test]
fn qwen3_with_head_norms_and_a_head_of_its_own_width() {
    let changes = json!({
        "architectures": ["Qwen3ForCausalLM"], "head_dim": 16, "num_attention_heads": 3,
        "num_key_value_heads": 1,
    });
    agrees(&changes, &["qk_norm"], "BF16", &[None, None]);
}
