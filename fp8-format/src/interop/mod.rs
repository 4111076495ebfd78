//! Traits and types of other crates, each behind a feature of its name.

#[cfg(feature = "float8")]
mod float8;
#[cfg(feature = "num-traits")]
mod num_traits;
