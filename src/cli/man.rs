//! `softstake man`: the manual, a page for each command.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Command;
use clap_mangen::Man as Page;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::made_at;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::private::create_result;

const MANUAL: &str = "Softstake manual";
const SECTION: &str = "1";

/// Write the manual pages, one for each command
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Files of the same name are replaced. The pages have today's date, or that of SOURCE_DATE_EPOCH (seconds since 1970).

Example:
  softstake man man1 && man ./man1/softstake-run.1")]
pub(super) struct Man {
    /// The folder for the pages; it is created if it is not there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(&self, command: Command, out: &mut Output<'_>) -> Outcome {
        let date = made_at::time()?.strftime("%F").to_string();
        let failed = |error: io::Error| Failure::Failed(format!("cannot write to {}: {error}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(failed)?;
        let pages = pages(command, &date).map_err(failed)?;
        for (name, text) in &pages {
            let written = create_result(&self.folder.join(name)).and_then(|mut file| file.write_all(text.as_bytes()));
            written.map_err(failed)?;
        }
        write_line!(out, "{} manual pages are in {}.", pages.len(), self.folder.display())
    }
}

/// The file names and texts of all pages, the page of the program first.
fn pages(command: Command, date: &str) -> io::Result<Vec<(String, String)>> {
    fn walk(command: &Command, parent: Option<&str>, date: &str, pages: &mut Vec<(String, String)>) -> io::Result<()> {
        let page = Page::new(command.clone())
            .title(page_name(command).to_uppercase())
            .section(SECTION)
            .date(date)
            .source(concat!("softstake ", env!("CARGO_PKG_VERSION")))
            .manual(MANUAL);
        pages.push((page.get_filename(), text(command, &page, parent)?));
        let name = page_name(command);
        visible(command).try_for_each(|inner| walk(inner, Some(name), date, pages))
    }
    // `softstake help run` shows what `softstake run --help` does.
    let mut command = command.disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    walk(&command, None, date, &mut pages)?;
    Ok(pages)
}

/// The name with those of its parents, as in `softstake-query-account`.
fn page_name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|inner| !inner.is_hide_set())
}

fn text(command: &Command, page: &Page, parent: Option<&str>) -> io::Result<String> {
    let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let help = Help::of(&help);
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    section("DESCRIPTION", &description(command, &help), &mut text)?;
    page.render_options_section(&mut text)?;
    if visible(command).next().is_some() {
        page.render_subcommands_section(&mut text)?;
    }
    if !help.status.is_empty() {
        section("EXIT STATUS", &help.status, &mut text)?;
    }
    let mut roff = Roff::new();
    roff.control("SH", ["EXAMPLES"]).control("nf", []);
    for line in &help.example {
        roff.text([roman(*line)]);
    }
    roff.control("fi", []);
    roff.control("SH", ["SEE ALSO"]);
    roff.text(see_also(command, parent));
    roff.to_writer(&mut text)?;
    let text = String::from_utf8(text).map_err(io::Error::other)?;
    // A backtick would be typeset as an opening quote.
    Ok(text.replace('`', "\\(ga"))
}

/// The first sentence of the help, then its notes.
fn description(command: &Command, help: &Help<'_>) -> Vec<String> {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let about = format!("{}.", about.trim_end_matches('.'));
    std::iter::once(about)
        .chain(help.notes.iter().map(|note| (*note).to_owned()))
        .collect()
}

/// Writes a section of paragraphs.
fn section<T: AsRef<str>>(heading: &str, paragraphs: &[T], to: &mut Vec<u8>) -> io::Result<()> {
    let mut roff = Roff::new();
    roff.control("SH", [heading]);
    for (number, paragraph) in paragraphs.iter().enumerate() {
        if number > 0 {
            roff.control("PP", []);
        }
        roff.text([roman(paragraph.as_ref())]);
    }
    roff.to_writer(to)
}

fn see_also(command: &Command, parent: Option<&str>) -> Vec<clap_mangen::roff::Inline> {
    let names = parent.into_iter().chain(visible(command).map(page_name));
    let mut inlines = Vec::new();
    for name in names {
        if !inlines.is_empty() {
            inlines.push(roman(", "));
        }
        inlines.push(bold(name));
        inlines.push(roman(format!("({SECTION})")));
    }
    inlines
}

/// The parts of a help text that comes after the flags.
#[derive(Debug, Default, PartialEq, Eq)]
struct Help<'a> {
    notes: Vec<&'a str>,
    status: Vec<&'a str>,
    example: Vec<&'a str>,
}

impl<'a> Help<'a> {
    fn of(text: &'a str) -> Self {
        let mut help = Self::default();
        let mut is_example = false;
        for line in text.lines() {
            if let Some(status) = line.strip_prefix("Exit status: ") {
                help.status.push(status);
            } else if matches!(line, "Example:" | "Examples:") {
                is_example = true;
            } else if is_example && line.starts_with(' ') {
                help.example.push(line.trim_start());
            } else if !line.is_empty() {
                is_example = false;
                help.notes.push(line);
            }
        }
        help
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_help_text_is_taken_apart() {
        let text = "A note.\nAnother one.\nExit status: 3 if it is not there.\n\nExample:\n  softstake run \\\n    --until-idle";
        let expected = Help {
            notes: vec!["A note.", "Another one."],
            status: vec!["3 if it is not there."],
            example: vec!["softstake run \\", "--until-idle"],
        };
        assert_eq!(Help::of(text), expected);
        assert_eq!(Help::of(""), Help::default());
    }
}
