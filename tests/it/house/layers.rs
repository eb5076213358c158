//! No upward imports, by the table in `docs/architecture.md`.
//!
//! The table has the columns `folder | holds | may import`. A row is a folder or file of `src`, without `.rs`: `bus`, or a room of it, `core/values`.
//! The third column names rows, or a folder for all its rooms; an empty cell is nothing. A row may name only what is above it, so the table
//! itself cannot allow a circle. Imports within a row are free. Each folder and file directly in `src` needs a row, or rows for all its rooms.
//! Only `lib.rs`, `main.rs`, and the `mod.rs` of a folder with rooms need none; the latter may import nothing outside its folder.

use std::collections::BTreeSet;

use super::modules::Import;
use super::source::{Offence, Source};

pub const TABLE: &str = "docs/architecture.md";
const COLUMNS: [&str; 3] = ["folder", "holds", "may import"];

/// One row of the table.
#[derive(Debug, PartialEq)]
struct Row {
    line: usize,
    folder: String,
    may_import: Vec<String>,
}

pub fn offences(sources: &[Source], imports: &[Import]) -> Vec<Offence> {
    let document = sources
        .iter()
        .find(|source| source.path == TABLE)
        .map_or("", |source| &source.text);
    let (rows, mut offences) = read_table(document);
    if !rows.is_empty() {
        offences.extend(without_files(&rows, sources));
        offences.extend(without_row(&rows, sources));
        offences.extend(imports.iter().filter_map(|import| upward(&rows, import)));
    }
    offences
}

fn read_table(document: &str) -> (Vec<Row>, Vec<Offence>) {
    let mut rows: Vec<Row> = Vec::new();
    let mut offences = Vec::new();
    let mut lines = document
        .lines()
        .enumerate()
        .skip_while(|(_, line)| cells(line) != COLUMNS);
    if lines.next().is_none() {
        let text = format!("no table with the columns {}; write it", COLUMNS.join(" | "));
        return (rows, vec![Offence::new(TABLE, 1, text)]);
    }
    for (at, line) in lines.skip(1).take_while(|(_, line)| line.starts_with('|')) {
        let cells = cells(line);
        let line = at + 1;
        let first = quoted(cells[0]);
        let ([folder], [_, _, last]) = (first.as_slice(), cells.as_slice()) else {
            offences.push(Offence::new(
                TABLE,
                line,
                "not a row of three cells that begins with one name in backticks",
            ));
            continue;
        };
        let may_import = quoted(last);
        if may_import.is_empty() && !last.is_empty() {
            let text = format!("`{folder}`: \"{last}\" has no name in backticks; for nothing, leave the cell empty");
            offences.push(Offence::new(TABLE, line, text));
        }
        for name in may_import
            .iter()
            .filter(|name| !rows.iter().any(|row| is_in(&row.folder, name)))
        {
            let text = format!("`{folder}`: there is no `{name}` above this row; order the rows from the ground up");
            offences.push(Offence::new(TABLE, line, text));
        }
        let may_import = may_import.into_iter().map(str::to_owned).collect();
        rows.push(Row {
            line,
            folder: (*folder).to_owned(),
            may_import,
        });
    }
    (rows, offences)
}

fn cells(line: &str) -> Vec<&str> {
    let line = line.trim();
    let inner = line.strip_prefix('|').unwrap_or(line);
    inner
        .strip_suffix('|')
        .unwrap_or(inner)
        .split('|')
        .map(str::trim)
        .collect()
}

/// The names in backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Whether a path is a folder, or in it.
fn is_in(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// `src/core/fault.rs` as the table says it: `core/fault`.
fn as_in_table(file: &str) -> &str {
    file.trim_start_matches("src/").trim_end_matches(".rs")
}

fn row_of<'a>(rows: &'a [Row], file: &str) -> Option<&'a Row> {
    rows.iter().find(|row| is_in(as_in_table(file), &row.folder))
}

