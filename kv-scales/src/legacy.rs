//! vLLM's old scale file, `kv_cache_scales.json`: one scale per layer, for K and V together.
//!
//! `{"model_type": …, "kv_cache": {"dtype": "float8_e4m3fn", "scaling_factor":
//! {"0": {"0": 0.02, …}, …}}}`: the outer key is the tensor-parallel rank, the inner the layer.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::model::ModelShape;
use crate::resolve::RawTensor;
use crate::resolved::ResolvedScales;
use crate::scale::ScaleValue;
use crate::{Checkpoint, Error, KvDtype, TensorDtype};

/// The file's name.
pub const LEGACY_FILE: &str = "kv_cache_scales.json";

/// The most ranks a file may claim.
const MAX_RANKS: usize = 1024;

/// What the file says, as tensors of the deprecated single form.
pub(crate) struct Legacy {
    pub(crate) dtype: KvDtype,
    pub(crate) tensors: Vec<RawTensor<'static>>,
}

pub(crate) fn read(checkpoint: &Checkpoint, model: &ModelShape) -> Result<Option<Legacy>, Error> {
    checkpoint.json(LEGACY_FILE)?.map(|file| parse(&file, model)).transpose()
}

fn bad(reason: String) -> Error {
    Error::BadLegacyFile { file: LEGACY_FILE, reason }
}

fn parse(file: &Value, model: &ModelShape) -> Result<Legacy, Error> {
    let cache = file.get("kv_cache").ok_or_else(|| bad("no `kv_cache`".into()))?;
    let dtype = match cache.get("dtype").and_then(Value::as_str) {
        Some("float8_e4m3fn") => KvDtype::Fp8E4M3,
        Some("float8_e5m2") => KvDtype::Fp8E5M2,
        other => {
            return Err(bad(format!(
                "dtype {}; supported are float8_e4m3fn, float8_e5m2",
                other.map_or("missing".into(), |name| format!("`{name}`"))
            )));
        }
    };
    let ranks = cache
        .get("scaling_factor")
        .and_then(Value::as_object)
        .ok_or_else(|| bad("no `kv_cache.scaling_factor` object".into()))?;
    if ranks.len() > MAX_RANKS {
        return Err(bad(format!("{} ranks, the limit is {MAX_RANKS}", ranks.len())));
    }
    let mut layers: BTreeMap<usize, BTreeMap<usize, f32>> = BTreeMap::new();
    for (rank_key, of_rank) in ranks {
        let rank = number(rank_key, "rank")?;
        if rank >= ranks.len() {
            return Err(bad(format!("rank {rank} of {} ranks", ranks.len())));
        }
        let of_rank = of_rank
            .as_object()
            .ok_or_else(|| bad(format!("rank {rank}: not an object of layers")))?;
        for (layer_key, value) in of_rank {
            let layer = number(layer_key, "layer")?;
            let value = value
                .as_f64()
                .ok_or_else(|| bad(format!("rank {rank}, layer {layer}: {value} is no number")))?;
            if layers.entry(layer).or_default().insert(rank, value as f32).is_some() {
                return Err(bad(format!("rank {rank}, layer {layer} stands there twice")));
            }
        }
    }
    let tensors = layers
        .into_iter()
        .map(|(layer, values)| {
            if values.len() != ranks.len() {
                let (found, all) = (values.len(), ranks.len());
                return Err(bad(format!("layer {layer} is in {found} of {all} ranks")));
            }
            let values: Vec<f32> = values.into_values().collect();
            // A layer that does not exist is reported as such when it is assigned.
            let heads = model.layers.get(layer).map_or(1, |l| l.num_kv_heads);
            tensor(layer, &values, heads)
        })
        .collect::<Result<_, _>>()?;
    Ok(Legacy { dtype, tensors })
}

fn number(key: &str, what: &str) -> Result<usize, Error> {
    key.parse().map_err(|_| bad(format!("{what} {}: not a number", crate::error::shown(key))))
}

/// Ranks that agree have one scale; ranks that do not have one for each of their heads.
fn tensor(layer: usize, ranks: &[f32], heads: usize) -> Result<RawTensor<'static>, Error> {
    let (shape, values) = if ranks.iter().all(|v| v.to_bits() == ranks[0].to_bits()) {
        (vec![], vec![ranks[0]])
    } else if heads.is_multiple_of(ranks.len()) {
        let each = heads / ranks.len();
        (vec![heads], ranks.iter().flat_map(|v| std::iter::repeat_n(*v, each)).collect())
    } else {
        return Err(bad(format!("layer {layer}: {heads} KV heads on {} ranks", ranks.len())));
    };
    Ok(RawTensor {
        name: format!("{LEGACY_FILE}:layers.{layer}.kv_scale"),
        dtype: TensorDtype::F32,
        shape,
        bytes: Some(Cow::Owned(values.iter().flat_map(|v| v.to_le_bytes()).collect())),
    })
}

/// A resolved set in the old form: one rank, per tensor, the larger of K's and V's scale, so that
/// neither side clips.
///
/// # Errors
/// When the dtype is not FP8 of one OCP format, or a scale is per head, dynamic or pending: the
/// form has no place for it.
pub fn export(scales: &ResolvedScales, model_type: Option<&str>) -> Result<Value, Error> {
    let dtypes = scales.dtypes();
    let dtype = match dtypes.k {
        KvDtype::Fp8E4M3 if dtypes.v == dtypes.k => "float8_e4m3fn",
        KvDtype::Fp8E5M2 if dtypes.v == dtypes.k => "float8_e5m2",
        _ => return Err(bad(format!("cannot hold {dtypes}"))),
    };
    if scales.platform() != crate::Platform::Ocp {
        return Err(bad("cannot hold scales resolved for the FNUZ platform".into()));
    }
    let mut layers = serde_json::Map::new();
    for layer in scales.layers().iter().filter(|l| l.dtypes == dtypes) {
        let (ScaleValue::PerTensor(k), ScaleValue::PerTensor(v)) = (&layer.k.value, &layer.v.value)
        else {
            return Err(bad(format!("layer {}: cannot hold anything but one value", layer.layer)));
        };
        layers.insert(layer.layer.to_string(), json!(k.max(*v)));
    }
    Ok(json!({
        "model_type": model_type,
        "kv_cache": {"dtype": dtype, "scaling_factor": {"0": layers}},
    }))
}
