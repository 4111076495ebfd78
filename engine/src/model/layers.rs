//! What every executor of this crate has per layer, whatever it runs on: which layers share a plan.

use crate::Error;
use crate::cache::LayerCache;
use crate::config::ModelConfig;
use attn_kernels::{
    AttentionShape, Backend, Batch, CacheShape, KvCache, LayerScales, Plan, Variant,
};

/// Layers of one kind share a plan.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Kind {
    pub(crate) cache: CacheShape,
    pub(crate) attention: AttentionShape,
}

/// What a layer has beside its weights.
pub(crate) struct Layer<M> {
    pub(crate) cache: KvCache<M>,
    pub(crate) scales: LayerScales,
    /// The index of its kind.
    pub(crate) kind: usize,
}

/// The kinds of a model's layers.
#[derive(Debug)]
pub(crate) struct Kinds {
    pub(crate) kinds: Vec<Kind>,
    /// Per layer: the index of its kind, and its scales.
    pub(crate) layers: Vec<(usize, LayerScales)>,
}

impl Kinds {
    /// Checks the storage of every layer, and sorts them.
    ///
    /// # Errors
    /// When there is not one per layer, or one does not fit the model's heads.
    pub(crate) fn new(config: &ModelConfig, caches: Vec<LayerCache>) -> Result<Self, Error> {
        if caches.len() != config.num_layers {
            let message = format!("{} layer caches for {} layers", caches.len(), config.num_layers);
            return Err(Error::Config { field: "num_hidden_layers".into(), message });
        }
        let softmax_scale = 1.0 / (config.head_dim as f32).sqrt();
        let (mut kinds, mut layers) = (Vec::<Kind>::new(), Vec::with_capacity(caches.len()));
        for (LayerCache { shape, scales, math }, window) in caches.into_iter().zip(&config.windows)
        {
            let mut variant = Variant::default();
            variant.window = *window;
            let attention = AttentionShape::new(config.num_heads, softmax_scale)
                .with_variant(variant)
                .with_math(math);
            attention.validate(&shape)?;
            scales.validate(&shape, Some(config.num_heads))?;
            let kind = Kind { cache: shape, attention };
            let index = kinds.iter().position(|k| *k == kind).unwrap_or(kinds.len());
            if index == kinds.len() {
                kinds.push(kind);
            }
            layers.push((index, scales));
        }
        Ok(Self { kinds, layers })
    }

    /// Allocates the blocks of every layer.
    pub(crate) fn allocate<B: Backend>(&self, backend: &B) -> Result<Vec<Layer<B::Buffer>>, Error> {
        let layer = |(kind, scales): &(usize, LayerScales)| {
            let cache = backend.new_cache(self.kinds[*kind].cache.clone())?;
            Ok(Layer { cache, scales: scales.clone(), kind: *kind })
        };
        self.layers.iter().map(layer).collect()
    }

    /// The heads and the mask of every layer's attention, in order.
    pub(crate) fn attention_shapes(&self) -> Vec<AttentionShape> {
        self.layers.iter().map(|(kind, _)| self.kinds[*kind].attention.clone()).collect()
    }
}

/// One plan per kind for the sequences of a step.
pub(crate) fn plans<B: Backend>(
    backend: &B,
    kinds: &[Kind],
    batch: &Batch,
) -> Result<Vec<Plan>, Error> {
    let plan = |kind: &Kind| backend.plan(&kind.cache, &kind.attention, batch);
    Ok(kinds.iter().map(plan).collect::<Result<_, _>>()?)
}
