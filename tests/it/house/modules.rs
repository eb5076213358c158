//! The modules of `src` and what they import from each other.
//!
//! An import is a `use` or a path in the code (`crate::…`, `super::…`, `self::…`, or through a name that is in scope). It counts towards the file
//! that defines the name: re-exports are followed. A `use` of a whole module is no import yet; the paths that begin with its name are.
//! `pub use` of a module's own descendants is no import, unless the module also uses the name itself. What is `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};

use super::lexer::{Kind, Token, closing, code};
use super::source::Source;

/// One file of `src` that uses a name that another one defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    pub from: String,
    pub line: usize,
    pub to: String,
    /// The path as written, but for groups, which are taken apart.
    pub path: String,
}

/// A module's place in the tree: `[]` is the crate, `["core", "ingest"]` is `crate::core::ingest`.
type Place = Vec<String>;

#[derive(Debug, Default)]
struct Module {
    file: String,
    /// Names of functions, types, constants and macros defined here.
    items: BTreeSet<String>,
    uses: Vec<Use>,
    paths: Vec<Path>,
}

/// One name of a `use`.
#[derive(Debug, Clone)]
struct Use {
    path: Path,
    /// `*` for all names of a module.
    name: String,
    public: bool,
}

#[derive(Debug, Clone)]
struct Path {
    parts: Vec<String>,
    line: usize,
}

#[derive(Debug, PartialEq)]
enum Found {
    Module(Place),
    /// An item and the module that defines it.
    Item(Place),
    /// Another crate's, or a local name.
    Foreign,
}

/// Re-exports of re-exports are followed this far; a longer chain would be a circle of `use`, which does not compile.
const MAX_HOPS: usize = 16;

pub struct Modules {
    modules: BTreeMap<Place, Module>,
}

impl Modules {
    pub fn read(sources: &[Source]) -> Self {
        let mut modules = BTreeMap::new();
        let mut tests = BTreeSet::new();
        for source in sources
            .iter()
            .filter(|source| source.is_rust() && source.is_in(&["src"]))
        {
            let mut reader = Reader {
                file: &source.path,
                modules: &mut modules,
                tests: &mut tests,
            };
            let tokens = code(&source.tokens);
            reader.module(&place_of(&source.path), &tokens);
        }
        modules.retain(|place, _| !(1..=place.len()).any(|length| tests.contains(&place[..length])));
        Self { modules }
    }

    /// All imports between two different files, sorted.
    pub fn imports(&self) -> Vec<Import> {
        let mut imports = BTreeSet::new();
        for (place, module) in &self.modules {
            for one in &module.uses {
                let found = self.find(place, &one.path.parts, MAX_HOPS);
                let Found::Item(target) = found else { continue };
                let face = one.public && target.starts_with(place);
                if !face {
                    self.add(module, &one.path, &target, &mut imports);
                }
            }
            for path in &module.paths {
                if let Found::Item(target) = self.find(place, &path.parts, MAX_HOPS) {
                    self.add(module, path, &target, &mut imports);
                }
            }
        }
        imports.into_iter().collect()
    }

    fn add(&self, module: &Module, path: &Path, target: &[String], imports: &mut BTreeSet<Import>) {
        let to = &self.modules[target].file;
        if *to != module.file {
            let (from, to) = (module.file.clone(), to.clone());
            imports.insert(Import {
                from,
                line: path.line,
                to,
                path: path.parts.join("::"),
            });
        }
    }

    /// What a path means in a module.
    fn find(&self, place: &[String], parts: &[String], hops: usize) -> Found {
        let mut here = place.to_vec();
        let mut relative = true;
        for (at, part) in parts.iter().enumerate() {
            match part.as_str() {
                "crate" | "softstake" if at == 0 => here.clear(),
                "self" => {}
                "super" => {
                    here.pop();
                }
                name => match self.name(&here, name, hops) {
                    Some(Found::Module(place)) => here = place,
                    Some(found) => return found,
                    None if relative => return Found::Foreign,
                    // A path led to the module, so it defines the name, in a way that was not recognised.
                    None => return Found::Item(here),
                },
            }
            relative = false;
        }
        Found::Module(here)
    }

