//! Writes safetensors files: a new one from values, or an old one without some of its tensors.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use serde_json::{Map, Value, json};

use crate::checkpoint::TensorDtype;
use crate::{Checkpoint, Location, Shard, TensorEntry};

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NewTensor {
    pub(super) name: String,
    pub(super) dtype: TensorDtype,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Vec<u8>,
}

/// A whole file of these tensors, in this order.
pub(super) fn serialize(tensors: &[NewTensor], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    let rows = tensors.iter().map(|t| (&*t.name, t.dtype, &*t.shape, t.bytes.len() as u64));
    let mut file = header(rows, metadata);
    for tensor in tensors {
        file.extend_from_slice(&tensor.bytes);
    }
    file
}

/// Copies some tensors of a shard, in the order of the file, a piece at a time.
pub(super) fn copy_tensors(
    source: &Checkpoint,
    shard: &Shard,
    kept: &[&TensorEntry],
    out: &mut File,
) -> io::Result<()> {
    let mut kept = kept.to_vec();
    kept.sort_by_key(|t| (t.offset, t.len));
    let rows = kept.iter().map(|t| (&*t.name, t.dtype, &*t.shape, t.len));
    out.write_all(&header(rows, &shard.metadata))?;
    match &shard.location {
        Location::File(path) => {
            let mut file = File::open(path)?;
            for tensor in kept {
                file.seek(SeekFrom::Start(tensor.offset))?;
                let copied = io::copy(&mut Read::by_ref(&mut file).take(tensor.len), out)?;
                if copied != tensor.len {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
        }
        Location::Memory(_) => {
            for tensor in kept {
                out.write_all(&source.read(tensor).map_err(io::Error::other)?)?;
            }
        }
    }
    Ok(())
}

/// The length field and the header, padded with spaces so that the data begins at a multiple of 8.
fn header<'a>(
    rows: impl Iterator<Item = (&'a str, TensorDtype, &'a [usize], u64)>,
    metadata: &BTreeMap<String, String>,
) -> Vec<u8> {
    let mut object = Map::new();
    if !metadata.is_empty() {
        object.insert("__metadata__".into(), json!(metadata));
    }
    let mut end = 0;
    for (name, dtype, shape, len) in rows {
        let begin = end;
        end += len;
        let info = json!({"dtype": dtype.name(), "shape": shape, "data_offsets": [begin, end]});
        object.insert(name.into(), info);
    }
    let mut json = Value::Object(object).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.append(&mut json);
    file
}
