//! Texts and tables as lines of a certain width. A mark is a symbol and a style, so that it is seen without colours too.

use std::cmp::Reverse;

use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::instances::{MarkedText, Severity, UNKNOWN};
use crate::top::screen::{ColumnForm, ScreenSection, SectionRow};

/// The columns of a symbol and the blank behind it.
const SYMBOL: usize = 3;

/// The blanks between two columns.
const GAP: usize = 2;

/// A column of this rank or more is left out before any text is cut.
const EXTRA: u8 = 3;

/// A column of texts is made so narrow before another column is left out.
const NARROW: usize = 16;

/// And so narrow if no other is left.
const NARROWEST: usize = 4;

/// Whether styles have colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Palette {
    Colours,
    NoColours,
}

impl Palette {
    fn of(self, mark: Severity) -> Style {
        let style = match mark {
            Severity::Plain => return Style::new(),
            Severity::Warn => Style::new(),
            Severity::Bad => Style::new().add_modifier(Modifier::BOLD),
        };
        match (self, mark) {
            (Self::Colours, Severity::Warn) => style.fg(Color::Yellow),
            (Self::Colours, Severity::Bad) => style.fg(Color::Red),
            _ => style,
        }
    }
}

/// `text`, cut to a width. A name keeps both its ends, as names often differ at the end; a sentence keeps its beginning.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let tail = if text.contains(' ') { 0 } else { room / 2 };
    let mut out = fitting(text.chars(), room.saturating_sub(tail));
    if width > 0 {
        out.push('…');
    }
    let end = fitting(text.chars().rev(), tail);
    out.extend(end.chars().rev());
    out
}

/// The first characters that fit into a width.
fn fitting(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut left = width;
    let fits = characters.take_while(|character| {
        let wide = character.width().unwrap_or_default();
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        fits
    });
    fits.collect()
}

/// A sentence in lines of at most this width. Words that are too long are cut.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let word = cut(word, width);
        match lines.last_mut() {
            Some(line) if line.width().saturating_add(1).saturating_add(word.width()) <= width => {
                line.push(' ');
                line.push_str(&word);
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// A rule with a title, and a text at its right end if there is room.
pub(super) fn rule(title: &str, right: &str, width: usize) -> Line<'static> {
    let mut text = cut(&format!("── {title} "), width);
    let right = if right.is_empty() {
        String::new()
    } else {
        format!(" {right} ──")
    };
    let used = text.width().saturating_add(right.width());
    match width.checked_sub(used) {
        Some(room) => text.push_str(&format!("{}{right}", "─".repeat(room))),
        None => text.push_str(&"─".repeat(width.saturating_sub(text.width()))),
    }
    Line::styled(text, Style::new().add_modifier(Modifier::DIM))
}

/// Figures beside each other, in at most so many lines. If there is not room for all, those with a mark come first.
pub(super) fn flow(figures: &[MarkedText], width: usize, most: usize, palette: Palette) -> Vec<Line<'static>> {
    let all = flowing(figures.iter(), width, palette);
    if all.len() <= most {
        return all;
    }
    let (mut first, rest): (Vec<&MarkedText>, Vec<&MarkedText>) =
        figures.iter().partition(|figure| figure.mark != Severity::Plain);
    first.sort_by_key(|figure| Reverse(figure.mark));
    let mut lines = flowing(first.into_iter().chain(rest), width, palette);
    lines.truncate(most);
    lines
}

fn flowing<'a>(figures: impl Iterator<Item = &'a MarkedText>, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = Vec::new();
    for figure in figures {
        let text = cut(&format!("{}{}", figure.mark.symbol().trim_end(), figure.text), width);
        let span = Span::styled(text, palette.of(figure.mark));
        match lines.last_mut() {
            Some(line) if line.width().saturating_add(GAP).saturating_add(span.width()) <= width => {
                line.push_span(" ".repeat(GAP));
                line.push_span(span);
            }
            _ => lines.push(Line::from(span)),
        }
    }
    lines
}

/// A problem on one line, or on as many as it needs.
pub(super) fn problem(problem: &MarkedText, width: usize, is_whole: bool, palette: Palette) -> Vec<Line<'static>> {
    let room = width.saturating_sub(SYMBOL).max(1);
    let parts = match is_whole {
        true => wrapped(&problem.text, room),
        false => vec![cut(&problem.text, room)],
    };
    let style = palette.of(problem.mark);
    let lines = parts.into_iter().enumerate().map(|(at, text)| {
        let symbol = if at == 0 { problem.mark.symbol() } else { "  " };
        Line::styled(format!("{symbol} {text}"), style)
    });
    lines.collect()
}

/// A table with at most so many rows, and how many more there are.
pub(super) fn table(
    section: &ScreenSection,
    width: Option<usize>,
    most: usize,
    more: &str,
    palette: Palette,
) -> Vec<Line<'static>> {
    let rows = section.rows.get(..most.min(section.rows.len())).unwrap_or_default();
    let widths = widths(section.columns, rows, width);
    let names = section.columns.iter().map(|column| column.name.to_owned()).collect();
    let head = SectionRow {
        mark: Severity::Plain,
        cells: names,
    };
    let dim = Style::new().add_modifier(Modifier::DIM);
    let mut lines = vec![Line::styled(row(section.columns, &head, &widths), dim)];
    lines.extend(
        rows.iter()
            .map(|one| Line::styled(row(section.columns, one, &widths), palette.of(one.mark))),
    );
    let left = section.rows.len().saturating_sub(rows.len());
    if left > 0 {
        lines.push(Line::styled(format!("   {left} more{more}"), dim));
    }
    lines
}

