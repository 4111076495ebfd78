//! The scale with the least error, whatever the error is of.
//!
//! The error as a function of the scale has many minima: every code that moves across a value
//! makes one. So it is looked at on a grid, from twice the scale of absmax (for FP8, where nothing
//! is lost by it and the steps fall elsewhere) down to a small part, then finer around the best.

use super::format::Format;
use super::histogram::Points;

/// How finely scales are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Candidates from a scale to twice it, at first.
    pub coarse: u16,
    /// Steps between two of those that are tried around the best.
    pub fine: u16,
    /// Octaves below the scale of absmax that are tried.
    pub below: u16,
}

impl Points {
    /// Σ weight × (value − what is stored)².
    pub(super) fn squared_error(&self, format: Format, scale: f32) -> f64 {
        let mut error = 0.0;
        format.round_trip(&self.values, scale, |i, back| {
            let off = f64::from(back) - f64::from(self.values[i]);
            error += self.weights[i] * off * off;
        });
        error
    }
}

/// What a scale may have in squared error over the least: 0.2 dB. So much is made by where the steps
/// fall for the values that were seen, and does not carry over to others.
const EQUALLY_GOOD: f64 = 1.05;

impl Points {
    /// On the way from `shared` to `best` the first scale that is as good as `best`, or nearly. With
    /// that a head leaves the scale that suits all heads together only where it gains by it.
    pub(super) fn nearest_to(&self, format: Format, shared: f32, full: f32, best: f32) -> f32 {
        /// Scales from one power of two to the next.
        const STEPS: f32 = 32.0;
        let highest = if format.is_uniform() { full } else { 2.0 * full };
        let start = shared.min(highest);
        let limit = EQUALLY_GOOD * self.squared_error(format, best);
        let octaves = (best / start).log2();
        let steps = (octaves.abs() * STEPS).ceil();
        (0..steps as u32)
            .map(|step| start * (octaves * step as f32 / steps).exp2())
            .find(|scale| self.squared_error(format, *scale) <= limit)
            .unwrap_or(best)
    }
}

/// Of the scales `full × 2^e`, `e` on the grid, those with the least error, for several scales side
/// by side that do not depend on one another: `error` is given one candidate for each and returns
/// the error of each. Of equal ones the largest is taken. `full` is on the grid, so a result is
/// never worse.
///
/// # Errors
/// What `error` returns.
pub fn least_error<E>(
    format: Format,
    full: &[f32],
    grid: Grid,
    mut error: impl FnMut(&[f32]) -> Result<Vec<f64>, E>,
) -> Result<Vec<f32>, E> {
    let steps = |octaves: i32| octaves * i32::from(grid.coarse) * i32::from(grid.fine);
    // Larger scales than that of absmax lose accuracy when all steps are of one size.
    let (lowest, highest) =
        (-steps(i32::from(grid.below)), if format.is_uniform() { 0 } else { steps(1) });
    let one_octave = f64::from(steps(1).max(1));
    // A scale that is not usable is replaced by the full one: never better than what is there.
    let scale = |full: f32, step: i32| {
        let scale = (f64::from(full) * (f64::from(step) / one_octave).exp2()) as f32;
        if scale.is_finite() && scale > 0.0 { scale } else { full }
    };
    let mut best: Vec<(f64, i32)> = vec![(f64::INFINITY, 0); full.len()];
    let mut candidates = full.to_vec();
    let mut consider = |best: &mut [(f64, i32)], step: &dyn Fn(usize) -> i32| {
        for (lane, candidate) in candidates.iter_mut().enumerate() {
            *candidate = scale(full[lane], step(lane));
        }
        for (lane, error) in error(&candidates)?.into_iter().enumerate() {
            if let Some(best) = best.get_mut(lane).filter(|best| error < best.0) {
                *best = (error, step(lane));
            }
        }
        Ok(())
    };
    for step in (lowest..=highest).rev().step_by(usize::from(grid.fine.max(1))) {
        consider(&mut best, &|_| step)?;
    }
    let centre: Vec<i32> = best.iter().map(|best| best.1).collect();
    let fine = i32::from(grid.fine);
    for offset in (1 - fine..fine).rev().filter(|offset| *offset != 0) {
        consider(&mut best, &|lane| (centre[lane] + offset).min(highest))?;
    }
    Ok(best.iter().zip(full).map(|(best, full)| scale(*full, best.1)).collect())
}
