//! A scale tensor's bytes become values, once its type, its shape and every value are right.

use std::borrow::Cow;

use crate::names::Slot;
use crate::scale::ScaleValue;
use crate::{Error, TensorDtype};

/// A tensor that may be a scale, as it lies in the checkpoint.
#[derive(Clone, Debug)]
pub struct RawTensor<'a> {
    /// Its name.
    pub name: String,
    /// Its element type.
    pub dtype: TensorDtype,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its bytes; `None` when it is larger than any scale can be and was not read.
    pub bytes: Option<Cow<'a, [u8]>>,
}

/// A scale that was loaded and is valid: finite, > 0, one per tensor or one per head.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Loaded {
    pub(crate) tensor: String,
    pub(crate) values: LoadedValues,
    /// It was the single `kv_scale`.
    pub(crate) deprecated: bool,
}

/// What can be loaded: neither pending nor dynamic.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum LoadedValues {
    PerTensor(f32),
    PerHead(Box<[f32]>),
}

impl LoadedValues {
    /// The values times `factor`, checked again: a product can leave the finite range.
    pub(crate) fn scaled(&self, factor: f64, at: &At<'_>) -> Result<ScaleValue, Error> {
        let times = |(i, value): (usize, f32)| {
            // One rounding, from the exact product of the f32 and the factor's f64.
            let product = (f64::from(value) * factor) as f32;
            check_value(product, i, at)
        };
        Ok(match self {
            LoadedValues::PerTensor(value) => ScaleValue::PerTensor(times((0, *value))?),
            LoadedValues::PerHead(values) => ScaleValue::PerHead(
                values.iter().copied().enumerate().map(times).collect::<Result<_, _>>()?,
            ),
        })
    }
}

/// Which scale an error speaks of.
pub(crate) struct At<'a> {
    pub(crate) tensor: &'a str,
    pub(crate) layer: usize,
    pub(crate) slot: Slot,
}

fn check_value(value: f32, index: usize, at: &At<'_>) -> Result<f32, Error> {
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(Error::InvalidScale {
        tensor: at.tensor.into(),
        layer: at.layer,
        slot: at.slot,
        index,
        value,
    })
}

/// Reads a scale tensor. `heads` is how many values a per-head one has, `None` for what is always
/// per tensor.
pub(crate) fn decode(
    raw: &RawTensor<'_>,
    heads: Option<usize>,
    at: &At<'_>,
) -> Result<LoadedValues, Error> {
    if !matches!(raw.dtype, TensorDtype::F32 | TensorDtype::F16 | TensorDtype::Bf16) {
        return Err(Error::BadScaleDtype { tensor: raw.name.clone(), dtype: raw.dtype });
    }
    let per_head = match *raw.shape.as_slice() {
        [] | [1] => false,
        [n] | [n, 1, 1] | [1, n, 1, 1] if heads == Some(n) => true,
        _ => return Err(bad_shape(raw, heads, at)),
    };
    let values: Box<[f32]> = floats(raw).ok_or_else(|| bad_shape(raw, heads, at))?;
    for (i, value) in values.iter().enumerate() {
        check_value(*value, i, at)?;
    }
    match (per_head, &*values) {
        (true, _) if !values.is_empty() => Ok(LoadedValues::PerHead(values)),
        (false, [value]) => Ok(LoadedValues::PerTensor(*value)),
        _ => Err(bad_shape(raw, heads, at)),
    }
}

fn bad_shape(raw: &RawTensor<'_>, heads: Option<usize>, at: &At<'_>) -> Error {
    Error::BadScaleShape {
        tensor: raw.name.clone(),
        layer: at.layer,
        slot: at.slot,
        shape: raw.shape.clone(),
        heads,
    }
}

/// The values widened to f32, exactly; `None` when the bytes are not those of the shape.
fn floats(raw: &RawTensor<'_>) -> Option<Box<[f32]>> {
    let bytes = raw.bytes.as_deref()?;
    let count = raw.shape.iter().try_fold(1_usize, |n, d| n.checked_mul(*d))?;
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let values: Box<[f32]> = match raw.dtype {
        TensorDtype::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        TensorDtype::F16 => {
            bytes.chunks_exact(2).map(|b| half::f16::from_bits(half(b)).to_f32()).collect()
        }
        TensorDtype::Bf16 => {
            bytes.chunks_exact(2).map(|b| half::bf16::from_bits(half(b)).to_f32()).collect()
        }
        _ => return None,
    };
    let whole = bytes.len() as u64 * 8 == count as u64 * raw.dtype.bits();
    (whole && values.len() == count).then_some(values)
}

