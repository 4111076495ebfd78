//! Rust sources: where `unsafe` may stand, how a module begins, and what a library may not do.

use std::collections::BTreeSet;

use super::lexer::{code_only, line_of, test_modules, test_regions, words};
use super::{Problem, TextFile};

/// The folders in which `unsafe` may stand. That each block says why is clippy's
/// `undocumented_unsafe_blocks`, which `manifests` keeps switched on.
const UNSAFE_FOLDERS: [&str; 4] = ["simd", "cuda", "driver", "mem"];

/// Lints that no attribute may switch off.
const FIXED_LINTS: [&str; 3] =
    ["undocumented_unsafe_blocks", "clippy::todo", "clippy::unimplemented"];

pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let sources: Vec<&TextFile> = files.iter().filter(|f| f.extension() == "rs").collect();
    let test_files: BTreeSet<String> = sources.iter().flat_map(|f| declared_tests(f)).collect();
    let mut problems = Vec::new();
    for file in sources {
        check_header(file, &mut problems);
        check_crate_docs(file, &mut problems);
        let code = code_only(&file.text);
        let all_test = is_test_file(&file.path) || test_files.contains(&file.path);
        let regions = test_regions(&code);
        let in_test = |at: usize| all_test || regions.iter().any(|r| r.contains(&at));

        let mut report = |at: usize, what: &str| {
            problems.push(Problem::new(format!("{}:{}", file.path, line_of(&code, at)), what));
        };
        if !file.path.split('/').any(|part| UNSAFE_FOLDERS.contains(&part)) {
            for at in words(&code, "unsafe").filter(|&at| !in_test(at)) {
                // `unsafe(no_mangle)` and the like are attributes, `forbid(unsafe_code)` no word.
                report(at, "unsafe outside of simd/, cuda/, driver/, mem/ and tests");
            }
        }
        for at in code.match_indices("allow(").chain(code.match_indices("expect(")) {
            let inside = code[at.0..].split(']').next().unwrap_or_default();
            let attribute = code[..at.0].trim_end().ends_with(['[', '!']);
            if attribute && FIXED_LINTS.iter().any(|lint| inside.contains(lint)) {
                report(at.0, "this lint may not be switched off");
            }
        }
        if is_library(&file.path) {
            for (at, _) in code.match_indices(".unwrap()").filter(|&(at, _)| !in_test(at)) {
                report(at, "unwrap in a library: return an error, or `expect` the reason");
            }
            for macro_name in ["print!(", "println!(", "eprintln!(", "eprint!("] {
                let before = |at: usize| code[..at].chars().next_back();
                let own_word =
                    |at: usize| before(at).is_none_or(|c| !c.is_alphanumeric() && c != '_');
                for (at, _) in code.match_indices(macro_name) {
                    if own_word(at) && !in_test(at) {
                        report(at, "a library prints nothing: return data or use tracing");
                    }
                }
            }
        }
    }
    problems
}

/// A module says in its first line what it holds.
fn check_header(file: &TextFile, problems: &mut Vec<Problem>) {
    let sentence = file.text.strip_prefix("//! ").and_then(|rest| rest.lines().next());
    if sentence.is_none_or(|s| s.trim().len() < 10) {
        problems.push(Problem::new(&file.path, "does not begin with a `//!` sentence"));
    }
}

/// A library's front page shows how it is used, and what it offers.
fn check_crate_docs(file: &TextFile, problems: &mut Vec<Problem>) {
    if !file.path.ends_with("/src/lib.rs") || file.path.starts_with("xtask/") {
        return;
    }
    for (start, what) in [("//! ```", "example"), ("//! |", "table of types")] {
        if !file.text.lines().any(|line| line.starts_with(start)) {
            problems.push(Problem::new(&file.path, format!("the crate's page has no {what}")));
        }
    }
}

fn is_test_file(path: &str) -> bool {
    let test = |part| matches!(part, "tests" | "tests.rs" | "fuzz");
    path.split('/').any(test) || path.ends_with("_tests.rs")
}

/// The library code of a published crate: binaries, examples, benches and xtask are not.
fn is_library(path: &str) -> bool {
    let Some((_, inside)) = path.split_once("/src/") else {
        return false;
    };
    !path.starts_with("xtask/") && !inside.starts_with("bin/") && inside != "main.rs"
}