/// The width of each column; `None` if there is no room for it.
fn widths(columns: &[ColumnForm], rows: &[SectionRow], width: Option<usize>) -> Vec<Option<usize>> {
    let widest = |(at, column): (usize, &ColumnForm)| {
        let cells = rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.width());
        cells.chain([column.name.width()]).max()
    };
    let full: Vec<Option<usize>> = columns.iter().enumerate().map(widest).collect();
    let Some(width) = width else {
        return full;
    };
    let rank = |at: usize| match columns.get(at) {
        Some(_) if is_unknown(rows, at) => u8::MAX,
        Some(column) => column.rank,
        None => 0,
    };
    let mut kept = full.clone();
    loop {
        let last = (0..columns.len()).filter(|at| kept.get(*at).is_some_and(Option::is_some));
        let last = last.max_by_key(|at| (rank(*at), *at)).filter(|at| rank(*at) > 0);
        let least = match last.map(rank) {
            // It matters less than the rest of a text.
            Some(EXTRA..) => usize::MAX,
            Some(_) => NARROW,
            None => NARROWEST,
        };
        let fits = narrowed(columns, &mut kept, width, least);
        let Some(last) = last.filter(|_| !fits) else {
            return kept;
        };
        // The others have their full width again.
        let others = |(at, full): (usize, &Option<usize>)| full.filter(|_| at != last && kept[at].is_some());
        kept = full.iter().enumerate().map(others).collect();
    }
}

/// Whether no row has a figure in a column.
fn is_unknown(rows: &[SectionRow], at: usize) -> bool {
    rows.iter()
        .all(|row| row.cells.get(at).is_none_or(|cell| cell == UNKNOWN))
}

/// Makes the widest text columns narrower until all fit. Returns whether they do.
fn narrowed(columns: &[ColumnForm], widths: &mut [Option<usize>], width: usize, least: usize) -> bool {
    loop {
        let shown = widths.iter().flatten().count();
        let gaps = SYMBOL.saturating_add(GAP.saturating_mul(shown.saturating_sub(1)));
        let all = widths.iter().flatten().fold(gaps, |sum, one| sum.saturating_add(*one));
        let Some(over) = all.checked_sub(width).filter(|over| *over > 0) else {
            return true;
        };
        let texts = widths.iter_mut().zip(columns).filter(|(_, column)| !column.is_number);
        let widest = texts
            .filter_map(|(width, _)| width.as_mut())
            .max_by_key(|width| **width);
        match widest {
            Some(widest) if *widest > least => *widest = widest.saturating_sub(over).max(least),
            _ => return false,
        }
    }
}

fn row(columns: &[ColumnForm], row: &SectionRow, widths: &[Option<usize>]) -> String {
    let mut line = row.mark.symbol().to_owned();
    let mut gap = 1;
    for ((column, cell), width) in columns.iter().zip(&row.cells).zip(widths) {
        let Some(width) = width else {
            continue;
        };
        let cell = if column.is_number {
            cell.clone()
        } else {
            cut(cell, *width)
        };
        let blanks = " ".repeat(width.saturating_sub(cell.width()));
        line.push_str(&" ".repeat(gap));
        let (before, after) = if column.is_number {
            (blanks, String::new())
        } else {
            (String::new(), blanks)
        };
        line.push_str(&format!("{before}{cell}{after}"));
        gap = GAP;
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::screen::{Tab, number, text};

    #[test]
    fn a_text_is_cut_to_its_width() {
        let cases = [
            ("payments-prod-17", 16, "payments-prod-17"),
            ("payments-prod-17", 9, "paym…d-17"),
            ("a sentence of words", 9, "a senten…"),
            ("客户客户客户", 7, "客…户"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
        ];
        for (text, width, expected) in cases {
            assert_eq!(cut(text, width), expected);
            assert!(cut(text, width).width() <= width);
        }
        assert_eq!(
            wrapped("one two three extraordinary", 9),
            ["one two", "three", "extr…nary"]
        );
    }

    #[test]
    fn a_narrow_table_leaves_out_what_matters_least() {
        const COLUMNS: &[ColumnForm] = &[text("name", 0), number("lag", 0), text("instance", 2), text("state", 1)];
        let cells = ["exchange.deposits:17", "1,234,567", "payments-prod-1", "working"];
        let section = ScreenSection {
            tab: Tab::Partitions,
            title: "partitions",
            columns: COLUMNS,
            rows: vec![SectionRow {
                mark: Severity::Bad,
                cells: cells.map(str::to_owned).to_vec(),
            }],
        };
        let lines = |width| {
            let lines = table(&section, width, 5, "", Palette::NoColours);
            lines.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            lines(None),
            [
                "   name                        lag  instance         state",
                "!! exchange.deposits:17  1,234,567  payments-prod-1  working",
            ]
        );
        assert_eq!(lines(Some(44))[1], "!! exchange.deposits:17  1,234,567  working");
        assert_eq!(lines(Some(34))[1], "!! exchange.deposits:17  1,234,567");
        assert_eq!(lines(Some(26))[1], "!! exchan…ts:17  1,234,567");
        for width in 0..80 {
            let fits = |line: &String| line.width() <= width.max(SYMBOL + NARROWEST + GAP + 9);
            assert!(lines(Some(width)).iter().all(fits), "{width}");
        }
    }
}
