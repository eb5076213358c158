//! Puts the screen on a terminal of any size, or into a text. The header and the worst problems are always there, and the rest scrolls.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::instances::counted;
use crate::top::lines::{Palette, cut, flow, problem, rule, table};
use crate::top::screen::{ScreenSection, StatusScreen, Tab};

/// The width of a text for a file or a pipe. Tables may be wider.
const TEXT_WIDTH: usize = 100;

/// Where a reader is on the screen.
#[derive(Debug, Default)]
pub struct Navigation {
    tab: Tab,
    /// The first line of the part that scrolls.
    first: usize,
    /// How many lines that part shows.
    page: usize,
}

impl Navigation {
    /// Follows a key. Returns whether it ends the program.
    pub fn key(&mut self, key: KeyEvent) -> bool {
        if key.kind == KeyEventKind::Release {
            return false;
        }
        let page = self.page.saturating_sub(1).max(1);
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char('c' | 'd') if is_control => return true,
            KeyCode::Char('q' | 'Q') => return true,
            KeyCode::Char(digit) if digit.is_ascii_digit() => {
                let number = digit.to_digit(10).and_then(|number| usize::try_from(number).ok());
                if let Some(tab) = number.and_then(|number| Tab::ALL.get(number)) {
                    self.open(*tab);
                }
            }
            KeyCode::Esc => self.open(Tab::All),
            KeyCode::Tab | KeyCode::Right => self.turn(1),
            KeyCode::BackTab | KeyCode::Left => self.turn(Tab::ALL.len().saturating_sub(1)),
            KeyCode::Down | KeyCode::Char('j') => self.first = self.first.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.first = self.first.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.first = self.first.saturating_add(page),
            KeyCode::PageUp => self.first = self.first.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => self.first = 0,
            KeyCode::End | KeyCode::Char('G') => self.first = usize::MAX,
            _ => {}
        }
        false
    }

    fn open(&mut self, tab: Tab) {
        (self.tab, self.first) = (tab, 0);
    }

    fn turn(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or_default();
        let next = at.saturating_add(by).checked_rem(Tab::ALL.len()).unwrap_or_default();
        self.open(Tab::ALL.get(next).copied().unwrap_or_default());
    }
}

/// Draws the whole screen.
pub fn draw(frame: &mut Frame<'_>, screen: &StatusScreen, navigation: &mut Navigation, palette: Palette) {
    let area = frame.area();
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let figures = match height {
        0..14 => 1,
        14..20 => 2,
        _ => 4,
    };
    let mut top = vec![title(screen, width)];
    top.extend(flow(&screen.figures, width, figures, palette));
    let shown = match navigation.tab {
        Tab::Problems => 0,
        _ => screen.problems.len().min((height / 5).max(1)),
    };
    let rule_at = top.len();
    let worst = screen.problems.iter().take(shown);
    top.push(Line::default());
    top.extend(worst.flat_map(|one| problem(one, width, false, palette)));

    let body = body(screen, navigation.tab, width, (height / 4).max(4), palette);
    navigation.page = height.saturating_sub(top.len()).saturating_sub(1);
    navigation.first = navigation.first.min(body.len().saturating_sub(navigation.page));
    let last = navigation.first.saturating_add(navigation.page).min(body.len());
    if let Some(line) = top.get_mut(rule_at) {
        *line = problem_rule(screen, shown, navigation, body.len(), last, width);
    }
    let visible = body.into_iter().skip(navigation.first).take(navigation.page);
    let buffer = frame.buffer_mut();
    put(
        buffer,
        area,
        0,
        top.into_iter().take(height.saturating_sub(1)).chain(visible),
    );
    put(buffer, area, height.saturating_sub(1), [footer(navigation.tab, width)]);
}

/// Writes lines into a buffer, from a line of the area on.
fn put(buffer: &mut Buffer, area: Rect, from: usize, lines: impl IntoIterator<Item = Line<'static>>) {
    for (y, line) in (area.y..area.bottom()).skip(from).zip(lines) {
        buffer.set_line(area.x, y, &line, area.width);
    }
}