/// Rows that are no folder or file.
fn without_files(rows: &[Row], sources: &[Source]) -> Vec<Offence> {
    let files: Vec<&Source> = rust(sources).collect();
    let mut offences = Vec::new();
    for row in rows {
        if !files.iter().any(|source| is_in(as_in_table(&source.path), &row.folder)) {
            let text = format!("there is no src/{}; take the row out or correct it", row.folder);
            offences.push(Offence::new(TABLE, row.line, text));
        }
    }
    offences
}

fn rust(sources: &[Source]) -> impl Iterator<Item = &Source> {
    sources
        .iter()
        .filter(|source| source.is_rust() && source.is_in(&["src"]))
}

/// Folders and files that have no row, each once.
fn without_row(rows: &[Row], sources: &[Source]) -> Vec<Offence> {
    let mut missing = BTreeSet::new();
    for source in rust(sources).filter(|source| row_of(rows, &source.path).is_none()) {
        let path = as_in_table(&source.path);
        let layer = path.split('/').next().unwrap_or(path);
        let has_rooms = rows.iter().any(|row| is_in(&row.folder, layer));
        let parts: Vec<&str> = path.split('/').take(if has_rooms { 2 } else { 1 }).collect();
        let free = ["lib", "main"].contains(&path) || (has_rooms && ["mod", "tests"].contains(&parts[parts.len() - 1]));
        if !free {
            missing.insert(parts.join("/"));
        }
    }
    let text = |path: &String| format!("`{path}` has no row in the table \"folder | holds | may import\"; add it");
    missing.iter().map(|path| Offence::new(TABLE, 1, text(path))).collect()
}

/// The import as an offence if the table does not allow it.
fn upward(rows: &[Row], import: &Import) -> Option<Offence> {
    let (from, to) = (row_of(rows, &import.from), row_of(rows, &import.to));
    let layer = |file| as_in_table(file).split('/').next();
    let allowed = match (from, to) {
        (Some(from), Some(to)) => {
            from.folder == to.folder || from.may_import.iter().any(|name| is_in(&to.folder, name))
        }
        // The `mod.rs` of a folder with rooms, or what has no row at all, which is an offence of its own.
        _ => layer(&import.from) == layer(&import.to) || ["src/lib.rs", "src/main.rs"].contains(&import.from.as_str()),
    };
    if allowed {
        return None;
    }
    let name = |row: Option<&Row>, file| row.map_or_else(|| as_in_table(file).to_owned(), |row| row.folder.clone());
    let (from, to) = (name(from, &import.from), name(to, &import.to));
    let text = format!(
        "`{}`: {from} may not import {to}, says the table in {TABLE}; move one of them",
        import.path
    );
    Some(Offence::new(&import.from, import.line, text))
}

mod tests {
    use super::offences;
    use crate::house::modules::Modules;
    use crate::house::source::Source;

    const LIBRARY: (&str, &str) = ("src/lib.rs", "mod core; mod bus; mod cli;");

    fn found(table: &str, files: &[(&str, &str)]) -> Vec<String> {
        let document = format!("# A\n\n| folder | holds | may import |\n|---|---|---|\n{table}\n\nEnd");
        let mut sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        sources.push(Source::new("docs/architecture.md", &document));
        let imports = Modules::read(&sources).imports();
        offences(&sources, &imports).iter().map(ToString::to_string).collect()
    }

    const ROOMS: &str = "| `core/values` | x | |
| `core/dedup` | x | `core/values` |
| `bus` | x | `core` |
| `cli` | x | `core/dedup`, `bus` |";

