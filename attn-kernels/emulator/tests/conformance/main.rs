//! Conformance: every instruction against results computed another way, on the edges of its types.

#[path = "../common/mod.rs"]
mod common;

mod approximate;
mod arithmetic;
mod async_copy;
mod atomics;
mod barriers;
mod bits;
mod compare;
mod convert;
mod convert_brain;
mod convert_narrow;
mod float;
mod fragments;
mod half_precision;
mod matrix;
mod matrix_bytes;
mod mbarriers;
mod memory;
mod permute;
mod warp;
