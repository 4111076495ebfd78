//! The features for other crates.

use fp8_format::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E8M0, Fp8};
use num_traits::{AsPrimitive, Bounded, ToPrimitive};

#[test]
fn bits_survive_every_cast() {
    let bytes: Vec<u8> = (0..=255).collect();
    let codes: &[F8E5M2] = bytemuck::cast_slice(&bytes);
    for (bits, &code) in (0..=255).zip(codes) {
        assert_eq!(code.to_bits(), bits);
        assert_eq!(float8::F8E5M2::from(code).to_bits(), bits);
        assert_eq!(F8E5M2::from(float8::F8E5M2::from_bits(bits)).to_bits(), bits);
        assert_eq!(float8::F8E4M3::from(F8E4M3::from_bits(bits)).to_bits(), bits);
        assert_eq!(F8E4M3::from(float8::F8E4M3::from_bits(bits)).to_bits(), bits);
    }
    let codes: &[F8E4M3Fnuz] = fp8_format::bytes_as_codes(&bytes);
    assert_eq!(fp8_format::codes_as_bytes(codes), bytes);
}

#[test]
fn serde_writes_bits_nan_included() {
    let values = [F8E4M3::ONE, F8E4M3::NAN, F8E4M3::MIN_CODE];
    let json = serde_json::to_string(&values).unwrap();
    assert_eq!(json, "[56,127,254]");
    let back: [F8E4M3; 3] = serde_json::from_str(&json).unwrap();
    assert_eq!(back.map(F8E4M3::to_bits), values.map(F8E4M3::to_bits));
    assert_eq!(serde_json::to_string(&F8E8M0::ONE).unwrap(), "127");
    assert!(serde_json::from_str::<F8E4M3>("1.5").is_err());
}

#[test]
fn num_traits_sees_the_value() {
    assert_eq!(<F8E4M3 as Bounded>::max_value(), F8E4M3::MAX_CODE);
    assert_eq!(<F8E4M3 as Bounded>::min_value().to_i64(), Some(-448));
    assert_eq!(ToPrimitive::to_u64(&F8E4M3::MIN_CODE), None);
    assert_eq!(ToPrimitive::to_f64(&F8E5M2::INFINITY), Some(f64::INFINITY));
    let x: f32 = F8E4M3::ONE.as_();
    assert_eq!(x, 1.0);
    assert!(Fp8::is_nan(F8E5M2::NAN));
}
