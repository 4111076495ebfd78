//! The tensors of a checkpoint, located, checked and read in place.
//!
//! Everything that can be wrong (a missing tensor, a shape, a type) is found here, before the
//! first token. Matrices stay where they are, in mapped files or in the binary; norms and biases
//! are widened to f32.

mod source;

pub use source::Tensor;

use crate::Error;
use crate::config::ModelConfig;
use crate::ops::{Matrix, WeightType};
use fp8_format::ElementType;
use kv_scales::{Checkpoint, TensorEntry};
use source::Source;

/// A linear layer: `y = x · Wᵀ + b`.
pub struct Linear {
    /// `[out][in]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Option<Box<[f32]>>,
}

/// The norms of one head of q and of one head of k.
pub struct HeadNorms {
    /// `[head_dim]`.
    pub q: Box<[f32]>,
    /// `[head_dim]`.
    pub k: Box<[f32]>,
}

/// One decoder layer.
pub struct LayerWeights {
    /// The norm before attention.
    pub input_norm: Box<[f32]>,
    /// `[num_heads × head_dim][hidden]`.
    pub q: Linear,
    /// `[num_kv_heads × head_dim][hidden]`.
    pub k: Linear,
    /// `[num_kv_heads × head_dim][hidden]`.
    pub v: Linear,
    /// The norms of a head of q and of k, where the architecture has them.
    pub qk_norm: Option<HeadNorms>,
    /// `[hidden][num_heads × head_dim]`.
    pub o: Linear,
    /// The norm before the MLP.
    pub post_norm: Box<[f32]>,
    /// `[intermediate][hidden]`.
    pub gate: Linear,
    /// `[intermediate][hidden]`.
    pub up: Linear,
    /// `[hidden][intermediate]`.
    pub down: Linear,
}

/// All weights of a decoder.
pub struct Weights {
    embedding: Tensor,
    layers: Vec<LayerWeights>,
    norm: Box<[f32]>,
    output: Option<Tensor>,
    unused: Vec<String>,
}

impl Weights {
    /// Finds every tensor the config asks for.
    ///
    /// # Errors
    /// For a tensor that is missing, has another shape, or is not f32, f16 or bf16, and for a file
    /// that cannot be mapped: each names the tensor or the file.
    pub fn load(checkpoint: &Checkpoint, config: &ModelConfig) -> Result<Self, Error> {
        let mut source = Source::open(checkpoint)?;
        let hidden = config.hidden_size;
        let embedding = source.matrix("model.embed_tokens.weight", config.vocab_size, hidden)?;
        let layers = (0..config.num_layers)
            .map(|layer| load_layer(&mut source, config, layer))
            .collect::<Result<_, _>>()?;
        let norm = source.vector("model.norm.weight", hidden)?;
        let output = match config.tie_word_embeddings {
            true => None,
            false => Some(source.matrix("lm_head.weight", config.vocab_size, hidden)?),
        };
        let mut unused = Vec::new();
        for tensor in source.unused() {
            if is_quantizer(&tensor.name) {
                return Err(Error::QuantizedWeights { name: tensor.name.clone() });
            }
            if !is_harmless(tensor, config) {
                unused.push(tensor.name.clone());
            }
        }
        Ok(Self { embedding, layers, norm, output, unused })
    }

