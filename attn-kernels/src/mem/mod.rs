//! Memory in ways the language cannot check: bytes as codes, parts written by several threads, the
//! pages under a cache.

mod claims;
mod codes;
mod head_rows;
mod pool;

pub(crate) use claims::Claims;
pub(crate) use codes::{codes, codes_mut, f32_bytes};
pub(crate) use head_rows::HeadRows;
pub(crate) use pool::Pool;
