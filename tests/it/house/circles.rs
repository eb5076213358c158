//! No import circles.
//!
//! In each folder of `src`, take its files and its folders as points, and draw an arrow from one to another if any file of the one imports from any file
//! of the other. No way along the arrows may lead back to where it began. So two files that import from each other are a circle, and so are two folders
//! of which each has a file that imports from the other, at whatever depth. A folder's `mod.rs` is a file among the others of its folder:
//! a child may import from it only if it does not import from that child in turn (`mod` and `pub use` are no imports).

use std::collections::{BTreeMap, BTreeSet};

use super::modules::Import;
use super::source::Offence;

/// The arrows of one folder, each with the imports that it is made of.
type Arrows<'a> = BTreeMap<(&'a str, &'a str), Vec<&'a Import>>;

pub fn offences(imports: &[Import]) -> Vec<Offence> {
    let mut folders: BTreeMap<&str, Arrows> = BTreeMap::new();
    for import in imports {
        let (folder, from, to) = fork(&import.from, &import.to);
        folders
            .entry(folder)
            .or_default()
            .entry((from, to))
            .or_default()
            .push(import);
    }
    folders
        .iter()
        .flat_map(|(folder, arrows)| circles_of(folder, arrows))
        .collect()
}

/// The folder where two paths part, and the entries of that folder that they lead into.
fn fork<'a>(from: &'a str, to: &'a str) -> (&'a str, &'a str, &'a str) {
    let same = from.bytes().zip(to.bytes()).take_while(|(a, b)| a == b).count();
    let folder = from[..same].rfind('/').map_or(0, |slash| slash + 1);
    let entry = |path: &'a str| path[folder..].find('/').map_or(path, |slash| &path[..folder + slash]);
    (&from[..folder], entry(from), entry(to))
}

/// Each arrow that lies on a circle, with one import that makes it.
fn circles_of(folder: &str, arrows: &Arrows) -> Vec<Offence> {
    let mut offences = Vec::new();
    for ((from, to), imports) in arrows {
        let Some(way) = way(arrows, to, from) else { continue };
        let circle: Vec<&str> = [*from]
            .into_iter()
            .chain(way)
            .map(|entry| entry.strip_prefix(folder).unwrap_or(entry))
            .collect();
        let import = imports[0];
        let text = format!(
            "`{}` closes a circle in {folder}: {}; move what both need into a file that imports neither ({} imports of {} in all)",
            import.path,
            circle.join(" -> "),
            imports.len(),
            circle[1],
        );
        offences.push(Offence::new(&import.from, import.line, text));
    }
    offences
}

/// The shortest way along the arrows, from its first point to its last.
fn way<'a>(arrows: &Arrows<'a>, from: &'a str, to: &str) -> Option<Vec<&'a str>> {
    let mut seen = BTreeSet::from([from]);
    let mut ways = vec![vec![from]];
    while !ways.is_empty() {
        if let Some(found) = ways.iter().find(|way| way.last() == Some(&to)) {
            return Some(found.clone());
        }
        let mut longer = Vec::new();
        for way in &ways {
            let next = arrows.keys().filter(|(start, _)| way.last() == Some(start));
            for (_, end) in next.filter(|(_, end)| seen.insert(end)) {
                longer.push(way.iter().copied().chain([*end]).collect());
            }
        }
        ways = longer;
    }
    None
}

mod tests {
    use super::offences;
    use crate::house::modules::Modules;
    use crate::house::source::Source;

    fn circles(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        offences(&Modules::read(&sources).imports())
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn two_files_that_import_from_each_other_are_a_circle() {
        let found = circles(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::B; pub struct A;"),
            ("src/b.rs", "use crate::c::C;\nuse super::a; pub struct B(a::A);"),
            ("src/c.rs", "pub struct C;"),
        ]);
        assert_eq!(found.len(), 2, "{found:#?}");
        assert!(
            found[0].starts_with("src/a.rs:1: `crate::b::B` closes a circle in src/: a.rs -> b.rs -> a.rs"),
            "{found:#?}"
        );
        assert!(found[1].starts_with("src/b.rs:2: `a::A` closes a circle"), "{found:#?}");
    }

    #[test]
    fn two_folders_are_a_circle_though_their_files_are_none() {
        let found = circles(&[
            ("src/lib.rs", "mod x;"),
            ("src/x/mod.rs", "mod a; mod b; mod c;"),
            ("src/x/a/mod.rs", "mod low; mod high;"),
            ("src/x/a/low.rs", "pub struct Low;"),
            ("src/x/a/high.rs", "use crate::x::c::C;"),
            ("src/x/b/mod.rs", "pub mod inner;"),
            ("src/x/b/inner.rs", "use crate::x::a::low::Low; pub struct B;"),
            ("src/x/c.rs", "use super::b::inner::B; pub struct C;"),
        ]);
        assert_eq!(found.len(), 3, "{found:#?}");
        assert!(found[0].contains("circle in src/x/: a -> c.rs -> b -> a"), "{found:#?}");
    }

    #[test]
    fn a_child_may_import_from_a_face_only_if_the_face_does_not_use_the_child() {
        let face = |text| {
            let child = ("src/a/child.rs", "use super::Shared; pub struct X;");
            let other = ("src/a/other.rs", "pub struct Other;");
            circles(&[("src/lib.rs", "mod a;"), ("src/a/mod.rs", text), child, other])
        };
        assert!(face("mod child; mod other; pub use child::X; use other::Other; pub struct Shared(Other);").is_empty());
        assert_eq!(face("mod child; use child::X; pub struct Shared(X);").len(), 2);
        assert_eq!(face("mod child; pub use child::X; pub struct Shared(X);").len(), 2);
    }

    #[test]
    fn arrows_one_way_are_no_circle() {
        let found = circles(&[
            ("src/lib.rs", "mod a; mod b; mod c;"),
            ("src/a.rs", "use crate::b::B; use crate::c::C;"),
            ("src/b.rs", "use crate::c::C; pub struct B;"),
            ("src/c.rs", "pub struct C; #[cfg(test)] mod tests { use crate::b::B; }"),
        ]);
        assert!(found.is_empty(), "{found:#?}");
    }
}
