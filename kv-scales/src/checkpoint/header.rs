//! The header of one safetensors file: read alone, and checked whole before it is believed.
//!
//! Format: eight bytes of little-endian length `n`, `n` bytes of JSON, then the tensors' bytes,
//! which the header must cover without gap or overlap. Parsed here rather than by the
//! `safetensors` crate because its errors name neither file nor tensor nor limit, and because it
//! wants the whole file in memory or mapped.

use std::collections::BTreeMap;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};

use super::json::Pairs;
use super::source::Source;
use super::tensor::{TensorDtype, TensorEntry, byte_len};
use crate::Error;

/// The longest header accepted, as the format's own reader has it.
pub const MAX_HEADER_BYTES: u64 = 100_000_000;

/// The `__metadata__` of a header: free text by key.
pub(super) type Metadata = BTreeMap<String, String>;

/// Reads and checks the header of the shard `file`; appends its tensors, in file order of their
/// data, with `shard` as their shard.
pub(super) fn read(
    source: &Source,
    file: &str,
    file_len: u64,
    shard: usize,
    tensors: &mut Vec<TensorEntry>,
) -> Result<Metadata, Error> {
    let bad = |reason: String| Error::BadHeader { file: file.into(), reason };
    if file_len < 8 {
        return Err(bad(format!("the file has {file_len} bytes, its length field alone needs 8")));
    }
    let prefix = source.read(file, 0, 8)?;
    let n = u64::from_le_bytes(prefix.as_ref().try_into().unwrap_or([0; 8]));
    if n > MAX_HEADER_BYTES {
        return Err(Error::HeaderTooLarge { file: file.into(), len: n, limit: MAX_HEADER_BYTES });
    }
    if n > file_len - 8 {
        return Err(bad(format!(
            "it claims {n} bytes, the file has {} after the length field",
            file_len - 8
        )));
    }
    let bytes = source.read(file, 8, n)?;
    let header: Header = serde_json::from_slice(&bytes).map_err(|e| bad(e.to_string()))?;
    check(file, 8 + n, file_len - 8 - n, shard, header.tensors, tensors)?;
    Ok(header.metadata)
}

/// Types, sizes and the seamless cover of `data_len` bytes that begin at `data_start`.
fn check(
    file: &str,
    data_start: u64,
    data_len: u64,
    shard: usize,
    mut infos: Vec<(String, Info)>,
    tensors: &mut Vec<TensorEntry>,
) -> Result<(), Error> {
    infos.sort_by(|a, b| a.1.offsets.cmp(&b.1.offsets).then_with(|| a.0.cmp(&b.0)));
    tensors.reserve(infos.len());
    let mut covered = 0;
    for (name, info) in infos {
        let dtype = TensorDtype::from_name(&info.dtype).ok_or_else(|| Error::UnknownDtype {
            file: file.into(),
            tensor: name.clone(),
            dtype: info.dtype,
        })?;
        let len = byte_len(file, &name, dtype, &info.shape)?;
        let bad = |reason| Error::BadOffsets {
            file: file.into(),
            tensor: name.clone(),
            begin: info.offsets[0],
            end: info.offsets[1],
            reason,
        };
        let [begin, end] = info.offsets;
        if end > data_len {
            return Err(bad(format!("the file has {data_len} bytes of data")));
        }
        if end.checked_sub(begin) != Some(len) {
            return Err(bad(format!("{dtype} {:?} takes {len} bytes", info.shape)));
        }
        // The format forbids holes; a hole is data nothing describes, an overlap is two owners.
        if begin != covered {
            return Err(bad(format!("the tensor before it ends at {covered}")));
        }
        covered = end;
        let offset = data_start + begin;
        tensors.push(TensorEntry { name, dtype, shape: info.shape, shard, offset, len });
    }
    if covered != data_len {
        return Err(Error::BadHeader {
            file: file.into(),
            reason: format!("its tensors end at byte {covered} of {data_len} bytes of data"),
        });
    }
    Ok(())
}

struct Header {
    metadata: Metadata,
    tensors: Vec<(String, Info)>,
}

#[derive(serde::Deserialize)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    #[serde(rename = "data_offsets")]
    offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct HeaderVisitor;
        impl<'de> Visitor<'de> for HeaderVisitor {
            type Value = Header;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object of tensors")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
                let mut metadata: Option<Metadata> = None;
                let mut tensors = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name != "__metadata__" {
                        let info = map
                            .next_value()
                            .map_err(|e| A::Error::custom(format_args!("tensor {name:?}: {e}")))?;
                        tensors.push((name, info));
                    } else if metadata.is_some() {
                        return Err(A::Error::custom("`__metadata__` stands there twice"));
                    } else {
                        let pairs: Option<Pairs<String>> = map.next_value()?;
                        metadata = Some(pairs.map_or_else(Vec::new, |p| p.0).into_iter().collect());
                    }
                }
                Ok(Header { metadata: metadata.unwrap_or_default(), tensors })
            }
        }
        deserializer.deserialize_map(HeaderVisitor)
    }
}
