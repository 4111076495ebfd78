//! Everything that can go wrong in this crate, each with the name, the value and the limit.

use std::path::PathBuf;

use crate::checkpoint::TensorDtype;
use crate::dtype::KvDtype;
use crate::names::Slot;

/// Why a checkpoint could not be opened, its scales not be resolved, or not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the fields are named in each message, which is the document")]
pub enum Error {
    // --- opening -------------------------------------------------------------------------------
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{} is not a directory; give the directory of a Hugging Face checkpoint", path.display())]
    NotADirectory { path: PathBuf },
    #[error("no checkpoint in {place}: neither `*.safetensors` nor `config.json`")]
    NoCheckpoint { place: String },
    #[error("{file}: {format} is not supported, only safetensors checkpoints are")]
    UnsupportedFormat { file: String, format: &'static str },
    #[error("the file {} is given twice", shown(file))]
    DuplicateFile { file: String },
    #[error("{} is not a plain file name", shown(file))]
    BadFileName { file: String },
    #[error("{file}: {len} bytes, the limit is {limit}")]
    FileTooLarge { file: String, len: u64, limit: u64 },
    #[error("{file}: cut off: {need} bytes at offset {offset} are not there")]
    Truncated { file: String, offset: u64, need: u64 },
    #[error("{file}: not valid JSON: {reason}", reason = shown_plain(reason))]
    BadJson { file: String, reason: String },
    #[error("{file}: bad index: {reason}", reason = shown_plain(reason))]
    BadIndex { file: String, reason: String },
    #[error("{file}: shard is missing in {place}")]
    MissingShard { file: String, place: String },
    #[error("{index}: tensor {} is not in {file}", shown(tensor))]
    TensorNotInShard { tensor: String, file: String, index: String },
    #[error("tensor {} is both in {first} and in {second}", shown(tensor))]
    DuplicateTensor { tensor: String, first: String, second: String },
    #[error("no tensor {} in this checkpoint", shown(tensor))]
    NoSuchTensor { tensor: String },

    // --- safetensors headers -------------------------------------------------------------------
    #[error("{file}: bad header: {reason}", reason = shown_plain(reason))]
    BadHeader { file: String, reason: String },
    #[error("{file}: the header claims {len} bytes, the limit is {limit}")]
    HeaderTooLarge { file: String, len: u64, limit: u64 },
    #[error("{file}: tensor {}: unknown dtype {}", shown(tensor), shown(dtype))]
    UnknownDtype { file: String, tensor: String, dtype: String },
    #[error("{file}: tensor {}: {dtype} {shape} overflows a file", shown(tensor), shape = shown_shape(shape))]
    TensorTooLarge { file: String, tensor: String, shape: Vec<usize>, dtype: TensorDtype },
    #[error("{file}: tensor {}: {dtype} {shape} takes {bits} bits, no whole number of bytes", shown(tensor), shape = shown_shape(shape))]
    TensorNotWholeBytes {
        file: String,
        tensor: String,
        shape: Vec<usize>,
        dtype: TensorDtype,
        bits: u64,
    },
    #[error("{file}: tensor {}: bad offsets {begin}..{end}: {reason}", shown(tensor), reason = shown_plain(reason))]
    BadOffsets { file: String, tensor: String, begin: u64, end: u64, reason: String },

    // --- dtypes --------------------------------------------------------------------------------
    #[error("unknown KV cache dtype {}; valid are {valid}", shown(name))]
    UnknownKvDtype { name: String, valid: String },
    #[error("unknown {option} {}; valid are {valid}", shown(value))]
    UnknownOption { option: &'static str, value: String, valid: &'static str },

    // --- configs -------------------------------------------------------------------------------
    #[error("config.json has no `{field}`, and none was given")]
    MissingConfig { field: &'static str },
    #[error("config.json: `{field}` is {value}, expected {expected}", value = shown_plain(value))]
    BadConfigValue { field: String, value: String, expected: String },
    #[error("{form}: {field} {} is not supported, only {supported}", shown(value))]
    UnsupportedScheme { form: &'static str, field: String, value: String, supported: &'static str },
    #[error("conflicting KV cache schemes: {first}, {second}")]
    ConflictingSchemes { first: String, second: String },
    #[error("the checkpoint notes {dtype} as what its scales are for; that has no static scales")]
    BadTargetDtype { dtype: KvDtype },
    #[error("{file}: {reason}")]
    BadLegacyFile { file: &'static str, reason: String },

    // --- scales --------------------------------------------------------------------------------
    #[error(
        "scale {} ({slot} of layer {layer}): value {value:?} at index {index}; a scale is finite and > 0",
        shown(tensor)
    )]
    InvalidScale { tensor: String, layer: usize, slot: Slot, index: usize, value: f32 },
    #[error("scale {} ({slot} of layer {layer}): shape {}, expected {}", shown(tensor), shown_shape(shape), shown_heads(*heads))]
    BadScaleShape {
        tensor: String,
        layer: usize,
        slot: Slot,
        shape: Vec<usize>,
        heads: Option<usize>,
    },
    #[error("scale {}: dtype {dtype}, expected F32, F16 or BF16", shown(tensor))]
    BadScaleDtype { tensor: String, dtype: TensorDtype },
    #[error(
        "zero point {} ({slot} of layer {layer}): {value}; only symmetric scales are supported, zero points must be 0",
        shown(tensor)
    )]
    NonzeroZeroPoint { tensor: String, layer: usize, slot: Slot, value: String },
    #[error(
        "conflicting scales for {slot} of layer {layer}: {} and {} differ",
        shown(first),
        shown(second)
    )]
    ConflictingScales { layer: usize, slot: Slot, first: String, second: String },
    #[error("layer {layer} has a v scale ({}) and no k scale", shown(tensor))]
    MissingKScale { layer: usize, tensor: String },
    #[error(
        "scale {} ({slot} of layer {layer}) was calibrated for {calibrated}, not for {used}; ask for rescaling, or for {calibrated}",
        shown(tensor)
    )]
    ScaleDtypeMismatch {
        tensor: String,
        layer: usize,
        slot: Slot,
        calibrated: KvDtype,
        used: KvDtype,
    },
    #[error("{} scale tensors of the checkpoint would be dropped: {}", tensors.len(), shown_list(tensors))]
    LeftoverScales { tensors: Vec<String> },
    #[error("scale {} is for layer {layer}, the model has {num_layers} layers", shown(tensor))]
    NoSuchLayer { tensor: String, layer: usize, num_layers: usize },
    #[error("cannot skip layer {layer}, the model has {num_layers} layers")]
    NoSuchSkipLayer { layer: usize, num_layers: usize },
    #[error("tensor {} is given twice", shown(tensor))]
    TensorTwice { tensor: String },

    // --- using what was resolved ---------------------------------------------------------------
    #[error("the {slot} scale of layer {layer} is not known yet")]
    ScaleNotKnown { layer: usize, slot: Slot },
    #[error("layer {layer}: {heads} heads of {slot} do not divide among {parts}")]
    UnevenHeads { layer: usize, slot: Slot, heads: usize, parts: usize },
    #[error("no rank {rank} of {size}")]
    NoSuchRank { rank: usize, size: usize },
    #[error("the first batch has {got} layers, the model {num_layers}")]
    BatchLayers { got: usize, num_layers: usize },
    #[error(
        "layer {layer}: cannot make a {slot} scale of absmax {absmax:?} / {range:?}; both must be finite and > 0"
    )]
    BadAbsmax { layer: usize, slot: Slot, absmax: f32, range: f32 },

    // --- observing -----------------------------------------------------------------------------
    #[error(
        "{dtype} has no static scales to calibrate; valid are fp8_e4m3, fp8_e5m2, fp8_e4m3fnuz, fp8_e5m2fnuz, int8"
    )]
    NoStaticScale { dtype: KvDtype },
    #[error("layer {layer}, {slot}, head {head}: an activation is {value:?}, all must be finite")]
    NotFinite { layer: usize, slot: Slot, head: usize, value: f32 },
    #[error("layer {layer}, {slot}: {len} values are no number of rows of {row}")]
    BadActivations { layer: usize, slot: Slot, len: usize, row: usize },

    // --- writing -------------------------------------------------------------------------------
    #[error("{} exists already", path.display())]
    OutputExists { path: PathBuf },
    #[error("layer {layer}: per-tensor and per-head scales are mixed, which no config can tell")]
    MixedGranularity { layer: usize },
    #[error("a checkpoint quantized by {} cannot hold a KV scheme of ours", shown(quant_method))]
    SchemeNotWritable { quant_method: String },
}

