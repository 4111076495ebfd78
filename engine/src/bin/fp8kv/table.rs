//! Columns that line up.

/// How a column is set.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// Rows under a header, two spaces between columns.
pub(crate) struct Table {
    align: Vec<Align>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[(&str, Align)]) -> Self {
        let row = header.iter().map(|(name, _)| (*name).to_owned()).collect();
        Self { align: header.iter().map(|(_, align)| *align).collect(), rows: vec![row] }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn render(&self) -> String {
        let length =
            |row: &Vec<String>, i: usize| row.get(i).map_or(0, |cell| cell.chars().count());
        let widths: Vec<usize> = (0..self.align.len())
            .map(|i| self.rows.iter().map(|row| length(row, i)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let cells =
                row.iter().zip(&widths).zip(&self.align).map(
                    |((cell, &width), align)| match align {
                        Align::Left => format!("{cell:<width$}"),
                        Align::Right => format!("{cell:>width$}"),
                    },
                );
            let line = cells.collect::<Vec<_>>().join("  ");
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&[("name", Align::Left), ("n", Align::Right)]);
        table.row(["é".into(), "10".into()]);
        table.row(["longer".into(), "7".into()]);
        assert_eq!(table.render(), "name     n\né       10\nlonger   7\n");
    }
}
