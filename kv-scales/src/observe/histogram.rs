//! Magnitudes in log2 bins, with the exact extremes: what is kept of everything that was observed.
//!
//! A bin is all numbers whose upper 16 bits are equal: the exponent and seven bits of the mantissa,
//! so 128 bins from a power of two to the next. The octave of the largest magnitude and the 23 below
//! it have such bins; an octave further down, under an eight-millionth of the largest, is one bin: no
//! format of 8 bits has a scale that depends on it. So a histogram takes 26 KB from the beginning,
//! whatever it sees, and no number falls outside.

/// Bins from one power of two to the next.
pub const BINS_PER_OCTAVE: usize = 128;

/// All exponents of f32.
const OCTAVES: usize = 256;
/// Infinity and NaN have this exponent.
const NOT_FINITE: usize = 255;
/// Octaves with bins of their own.
const FINE_OCTAVES: usize = 24;
/// Points that stand for a bin: its numbers are taken to be spread evenly. One would be too few for
/// INT8, whose largest codes are two bins wide.
const POINTS: usize = 4;

/// The distribution of what was observed.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// The bins of `FINE_OCTAVES` octaves, of which the highest is that of the largest magnitude.
    fine: Box<[u64]>,
    /// The exponent of the lowest of them.
    base: usize,
    /// By exponent, the octaves below those.
    coarse: Box<[u64]>,
    zeros: u64,
    count: u64,
    min: f32,
    max: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        // Memory that is zero from the start gets its pages when it is first written to, so a
        // process would grow as octaves occur: it is written to now.
        let written = |len| {
            let mut bins = vec![0; len];
            std::hint::black_box(&mut bins).fill(0);
            bins.into_boxed_slice()
        };
        Histogram {
            fine: written(FINE_OCTAVES * BINS_PER_OCTAVE),
            base: 0,
            coarse: written(OCTAVES),
            zeros: 0,
            count: 0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
        }
    }
}

impl Histogram {
    /// Counts values.
    ///
    /// # Errors
    /// The first value that is infinite or NaN; those before it are counted.
    pub fn observe(&mut self, values: &[f32]) -> Result<(), f32> {
        for &value in values {
            let bits = value.to_bits() & 0x7fff_ffff;
            let octave = (bits >> 23) as usize;
            if octave == NOT_FINITE {
                return Err(value);
            }
            self.count += 1;
            self.min = self.min.min(value);
            self.max = self.max.max(value);
            if bits == 0 {
                self.zeros += 1;
                continue;
            }
            self.add(octave, (bits >> 16) as usize, 1);
        }
        Ok(())
    }

    /// Counts in the bin of these upper bits, which are not above those of a finite number.
    fn add(&mut self, octave: usize, upper_bits: usize, count: u64) {
        if octave >= self.base + FINE_OCTAVES {
            self.raise(octave);
        }
        match octave < self.base {
            true => self.coarse[octave] += count,
            false => self.fine[upper_bits - self.base * BINS_PER_OCTAVE] += count,
        }
    }

    /// Makes an octave the highest: those that leave the fine bins at the low end become one bin each.
    #[cold]
    fn raise(&mut self, octave: usize) {
        let up = octave + 1 - FINE_OCTAVES - self.base;
        let leaving = up.min(FINE_OCTAVES) * BINS_PER_OCTAVE;
        for (octave, bins) in self.fine[..leaving].chunks(BINS_PER_OCTAVE).enumerate() {
            self.coarse[self.base + octave] += bins.iter().sum::<u64>();
        }
        self.fine.copy_within(leaving.., 0);
        let kept = self.fine.len() - leaving;
        self.fine[kept..].fill(0);
        self.base += up;
    }

    /// Counts what another has counted.
    pub fn merge(&mut self, other: &Histogram) {
        if other.base > self.base {
            self.raise(other.base + FINE_OCTAVES - 1);
        }
        for (octave, count) in other.coarse.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.coarse[octave] += count;
        }
        for (bin, count) in other.fine.iter().enumerate().filter(|(_, count)| **count > 0) {
            let upper_bits = other.base * BINS_PER_OCTAVE + bin;
            self.add(upper_bits / BINS_PER_OCTAVE, upper_bits, *count);
        }
        self.zeros += other.zeros;
        self.count += other.count;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest value, exactly; infinity if there was none.
    pub fn min(&self) -> f32 {
        self.min
    }

    /// The largest value, exactly; minus infinity if there was none.
    pub fn max(&self) -> f32 {
        self.max
    }

    /// The largest magnitude, exactly; 0 if there was none.
    pub fn absmax(&self) -> f32 {
        if self.count == 0 { 0.0 } else { self.max.max(-self.min) }
    }

