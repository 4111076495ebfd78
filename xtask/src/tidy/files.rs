//! All text files: their length, and words that tie them to one machine.

use super::{Problem, TextFile};

/// A file that is longer holds two ideas.
const MAX_LINES: usize = 500;

/// What people write; data and generated files may be as long as they are.
const WRITTEN: [&str; 9] = ["rs", "md", "toml", "py", "cu", "cuh", "sh", "jinja", "yml"];

/// What may not stand in a file, and why. Each is put together here, so that this file is clean.
const FORBIDDEN: [(&str, &str); 9] = [
    (concat!("../", "shared"), "a path outside of the repository"),
    (concat!("/work", "/"), "a path of one machine"),
    (concat!("/root", "/"), "a path of one machine"),
    (concat!("/home", "/"), "a path of one machine"),
    (concat!("crates", ".io"), "the name of a registry host"),
    (concat!("pypi", ".org"), "the name of a registry host"),
    (concat!("python", "hosted.org"), "the name of a registry host"),
    (concat!("npmjs", ".org"), "the name of a registry host"),
    (concat!("debian", ".org"), "the name of a registry host"),
];

/// The top level: everything that a newcomer sees first.
const TOP_LEVEL: [&str; 19] = [
    ".cargo",
    ".ci",
    ".config",
    ".gitignore",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "attn-kernels",
    "bench",
    "clippy.toml",
    "engine",
    "fp8-format",
    "kv-scales",
    "paged-cache",
    "rustfmt.toml",
    "xtask",
];

/// What must be there, whatever else is.
const NEEDED: [&str; 7] = [
    ".ci/run",
    "ARCHITECTURE.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
];

/// The crates that people use alone.
const LIBRARIES: [&str; 5] = ["attn-kernels", "engine", "fp8-format", "kv-scales", "paged-cache"];

pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if lines > MAX_LINES && WRITTEN.contains(&file.extension()) {
            let what = format!("{lines} lines, at most {MAX_LINES} are allowed");
            problems.push(Problem::new(&file.path, what));
        }
        // The lock file names the registry on every second line; no one writes it by hand.
        if file.path.ends_with("Cargo.lock") {
            continue;
        }
        for (number, line) in file.text.lines().enumerate() {
            for (word, what) in FORBIDDEN.iter().filter(|(word, _)| line.contains(word)) {
                let place = format!("{}:{}", file.path, number + 1);
                problems.push(Problem::new(place, format!("{word}: {what}")));
            }
        }
    }
    problems
}

/// Nothing new at the top level, and nothing missing.
pub(crate) fn check_folders(paths: &[String]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut tops: Vec<&str> = paths.iter().filter_map(|p| p.split('/').next()).collect();
    tops.sort_unstable();
    tops.dedup();
    for top in tops.into_iter().filter(|top| !TOP_LEVEL.contains(top)) {
        problems.push(Problem::new(top, "the top level of the repository is fixed"));
    }
    for library in LIBRARIES {
        let benches = format!("{library}/benches/");
        if !paths.iter().any(|p| p.starts_with(&benches) && p.ends_with(".rs")) {
            problems.push(Problem::new(benches, "a library has a criterion bench"));
        }
    }
    for needed in NEEDED.iter().filter(|needed| !paths.iter().any(|p| p == *needed)) {
        problems.push(Problem::new(*needed, "is missing"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&[TextFile { path: path.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn a_written_file_has_a_length_and_data_has_none() {
        let lines = "x\n".repeat(MAX_LINES);
        assert_eq!(problems("a.rs", &lines), 0);
        let lines = "x\n".repeat(MAX_LINES + 1);
        assert_eq!(problems("a.rs", &lines), 1);
        assert_eq!(problems("a.json", &lines), 0);
    }

    #[test]
    fn each_forbidden_word_is_found() {
        for (word, _) in FORBIDDEN {
            assert_eq!(problems("a.md", &format!("see {word} there")), 1, "{word}");
            assert_eq!(problems("Cargo.lock", word), 0, "{word}");
        }
    }

    #[test]
    fn the_top_level_is_fixed() {
        let mut paths: Vec<String> = NEEDED.iter().map(|s| (*s).to_owned()).collect();
        paths.extend(LIBRARIES.iter().map(|library| format!("{library}/benches/b.rs")));
        assert!(check_folders(&paths).is_empty());
        paths.push("scratch/notes.md".to_owned());
        assert_eq!(check_folders(&paths).len(), 1);
        paths.pop();
        assert_eq!(check_folders(&paths[1..]).len(), 1, "a file that is needed");
        assert_eq!(check_folders(&paths[..paths.len() - 1]).len(), 1, "a library's bench");
    }
}
