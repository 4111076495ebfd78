//! What is kept of the samples: histograms of every tensor, and a few samples whole.

use crate::Error;
use crate::config::ModelConfig;
use crate::model::{Tap, Watches};
use kv_scales::Slot;
use kv_scales::observe::TensorObserver;
use std::ops::Range;

/// Samples that are kept for [`Method::Attention`](super::Method::Attention).
const KEPT: usize = 8;
/// Of a sample at most this many tokens: any beginning of a sequence is one.
const KEPT_TOKENS: usize = 512;
/// Query tokens of a kept sample, spread over it.
const KEPT_QUERIES: usize = 24;

/// One layer's tensors.
pub(super) struct LayerObserver {
    pub(super) q: TensorObserver,
    pub(super) k: TensorObserver,
    pub(super) v: TensorObserver,
}

/// A sample's activations in one layer.
#[derive(Default)]
pub(super) struct LayerSample {
    /// `[queries][num_heads × head_dim]`.
    pub(super) q: Vec<f32>,
    /// `[tokens][num_kv_heads × head_dim]`.
    pub(super) k: Vec<f32>,
    /// As `k`.
    pub(super) v: Vec<f32>,
}

/// A sample that is kept.
pub(super) struct Sample {
    pub(super) tokens: usize,
    /// The positions of the queries.
    pub(super) positions: Vec<usize>,
    pub(super) layers: Vec<LayerSample>,
}

pub(super) struct Observed {
    pub(super) layers: Vec<LayerObserver>,
    pub(super) kept: Vec<Sample>,
    keep: bool,
    seen: u64,
    random: u64,
    /// Where the sample that runs is kept, if it is.
    place: Option<usize>,
    /// The rows of the step that runs, as positions of the sample.
    rows: Range<usize>,
    /// A tap cannot fail: what it found is asked for after the step.
    error: Option<Error>,
}

impl Observed {
    pub(super) fn new(config: &ModelConfig, keep: bool) -> Self {
        let observer = |layer: usize| {
            let of = |slot, heads| TensorObserver::new(layer, slot, heads, config.head_dim);
            LayerObserver {
                q: of(Slot::Q, config.num_heads),
                k: of(Slot::K, config.num_kv_heads),
                v: of(Slot::V, config.num_kv_heads),
            }
        };
        Self {
            layers: (0..config.num_layers).map(observer).collect(),
            kept: Vec::new(),
            keep,
            seen: 0,
            random: 0,
            place: None,
            rows: 0..0,
            error: None,
        }
    }

    /// A sample of that many tokens begins. Which samples are kept is a fair draw among all of
    /// them, the same for every run.
    pub(super) fn begin(&mut self, tokens: usize) {
        let place = match self.kept.len() {
            _ if !self.keep => None,
            kept if kept < KEPT => Some(kept),
            _ => Some(self.draw() as usize).filter(|place| *place < KEPT),
        };
        self.seen += 1;
        self.place = place;
        let Some(place) = place else { return };
        let tokens = tokens.min(KEPT_TOKENS);
        let queries = tokens.min(KEPT_QUERIES);
        let positions = (1..=queries).map(|i| i * tokens / queries - 1).collect();
        let mut layers = match self.kept.get_mut(place) {
            Some(old) => std::mem::take(&mut old.layers),
            None => self.layers.iter().map(|_| LayerSample::default()).collect(),
        };
        for layer in &mut layers {
            [&mut layer.q, &mut layer.k, &mut layer.v].into_iter().for_each(Vec::clear);
        }
        let sample = Sample { tokens, positions, layers };
        match self.kept.get_mut(place) {
            Some(old) => *old = sample,
            None => self.kept.push(sample),
        }
    }

    /// A number from 0 to those seen, the present one included. SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % (self.seen + 1)
    }

    /// The next step's rows are these positions of the sample.
    pub(super) fn step(&mut self, rows: Range<usize>) {
        self.rows = rows;
    }

    /// What was wrong with the last step's activations.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.error.take().map_or(Ok(()), Err)
    }

    /// The sample has ended.
    pub(super) fn end(&mut self) {
        for LayerObserver { q, k, v } in &mut self.layers {
            [q, k, v].into_iter().for_each(TensorObserver::end_batch);
        }
    }
}

