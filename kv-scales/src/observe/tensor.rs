//! One tensor of one layer (Q, K or V), head by head: what was seen of it, and the scales that
//! follow.

use super::Observer;
use super::format::Format;
use super::histogram::{Histogram, Points};
use super::range::{MovingRange, Range};
use super::search::{Grid, least_error};
use crate::names::Slot;
use crate::scheme::Strategy;
use crate::{Error, ScaleValue};

/// Finer changes the error by less than the bins are wrong.
const GRID: Grid = Grid { coarse: 32, fine: 4, below: 4 };

/// Observes the rows of one tensor.
#[derive(Clone, Debug)]
pub struct TensorObserver {
    layer: usize,
    slot: Slot,
    head_dim: usize,
    heads: Vec<Head>,
    /// The average of the extremes over all heads; not the extremes of the heads' averages.
    moving: MovingRange,
}

#[derive(Clone, Debug)]
struct Head {
    histogram: Histogram,
    batch: Range,
    moving: MovingRange,
}

/// How well a scale stores what was seen of one head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fidelity {
    /// The smallest value seen.
    pub min: f32,
    /// The largest value seen.
    pub max: f32,
    /// The scale, as used (twice what a checkpoint holds for FNUZ formats).
    pub scale: f32,
    /// The share of values beyond the range.
    pub saturated: f64,
    /// The share of values that are not zero and are stored as zero.
    pub underflowed: f64,
    /// Signal to quantization noise, 10 log10(Σx² / Σ(x − stored)²); infinite if nothing is lost.
    pub sqnr_db: f64,
}

impl TensorObserver {
    /// Nothing seen yet of `slot` in `layer`: rows of `num_heads` heads of `head_dim` values.
    ///
    /// # Panics
    /// If there are no heads, or they have no values.
    pub fn new(layer: usize, slot: Slot, num_heads: usize, head_dim: usize) -> Self {
        assert!(num_heads > 0 && head_dim > 0, "{num_heads} heads of {head_dim}");
        let head = Head {
            histogram: Histogram::default(),
            batch: Range::EMPTY,
            moving: MovingRange::default(),
        };
        let (heads, moving) = (vec![head; num_heads], MovingRange::default());
        TensorObserver { layer, slot, head_dim, heads, moving }
    }

    /// Looks at rows of `[num_heads][head_dim]`.
    ///
    /// # Errors
    /// [`Error::BadActivations`] when the length is no number of rows, then nothing is counted;
    /// [`Error::NotFinite`] for an infinity or a NaN, and the observer is of no use after it.
    pub fn observe(&mut self, rows: &[f32]) -> Result<(), Error> {
        let (layer, slot) = (self.layer, self.slot);
        let row = self.heads.len() * self.head_dim;
        if !rows.len().is_multiple_of(row) {
            return Err(Error::BadActivations { layer, slot, len: rows.len(), row });
        }
        for (i, head) in self.heads.iter_mut().enumerate() {
            for row in rows.chunks_exact(row) {
                let values = &row[i * self.head_dim..][..self.head_dim];
                let refuse = |value| Error::NotFinite { layer, slot, head: i, value };
                head.histogram.observe(values).map_err(refuse)?;
                head.batch.include(Range::of(values));
            }
        }
        Ok(())
    }

    /// A batch has ended, as the moving average of [`Observer::MinMax`] counts them: one sample of
    /// the calibration text.
    pub fn end_batch(&mut self) {
        let mut all = Range::EMPTY;
        for head in &mut self.heads {
            head.moving.end_batch(head.batch);
            all.include(std::mem::replace(&mut head.batch, Range::EMPTY));
        }
        self.moving.end_batch(all);
    }

    /// The layer.
    pub fn layer(&self) -> usize {
        self.layer
    }

    /// Which tensor.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// Heads per row.
    pub fn num_heads(&self) -> usize {
        self.heads.len()
    }

    /// What was seen of a head. `None` if there is no such head.
    pub fn histogram(&self, head: usize) -> Option<&Histogram> {
        self.heads.get(head).map(|head| &head.histogram)
    }