    /// What a name means in a module, if the module has it.
    fn name(&self, place: &[String], name: &str, hops: usize) -> Option<Found> {
        let hops = hops.checked_sub(1)?;
        let module = self.modules.get(place)?;
        let child = child(place, name);
        if self.modules.contains_key(&child) {
            return Some(Found::Module(child));
        }
        if module.items.contains(name) {
            return Some(Found::Item(place.to_vec()));
        }
        if let Some(one) = module.uses.iter().find(|one| one.name == name) {
            return Some(self.find(place, &one.path.parts, hops));
        }
        let globs = module.uses.iter().filter(|one| one.name == "*");
        let mut targets = globs.map(|glob| self.find(place, &glob.path.parts, hops));
        targets.find_map(|target| match target {
            Found::Module(target) if target != place => self.name(&target, name, hops),
            _ => None,
        })
    }
}

/// `foo.rs` and `foo/mod.rs` are both the module `foo`; `lib.rs` is the crate. `main.rs` is a crate of its own: no path leads to it.
fn place_of(file: &str) -> Place {
    let inner = file.trim_start_matches("src/").trim_end_matches(".rs");
    match inner {
        "lib" => Vec::new(),
        "main" => vec!["main.rs".to_owned()],
        _ => inner
            .strip_suffix("/mod")
            .unwrap_or(inner)
            .split('/')
            .map(str::to_owned)
            .collect(),
    }
}

/// Reads one file's modules.
struct Reader<'a> {
    file: &'a str,
    modules: &'a mut BTreeMap<Place, Module>,
    /// Modules that are `#[cfg(test)]`.
    tests: &'a mut BTreeSet<Place>,
}

impl Reader<'_> {
    fn module(&mut self, place: &[String], tokens: &[Token]) {
        let mut module = Module {
            file: self.file.to_owned(),
            ..Module::default()
        };
        let mut depth = 0_usize;
        let mut at = 0;
        while at < tokens.len() {
            let token = &tokens[at];
            if let Some(end) = test_only(tokens, at) {
                if let Some(name) = declared_module(&tokens[at..=end]) {
                    self.tests.insert(child(place, &name));
                }
                at = end;
            } else if token.is("{") {
                depth += 1;
            } else if token.is("}") {
                depth = depth.saturating_sub(1);
            } else if token.is("mod") && tokens.get(at + 2).is_some_and(|next| next.is("{")) {
                let end = closing(tokens, at + 2);
                self.module(&child(place, &tokens[at + 1].text), &tokens[at + 3..end]);
                at = end;
            } else if token.is("use") {
                let end = until(tokens, at, ";");
                let public = at > 0 && (tokens[at - 1].is("pub") || tokens[at - 1].is(")"));
                use_tree(
                    &tokens[at + 1..end],
                    &Path {
                        parts: Vec::new(),
                        line: token.line,
                    },
                    public,
                    &mut module.uses,
                );
                at = end;
            } else if token.kind == Kind::Ident {
                if let Some(name) = defined(tokens, at).filter(|_| depth == 0) {
                    module.items.insert(name.to_owned());
                }
                at = path(tokens, at, &mut module.paths);
            }
            at += 1;
        }
        let exported: BTreeSet<String> = module
            .uses
            .iter()
            .filter(|one| one.public)
            .map(|one| one.name.clone())
            .collect();
        module
            .paths
            .retain(|path| path.parts.len() > 1 || exported.contains(&path.parts[0]));
        self.modules.insert(place.to_vec(), module);
    }
}

fn child(place: &[String], name: &str) -> Place {
    place.iter().cloned().chain([name.to_owned()]).collect()
}

/// The index of the next token that is `text`.
fn until(tokens: &[Token], from: usize, text: &str) -> usize {
    (from..tokens.len())
        .find(|at| tokens[*at].is(text))
        .unwrap_or(tokens.len() - 1)
}

