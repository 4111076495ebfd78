//! `model.safetensors.index.json`: which shard holds which tensor.

use serde::Deserialize;

use super::json::Pairs;
use super::source::is_plain_name;
use crate::Error;

pub(super) const INDEX: &str = "model.safetensors.index.json";

/// The index, checked in itself: sorted by tensor, no tensor twice, plain file names.
pub(super) struct Index {
    /// The shard files, sorted, each once.
    pub(super) files: Vec<String>,
    /// (tensor, index into `files`), sorted by tensor.
    pub(super) tensors: Vec<(String, usize)>,
}

#[derive(Deserialize)]
struct Raw {
    weight_map: Pairs<String>,
}

pub(super) fn parse(bytes: &[u8]) -> Result<Index, Error> {
    let bad = |reason: String| Error::BadIndex { file: INDEX.into(), reason };
    if bytes.trim_ascii_start().first() != Some(&b'{') {
        return Err(bad("not a JSON object".into()));
    }
    let raw: Raw = serde_json::from_slice(bytes).map_err(|e| bad(e.to_string()))?;
    let mut map = raw.weight_map.0;
    map.sort();
    if let Some(pair) = map.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(bad(format!("tensor {:?} stands there twice", pair[0].0)));
    }
    let mut files: Vec<String> = map.iter().map(|pair| pair.1.clone()).collect();
    files.sort();
    files.dedup();
    if let Some(file) = files.iter().find(|f| !is_plain_name(f) || !f.ends_with(".safetensors")) {
        return Err(bad(format!(
            "{file:?} is not the name of a `.safetensors` file in the same directory"
        )));
    }
    let tensors = map
        .into_iter()
        .map(|(tensor, file)| (tensor, files.partition_point(|f| *f < file)))
        .collect();
    Ok(Index { files, tensors })
}
