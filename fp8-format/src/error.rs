//! The crate's error types.

use thiserror::Error;

/// Why a `try_` function refused its input. Nothing has been written then.
#[derive(Clone, Copy, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// Source and destination must have one element for each other.
    #[error("source has {src} elements, destination {dst}")]
    LengthMismatch {
        /// Elements in the source.
        src: usize,
        /// Elements in the destination.
        dst: usize,
    },
    /// A scale must be finite and greater than zero.
    #[error("scale is {scale}, must be finite and greater than 0")]
    InvalidScale {
        /// The scale given.
        scale: f32,
    },
    /// A dynamic scale needs a finite largest magnitude.
    #[error("row {row} has largest magnitude {absmax}, must be finite")]
    NotFinite {
        /// The row; 0 for a plain slice.
        row: usize,
        /// Its largest magnitude: NaN or infinity.
        absmax: f32,
    },
    /// The rows reach beyond the end of a slice.
    #[error("rows need {need} elements of the {side}, it has {len}")]
    RowsOutOfBounds {
        /// `"source"` or `"destination"`.
        side: &'static str,
        /// Elements up to the end of the last row; `usize::MAX` if more.
        need: usize,
        /// Elements there are.
        len: usize,
    },
    /// Rows of a destination may not overlap.
    #[error("destination rows of {len} elements overlap at stride {stride}")]
    OverlappingRows {
        /// Elements in a row.
        len: usize,
        /// Elements from the start of a row to that of the next.
        stride: usize,
    },
    /// There must be one scale, or one for each row.
    #[error("{scales} scales for {rows} rows, must be as many or 1")]
    ScaleCount {
        /// Scales given.
        scales: usize,
        /// Rows to be coded.
        rows: usize,
    },
}

/// A scale every codec accepts: finite and greater than zero, subnormal or not.
pub(crate) fn check_scale(scale: f32) -> Result<(), Error> {
    if scale.is_finite() && scale > 0.0 { Ok(()) } else { Err(Error::InvalidScale { scale }) }
}

/// Why a string is no value of a format.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseError {
    /// Not a number, `nan`, or `inf`.
    #[error("not a decimal number")]
    Invalid,
    /// The number rounds beyond the largest finite value, or is an infinity that the format lacks.
    #[error("number out of range of {format}, which reaches ±{max}")]
    OutOfRange {
        /// The name of the format.
        format: &'static str,
        /// Its largest finite value.
        max: u32,
    },
}
