//! Inputs that the fuzzer once found something with, and its seeds, run again.

#![cfg(feature = "fs")]

#[path = "fuzz/run.rs"]
mod run;

use std::path::Path;

#[test]
fn seeds_and_past_findings_run_through() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    for (folder, least) in [("seeds", 10), ("regressions", 1)] {
        let mut count = 0;
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let input = std::fs::read(entry.unwrap().path()).unwrap();
            let size = run::run(&input);
            assert!(run::memory_bound(size) > size);
            count += 1;
        }
        assert!(count >= least, "{folder}: {count}");
    }
}
