//! Warnings as data: what was done that a user may not have meant.

use std::collections::BTreeMap;

/// What a warning is about. The name is stable; the message is for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WarningCode {
    /// Nothing was loaded for a quantized side: 1.0.
    DefaultScale,
    /// The same for INT8, where it ruins accuracy.
    Int8DefaultScale,
    /// An INT8 scale is exactly 1.0.
    Int8ScaleOne,
    /// All E4M3 scales of a layer are exactly 1.0.
    Fp8ScaleOne,
    /// No q scale was loaded; the message says what it was set to.
    QFallback,
    /// The attention math quantizes Q or P and their scale is 1.0.
    UncalibratedQOrProb,
    /// A q or prob scale was loaded that the attention math does not use.
    UnusedByMath,
    /// The single `kv_scale`.
    DeprecatedKvScale,
    /// V got K's scale without a `kv_scale` saying so.
    VDuplicatedFromK,
    /// E5M2 was asked for and the checkpoint carries calibrated FP8 scales of another format.
    E5m2OnCalibrated,
    /// Scales were converted to another format, as asked.
    Rescaled,
    /// `calculate_kv_scales` was turned off by a loaded q scale.
    CalculateDisabledByQ,
    /// Loaded scales were not used because scales are calculated on the fly.
    LoadedIgnoredOnTheFly,
    /// `calculate_kv_scales` has nothing to calculate.
    NothingToCalculate,
    /// Loaded scales were not used because the side is not quantized.
    IgnoredUnquantized,
    /// Loaded scales were not used because scales are dynamic, per token and head.
    IgnoredDynamic,
    /// Loaded scales were not used because the layer is exempt.
    IgnoredSkipped,
    /// Two names for one scale, of equal value.
    DuplicateName,
    /// Scales of a vision or audio tower, which has no KV cache here.
    OtherTower,
    /// Scales of layers that predict further tokens, which are not run here.
    PredictLayer,
    /// The granularity of a tensor is not what the config says.
    StrategyMismatch,
    /// A scale is so small or large that it is hardly one.
    ImplausibleScale,
    /// A safetensors file outside the index holds scales that are not read.
    UnlistedFile,
    /// Lenient: a scale was invalid and was not used.
    InvalidScale,
    /// Lenient: a scale calibrated for another format was not used.
    ScaleDtypeMismatch,
    /// Lenient: V's scale was there and K's not.
    MissingKScale,
    /// Lenient, or nothing quantized: tensors that look like KV scales were not used.
    Leftover,
}

impl WarningCode {
    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            WarningCode::DefaultScale => "default_scale",
            WarningCode::Int8DefaultScale => "int8_default_scale",
            WarningCode::Int8ScaleOne => "int8_scale_one",
            WarningCode::Fp8ScaleOne => "fp8_scale_one",
            WarningCode::QFallback => "q_fallback",
            WarningCode::UncalibratedQOrProb => "uncalibrated_q_or_prob",
            WarningCode::UnusedByMath => "unused_by_math",
            WarningCode::DeprecatedKvScale => "deprecated_kv_scale",
            WarningCode::VDuplicatedFromK => "v_duplicated_from_k",
            WarningCode::E5m2OnCalibrated => "e5m2_on_calibrated",
            WarningCode::Rescaled => "rescaled",
            WarningCode::CalculateDisabledByQ => "calculate_disabled_by_q",
            WarningCode::LoadedIgnoredOnTheFly => "loaded_ignored_on_the_fly",
            WarningCode::NothingToCalculate => "nothing_to_calculate",
            WarningCode::IgnoredUnquantized => "ignored_unquantized",
            WarningCode::IgnoredDynamic => "ignored_dynamic",
            WarningCode::IgnoredSkipped => "ignored_skipped",
            WarningCode::DuplicateName => "duplicate_name",
            WarningCode::OtherTower => "other_tower",
            WarningCode::PredictLayer => "predict_layer",
            WarningCode::StrategyMismatch => "strategy_mismatch",
            WarningCode::ImplausibleScale => "implausible_scale",
            WarningCode::UnlistedFile => "unlisted_file",
            WarningCode::InvalidScale => "invalid_scale",
            WarningCode::ScaleDtypeMismatch => "scale_dtype_mismatch",
            WarningCode::MissingKScale => "missing_k_scale",
            WarningCode::Leftover => "leftover",
        }
    }

    /// What the message opens with.
    fn text(self) -> &'static str {
        match self {
            WarningCode::DefaultScale => "no scale in the checkpoint, using 1.0",
            WarningCode::Int8DefaultScale => {
                "int8 needs calibrated scales (absmax / 127) and the checkpoint has none; 1.0 will \
                 likely cost severe accuracy: use a calibrated checkpoint, calculate_kv_scales, or \
                 an fp8 dtype"
            }
            WarningCode::Int8ScaleOne => {
                "an int8 scale is exactly 1.0; expected absmax / 127, so values will overflow or \
                 lose all precision"
            }
            WarningCode::Fp8ScaleOne => {
                "all scales are 1.0 for fp8_e4m3; if that is not meant, check that the checkpoint \
                 holds calibrated scales"
            }
            WarningCode::QFallback => "no q scale in the checkpoint",
            WarningCode::UncalibratedQOrProb => {
                "the attention math quantizes Q or P and their scale is 1.0, which may cost accuracy"
            }
            WarningCode::UnusedByMath => "loaded, but the attention math chosen does not use it",
            WarningCode::DeprecatedKvScale => {
                "the single `kv_scale` is deprecated; it stands for k, and for v when v has none"
            }
            WarningCode::VDuplicatedFromK => "v has no scale, using k's",
            WarningCode::E5m2OnCalibrated => {
                "fp8_e5m2 on a checkpoint that carries calibrated FP8 scales; fp8_e4m3 is what \
                 they were calibrated for"
            }
            WarningCode::Rescaled => "scales calibrated for another format were converted",
            WarningCode::CalculateDisabledByQ => {
                "a loaded q scale turns calculate_kv_scales off; the checkpoint's scales are used"
            }
            WarningCode::LoadedIgnoredOnTheFly => {
                "loaded scales are not used, they are calculated on the fly as asked"
            }
            WarningCode::NothingToCalculate => {
                "calculate_kv_scales has nothing to do: no side has static scales"
            }
            WarningCode::IgnoredUnquantized => {
                "loaded scales are not used, the cache is not quantized"
            }
            WarningCode::IgnoredDynamic => {
                "loaded scales are not used, scales are per token and head"
            }
            WarningCode::IgnoredSkipped => "loaded scales are not used, the layer is exempt",
            WarningCode::DuplicateName => "two names for one scale, of equal value",
            WarningCode::OtherTower => "scales of a vision or audio tower are not used",
            WarningCode::PredictLayer => {
                "scales of layers that predict further tokens are not used"
            }
            WarningCode::StrategyMismatch => "the granularity is not what the config says",
            WarningCode::ImplausibleScale => "hardly a scale",
            WarningCode::UnlistedFile => {
                "scales in a file that the index does not list are not read"
            }
            WarningCode::InvalidScale => "invalid and not used (lenient)",
            WarningCode::ScaleDtypeMismatch => {
                "calibrated for another format and not used (lenient)"
            }
            WarningCode::MissingKScale => "v has a scale and k has none; k set to 1.0 (lenient)",
            WarningCode::Leftover => "look like KV scales and are not used",
        }
    }
}

