//! Markdown: a link leads to a file or a heading that is there, and a command that is shown is a
//! command that exists.

use std::collections::BTreeSet;

use super::{Problem, TextFile};

pub(crate) fn check(files: &[TextFile], paths: &[String]) -> Vec<Problem> {
    let known: BTreeSet<&str> = paths.iter().map(String::as_str).collect();
    let mut problems = Vec::new();
    for file in files.iter().filter(|f| f.extension() == "md") {
        for (number, line) in prose(&file.text) {
            for target in link_targets(line) {
                if let Some(what) = broken(file, target, files, &known) {
                    problems.push(Problem::new(format!("{}:{number}", file.path), what));
                }
            }
        }
        for (number, line) in file.text.lines().enumerate() {
            for what in unknown_commands(line, &known) {
                problems.push(Problem::new(format!("{}:{}", file.path, number + 1), what));
            }
        }
    }
    problems
}

/// The numbered lines outside of code fences.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(i, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((i + 1, line))
    })
}

/// What stands in the round brackets of `[text](target)`.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn broken(
    file: &TextFile,
    target: &str,
    files: &[TextFile],
    known: &BTreeSet<&str>,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(p, a)| (p, Some(a)));
    let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
    let folder = format!("{path}/");
    if !known.contains(path.as_str()) && !known.iter().any(|k| k.starts_with(&folder)) {
        return Some(format!("the link to {target} leads nowhere"));
    }
    let anchor = anchor?;
    let text = files.iter().find(|f| f.path == path).map_or("", |f| f.text.as_str());
    let headings = prose(text).filter_map(|(_, line)| line.strip_prefix('#'));
    let found = headings.map(|h| slug(h.trim_start_matches('#'))).any(|h| h == anchor);
    (!found).then(|| format!("{path} has no heading #{anchor}"))
}

/// `path` as seen from the file `from`.
fn resolve(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// The anchor of a heading, as GitHub makes it.
fn slug(heading: &str) -> String {
    let keep = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim()
        .to_lowercase()
        .chars()
        .filter(keep)
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// `cargo xtask TASK`, `--example NAME` and `fp8kv COMMAND` that no source file stands behind.
fn unknown_commands(line: &str, known: &BTreeSet<&str>) -> Vec<String> {
    let mut unknown = Vec::new();
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let after = |marker: &'static str| {
        line.split(marker).skip(1).map(move |rest| rest.split(|c| !is_name(c)).next().unwrap_or(""))
    };
    let module = |folder: &str, name: &str| {
        let name = name.replace('-', "_");
        known.contains(format!("{folder}/{name}.rs").as_str())
            || known.contains(format!("{folder}/{name}/mod.rs").as_str())
    };
    for task in after("cargo xtask ").filter(|t| t.starts_with(|c: char| c.is_ascii_lowercase())) {
        if !module("xtask/src", task) {
            unknown.push(format!("`cargo xtask {task}`: there is no such task"));
        }
    }
    // In running text `fp8kv` is a word like others: only what stands as a command counts.
    let shown = line.strip_prefix("fp8kv ").into_iter().chain(line.split("`fp8kv ").skip(1));
    for command in shown.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase())) {
        let command = command.split(|c| !is_name(c)).next().unwrap_or("");
        if !module("engine/src/bin/fp8kv", command) {
            unknown.push(format!("`fp8kv {command}`: there is no such command"));
        }
    }
    for name in after("--example ").filter(|n| !n.is_empty()) {
        let ends = [format!("/examples/{name}.rs"), format!("/examples/{name}/main.rs")];
        if !known.iter().any(|k| ends.iter().any(|e| k.ends_with(e))) {
            unknown.push(format!("`--example {name}`: there is no such example"));
        }
    }
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> usize {
        let readme = TextFile { path: "docs/README.md".to_owned(), text: text.to_owned() };
        let other = TextFile {
            path: "A.md".to_owned(),
            text: "# One *two*: three\n```\n# no heading\n```\n".to_owned(),
        };
        let paths = ["docs/README.md", "A.md", "src/lib.rs", "xtask/src/test.rs"];
        let mut paths: Vec<String> = paths.iter().map(|p| (*p).to_owned()).collect();
        paths.extend(["xtask/src/model/mod.rs", "a/examples/e.rs"].map(str::to_owned));
        paths.push("engine/src/bin/fp8kv/eval.rs".to_owned());
        check(&[readme, other], &paths).len()
    }

    #[test]
    fn links_lead_somewhere() {
        for fine in ["[a](../A.md)", "[a](../src)", "[a](https://example.org/x)", "[](README.md)"] {
            assert_eq!(problems(fine), 0, "{fine}");
        }
        for bad in ["[a](B.md)", "see [a](../src/main.rs) and", "[a](../A.md#four)", "[a](#none)"] {
            assert_eq!(problems(bad), 1, "{bad}");
        }
        assert_eq!(problems("[a](../A.md#one-two-three)"), 0);
        assert_eq!(problems("[a](../A.md#no-heading)"), 1, "a fenced line is no heading");
        assert_eq!(problems("```\n[a](nowhere.md)\n```"), 0, "code is no link");
    }

    #[test]
    fn commands_exist() {
        for fine in ["`cargo xtask test`", "cargo xtask model smollm2", "cargo xtask <TASK>"] {
            assert_eq!(problems(fine), 0, "{fine}");
        }
        assert_eq!(problems("```\ncargo run --example e\n```"), 0);
        assert_eq!(problems("fp8kv eval --text x\nthe fp8kv cache and `fp8kv --help`"), 0);
        assert_eq!(problems("fp8kv evaluate"), 1);
        assert_eq!(problems("see `fp8kv evaluate`"), 1);
        assert_eq!(problems("```\ncargo xtask frobnicate\n```"), 1);
        assert_eq!(problems("cargo run -p a --example missing"), 1);
    }
}