    /// The scales of an observer, as used: one, or one for each head.
    ///
    /// # Errors
    /// [`Error::BadAbsmax`] when nothing was seen but zeros, of all heads or of one that needs its
    /// own scale, or when a scale would not be finite and > 0.
    pub fn scales(
        &self,
        observer: Observer,
        format: Format,
        strategy: Strategy,
    ) -> Result<ScaleValue, Error> {
        let together = || {
            let mut all = Histogram::default();
            self.heads.iter().for_each(|head| all.merge(&head.histogram));
            self.scale(observer, format, &all, self.moving)
        };
        match strategy {
            Strategy::Tensor => Ok(ScaleValue::PerTensor(together()?)),
            Strategy::AttnHead => {
                let of = |head: &Head| self.scale(observer, format, &head.histogram, head.moving);
                let mut scales: Box<[f32]> = self.heads.iter().map(of).collect::<Result<_, _>>()?;
                if observer == Observer::Mse && scales.len() > 1 {
                    let shared = together()?;
                    for (scale, Head { histogram, .. }) in scales.iter_mut().zip(&self.heads) {
                        let full = histogram.absmax() / format.max();
                        *scale = histogram.points().nearest_to(format, shared, full, *scale);
                    }
                }
                Ok(ScaleValue::PerHead(scales))
            }
        }
    }

    fn scale(
        &self,
        observer: Observer,
        format: Format,
        seen: &Histogram,
        moving: MovingRange,
    ) -> Result<f32, Error> {
        let usable = |magnitude: f32| {
            let scale = magnitude / format.max();
            if magnitude.is_finite() && scale.is_finite() && scale > 0.0 {
                return Ok(scale);
            }
            let (layer, slot, range) = (self.layer, self.slot, format.max());
            Err(Error::BadAbsmax { layer, slot, absmax: magnitude, range })
        };
        match observer {
            Observer::Absmax => usable(seen.absmax()),
            Observer::MinMax => usable(moving.magnitude()),
            Observer::Percentile(percent) => usable(seen.percentile(percent)),
            Observer::Mse => {
                let (full, points) = (usable(seen.absmax())?, seen.points());
                let error =
                    |scales: &[f32]| Ok::<_, Error>(vec![points.squared_error(format, scales[0])]);
                Ok(least_error(format, &[full], GRID, error)?[0])
            }
        }
    }

    /// How well scales store what was seen, head by head.
    ///
    /// # Errors
    /// [`Error::BadScaleShape`] or [`Error::InvalidScale`] for scales that are not this tensor's.
    pub fn fidelity(&self, format: Format, scales: &ScaleValue) -> Result<Vec<Fidelity>, Error> {
        let (layer, slot, heads) = (self.layer, self.slot, self.heads.len());
        let tensor = || format!("observed {slot}");
        let values = scales.values();
        if values.len() != heads && !matches!(scales, ScaleValue::PerTensor(_)) {
            let (shape, heads) = (vec![values.len()], Some(heads));
            return Err(Error::BadScaleShape { tensor: tensor(), layer, slot, shape, heads });
        }
        let of = |(index, head): (usize, &Head)| {
            let value = values[index % values.len()];
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::InvalidScale { tensor: tensor(), layer, slot, index, value });
            }
            Ok(fidelity(&head.histogram, format, value))
        };
        self.heads.iter().enumerate().map(of).collect()
    }
}

fn fidelity(seen: &Histogram, format: Format, scale: f32) -> Fidelity {
    let Points { values, weights } = seen.points();
    let limit = scale * format.max();
    let (mut saturated, mut underflowed, mut signal, mut noise) = (0.0, 0.0, 0.0, 0.0);
    format.round_trip(&values, scale, |i, back| {
        let (value, weight) = (f64::from(values[i]), weights[i]);
        let off = value - f64::from(back);
        signal += weight * value * value;
        noise += weight * off * off;
        saturated += if values[i] > limit { weight } else { 0.0 };
        underflowed += if back == 0.0 { weight } else { 0.0 };
    });
    let count = seen.count().max(1) as f64;
    Fidelity {
        min: seen.min(),
        max: seen.max(),
        scale,
        saturated: saturated / count,
        underflowed: underflowed / count,
        sqnr_db: 10.0 * (signal / noise).log10(),
    }
}