    /// The bins that hold something, from small to large: the two ends, and the count.
    fn occupied(&self) -> impl Iterator<Item = (f32, f32, u64)> {
        let coarse = self.coarse.iter().enumerate().map(|(octave, count)| {
            (octave * BINS_PER_OCTAVE, (octave + 1) * BINS_PER_OCTAVE, *count)
        });
        let first = self.base * BINS_PER_OCTAVE;
        let fine = self.fine.iter().enumerate();
        let fine = fine.map(move |(bin, count)| (first + bin, first + bin + 1, *count));
        // The bin above the largest begins at infinity.
        let end = |upper_bits: usize| f32::from_bits((upper_bits as u32) << 16).min(f32::MAX);
        let held = coarse.chain(fine).filter(|(_, _, count)| *count > 0);
        held.map(move |(low, high, count)| (end(low), end(high), count))
    }

    /// The magnitude that `percent` of all are at or below: of the sorted magnitudes the one with
    /// that rank, within its bin (under 0.8%, or in one of the low octaves within that), and exactly
    /// the largest for 100.
    pub fn percentile(&self, percent: f64) -> f32 {
        let rank = (percent / 100.0 * self.count as f64).ceil().max(1.0) as u64;
        if rank >= self.count {
            return self.absmax();
        }
        let mut below = self.zeros;
        if rank <= below {
            return 0.0;
        }
        for (low, high, count) in self.occupied() {
            if rank <= below + count {
                let share = (rank - below) as f32 / count as f32;
                return (low + share * (high - low)).min(self.absmax());
            }
            below += count;
        }
        self.absmax()
    }

    /// Numbers that stand for the distribution, with the count of each. Zeros are left out: every
    /// format stores them exactly.
    pub(super) fn points(&self) -> Points {
        let mut points = Points { values: Vec::new(), weights: Vec::new() };
        let absmax = self.absmax();
        for (low, high, count) in self.occupied() {
            // The largest bin ends at the largest magnitude.
            let width = (high.min(absmax) - low) / POINTS as f32;
            for i in 0..POINTS {
                points.values.push(low + (i as f32 + 0.5) * width);
                points.weights.push(count as f64 / POINTS as f64);
            }
        }
        points
    }
}

/// A distribution as weighted numbers.
pub(super) struct Points {
    pub(super) values: Vec<f32>,
    pub(super) weights: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f32]) -> Histogram {
        let mut histogram = Histogram::default();
        histogram.observe(values).unwrap();
        histogram
    }

    #[test]
    fn the_whole_range_of_f32_has_a_bin() {
        let values = [0.0, -0.0, f32::MAX, -f32::MAX, 1e-45, f32::MIN_POSITIVE, 1.0, -1.0];
        let histogram = of(&values);
        assert_eq!((histogram.count(), histogram.zeros), (8, 2));
        assert_eq!((histogram.min(), histogram.max()), (-f32::MAX, f32::MAX));
        assert_eq!(histogram.occupied().map(|bin| bin.2).sum::<u64>(), 6);
        assert!(histogram.points().values.iter().all(|x| x.is_finite()));
    }

    #[test]
    fn what_is_not_finite_is_returned() {
        let mut histogram = Histogram::default();
        assert!(histogram.observe(&[1.0, f32::NAN, 2.0]).unwrap_err().is_nan());
        assert_eq!(histogram.observe(&[f32::NEG_INFINITY]).unwrap_err(), f32::NEG_INFINITY);
        assert_eq!(histogram.count(), 1);
        assert_eq!(Histogram::default().absmax(), 0.0);
    }

    fn number() -> impl Strategy<Value = f32> {
        let spread = (-30.0f32..20.0, any::<bool>());
        let spread = spread.prop_map(|(e, s)| if s { -e.exp2() } else { e.exp2() });
        prop_oneof![8 => spread, 1 => Just(0.0f32)]
    }

    proptest! {
        /// Against the sorted magnitudes themselves.
        #[test]
        fn percentiles_are_those_of_the_sorted(
            values in prop::collection::vec(number(), 1..300),
            percent in 0.01f64..=100.0,
        ) {
            let mut sorted: Vec<f32> = values.iter().map(|x| x.abs()).collect();
            sorted.sort_by(f32::total_cmp);
            let rank = (percent / 100.0 * sorted.len() as f64).ceil().max(1.0) as usize;
            let exact = sorted[rank - 1];
            let found = of(&values).percentile(percent);
            let low = exact < sorted[sorted.len() - 1] * (-(FINE_OCTAVES as f32) + 2.0).exp2();
            let within = if low { exact } else { exact / BINS_PER_OCTAVE as f32 };
            prop_assert!((found - exact).abs() <= within, "{found} {exact}");
            prop_assert_eq!(of(&values).percentile(100.0), sorted[sorted.len() - 1]);
        }

        /// In any order and any parts, the same.
        #[test]
        fn merging_is_observing_both(
            a in prop::collection::vec(number(), 0..100),
            b in prop::collection::vec(number(), 0..100),
        ) {
            let mut merged = of(&a);
            merged.merge(&of(&b));
            let whole = of(&[&b[..], &a].concat());
            prop_assert_eq!(&merged, &whole);
            let counted = merged.occupied().map(|bin| bin.2).sum::<u64>();
            prop_assert_eq!(counted + merged.zeros, (a.len() + b.len()) as u64);
        }
    }
}
