//! `config.json` → [`ModelConfig`]: the shape of a decoder, checked before anything is loaded.
//!
//! Four architectures share one decoder: RMSNorm, rotary attention over grouped heads, a gated
//! SiLU MLP. What differs is biases (Qwen2 on q, k, v), a norm on each head of q and k (Qwen3)
//! and a sliding window (Mistral, Qwen). Absent fields take the value transformers gives them.

mod fields;
mod quantization;
mod rope;
#[cfg(test)]
mod tests;

pub use rope::{Rope, RopeScaling};

use crate::Error;
use fields::Fields;
use fp8_format::ElementType;
use serde_json::Value;

/// The decoders this engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Architecture {
    /// `LlamaForCausalLM`.
    Llama,
    /// `MistralForCausalLM`: Llama with a sliding window.
    Mistral,
    /// `Qwen2ForCausalLM`: biases on q, k and v.
    Qwen2,
    /// `Qwen3ForCausalLM`: a norm over each head of q and k.
    Qwen3,
}

const ARCHITECTURES: [(Architecture, &str, &str); 4] = [
    (Architecture::Llama, "LlamaForCausalLM", "llama"),
    (Architecture::Mistral, "MistralForCausalLM", "mistral"),
    (Architecture::Qwen2, "Qwen2ForCausalLM", "qwen2"),
    (Architecture::Qwen3, "Qwen3ForCausalLM", "qwen3"),
];
const SUPPORTED: &str = "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM";

impl Architecture {
    /// The name in `architectures`.
    #[must_use]
    pub fn name(self) -> &'static str {
        ARCHITECTURES.iter().find(|(a, ..)| *a == self).map_or("", |(_, name, _)| name)
    }
}

/// The shape of a decoder and the constants of its arithmetic.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// Which decoder.
    pub architecture: Architecture,
    /// Rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the MLP.
    pub intermediate_size: usize,
    /// Decoder layers.
    pub num_layers: usize,
    /// Query heads.
    pub num_heads: usize,
    /// Key and value heads; divides `num_heads`.
    pub num_kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// The longest sequence the model was made for: a longer prompt is refused.
    pub max_position_embeddings: usize,
    /// Added to the mean square in RMSNorm.
    pub rms_norm_eps: f32,
    /// The rotary embedding.
    pub rope: Rope,
    /// Whether the embedding is also the output projection.
    pub tie_word_embeddings: bool,
    /// Whether q, k and v have biases.
    pub qkv_bias: bool,
    /// Whether the attention's output projection has a bias.
    pub o_bias: bool,
    /// Whether the MLP's three projections have biases.
    pub mlp_bias: bool,
    /// Whether each head of q and k is normed before it is rotated.
    pub qk_norm: bool,
    /// Per layer, how many positions back (itself included) a token sees; `None` is all of them.
    pub windows: Vec<Option<usize>>,
    /// `dtype` or `torch_dtype`, where the config has one.
    pub dtype: Option<ElementType>,
    /// The id that begins a text.
    pub bos_token_id: Option<u32>,
    /// The ids that end a text; `generation_config.json` wins over `config.json`.
    pub eos_token_ids: Vec<u32>,
}

impl ModelConfig {
    /// Checks `config.json` and, where there is one, `generation_config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] for a missing or wrong field, [`Error::Unsupported`] for a decoder this
    /// engine does not compute; both name the field and the value.
    pub fn from_json(config: &Value, generation: Option<&Value>) -> Result<Self, Error> {
        let root = Fields::new(config, "")?;
        let architecture = architecture(&root)?;
        quantization::check(&root)?;
        match root.text("hidden_act")? {
            None | Some("silu") => {}
            Some(other) => {
                return Err(Error::Unsupported {
                    field: "hidden_act".into(),
                    value: other.into(),
                    supported: "silu",
                });
            }
        }
        let hidden_size = root.required_dimension("hidden_size")?;
        let num_layers = root.required_dimension("num_hidden_layers")?;
        let (num_heads, num_kv_heads, head_dim) = heads(&root, architecture, hidden_size)?;
        let attention_bias = root.flag("attention_bias", false)?;
        let (qkv_bias, o_bias) = match architecture {
            Architecture::Llama | Architecture::Qwen3 => (attention_bias, attention_bias),
            Architecture::Qwen2 => (true, false),
            Architecture::Mistral => (false, false),
        };
        let generation = generation.map(|value| Fields::new(value, "generation_config.json"));
        let generation = generation.transpose()?;
        let mut eos_token_ids = match &generation {
            Some(fields) => fields.token_ids("eos_token_id")?,
            None => Vec::new(),
        };
        if eos_token_ids.is_empty() {
            eos_token_ids = root.token_ids("eos_token_id")?;
        }
        let max_position_embeddings = root.required_dimension("max_position_embeddings")?;
        Ok(Self {
            architecture,
            vocab_size: root.required_dimension("vocab_size")?,
            hidden_size,
            intermediate_size: root.required_dimension("intermediate_size")?,
            num_layers,
            num_heads,
            num_kv_heads,
            head_dim,
            max_position_embeddings,
            rms_norm_eps: root.positive("rms_norm_eps")?.unwrap_or(1e-6) as f32,
            rope: rope::parse(&root)?,
            tie_word_embeddings: root.flag("tie_word_embeddings", false)?,
            qkv_bias,
            o_bias,
            mlp_bias: architecture == Architecture::Llama && root.flag("mlp_bias", false)?,
            qk_norm: architecture == Architecture::Qwen3,
            windows: windows(&root, architecture, num_layers, max_position_embeddings)?,
            dtype: dtype(&root)?,
            bos_token_id: root.token_ids("bos_token_id")?.first().copied(),
            eos_token_ids,
        })
    }

