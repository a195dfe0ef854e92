//! The lines of a page for people: facts, and tables as kubectl prints them.

use std::fmt::{Display, Write as _};

/// Collects lines. Control characters in values are shown escaped, so that a value can't look like another line.
#[derive(Debug, Default)]
pub struct Lines {
    text: String,
}

impl Lines {
    /// No lines.
    pub fn new() -> Self {
        Self::default()
    }

    /// `name: value`
    pub fn fact(&mut self, name: &str, value: impl Display) {
        let value = one_line(&value.to_string());
        let _infallible = writeln!(self.text, "{name}: {value}");
    }

    /// An empty line (unless it would be the first), a header, and the rows in columns three spaces apart.
    pub fn table<const COLUMNS: usize>(
        &mut self,
        header: [&str; COLUMNS],
        rows: impl IntoIterator<Item = [String; COLUMNS]>,
    ) {
        let header = header.map(str::to_owned);
        let rows: Vec<_> =
            std::iter::once(header).chain(rows.into_iter().map(|row| row.map(|cell| one_line(&cell)))).collect();
        let mut widths = [0; COLUMNS];
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        for row in rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(widths) {
                let _infallible = write!(line, "{cell:width$}   ");
            }
            self.text.push_str(line.trim_end());
            self.text.push('\n');
        }
    }

    /// The lines, each with its end.
    pub fn into_text(self) -> String {
        self.text
    }
}

fn one_line(value: &str) -> String {
    let mut line = String::with_capacity(value.len());
    for character in value.chars() {
        if character.is_control() {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::Lines;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_have_no_spaces_at_their_ends() {
        let mut lines = Lines::new();
        lines.fact("Keys", 2);
        lines.table(["NAME", "AGE", "NOTE"], [["a".to_owned(), "12 sec".to_owned(), String::new()]]);
        lines.table(["X"], [["é\nY: 1".to_owned()]]);
        assert_eq!(lines.into_text(), "Keys: 2\n\nNAME   AGE      NOTE\na      12 sec\n\nX\né\\nY: 1\n");
    }
}
