//! The machine: runs the CTAs of a grid, warp by warp, instruction by instruction. Knows the typed
//! form of the code, never its text.
//!
//! `run` shares the CTAs out over threads, `cta` gives the warps of one their turns, `step` runs a warp,
//! `ops` hands each instruction to its family; `regs`, `shared`, `memory` and `local` are what they
//! work on.

mod async_copy;
mod atomics;
mod barrier;
mod collective;
mod compare;
mod cta;
mod float;
mod int;
mod local;
mod matrix;
mod mbarrier;
mod memory;
mod moves;
mod operands;
mod ops;
mod program;
mod regs;
pub(crate) mod run;
mod shared;
mod step;
mod stop;
#[cfg(test)]
mod tests;
mod warp;

pub(crate) use program::Program;
pub(crate) use run::Grid;
