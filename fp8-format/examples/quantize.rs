//! Quantizes a bell curve to each one-byte type and prints what that costs.
//!
//! `cargo run -p fp8-format --example quantize`

use fp8_format::{Code, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Overflow};
use fp8_format::{absmax_encode, decode_slice};

/// Encodes with a scale that uses the whole range, decodes, and compares.
fn round_trip<C: Code>(values: &[f32]) {
    let mut codes = vec![C::encode(0.0, Overflow::Saturate); values.len()];
    let scale = absmax_encode(values, &mut codes);
    let mut back = vec![0.0; values.len()];
    decode_slice(&codes, scale, &mut back);

    let errors = values.iter().zip(&back).map(|(x, y)| f64::from(x - y));
    let (largest, noise) =
        errors.fold((0.0, 0.0), |(max, sum), e| (f64::max(max, e.abs()), sum + e * e));
    let signal: f64 = values.iter().map(|&x| f64::from(x * x)).sum();
    let name = C::ELEMENT_TYPE;
    println!("{name:13} {scale:12.6} {largest:14.6} {:10.1} dB", 10.0 * (signal / noise).log10());
}

fn main() {
    // Sums of twelve uniform numbers are close to a normal distribution of deviation 1.
    let mut state = 1_u32;
    let mut uniform = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    };
    let values: Vec<f32> =
        (0..100_000).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect();

    println!("{:13} {:>12} {:>14} {:>13}", "type", "scale", "largest error", "signal/noise");
    round_trip::<F8E4M3>(&values);
    round_trip::<F8E5M2>(&values);
    round_trip::<F8E4M3Fnuz>(&values);
    round_trip::<F8E5M2Fnuz>(&values);
    round_trip::<i8>(&values);
}
