//! The manual and the completions know every command and every flag that `--help` shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use crate::common::{fail, softstake, succeed};

/// What the help of a command shows.
#[derive(Debug, Default)]
struct Shown {
    commands: Vec<String>,
    flags: Vec<String>,
    arguments: Vec<String>,
}

/// The help of each command, by its words after the program's name.
fn all_help() -> BTreeMap<Vec<String>, Shown> {
    let mut all = BTreeMap::new();
    let mut open = vec![Vec::new()];
    while let Some(words) = open.pop() {
        let shown = help(&words);
        for command in &shown.commands {
            open.push([&words[..], std::slice::from_ref(command)].concat());
        }
        all.insert(words, shown);
    }
    all
}

fn help(words: &[String]) -> Shown {
    let output = succeed(softstake().args(words).arg("--help"));
    let text = String::from_utf8(output.stdout).expect("text");
    let (mut shown, mut section) = (Shown::default(), "");
    for line in text.lines() {
        if !line.starts_with(' ') {
            section = line;
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let first = line.split_whitespace().next().expect("a word");
        match section {
            // The texts beside them are indented further, if they are on lines of their own.
            "Commands:" if indent == 2 && first != "help" => shown.commands.push(first.to_owned()),
            "Arguments:" if indent == 2 => shown
                .arguments
                .push(first.trim_matches(['<', '>', '[', ']', '.']).to_owned()),
            "Options:" if indent <= 6 => {
                let flags = line.split_whitespace().take(2).filter(|word| word.starts_with('-'));
                shown.flags.extend(flags.map(|flag| flag.trim_matches(',').to_owned()));
            }
            _ => {}
        }
    }
    assert!(shown.flags.contains(&"--help".to_owned()), "{words:?}: {shown:?}");
    shown
}

#[test]
fn the_manual_has_a_page_for_each_command_with_all_its_flags() {
    let folder = tempfile::tempdir().expect("a folder");
    let pages = folder.path().join("share/man1");
    let written = succeed(softstake().env("SOURCE_DATE_EPOCH", "86400").arg("man").arg(&pages));
    let all = all_help();
    assert!(all.len() > 20, "{all:?}");
    let said = String::from_utf8(written.stdout).expect("text");
    assert_eq!(
        said,
        format!("{} manual pages are in {}.\n", all.len(), pages.display())
    );
    let mut names = BTreeSet::new();
    for (words, shown) in &all {
        let name = std::iter::once("softstake")
            .chain(words.iter().map(String::as_str))
            .collect::<Vec<_>>();
        let (page, line) = (name.join("-"), name.join(" "));
        let file = format!("{page}.1");
        let text = fs::read_to_string(pages.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(
            !text.contains('`'),
            "{file} has a backtick, which becomes an opening quote"
        );
        let text = text
            .replace("\\-", "-")
            .replace("\\fB", "")
            .replace("\\fI", "")
            .replace("\\fR", "");
        let title = format!(
            ".TH {} 1 1970-01-02 \"softstake {}\"",
            page.to_uppercase(),
            env!("CARGO_PKG_VERSION")
        );
        assert!(text.contains(&title), "{file}: {text}");
        for part in [
            ".SH NAME",
            ".SH SYNOPSIS",
            ".SH DESCRIPTION",
            ".SH OPTIONS",
            ".SH EXAMPLES\n.nf\n",
            ".SH \"SEE ALSO\"",
        ] {
            assert!(text.contains(part), "{file} lacks {part}: {text}");
        }
        assert!(
            text.contains(&format!("\n{line} ")),
            "{file} has no synopsis of `{line}`: {text}"
        );
        let example = text.split(".SH EXAMPLES").nth(1).expect("a section");
        assert!(example.contains("\nsoftstake "), "{file}: {example}");
        let options = text.split(".SH OPTIONS").nth(1).expect("a section");
        let entries: Vec<&str> = options
            .split("\n.TP\n")
            .filter_map(|entry| entry.lines().next())
            .flat_map(|heading| heading.split([' ', ',', '[', ']', '<', '>']))
            .collect();
        for flag in shown.flags.iter().chain(&shown.arguments) {
            assert!(entries.contains(&flag.as_str()), "{file} lacks {flag}: {options}");
        }
        for command in &shown.commands {
            assert!(
                text.contains(&format!("{page}-{command}(1)")),
                "{file} does not name {command}: {text}"
            );
        }
        names.insert(file);
    }
    let found = fs::read_dir(&pages).expect("a folder");
    let found: BTreeSet<_> = found
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    assert_eq!(found, names);
    // The same input gives the same bytes, and files of an older build are replaced.
    let read = || {
        names
            .iter()
            .map(|name| fs::read(pages.join(name)).expect("a page"))
            .collect::<Vec<_>>()
    };
    let first = read();
    fs::write(pages.join("softstake.1"), "old, and longer\n".repeat(10_000)).expect("a page");
    succeed(softstake().env("SOURCE_DATE_EPOCH", "86400").arg("man").arg(&pages));
    assert!(read() == first, "two runs differ");
}

#[test]
fn a_wrong_date_of_the_manual_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let error = fail(
        softstake()
            .env("SOURCE_DATE_EPOCH", "yesterday")
            .arg("man")
            .arg(folder.path()),
        2,
    );
    assert_eq!(
        error,
        "error: SOURCE_DATE_EPOCH must be a whole number of seconds since 1970, not \"yesterday\"\n"
    );
}

/// Asks bash what it would complete, after each command.
#[test]
fn bash_completes_every_command_and_flag() {
    let folder = tempfile::tempdir().expect("a folder");
    let completions = folder.path().join("softstake");
    fs::write(&completions, succeed(softstake().args(["completions", "bash"])).stdout).expect("a file");
    for (words, shown) in all_help() {
        let asked = |start: &str| {
            let mut bash = Command::new("bash");
            let ask = "source \"$1\"; start=$2; shift 2; COMP_WORDS=(softstake \"$@\" \"$start\"); COMP_CWORD=$(($# + 1)); \
                       _softstake softstake \"$start\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
            bash.args(["--norc", "-euc", ask, "bash"])
                .arg(&completions)
                .arg(start)
                .args(&words);
            let output = succeed(&mut bash);
            let text = String::from_utf8(output.stdout).expect("text");
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let (flags, any) = (asked("-"), asked(""));
        for flag in &shown.flags {
            assert!(flags.contains(flag), "{words:?} lacks {flag}: {flags:?}");
        }
        for command in &shown.commands {
            assert!(any.contains(command), "{words:?} lacks {command}: {any:?}");
        }
    }
}

#[test]
fn every_shell_has_completions_of_every_command_and_flag() {
    let all = all_help();
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let output = succeed(softstake().args(["completions", shell]));
        let completions = String::from_utf8(output.stdout).expect("text");
        let has = |word: &str| {
            completions
                .split(|letter: char| !letter.is_alphanumeric() && letter != '-')
                .any(|found| found == word)
        };
        for (words, shown) in &all {
            for command in &shown.commands {
                assert!(has(command), "{shell}: {words:?} {command}");
            }
            for flag in shown.flags.iter().filter(|flag| flag.starts_with("--")) {
                // fish has them without hyphens.
                assert!(has(flag) || has(&flag[2..]), "{shell}: {words:?} {flag}");
            }
        }
    }
}
