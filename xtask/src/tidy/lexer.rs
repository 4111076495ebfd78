//! Just enough of Rust's lexical rules to tell code from comments, strings and tests.

use std::ops::Range;

/// The source with every comment and every literal's inside turned to spaces, byte for byte in
/// place, so that offsets and line numbers stay what they are.
pub(crate) fn code_only(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_end(bytes, at),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment_end(bytes, at),
            b'"' => string_end(bytes, at),
            b'r' | b'b' | b'c' if !follows_word(bytes, at) => match raw_string_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            b'\'' => match char_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    // Only whole literals and comments were replaced, so no character was cut.
    String::from_utf8(out).unwrap_or_default()
}

/// The 1-based line of a byte offset.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at].iter().filter(|&&b| b == b'\n').count() + 1
}

/// The offsets at which `word` stands in `code` as a word of its own.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let bytes = code.as_bytes();
        let before = at == 0 || !is_word(bytes[at - 1]);
        let after = bytes.get(at + word.len()).is_none_or(|&b| !is_word(b));
        before && after
    })
}

/// The regions of `code` (as [`code_only`] returns it) that only tests compile: items below
/// `#[cfg(test)]` or `#[cfg(all(test, …))]` with a body in braces.
pub(crate) fn test_regions(code: &str) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    for marker in ["#[cfg(test)]", "#[cfg(all(test"] {
        for (at, _) in code.match_indices(marker) {
            let body = code[at..].find(['{', ';']).map(|i| at + i);
            if let Some(open) = body.filter(|&i| code.as_bytes()[i] == b'{') {
                regions.push(at..braces_end(code.as_bytes(), open));
            }
        }
    }
    regions
}

/// The modules that `#[cfg(test)] mod NAME;` makes test-only files.
pub(crate) fn test_modules(code: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for (at, marker) in code.match_indices("#[cfg(test)]") {
        let rest = code[at + marker.len()..].trim_start();
        let rest = rest.strip_prefix("pub(crate) ").unwrap_or(rest);
        if let Some((name, _)) = rest.strip_prefix("mod ").and_then(|r| r.split_once(';'))
            && name.bytes().all(is_word)
        {
            names.push(name);
        }
    }
    names
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn follows_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && is_word(bytes[at - 1])
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |i| at + i)
}

fn block_comment_end(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

/// The end of a string that opens with the quote at `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut i = at + 1;
    while i < bytes.len() {
        match bytes[i] {
            b'\\' => i += 2,
            b'"' => return i + 1,
            _ => i += 1,
        }
    }
    bytes.len()
}

/// The end of `r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`, `c"…"`; `None` if this is no such literal.
fn raw_string_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut i = at;
    while i < bytes.len() && matches!(bytes[i], b'r' | b'b' | b'c') && i - at < 2 {
        i += 1;
    }
    let raw = bytes[at..i].contains(&b'r');
    let hashes = bytes[i..].iter().take_while(|&&b| b == b'#').count();
    i += hashes;
    if bytes.get(i) != Some(&b'"') || (!raw && hashes > 0) {
        return None;
    }
    if !raw {
        return Some(string_end(bytes, i));
    }
    let mut close = vec![b'"'];
    close.resize(1 + hashes, b'#');
    let rest = &bytes[i + 1..];
    let found = rest.windows(close.len()).position(|w| w == close);
    Some(found.map_or(bytes.len(), |n| i + 1 + n + close.len()))
}

/// The end of a character literal; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|&b| b == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    // One character of up to four bytes, then the closing quote.
    let first = bytes.get(at + 1)?;
    let width = match first {
        0..=0x7F => 1,
        0x80..=0xDF => 2,
        0xE0..=0xEF => 3,
        _ => 4,
    };
    (bytes.get(at + 1 + width) == Some(&b'\'')).then_some(at + width + 2)
}

fn braces_end(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (i, &byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return i + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_go_and_code_stays() {
        let source =
            "a /* x /* y */ z */ b // c\n\"d \\\" e\" f r#\"g \" h\"# 'i' 'j b'\\'' b\"k\" '→' l";
        let code = code_only(source);
        assert_eq!(code.len(), source.len());
        let left: Vec<&str> = code.split_whitespace().collect();
        assert_eq!(left, ["a", "b", "f", "'j", "b", "l"]);
    }

    #[test]
    fn a_word_is_a_whole_word() {
        let code = "unsafe_op not_unsafe unsafe{ (unsafe)";
        assert_eq!(words(code, "unsafe").collect::<Vec<_>>(), [21, 30]);
    }

    #[test]
    fn test_code_is_told_from_the_rest() {
        let code = "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}";
        let regions = test_regions(code);
        assert_eq!(regions.len(), 1);
        let holds = |word: &str| regions[0].contains(&code.find(word).unwrap());
        assert!(holds("fn b") && !holds("fn a") && !holds("fn c"));
        assert_eq!(test_modules("#[cfg(test)]\nmod cases;\nmod other;"), ["cases"]);
        assert!(test_regions("#[cfg(test)]\nmod cases;\nfn d() {}").is_empty());
    }
}
