//! One habit of laying out modules: a module with children is `foo/mod.rs`, and what lies further up than the parent is named from `crate`.

use std::collections::BTreeSet;

use super::source::{Offence, Source};

pub fn offences(sources: &[Source]) -> Vec<Offence> {
    let files: Vec<&Source> = sources
        .iter()
        .filter(|source| source.is_rust() && source.is_in(&["src"]))
        .collect();
    let folders: BTreeSet<&str> = files
        .iter()
        .filter_map(|source| source.path.rsplit_once('/'))
        .map(|(folder, _)| folder)
        .collect();
    let mut offences = Vec::new();
    for source in files {
        let module = source.path.trim_end_matches(".rs");
        if folders.contains(module) {
            offences.push(Offence::new(
                &source.path,
                1,
                format!("has children in {module}/; move it to {module}/mod.rs"),
            ));
        }
        let chains = source
            .tokens
            .windows(3)
            .filter(|part| part[0].is("super") && part[1].is("::") && part[2].is("super"));
        let lines: BTreeSet<usize> = chains.map(|part| part[0].line).collect();
        offences.extend(
            lines
                .into_iter()
                .map(|line| Offence::new(&source.path, line, "`super::super`; write the path from `crate`")),
        );
    }
    offences
}

mod tests {
    use super::offences;
    use crate::house::source::Source;

    #[test]
    fn a_file_beside_its_folder_and_a_chain_of_super_are_offences() {
        let sources = [
            Source::new("src/a.rs", "mod b;"),
            Source::new("src/a/b.rs", "use super::c;\nuse super::super::d; // super::super"),
            Source::new("src/ab/mod.rs", "use crate::a;"),
        ];
        let found: Vec<String> = offences(&sources).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "src/a.rs:1: has children in src/a/; move it to src/a/mod.rs",
                "src/a/b.rs:2: `super::super`; write the path from `crate`",
            ]
        );
    }
}
