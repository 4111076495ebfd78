//! Everything that can go wrong in this crate, each with the name, the value and the limit.

use std::path::PathBuf;

use crate::checkpoint::TensorDtype;

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

fn shown_shape(shape: &[usize]) -> String {
    let text = format!("{:?}", &shape[..shape.len().min(8)]);
    if shape.len() > 8 { format!("{text}… ({} dimensions)", shape.len()) } else { text }
}