/// The files that this file declares as test-only modules.
fn declared_tests(file: &TextFile) -> Vec<String> {
    let code = code_only(&file.text);
    let Some((folder, name)) = file.path.rsplit_once('/') else {
        return Vec::new();
    };
    let folder = match name {
        "mod.rs" | "lib.rs" | "main.rs" => folder.to_owned(),
        _ => format!("{folder}/{}", name.trim_end_matches(".rs")),
    };
    test_modules(&code)
        .into_iter()
        .flat_map(|m| [format!("{folder}/{m}.rs"), format!("{folder}/{m}/mod.rs")])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// On the first line, so that the samples begin in the second.
    const HEADER: &str = "//! A sentence that is long enough.\n";
    const PAGE: &str = "\n//! ```\n//! | a |";

    fn problems(path: &str, text: &str) -> Vec<String> {
        let text = format!("{HEADER}{text}{PAGE}");
        let file = TextFile { path: path.to_owned(), text };
        check(&[file]).into_iter().map(|p| format!("{} {}", p.place, p.what)).collect()
    }

    #[test]
    fn unsafe_stands_in_its_folders_and_in_tests_only() {
        let block = "fn f() { unsafe { g() } }";
        let found = problems("a/src/lib.rs", block);
        assert!(found[0].starts_with("a/src/lib.rs:2 unsafe outside"), "{found:?}");
        assert_eq!(problems("a/src/mem.rs", block).len(), 1, "a file is no folder");
        for fine in ["a/src/simd/x86.rs", "a/src/driver/mod.rs", "a/src/ops/mem/map.rs"] {
            assert!(problems(fine, block).is_empty(), "{fine}");
        }
        assert!(problems("a/tests/t.rs", block).is_empty());
        assert!(problems("a/src/lib.rs", "// unsafe\nconst S: &str = \"unsafe\";").is_empty());
        let test = format!("#[cfg(test)]\nmod tests {{ {block} }}");
        assert!(problems("a/src/lib.rs", &test).is_empty());
        assert_eq!(problems("a/src/lib.rs", &format!("{test}\n{block}")).len(), 1);
    }

    #[test]
    fn a_declared_test_module_is_a_test() {
        let file = |path: &str, text: &str| TextFile {
            path: path.to_owned(),
            text: format!("{HEADER}{text}"),
        };
        let body = "fn f() { Some(1).unwrap(); }";
        let parent = file("a/src/x.rs", "#[cfg(test)]\nmod cases;");
        assert!(check(&[parent, file("a/src/x/cases.rs", body)]).is_empty());
        assert_eq!(check(&[file("a/src/x/cases.rs", body)]).len(), 1);
    }

    #[test]
    fn a_library_neither_unwraps_nor_prints() {
        for bad in ["fn f() { g().unwrap() }", "fn f() { println!(\"x\") }", "fn f() { print!() }"]
        {
            assert_eq!(problems("a/src/lib.rs", bad).len(), 1, "{bad}");
            for fine in ["a/src/bin/b/main.rs", "xtask/src/x.rs", "a/examples/e.rs"] {
                assert!(problems(fine, bad).is_empty(), "{fine}: {bad}");
            }
        }
        assert!(problems("a/src/lib.rs", "/// ```\n/// g().unwrap()\n/// ```").is_empty());
    }

    #[test]
    fn lints_stay_on() {
        let bad = "#[allow(clippy::undocumented_unsafe_blocks)]\nfn f() {}";
        assert_eq!(problems("a/src/lib.rs", bad).len(), 1);
        assert!(problems("a/src/lib.rs", "#[allow(clippy::too_many_arguments)]").is_empty());
    }

    #[test]
    fn every_module_begins_with_a_sentence() {
        let found = |path: &str, text: String| check(&[TextFile { path: path.to_owned(), text }]);
        for text in ["fn f() {}", "//!\nfn f() {}", "// Not a header at all.\n", "//! Short"] {
            assert_eq!(found("a/src/b.rs", text.to_owned()).len(), 1, "{text:?}");
        }
        assert!(found("a/src/lib.rs", format!("{HEADER}{PAGE}")).is_empty());
        assert_eq!(found("a/src/lib.rs", format!("{HEADER}//! ```\n")).len(), 1, "no table");
        assert_eq!(found("a/src/lib.rs", format!("{HEADER}//! | a |\n")).len(), 1, "no example");
    }
}