    #[test]
    fn imports_that_the_table_allows_pass() {
        let files = [
            LIBRARY,
            ("src/main.rs", "fn main() { softstake::cli::main() }"),
            (
                "src/core/mod.rs",
                "pub mod values; pub mod dedup; mod tests; pub use dedup::D; pub struct Face;",
            ),
            ("src/core/values/mod.rs", "mod inner; pub struct V; use inner::I;"),
            ("src/core/values/inner.rs", "pub struct I; use super::super::Face;"),
            ("src/core/dedup.rs", "use super::values::V; pub struct D;"),
            (
                "src/bus/mod.rs",
                "use crate::core::{dedup::D, values::V}; pub struct Bus;",
            ),
            ("src/cli/mod.rs", "use crate::{bus::Bus, core::D}; pub fn main() {}"),
        ];
        assert_eq!(found(ROOMS, &files), [""; 0]);
    }

    #[test]
    fn imports_that_the_table_does_not_allow_are_offences() {
        let files = [
            LIBRARY,
            ("src/core/mod.rs", "pub mod values; pub mod dedup; use crate::bus::g;"),
            ("src/core/values/mod.rs", "use crate::core::dedup::D; pub struct V;"),
            ("src/core/dedup.rs", "pub struct D;\nfn f() { crate::bus::g() }"),
            ("src/bus/mod.rs", "pub fn g() {} use crate::cli::Flag;"),
            ("src/cli/mod.rs", "pub struct Flag; use crate::core::values::V;"),
        ];
        assert_eq!(
            found(ROOMS, &files),
            [
                "src/bus/mod.rs:1: `crate::cli::Flag`: bus may not import cli",
                "src/cli/mod.rs:1: `crate::core::values::V`: cli may not import core/values",
                "src/core/dedup.rs:2: `crate::bus::g`: core/dedup may not import bus",
                "src/core/mod.rs:1: `crate::bus::g`: core/mod may not import bus",
                "src/core/values/mod.rs:1: `crate::core::dedup::D`: core/values may not import core/dedup",
            ]
            .map(|offence| format!("{offence}, says the table in docs/architecture.md; move one of them"))
        );
    }

    #[test]
    fn the_table_and_the_tree_have_the_same_folders() {
        let files = [
            LIBRARY,
            ("src/core/mod.rs", "mod values;"),
            ("src/core/values/mod.rs", ""),
            ("src/core/other/mod.rs", ""),
            ("src/core/other/more.rs", ""),
            ("src/serve/mod.rs", ""),
            ("src/logging.rs", ""),
            ("src/bus/mod.rs", ""),
        ];
        let no_row = |path| {
            format!("docs/architecture.md:1: `{path}` has no row in the table \"folder | holds | may import\"; add it")
        };
        assert_eq!(
            found(ROOMS, &files),
            [
                "docs/architecture.md:6: there is no src/core/dedup; take the row out or correct it".to_owned(),
                "docs/architecture.md:8: there is no src/cli; take the row out or correct it".to_owned(),
                no_row("core/other"),
                no_row("logging"),
                no_row("serve"),
            ]
        );
    }

    #[test]
    fn a_table_that_is_wrong_or_not_there_is_an_offence() {
        let files = [("src/lib.rs", ""), ("src/a/mod.rs", ""), ("src/b/mod.rs", "")];
        let wrong = "| `a` | x | `b` |\n| `b` | x | what it likes |\n| c | x | |\n| `a` | |";
        assert_eq!(
            found(wrong, &files),
            [
                "5: `a`: there is no `b` above this row; order the rows from the ground up",
                "6: `b`: \"what it likes\" has no name in backticks; for nothing, leave the cell empty",
                "7: not a row of three cells that begins with one name in backticks",
                "8: not a row of three cells that begins with one name in backticks",
            ]
            .map(|offence| format!("docs/architecture.md:{offence}"))
        );
        let none = offences(
            &[Source::new(
                "docs/architecture.md",
                "| folder | what | imports |\n|---|---|---|",
            )],
            &[],
        );
        assert_eq!(none.len(), 1);
        assert!(
            none[0]
                .text
                .starts_with("no table with the columns folder | holds | may import")
        );
    }
}
