//! Coverage-guided fuzzing of headers, indexes and configs; `fuzz/README.md` says how to run it.
//! Any panic, any value that is no scale, and any memory beyond the stated bound ends it.
#![no_main]

mod mem;
#[path = "../../tests/fuzz/run.rs"]
mod run;

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static ALLOCATOR: mem::Counting = mem::Counting;

fuzz_target!(|data: &[u8]| {
    let before = mem::restart();
    let files = run::run(data);
    let used = mem::peak() - before;
    assert!(used <= run::memory_bound(files), "{used} bytes of memory for {files} bytes of files");
});
