//! Printing that neither panics on a closed pipe nor mixes notes into the result.

use std::io::{ErrorKind, Write};

use serde::Serialize;

use crate::failure::Failure;

/// Prints the result, as it is, to stdout.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|e| match e.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Output(e),
    })
}

/// Prints one JSON document to stdout.
pub(crate) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(|e| Failure::Output(e.into()))?;
    text.push('\n');
    print(&text)
}

/// Prints a line to stderr. If nobody can read it, that is no reason to fail.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// The text on one line: a file name, or a library's message, can hold line breaks.
pub(crate) fn one_line(text: &str) -> String {
    let breaks = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(breaks).collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes as digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
