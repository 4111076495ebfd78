//! JSON as Python writes it: `json.dump` emits bare `NaN`, `Infinity` and `-Infinity`, which
//! JSON forbids, and real `config.json` files hold them (`"time_step_limit": [0.0, Infinity]`).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};

/// Parses JSON, reading Python's non-numbers as `null`.
pub(super) fn parse(bytes: &[u8]) -> Result<serde_json::Value, serde_json::Error> {
    serde_json::from_slice(&without_non_numbers(bytes))
}

/// Replaces the bare words by `null`; what stands inside a string is untouched.
fn without_non_numbers(bytes: &[u8]) -> Cow<'_, [u8]> {
    const WORDS: [&[u8]; 3] = [b"-Infinity", b"Infinity", b"NaN"];
    let mut out: Option<Vec<u8>> = None;
    let (mut i, mut in_string) = (0, false);
    while i < bytes.len() {
        let word =
            if in_string { None } else { WORDS.into_iter().find(|w| bytes[i..].starts_with(w)) };
        if let Some(word) = word {
            out.get_or_insert_with(|| bytes[..i].to_vec()).extend_from_slice(b"null");
            i += word.len();
            continue;
        }
        let escape = in_string && bytes[i] == b'\\';
        in_string ^= bytes[i] == b'"';
        let taken = if escape { 2 } else { 1 };
        let end = bytes.len().min(i + taken);
        if let Some(out) = &mut out {
            out.extend_from_slice(&bytes[i..end]);
        }
        i = end;
    }
    out.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// A JSON object as the list of its pairs, in the order of the file, so that a key standing
/// there twice can be seen.
pub(super) struct Pairs<V>(pub(super) Vec<(String, V)>);

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairsVisitor<V>(std::marker::PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
            type Value = Pairs<V>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(PairsVisitor(std::marker::PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn python_non_numbers_become_null_outside_strings_only() {
        let text = r#"{"a": [0.0, Infinity], "b": -Infinity, "NaN": "x \" NaN \\", "c": NaN}"#;
        let value = parse(text.as_bytes()).unwrap();
        let expected = serde_json::json!(
            {"a": [0.0, null], "b": null, "NaN": "x \" NaN \\", "c": null});
        assert_eq!(value, expected);
    }

    #[test]
    fn clean_text_is_not_copied_and_cut_text_does_not_panic() {
        assert!(matches!(without_non_numbers(br#"{"a": 1}"#), Cow::Borrowed(_)));
        for text in [&br#"{"a\"#[..], b"\"\\", b"-Infinit", b"", b"\xff"] {
            assert!(parse(text).is_err());
        }
    }
}
