//! No old words: in identifiers, in names of files and folders, in comments, in strings, and in documents.
//!
//! An identifier is taken apart: `take_up`, `takeUp` and `TakeUp` are all "take up". A phrase is found across the end of a line, but not across
//! a full stop, a comma, or an empty line.

use std::collections::BTreeSet;

use super::lexer::{Kind, Token, closing};
use super::old_words::{ALLOWED, Allowed, OLD_WORDS, OldWord, Place};
use super::source::{Offence, Source};

/// The table says the words, and this rule's tests plant them.
const OWN: [&str; 2] = ["/house/old_words.rs", "/house/words.rs"];

/// What kind of text an old word is looked for in.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Text {
    Prose,
    Identifier,
    Function,
    FileName,
}

pub fn offences(sources: &[Source]) -> Vec<Offence> {
    offences_but(sources, ALLOWED)
}

fn offences_but(sources: &[Source], allowed: &[Allowed]) -> Vec<Offence> {
    let mut found = BTreeSet::new();
    for source in sources.iter().filter(|source| is_checked(source)) {
        look_into(source, &mut found);
    }
    file_names(sources, &mut found);
    let excuse = |found: &Found| {
        allowed
            .iter()
            .position(|one| one.form == found.form && found.file.ends_with(one.file))
    };
    let used: BTreeSet<usize> = found.iter().filter_map(excuse).collect();
    let unused = (0..allowed.len()).filter(|at| !used.contains(at)).map(|at| {
        let Allowed { form, file, reason } = &allowed[at];
        let text = format!("the exception for \"{form}\" ({reason}) is not needed; take it out of old_words.rs");
        Offence::new(file, 1, text)
    });
    let bad = found.iter().filter(|found| excuse(found).is_none()).map(Found::offence);
    bad.chain(unused).collect()
}

/// Schemas are published: their words are those of the contract. So are those of the reference, which is made from them.
/// Their description is prose.
fn is_checked(source: &Source) -> bool {
    let published = source.path == "docs/events.md" || (source.is_in(&["schemas"]) && !source.is_markdown());
    !OWN.iter().any(|own| source.path.ends_with(own)) && !published
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    file: String,
    line: usize,
    form: &'static str,
    /// The identifier or file name, if it is not prose.
    name: String,
    say: &'static str,
}

impl Found {
    fn offence(&self) -> Offence {
        let name = if self.name.is_empty() {
            String::new()
        } else {
            format!(" in `{}`", self.name)
        };
        Offence::new(
            &self.file,
            self.line,
            format!("\"{}\"{name}; say: {}", self.form, self.say),
        )
    }
}

fn look_into(source: &Source, found: &mut BTreeSet<Found>) {
    if !source.is_rust() {
        look_at(source, Text::Prose, 1, &source.text, found);
        return;
    }
    let mut comment: Vec<&Token> = Vec::new();
    let mut before: Option<&Token> = None;
    let published = published_names(&source.tokens);
    for (at, token) in source.tokens.iter().enumerate() {
        let goes_on = token.is_comment() && comment.last().is_some_and(|last| last.line + 1 == token.line);
        if !goes_on {
            look_at_comment(source, &comment, found);
            comment.clear();
        }
        match token.kind {
            Kind::Comment | Kind::DocComment => comment.push(token),
            Kind::Text if published.contains(&at) => {}
            Kind::Text => look_at(source, Text::Prose, token.line, &token.text, found),
            Kind::Ident => {
                let function = before.is_some_and(|before| before.is("fn"));
                let text = if function { Text::Function } else { Text::Identifier };
                look_at(source, text, token.line, &token.text, found);
            }
            Kind::Punct | Kind::Other => {}
        }
        before = Some(token);
    }
    look_at_comment(source, &comment, found);
}

/// Strings in `#[serde(…)]`: names of fields in records, which keep the names they were published under.
fn published_names(tokens: &[Token]) -> BTreeSet<usize> {
    let begins = |at: &usize| tokens[*at].is("#") && tokens.get(at + 2).is_some_and(|name| name.is("serde"));
    (0..tokens.len())
        .filter(begins)
        .flat_map(|at| at..closing(tokens, at + 1))
        .collect()
}

