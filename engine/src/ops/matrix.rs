//! A weight matrix as it lies in the file.

use half::{bf16, f16};

/// How a weight is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WeightType {
    /// IEEE binary32.
    F32,
    /// IEEE binary16.
    F16,
    /// The upper half of a binary32.
    Bf16,
}

impl WeightType {
    /// Bytes per weight.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// Widens little-endian weights of any alignment.
    ///
    /// # Panics
    /// If `bytes` is not `out.len()` weights.
    pub fn to_f32(self, bytes: &[u8], out: &mut [f32]) {
        assert_eq!(bytes.len(), out.len() * self.size(), "bytes of {} weights", out.len());
        match self {
            Self::F32 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(4)) {
                    *o = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            Self::F16 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                    *o = f16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
            Self::Bf16 => {
                for (o, b) in out.iter_mut().zip(bytes.chunks_exact(2)) {
                    *o = bf16::from_le_bytes([b[0], b[1]]).to_f32();
                }
            }
        }
    }
}

/// `[rows][columns]` weights, row-major, little endian, at any alignment: rows are outputs and
/// columns are inputs, as PyTorch stores a linear layer.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a> {
    bytes: &'a [u8],
    dtype: WeightType,
    rows: usize,
    columns: usize,
}

impl<'a> Matrix<'a> {
    /// Wraps the bytes of a tensor.
    ///
    /// # Panics
    /// If they are not `rows × columns` weights.
    #[must_use]
    pub fn new(bytes: &'a [u8], dtype: WeightType, rows: usize, columns: usize) -> Self {
        let want = rows.checked_mul(columns).and_then(|n| n.checked_mul(dtype.size()));
        assert_eq!(Some(bytes.len()), want, "bytes of a {rows} by {columns} matrix");
        Self { bytes, dtype, rows, columns }
    }

    /// The whole matrix, as it lies in the file.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How a weight is stored.
    #[must_use]
    pub fn dtype(&self) -> WeightType {
        self.dtype
    }

    /// Outputs.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Inputs.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The bytes of one row.
    ///
    /// # Panics
    /// If there is no such row.
    #[inline]
    #[must_use]
    pub fn row(&self, row: usize) -> &'a [u8] {
        let len = self.columns * self.dtype.size();
        &self.bytes[row * len..][..len]
    }

    /// One row widened: the look-up of an embedding.
    ///
    /// # Panics
    /// If there is no such row, or `out` is not `columns` long.
    pub fn row_to_f32(&self, row: usize, out: &mut [f32]) {
        self.dtype.to_f32(self.row(row), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_widens_exactly_at_odd_addresses() {
        let mut bytes = vec![0u8];
        for bits in 0..=u16::MAX {
            bytes.extend(bits.to_le_bytes());
        }
        let mut out = vec![0.0; 1 << 16];
        for dtype in [WeightType::F16, WeightType::Bf16] {
            dtype.to_f32(&bytes[1..], &mut out);
            for bits in 0..=u16::MAX {
                let want = match dtype {
                    WeightType::F16 => f16::from_bits(bits).to_f32(),
                    _ => f32::from_bits(u32::from(bits) << 16),
                };
                let got = out[usize::from(bits)];
                assert!(got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan()));
            }
        }
    }

    #[test]
    #[should_panic(expected = "bytes of a 2 by 3 matrix")]
    fn a_matrix_has_exactly_its_bytes() {
        let _ = Matrix::new(&[0; 11], WeightType::Bf16, 2, 3);
    }
}