impl std::fmt::Display for WarningCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// One warning for all the layers it concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about.
    pub code: WarningCode,
    /// For people: what was done, the layers, the first details.
    pub message: String,
    /// The layers it concerns, ascending; empty when it concerns none in particular.
    pub layers: Vec<usize>,
}

/// Gathers what single layers have to say into one warning per code.
#[derive(Default)]
pub(crate) struct Warnings {
    by_code: BTreeMap<WarningCode, (Vec<usize>, Vec<String>)>,
}

impl Warnings {
    pub(crate) fn add(
        &mut self,
        code: WarningCode,
        layer: impl Into<Option<usize>>,
        detail: String,
    ) {
        let (layers, details) = self.by_code.entry(code).or_default();
        layers.extend(layer.into());
        if !detail.is_empty() {
            details.push(detail);
        }
    }

    /// In the order of the codes; layers and details sorted, so that the order in which the
    /// tensors came does not show.
    pub(crate) fn finish(self) -> Vec<Warning> {
        self.by_code
            .into_iter()
            .map(|(code, (layers, details))| join(code, layers, details))
            .collect()
    }
}

fn join(code: WarningCode, mut layers: Vec<usize>, details: Vec<String>) -> Warning {
    const SHOWN: usize = 3;
    layers.sort_unstable();
    layers.dedup();
    let mut message = match ranges(&layers) {
        None => code.text().to_owned(),
        Some(ranges) if layers.len() == 1 => format!("layer {ranges}: {}", code.text()),
        Some(ranges) => format!("layers {ranges}: {}", code.text()),
    };
    let mut unique: Vec<String> = Vec::new();
    for detail in details {
        if !unique.contains(&detail) && unique.len() <= SHOWN {
            unique.push(detail);
        }
    }
    for (i, detail) in unique.iter().enumerate() {
        message.push_str(if i == 0 { ": " } else { "; " });
        message.push_str(if i == SHOWN { "…" } else { detail });
    }
    Warning { code, message, layers }
}

/// `0-3, 5`, at most eight runs of them.
fn ranges(sorted: &[usize]) -> Option<String> {
    const RUNS: usize = 8;
    sorted.first()?;
    let runs: Vec<_> = sorted.chunk_by(|a, b| a + 1 == *b).collect();
    let mut texts: Vec<String> = runs
        .iter()
        .take(RUNS)
        .map(|run| match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    if runs.len() > RUNS {
        texts.push("…".into());
    }
    Some(texts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_per_code_names_its_layers_once() {
        let mut warnings = Warnings::default();
        for layer in [4, 2, 1, 7, 2] {
            warnings.add(WarningCode::QFallback, layer, "set to 1.0".into());
        }
        warnings.add(WarningCode::DefaultScale, None, String::new());
        let list = warnings.finish();
        assert_eq!(list[0].code, WarningCode::DefaultScale);
        assert_eq!(list[0].message, "no scale in the checkpoint, using 1.0");
        assert_eq!(list[1].layers, [1, 2, 4, 7]);
        assert_eq!(list[1].message, "layers 1-2, 4, 7: no q scale in the checkpoint: set to 1.0");
    }

    #[test]
    fn long_lists_are_cut() {
        let layers: Vec<usize> = (0..40).map(|i| i * 2).collect();
        assert_eq!(ranges(&layers).unwrap(), "0, 2, 4, 6, 8, 10, 12, 14, …");
        let details = (0..9).map(|i| format!("d{i}")).collect();
        let warning = join(WarningCode::Leftover, vec![], details);
        assert!(warning.message.ends_with("not used: d0; d1; d2; …"), "{}", warning.message);
    }
}
