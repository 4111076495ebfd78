//! Which format scales were calibrated for, and what turns one format's scale into another's.

use fp8_format::ElementType;

use crate::{Error, KvDtype};

use super::options::Platform;

/// The format of the codes of a quantized dtype.
pub(crate) fn codes(dtype: KvDtype, platform: Platform) -> Option<ElementType> {
    let fnuz = platform == Platform::Fnuz;
    Some(match dtype {
        KvDtype::Auto | KvDtype::F32 | KvDtype::F16 | KvDtype::Bf16 => return None,
        KvDtype::Fp8E4M3 | KvDtype::Fp8PerTokenHead if fnuz => ElementType::F8E4M3Fnuz,
        KvDtype::Fp8E5M2 if fnuz => ElementType::F8E5M2Fnuz,
        KvDtype::Fp8E4M3 | KvDtype::Fp8PerTokenHead => ElementType::F8E4M3,
        KvDtype::Fp8E5M2 => ElementType::F8E5M2,
        KvDtype::Fp8E4M3Fnuz => ElementType::F8E4M3Fnuz,
        KvDtype::Fp8E5M2Fnuz => ElementType::F8E5M2Fnuz,
        KvDtype::Int8 | KvDtype::Int8PerTokenHead => ElementType::Int8,
    })
}

/// The range a checkpoint's scale divides the data by: FNUZ scales are written in their OCP form
/// and doubled when read, so both variants of a format are one family.
fn family(element: ElementType) -> ElementType {
    match element {
        ElementType::F8E4M3Fnuz => ElementType::F8E4M3,
        ElementType::F8E5M2Fnuz => ElementType::F8E5M2,
        other => other,
    }
}

/// What a checkpoint's scale is multiplied by, or `None` where it must not be used because it was
/// calibrated for another format and no rescaling was asked for.
pub(super) fn factor(calibrated: ElementType, used: ElementType, rescale: bool) -> Option<f64> {
    let (from, to) = (family(calibrated), family(used));
    let doubled = if used == to { 1.0 } else { 2.0 };
    if from == to {
        Some(doubled)
    } else {
        let ratio = f64::from(from.max()) / f64::from(to.max());
        rescale.then_some(ratio * doubled)
    }
}

impl KvDtype {
    /// What one element is stored as, in a model of type `model` (which is what `auto` means).
    pub fn element_type(self, model: ElementType) -> ElementType {
        match self {
            KvDtype::Auto => model,
            KvDtype::F32 => ElementType::F32,
            KvDtype::F16 => ElementType::F16,
            KvDtype::Bf16 => ElementType::Bf16,
            quantized => codes(quantized, Platform::Ocp).unwrap_or(model),
        }
    }

    /// Reads the dtype notes of checkpoints: our names, and the names of torch's dtypes.
    pub(crate) fn from_note(note: &str) -> Result<Self, Error> {
        match note {
            "float8_e4m3fn" => Ok(KvDtype::Fp8E4M3),
            "float8_e5m2" => Ok(KvDtype::Fp8E5M2),
            "float8_e4m3fnuz" => Ok(KvDtype::Fp8E4M3Fnuz),
            "float8_e5m2fnuz" => Ok(KvDtype::Fp8E5M2Fnuz),
            name => name.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_between_formats() {
        use ElementType::{F8E4M3, F8E4M3Fnuz, F8E5M2, F8E5M2Fnuz, Int8};
        for (from, to, plain, rescaled) in [
            (F8E4M3, F8E4M3, Some(1.0), 1.0),
            (F8E4M3, F8E4M3Fnuz, Some(2.0), 2.0),
            (F8E4M3Fnuz, F8E4M3Fnuz, Some(2.0), 2.0),
            (F8E4M3Fnuz, F8E4M3, Some(1.0), 1.0),
            (F8E5M2, F8E5M2Fnuz, Some(2.0), 2.0),
            (Int8, Int8, Some(1.0), 1.0),
            (F8E4M3, Int8, None, 448.0 / 127.0),
            (F8E4M3, F8E5M2, None, 448.0 / 57344.0),
            (F8E4M3, F8E5M2Fnuz, None, 2.0 * 448.0 / 57344.0),
            (Int8, F8E4M3, None, 127.0 / 448.0),
            (F8E5M2, F8E4M3, None, 128.0),
        ] {
            assert_eq!(factor(from, to, false), plain, "{from:?} {to:?}");
            assert_eq!(factor(from, to, true), Some(rescaled), "{from:?} {to:?}");
        }
    }

    #[test]
    fn elements_of_each_dtype() {
        let model = ElementType::Bf16;
        for dtype in KvDtype::ALL {
            let element = dtype.element_type(model);
            assert_eq!(element.is_quantized(), dtype.is_quantized(), "{dtype}");
            let name = dtype.name();
            let same = name == element.name() || dtype.is_per_token_head() || name == "auto";
            assert!(same, "{name} {}", element.name());
        }
        assert_eq!(KvDtype::Auto.element_type(ElementType::F16), ElementType::F16);
        assert_eq!(KvDtype::Fp8PerTokenHead.element_type(model), ElementType::F8E4M3);
        assert_eq!(KvDtype::Int8PerTokenHead.element_type(model), ElementType::Int8);
        assert_eq!(codes(KvDtype::Fp8E4M3, Platform::Fnuz), Some(ElementType::F8E4M3Fnuz));
        assert_eq!(codes(KvDtype::Int8, Platform::Fnuz), Some(ElementType::Int8));
    }
}
