//! The text under construction and the column at which it stands.

/// Collects a document line by line.
#[derive(Debug, Default)]
pub(super) struct Output {
    text: String,
    column: usize,
    /// The next `start_line` continues here: behind the `-` of a list item.
    continued: bool,
}

impl Output {
    /// Number of characters on the current line.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// Appends a character other than a line break.
    pub(super) fn push(&mut self, character: char) {
        self.text.push(character);
        self.column += 1;
    }

    /// Appends text without line breaks.
    pub(super) fn push_text(&mut self, text: &str) {
        text.chars().for_each(|character| self.push(character));
    }

    /// Ends the line, even an empty one.
    pub(super) fn break_line(&mut self) {
        self.text.push('\n');
        self.column = 0;
    }

    /// Ends the line unless it has just begun.
    pub(super) fn end_line(&mut self) {
        if self.column > 0 {
            self.break_line();
        }
    }

    /// Begins an entry on a line of its own, or on this one after [`Output::continue_line`].
    pub(super) fn start_line(&mut self, indent: usize) {
        if !std::mem::take(&mut self.continued) {
            self.end_line();
            self.indent(indent);
        }
    }

    /// The first entry of what follows stays on this line.
    pub(super) fn continue_line(&mut self) {
        self.continued = true;
    }

    /// Appends spaces.
    pub(super) fn indent(&mut self, indent: usize) {
        (0..indent).for_each(|_| self.push(' '));
    }

    /// The document.
    pub(super) fn into_text(self) -> String {
        self.text
    }
}