    /// Query heads per key/value head.
    #[must_use]
    pub fn group_size(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }
}

fn architecture(root: &Fields<'_>) -> Result<Architecture, Error> {
    let unsupported = |field: &str, value: &str| Error::Unsupported {
        field: field.into(),
        value: value.into(),
        supported: SUPPORTED,
    };
    if let Some(list) = root.get("architectures") {
        let Some([Value::String(name)]) = list.as_array().map(Vec::as_slice) else {
            return Err(root.error("architectures", "must be a list of one name"));
        };
        return ARCHITECTURES
            .iter()
            .find(|(_, n, _)| n == name)
            .map(|(a, ..)| *a)
            .ok_or_else(|| unsupported("architectures", name));
    }
    let Some(name) = root.text("model_type")? else { return Err(root.missing("architectures")) };
    ARCHITECTURES
        .iter()
        .find(|(_, _, n)| *n == name)
        .map(|(a, ..)| *a)
        .ok_or_else(|| unsupported("model_type", name))
}

fn heads(
    root: &Fields<'_>,
    architecture: Architecture,
    hidden_size: usize,
) -> Result<(usize, usize, usize), Error> {
    let num_heads = root.required_dimension("num_attention_heads")?;
    let num_kv_heads = match root.dimension("num_key_value_heads")? {
        Some(n) => n,
        None => num_heads,
    };
    if num_heads % num_kv_heads != 0 {
        let message =
            format!("num_attention_heads {num_heads} is not divisible by it ({num_kv_heads})");
        return Err(root.error("num_key_value_heads", message));
    }
    let head_dim = match root.dimension("head_dim")? {
        Some(n) => n,
        // Qwen3's config class has 128 where the file is silent, whatever the hidden size.
        None if architecture == Architecture::Qwen3 => 128,
        None if hidden_size.is_multiple_of(num_heads) => hidden_size / num_heads,
        None => {
            let message = format!(
                "hidden_size {hidden_size} is not divisible by it ({num_heads}), and head_dim is \
                 not given"
            );
            return Err(root.error("num_attention_heads", message));
        }
    };
    if head_dim % 2 != 0 {
        return Err(root.error("head_dim", format!("must be even, is {head_dim}")));
    }
    Ok((num_heads, num_kv_heads, head_dim))
}

/// The window of every layer. One no shorter than the context never masks anything, and is `None`.
fn windows(
    root: &Fields<'_>,
    architecture: Architecture,
    num_layers: usize,
    max_position_embeddings: usize,
) -> Result<Vec<Option<usize>>, Error> {
    let window = match architecture {
        Architecture::Llama => None,
        // The config class's default, for a file that does not say.
        Architecture::Mistral if !root.contains("sliding_window") => Some(4096),
        Architecture::Mistral => root.dimension("sliding_window")?,
        Architecture::Qwen2 | Architecture::Qwen3 => {
            if root.flag("use_sliding_window", false)? {
                Some(root.dimension("sliding_window")?.unwrap_or(4096))
            } else {
                None
            }
        }
    }
    .filter(|window| *window < max_position_embeddings);
    if window.is_none() || architecture == Architecture::Mistral {
        return Ok(vec![window; num_layers]);
    }
    if let Some(list) = root.get("layer_types") {
        let wrong = || root.error("layer_types", "must be one name per layer");
        let list = list.as_array().filter(|l| l.len() == num_layers).ok_or_else(wrong)?;
        return list
            .iter()
            .map(|name| match name.as_str() {
                Some("full_attention") => Ok(None),
                Some("sliding_attention") => Ok(window),
                other => Err(Error::Unsupported {
                    field: "layer_types".into(),
                    value: other.unwrap_or("?").into(),
                    supported: "full_attention, sliding_attention",
                }),
            })
            .collect();
    }
    // The first `max_window_layers` see everything.
    let full = match root.get("max_window_layers") {
        None => 28,
        Some(value) => value
            .as_u64()
            .ok_or_else(|| root.error("max_window_layers", "must be a number of layers"))?
            as usize,
    };
    Ok((0..num_layers).map(|layer| if layer < full { None } else { window }).collect())
}

/// `dtype` (transformers 5) or `torch_dtype`.
fn dtype(root: &Fields<'_>) -> Result<Option<ElementType>, Error> {
    let field = if root.get("dtype").is_some() { "dtype" } else { "torch_dtype" };
    match root.text(field)? {
        None | Some("auto") => Ok(None),
        Some("float32") => Ok(Some(ElementType::F32)),
        Some("float16") => Ok(Some(ElementType::F16)),
        Some("bfloat16") => Ok(Some(ElementType::Bf16)),
        Some(other) => Err(Error::Unsupported {
            field: field.into(),
            value: other.into(),
            supported: "float32, float16, bfloat16",
        }),
    }
}