fn look_at_comment(source: &Source, comment: &[&Token], found: &mut BTreeSet<Found>) {
    if let Some(first) = comment.first() {
        let lines: Vec<&str> = comment.iter().map(|token| token.text.as_str()).collect();
        look_at(source, Text::Prose, first.line, &lines.join("\n"), found);
    }
}

/// Names of files and folders, each once.
fn file_names(sources: &[Source], found: &mut BTreeSet<Found>) {
    let mut seen = BTreeSet::new();
    for source in sources.iter().filter(|source| !source.is_in(&["schemas"])) {
        let mut end = 0;
        for name in source.path.split('/') {
            end += name.len() + 1;
            if seen.insert(&source.path[..end - 1]) {
                look_at(source, Text::FileName, 1, name, found);
            }
        }
    }
}

fn look_at(source: &Source, text: Text, line: usize, content: &str, found: &mut BTreeSet<Found>) {
    let words = words(content, line);
    for old in OLD_WORDS.iter().filter(|old| applies(old, text, source)) {
        for form in old.forms {
            let lines = if matches!(old.place, Place::Identifier | Place::FunctionsIn(_)) {
                if content == *form { vec![line] } else { Vec::new() }
            } else {
                find(&words, form)
            };
            let name = if text == Text::Prose { "" } else { content };
            found.extend(lines.into_iter().map(|line| Found {
                file: source.path.clone(),
                line,
                form,
                name: name.to_owned(),
                say: old.say,
            }));
        }
    }
}

fn applies(old: &OldWord, text: Text, source: &Source) -> bool {
    match old.place {
        Place::Everywhere => true,
        Place::NamesIn(folders) => text != Text::Prose && source.is_in(folders),
        Place::Identifier => matches!(text, Text::Identifier | Text::Function),
        Place::FunctionsIn(folders) => text == Text::Function && source.is_in(folders),
    }
}

/// The lines where a phrase begins.
fn find(words: &[(usize, String)], phrase: &str) -> Vec<usize> {
    let wanted: Vec<&str> = phrase.split(' ').collect();
    let places = words.windows(wanted.len());
    places
        .filter(|window| window.iter().map(|(_, word)| word).eq(&wanted))
        .map(|window| window[0].0)
        .collect()
}

/// The words of a text, without capitals, each with its line. An empty word is a mark that no phrase crosses.
fn words(text: &str, first_line: usize) -> Vec<(usize, String)> {
    let mut words: Vec<(usize, String)> = Vec::new();
    let mut line = first_line;
    let mut joined = false;
    let mut before = ' ';
    let mut only_space = false;
    for letter in text.chars() {
        if letter.is_alphanumeric() {
            let new = !joined || (letter.is_uppercase() && before.is_lowercase());
            match words.last_mut().filter(|_| !new) {
                Some((_, word)) => word.extend(letter.to_lowercase()),
                None => words.push((line, letter.to_lowercase().collect())),
            }
            joined = true;
        } else {
            joined = false;
            let crosses = letter.is_whitespace() || "_-*`'/#".contains(letter);
            if !crosses || (letter == '\n' && only_space) {
                words.push((line, String::new()));
            }
        }
        only_space = letter == '\n' || (only_space && letter.is_whitespace());
        line += usize::from(letter == '\n');
        before = letter;
    }
    words
}

mod tests {
    use super::{ALLOWED, Allowed, OLD_WORDS, offences_but};
    use crate::house::source::Source;

