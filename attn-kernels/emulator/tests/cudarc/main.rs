//! Numbered examples: programs written for cudarc and a GPU, run unmodified on the emulated device, in
//! every mode of its streams that they are right in. Each is a program of its own process; the tests here
//! start them and look at what the emulator said.

#![cfg(target_os = "linux")]

mod emulated;
mod ex01_copies;
mod ex02_saxpy;
mod ex03_modules;
mod ex04_streams;
mod ex05_missing_wait;
mod ex06_pinned;
mod ex07_graphs;
mod ex08_attributes;
mod ex09_errors;
mod ex10_faults;
mod ex11_callbacks;
mod ex12_pitched;
mod ex13_contexts;
mod ex14_threads;
mod ex16_managed;
mod gate;

use cudarc::driver::{CudaContext, CudaModule, DriverError, sys};
use cudarc::nvrtc::Ptx;
use std::sync::Arc;

const MODES: [&str; 3] = ["serial", "async", "lazy"];
const STREAMS: &str = "CUDA_EMULATOR_STREAMS";

/// The kernels of the examples, loaded.
fn kernels(context: &Arc<CudaContext>) -> Result<Arc<CudaModule>, DriverError> {
    context.load_module(Ptx::from_src(include_str!("kernels.ptx")))
}

/// That a call failed, and with what.
#[track_caller]
fn fails_with<T>(result: Result<T, DriverError>, code: sys::CUresult) {
    let error = result.map(drop).expect_err("an error was expected");
    assert_eq!(error.0, code);
}

#[test]
fn ex01_copies() {
    for mode in MODES {
        emulated::run("ex01_copies", &[(STREAMS, mode)], ex01_copies::main);
    }
}

#[test]
fn ex02_saxpy() {
    for mode in MODES {
        for profile in ["sm_80", "sm_89", "sm_90", "sm_100", "sm_120"] {
            let settings = [(STREAMS, mode), ("CUDA_EMULATOR_PROFILE", profile)];
            emulated::run("ex02_saxpy", &settings, ex02_saxpy::main);
        }
    }
}

#[test]
fn ex03_modules() {
    let said = emulated::run("ex03_modules", &[], ex03_modules::main);
    assert!(said.contains("PTX 99.9"), "{said}");
    assert!(said.contains("the image is a cubin: only PTX text can be run"), "{said}");
}

#[test]
fn ex04_streams() {
    for mode in MODES {
        emulated::run("ex04_streams", &[(STREAMS, mode)], ex04_streams::main);
    }
}

#[test]
fn ex05_missing_wait_goes_unnoticed_in_serial() {
    let test = "ex05_missing_wait_goes_unnoticed_in_serial";
    emulated::run(test, &[(STREAMS, "serial")], ex05_missing_wait::looks_right);
}

#[test]
fn ex05_missing_wait_shows_in_async_and_lazy() {
    let test = "ex05_missing_wait_shows_in_async_and_lazy";
    for mode in ["async", "lazy"] {
        let said = emulated::run(test, &[(STREAMS, mode)], ex05_missing_wait::is_caught);
        assert!(said.contains("load of uninitialised memory"), "{mode}: {said}");
    }
}

#[test]
fn ex05_with_the_wait_all_is_well() {
    for mode in MODES {
        let test = "ex05_with_the_wait_all_is_well";
        emulated::run(test, &[(STREAMS, mode)], ex05_missing_wait::repaired);
    }
}

#[test]
fn ex06_pinned() {
    for mode in MODES {
        emulated::run("ex06_pinned", &[(STREAMS, mode)], ex06_pinned::main);
    }
}

#[test]
fn ex06_pinned_memory_is_read_when_the_copy_runs() {
    for mode in ["async", "lazy"] {
        let test = "ex06_pinned_memory_is_read_when_the_copy_runs";
        emulated::run(test, &[(STREAMS, mode)], ex06_pinned::read_late);
    }
}

