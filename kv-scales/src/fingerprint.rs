//! A stable digest of a resolved set, for the identity of a prefix cache.
//!
//! blake3 over: a version line; the platform; per layer its number, the names of its dtypes and,
//! for q, k, v, prob in this order, a tag, the count and the little-endian bits of the values.

use crate::names::Slot;
use crate::resolve::Platform;
use crate::resolved::ResolvedScales;
use crate::scale::ScaleValue;

pub(crate) fn digest(scales: &ResolvedScales) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"kv-scales fingerprint 1\n");
    hasher.update(match scales.platform() {
        Platform::Ocp => b"ocp\n",
        Platform::Fnuz => b"fnz\n",
    });
    for layer in scales.layers() {
        hasher.update(&(layer.layer as u64).to_le_bytes());
        for dtype in [layer.dtypes.k, layer.dtypes.v] {
            hasher.update(dtype.name().as_bytes()).update(b"\n");
        }
        for slot in Slot::ALL {
            let value = &layer.get(slot).value;
            let tag = match value {
                ScaleValue::PerTensor(_) => b't',
                ScaleValue::PerHead(_) => b'h',
                ScaleValue::PerTokenHead => b'd',
                ScaleValue::Pending => b'p',
            };
            hasher.update(&[tag]).update(&(value.values().len() as u64).to_le_bytes());
            for value in value.values() {
                hasher.update(&value.to_bits().to_le_bytes());
            }
        }
    }
    hasher.finalize().into()
}
