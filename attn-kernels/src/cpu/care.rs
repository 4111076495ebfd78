//! Which stored codes the fast conversions do not get right, or not fast.

use fp8_format::ElementType;

/// Tokens whose codes are judged together.
pub(crate) const PIECE: usize = 16;

/// How much care a few tokens' codes ask for when they become numbers. More never changes a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Care {
    /// None: zeros and normal codes.
    Plain,
    /// Subnormal FP8 codes are among them: moved bit by bit into an f32, they would be subnormal
    /// there too, which some processors multiply only slowly and some threads take for 0.
    Subnormal,
    /// NaNs (or infinities) are among them.
    Nan,
}

impl Care {
    /// What was stored with `as u8`.
    pub(crate) fn from_u8(x: u8) -> Self {
        match x {
            0 => Self::Plain,
            1 => Self::Subnormal,
            _ => Self::Nan,
        }
    }

    /// What codes of a type ask for.
    pub(crate) fn of(stored: ElementType, codes: &[u8]) -> Self {
        // Each test covers NaN and subnormals by one comparison per code, without an early exit, so
        // that it compiles to SIMD.
        match stored {
            ElementType::F8E4M3 => judge(codes, |c| c & 0x7f == 0x7f, 7),
            ElementType::F8E5M2 => judge(codes, |c| c & 0x7f >= 0x7c, 3),
            ElementType::F8E4M3Fnuz => judge(codes, |c| c == 0x80, 7),
            ElementType::F8E5M2Fnuz => judge(codes, |c| c == 0x80, 3),
            // NaN needs no care in these: the hardware's conversions know it, or there is none.
            _ => Self::Plain,
        }
    }
}

/// Magnitudes `1..=largest` are subnormal.
fn judge(codes: &[u8], nan: impl Fn(u8) -> bool, largest: u8) -> Care {
    let subnormal = |c: u8| (c & 0x7f).wrapping_sub(1) < largest;
    let (mut any_nan, mut any_subnormal) = (false, false);
    for &c in codes {
        any_nan |= nan(c);
        any_subnormal |= subnormal(c);
    }
    match (any_nan, any_subnormal) {
        (true, _) => Care::Nan,
        (false, true) => Care::Subnormal,
        (false, false) => Care::Plain,
    }
}
