//! The one error type of this crate: every variant names the thing, the value and the limit.

/// Why a checkpoint could not be loaded or a request not be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// A side file (`config.json`, `generation_config.json`, …) is not the JSON it should be.
    #[error("{file}: {message}")]
    Json {
        /// The file's name.
        file: String,
        /// What is wrong with it.
        message: String,
    },
    /// `config.json` lacks a field, or the field's value is wrong.
    #[error("config.json: {field}: {message}")]
    Config {
        /// The field's path inside the file, e.g. `rope_parameters.rope_type`.
        field: String,
        /// What is wrong with it, with the value and the limit.
        message: String,
    },
    /// `config.json` asks for something this engine does not compute.
    #[error("config.json: {field}: {value:?} is not supported (supported: {supported})")]
    Unsupported {
        /// The field's path inside the file.
        field: String,
        /// What it asks for.
        value: String,
        /// What would work.
        supported: &'static str,
    },
    /// The checkpoint could not be opened, or its KV scales not be resolved.
    #[error(transparent)]
    Scales(#[from] kv_scales::Error),
    /// `tokenizer.json` could not be read, or a text not be encoded or decoded with it.
    #[error("tokenizer: {message}")]
    Tokenizer {
        /// What is wrong.
        message: String,
    },
    /// The chat template is broken, or refused the messages.
    #[error("chat template: {message}")]
    ChatTemplate {
        /// What is wrong, with the template's line where known.
        message: String,
    },
    /// A sampling parameter is outside its range.
    #[error("{name} is {value}, must be {limit}")]
    SamplingParam {
        /// The parameter's name.
        name: &'static str,
        /// The value given.
        value: String,
        /// The values that are allowed.
        limit: &'static str,
    },
    /// The model's logits are no distribution: no token can be chosen from them.
    #[error("broken logits: {message}")]
    Logits {
        /// Which logit, and its value.
        message: String,
    },
    /// The checkpoint has no `config.json`.
    #[error("no config.json: the model's shape is unknown")]
    NoConfig,
    /// A tensor the architecture needs is not in the checkpoint.
    #[error("tensor {name} is missing")]
    MissingTensor {
        /// The tensor.
        name: String,
    },
    /// A tensor's shape does not fit the config.
    #[error("tensor {name}: shape {shape:?}, the config needs {want:?}")]
    TensorShape {
        /// The tensor.
        name: String,
        /// The shape in the file.
        shape: Vec<usize>,
        /// The shape the config gives it.
        want: Vec<usize>,
    },
    /// A weight is stored in a type this engine does not multiply.
    #[error("tensor {name}: weights of type {dtype} are not supported (supported: F32, F16, BF16)")]
    TensorDtype {
        /// The tensor.
        name: String,
        /// The type's name in safetensors.
        dtype: &'static str,
    },
    /// The checkpoint's weights are quantized.
    #[error("tensor {name}: quantized weights are not supported, only a quantized KV cache is")]
    QuantizedWeights {
        /// The tensor that belongs to a quantized weight.
        name: String,
    },
    /// A shard is not as long as when its header was read.
    #[error("{file}: changed while it was opened: {len} bytes, was {was}")]
    ShardChanged {
        /// The shard.
        file: String,
        /// Its length now.
        len: u64,
        /// Its length when the header was read.
        was: u64,
    },
    /// An attention backend refused its arguments.
    #[error(transparent)]
    Attention(#[from] attn_kernels::Error),
    /// The block allocator refused.
    #[error(transparent)]
    Cache(#[from] paged_cache::Error),
    /// A step's slices do not fit together.
    #[error("step: {name} has {len} elements, the batch has {rows} rows")]
    StepLength {
        /// The slice.
        name: &'static str,
        /// Its length (for `logits_rows`, one more than the row asked for).
        len: usize,
        /// Rows of the batch.
        rows: usize,
    },
    /// A token id is not in the vocabulary.
    #[error("token id {token} is not in the vocabulary of {vocab_size}")]
    TokenOutOfRange {
        /// The token.
        token: u32,
        /// Tokens the model knows.
        vocab_size: usize,
    },
    /// A prompt has no tokens.
    #[error("prompt {prompt} is empty: it has no tokens")]
    EmptyPrompt {
        /// Its number in the batch.
        prompt: usize,
    },
    /// A prompt is longer than the model was made for.
    #[error("prompt {prompt} has {len} tokens, max_position_embeddings is {limit}")]
    PromptTooLong {
        /// Its number in the batch.
        prompt: usize,
        /// Its length in tokens.
        len: usize,
        /// The most the model takes; a prompt needs one position less for its first new token.
        limit: usize,
    },
    /// A sequence can never fit into the cache.
    #[error(
        "prompt {prompt} needs {need} blocks of {block_size} tokens for its {tokens} tokens, the \
         cache has {have}: give it more memory, or ask for fewer tokens"
    )]
    CacheTooSmall {
        /// Its number in the batch.
        prompt: usize,
        /// Tokens of prompt and continuation.
        tokens: usize,
        /// Blocks they need.
        need: usize,
        /// Blocks there are.
        have: usize,
        /// Tokens per block.
        block_size: usize,
    },
    /// A text was given to a model without a tokenizer, or text was asked of it.
    #[error("the checkpoint has no tokenizer.json: give token ids")]
    NoTokenizer,
    /// A setting of the engine is outside its range.
    #[error("{name} is {value}, must be {limit}")]
    Setting {
        /// The setting.
        name: &'static str,
        /// The value given.
        value: String,
        /// The values that are allowed.
        limit: &'static str,
    },
    /// This build cannot use that device.
    #[error("device {device}: this build has no backend for it (feature cuda); available: cpu")]
    NoBackend {
        /// The device.
        device: String,
    },
    /// The threads could not be started.
    #[error("could not start {num_threads} threads: {message}")]
    Threads {
        /// Threads asked for.
        num_threads: usize,
        /// What the operating system said.
        message: String,
    },
    /// There is nothing to evaluate, or the scores cannot be compared.
    #[error("{message}")]
    Eval {
        /// Why.
        message: String,
    },
    /// Calibration cannot be done as it was asked for.
    #[error("{message}")]
    Calibration {
        /// Why.
        message: String,
    },
    /// Somebody asked to stop.
    #[error("interrupted")]
    Interrupted,
    /// A scale that kernels cannot use as it is.
    #[error("layer {layer}: a {granularity} scale that is not fixed yet cannot be used")]
    ScaleNotFixed {
        /// The layer.
        layer: usize,
        /// The scale's granularity.
        granularity: &'static str,
    },
}
