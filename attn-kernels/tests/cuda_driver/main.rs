//! The CUDA backend through cudarc, on whatever device the loader's `libcuda` has: a GPU, or the
//! emulated device in each mode of its streams. Without a driver every test says `skipped: no libcuda`.
//!
//! `cargo test -p attn-kernels --features cuda --test cuda_driver` runs it on a GPU, and
//! `cargo xtask emulated` before that on the emulated device.

mod attention;
#[path = "../common/mod.rs"]
mod common;
mod device;
mod errors;
mod gate;
mod grid;
mod moves;
#[cfg(feature = "nvrtc")]
mod nvrtc;
#[path = "../common/slices.rs"]
mod slices;
mod steady;
mod threads;

use gate::{MODES, PROFILES, on_every_device};

#[test]
fn attention_and_storage_are_the_references() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("attention_and_storage_are_the_references", &settings, attention::reference);
}

#[test]
fn every_architecture_runs_its_own_text() {
    let settings = PROFILES.map(|profile| (profile, "lazy"));
    on_every_device("every_architecture_runs_its_own_text", &settings, attention::architecture);
}

#[test]
fn scales_and_slots_are_renewed() {
    on_every_device("scales_and_slots_are_renewed", &[("sm_90", "lazy")], attention::renewed);
}

#[test]
fn every_shape_that_ships() {
    on_every_device("every_shape_that_ships", &[("sm_90", "lazy")], grid::shapes);
}

#[test]
fn variants_and_arithmetic() {
    on_every_device("variants_and_arithmetic", &[("sm_120", "async")], grid::variants);
}

#[test]
fn a_batch_changes_no_bit() {
    on_every_device("a_batch_changes_no_bit", &[("sm_90", "async")], attention::invariance);
}

#[test]
fn tensors_move_in_the_order_of_the_stream() {
    let settings = MODES.map(|mode| ("sm_80", mode));
    on_every_device("tensors_move_in_the_order_of_the_stream", &settings, device::tensors);
}

#[test]
fn page_locked_memory_is_read_at_the_call() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("page_locked_memory_is_read_at_the_call", &settings, device::page_locked);
}

#[test]
fn kernels_of_another_crate() {
    let settings = MODES.map(|mode| ("sm_89", mode));
    on_every_device("kernels_of_another_crate", &settings, device::own_modules);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    on_every_device("what_cannot_be_is_refused_by_name", &[("sm_90", "serial")], errors::refused);
}

#[test]
fn memory_of_another_stream_is_refused() {
    on_every_device("memory_of_another_stream_is_refused", &[("sm_90", "async")], errors::foreign);
}

#[test]
fn a_fault_of_a_kernel_is_told() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("a_fault_of_a_kernel_is_told", &settings, errors::fault);
}

#[test]
fn an_old_error_does_not_keep_from_waiting() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("an_old_error_does_not_keep_from_waiting", &settings, errors::waited);
}

#[test]
fn blocks_are_copied_and_swapped() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("blocks_are_copied_and_swapped", &settings, moves::copied_and_swapped);
}

#[test]
fn tokens_are_gathered_as_numbers() {
    on_every_device("tokens_are_gathered_as_numbers", &[("sm_89", "lazy")], moves::gathered);
}

#[test]
fn absmax_is_observed() {
    on_every_device(
        "absmax_is_observed",
        &[("sm_80", "lazy"), ("sm_90", "async")],
        moves::observed,
    );
}

#[test]
fn a_steady_step_is_launches_alone() {
    on_every_device("a_steady_step_is_launches_alone", &[("sm_90", "lazy")], steady::counted);
}

#[test]
fn a_step_is_captured_and_replayed() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("a_step_is_captured_and_replayed", &settings, steady::captured);
}

#[test]
fn a_capture_takes_no_memory_of_the_host() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("a_capture_takes_no_memory_of_the_host", &settings, steady::not_captured);
}

#[test]
fn threads_do_not_disturb_each_other() {
    let settings = MODES.map(|mode| ("sm_90", mode));
    on_every_device("threads_do_not_disturb_each_other", &settings, threads::shared);
}

#[cfg(feature = "nvrtc")]
#[test]
fn kernels_that_do_not_ship_are_compiled() {
    let settings = [("sm_80", "lazy"), ("sm_90", "async"), ("sm_120", "serial")];
    on_every_device("kernels_that_do_not_ship_are_compiled", &settings, nvrtc::compiled);
}
