//! A calibration that is killed or interrupted leaves no output directory, or a complete one.
#![cfg(unix)]

mod common;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{asset, json};

fn spawn(out: &Path, samples: &str) -> Child {
    let text = asset("held-out.txt");
    Command::new(env!("CARGO_BIN_EXE_fp8kv"))
        .args(["calibrate", "--text", text.to_str().unwrap(), "--threads", "1"])
        .args(["--samples", samples, "--max-seq-len", "64", "--out", out.to_str().unwrap()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Its files with their contents, by name.
fn contents(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(path).unwrap())
        })
        .collect();
    files.sort();
    files
}

/// SplitMix64.
struct Random(u64);

impl Random {
    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn fifty_kills_leave_nothing_or_the_whole() {
    let place = tempfile::tempdir().unwrap();
    let whole = place.path().join("whole");
    // The files appear under a hidden name; from then on it is the write that is killed.
    let begun = |out: &Path| {
        let name = format!(".{}.partial-", out.file_name().unwrap().to_string_lossy());
        let named = |e: std::io::Result<std::fs::DirEntry>| {
            e.is_ok_and(|e| e.file_name().to_string_lossy().starts_with(&name))
        };
        std::fs::read_dir(place.path()).unwrap().any(named)
    };
    let start = Instant::now();
    let mut child = spawn(&whole, "1");
    while !begun(&whole) && !whole.exists() {}
    let until_write = start.elapsed();
    assert!(child.wait().unwrap().success());
    let write = start.elapsed().saturating_sub(until_write).max(Duration::from_millis(2));
    let expected = contents(&whole);
    // What the model has, and a shard and the index beside it.
    assert_eq!(expected.len(), engine::assets::files().len() + 2);

    let mut random = Random(9);
    let (mut none, mut complete, mut cut_off) = (0, 0, 0);
    for i in 0..50 {
        let out = place.path().join(format!("out-{i}"));
        let mut child = spawn(&out, "1");
        if i % 5 == 0 {
            // Any moment of the run.
            std::thread::sleep((until_write + write).mul_f64(random.unit()));
        } else {
            // Any moment of the write.
            while !begun(&out) && !out.exists() {
                assert!(child.try_wait().unwrap().is_none() || out.exists(), "it failed");
            }
            std::thread::sleep(write.mul_f64(random.unit()));
        }
        // On Unix this is SIGKILL.
        let _ = child.kill();
        child.wait().unwrap();
        cut_off += usize::from(begun(&out));
        if out.exists() {
            complete += 1;
            assert_eq!(contents(&out), expected, "kill {i}");
        } else {
            none += 1;
        }
    }
    println!(
        "{none} without a directory, {cut_off} of them cut off while writing; {complete} whole"
    );
    assert!(none > 0 && cut_off > 0, "the kills do hit: {none} {cut_off} {complete}");
    let last = whole.to_str().unwrap();
    assert_eq!(json(&["inspect", "--model", last, "--json"])["kv_cache_dtype"], "fp8_e4m3");
}

#[test]
fn an_interrupt_ends_it_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("out");
    // All the text there is: some seconds in a debug build.
    let child = spawn(&out, "100000");
    std::thread::sleep(Duration::from_millis(250));
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    if output.status.success() {
        // A machine so fast that there was nothing left to interrupt.
        assert!(out.exists());
        return;
    }
    assert_eq!((output.status.code(), stderr.as_str()), (Some(1), "error: interrupted\n"));
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
}
