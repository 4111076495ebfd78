//! The crate's error type.

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
}

/// A scale every codec accepts: finite and greater than zero, subnormal or not.
pub(crate) fn check_scale(scale: f32) -> Result<(), Error> {
    if scale.is_finite() && scale > 0.0 { Ok(()) } else { Err(Error::InvalidScale { scale }) }
}
