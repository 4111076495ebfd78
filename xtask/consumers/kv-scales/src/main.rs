//! An auditor of checkpoints: which KV scales does this one hold, and does an engine use them all?

use std::borrow::Cow;

use kv_scales::{Checkpoint, GivenShape, KvDtype, ResolveOptions, ScaleValue, resolve};

fn main() -> Result<(), kv_scales::Error> {
    let options = ResolveOptions {
        dtype: KvDtype::Fp8E4M3.into(),
        model_dtype: Some(KvDtype::Bf16),
        shape: GivenShape { num_layers: Some(1), num_heads: Some(4), num_kv_heads: Some(2) },
        ..ResolveOptions::default()
    };
    let scales = resolve(&checkpoint("model.layers.0.self_attn.k_scale", 0.25)?, &options)?;
    let layer = &scales.layers()[0];
    assert_eq!(layer.k.value, ScaleValue::PerTensor(0.25));
    assert_eq!(layer.k.origin.tensor(), Some("model.layers.0.self_attn.k_scale"));
    // A lone k scale serves V as well, and is reported as a duplicate.
    assert_eq!((layer.v.value.values(), layer.v.origin.name()), (&[0.25][..], "duplicated"));

    let stray = checkpoint("model.layers.7.self_attn.k_scale", 0.25)?;
    let refused = resolve(&stray, &options).expect_err("there is one layer, so this is a leftover");
    let broken = checkpoint("model.layers.0.self_attn.k_scale", f32::NAN)?;
    let garbage = resolve(&broken, &options).expect_err("a scale is a number above zero");
    println!("k_scale {:?}; refused: {refused}; {garbage}", layer.k.value.values());
    Ok(())
}

/// A checkpoint in memory that holds one f32 scale.
fn checkpoint(tensor: &str, value: f32) -> Result<Checkpoint, kv_scales::Error> {
    let header = format!(r#"{{"{tensor}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.extend(value.to_le_bytes());
    Checkpoint::from_memory(vec![("model.safetensors".to_owned(), Cow::Owned(file))])
}
