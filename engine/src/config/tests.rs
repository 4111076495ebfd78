//! What a config may say, and what it may not.

use super::*;
use serde_json::json;

fn llama() -> Value {
    json!({
        "architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 64,
        "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "max_position_embeddings": 128, "vocab_size": 100, "rms_norm_eps": 1e-5,
    })
}

fn with(changes: &Value) -> Value {
    let mut config = llama();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    config
}

fn parse(changes: &Value) -> Result<ModelConfig, Error> {
    ModelConfig::from_json(&with(changes), None)
}

#[test]
fn absent_fields_are_those_of_transformers() {
    let config = parse(&json!({})).unwrap();
    assert_eq!((config.num_kv_heads, config.head_dim, config.group_size()), (4, 16, 1));
    assert_eq!(config.rope, Rope { theta: 10_000.0, scaling: RopeScaling::Default });
    assert!(!config.tie_word_embeddings && !config.qkv_bias && !config.qk_norm);
    assert_eq!((config.dtype, &config.eos_token_ids, config.bos_token_id), (None, &vec![], None));
    let qwen3 = parse(&json!({"architectures": ["Qwen3ForCausalLM"]})).unwrap();
    assert!(qwen3.qk_norm && qwen3.head_dim == 128);
    let qwen2 = parse(&json!({"architectures": null, "model_type": "qwen2"})).unwrap();
    assert!(qwen2.qkv_bias && !qwen2.o_bias);
    let mistral = json!({"architectures": ["MistralForCausalLM"], "max_position_embeddings": 9000});
    assert_eq!(parse(&mistral).unwrap().windows, [Some(4096); 3]);
}

#[test]
fn a_window_as_long_as_the_context_is_none() {
    for (window, want) in [(json!(128), None), (json!(127), Some(127)), (Value::Null, None)] {
        let mistral = json!({"architectures": ["MistralForCausalLM"], "sliding_window": window});
        assert_eq!(parse(&mistral).unwrap().windows, [want; 3]);
    }
    let layers = json!(["sliding_attention", "full_attention", "sliding_attention"]);
    let qwen = json!({
        "architectures": ["Qwen3ForCausalLM"], "use_sliding_window": true, "sliding_window": 8,
        "layer_types": layers,
    });
    assert_eq!(parse(&qwen).unwrap().windows, [Some(8), None, Some(8)]);
}

#[test]
fn both_forms_of_rope_and_dtype() {
    let old = json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}});
    let new = json!({"rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2}});
    let want = Rope { theta: 5e5, scaling: RopeScaling::Linear { factor: 2.0 } };
    assert_eq!(parse(&old).unwrap().rope, want);
    assert_eq!(parse(&new).unwrap().rope, want);
    for key in ["dtype", "torch_dtype"] {
        let config = parse(&json!({key: "bfloat16"})).unwrap();
        assert_eq!(config.dtype, Some(ElementType::Bf16));
    }
}

#[test]
fn generation_config_decides_what_ends_a_text() {
    let config = with(&json!({"eos_token_id": 2}));
    let eos = |generation: Option<Value>| {
        ModelConfig::from_json(&config, generation.as_ref()).unwrap().eos_token_ids
    };
    assert_eq!(eos(None), [2]);
    assert_eq!(eos(Some(json!({}))), [2]);
    assert_eq!(eos(Some(json!({"eos_token_id": [7, 8]}))), [7, 8]);
}

/// Every refusal names the field and the value.
#[test]
fn what_cannot_be_computed_is_refused() {
    for (changes, words) in [
        (json!({"architectures": ["GPT2LMHeadModel"]}), &["architectures", "GPT2LMHeadModel"][..]),
        (json!({"architectures": null}), &["architectures", "missing"]),
        (json!({"architectures": ["A", "B"]}), &["architectures", "one name"]),
        (json!({"hidden_act": "gelu"}), &["hidden_act", "gelu", "silu"]),
        (json!({"hidden_size": null}), &["hidden_size", "missing"]),
        (json!({"hidden_size": -1}), &["hidden_size", "-1"]),
        (json!({"hidden_size": 1u64 << 40}), &["hidden_size", "1099511627776"]),
        (json!({"hidden_size": 65}), &["num_attention_heads", "65", "4"]),
        (json!({"num_key_value_heads": 3}), &["num_key_value_heads", "4", "3"]),
        (json!({"head_dim": 7}), &["head_dim", "even", "7"]),
        (json!({"vocab_size": 0}), &["vocab_size", "0"]),
        (json!({"rms_norm_eps": 0}), &["rms_norm_eps", "0"]),
        (json!({"rope_theta": "x"}), &["rope_theta", "x"]),
        (json!({"rope_scaling": {"rope_type": "yarn"}}), &["rope_scaling.rope_type", "yarn"]),
        (json!({"rope_scaling": {"type": "dynamic"}}), &["rope_scaling", "dynamic"]),
        (json!({"rope_scaling": {"type": "linear"}}), &["rope_scaling.factor", "missing"]),
        (json!({"rope_scaling": [1]}), &["rope_scaling", "object"]),
        (
            json!({"rope_theta": 1.0, "rope_parameters": {"rope_theta": 2.0}}),
            &["rope_parameters.rope_theta", "2", "1"],
        ),
        (
            json!({"rope_parameters": {"full_attention": {"rope_theta": 1.0}}}),
            &["rope_parameters.full_attention"],
        ),
        (json!({"partial_rotary_factor": 0.5}), &["partial_rotary_factor", "0.5"]),
        (json!({"dtype": "float8_e4m3fn"}), &["dtype", "float8_e4m3fn"]),
        (json!({"tie_word_embeddings": "yes"}), &["tie_word_embeddings", "yes"]),
        (json!({"eos_token_id": "</s>"}), &["eos_token_id", "</s>"]),
        (json!({"quantization_config": {"quant_method": "gptq"}}), &["quant_method", "gptq"]),
        (json!({"quantization_config": {}}), &["quantization_config.quant_method", "missing"]),
    ] {
        let error = parse(&changes).unwrap_err().to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{changes}: {error}");
    }
    let not_an_object = ModelConfig::from_json(&json!([]), None).unwrap_err().to_string();
    assert!(not_an_object.contains("object"), "{not_an_object}");
}
