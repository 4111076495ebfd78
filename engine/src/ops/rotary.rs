//! Rotary position embedding: frequencies once, angles once per step, the turn in every layer.
//!
//! Angles follow transformers bit by bit where that is possible: frequencies and the product with
//! the position are rounded to f32 (at position 8,000 that rounding is 5e-4 rad, so computing them
//! more exactly would give *other* numbers than the model was trained with), then sine and cosine
//! of that f32 are taken exactly and rounded once.

use crate::config::{Rope, RopeScaling};

/// The frequencies of one model.
#[derive(Debug, Clone)]
pub struct Rotary {
    inverse_frequencies: Box<[f32]>,
}

/// Cosines and sines of one step's rows: `[rows][head_dim / 2]` each.
#[derive(Debug, Default)]
pub struct Angles {
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl Rotary {
    /// The frequencies of heads of `head_dim`.
    #[must_use]
    pub fn new(rope: &Rope, head_dim: usize) -> Self {
        let theta = f64::from(rope.theta as f32);
        let inverse_frequencies = (0..head_dim / 2)
            .map(|i| {
                let exponent = (2 * i) as f32 / head_dim as f32;
                scaled(1.0 / theta.powf(f64::from(exponent)) as f32, rope.scaling)
            })
            .collect();
        Self { inverse_frequencies }
    }

    /// Radians per position, of each pair of a head.
    #[must_use]
    pub fn inverse_frequencies(&self) -> &[f32] {
        &self.inverse_frequencies
    }

    /// Computes the angles of the given positions, one row each.
    pub fn angles(&self, positions: &[u32], angles: &mut Angles) {
        angles.cos.clear();
        angles.sin.clear();
        for &position in positions {
            for &frequency in &self.inverse_frequencies {
                let (sin, cos) = f64::from(position as f32 * frequency).sin_cos();
                angles.cos.push(cos as f32);
                angles.sin.push(sin as f32);
            }
        }
    }
}

impl Angles {
    /// The cosines, `[rows][head_dim / 2]`.
    #[must_use]
    pub fn cos(&self) -> &[f32] {
        &self.cos
    }

    /// The sines, as the cosines.
    #[must_use]
    pub fn sin(&self) -> &[f32] {
        &self.sin
    }

    /// Turns every head of every row of `x` (`[rows][heads][head_dim]`) by its row's angles: pair
    /// `i` is elements `i` and `i + head_dim / 2`.
    ///
    /// # Panics
    /// If `x` is not the rows the angles were computed for.
    pub fn rotate(&self, x: &mut [f32], heads: usize, head_dim: usize) {
        let half = head_dim / 2;
        assert_eq!(x.len() * half, self.cos.len() * heads * head_dim, "one row per position");
        let rows = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in x.chunks_exact_mut(heads * head_dim).zip(rows) {
            for head in row.chunks_exact_mut(head_dim) {
                let (low, high) = head.split_at_mut(half);
                for (((low, high), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                    let (a, b) = (*low, *high);
                    *low = a * cos - b * sin;
                    *high = b * cos + a * sin;
                }
            }
        }
    }
}

/// Frequencies stretched as the checkpoint says, in f32 as transformers does.
fn scaled(frequency: f32, scaling: RopeScaling) -> f32 {
    match scaling {
        RopeScaling::Default => frequency,
        RopeScaling::Linear { factor } => frequency / factor as f32,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original_max_position_embeddings: original,
        } => {
            let wavelength = std::f32::consts::TAU / frequency;
            if wavelength > (original / low) as f32 {
                frequency / factor as f32
            } else if wavelength < (original / high) as f32 {
                frequency
            } else {
                let smooth = (original as f32 / wavelength - low as f32) / (high - low) as f32;
                (1.0 - smooth) * frequency / factor as f32 + smooth * frequency
            }
        }
    }
}
