//! The decision table, case by case: `tests/table.txt` says how to read it.

mod common;

use std::borrow::Cow;

use common::{Tensor, f32s, file, llama, scheme, shard};
use kv_scales::{
    Checkpoint, Error, LayerScales, Platform, QFallback, ResolveOptions, ScaleValue, Slot, resolve,
};
use serde_json::json;

/// One line of the table.
struct Case<'a> {
    line: usize,
    dtype: &'a str,
    loaded: &'a str,
    flags: &'a str,
    expected: &'a str,
    warnings: &'a str,
}

fn cases(text: &str) -> Vec<Case<'_>> {
    let rows =
        text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty() && !l.starts_with('#'));
    rows.map(|(i, line)| {
        let mut columns = line.split('|').map(str::trim);
        let mut next = || columns.next().unwrap_or_else(|| panic!("line {}: {line}", i + 1));
        let (dtype, loaded, flags) = (next(), next(), next());
        Case { line: i + 1, dtype, loaded, flags, expected: next(), warnings: next() }
    })
    .collect()
}

/// `k=0.5`, `k=[1,2]`, `kz=0`, `self_attn.qkv_proj.k_scale=0.5`, `/any.name=0.5`, `k:F64=…`.
fn tensor(token: &str) -> Tensor {
    let (key, value) = token.split_once('=').unwrap();
    let (key, dtype) = key.split_once(':').unwrap_or((key, "F32"));
    let name = match key {
        "q" | "k" | "v" | "prob" => format!("model.layers.0.self_attn.{key}_scale"),
        "qz" | "kz" | "vz" => format!("model.layers.0.self_attn.{}_zero_point", &key[..1]),
        absolute if absolute.starts_with('/') => absolute[1..].into(),
        relative => format!("model.layers.0.{relative}"),
    };
    let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
    let values: Vec<f32> = list.unwrap_or(value).split(',').map(|v| v.parse().unwrap()).collect();
    let shape: &[usize] = if list.is_some() { &[values.len(), 1, 1] } else { &[] };
    let mut tensor = f32s(&name, shape, &values);
    match dtype {
        "F32" => {}
        "BF16" => tensor.3 = values.iter().flat_map(|v| v.to_le_bytes()[2..].to_vec()).collect(),
        "F64" => tensor.3 = values.iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        "I8" => tensor.3 = values.iter().map(|v| *v as i8 as u8).collect(),
        other => panic!("{other}"),
    }
    (
        tensor.0,
        match dtype {
            "F32" => "F32",
            "BF16" => "BF16",
            "F64" => "F64",
            _ => "I8",
        },
        tensor.2,
        tensor.3,
    )
}

fn setup(case: &Case<'_>) -> (Checkpoint, ResolveOptions) {
    let mut options = ResolveOptions { dtype: case.dtype.parse().unwrap(), ..Default::default() };
    let mut config = llama(1);
    let mut metadata = vec![];
    let mut files: Vec<(String, Cow<'static, [u8]>)> = vec![];
    for flag in case.flags.split_whitespace() {
        match flag.split_once('=').unwrap_or((flag, "")) {
            ("calc", _) => options.calculate_kv_scales = true,
            ("fnuz", _) => options.platform = Platform::Fnuz,
            ("lenient", _) => options.strict = false,
            ("rescale", _) => options.rescale = true,
            ("q_is_k", _) => options.q_fallback = QFallback::KScale,
            ("use_q", _) => options.math_uses.q = true,
            ("use_prob", _) => options.math_uses.prob = true,
            ("skip", what) => options.skip_layers = what.parse().unwrap(),
            ("config", kind) => {
                let (kind, strategy) = kind.split_once(':').unwrap_or((kind, "tensor"));
                config["quantization_config"] = scheme(kind, strategy);
            }
            ("window", _) => config["sliding_window"] = json!(64),
            ("no_attention", _) => config["layer_types"] = json!(["conv"]),
            ("mtp", _) => config["num_nextn_predict_layers"] = json!(1),
            ("modelopt", algo) => {
                let side = json!({"quantization": {"kv_cache_quant_algo": algo}});
                files.push(file("hf_quant_config.json", side.to_string()));
            }
            ("target", name) => metadata.push(("kv_cache_dtype", name)),
            ("legacy", value) => {
                let value: f32 = value.parse().unwrap();
                let side = json!({"kv_cache": {"dtype": "float8_e4m3fn",
                    "scaling_factor": {"0": {"0": value}}}});
                files.push(file("kv_cache_scales.json", side.to_string()));
            }
            (other, _) => panic!("line {}: unknown flag {other}", case.line),
        }
    }
    let tensors: Vec<Tensor> = case.loaded.split_whitespace().map(tensor).collect();
    files.push(file("config.json", config.to_string()));
    files.push(file("model.safetensors", shard(&tensors, &metadata)));
    (Checkpoint::from_memory(files).unwrap(), options)
}

fn shown(layer: &LayerScales, slot: Slot) -> String {
    let scale = layer.get(slot);
    let value = match &scale.value {
        ScaleValue::PerTensor(value) => value.to_string(),
        ScaleValue::PerHead(values) => {
            let values: Vec<String> = values.iter().map(f32::to_string).collect();
            format!("[{}]", values.join(","))
        }
        ScaleValue::PerTokenHead => "-".into(),
        ScaleValue::Pending => "?".into(),
    };
    format!("{slot}={value}:{}", scale.origin.name())
}

fn error_name(error: &Error) -> String {
    let debug = format!("{error:?}");
    debug.split([' ', '{', '(']).next().unwrap_or_default().into()
}

#[test]
fn every_case_of_the_table() {
    let table = include_str!("table.txt");
    let cases = cases(table);
    assert!(cases.len() >= 150, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let (checkpoint, options) = setup(case);
        let result = resolve(&checkpoint, &options);
        let mut complain = |what: String| {
            wrong.push(format!("line {}: {}", case.line, what));
        };
        if let Some(expected) = case.expected.strip_prefix("error ") {
            match &result {
                Ok(scales) => complain(format!("expected {expected}, got {:?}", scales.layers())),
                Err(error) if error_name(error) == expected => {
                    // The text names what the last column says.
                    for word in case.warnings.split_whitespace() {
                        if !error.to_string().contains(word) {
                            complain(format!("no {word} in: {error}"));
                        }
                    }
                }
                Err(error) => complain(format!("expected {expected}, got {error}")),
            }
            continue;
        }
        let scales = match result {
            Ok(scales) => scales,
            Err(error) => {
                complain(format!("{error}"));
                continue;
            }
        };
        // Unlisted, q and prob are the default.
        let expected: Vec<&str> = case.expected.split_whitespace().collect();
        for slot in Slot::ALL {
            let prefix = format!("{slot}=");
            let default = format!("{slot}=1:default");
            let listed = expected.iter().find(|e| e.starts_with(&prefix));
            let listed = listed.copied().unwrap_or(&default);
            let got = shown(&scales.layers()[0], slot);
            if got != listed {
                complain(format!("expected {listed}, got {got}"));
            }
        }
        let mut codes: Vec<&str> = scales.warnings().iter().map(|w| w.code.name()).collect();
        codes.sort_unstable();
        let mut listed: Vec<&str> = case.warnings.split_whitespace().collect();
        listed.sort_unstable();
        if codes != listed {
            complain(format!("expected warnings {listed:?}, got {codes:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}
