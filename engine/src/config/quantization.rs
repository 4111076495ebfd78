//! What `quantization_config` says about the *weights*. Its KV-cache part belongs to `kv-scales`.

use super::fields::Fields;
use crate::Error;

/// Formats that may quantize the KV cache and leave the weights alone. Whether the weights are
/// quantized after all is read off the tensors (`weights`), which cannot lie about it.
const MAY_BE_CACHE_ONLY: [&str; 4] = ["compressed-tensors", "modelopt", "quark", "fp8"];

/// Refuses a config whose weights need a dequantizer.
pub(super) fn check(root: &Fields<'_>) -> Result<(), Error> {
    let Some(value) = root.get("quantization_config") else { return Ok(()) };
    let path = "quantization_config";
    let fields = Fields::new(value, path)?;
    let method = fields.text("quant_method")?.ok_or_else(|| fields.missing("quant_method"))?;
    if !MAY_BE_CACHE_ONLY.contains(&method) {
        return Err(Error::Unsupported {
            field: fields.name("quant_method"),
            value: method.into(),
            supported: "weights in f32, f16 or bf16; compressed-tensors, modelopt, quark or fp8 \
                        for the KV cache only",
        });
    }
    if let Some(sparsity) = fields.get("sparsity_config").and_then(|s| s.as_object())
        && let Some(format) = sparsity.get("format").and_then(|f| f.as_str())
        && format != "dense"
    {
        return Err(Error::Unsupported {
            field: fields.name("sparsity_config.format"),
            value: format.into(),
            supported: "dense",
        });
    }
    Ok(())
}
