//! One execution of the fuzz target: an input becomes the files of a checkpoint in memory, which
//! is opened, resolved, and used. Shared by the fuzzer and by the tests that keep its findings.
//!
//! An input is a row of sections, each begun by 0x01 and a letter: `c` config.json, `i` the
//! index, `h` hf_quant_config.json, `l` kv_cache_scales.json, `s` a shard by its header (length
//! and data are added), `r` a shard as it is, `o` bytes that choose the options.

use std::borrow::Cow;

use kv_scales::writer::ScaleSet;
use kv_scales::{
    Checkpoint, GivenShape, KvDtype, KvDtypes, LayerAbsmax, OnTheFlyRange, Platform, QFallback,
    ResolveOptions, ResolvedScales, ScaleValue, SkipLayers, Slot, TensorDtype, resolve,
};

type Files = Vec<(String, Cow<'static, [u8]>)>;

/// The most memory that an input of `files` bytes may take at any time: a fixed part, which the
/// limits on layers and heads give, and a part that grows with the files.
pub(crate) fn memory_bound(files: usize) -> usize {
    (4 << 20) + 64 * files
}

/// Runs one input and gives back how many bytes of files it stands for. Panics when
/// the crate does, or when a result is not what it promises.
pub(crate) fn run(input: &[u8]) -> usize {
    let (files, options) = parse(input);
    let size = files.iter().map(|file| file.1.len()).sum();
    if let Ok(checkpoint) = Checkpoint::from_memory(files) {
        use_all(&checkpoint, &options);
    }
    size
}

fn use_all(checkpoint: &Checkpoint, options: &ResolveOptions) {
    for tensor in checkpoint.tensors() {
        let shard = &checkpoint.shards()[tensor.shard];
        let end = tensor.offset.checked_add(tensor.len).expect("offsets are checked");
        assert!(end <= shard.len && tensor.offset >= 8);
        if tensor.len < 64 {
            assert_eq!(checkpoint.read(tensor).expect("inside").len() as u64, tensor.len);
        }
    }
    match resolve(checkpoint, options) {
        Ok(scales) => check(scales, options),
        Err(error) => assert!(error.to_string().len() < 8192, "{error}"),
    }
}

fn check(scales: ResolvedScales, options: &ResolveOptions) {
    for layer in scales.layers() {
        for slot in Slot::ALL {
            let value = &layer.get(slot).value;
            assert!(value.values().iter().all(|v| v.is_finite() && *v > 0.0));
            let dtype = if slot == Slot::K { layer.dtypes.k } else { layer.dtypes.v };
            if matches!(slot, Slot::K | Slot::V) {
                assert_eq!(*value == ScaleValue::PerTokenHead, dtype.is_per_token_head());
                assert!(dtype.is_quantized() || value.is_one());
            }
            assert!(*value != ScaleValue::Pending || options.calculate_kv_scales);
        }
    }
    if let Some(layer) = scales.layers().first() {
        let _ = layer.q_per_kv_head();
        let _ = (layer.shard(0, 1).expect("one rank has all"), layer.shard(1, 2));
    }
    let _ = (scales.report(), scales.source(), scales.fingerprint());
    let _ = ScaleSet::from_resolved(&scales, TensorDtype::Bf16);
    let _ = kv_scales::legacy::export(&scales, None);
    if let Ok(pending) = scales.into_pending() {
        let layers = pending.get().layers().len();
        let seen = vec![LayerAbsmax { q: 1.0, k: 2.0, v: 3.0 }; layers];
        let fixed = pending.fix(&seen, &OnTheFlyRange::default()).expect("good absmax");
        assert!(!fixed.has_pending());
    }
}

fn parse(input: &[u8]) -> (Files, ResolveOptions) {
    let mut files: Files = Vec::new();
    let mut options = ResolveOptions::default();
    for section in input.split(|b| *b == 1).skip(1) {
        let Some((kind, body)) = section.split_first() else { continue };
        let shards = files.iter().filter(|f| f.0.ends_with(".safetensors")).count();
        let shard = match shards {
            0 => "model.safetensors".to_owned(),
            n => format!("model-{n}.safetensors"),
        };
        let (name, bytes) = match kind {
            b'c' => ("config.json".to_owned(), body.to_vec()),
            b'i' => ("model.safetensors.index.json".to_owned(), body.to_vec()),
            b'h' => ("hf_quant_config.json".to_owned(), body.to_vec()),
            b'l' => ("kv_cache_scales.json".to_owned(), body.to_vec()),
            b's' => (shard, with_data(body)),
            b'r' => (shard, body.to_vec()),
            b'o' => {
                options = parse_options(body);
                continue;
            }
            _ => continue,
        };
        files.push((name, Cow::Owned(bytes)));
    }
    (files, options)
}

/// A header with its length before it and, behind it, as much data as its offsets speak of; the
/// data is a pattern that makes valid scales and, at times, invalid ones.
fn with_data(header: &[u8]) -> Vec<u8> {
    let json: serde_json::Value = serde_json::from_slice(header).unwrap_or_default();
    let ends = json.as_object().into_iter().flatten();
    let ends = ends.filter_map(|(_, info)| info.get("data_offsets")?.get(1)?.as_u64());
    let data = ends.filter(|end| *end <= 4096).max().unwrap_or(0);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header);
    let broken = header.len().is_multiple_of(7);
    file.extend((0..data).map(|i| if broken { i as u8 } else { [0x80, 0x3f][i as usize % 2] }));
    file
}

fn parse_options(bytes: &[u8]) -> ResolveOptions {
    let byte = |i: usize| usize::from(*bytes.get(i).unwrap_or(&0));
    let dtype = |i: usize| KvDtype::ALL[byte(i) % KvDtype::ALL.len()];
    let flag = |bit: usize| byte(2) >> bit & 1 == 1;
    let given = |i: usize| (byte(i) > 1).then(|| byte(i) % 16);
    ResolveOptions {
        dtype: KvDtypes { k: dtype(0), v: dtype(1) },
        calculate_kv_scales: flag(0),
        strict: !flag(6),
        platform: if flag(1) { Platform::Fnuz } else { Platform::Ocp },
        rescale: flag(2),
        q_fallback: if flag(3) { QFallback::KScale } else { QFallback::One },
        skip_layers: SkipLayers {
            layers: if flag(4) { vec![byte(3)] } else { vec![] },
            sliding_window: flag(5),
        },
        shape: GivenShape { num_layers: given(4), num_heads: given(5), num_kv_heads: given(6) },
        ..Default::default()
    }
}
