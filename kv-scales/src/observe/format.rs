//! A format that has static scales, and what becomes of a number in it.

use fp8_format::{ElementType, F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, decode_slice, encode_slice};

use crate::resolve::{Platform, codes};
use crate::{Error, KvDtype};

/// Numbers that are rounded at once: their codes stand in a buffer of this size.
const CHUNK: usize = 1024;

/// The format of codes that one static scale belongs to: FP8 of any kind, or INT8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format(ElementType);

impl Format {
    /// The format of a KV dtype.
    ///
    /// # Errors
    /// [`Error::NoStaticScale`] for what is not quantized, or has a scale per token.
    pub fn new(dtype: KvDtype) -> Result<Self, Error> {
        match codes(dtype, Platform::Ocp) {
            Some(element) if !dtype.is_per_token_head() => Ok(Format(element)),
            _ => Err(Error::NoStaticScale { dtype }),
        }
    }

    /// What an element is stored as.
    pub fn element_type(self) -> ElementType {
        self.0
    }

    /// The largest value: `scale × max` is the end of the range.
    pub fn max(self) -> f32 {
        self.0.max()
    }

    /// What a checkpoint holds of a scale that is used: FNUZ scales are doubled when they are read.
    pub fn checkpoint_factor(self) -> f32 {
        match self.0 {
            ElementType::F8E4M3Fnuz | ElementType::F8E5M2Fnuz => 0.5,
            _ => 1.0,
        }
    }

    /// Whether the steps between codes are all of one size.
    pub(super) fn is_uniform(self) -> bool {
        self.0 == ElementType::Int8
    }

    /// Every number as it comes back from the cache, given to `each` with its place.
    ///
    /// # Panics
    /// If the scale is not finite and > 0.
    pub fn round_trip(self, values: &[f32], scale: f32, mut each: impl FnMut(usize, f32)) {
        let mut back = [0.0; CHUNK];
        for (chunk, values) in values.chunks(CHUNK).enumerate() {
            let back = &mut back[..values.len()];
            match self.0 {
                ElementType::F8E4M3 => through(values, scale, back, F8E4M3::ZERO),
                ElementType::F8E5M2 => through(values, scale, back, F8E5M2::ZERO),
                ElementType::F8E4M3Fnuz => through(values, scale, back, F8E4M3Fnuz::ZERO),
                ElementType::F8E5M2Fnuz => through(values, scale, back, F8E5M2Fnuz::ZERO),
                _ => through(values, scale, back, 0_i8),
            }
            back.iter().enumerate().for_each(|(i, x)| each(chunk * CHUNK + i, *x));
        }
    }
}

fn through<C: fp8_format::Code>(values: &[f32], scale: f32, back: &mut [f32], zero: C) {
    let mut codes = [zero; CHUNK];
    let codes = &mut codes[..values.len()];
    encode_slice(values, scale, codes);
    decode_slice(codes, scale, back);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_static_formats_are_taken() {
        for dtype in KvDtype::ALL {
            let taken = dtype.is_quantized() && !dtype.is_per_token_head();
            assert_eq!(Format::new(dtype).is_ok(), taken, "{dtype}");
        }
        let error = Format::new(KvDtype::Bf16).unwrap_err().to_string();
        assert!(error.contains("bf16") && error.contains("int8"), "{error}");
    }

    #[test]
    fn numbers_come_back_as_their_codes_decode() {
        let values: Vec<f32> = (0..3000).map(|i| (i as f32 - 1500.0) * 0.37).collect();
        for dtype in [KvDtype::Fp8E4M3, KvDtype::Fp8E5M2Fnuz, KvDtype::Int8] {
            let format = Format::new(dtype).unwrap();
            let mut seen = 0;
            format.round_trip(&values, 0.9, |i, back| {
                assert_eq!(i, seen);
                seen += 1;
                let limit = 0.9 * format.max();
                let near = values[i].clamp(-limit, limit);
                // Half a step: an eighth of the value for two bits of mantissa.
                assert!((back - near).abs() <= near.abs() / 8.0 + 0.46, "{dtype} {near} {back}");
            });
            assert_eq!(seen, values.len());
        }
    }
}
