//! Manifests as text: every crate takes the workspace's lints, those lints are on, no dependency
//! is replaced, and every MSRV is the same.

use super::{Problem, TextFile};

/// Lints that carry a rule of ARCHITECTURE.md; each must be denied (or warned of, which CI denies).
const LINTS: [&str; 6] = [
    "missing_docs = \"warn\"",
    "undocumented_unsafe_blocks = \"deny\"",
    "todo = \"deny\"",
    "unimplemented = \"deny\"",
    "incompatible_msrv = \"deny\"",
    "unsafe_op_in_unsafe_fn = \"deny\"",
];

pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let named = |name: &str| files.iter().find(|f| f.path == name);
    let Some(root) = named("Cargo.toml") else {
        return vec![Problem::new("Cargo.toml", "is missing")];
    };
    let mut problems = Vec::new();
    for lint in LINTS.iter().filter(|lint| !has_line(&root.text, lint)) {
        problems.push(Problem::new("Cargo.toml", format!("the lint `{lint}` is not there")));
    }
    let msrv = key(&root.text, "rust-version");
    for file in files.iter().filter(|f| f.path.ends_with("Cargo.toml")) {
        for table in ["[patch", "[replace"] {
            if file.text.lines().any(|line| line.starts_with(table)) {
                problems.push(Problem::new(&file.path, format!("{table}…]: no forked crates")));
            }
        }
        // The outside consumers and the fuzzer are workspaces of their own, as a stranger's crate
        // is: they take nothing from us, but may not state another MSRV.
        let outside = file.path != "Cargo.toml" && has_line(&file.text, "[workspace]");
        let inherits = has_line(&file.text, "rust-version.workspace = true");
        let stated = key(&file.text, "rust-version");
        if !inherits && stated != msrv && !(outside && stated.is_none()) {
            let what = format!("rust-version is not {}", msrv.unwrap_or("set in the workspace"));
            problems.push(Problem::new(&file.path, what));
        }
        let member = file.path != "Cargo.toml" && !outside;
        if member && !file.text.contains("[lints]\nworkspace = true") {
            problems.push(Problem::new(&file.path, "does not take the workspace's lints"));
        }
    }
    problems
}

fn has_line(text: &str, line: &str) -> bool {
    text.lines().any(|l| l.trim() == line)
}

/// The value of `key = "value"`.
fn key<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let value = line.trim().strip_prefix(key)?.trim_start().strip_prefix('=')?;
        Some(value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, text: &str) -> TextFile {
        TextFile { path: path.to_owned(), text: text.to_owned() }
    }

    fn root() -> TextFile {
        file("Cargo.toml", &format!("rust-version = \"1.89\"\n{}", LINTS.join("\n")))
    }

    #[test]
    fn a_manifest_that_breaks_a_rule_is_found() {
        let good = "rust-version.workspace = true\n[lints]\nworkspace = true\n";
        assert!(check(&[root(), file("a/Cargo.toml", good)]).is_empty());
        for bad in [
            "rust-version = \"1.70\"\n[lints]\nworkspace = true\n",
            "rust-version.workspace = true\n",
            "[lints]\nworkspace = true\n",
            &format!("{good}[patch.a]\n"),
        ] {
            assert_eq!(check(&[root(), file("a/Cargo.toml", bad)]).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_lint_taken_away_is_found() {
        for lint in LINTS {
            let mut root = root();
            root.text = root.text.replace(lint, "");
            assert_eq!(check(&[root]).len(), 1, "{lint}");
        }
    }

    #[test]
    fn a_workspace_of_its_own_needs_no_lints_but_may_not_state_another_msrv() {
        let outside = |text: &str| file("a/fuzz/Cargo.toml", &format!("[workspace]\n{text}"));
        assert!(check(&[root(), outside("rust-version = \"1.89\"\n")]).is_empty());
        assert!(check(&[root(), outside("")]).is_empty());
        assert_eq!(check(&[root(), outside("rust-version = \"1.90\"\n")]).len(), 1);
    }
}
