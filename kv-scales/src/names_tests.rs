//! Every spelling of the table, written out, and what must not be taken for one.

use super::*;

fn slot(name: &str) -> Option<(usize, Slot, bool, bool)> {
    match read(name) {
        Meaning::Scale(s) => Some((s.layer, s.slot, s.zero_point, s.deprecated)),
        _ => None,
    }
}

#[test]
fn every_spelling_is_read() {
    use Slot::{K, Prob, Q, V};
    for (rest, expected) in [
        ("self_attn.q_scale", Q),
        ("self_attn.k_scale", K),
        ("self_attn.v_scale", V),
        ("self_attn.attn.q_scale", Q),
        ("self_attn.attn.k_scale", K),
        ("self_attn.attn.v_scale", V),
        ("attn.q_scale", Q),
        ("attn.k_scale", K),
        ("attn.v_scale", V),
        ("self_attn.prob_scale", Prob),
        ("self_attn.attn.prob_scale", Prob),
        ("attn.prob_scale", Prob),
        ("prob_scale", Prob),
        ("self_attn.prob_output_scale", Prob),
        ("self_attn.mla_attn.q_scale", Q),
        ("self_attn.mla_attn.k_scale", K),
        ("self_attn.mla_attn.v_scale", V),
        ("self_attn.mla_attn.prob_scale", Prob),
        ("self_attn.k_proj.k_scale", K),
        ("self_attn.v_proj.v_scale", V),
        ("self_attn.qkv_proj.k_scale", K),
        ("self_attn.qkv_proj.v_scale", V),
        ("self_attn.qkqkv_proj.k_scale", K),
        ("self_attn.qkqkv_proj.v_scale", V),
        ("mixer.k_proj.k_scale", K),
        ("mixer.v_proj.v_scale", V),
        ("self_attn.q_proj.output_scale", Q),
        ("self_attn.k_proj.output_scale", K),
        ("self_attn.v_proj.output_scale", V),
        ("attn.k_proj.output_scale", K),
        ("mixer.v_proj.output_scale", V),
        ("self_attn.q.scale", Q),
        ("self_attn.k_cache.scale", K),
        ("self_attn.v_cache.scale", V),
    ] {
        for prefix in ["", "model.", "language_model.model.", "backbone.", "a.layers.3.b."] {
            let name = format!("{prefix}layers.12.{rest}");
            assert_eq!(slot(&name), Some((12, expected, false, false)), "{name}");
            let zero = name.strip_suffix("scale").unwrap().to_owned() + "zero_point";
            assert_eq!(slot(&zero), Some((12, expected, true, false)), "{zero}");
        }
    }
    for rest in ["self_attn.kv_scale", "attn.kv_scale", "kv_scale", "self_attn.attn.kv_scale"] {
        let name = format!("model.layers.0.{rest}");
        assert_eq!(slot(&name), Some((0, K, false, true)), "{name}");
    }
}

#[test]
fn earlier_rows_are_the_direct_ones() {
    let rank = |name: &str| match read(name) {
        Meaning::Scale(s) => s.rank,
        other => panic!("{name}: {other:?}"),
    };
    let direct = rank("layers.0.self_attn.k_scale");
    for other in ["self_attn.k_proj.k_scale", "self_attn.kv_scale", "self_attn.k_proj.output_scale"]
    {
        assert!(direct < rank(&format!("layers.0.{other}")), "{other}");
    }
}

#[test]
fn what_looks_like_a_kv_scale_and_is_in_no_table_is_reported() {
    for name in [
        "k_scale",
        "model.layers.x.self_attn.k_scale",
        "model.layers.007.self_attn.k_scale",
        "model.layers.99999999999.self_attn.k_scale",
        "model.mylayers.0.self_attn.k_scale",
        "transformer.h.0.attn.k_scale",
        "model.layers.0.cross_attn.k_scale",
        "model.layers.0.attention.k_scale",
        "model.layers.0.self_attn.k_proj.v_scale",
        "model.layers.0.self_attn.k_proj.q_scale",
        "model.layers.0.self_attn.q_proj.q_scale",
        "model.layers.0.self_attn.k_cache_scale",
        "model.layers.0.self_attn.kv_cache.scaling_factor",
        "transformer.layers.0.attention.kv_cache_scaling_factor",
        "transformer.layers.0.attention.kv_cache_rcp_scaling_factor",
        "model.layers.0.self_attn.k_bmm_quantizer._amax",
        "model.layers.0.self_attn.k_scale_inv",
        "model.layers.0.self_attn.qkv_proj.output_scale",
        "model.layers.0.self_attn.key_scale",
        "model.layers.0.self_attn.softmax_scale",
        "model.layers.0.mlp.k_scale",
        "model.layers.0.self_attn.k_scales",
    ] {
        assert_eq!(read(name), Meaning::Unknown, "{name}");
    }
}

#[test]
fn scales_of_linear_layers_and_learnt_parameters_are_none_of_ours() {
    for name in [
        "model.layers.0.self_attn.k_proj.weight_scale",
        "model.layers.0.self_attn.k_proj.weight_scale_inv",
        "model.layers.0.self_attn.k_proj.input_scale",
        "model.layers.0.self_attn.k_proj.weight_zero_point",
        "model.layers.0.self_attn.k_proj.scale",
        "model.layers.0.self_attn.o_proj.output_scale",
        "model.layers.0.mlp.down_proj.output_scale",
        "model.layers.0.self_attn.q_norm.scale",
        "model.layers.0.attn.wkv_b.scale",
        "model.layers.0.self_attn.logit_scale",
        "model.layers.0.layer_scale",
        "model.layers.0.self_attn.k_proj.weight",
        "model.layers.0.self_attn.scale",
        "model.embed_scale",
        "model.layers.0.attention.wq.qscale_act",
        "model.layers.0.self_attn.kv_b_proj.weight_scale",
    ] {
        assert_eq!(read(name), Meaning::NotAScale, "{name}");
    }
}

#[test]
fn scales_of_other_towers_are_known_as_such() {
    for name in [
        "vision_tower.encoder.layers.0.self_attn.k_scale",
        "model.visual.layers.3.attn.k_proj.output_scale",
        "audio_tower.layers.0.self_attn.weird.k_scale",
    ] {
        assert_eq!(read(name), Meaning::OtherTower, "{name}");
    }
}