/// The most characters of a foreign string that a message repeats.
const SHOWN: usize = 160;

/// A foreign string in a message: quoted, on one line, of bounded length.
pub(crate) fn shown(text: &str) -> String {
    format!("`{}`", shown_plain(text))
}

/// As [`shown`], without the quotes.
pub(crate) fn shown_plain(text: &str) -> String {
    let mut out: String = text.chars().take(SHOWN).flat_map(one_line).collect();
    if text.chars().nth(SHOWN).is_some() {
        out.push('…');
    }
    out
}

fn one_line(c: char) -> impl Iterator<Item = char> {
    let escaped = c.is_control().then(|| c.escape_default());
    let plain = escaped.is_none().then_some(c);
    plain.into_iter().chain(escaped.into_iter().flatten())
}

fn shown_heads(heads: Option<usize>) -> String {
    match heads {
        Some(n) => format!("one value, or [{n}] as [{n}], [{n}, 1, 1] or [1, {n}, 1, 1]"),
        None => "one value".into(),
    }
}

/// The first few names of a list.
fn shown_list(names: &[String]) -> String {
    const FEW: usize = 8;
    let mut texts: Vec<String> = names.iter().take(FEW).map(|name| shown(name)).collect();
    if names.len() > FEW {
        texts.push("…".into());
    }
    texts.join(", ")
}

fn shown_shape(shape: &[usize]) -> String {
    let text = format!("{:?}", &shape[..shape.len().min(8)]);
    if shape.len() > 8 { format!("{text}… ({} dimensions)", shape.len()) } else { text }
}
