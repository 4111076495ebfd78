//! What a caller asks of the resolution.

use std::str::FromStr;

use crate::model::{GivenShape, LayerKind};
use crate::{Error, KvDtype, KvDtypes};

/// Which FP8 formats the hardware computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Platform {
    /// OCP E4M3 and E5M2: NVIDIA, AMD since CDNA 4, the CPU here.
    #[default]
    Ocp,
    /// The FNUZ variants: AMD's first generation. `fp8` then stores FNUZ codes, which decode to
    /// half of what the OCP code of the same bits does, so scales from a checkpoint are doubled.
    Fnuz,
}

impl FromStr for Platform {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        match name {
            "ocp" => Ok(Platform::Ocp),
            "fnuz" => Ok(Platform::Fnuz),
            _ => Err(Error::UnknownOption {
                option: "platform",
                value: name.into(),
                valid: "ocp, fnuz",
            }),
        }
    }
}

/// What q's scale is when the checkpoint has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QFallback {
    /// 1.0.
    #[default]
    One,
    /// The k scale; 1.0 where that is per token and head.
    KScale,
}

/// Which layers keep the model's dtype.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SkipLayers {
    /// By number.
    pub layers: Vec<usize>,
    /// Every layer with sliding-window attention.
    pub sliding_window: bool,
}

impl SkipLayers {
    pub(crate) fn contains(&self, layer: usize, kind: LayerKind) -> bool {
        self.layers.contains(&layer) || self.sliding_window && kind == LayerKind::Sliding
    }
}

impl FromStr for SkipLayers {
    type Err = Error;

    /// `0,3,sliding_window`: numbers, the name, or both.
    fn from_str(text: &str) -> Result<Self, Error> {
        let mut skip = SkipLayers::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.parse() {
                Ok(layer) => skip.layers.push(layer),
                Err(_) if part == "sliding_window" => skip.sliding_window = true,
                Err(_) => {
                    return Err(Error::UnknownOption {
                        option: "skip_layers",
                        value: part.into(),
                        valid: "layer numbers, sliding_window",
                    });
                }
            }
        }
        Ok(skip)
    }
}

/// Which of the scales beyond K's and V's the chosen attention math reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MathUses {
    /// The math quantizes Q.
    pub q: bool,
    /// The math quantizes the probabilities.
    pub prob: bool,
}

/// What to resolve, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveOptions {
    /// The cache's dtypes; `auto` is what the config asks for, else the model's dtype.
    pub dtype: KvDtypes,
    /// The model's dtype, when `config.json` does not say it: F32, F16 or Bf16.
    pub model_dtype: Option<KvDtype>,
    /// Numbers of layers and heads that win over `config.json`.
    pub shape: GivenShape,
    /// Calculate scales from the first batch instead of using the checkpoint's.
    pub calculate_kv_scales: bool,
    /// Which FP8 formats the hardware computes in.
    pub platform: Platform,
    /// Fail on what would otherwise be dropped or replaced (the default); else warn. Two names
    /// that disagree about one scale are an error either way.
    pub strict: bool,
    /// Convert scales that were calibrated for another format.
    pub rescale: bool,
    /// What q's scale is when the checkpoint has none.
    pub q_fallback: QFallback,
    /// Layers that keep the model's dtype.
    pub skip_layers: SkipLayers,
    /// What the attention math reads.
    pub math_uses: MathUses,
}

impl Default for ResolveOptions {
    fn default() -> Self {
        ResolveOptions {
            dtype: KvDtypes::default(),
            model_dtype: None,
            shape: GivenShape::default(),
            calculate_kv_scales: false,
            platform: Platform::Ocp,
            strict: true,
            rescale: false,
            q_fallback: QFallback::One,
            skip_layers: SkipLayers::default(),
            math_uses: MathUses::default(),
        }
    }
}
