//! Gives every tensor that looks like a KV scale to its layer and slot, or says why not.
//! Looks at names alone; the values are read later, and only those that are used.

use crate::Error;
use crate::model::{LayerKind, ModelShape};
use crate::names::{self, Meaning, Slot};

use super::loaded::RawTensor;
use super::warning::{WarningCode, Warnings};

/// One tensor that can fill a slot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    pub(super) raw: &'a RawTensor<'a>,
    /// The smaller counts, when two are equal.
    pub(super) rank: usize,
    pub(super) deprecated: bool,
}

/// What was found for one slot of one layer.
#[derive(Clone, Debug, Default)]
pub(super) struct SlotTensors<'a> {
    /// Best first.
    pub(super) scales: Vec<Candidate<'a>>,
    pub(super) zero_points: Vec<&'a RawTensor<'a>>,
}

impl SlotTensors<'_> {
    /// The name reports speak of.
    pub(super) fn best_name(&self) -> Option<Box<str>> {
        self.scales.first().map(|c| c.raw.name.as_str().into())
    }
}

/// The slots of one layer, indexed by [`Slot`].
pub(super) type LayerTensors<'a> = [SlotTensors<'a>; 4];

/// Everything assigned. `refuse` turns leftovers into errors; otherwise they are warnings.
pub(super) fn assign<'a>(
    tensors: &'a [RawTensor<'a>],
    model: &ModelShape,
    refuse: bool,
    warnings: &mut Warnings,
) -> Result<Vec<LayerTensors<'a>>, Error> {
    // By name, so that the order in which a checkpoint lists its tensors never shows.
    let mut sorted: Vec<&RawTensor<'_>> = tensors.iter().collect();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = sorted.windows(2).find(|pair| pair[0].name == pair[1].name) {
        return Err(Error::TensorTwice { tensor: pair[0].name.clone() });
    }
    let num_layers = model.layers.len();
    let mut layers = vec![LayerTensors::default(); num_layers];
    let mut leftovers = Vec::new();
    for raw in sorted {
        let name = match names::read(&raw.name) {
            Meaning::NotAScale => continue,
            Meaning::OtherTower => {
                warnings.add(WarningCode::OtherTower, None, raw.name.clone());
                continue;
            }
            Meaning::Unknown => {
                leftovers.push(raw.name.clone());
                continue;
            }
            Meaning::Scale(name) => name,
        };
        match model.layers.get(name.layer) {
            Some(shape) if shape.kind == LayerKind::NoAttention => leftovers.push(raw.name.clone()),
            Some(_) => {
                let slot = &mut layers[name.layer][name.slot as usize];
                if name.zero_point {
                    slot.zero_points.push(raw);
                } else {
                    let (rank, deprecated) = (name.rank, name.deprecated);
                    slot.scales.push(Candidate { raw, rank, deprecated });
                }
            }
            None if name.layer < num_layers.saturating_add(model.num_predict_layers) => {
                warnings.add(WarningCode::PredictLayer, None, raw.name.clone());
            }
            None if refuse => {
                return Err(Error::NoSuchLayer {
                    tensor: raw.name.clone(),
                    layer: name.layer,
                    num_layers,
                });
            }
            None => leftovers.push(raw.name.clone()),
        }
    }
    if refuse && !leftovers.is_empty() {
        return Err(Error::LeftoverScales { tensors: leftovers });
    }
    for name in leftovers {
        warnings.add(WarningCode::Leftover, None, name);
    }
    for slot in layers.iter_mut().flatten() {
        // Stable: equal forms under different prefixes stay in the order of their names.
        slot.scales.sort_by_key(|candidate| candidate.rank);
    }
    Ok(layers)
}

/// The slots of a layer that hold anything, by name.
pub(super) fn filled<'a>(
    layer: &LayerTensors<'a>,
    slots: impl IntoIterator<Item = Slot>,
) -> Vec<String> {
    slots
        .into_iter()
        .flat_map(|slot| &layer[slot as usize].scales)
        .map(|candidate| candidate.raw.name.clone())
        .collect()
}
