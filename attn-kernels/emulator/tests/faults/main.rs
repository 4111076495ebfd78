//! Seeded faults: each class of check in several forms. The broken kernel must be caught with the right
//! kind at the right line, CTA and thread; the same kernel without the fault must pass.

#[path = "../common/mod.rs"]
mod common;

mod barriers;
mod copies;
mod limits;
mod mbarriers;
mod memory;
mod races;
mod seeded;
mod uninitialized;
mod warps;
