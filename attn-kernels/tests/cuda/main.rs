//! The CUDA kernels that ship, run from their PTX on the emulated device with every check on,
//! against the reference and the CPU.

mod attention;
#[path = "../common/mod.rs"]
mod common;
mod counted;
mod device;
mod exact;
mod faults;
mod rope;
mod rounded;
#[path = "../common/slices.rs"]
mod slices;
mod storage;
