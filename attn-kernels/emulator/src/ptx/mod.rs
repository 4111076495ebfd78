//! The PTX front end: text → tokens → syntax tree → the typed form that the machine runs.
//!
//! Accepts what NVRTC emits for PTX 6.0 to 8.8 and sm_50 to sm_12x. Whatever is not implemented is
//! refused here, with the instruction and its line: nothing is skipped, nothing approximated.
//! Ignored on purpose, because it changes no value: `.loc`, `.file`, `.section`, `.pragma`,
//! `.maxnreg`, the attributes of `.ptr`, cache, eviction and prefetch hints.

mod ast;
mod body;
mod error;
mod lexer;
mod lower;
mod parser;
#[cfg(test)]
mod tests;

pub use error::{Place, PtxError};

use crate::isa::Code;

/// Parses, checks and lowers one PTX text; `name` stands in messages.
pub(crate) fn parse(name: &str, source: &str) -> Result<Code, PtxError> {
    let source = error::Source { name, text: source };
    let module = parser::parse_module(source)?;
    lower::lower(source, &module)
}
