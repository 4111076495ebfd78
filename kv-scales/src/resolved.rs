//! The result of a resolution, to be asked: per layer the value, the granularity, the origin.

use fp8_format::ElementType;

use crate::names::Slot;
use crate::resolve::{Platform, Warning, stored_as};
use crate::scale::{LayerScales, ScaleValue};
use crate::{Error, KvDtypes, PendingScales, fingerprint};

/// The scales of every layer of a model, resolved once.
///
/// Deliberately not `Clone`: pending scales can be fixed exactly once.
#[derive(Debug, PartialEq)]
pub struct ResolvedScales {
    layers: Vec<LayerScales>,
    warnings: Vec<Warning>,
    dtypes: KvDtypes,
    platform: Platform,
}

impl ResolvedScales {
    pub(crate) fn new(
        layers: Vec<LayerScales>,
        warnings: Vec<Warning>,
        dtypes: KvDtypes,
        platform: Platform,
    ) -> Self {
        ResolvedScales { layers, warnings, dtypes, platform }
    }

    pub(crate) fn with_layers(&self, layers: Vec<LayerScales>) -> Self {
        Self::new(layers, self.warnings.clone(), self.dtypes, self.platform)
    }

    /// One entry per layer of the model, also for layers without attention or exempt ones, whose
    /// scales are 1.0, so that a layer's number is its index.
    pub fn layers(&self) -> &[LayerScales] {
        &self.layers
    }

    pub(crate) fn layers_mut(&mut self) -> &mut [LayerScales] {
        &mut self.layers
    }

    /// What a user should know, one entry per matter.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The cache's dtypes; `auto` has become what it means for this checkpoint.
    pub fn dtypes(&self) -> KvDtypes {
        self.dtypes
    }

    /// The platform it was resolved for.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// What K and V of a layer are stored as, on this platform, in a model of type `model`.
    /// `None` when there is no such layer.
    pub fn element_types(
        &self,
        layer: usize,
        model: ElementType,
    ) -> Option<(ElementType, ElementType)> {
        let KvDtypes { k, v } = self.layers.get(layer)?.dtypes;
        Some((stored_as(k, self.platform, model), stored_as(v, self.platform, model)))
    }

    /// Whether any scale waits for the first batch.
    pub fn has_pending(&self) -> bool {
        let pending = |layer: &LayerScales| {
            Slot::ALL.iter().any(|slot| layer.get(*slot).value == ScaleValue::Pending)
        };
        self.layers.iter().any(pending)
    }

    /// Where the scales of this model came from, in one word: `checkpoint` when any K or V scale
    /// was loaded, `on_the_fly` when any was or will be calculated, `none` when nothing is
    /// quantized with a static scale, else `default`.
    pub fn source(&self) -> &'static str {
        let any = |names: &[&str]| {
            self.layers.iter().flat_map(|l| [&l.k, &l.v]).any(|s| names.contains(&s.origin.name()))
        };
        if any(&["checkpoint", "duplicated"]) {
            "checkpoint"
        } else if any(&["pending", "on_the_fly"]) {
            "on_the_fly"
        } else if any(&["default"]) {
            "default"
        } else {
            "none"
        }
    }

    /// Takes the set apart for the first batch: `Ok` when something is pending.
    ///
    /// # Errors
    /// The set itself, when there is nothing to fix.
    pub fn into_pending(self) -> Result<PendingScales, ResolvedScales> {
        if self.has_pending() { Ok(PendingScales::new(self)) } else { Err(self) }
    }

    /// A digest of everything that gives stored codes their meaning: dtypes, platform, and the
    /// exact bits of all scales. The same on every machine; independent of provenance.
    ///
    /// Take it after [`PendingScales::fix`]: a set with pending scales has a digest of its own.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint::digest(self)
    }

    /// The scales one tensor-parallel rank needs.
    ///
    /// # Errors
    /// When the heads do not divide among the ranks, or there is no such rank.
    pub fn shard(&self, rank: usize, size: usize) -> Result<ResolvedScales, Error> {
        let layers = self.layers.iter().map(|layer| layer.shard(rank, size));
        Ok(self.with_layers(layers.collect::<Result<_, _>>()?))
    }
}
