//! The dependency graph, from `cargo metadata`: the arrows between our crates, and what may come
//! from outside.

use serde_json::Value;

use super::Problem;

/// What each crate may depend on, of this workspace; dev-dependencies follow in the third place.
const ARROWS: [(&str, &[&str], &[&str]); 7] = [
    ("fp8-format", &[], &[]),
    ("kv-scales", &["fp8-format"], &[]),
    ("paged-cache", &[], &[]),
    ("attn-kernels", &["fp8-format"], &["cuda-emulator"]),
    ("cuda-emulator", &[], &["fp8-format"]),
    ("engine", &["attn-kernels", "fp8-format", "kv-scales", "paged-cache"], &[]),
    ("xtask", &[], &[]),
];

/// Licences that a user of these crates can take without a second thought.
const LICENCES: [&str; 13] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "0BSD",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// The arrows of the map and no others.
pub(crate) fn check_arrows(metadata: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in ours(metadata) {
        let name = text(package, "name");
        let Some((_, normal, dev)) = ARROWS.iter().find(|(n, ..)| *n == name) else {
            problems.push(Problem::new(name, "is not on the map of crates (ARROWS in tidy)"));
            continue;
        };
        for dependency in list(package, "dependencies") {
            let to = text(dependency, "name");
            if dependency["path"].is_null() {
                continue;
            }
            let in_tests = dependency["kind"] == "dev";
            if !(normal.contains(&to) || (in_tests && dev.contains(&to))) {
                let kind = if in_tests { "dev-depends" } else { "depends" };
                problems.push(Problem::new(name, format!("{kind} on {to}: no such arrow")));
            }
        }
    }
    problems
}

/// Registry crates only, each under a permissive licence; ours agree on edition, licence and MSRV.
pub(crate) fn check_dependencies(metadata: &Value) -> Vec<Problem> {
    let mut problems = Vec::new();
    for package in list(metadata, "packages") {
        let (name, source) = (text(package, "name"), &package["source"]);
        let place = format!("{name} {}", text(package, "version"));
        let licence = text(package, "license");
        if !source.is_null() && !source.as_str().is_some_and(|s| s.starts_with("registry+")) {
            problems.push(Problem::new(&place, format!("comes from {source}, no registry")));
        }
        if !permissive(licence) {
            problems.push(Problem::new(&place, format!("licence {licence:?} is not on the list")));
        }
    }
    for field in ["rust_version", "edition", "license"] {
        let mut values: Vec<&Value> = ours(metadata).map(|p| &p[field]).collect();
        values.dedup();
        if values.len() != 1 || values[0].is_null() {
            problems.push(Problem::new("Cargo.toml", format!("{field} differs: {values:?}")));
        }
    }
    problems
}

/// Whether one side of an `OR` is made of listed licences only.
fn permissive(licence: &str) -> bool {
    let listed = |part: &str| LICENCES.contains(&part.trim().trim_matches(['(', ')']));
    let licence = licence.replace('/', " OR ");
    // `A AND (B OR C)` needs A and one of B, C; `(A OR B) AND C` likewise.
    licence.split(" AND ").all(|part| part.split(" OR ").any(listed))
        || licence.split(" OR ").any(|part| part.split(" AND ").all(listed))
}

fn ours(metadata: &Value) -> impl Iterator<Item = &Value> {
    list(metadata, "packages").iter().filter(|package| package["source"].is_null())
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, dependencies: &[(&str, Value)]) -> Value {
        let dependencies: Vec<Value> = dependencies
            .iter()
            .map(|(name, kind)| json!({ "name": name, "path": "p", "kind": kind }))
            .collect();
        json!({ "name": name, "version": "1.0.0", "source": null, "dependencies": dependencies,
                "license": "MIT OR Apache-2.0", "edition": "2024", "rust_version": "1.89" })
    }

    fn arrows(package: &Value) -> usize {
        check_arrows(&json!({ "packages": [package] })).len()
    }

    #[test]
    fn a_new_arrow_is_found() {
        let none = Value::Null;
        assert_eq!(arrows(&package("kv-scales", &[("fp8-format", none.clone())])), 0);
        assert_eq!(arrows(&package("kv-scales", &[("paged-cache", none.clone())])), 1);
        assert_eq!(arrows(&package("paged-cache", &[("fp8-format", none.clone())])), 1);
        assert_eq!(arrows(&package("fp8-format", &[("engine", json!("dev"))])), 1);
        assert_eq!(arrows(&package("cuda-emulator", &[("fp8-format", json!("dev"))])), 0);
        assert_eq!(arrows(&package("cuda-emulator", &[("fp8-format", none)])), 1);
        assert_eq!(arrows(&package("newcomer", &[])), 1);
    }

    #[test]
    fn a_fork_and_a_stranger_s_licence_are_found() {
        let mut outside = package("forked", &[]);
        outside["source"] = json!("git+https://example.org/forked");
        let ours = package("engine", &[]);
        assert_eq!(check_dependencies(&json!({ "packages": [ours, outside] })).len(), 1);
        let mut outside = package("viral", &[]);
        outside["source"] = json!("registry+https://example.org/index");
        outside["license"] = json!("GPL-3.0-only");
        let ours = package("engine", &[]);
        assert_eq!(check_dependencies(&json!({ "packages": [ours, outside] })).len(), 1);
    }

    #[test]
    fn our_manifests_agree() {
        let (a, mut b) = (package("engine", &[]), package("kv-scales", &[]));
        assert!(check_dependencies(&json!({ "packages": [a, b] })).is_empty());
        b["rust_version"] = json!("1.70");
        assert_eq!(check_dependencies(&json!({ "packages": [a, b] })).len(), 1);
    }

    #[test]
    fn licence_expressions() {
        for fine in ["MIT", "MIT/Apache-2.0", "(MIT OR GPL-2.0) AND Unicode-3.0", "GPL-2.0 OR MIT"]
        {
            assert!(permissive(fine), "{fine}");
        }
        for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "MPL-2.0"] {
            assert!(!permissive(bad), "{bad}");
        }
    }
}
