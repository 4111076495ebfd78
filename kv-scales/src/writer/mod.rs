//! Puts a set of scales into a checkpoint as llm-compressor does, as a new directory beside the
//! old one: unchanged shards hard-linked (or copied), the scales in a small shard of their own,
//! index and `config.json` rewritten. Written under a temporary name and renamed at the end, so a
//! crash leaves nothing or the whole under the new name; at most a hidden directory `.NAME.partial-…`
//! stays beside it, which nobody reads and anybody may delete.

mod config;
mod place;
mod scale_set;
mod shard;

use std::collections::BTreeMap;
use std::path::Path;

pub use scale_set::{LayerScaleSet, ScaleSet};

use crate::checkpoint::TensorEntry;
use crate::legacy::LEGACY_FILE;
use crate::names::{self, Meaning};
use crate::resolve::TARGET_DTYPE_KEY;
use crate::{Checkpoint, Error, KvDtypes, Shard, TensorDtype};
use place::NewDirectory;

const INDEX: &str = "model.safetensors.index.json";

/// What was done with the files of the old checkpoint, by name, each list sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Shared with the old checkpoint.
    pub linked: Vec<String>,
    /// Copied.
    pub copied: Vec<String>,
    /// Written anew: the scale shard, the index, `config.json`, and shards that held old scales.
    pub written: Vec<String>,
    /// Left out: old scale shards, the old scale file, directories.
    pub left_out: Vec<String>,
}

/// What becomes of one shard of the old checkpoint.
enum Fate<'a> {
    /// It holds no scale.
    Keep,
    /// It holds scales beside other tensors, which are kept.
    Rewrite(Vec<&'a TensorEntry>),
    /// It holds scales alone.
    Drop,
}

/// Writes `source` with `scales` in place of whatever KV scales it had, as the new directory
/// `out`, whose parent must exist.
///
/// # Errors
/// When `out` exists, a scale is invalid or does not fit the model, the checkpoint's config cannot
/// hold a KV scheme, or writing fails. Then `out` does not exist.
pub fn write_checkpoint(
    source: &Checkpoint,
    scales: &ScaleSet,
    out: &Path,
) -> Result<Written, Error> {
    let model = crate::ModelShape::from_config(source.config(), &crate::GivenShape::default())?;
    scales.check(&model)?;
    let config = config::with_scheme(source, scales)?;
    let fates: Vec<Fate<'_>> = (0..source.shards().len()).map(|i| fate(source, i)).collect();
    refuse_unknown(source)?;

    let scale_shard = scale_shard_name(source.shards(), &fates);
    let tensors = scales.tensors(&names_of(source));
    let mut dir = NewDirectory::create(out)?;
    let mut weight_map: BTreeMap<&str, String> = BTreeMap::new();
    let mut total = 0;
    for (i, (shard, fate)) in source.shards().iter().zip(&fates).enumerate() {
        let name = new_name(source.shards(), shard);
        let kept: Vec<&TensorEntry> = match fate {
            Fate::Drop => {
                dir.leave_out(&shard.name);
                continue;
            }
            Fate::Keep => {
                dir.place_shard(shard, &name)?;
                source.tensors().filter(|t| t.shard == i).collect()
            }
            Fate::Rewrite(kept) => {
                dir.write_with(&name, |file| shard::copy_tensors(source, shard, kept, file))?;
                kept.clone()
            }
        };
        for tensor in kept {
            weight_map.insert(&tensor.name, name.clone());
            total += tensor.len;
        }
    }
    let metadata = BTreeMap::from([
        ("format".to_owned(), "pt".to_owned()),
        (TARGET_DTYPE_KEY.to_owned(), scales.dtypes.to_string()),
    ]);
    dir.write(&scale_shard, &shard::serialize(&tensors, &metadata))?;
    for tensor in &tensors {
        weight_map.insert(&tensor.name, scale_shard.clone());
        total += tensor.bytes.len() as u64;
    }
    dir.write(INDEX, &index(source, &weight_map, total)?)?;
    dir.write("config.json", &pretty(&config))?;
    side_files(source, &mut dir)?;
    dir.finish()
}

