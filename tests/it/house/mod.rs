//! The rules of the house: what a reader may rely on wherever they open the sources. Each rule is a test, which lists all offences.
//!
//! `cargo test --release --test it house::` checks them. Beside each rule are tests that plant offences and see them found.

mod circles;
mod layers;
mod layout;
mod lexer;
mod modules;
mod old_words;
mod prose;
mod size;
mod source;
mod types;
mod words;

use std::sync::LazyLock;

use modules::{Import, Modules};
use source::{Offence, Source, read_repository};

static SOURCES: LazyLock<Vec<Source>> = LazyLock::new(read_repository);
static IMPORTS: LazyLock<Vec<Import>> = LazyLock::new(|| Modules::read(&SOURCES).imports());

/// Fails with all offences, sorted by file and line.
fn check(rule: &str, mut offences: Vec<Offence>) {
    offences.sort();
    let lines: Vec<String> = offences.iter().map(ToString::to_string).collect();
    assert!(
        offences.is_empty(),
        "{rule}: {} offences\n{}\n",
        offences.len(),
        lines.join("\n")
    );
}

#[test]
fn no_import_circles() {
    check("no import circles in src", circles::offences(&IMPORTS));
}

#[test]
fn no_upward_imports() {
    check(
        "imports as the table in docs/architecture.md allows",
        layers::offences(&SOURCES, &IMPORTS),
    );
}

#[test]
fn one_habit_of_module_paths() {
    check(
        "modules with children are mod.rs, and no path begins with super::super",
        layout::offences(&SOURCES),
    );
}

#[test]
fn public_types_have_names_of_their_own() {
    check("no two public types of one name in src", types::offences(&SOURCES));
}

#[test]
fn no_long_functions() {
    check("no function over 100 lines", size::long_functions(&SOURCES));
}

#[test]
fn no_long_files() {
    check("no file over 600 lines", size::long_files(&SOURCES));
}

#[test]
fn no_long_lines_in_documents() {
    check(
        "no line over 120 characters in Markdown",
        size::long_markdown_lines(&SOURCES),
    );
}

#[test]
fn no_old_words() {
    check("no old words", words::offences(&SOURCES));
}

#[test]
fn no_long_sentences_in_documents() {
    check(
        "no sentence over 40 words in Markdown",
        prose::long_sentences_in_documents(&SOURCES),
    );
}

#[test]
fn no_long_sentences_in_doc_comments() {
    check(
        "no sentence over 40 words in doc comments",
        prose::long_sentences_in_doc_comments(&SOURCES),
    );
}

/// A rule that reads nothing would pass.
#[test]
fn the_rules_read_the_repository() {
    let count = |holds: fn(&&Source) -> bool| SOURCES.iter().filter(holds).count();
    assert!(count(|source| source.is_rust() && source.is_in(&["src"])) > 100);
    assert!(count(|source| source.is_rust() && !source.is_in(&["src"])) > 20);
    assert!(count(|source| source.is_markdown()) > 8);
    assert!(SOURCES.iter().any(|source| source.path == layers::TABLE));
    assert!(IMPORTS.len() > 500);
    assert!(
        SOURCES
            .iter()
            .map(types::public_types)
            .map(|types| types.len())
            .sum::<usize>()
            > 100
    );
    assert!(
        SOURCES
            .iter()
            .map(size::functions)
            .map(|functions| functions.len())
            .sum::<usize>()
            > 1000
    );
    assert!(
        SOURCES
            .iter()
            .map(prose::doc_comments)
            .map(|comments| comments.len())
            .sum::<usize>()
            > 1000
    );
}
