//! The machine: runs the CTAs of a grid, warp by warp, instruction by instruction.

mod operands;
mod program;
pub(crate) mod run;

pub(crate) use program::Program;
pub(crate) use run::Grid;
