//! What a safetensors header says of one tensor: its name, element type, shape and place.

use crate::Error;

/// The element types the safetensors format allows.
///
/// A checkpoint is opened whatever types its weights have: only the scales' types matter later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the format's own names")]
pub enum TensorDtype {
    Bool,
    F4,
    F6E2M3,
    F6E3M2,
    U8,
    I8,
    F8E5M2,
    F8E4M3,
    F8E8M0,
    F8E4M3Fnuz,
    F8E5M2Fnuz,
    I16,
    U16,
    F16,
    Bf16,
    I32,
    U32,
    F32,
    C64,
    F64,
    I64,
    U64,
}

/// The name in the header, the type, the bits of one element.
const DTYPES: [(&str, TensorDtype, u64); 22] = [
    ("BOOL", TensorDtype::Bool, 8),
    ("F4", TensorDtype::F4, 4),
    ("F6_E2M3", TensorDtype::F6E2M3, 6),
    ("F6_E3M2", TensorDtype::F6E3M2, 6),
    ("U8", TensorDtype::U8, 8),
    ("I8", TensorDtype::I8, 8),
    ("F8_E5M2", TensorDtype::F8E5M2, 8),
    ("F8_E4M3", TensorDtype::F8E4M3, 8),
    ("F8_E8M0", TensorDtype::F8E8M0, 8),
    ("F8_E4M3FNUZ", TensorDtype::F8E4M3Fnuz, 8),
    ("F8_E5M2FNUZ", TensorDtype::F8E5M2Fnuz, 8),
    ("I16", TensorDtype::I16, 16),
    ("U16", TensorDtype::U16, 16),
    ("F16", TensorDtype::F16, 16),
    ("BF16", TensorDtype::Bf16, 16),
    ("I32", TensorDtype::I32, 32),
    ("U32", TensorDtype::U32, 32),
    ("F32", TensorDtype::F32, 32),
    ("C64", TensorDtype::C64, 64),
    ("F64", TensorDtype::F64, 64),
    ("I64", TensorDtype::I64, 64),
    ("U64", TensorDtype::U64, 64),
];

impl TensorDtype {
    /// The type of that name in a safetensors header.
    pub fn from_name(name: &str) -> Option<Self> {
        DTYPES.iter().find(|row| row.0 == name).map(|row| row.1)
    }

    /// The name in a safetensors header.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// The bits one element takes; 4 and 6 for the packed microscaling types.
    pub fn bits(self) -> u64 {
        self.row().2
    }

    fn row(self) -> &'static (&'static str, TensorDtype, u64) {
        &DTYPES[self as usize]
    }
}

impl std::fmt::Display for TensorDtype {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// One tensor of a checkpoint, as its shard's header describes it, already checked: the bytes
/// `offset .. offset + len` lie inside the shard and are exactly what type and shape need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorEntry {
    /// The tensor's name, unique in the checkpoint.
    pub name: String,
    /// The element type.
    pub dtype: TensorDtype,
    /// The shape; empty for a single value.
    pub shape: Vec<usize>,
    /// Which of [`Checkpoint::shards`](super::Checkpoint::shards) holds it.
    pub shard: usize,
    /// The first byte, counted from the start of the shard file.
    pub offset: u64,
    /// The number of bytes.
    pub len: u64,
}

/// The bytes a tensor of this type and shape takes, or why it cannot exist.
pub(super) fn byte_len(
    file: &str,
    name: &str,
    dtype: TensorDtype,
    shape: &[usize],
) -> Result<u64, Error> {
    let too_large = || Error::TensorTooLarge {
        file: file.into(),
        tensor: name.into(),
        shape: shape.to_vec(),
        dtype,
    };
    let bits = shape
        .iter()
        .try_fold(dtype.bits(), |bits, &dim| bits.checked_mul(u64::try_from(dim).ok()?))
        .ok_or_else(too_large)?;
    if !bits.is_multiple_of(8) {
        return Err(Error::TensorNotWholeBytes {
            file: file.into(),
            tensor: name.into(),
            shape: shape.to_vec(),
            dtype,
            bits,
        });
    }
    Ok(bits / 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_stands_at_its_own_discriminant_and_its_name_reads_back() {
        for (i, &(name, dtype, bits)) in DTYPES.iter().enumerate() {
            assert_eq!(dtype as usize, i, "{name}");
            assert_eq!(TensorDtype::from_name(name), Some(dtype));
            assert_eq!((dtype.name(), dtype.bits()), (name, bits));
        }
        assert_eq!(TensorDtype::from_name("bf16"), None);
    }

    #[test]
    fn sizes_are_checked_in_bits() {
        let len = |dtype, shape: &[usize]| byte_len("f", "t", dtype, shape);
        assert_eq!(len(TensorDtype::F32, &[]).unwrap(), 4);
        assert_eq!(len(TensorDtype::F4, &[3, 2]).unwrap(), 3);
        assert_eq!(len(TensorDtype::F64, &[0, usize::MAX]).unwrap(), 0);
        assert!(matches!(
            len(TensorDtype::F4, &[3]),
            Err(Error::TensorNotWholeBytes { bits: 12, .. })
        ));
        assert!(matches!(
            len(TensorDtype::U8, &[usize::MAX, 2]),
            Err(Error::TensorTooLarge { .. })
        ));
    }
}
