//! What is there with neither `std` nor `half`: the whole of the crate but the 16-bit floats.
//!
//! `cargo test -p fp8-format --no-default-features` builds the library as it is without `std`; the
//! same file under default features sees that these add and take nothing away.
#![no_std]

use fp8_format::simd::Isa;
use fp8_format::{F8E4M3, F8E5M2, Fp8, Overflow, absmax_encode, decode_slice};

#[test]
fn values_and_slices_need_no_std() {
    let src = [0.5_f32, -3.0, 448.0, 2e-3];
    let mut codes = [F8E4M3::ZERO; 4];
    assert_eq!(absmax_encode(&src, &mut codes), 1.0);
    let mut back = [0.0_f32; 4];
    decode_slice(&codes, 1.0, &mut back);
    assert_eq!(back, [0.5, -3.0, 448.0, 0.001_953_125]);
    assert_eq!("0.3".parse::<F8E5M2>().map(Fp8::to_f64), Ok(0.3125));
    assert!(F8E5M2::from_f32(1e6, Overflow::NonSaturating).is_infinite());
    // Without `std` it is what the compiler was told of.
    let compiled_for = cfg!(all(target_feature = "avx2", target_feature = "f16c"));
    assert!(Isa::detected() == Isa::Avx2 || !compiled_for);
    if cfg!(not(feature = "std")) {
        assert_eq!(Isa::detected() == Isa::Avx2, compiled_for);
    }
}