/// Zero points must be zero: the cache is symmetric.
pub(crate) fn check_zero_point(raw: &RawTensor<'_>, at: &At<'_>) -> Result<(), Error> {
    let nonzero = |value: String| {
        Err(Error::NonzeroZeroPoint {
            tensor: raw.name.clone(),
            layer: at.layer,
            slot: at.slot,
            value,
        })
    };
    let Some(bytes) = raw.bytes.as_deref() else { return nonzero("not read, too large".into()) };
    if let Some(values) = floats(raw) {
        // -0.0 is zero as well.
        return match values.iter().find(|v| **v != 0.0) {
            Some(value) => nonzero(value.to_string()),
            None => Ok(()),
        };
    }
    match bytes.iter().position(|b| *b != 0) {
        Some(at) => nonzero(format!("nonzero at byte {at}")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(dtype: TensorDtype, shape: &[usize], bytes: &[u8]) -> RawTensor<'static> {
        let bytes = Some(Cow::Owned(bytes.to_vec()));
        RawTensor { name: "t".into(), dtype, shape: shape.to_vec(), bytes }
    }

    fn read(raw: &RawTensor<'_>, heads: Option<usize>) -> Result<LoadedValues, Error> {
        decode(raw, heads, &At { tensor: "t", layer: 3, slot: Slot::K })
    }

    #[test]
    fn every_shape_and_type_of_the_specification_is_read() {
        let bf16 = [0x80, 0x3f, 0x00, 0x40];
        let both = LoadedValues::PerHead([1.0, 2.0].into());
        for shape in [&[2][..], &[2, 1, 1], &[1, 2, 1, 1]] {
            assert_eq!(read(&raw(TensorDtype::Bf16, shape, &bf16), Some(2)).unwrap(), both);
            assert!(read(&raw(TensorDtype::Bf16, shape, &bf16), Some(3)).is_err());
            assert!(read(&raw(TensorDtype::Bf16, shape, &bf16), None).is_err());
        }
        for shape in [&[][..], &[1]] {
            for (dtype, bytes) in [
                (TensorDtype::F32, &1.5_f32.to_le_bytes()[..]),
                (TensorDtype::F16, &[0x00, 0x3e]),
                (TensorDtype::Bf16, &[0xc0, 0x3f]),
            ] {
                for heads in [None, Some(1), Some(4)] {
                    let values = read(&raw(dtype, shape, bytes), heads).unwrap();
                    assert_eq!(values, LoadedValues::PerTensor(1.5));
                }
            }
        }
        for shape in [&[2, 1][..], &[1, 1], &[1, 2, 1], &[2, 2], &[1, 1, 2, 1], &[0], &[0, 1, 1]] {
            let heads = Some(shape[0]);
            let error = read(&raw(TensorDtype::Bf16, shape, &bf16), heads).unwrap_err();
            assert!(matches!(error, Error::BadScaleShape { .. }), "{shape:?}: {error}");
        }
        assert!(matches!(
            read(&raw(TensorDtype::F64, &[], &[0; 8]), None),
            Err(Error::BadScaleDtype { .. })
        ));
    }

    #[test]
    fn bytes_that_are_not_those_of_the_shape_are_refused() {
        for bytes in [&[][..], &[0; 3], &[0; 8]] {
            assert!(read(&raw(TensorDtype::F32, &[], bytes), None).is_err());
        }
        let huge = raw(TensorDtype::F32, &[usize::MAX, 2], &[]);
        assert!(floats(&huge).is_none());
        assert!(read(&RawTensor { bytes: None, ..raw(TensorDtype::F32, &[], &[]) }, None).is_err());
    }

    #[test]
    fn a_bad_value_is_named_with_its_place() {
        for value in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let bytes = [1.0_f32.to_le_bytes(), value.to_le_bytes()].concat();
            let error = read(&raw(TensorDtype::F32, &[2], &bytes), Some(2)).unwrap_err();
            let message = error.to_string();
            let expected = format!("`t` (k of layer 3): value {value:?} at index 1");
            assert!(message.contains(&expected), "{message}");
        }
        let at = At { tensor: "t", layer: 0, slot: Slot::K };
        let big = LoadedValues::PerTensor(f32::MAX);
        assert!(big.scaled(2.0, &at).is_err());
        assert_eq!(big.scaled(0.5, &at).unwrap(), ScaleValue::PerTensor(f32::MAX / 2.0));
        assert!(LoadedValues::PerTensor(f32::from_bits(1)).scaled(0.25, &at).is_err());
    }

    #[test]
    fn zero_points_are_zero_of_any_type() {
        let at = At { tensor: "t", layer: 0, slot: Slot::K };
        let check =
            |dtype, shape: &[usize], bytes: &[u8]| check_zero_point(&raw(dtype, shape, bytes), &at);
        assert!(check(TensorDtype::Bf16, &[2], &[0, 0, 0, 0x80]).is_ok());
        assert!(check(TensorDtype::I8, &[2], &[0, 0]).is_ok());
        assert!(check(TensorDtype::I64, &[], &[0; 8]).is_ok());
        assert!(check(TensorDtype::Bf16, &[1], &[0x80, 0x3f]).is_err());
        assert!(check(TensorDtype::U8, &[2], &[0, 128]).is_err());
    }
}
