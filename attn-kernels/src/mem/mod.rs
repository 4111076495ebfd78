//! Memory in ways the language cannot check: views of bytes as codes.

mod codes;

pub(crate) use codes::{codes, codes_mut};
