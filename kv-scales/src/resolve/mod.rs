//! From a checkpoint's tensors and configs to the scales of every layer. Pure: what it needs is
//! gathered first ([`Inputs`]), then decided without touching a file.

mod assign;
mod decide;
mod format;
mod loaded;
mod options;
mod warning;

use fp8_format::ElementType;

pub use loaded::RawTensor;
pub use options::{MathUses, Platform, QFallback, ResolveOptions, SkipLayers};
pub use warning::{Warning, WarningCode};

pub(crate) use format::codes;
pub(crate) use warning::Warnings;

use crate::model::{LayerKind, MAX_HEADS, ModelShape};
use crate::names::{self, Meaning};
use crate::resolved::ResolvedScales;
use crate::scheme::{self, KvScheme};
use crate::{Checkpoint, Error, KvDtype, KvDtypes, TensorDtype, legacy};

/// The key of a shard's `__metadata__` under which the writer notes the exact target dtype.
pub const TARGET_DTYPE_KEY: &str = "kv_cache_dtype";

/// Everything a resolution depends on.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The model's layers and heads.
    pub model: ModelShape,
    /// What the configs ask for.
    pub scheme: Option<KvScheme>,
    /// The exact dtype the scales were calibrated for, where the checkpoint says it.
    pub target: Option<KvDtypes>,
    /// Every tensor whose name looks like a KV scale. Others do no harm.
    pub tensors: Vec<RawTensor<'a>>,
    /// Files that hold scales and are not part of the checkpoint.
    pub unlisted_files: Vec<String>,
}

impl<'a> Inputs<'a> {
    /// Gathers the inputs from a checkpoint: configs, side files, and the few bytes of the
    /// tensors that look like scales.
    ///
    /// # Errors
    /// When a config or side file is broken or asks for what is not supported.
    pub fn read(checkpoint: &'a Checkpoint, options: &ResolveOptions) -> Result<Self, Error> {
        let mut model = ModelShape::from_config(checkpoint.config(), &options.shape)?;
        model.dtype = options.model_dtype.or(model.dtype).or_else(|| weight_dtype(checkpoint));
        let mut tensors = Vec::new();
        let mut target = None;
        for entry in checkpoint.tensors() {
            if names::read(&entry.name) == Meaning::NotAScale {
                continue;
            }
            // The largest scale has one f32 per head; more is a wrong shape and is not read.
            let bytes =
                (entry.len <= 8 * MAX_HEADS as u64).then(|| checkpoint.read(entry)).transpose()?;
            let shard = &checkpoint.shards()[entry.shard];
            if let Some(note) = shard.metadata.get(TARGET_DTYPE_KEY) {
                note_target(&mut target, note)?;
            }
            let (name, shape) = (entry.name.clone(), entry.shape.clone());
            tensors.push(RawTensor { name, dtype: entry.dtype, shape, bytes });
        }
        if let Some(legacy) = legacy::read(checkpoint, &model)? {
            target.get_or_insert(KvDtypes::from(legacy.dtype));
            tensors.extend(legacy.tensors);
        }
        let unlisted_files = checkpoint.unlisted_with_scales();
        Ok(Inputs { model, scheme: scheme::find(checkpoint)?, target, tensors, unlisted_files })
    }
}

/// Keeps the target that the shards agree on.
fn note_target(target: &mut Option<KvDtypes>, note: &str) -> Result<(), Error> {
    let dtypes: KvDtypes = match KvDtype::from_note(note) {
        Ok(dtype) => dtype.into(),
        Err(_) => note.parse()?,
    };
    match target {
        Some(other) if *other != dtypes => Err(Error::ConflictingSchemes {
            first: format!("one shard's scales are for {other}"),
            second: format!("another's for {dtypes}"),
        }),
        _ => {
            *target = Some(dtypes);
            Ok(())
        }
    }
}

/// The dtype of the weights, from the first that could be the model's.
fn weight_dtype(checkpoint: &Checkpoint) -> Option<KvDtype> {
    checkpoint.tensors().filter(|t| t.name.ends_with(".weight")).find_map(|t| match t.dtype {
        TensorDtype::F32 => Some(KvDtype::F32),
        TensorDtype::F16 => Some(KvDtype::F16),
        TensorDtype::Bf16 => Some(KvDtype::Bf16),
        _ => None,
    })
}