fn title(screen: &StatusScreen, width: usize) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let clock = format!("  {}", screen.clock);
    let name = cut(&format!("softstake top  {}", screen.title), width);
    match width.checked_sub(name.width().saturating_add(clock.width())) {
        Some(room) => Line::from(vec![
            Span::styled(name, bold),
            Span::raw(" ".repeat(room)),
            Span::raw(clock),
        ]),
        None => Line::styled(name, bold),
    }
}

/// Between the header and the problems: how many there are, and which lines of the rest are shown.
fn problem_rule(
    screen: &StatusScreen,
    shown: usize,
    navigation: &Navigation,
    lines: usize,
    last: usize,
    width: usize,
) -> Line<'static> {
    let all = screen.problems.len();
    let number = match all {
        0 => "no problem seen".to_owned(),
        all => counted(all, "problem"),
    };
    let is_all = navigation.first == 0 && last == lines;
    let position = match is_all {
        true => String::new(),
        false => format!("↑↓ {}-{last} of {lines}", navigation.first.saturating_add(1)),
    };
    let more = format!("{number}, the worst {shown} here, all with key 1");
    let has_more = shown < all && navigation.tab != Tab::Problems;
    // The lines that are shown matter more than the key.
    let fits = more.width().saturating_add(position.width()).saturating_add(12) <= width;
    rule(if has_more && fits { &more } else { &number }, &position, width)
}

fn footer(tab: Tab, width: usize) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let mut spans = Vec::new();
    for (number, one) in Tab::ALL.into_iter().enumerate() {
        let name = format!("{number} {}", one.name());
        spans.push(match one == tab {
            true => Span::styled(format!("[{name}]"), bold),
            false => Span::raw(name),
        });
        spans.push(Span::raw(" "));
    }
    spans.push(Span::raw("q quit"));
    let line = Line::from(spans);
    if line.width() <= width {
        return line;
    }
    Line::from(vec![
        Span::styled(format!("[{}]", tab.name()), bold),
        Span::raw(" 0-6 ↑↓ q quit"),
    ])
}

/// The part that scrolls. `few` is how many rows a table has beside all others.
fn body(screen: &StatusScreen, tab: Tab, width: usize, few: usize, palette: Palette) -> Vec<Line<'static>> {
    if tab == Tab::Problems {
        let problems = screen.problems.iter();
        return problems.flat_map(|one| problem(one, width, true, palette)).collect();
    }
    let is_all = tab == Tab::All;
    let sections = screen.sections.iter().filter(|section| is_all || section.tab == tab);
    let most = if is_all { few } else { usize::MAX };
    let lines = sections.flat_map(|section| section_lines(section, Some(width), width, most, palette));
    lines.collect()
}

fn section_lines(
    section: &ScreenSection,
    width: Option<usize>,
    rule_width: usize,
    most: usize,
    palette: Palette,
) -> Vec<Line<'static>> {
    if section.rows.is_empty() {
        return vec![rule(&format!("{}: none", section.title), "", rule_width)];
    }
    let key = Tab::ALL.iter().position(|tab| *tab == section.tab).unwrap_or_default();
    let mut lines = vec![rule(
        &format!("{}: {}", section.title, section.rows.len()),
        "",
        rule_width,
    )];
    lines.extend(table(section, width, most, &format!(" with key {key}"), palette));
    lines
}

/// The whole screen as lines of text, with all problems and all rows. Without a width, no line is cut.
#[must_use]
pub fn as_text(screen: &StatusScreen, width: Option<usize>) -> Vec<String> {
    let palette = Palette::NoColours;
    let narrow = width.unwrap_or(TEXT_WIDTH);
    let mut lines = vec![title(
        screen,
        width.unwrap_or_else(|| TEXT_WIDTH.max(screen.title.width() + 40)),
    )];
    lines.extend(flow(&screen.figures, narrow, usize::MAX, palette));
    let problems = match screen.problems.len() {
        0 => "no problem seen".to_owned(),
        all => counted(all, "problem"),
    };
    lines.push(rule(&problems, "", narrow));
    // A problem that is copied into a ticket has no breaks.
    let whole = |one| problem(one, width.unwrap_or(usize::MAX), true, palette);
    lines.extend(screen.problems.iter().flat_map(whole));
    for section in &screen.sections {
        lines.extend(section_lines(section, width, narrow, usize::MAX, palette));
    }
    lines
        .iter()
        .map(|line| line.to_string().trim_end().to_owned())
        .collect()
}
