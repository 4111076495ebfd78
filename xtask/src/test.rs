//! `cargo xtask test`: every test there is, from a clean clone, with its own set-up.

use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::args::Args;
use crate::nvrtc::Toolkit;
use crate::steps::Steps;
use crate::{consumers, emulated, kernels, miri, repo, tidy};

/// Examples that are long checks or benchmarks, each behind a task of its own, or tools that need
/// arguments, or a CUDA device. Every other example is run to its end here.
const NOT_RUN_HERE: [&str; 9] = [
    "attention_bench",
    "cache_bench",
    "calibration_check",
    "codec_bench",
    "cuda_bench",
    "exhaustive",
    "model_check",
    "put_scales",
    "smollm2_check",
];

pub(crate) fn run(args: Args) -> Result<()> {
    args.finish()?;
    let mut steps = Steps::new();
    all(&mut steps)?;
    steps.finish()
}

/// Adds every test step to `steps`.
pub(crate) fn all(steps: &mut Steps) -> Result<()> {
    let metadata = tidy::metadata()?;
    let packages = workspace_packages(&metadata)?;
    let features = optional_features(&packages);

    match Toolkit::unavailable() {
        None => steps.run("PTX of the test kernels", kernels::test_ptx),
        Some(why) => steps.skip("PTX of the test kernels", why),
    }
    steps.run("unit, integration and property tests, all features", || tests(&features));
    if cfg!(target_os = "linux") {
        steps.run(ON_EMULATED, || on_emulated(&features));
    } else {
        steps.skip(ON_EMULATED, "the emulated driver is a library for Linux");
    }
    steps.run("doc tests", || {
        repo::run(repo::cargo().args(["test", "--workspace", "--doc", "--features", &features]))
    });
    for package in &packages {
        for example in examples(package) {
            steps.run(&format!("example {} of {}", example, name(package)), || {
                let mut cargo = repo::cargo();
                cargo.args(["run", "--quiet", "--package", name(package), "--example", example]);
                repo::run(&mut cargo)
            });
        }
    }
    let libraries: Vec<&str> = packages.iter().filter(|p| is_library(p)).map(|p| name(p)).collect();
    for library in &libraries {
        steps.run(&format!("{library} alone: default features, and none"), || alone(library));
    }
    for package in packages.iter().copied().filter(has_unverified_simd) {
        let name = name(package);
        // On whatever this processor has; without the feature the steps above ran the same tests.
        steps.run(&format!("{name} with unverified-simd"), || {
            let features = ["--features", "unverified-simd"];
            repo::run(
                repo::cargo()
                    .args(["test", "--quiet", "--package", name, "--tests"])
                    .args(features),
            )
        });
    }
    consumers::steps(steps, &libraries)?;
    if miri::available() {
        steps.run("miri", || miri::run(Args::default()));
    } else {
        steps.skip_allowed("miri", miri::MISSING);
    }
    Ok(())
}

/// nextest runs each test in a process of its own and shows slow ones; plain cargo does as well.
fn tests(features: &str) -> Result<()> {
    let mut cargo = repo::cargo();
    if repo::succeeds(repo::cargo().args(["nextest", "--version"])) {
        cargo.args(["nextest", "run", "--workspace", "--features", features]);
    } else {
        cargo.args(["test", "--workspace", "--lib", "--bins", "--tests", "--features", features]);
    }
    repo::run(&mut cargo)
}

const ON_EMULATED: &str = "CUDA through the driver's interface, on the emulated device";

/// Tests that look for a CUDA driver: above they found none, or a GPU's. With the features of that
/// build, so that nothing is built again. Where the pinned compiler can be had, kernels that do not
/// ship are compiled with it.
fn on_emulated(features: &str) -> Result<()> {
    let compiler = match Toolkit::unavailable() {
        None => Toolkit::install()?.nvrtc().parent().map(Path::to_owned),
        Some(why) => {
            println!("without libnvrtc: {why}");
            None
        }
    };
    // The engine's kernels are not public: their tests are in its library.
    for tests in [&["--test", "cuda_driver"][..], &["--lib", "cuda::tests"]] {
        let mut cargo = repo::cargo();
        cargo.args(["test", "--workspace", "--features", features]).args(tests);
        cargo.env("REQUIRE_LIBCUDA", "1");
        if compiler.is_some() {
            cargo.env("REQUIRE_LIBNVRTC", "1");
        }
        repo::run(emulated::on_path(&mut cargo, compiler.clone())?)?;
        let found = repo::output(cargo.args(["--quiet", "--", "--list"]))?;
        anyhow::ensure!(found.contains(": test"), "no test is named by {tests:?}");
    }
    let mut bench = repo::cargo();
    bench.args(["run", "--quiet", "--package", "attn-kernels", "--features", "cuda"]);
    bench.args(["--example", "cuda_bench", "--", "--quick"]);
    repo::run(emulated::on_path(&mut bench, None)?)
}

/// In a workspace build a crate can lean on features that its neighbours switch on.
fn alone(package: &str) -> Result<()> {
    for features in [&[][..], &["--no-default-features"]] {
        repo::run(repo::cargo().args(["check", "--quiet", "--package", package]).args(features))?;
    }
    Ok(())
}

fn workspace_packages(metadata: &Value) -> Result<Vec<&Value>> {
    let packages = metadata["packages"].as_array().context("no packages in cargo metadata")?;
    Ok(packages.iter().filter(|package| package["source"].is_null()).collect())
}

/// Every feature of every crate, but what no machine of ours has executed.
fn optional_features(packages: &[&Value]) -> String {
    let mut all = Vec::new();
    for package in packages {
        let features = package["features"].as_object().into_iter().flatten().map(|(name, _)| name);
        let known = features.filter(|f| !f.starts_with("unverified-") && *f != "default");
        all.extend(known.map(|feature| format!("{}/{feature}", name(package))));
    }
    all.join(",")
}

fn has_unverified_simd(package: &&Value) -> bool {
    package["features"].get("unverified-simd").is_some()
}

fn examples(package: &Value) -> impl Iterator<Item = &str> {
    targets(package, "example").filter(|name| !NOT_RUN_HERE.contains(name))
}

fn is_library(package: &Value) -> bool {
    targets(package, "lib").next().is_some()
}

fn targets<'a>(package: &'a Value, kind: &'a str) -> impl Iterator<Item = &'a str> {
    let targets = package["targets"].as_array().map_or(&[][..], Vec::as_slice);
    let of_kind =
        move |t: &&Value| t["kind"].as_array().is_some_and(|k| k.iter().any(|k| k == kind));
    targets.iter().filter(of_kind).filter_map(|t| t["name"].as_str())
}

fn name(package: &Value) -> &str {
    package["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_to_build_comes_from_the_manifests() {
        let package = json!({ "name": "a", "features": { "default": [], "x": [], "unverified-y": [] },
            "targets": [{ "kind": ["lib"], "name": "a" }, { "kind": ["example"], "name": "short" },
                        { "kind": ["example"], "name": "exhaustive" }] });
        assert_eq!(optional_features(&[&package]), "a/x");
        assert_eq!(examples(&package).collect::<Vec<_>>(), ["short"]);
        assert!(is_library(&package) && !is_library(&json!({ "name": "b" })));
    }
}