/// Resolves the scales of a checkpoint.
///
/// # Errors
/// When a config or tensor is broken, a scale is invalid, ambiguous, or for another format; and,
/// if strict, when any scale of the checkpoint would be dropped.
pub fn resolve(checkpoint: &Checkpoint, options: &ResolveOptions) -> Result<ResolvedScales, Error> {
    resolve_inputs(&Inputs::read(checkpoint, options)?, options)
}

/// Resolves what was gathered: total, and independent of the order of the tensors.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_inputs(
    inputs: &Inputs<'_>,
    options: &ResolveOptions,
) -> Result<ResolvedScales, Error> {
    let model = &inputs.model;
    for layer in &options.skip_layers.layers {
        if *layer >= model.layers.len() {
            return Err(Error::NoSuchSkipLayer { layer: *layer, num_layers: model.layers.len() });
        }
    }
    let calibrated = calibrated_for(inputs)?;
    let model_dtype = model.dtype.unwrap_or(KvDtype::F32);
    let asked = inputs.scheme.map(|_| calibrated);
    let auto = |asked_for: KvDtype, by_config: Option<KvDtype>| match asked_for {
        KvDtype::Auto => by_config.unwrap_or(model_dtype),
        given => given,
    };
    let dtypes = KvDtypes {
        k: auto(options.dtype.k, asked.map(|a| a.k)),
        v: auto(options.dtype.v, asked.map(|a| a.v)),
    };
    let mut warnings = Warnings::default();
    let any_static =
        [dtypes.k, dtypes.v].iter().any(|d| d.is_quantized() && !d.is_per_token_head());
    let refuse = options.strict && any_static;
    let slots = assign::assign(&inputs.tensors, model, refuse, &mut warnings)?;
    for file in &inputs.unlisted_files {
        warnings.add(WarningCode::UnlistedFile, None, file.clone());
    }
    if options.calculate_kv_scales && !any_static {
        warnings.add(WarningCode::NothingToCalculate, None, dtypes.to_string());
    }
    let mut layers = Vec::with_capacity(model.layers.len());
    for (layer, (shape, tensors)) in model.layers.iter().zip(&slots).enumerate() {
        let skipped =
            shape.kind == LayerKind::NoAttention || options.skip_layers.contains(layer, shape.kind);
        let decision = decide::Decision {
            layer,
            shape: *shape,
            dtypes: if skipped { model_dtype.into() } else { dtypes },
            tensors,
            calibrated,
            strategy: inputs.scheme.and_then(|s| s.strategy),
            options,
            warnings: &mut warnings,
        };
        layers.push(if skipped { decision.skipped() } else { decision.resolve()? });
    }
    Ok(ResolvedScales::new(layers, warnings.finish(), dtypes, options.platform))
}

/// What the checkpoint's scales were calibrated for: what it notes, else what its config asks
/// for, else E4M3.
fn calibrated_for(inputs: &Inputs<'_>) -> Result<KvDtypes, Error> {
    let by_config = inputs.scheme.map(|s| s.dtype);
    let Some(target) = inputs.target else {
        return Ok(by_config.unwrap_or(KvDtype::Fp8E4M3).into());
    };
    for side in [target.k, target.v] {
        if !side.is_quantized() || side.is_per_token_head() {
            return Err(Error::BadTargetDtype { dtype: side });
        }
        // A config says no more than FP8 or INT8.
        if let Some(config) = by_config.filter(|c| c.is_int8() != side.is_int8()) {
            return Err(Error::ConflictingSchemes {
                first: format!("the config asks for {config}"),
                second: format!("the scales are noted as {target}"),
            });
        }
    }
    Ok(target)
}

/// The element type of a side, on a platform.
pub(crate) fn stored_as(dtype: KvDtype, platform: Platform, model: ElementType) -> ElementType {
    codes(dtype, platform).unwrap_or_else(|| dtype.element_type(model))
}