    fn found(path: &str, text: &str) -> Vec<String> {
        offences_but(&[Source::new(path, text)], &[])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn an_old_word_is_found_in_prose_and_in_every_kind_of_name() {
        let code = "/// Each was taken\n/// up by a task.\nstruct LineFrontier;\n\nfn is_barred(tallyCount: u8) { x(\"a\nmuted step\") }";
        assert_eq!(
            found("src/story/a.rs", code),
            [
                "src/story/a.rs:1: \"story\" in `story`; say: trace",
                "src/story/a.rs:1: \"taken up\"; say: acquire, or use",
                "src/story/a.rs:3: \"frontier\" in `LineFrontier`; say: line count",
                "src/story/a.rs:5: \"barred\" in `is_barred`; say: excluded",
                "src/story/a.rs:5: \"tally\" in `tallyCount`; say: digest",
                "src/story/a.rs:6: \"muted\"; say: recovery, with outputs suppressed",
            ]
        );
        assert_eq!(
            found("docs/a.md", "# A\n\nIt is read *once\nmore*."),
            ["docs/a.md:3: \"once more\"; say: again"]
        );
    }

    #[test]
    fn parts_of_words_and_phrases_across_a_mark_are_none() {
        let text = "Outstanding history. It is once. More than once\n\nmore, let, go: description, understands.";
        assert_eq!(found("docs/a.md", text), [""; 0]);
        assert_eq!(
            found(
                "src/a.rs",
                "// once\nfn more() {}\n// Let\n\n// go\nlet go = 'x'; // let"
            ),
            [""; 0]
        );
    }

    #[test]
    fn some_words_are_old_only_as_names_or_only_in_some_folders() {
        let code = "// A fixed view of the end.\nfn end() { end(); hides(); Memory }\nfn fixed_view() {}";
        assert_eq!(
            found("src/bus/dir/a.rs", code),
            [
                "src/bus/dir/a.rs:2: \"Memory\" in `Memory`; say: SeenEvents, or DedupIndex",
                "src/bus/dir/a.rs:2: \"end\" in `end`; say: readable_end (the last stable offset)",
                "src/bus/dir/a.rs:2: \"hides\" in `hides`; say: expires",
                "src/bus/dir/a.rs:3: \"view\" in `fixed_view`; say: read-only, or account",
            ]
        );
        assert_eq!(
            found("src/task/b.rs", "fn end_fixed() {}"),
            ["src/task/b.rs:1: \"fixed\" in `end_fixed`; say: deployment record"]
        );
        assert_eq!(
            found("tests/b.rs", "fn end() { MemoryBus; fixed_view; shared }"),
            [""; 0]
        );
    }

    #[test]
    fn an_exception_is_for_one_form_in_one_file_and_must_be_needed() {
        let sources = [
            Source::new("src/a.rs", "// script story"),
            Source::new("src/b.rs", "// script"),
        ];
        let allowed = |form, file| Allowed {
            form,
            file,
            reason: "a reason",
        };
        let offences = offences_but(&sources, &[allowed("script", "/a.rs"), allowed("frontier", "/b.rs")]);
        let found: Vec<String> = offences.iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "src/a.rs:1: \"story\"; say: trace",
                "src/b.rs:1: \"script\"; say: schedule",
                "/b.rs:1: the exception for \"frontier\" (a reason) is not needed; take it out of old_words.rs",
            ]
        );
    }

    #[test]
    fn published_names_keep_their_words() {
        assert_eq!(found("schemas/a.yaml", "story"), [""; 0]);
        assert_eq!(found("docs/events.md", "story"), [""; 0]);
        assert_eq!(found("schemas/README.md", "story").len(), 1);
        let renamed = "struct A { #[serde(rename = \"story\")] trace: u8, #[doc(alias = \"tally\")] digest: u8 }";
        assert_eq!(found("src/a.rs", renamed), ["src/a.rs:1: \"tally\"; say: digest"]);
    }

    #[test]
    fn each_form_of_the_table_can_be_found_and_is_there_once() {
        let mut forms: Vec<&str> = OLD_WORDS.iter().flat_map(|old| old.forms).copied().collect();
        for form in &forms {
            let name = form.replace(' ', "_");
            let code = format!("fn {name}() {{}} fn fixed_{name}() {{}}");
            let anywhere = ["src/bus/dir/a.rs", "src/task/a.rs"].iter().any(|path| {
                found(path, &code)
                    .iter()
                    .any(|offence| offence.contains(&format!("\"{form}\"")))
            });
            assert!(anywhere, "{form}");
        }
        let count = forms.len();
        forms.sort_unstable();
        forms.dedup();
        assert_eq!(forms.len(), count);
        assert!(
            ALLOWED
                .iter()
                .all(|allowed| forms.contains(&allowed.form) && !allowed.reason.is_empty())
        );
    }
}
