//! What is printed and what is written: sections of aligned tables, and one JSON document.

use std::fmt;
use std::path::Path;

use serde_json::{Map, Value};

/// Why there is no report. A wrong result is one: it must never stand beside a speed.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// The document, as far as it has come, and the figures that later sections refer to.
#[derive(Default)]
pub(crate) struct Report {
    document: Map<String, Value>,
    /// Bytes per second that one thread reads from memory, and all threads together.
    pub(crate) read_one: f64,
    pub(crate) read_all: f64,
}

impl Report {
    /// Begins a section in the printed report.
    pub(crate) fn heading(&self, title: &str) {
        println!("\n{title}\n{}", "-".repeat(title.chars().count()));
    }

    /// A line of its own under the heading or the table.
    pub(crate) fn note(&self, text: &str) {
        println!("{text}");
    }

    /// Prints a table.
    pub(crate) fn table(&self, table: &Table) {
        print!("{table}");
    }

    /// Adds to the JSON document.
    pub(crate) fn add(&mut self, name: &str, value: Value) {
        self.document.insert(name.to_owned(), value);
    }

    pub(crate) fn write(self, path: &Path) -> Result<(), Failure> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut text = serde_json::to_string_pretty(&Value::Object(self.document))?;
        text.push('\n');
        std::fs::write(path, text)
            .map_err(|e| Failure::new(format!("cannot write {}: {e}", path.display())))
    }
}

/// Rows under a header: the first column to the left, the others to the right.
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&str]) -> Self {
        Self { rows: vec![header.iter().map(|&h| h.to_owned()).collect()] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                match column {
                    0 => write!(f, "  {cell:<width$}")?,
                    _ => write!(f, "  {cell:>width$}")?,
                }
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// Bytes per second as GB/s.
pub(crate) fn gb(bytes_per_second: f64) -> String {
    format!("{:.2}", bytes_per_second / 1e9)
}

/// A share as a fraction of one.
pub(crate) fn share(part: f64, whole: f64) -> String {
    format!("{:.2}", part / whole)
}

/// Bytes in the unit that suits them.
pub(crate) fn bytes(n: u64) -> String {
    let n = n as f64;
    match n {
        n if n >= 1e9 => format!("{:.2} GB", n / 1e9),
        n if n >= 1e6 => format!("{:.1} MB", n / 1e6),
        n if n >= 1e4 => format!("{:.1} kB", n / 1e3),
        n => format!("{n:.0} B"),
    }
}

/// A count with its thousands set apart.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["what", "GB/s"]);
        table.row(["→ é".to_owned(), "1.00".to_owned()]);
        table.row(["longer".to_owned(), "10.00".to_owned()]);
        assert_eq!(table.to_string(), "  what     GB/s\n  → é      1.00\n  longer  10.00\n");
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!((bytes(512), bytes(20_480)), ("512 B".to_owned(), "20.5 kB".to_owned()));
        assert_eq!((gb(1.5e10), share(1.0, 4.0)), ("15.00".to_owned(), "0.25".to_owned()));
    }
}
