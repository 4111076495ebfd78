//! The extremes of batches, and their moving average as llm-compressor takes it.

/// What a new batch weighs in the moving average: llm-compressor's default.
pub const AVERAGING_CONSTANT: f32 = 0.01;

/// The smallest and the largest value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) min: f32,
    pub(super) max: f32,
}

impl Range {
    pub(super) const EMPTY: Range = Range { min: f32::INFINITY, max: f32::NEG_INFINITY };

    pub(super) fn include(&mut self, other: Range) {
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(super) fn of(values: &[f32]) -> Self {
        let fold = |r: Range, x: &f32| Range { min: r.min.min(*x), max: r.max.max(*x) };
        values.iter().fold(Range::EMPTY, fold)
    }

    fn is_empty(self) -> bool {
        self.min > self.max
    }
}

/// The exponential moving average of the extremes of batches, in f32 as the original computes it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MovingRange(Option<Range>);

impl MovingRange {
    /// A batch has ended, with these extremes.
    pub(super) fn end_batch(&mut self, batch: Range) {
        if batch.is_empty() {
            return;
        }
        self.0 = Some(match self.0 {
            None => batch,
            Some(old) => Range {
                min: old.min + AVERAGING_CONSTANT * (batch.min - old.min),
                max: old.max + AVERAGING_CONSTANT * (batch.max - old.max),
            },
        });
    }

    /// The magnitude that a symmetric range around zero needs; 0 before the first batch.
    pub(super) fn magnitude(self) -> f32 {
        self.0.map_or(0.0, |r| r.max.max(-r.min).max(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_batch_is_taken_whole_and_later_ones_by_a_hundredth() {
        let mut moving = MovingRange::default();
        assert_eq!(moving.magnitude(), 0.0);
        moving.end_batch(Range::EMPTY);
        moving.end_batch(Range::of(&[-1.0, 0.5, 2.0]));
        assert_eq!(moving.magnitude(), 2.0);
        moving.end_batch(Range::of(&[-301.0, 1.0]));
        // min: -1 + 0.01 × -300 = -4; max: 2 + 0.01 × -1 = 1.99.
        assert!((moving.magnitude() - 4.0).abs() < 1e-6);
        let mut positive = MovingRange::default();
        positive.end_batch(Range::of(&[3.0, 5.0]));
        assert_eq!(positive.magnitude(), 5.0);
    }
}