    /// `[vocab][hidden]`.
    #[must_use]
    pub fn embedding(&self) -> Matrix<'_> {
        self.embedding.matrix()
    }

    /// The decoder layers, in order.
    #[must_use]
    pub fn layers(&self) -> &[LayerWeights] {
        &self.layers
    }

    /// The last norm.
    #[must_use]
    pub fn norm(&self) -> &[f32] {
        &self.norm
    }

    /// `[vocab][hidden]`: the output projection, which may be the embedding.
    #[must_use]
    pub fn output(&self) -> Matrix<'_> {
        self.output.as_ref().unwrap_or(&self.embedding).matrix()
    }

    /// Bytes of all matrices, each once.
    #[cfg(feature = "cuda")]
    pub(crate) fn matrix_bytes(&self) -> usize {
        let linears = |layer: &LayerWeights| {
            let LayerWeights { q, k, v, o, gate, up, down, .. } = layer;
            let bytes = |linear: &Linear| linear.weight.matrix().bytes().len();
            [q, k, v, o, gate, up, down].into_iter().map(bytes).sum::<usize>()
        };
        let layers: usize = self.layers.iter().map(linears).sum();
        let output = self.output.as_ref().map_or(0, |output| output.matrix().bytes().len());
        layers + output + self.embedding().bytes().len()
    }

    /// Tensors of the checkpoint that this architecture has no place for: they change nothing, but
    /// a user who expects them to should know.
    #[must_use]
    pub fn unused(&self) -> &[String] {
        &self.unused
    }

    /// What the weights are stored as (the embedding's type): the model's dtype where its config
    /// does not say.
    #[must_use]
    pub fn element_type(&self) -> ElementType {
        match self.embedding.dtype() {
            WeightType::F32 => ElementType::F32,
            WeightType::F16 => ElementType::F16,
            WeightType::Bf16 => ElementType::Bf16,
        }
    }
}

fn load_layer(
    source: &mut Source<'_>,
    config: &ModelConfig,
    layer: usize,
) -> Result<LayerWeights, Error> {
    let name = |part: &str| format!("model.layers.{layer}.{part}");
    let (hidden, inner, head) = (config.hidden_size, config.intermediate_size, config.head_dim);
    let (q_width, kv_width) = (config.num_heads * head, config.num_kv_heads * head);
    let mut linear = |part: &str, rows: usize, columns: usize, bias: bool| {
        let weight = source.matrix(&name(&format!("{part}.weight")), rows, columns)?;
        let bias = match bias {
            true => Some(source.vector(&name(&format!("{part}.bias")), rows)?),
            false => None,
        };
        Ok::<_, Error>(Linear { weight, bias })
    };
    let q = linear("self_attn.q_proj", q_width, hidden, config.qkv_bias)?;
    let k = linear("self_attn.k_proj", kv_width, hidden, config.qkv_bias)?;
    let v = linear("self_attn.v_proj", kv_width, hidden, config.qkv_bias)?;
    let o = linear("self_attn.o_proj", hidden, q_width, config.o_bias)?;
    let gate = linear("mlp.gate_proj", inner, hidden, config.mlp_bias)?;
    let up = linear("mlp.up_proj", inner, hidden, config.mlp_bias)?;
    let down = linear("mlp.down_proj", hidden, inner, config.mlp_bias)?;
    let qk_norm = match config.qk_norm {
        true => Some(HeadNorms {
            q: source.vector(&name("self_attn.q_norm.weight"), head)?,
            k: source.vector(&name("self_attn.k_norm.weight"), head)?,
        }),
        false => None,
    };
    let input_norm = source.vector(&name("input_layernorm.weight"), hidden)?;
    let post_norm = source.vector(&name("post_attention_layernorm.weight"), hidden)?;
    Ok(LayerWeights { input_norm, q, k, v, qk_norm, o, post_norm, gate, up, down })
}

/// What dequantizes a weight: it stands beside codes, whatever type the codes claim to be.
fn is_quantizer(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    matches!(
        last,
        "weight_scale" | "weight_scale_inv" | "weight_packed" | "qweight" | "qzeros" | "scales"
    )
}

/// Frequencies that are computed here, an output projection that is tied to the embedding, and the
/// KV cache's own scales, which `kv-scales` accounts for one by one.
fn is_harmless(tensor: &TensorEntry, config: &ModelConfig) -> bool {
    let name = tensor.name.as_str();
    name.ends_with(".rotary_emb.inv_freq")
        || (name == "lm_head.weight" && config.tie_word_embeddings)
        || name.ends_with("scale")
        || name.ends_with("zero_point")
}
