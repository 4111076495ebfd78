//! The model on a CUDA device, on whatever the loader's `libcuda` has: a GPU, or the emulated device.
//! Without a driver every test says `skipped: no libcuda`.
//!
//! `cargo xtask emulated cargo test -p engine --features cuda --test cuda_driver` runs it on the emulated
//! device.

mod cli;
#[path = "../common/mod.rs"]
mod common;
#[path = "../../src/cuda/tests/gate.rs"]
mod gate;
mod model;
#[path = "../support/mod.rs"]
mod support;

use gate::{PROFILES, is_driver_present, on_every_device};

#[test]
fn perplexity_is_the_cpus() {
    if is_driver_present("perplexity_is_the_cpus") {
        cli::perplexity();
    }
}

#[test]
fn greedy_tokens_are_the_cpus_while_the_margin_is_clear() {
    if is_driver_present("greedy_tokens_are_the_cpus_while_the_margin_is_clear") {
        cli::greedy();
    }
}

#[test]
fn calibration_finds_the_cpus_scales() {
    if is_driver_present("calibration_finds_the_cpus_scales") {
        cli::calibration();
    }
}

#[test]
fn what_the_device_cannot_do_is_refused_by_name() {
    if is_driver_present("what_the_device_cannot_do_is_refused_by_name") {
        cli::refused();
    }
}

#[test]
fn every_schedule_gives_the_same_bits() {
    on_every_device("every_schedule_gives_the_same_bits", &["sm_90"], model::invariance);
}

#[test]
fn every_architecture_is_the_cpus() {
    on_every_device("every_architecture_is_the_cpus", &PROFILES, model::architectures);
}

#[test]
fn a_tap_sees_what_it_sees_on_the_cpu() {
    on_every_device("a_tap_sees_what_it_sees_on_the_cpu", &["sm_89"], model::taps);
}

#[test]
fn copied_blocks_are_the_same_context() {
    on_every_device("copied_blocks_are_the_same_context", &["sm_120"], model::copies);
}

#[test]
fn a_row_may_be_wanted_often() {
    on_every_device("a_row_may_be_wanted_often", &["sm_80"], model::wanted_often);
}
