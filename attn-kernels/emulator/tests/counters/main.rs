//! Counters with known answers: sectors, bank conflicts, instructions, divergence, matrix operations,
//! occupancy.

#[path = "../common/mod.rs"]
mod common;

mod instructions;
mod occupancy;
mod traffic;