/// If an attribute at `at` says that what follows is for tests alone: the last token of what follows.
pub fn test_only(tokens: &[Token], at: usize) -> Option<usize> {
    let opens = tokens[at].is("#") && tokens.get(at + 1)?.is("[");
    let end = closing(tokens, at + 1);
    let inside = if opens { tokens.get(at + 2..end)? } else { return None };
    let test = inside.first()?.is("cfg") && inside.iter().any(|token| token.is("test"));
    if !test || inside.iter().any(|token| token.is("not")) {
        return None;
    }
    let mut next = end + 1;
    while next < tokens.len() {
        if tokens[next].is("{") {
            return Some(closing(tokens, next));
        } else if tokens[next].is(";") {
            return Some(next);
        } else if tokens[next].is("(") || tokens[next].is("[") {
            next = closing(tokens, next);
        }
        next += 1;
    }
    Some(tokens.len() - 1)
}

/// The name in `mod name`, if the item is a module.
fn declared_module(item: &[Token]) -> Option<String> {
    let at = item.iter().position(|token| token.is("{") || token.is(";"))?;
    let is_module = at >= 2 && item[at - 2].is("mod");
    is_module.then(|| item[at - 1].text.clone())
}

/// The name that an item's keyword at `at` defines.
fn defined(tokens: &[Token], at: usize) -> Option<&str> {
    const KEYWORDS: [&str; 8] = ["struct", "enum", "union", "trait", "type", "fn", "const", "static"];
    let token = &tokens[at];
    let after = if token.is("macro_rules") { 2 } else { 1 };
    let name = tokens.get(at + after).filter(|name| name.kind == Kind::Ident)?;
    (after == 2 || KEYWORDS.iter().any(|keyword| token.is(keyword))).then_some(name.text.as_str())
}

/// Takes a path that begins at `at` and returns its last token. A method or field (`.name`) is no path.
fn path(tokens: &[Token], at: usize, paths: &mut Vec<Path>) -> usize {
    let mut last = at;
    let mut parts = vec![tokens[at].text.clone()];
    while tokens.get(last + 1).is_some_and(|next| next.is("::"))
        && tokens.get(last + 2).is_some_and(|next| next.kind == Kind::Ident)
    {
        last += 2;
        parts.push(tokens[last].text.clone());
    }
    let continues = at > 0 && ["::", ".", "fn"].iter().any(|before| tokens[at - 1].is(before));
    if !continues {
        paths.push(Path {
            parts,
            line: tokens[at].line,
        });
    }
    last
}

/// Takes a `use` apart: `a::{b, c as d, self, e::*}`.
fn use_tree(tokens: &[Token], before: &Path, public: bool, uses: &mut Vec<Use>) {
    let mut path = before.clone();
    let mut at = 0;
    while at < tokens.len() {
        let token = &tokens[at];
        if token.is("{") {
            let end = closing(tokens, at);
            for branch in branches(&tokens[at + 1..end]) {
                use_tree(branch, &path, public, uses);
            }
            return;
        } else if token.is("*") {
            uses.push(Use {
                path,
                name: "*".to_owned(),
                public,
            });
            return;
        } else if token.is("as") {
            let name = tokens.get(at + 1).map_or_else(String::new, |name| name.text.clone());
            uses.push(Use { path, name, public });
            return;
        } else if token.kind == Kind::Ident {
            let oneself = token.is("self") && !path.parts.is_empty();
            if !oneself {
                path.parts.push(token.text.clone());
                path.line = token.line;
            }
        }
        at += 1;
    }
    if let Some(name) = path.parts.last().cloned() {
        uses.push(Use { path, name, public });
    }
}

/// The parts between the commas of a group.
fn branches(tokens: &[Token]) -> Vec<&[Token]> {
    let mut branches = Vec::new();
    let mut from = 0;
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at].is("{") {
            at = closing(tokens, at);
        } else if tokens[at].is(",") {
            branches.push(&tokens[from..at]);
            from = at + 1;
        }
        at += 1;
    }
    branches.push(&tokens[from..]);
    branches.retain(|branch| !branch.is_empty());
    branches
}

mod tests {
    use super::{Import, Modules};
    use crate::house::source::Source;

    fn imports(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        let show = |import: Import| format!("{}:{} {} = {}", import.from, import.line, import.path, import.to);
        Modules::read(&sources).imports().into_iter().map(show).collect()
    }