#[test]
fn ex06_mapped() {
    for mode in MODES {
        let said = emulated::run("ex06_mapped", &[(STREAMS, mode)], ex06_pinned::mapped);
        assert!(said.contains("of freed allocation #1 of the host"), "{mode}: {said}");
    }
}

#[test]
fn ex07_graphs() {
    for mode in MODES {
        emulated::run("ex07_graphs", &[(STREAMS, mode)], ex07_graphs::main);
    }
}

#[test]
fn ex08_attributes() {
    let said = emulated::run("ex08_attributes", &[], ex08_attributes::main);
    let line = "cuda-emulator: cuFuncGetAttribute: this is not supported by the emulator";
    assert_eq!(said.matches(line).count(), 1, "{said}");
}

#[test]
fn ex09_errors() {
    for mode in MODES {
        emulated::run("ex09_errors", &[(STREAMS, mode)], ex09_errors::main);
    }
}

#[test]
fn ex09_a_bad_setting_is_refused_by_name() {
    for (name, value) in [
        (STREAMS, "parallel"),
        ("CUDA_EMULATOR_PROFILE", "sm_75"),
        ("CUDA_EMULATOR_CHECKS", "some"),
        ("CUDA_EMULATOR_STREAM", "async"),
        ("CUDA_EMULATOR_REPORT", "/no/such/folder/report"),
    ] {
        let test = "ex09_a_bad_setting_is_refused_by_name";
        let said = emulated::run(test, &[(name, value)], ex09_errors::init_fails);
        assert!(said.contains(&format!("cuInit: {name}={value:?} ")), "{said}");
    }
}

#[test]
fn ex10_faults() {
    for mode in MODES {
        let said = emulated::run("ex10_faults", &[(STREAMS, mode)], ex10_faults::main);
        let message = said.lines().find(|line| line.contains("access out of bounds"));
        let message = message.unwrap_or_else(|| panic!("{mode}: {said}"));
        for part in ["CUDA_ERROR_ILLEGAL_ADDRESS", "saxpy", "module1.ptx:37", "thread (64,0,0)"] {
            assert!(message.contains(part), "{mode}: no {part} in {message}");
        }
    }
}

#[test]
fn ex11_callbacks() {
    for mode in MODES {
        emulated::run("ex11_callbacks", &[(STREAMS, mode)], ex11_callbacks::main);
    }
}

#[test]
fn ex12_pitched() {
    for mode in MODES {
        emulated::run("ex12_pitched", &[(STREAMS, mode)], ex12_pitched::main);
    }
}

#[test]
fn ex13_contexts() {
    for mode in MODES {
        emulated::run("ex13_contexts", &[(STREAMS, mode)], ex13_contexts::main);
    }
}

#[test]
fn ex14_threads() {
    for mode in MODES {
        emulated::run("ex14_threads", &[(STREAMS, mode)], ex14_threads::main);
    }
}

#[test]
fn ex15_report() {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("report.jsonl");
    let settings = [("CUDA_EMULATOR_REPORT", path.to_str().unwrap())];
    emulated::run("ex15_report", &settings, ex02_saxpy::main);
    let report = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = report.lines().collect();
    assert_eq!(lines.len(), 3, "{report}");
    for part in
        ["\"kernel\":\"saxpy\"", "\"grid\":[4, 1, 1]", "\"block\":[256, 1, 1]", "\"ctas\":4"]
    {
        assert!(lines[0].contains(part), "no {part} in {}", lines[0]);
    }
    // 1000 loads of x and of y, 4 bytes each; in 32-byte sectors, 125 for each of the two.
    let loads = "\"global_load\":{\"requests\":64,\"bytes\":8000,\"sectors\":250}";
    assert!(lines[0].contains(loads), "{}", lines[0]);
}

#[test]
fn ex16_managed() {
    for mode in MODES {
        emulated::run("ex16_managed", &[(STREAMS, mode)], ex16_managed::main);
    }
}
