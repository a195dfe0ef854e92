//! How one string is written: plain, in single or double quotes, or as a literal block.

use super::output::Output;
use super::plain;

/// A line that is longer is broken at its next single space.
const WIDTH: usize = 80;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Literal,
}

/// Writes the key of an entry; it never spans lines.
pub(super) fn write_key(output: &mut Output, text: &str, indent: usize) {
    let style = match style(text) {
        Style::Literal => Style::DoubleQuoted,
        other => other,
    };
    write(output, text, style, Fold::Never, indent);
}

/// Writes a value of a collection that is indented by `indent`.
pub(super) fn write_value(output: &mut Output, text: &str, indent: usize) {
    write(output, text, style(text), Fold::AtSpaces, indent + 2);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fold {
    Never,
    AtSpaces,
}

/// What the characters of a string forbid.
struct Analysis {
    plain: bool,
    single_quoted: bool,
    literal: bool,
}

fn style(text: &str) -> Style {
    let allowed = analyze(text);
    let wanted = match text {
        _ if text.contains('\n') => Style::Literal,
        _ if plain::reads_as_string(text) => Style::Plain,
        _ => Style::DoubleQuoted,
    };
    match wanted {
        Style::Literal if allowed.literal => Style::Literal,
        Style::Plain if allowed.plain => Style::Plain,
        Style::Plain if allowed.single_quoted => Style::SingleQuoted,
        _ => Style::DoubleQuoted,
    }
}

fn analyze(text: &str) -> Analysis {
    let characters: Vec<char> = text.chars().collect();
    let (first, last) = (characters.first().copied(), characters.last().copied());
    let special = characters.iter().any(|character| !is_printable(*character)) || text.contains(" \n");
    let edges = [first, last].into_iter().flatten().any(|edge| matches!(edge, ' ' | '\n'));
    let break_space = text.contains("\n ");
    let indicators = is_marker(text) || (0..characters.len()).any(|at| is_indicator(&characters, at));
    Analysis {
        plain: !(special || edges || break_space || indicators || text.contains('\n')),
        single_quoted: !(special || break_space),
        literal: !(special || last == Some(' ') || text.is_empty()),
    }
}

/// The marks that begin and end documents.
fn is_marker(text: &str) -> bool {
    text.starts_with("---") || text.starts_with("...")
}

/// Whether the character would mean something else than itself at this place.
fn is_indicator(characters: &[char], at: usize) -> bool {
    let before_blank = characters.get(at + 1).is_none_or(|next| matches!(next, ' ' | '\t'));
    match characters[at] {
        '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`' if at == 0 => {
            true
        }
        '?' | '-' if at == 0 => before_blank,
        ':' => before_blank,
        '#' => matches!(characters[at - 1], ' ' | '\t' | '\n'),
        _ => false,
    }
}

/// Everything else is written as an escape. Separators of lines and paragraphs are, too: upstream would break the line
/// there, which is the one difference that was left in on purpose.
fn is_printable(character: char) -> bool {
    matches!(character, '\n' | ' '..='~' | '\u{a0}'..='\u{fffd}')
        && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

fn write(output: &mut Output, text: &str, style: Style, fold: Fold, indent: usize) {
    match style {
        Style::Plain => flow(output, text, fold, indent, |_| None),
        Style::SingleQuoted => {
            output.push('\'');
            flow(output, text, fold, indent, |character| (character == '\'').then(|| "''".to_owned()));
            output.push('\'');
        }
        Style::DoubleQuoted => {
            output.push('"');
            double_quoted(output, text, fold, indent);
            output.push('"');
        }
        Style::Literal => literal(output, text, indent),
    }
}

/// Text of a plain or single-quoted scalar: a single space beyond the width becomes a line break.
fn flow(output: &mut Output, text: &str, fold: Fold, indent: usize, replace: fn(char) -> Option<String>) {
    let mut after_space = false;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let before_space = characters.peek() == Some(&' ');
        let foldable = character == ' ' && !after_space && !before_space;
        if foldable && fold == Fold::AtSpaces && output.column() > WIDTH {
            output.break_line();
            output.indent(indent);
        } else if let Some(replacement) = replace(character) {
            output.push_text(&replacement);
        } else {
            output.push(character);
        }
        after_space = character == ' ';
    }
}

fn double_quoted(output: &mut Output, text: &str, fold: Fold, indent: usize) {
    let mut after_space = false;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        let next = characters.peek().map(|(_, next)| *next);
        if character != ' ' {
            escape(output, character);
        } else if fold == Fold::AtSpaces && !after_space && output.column() > WIDTH && at > 0 && next.is_some() {
            output.break_line();
            output.indent(indent);
            if next == Some(' ') {
                output.push('\\');
            }
        } else {
            output.push(' ');
        }
        after_space = character == ' ';
    }
}

fn escape(output: &mut Output, character: char) {
    let short = match character {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '"' | '\\' => character,
        '\u{85}' => 'N',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        other if is_printable(other) => return output.push(other),
        other => {
            let code = u32::from(other);
            return output.push_text(&match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            });
        }
    };
    output.push('\\');
    output.push(short);
}

fn literal(output: &mut Output, text: &str, indent: usize) {
    output.push('|');
    if text.starts_with([' ', '\n']) {
        output.push('2'); // the indentation cannot be seen from the first line, so it is told
    }
    match text.strip_suffix('\n') {
        None => output.push('-'),
        Some(rest) if rest.is_empty() || rest.ends_with('\n') => output.push('+'),
        Some(_) => {}
    }
    output.break_line();
    let mut lines = text.split('\n').peekable();
    while let Some(line) = lines.next() {
        if !line.is_empty() {
            output.indent(indent);
            output.push_text(line);
        }
        if lines.peek().is_some() {
            output.break_line();
        }
    }
}
