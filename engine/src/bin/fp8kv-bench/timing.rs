//! How long something takes on a machine that others use too.

use std::time::{Duration, Instant};

/// Runs `work` until `budget` is spent, three times at least, once before that to warm up, and
/// returns the median in seconds: what one can expect, not what one may hope for.
pub(crate) fn median(budget: Duration, work: impl FnMut()) -> f64 {
    let mut times = samples(budget, work);
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The same, but the best: for a limit that nothing else may pass.
pub(crate) fn best(budget: Duration, work: impl FnMut()) -> f64 {
    samples(budget, work).into_iter().fold(f64::INFINITY, f64::min)
}

fn samples(budget: Duration, mut work: impl FnMut()) -> Vec<f64> {
    work();
    let started = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || started.elapsed() < budget {
        let begun = Instant::now();
        work();
        times.push(begun.elapsed().as_secs_f64());
    }
    times
}

/// A reproducible stream of values that look like keys and values: mostly small, a few large.
pub(crate) struct Values(u64);

impl Values {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    fn uniform(&mut self) -> f32 {
        // A 64-bit multiplicative congruential generator; its high bits are good enough here.
        self.0 = self.0.wrapping_mul(0xF135_7AEA_2E62_A9C5);
        (self.0 >> 40) as f32 / (1u32 << 24) as f32
    }

    /// Near to a normal distribution: the sum of four uniform values, standard deviation 1.
    pub(crate) fn next(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.uniform()).sum();
        (sum - 2.0) * 3f32.sqrt()
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.next()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_spread_and_reproducible() {
        let values = Values::new(7).take(10_000);
        assert_eq!(values, Values::new(7).take(10_000));
        let mean = values.iter().sum::<f32>() / 1e4;
        let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / 1e4;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }
}