/// Everything about the place and the old checkpoint that [`write_checkpoint`] would refuse, for
/// asking before scales are looked for, which can take long.
///
/// # Errors
/// As [`write_checkpoint`].
pub fn check_target(source: &Checkpoint, dtypes: KvDtypes, out: &Path) -> Result<(), Error> {
    crate::ModelShape::from_config(source.config(), &crate::GivenShape::default())?;
    let scales = ScaleSet { dtypes, stored_as: TensorDtype::F32, layers: BTreeMap::new() };
    config::with_scheme(source, &scales)?;
    refuse_unknown(source)?;
    place::check(out)
}

/// Scales that nobody understands would stay beside the new ones, and nobody could say which count.
fn refuse_unknown(source: &Checkpoint) -> Result<(), Error> {
    let unknown = source.tensors().filter(|t| names::read(&t.name) == Meaning::Unknown);
    let tensors: Vec<String> = unknown.map(|t| t.name.clone()).collect();
    if tensors.is_empty() { Ok(()) } else { Err(Error::LeftoverScales { tensors }) }
}

fn fate(source: &Checkpoint, shard: usize) -> Fate<'_> {
    let (old, kept): (Vec<&TensorEntry>, Vec<&TensorEntry>) = source
        .tensors()
        .filter(|t| t.shard == shard)
        .partition(|t| matches!(names::read(&t.name), Meaning::Scale(_)));
    match (old.is_empty(), kept.is_empty()) {
        (true, _) => Fate::Keep,
        (false, true) => Fate::Drop,
        (false, false) => Fate::Rewrite(kept),
    }
}

/// A single `model.safetensors` must not keep its name: loaders look for it before the index.
fn new_name(shards: &[Shard], shard: &Shard) -> String {
    match shards {
        [_] if shard.name == "model.safetensors" => "model-00001-of-00002.safetensors".into(),
        _ => shard.name.clone(),
    }
}

/// The name of the old scale shard, so that writing again gives the same; else a free one.
fn scale_shard_name(shards: &[Shard], fates: &[Fate<'_>]) -> String {
    let dropped = shards.iter().zip(fates).find(|(_, fate)| matches!(fate, Fate::Drop));
    let taken = |name: &str| shards.iter().any(|s| new_name(shards, s) == name);
    match dropped {
        Some((shard, _)) => shard.name.clone(),
        None if taken("model-00001-of-00002.safetensors") && shards.len() == 1 => {
            "model-00002-of-00002.safetensors".into()
        }
        None => (0..)
            .map(|i| if i == 0 { String::new() } else { format!("-{i}") })
            .map(|suffix| format!("model-kv-scales{suffix}.safetensors"))
            .find(|name| !taken(name))
            .unwrap_or_default(),
    }
}

/// What stands before `layers.N`, and the attention module's name, in this checkpoint.
fn names_of(source: &Checkpoint) -> String {
    ["self_attn.", "attn."]
        .iter()
        .find_map(|module| {
            source.tensors().find_map(|tensor| {
                let (prefix, rest) = tensor.name.split_once("layers.")?;
                let (_, rest) = rest.split_once('.')?;
                let ours = rest.starts_with(module) && !names::in_other_tower(&tensor.name);
                ours.then(|| format!("{prefix}layers.{{}}.{module}"))
            })
        })
        .unwrap_or_else(|| "model.layers.{}.self_attn.".into())
}

/// The index, with whatever the old one's metadata held.
fn index(
    source: &Checkpoint,
    weight_map: &BTreeMap<&str, String>,
    total: u64,
) -> Result<Vec<u8>, Error> {
    let old = source.json(INDEX)?;
    let mut metadata =
        old.and_then(|index| index.get("metadata")?.as_object().cloned()).unwrap_or_default();
    metadata.insert("total_size".into(), total.into());
    Ok(pretty(&serde_json::json!({"metadata": metadata, "weight_map": weight_map})))
}

/// Tokenizer, chat template and all else that lies beside the shards.
fn side_files(source: &Checkpoint, dir: &mut NewDirectory) -> Result<(), Error> {
    let replaced = [INDEX, "config.json"];
    for name in source.file_names()? {
        if name == LEGACY_FILE {
            // Its scales would stand beside the new ones.
            dir.leave_out(&name);
        } else if !replaced.contains(&name.as_str())
            && !source.shards().iter().any(|s| s.name == name)
        {
            dir.place_file(source, &name)?;
        }
    }
    for name in source.directory_names()? {
        dir.leave_out(&name);
    }
    Ok(())
}

fn pretty(value: &serde_json::Value) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}
