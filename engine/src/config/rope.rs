//! The rotary embedding a config asks for, in both forms: `rope_theta` with `rope_scaling`
//! (transformers 4) and `rope_parameters` (transformers 5).

use super::fields::Fields;
use crate::Error;
use serde_json::Value;

/// How positions become angles.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rope {
    /// The base: pair `i` of a head turns by `position × theta^(-2i / head_dim)`.
    pub theta: f64,
    /// What is done to those frequencies.
    pub scaling: RopeScaling,
}

/// The change of the rotary frequencies that stretches a model's context.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum RopeScaling {
    /// The frequencies as they are.
    Default,
    /// Every frequency divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Llama 3.1: low frequencies divided by `factor`, high ones kept, a smooth step between.
    Llama3 {
        /// The divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above `original_max_position_embeddings / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original_max_position_embeddings / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// The context the model was first trained at.
        original_max_position_embeddings: f64,
    },
}

const DEFAULT_THETA: f64 = 10_000.0;

/// Reads either form. Two forms side by side must not contradict each other, so `rope_theta` at
/// the top level is used only where the object has none.
pub(super) fn parse(root: &Fields<'_>) -> Result<Rope, Error> {
    let outer = root.positive("rope_theta")?;
    whole(root)?;
    let (name, object) = match (root.get("rope_parameters"), root.get("rope_scaling")) {
        (Some(value), _) => ("rope_parameters", value),
        (None, Some(value)) => ("rope_scaling", value),
        (None, None) => {
            let theta = outer.unwrap_or(DEFAULT_THETA);
            return Ok(Rope { theta, scaling: RopeScaling::Default });
        }
    };
    let fields = Fields::new(object, name)?;
    whole(&fields)?;
    let theta = match (fields.positive("rope_theta")?, outer) {
        (Some(inner), Some(outer)) if inner != outer => {
            let message = format!("is {inner}, but rope_theta is {outer}");
            return Err(fields.error("rope_theta", message));
        }
        (inner, outer) => inner.or(outer).unwrap_or(DEFAULT_THETA),
    };
    // The key was `type` until transformers 4.43.
    let kind = match fields.text("rope_type")? {
        Some(kind) => kind,
        None => fields.text("type")?.unwrap_or("default"),
    };
    let scaling = match kind {
        "default" => {
            if let Some((layer, Value::Object(_))) =
                object.as_object().and_then(|o| o.iter().find(|(_, v)| v.is_object()))
            {
                let message = "one set of parameters per layer kind is not supported";
                return Err(fields.error(layer, message));
            }
            RopeScaling::Default
        }
        "linear" => RopeScaling::Linear { factor: fields.required_positive("factor")? },
        "llama3" => llama3(&fields)?,
        other => {
            return Err(Error::Unsupported {
                field: fields.name("rope_type"),
                value: other.into(),
                supported: "default, linear, llama3",
            });
        }
    };
    Ok(Rope { theta, scaling })
}

fn llama3(fields: &Fields<'_>) -> Result<RopeScaling, Error> {
    let low_freq_factor = fields.required_positive("low_freq_factor")?;
    let high_freq_factor = fields.required_positive("high_freq_factor")?;
    if high_freq_factor <= low_freq_factor {
        let message = format!("{high_freq_factor} must exceed low_freq_factor {low_freq_factor}");
        return Err(fields.error("high_freq_factor", message));
    }
    Ok(RopeScaling::Llama3 {
        factor: fields.required_positive("factor")?,
        low_freq_factor,
        high_freq_factor,
        original_max_position_embeddings: fields
            .required_positive("original_max_position_embeddings")?,
    })
}

/// A head turned only in part is another model.
fn whole(fields: &Fields<'_>) -> Result<(), Error> {
    match fields.positive("partial_rotary_factor")? {
        None | Some(1.0) => Ok(()),
        Some(part) => Err(Error::Unsupported {
            field: fields.name("partial_rotary_factor"),
            value: part.to_string(),
            supported: "1.0",
        }),
    }
}
