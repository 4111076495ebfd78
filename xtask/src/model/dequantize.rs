//! GGML blocks to f32, with the operations in the order in which llama.cpp's `gguf-py` does them,
//! so that the values agree bit for bit.

use half::f16;

/// The GGML tensor types that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GgmlType {
    F32,
    F16,
    Q4_1,
    Q6K,
    Q8_0,
}

impl GgmlType {
    /// The type of that number in a GGUF file.
    pub(crate) fn from_code(code: u32) -> Option<Self> {
        Some(match code {
            0 => Self::F32,
            1 => Self::F16,
            3 => Self::Q4_1,
            8 => Self::Q8_0,
            14 => Self::Q6K,
            _ => return None,
        })
    }

    /// Elements and bytes of a block.
    pub(crate) fn block(self) -> (usize, usize) {
        match self {
            Self::F32 => (1, 4),
            Self::F16 => (1, 2),
            Self::Q4_1 => (32, 20),
            Self::Q6K => (256, 210),
            Self::Q8_0 => (32, 34),
        }
    }

    /// Dequantizes whole blocks. `bytes` is a whole number of them, as [`super::gguf`] checks.
    pub(crate) fn dequantize(self, bytes: &[u8]) -> Vec<f32> {
        let (elements, size) = self.block();
        let mut out = Vec::with_capacity(bytes.len() / size * elements);
        for block in bytes.chunks_exact(size) {
            match self {
                Self::F32 => out.push(f32::from_le_bytes([block[0], block[1], block[2], block[3]])),
                Self::F16 => out.push(half(block, 0)),
                Self::Q4_1 => q4_1(block, &mut out),
                Self::Q6K => q6_k(block, &mut out),
                Self::Q8_0 => q8_0(block, &mut out),
            }
        }
        out
    }
}

fn half(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// Scale, minimum, then 16 bytes: the low halves are elements 0..16, the high halves 16..32.
fn q4_1(block: &[u8], out: &mut Vec<f32>) {
    let (scale, minimum) = (half(block, 0), half(block, 2));
    let codes = &block[4..];
    out.extend(codes.iter().map(|b| scale * f32::from(b & 0x0F) + minimum));
    out.extend(codes.iter().map(|b| scale * f32::from(b >> 4) + minimum));
}

/// Scale, then 32 signed bytes.
fn q8_0(block: &[u8], out: &mut Vec<f32>) {
    let scale = half(block, 0);
    out.extend(block[2..].iter().map(|&b| f32::from(b.cast_signed()) * scale));
}

/// 128 bytes of low four bits, 64 bytes of high two bits, 16 signed scales, one f16 scale of those.
/// Each half of 128 elements is four runs of 32: runs 0 and 1 are the low halves of its 64 low
/// bytes, runs 2 and 3 the high halves, and the high bits of run r are bits 2r and 2r + 1.
fn q6_k(block: &[u8], out: &mut Vec<f32>) {
    let (low, rest) = block.split_at(128);
    let (high, rest) = rest.split_at(64);
    let (scales, _) = rest.split_at(16);
    let scale = half(rest, 16);
    for i in 0..256 {
        let (part, run, column) = (i / 128, i % 128 / 32, i % 32);
        let low = low[part * 64 + run % 2 * 32 + column] >> (run / 2 * 4) & 0x0F;
        let high = high[part * 32 + column] >> (run * 2) & 0x03;
        let code = (low | high << 4).cast_signed() - 32;
        out.push(scale * f32::from(scales[i / 16].cast_signed()) * f32::from(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reproducible block: byte i is (37 i + 11) mod 256, with sane f16 scales put in.
    fn block(kind: GgmlType, halves: &[(usize, f32)]) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..kind.block().1).map(|i| (37 * i + 11) as u8).collect();
        for &(at, x) in halves {
            bytes[at..at + 2].copy_from_slice(&f16::from_f32(x).to_le_bytes());
        }
        bytes
    }

    // The expected values of the three tests below were computed by gguf-py 0.19.0
    // (`gguf.quants.dequantize`) from the same bytes.
    #[test]
    fn q4_1_agrees_with_gguf_py() {
        let got = GgmlType::Q4_1.dequantize(&block(GgmlType::Q4_1, &[(0, 0.0123), (2, -0.77)]));
        check(&got, &Q4_1);
    }

    #[test]
    fn q8_0_agrees_with_gguf_py() {
        let got = GgmlType::Q8_0.dequantize(&block(GgmlType::Q8_0, &[(0, 0.0123)]));
        check(&got, &Q8_0);
    }

    #[test]
    fn q6_k_agrees_with_gguf_py() {
        let got = GgmlType::Q6K.dequantize(&block(GgmlType::Q6K, &[(208, 0.0123)]));
        check(&got, &Q6_K);
    }

    #[test]
    fn floats_are_copied() {
        let bytes: Vec<u8> = [1.5f32, -0.0].iter().flat_map(|x| x.to_le_bytes()).collect();
        assert_eq!(GgmlType::F32.dequantize(&bytes), [1.5, -0.0]);
        assert_eq!(GgmlType::F16.dequantize(&[0x00, 0x3E, 0x01, 0x00]), [1.5, 2f32.powi(-24)]);
    }

    /// First eight, last eight, and the sum in f64 of the rest, as bits.
    struct Expected {
        first: [u32; 8],
        last: [u32; 8],
        sum: f64,
    }

    fn check(got: &[f32], expected: &Expected) {
        let bits: Vec<u32> = got.iter().map(|x| x.to_bits()).collect();
        assert_eq!(bits[..8], expected.first);
        assert_eq!(bits[bits.len() - 8..], expected.last);
        let weighted = |(i, &x): (usize, &f32)| (i + 1) as f64 * f64::from(x);
        assert_eq!(got.iter().enumerate().map(weighted).sum::<f64>(), expected.sum);
    }

    const Q4_1: Expected = Expected {
        first: [
            0xbf15e600, 0xbf388800, 0xbf28ca00, 0xbf190c00, 0xbf3bae00, 0xbf2bf000, 0xbf1c3200,
            0xbf3ed400,
        ],
        last: [
            0xbf1f5800, 0xbf190c00, 0xbf41fa00, 0xbf3bae00, 0xbf356200, 0xbf2bf000, 0xbf25a400,
            0xbf1f5800,
        ],
        sum: -357.5850524902344,
    };

    const Q8_0: Expected = Expected {
        first: [
            0x3f85cf00, 0x3fc00e00, 0xbf98b300, 0xbf3ce800, 0xbe90d400, 0x3e305000, 0x3f209200,
            0x3f8a8800,
        ],
        last: [
            0xbf209200, 0xbe305000, 0x3e90d400, 0x3f3ce800, 0x3f98b300, 0xbfc00e00, 0xbf85cf00,
            0xbf172000,
        ],
        sum: -99.37255859375,
    };

    const Q6_K: Expected = Expected {
        first: [
            0xc18ccb50, 0x41a6de00, 0x40e57140, 0xc0d09580, 0xc1a1a710, 0x41920240, 0x40920240,
            0xc1120240,
        ],
        last: [
            0xbf3ce800, 0xc03ce800, 0xc04ca600, 0x40158d00, 0x4005cf00, 0x3fec2200, 0xbefbe000,
            0xbf3ce800,
        ],
        sum: 9647.255249023438,
    };
}
