//! A resolved set as rows of plain data, for tables and JSON alike. Rendering is the caller's.

use serde::Serialize;

use crate::names::Slot;
use crate::resolved::ResolvedScales;
use crate::scale::{LayerScales, Scale};

/// Everything there is to show of a resolved set. Serializes to what `inspect --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The dtypes, `auto` as what it became.
    pub kv_cache_dtype: String,
    /// The layers that have a KV cache.
    pub layers: Vec<ReportLayer>,
    /// The warnings.
    pub warnings: Vec<ReportWarning>,
}

/// One layer of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportLayer {
    /// The layer's number.
    pub layer: usize,
    /// Its dtypes, where they are not the report's: the layer is exempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kv_cache_dtype: Option<String>,
    /// The query scale.
    pub q: ReportScale,
    /// The key scale.
    pub k: ReportScale,
    /// The value scale.
    pub v: ReportScale,
    /// The scale of the softmax probabilities.
    pub prob: ReportScale,
}

/// One scale of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportScale {
    /// `per_tensor`, `per_head` or `per_token_head`.
    pub granularity: &'static str,
    /// The values; none when pending or dynamic.
    pub value: Vec<f32>,
    /// Where they came from.
    pub origin: &'static str,
    /// The tensor they came from, or the one that was ignored.
    pub tensor: Option<String>,
}

/// One warning of a report.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReportWarning {
    /// The stable name.
    pub code: &'static str,
    /// The text.
    pub message: String,
}

impl ReportScale {
    /// The smallest and the largest value; `None` when pending or dynamic.
    pub fn min_max(&self) -> Option<(f32, f32)> {
        let first = *self.value.first()?;
        let fold = |(min, max): (f32, f32), v: &f32| (min.min(*v), max.max(*v));
        Some(self.value.iter().fold((first, first), fold))
    }
}

impl ReportLayer {
    /// The scales with their names, in the order of a table.
    pub fn scales(&self) -> [(Slot, &ReportScale); 4] {
        [(Slot::Q, &self.q), (Slot::K, &self.k), (Slot::V, &self.v), (Slot::Prob, &self.prob)]
    }
}

impl ResolvedScales {
    /// The set as rows.
    pub fn report(&self) -> Report {
        let scale = |scale: &Scale| ReportScale {
            granularity: scale.value.granularity(),
            value: scale.value.values().to_vec(),
            origin: scale.origin.name(),
            tensor: scale.origin.tensor().map(str::to_owned),
        };
        let layer = |layer: &LayerScales| ReportLayer {
            layer: layer.layer,
            kv_cache_dtype: (layer.dtypes != self.dtypes()).then(|| layer.dtypes.to_string()),
            q: scale(&layer.q),
            k: scale(&layer.k),
            v: scale(&layer.v),
            prob: scale(&layer.prob),
        };
        let attending = self.layers().iter().filter(|l| l.has_attention());
        let warnings = self.warnings().iter();
        Report {
            kv_cache_dtype: self.dtypes().to_string(),
            layers: attending.map(layer).collect(),
            warnings: warnings
                .map(|w| ReportWarning { code: w.code.name(), message: w.message.clone() })
                .collect(),
        }
    }
}