impl Tap for Observed {
    fn watches(&self) -> Watches {
        Watches::QKV
    }

    fn qkv(&mut self, layer: usize, q: &[f32], k: &[f32], v: &[f32]) {
        let Some(observer) = self.layers.get_mut(layer) else { return };
        let (seen_q, (seen_k, seen_v)) = rayon::join(
            || observer.q.observe(q),
            || (observer.k.observe(k), observer.v.observe(v)),
        );
        if let Err(error) = seen_q.and(seen_k).and(seen_v) {
            self.error.get_or_insert(error.into());
        }
        let Some(sample) = self.place.and_then(|place| self.kept.get_mut(place)) else { return };
        let (count, kept) = (self.rows.len().max(1), &mut sample.layers[layer]);
        let (q_width, kv_width) = (q.len() / count, k.len() / count);
        let until = sample.tokens.clamp(self.rows.start, self.rows.end) - self.rows.start;
        kept.k.extend_from_slice(&k[..until * kv_width]);
        kept.v.extend_from_slice(&v[..until * kv_width]);
        for position in sample.positions.iter().filter(|p| self.rows.contains(p)) {
            kept.q.extend_from_slice(&q[(position - self.rows.start) * q_width..][..q_width]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(keep: bool) -> Observed {
        let checkpoint = kv_scales::Checkpoint::from_memory(crate::assets::files()).unwrap();
        let config = ModelConfig::from_json(checkpoint.config().unwrap(), None).unwrap();
        Observed::new(&config, keep)
    }

    #[test]
    fn of_many_samples_a_few_are_kept_and_every_one_can_be() {
        let mut observed = observed(true);
        let mut places = Vec::new();
        for _ in 0..4000 {
            observed.begin(600);
            places.extend(observed.place);
            assert!(observed.kept.len() <= KEPT);
        }
        // Expected: 8 + Σ 8/n = 8 (1 + H(4000) - H(8)), about 57.
        assert!((42..72).contains(&places.len()), "{places:?}");
        assert!((0..KEPT).all(|place| places[KEPT..].contains(&place)), "{places:?}");
        assert_eq!(observed.kept[0].positions.len(), KEPT_QUERIES);
        assert_eq!(*observed.kept[0].positions.last().unwrap(), KEPT_TOKENS - 1);
    }

    #[test]
    fn a_kept_sample_holds_its_rows_whatever_the_steps() {
        let mut observed = observed(true);
        let (heads, kv_heads, width, tokens) = (4, 2, 32, 40);
        let row = |position: usize, len: usize| vec![position as f32 + 1.0; len];
        observed.begin(tokens);
        for rows in [0..7, 7..32, 32..40] {
            observed.step(rows.clone());
            let of = |n: usize| rows.clone().flat_map(|p| row(p, n * width)).collect::<Vec<_>>();
            observed.qkv(1, &of(heads), &of(kv_heads), &of(kv_heads));
            observed.check().unwrap();
        }
        let (sample, layer) = (&observed.kept[0], &observed.kept[0].layers[1]);
        assert_eq!(layer.k.len(), tokens * kv_heads * width);
        assert_eq!(layer.k, layer.v);
        let want: Vec<f32> = sample.positions.iter().flat_map(|p| row(*p, heads * width)).collect();
        assert_eq!(layer.q, want);
    }

    #[test]
    fn an_activation_that_is_not_finite_is_an_error_with_its_place() {
        let mut observed = observed(false);
        observed.begin(1);
        observed.step(0..1);
        let mut k = vec![1.0; 64];
        k[40] = f32::NAN;
        observed.qkv(2, &[1.0; 128], &k, &[1.0; 64]);
        let error = observed.check().unwrap_err().to_string();
        assert!(error.contains("layer 2, k, head 1") && error.contains("NaN"), "{error}");
        assert!(observed.kept.is_empty());
    }
}
