//! What a user chooses before a model is loaded.

use crate::Error;
use crate::device::Device;
use attn_kernels::AttnMath;
use kv_scales::{KvDtypes, MathUses};

/// The engine's settings.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineConfig {
    /// How K and V are stored. `None` is `fp8` for the embedded model and `auto` for a checkpoint.
    pub kv_cache_dtype: Option<KvDtypes>,
    /// Tokens per KV block: a power of two, 8 to 256.
    pub block_size: usize,
    /// Bytes for the KV cache. `None` is room for four sequences of the model's full length, and
    /// 2 GiB at most.
    pub kv_cache_memory: Option<u64>,
    /// Where the model runs.
    pub device: Device,
    /// Threads. `None` is the ambient rayon pool: one per core, unless the caller chose.
    pub num_threads: Option<usize>,
    /// A step is filled up to this many rows with prompt tokens, so a longer prompt is prefilled in
    /// chunks. Sequences that decode have a row each in any case. Results do not depend on it.
    pub prefill_chunk: usize,
    /// At most this many sequences run side by side; the others wait.
    pub max_num_seqs: usize,
    /// Calculate the scales of K and V from one batch of random tokens when the model is loaded,
    /// instead of using the checkpoint's.
    pub calculate_kv_scales: bool,
    /// Which random tokens: the same seed gives the same scales.
    pub calculate_seed: u64,
    /// The arithmetic of attention, in every layer whose KV cache is quantized.
    pub attn_math: AttnMath,
    /// Refuse a checkpoint whose KV scales cannot all be accounted for.
    pub strict: bool,
    /// Convert KV scales that were calibrated for another format; without it they are refused.
    pub rescale: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            kv_cache_dtype: None,
            block_size: 16,
            kv_cache_memory: None,
            device: Device::Cpu,
            num_threads: None,
            prefill_chunk: 128,
            max_num_seqs: 64,
            calculate_kv_scales: false,
            calculate_seed: 0,
            attn_math: AttnMath::Default,
            strict: true,
            rescale: false,
        }
    }
}

impl EngineConfig {
    /// The scales beyond K's and V's that the arithmetic of attention uses.
    #[must_use]
    pub fn math_uses(&self) -> MathUses {
        MathUses { q: self.attn_math.uses_q_scale(), prob: self.attn_math.uses_prob_scale() }
    }

    /// Checks every setting against its limits.
    ///
    /// # Errors
    /// [`Error::Setting`] naming the first one outside its range.
    pub fn validate(&self) -> Result<(), Error> {
        let refuse = |name, value: usize, limit| {
            Err(Error::Setting { name, value: value.to_string(), limit })
        };
        if !self.block_size.is_power_of_two() || !(8..=256).contains(&self.block_size) {
            return refuse("block_size", self.block_size, "a power of two, 8 to 256");
        }
        if self.prefill_chunk == 0 || self.prefill_chunk > 1 << 16 {
            return refuse("prefill_chunk", self.prefill_chunk, "1 to 65536");
        }
        if self.max_num_seqs == 0 || self.max_num_seqs > 1 << 16 {
            return refuse("max_num_seqs", self.max_num_seqs, "1 to 65536");
        }
        match self.num_threads {
            Some(n) if n == 0 || n > 1 << 10 => refuse("num_threads", n, "1 to 1024"),
            _ => Ok(()),
        }
    }
}