    #[test]
    fn every_way_to_write_an_import_is_seen() {
        let user = "use crate::b::{\n  B,\n  inner::{self, C as D}};\nuse super::b as named;\n\
                    fn f() -> Vec<named::E> { inner::g(); crate::b::CONST; println!(\"{}\", super::b::shown()) }";
        let found = imports(&[
            ("src/lib.rs", "mod a; mod b;"),
            ("src/a.rs", user),
            (
                "src/b/mod.rs",
                "pub mod inner; pub struct B; pub enum E {} pub const CONST: u8 = 0; pub fn shown() {}",
            ),
            ("src/b/inner.rs", "pub struct C; pub fn g() {}"),
        ]);
        assert_eq!(
            found,
            [
                "src/a.rs:2 crate::b::B = src/b/mod.rs",
                "src/a.rs:3 crate::b::inner::C = src/b/inner.rs",
                "src/a.rs:5 inner::g = src/b/inner.rs",
                "src/a.rs:5 crate::b::CONST = src/b/mod.rs",
                "src/a.rs:5 named::E = src/b/mod.rs",
                "src/a.rs:5 super::b::shown = src/b/mod.rs",
            ]
        );
    }

    #[test]
    fn re_exports_are_followed_to_the_file_that_defines_the_name() {
        let found = imports(&[
            ("src/lib.rs", "mod a; mod bus; mod c;"),
            ("src/a.rs", "use crate::bus::{TaskId, Text, Unknown, fmt};"),
            (
                "src/bus/mod.rs",
                "mod position; pub use position::*; pub use crate::c::Name as Text; pub use std::fmt;",
            ),
            ("src/bus/position.rs", "pub struct TaskId;"),
            ("src/c.rs", "pub struct Name;"),
        ]);
        assert_eq!(
            found,
            [
                "src/a.rs:1 crate::bus::Unknown = src/bus/mod.rs",
                "src/a.rs:1 crate::bus::TaskId = src/bus/position.rs",
                "src/a.rs:1 crate::bus::Text = src/c.rs",
                "src/bus/mod.rs:1 crate::c::Name = src/c.rs",
            ]
        );
    }

    #[test]
    fn a_face_imports_nothing_until_it_uses_what_it_shows() {
        let child = ("src/a/child.rs", "pub struct X; pub fn x() {}");
        let face = |text| imports(&[("src/lib.rs", "mod a;"), ("src/a/mod.rs", text), child]);
        assert!(face("mod child; pub use child::{X, x}; fn f(s: &S) { s.x() }").is_empty());
        assert_eq!(
            face("mod child; pub use child::X; fn f(x: X) {}"),
            ["src/a/mod.rs:1 X = src/a/child.rs"]
        );
        assert_eq!(
            face("mod child; use child::X;"),
            ["src/a/mod.rs:1 child::X = src/a/child.rs"]
        );
        assert_eq!(
            face("mod child; fn f() { child::x() }"),
            ["src/a/mod.rs:1 child::x = src/a/child.rs"]
        );
    }

    #[test]
    fn tests_and_inner_modules_are_told_apart() {
        let found = imports(&[
            ("src/lib.rs", "mod a; mod b;"),
            (
                "src/a.rs",
                "#[cfg(test)] mod tests; mod inner { use super::super::b::B; fn f() { super::g(); } }\nfn g() {}
                 #[cfg(test)]\nmod small { use crate::b::B; }\n#[cfg(test)]\nfn helper(x: [u8; 2]) { crate::b::x() }",
            ),
            ("src/a/tests.rs", "use crate::b::B;"),
            ("src/b.rs", "pub struct B; pub fn x() {}"),
        ]);
        assert_eq!(found, ["src/a.rs:1 super::super::b::B = src/b.rs"]);
    }

    #[test]
    fn the_program_imports_from_the_library_by_name() {
        let found = imports(&[
            ("src/main.rs", "fn main() { softstake::cli::main() }"),
            ("src/lib.rs", "pub mod cli;"),
            ("src/cli/mod.rs", "pub fn main() {}"),
        ]);
        assert_eq!(found, ["src/main.rs:1 softstake::cli::main = src/cli/mod.rs"]);
    }
}
