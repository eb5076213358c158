//! What the rules read: the repository's text files, and how an offence is reported.

use std::fmt;
use std::fs;
use std::path::Path;

use super::lexer::{Token, lex};

/// A place that breaks a rule, with what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Offence {
    pub file: String,
    pub line: usize,
    pub text: String,
}

impl Offence {
    pub fn new(file: &str, line: usize, text: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            text: text.into(),
        }
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// A text file. Its path is relative to the repository, with `/` between the parts.
#[derive(Debug)]
pub struct Source {
    pub path: String,
    pub text: String,
    /// Empty unless the file is Rust.
    pub tokens: Vec<Token>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let tokens = if path.ends_with(".rs") { lex(text) } else { Vec::new() };
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
            tokens,
        }
    }

    pub fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    pub fn is_markdown(&self) -> bool {
        self.path.ends_with(".md")
    }

    /// Whether the file is in one of the folders.
    pub fn is_in(&self, folders: &[&str]) -> bool {
        folders
            .iter()
            .any(|folder| self.path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
    }
}

/// Files outside these folders and names are not read: other files in a checkout may be somebody's own.
const FOLDERS: [&str; 11] = [
    "src", "tests", "benches", "examples", "docs", "site", "deploy", "demo", "schemas", ".cargo", ".ci",
];
const FILES: [&str; 9] = [
    "README.md",
    "CHANGELOG.md",
    "Cargo.toml",
    "Makefile",
    "book.toml",
    "docker-compose.yml",
    "clippy.toml",
    "deny.toml",
    "rustfmt.toml",
];

/// Data, not prose: example records and what they lead to.
const DATA: [&str; 4] = [".json", ".jsonl", ".gz", ".lock"];

/// Reads all text files that a rule may look at, sorted by path.
pub fn read_repository() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    for folder in FOLDERS {
        read_folder(root, folder, &mut sources);
    }
    for file in FILES {
        read_file(root, file, &mut sources);
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

fn read_folder(root: &Path, folder: &str, sources: &mut Vec<Source>) {
    let entries = fs::read_dir(root.join(folder)).unwrap_or_else(|error| panic!("cannot read {folder}: {error}"));
    for entry in entries {
        let entry = entry.unwrap_or_else(|error| panic!("cannot read {folder}: {error}"));
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            read_folder(root, &path, sources);
        } else {
            read_file(root, &path, sources);
        }
    }
}

fn read_file(root: &Path, path: &str, sources: &mut Vec<Source>) {
    if DATA.iter().any(|end| path.ends_with(end)) {
        return;
    }
    let bytes = fs::read(root.join(path)).unwrap_or_else(|error| panic!("cannot read {path}: {error}"));
    if let Ok(text) = String::from_utf8(bytes) {
        sources.push(Source::new(path, &text));
    }
}
