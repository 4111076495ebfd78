//! Compresses a table of weights to a quarter of its size and says what that cost.

use fp8_format::{F8E4M3, absmax, decode_slice, encode_slice};

fn main() {
    let weights: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.37).sin() * 3.0).collect();
    let scale = absmax(&weights) / F8E4M3::MAX;
    let mut codes = vec![F8E4M3::from_bits(0); weights.len()];
    encode_slice(&weights, scale, &mut codes);
    let mut back = vec![0f32; weights.len()];
    decode_slice(&codes, scale, &mut back);

    let worst = weights.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Three mantissa bits: half a step is 1/16 of the power of two below the largest value.
    let bound = absmax(&weights) / 16.0;
    assert!(worst > 0.0 && worst <= bound, "error {worst}, bound {bound}");
    println!("{} bytes instead of {}, worst error {worst:.3}", codes.len(), weights.len() * 4);
}
