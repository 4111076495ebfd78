//! Kernels in CUDA C++, compiled by the pinned NVRTC for every architecture (`cargo xtask kernels
//! --tests`), against references in f64 or exact integers.

#[path = "../common/mod.rs"]
mod common;

mod attention;
mod basics;
mod built;
mod probe;
mod products;
