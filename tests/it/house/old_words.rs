//! Words that this project no longer uses, with what to say instead, and the few places where such a word means something else.

/// Where a word is an old one.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    /// In prose, in identifiers, and in names of files and folders.
    Everywhere,
    /// In identifiers and names of files, in these folders alone.
    NamesIn(&'static [&'static str]),
    /// As a whole identifier, spelt just so.
    Identifier,
    /// As the name of a function, in these folders alone.
    FunctionsIn(&'static [&'static str]),
}

pub struct OldWord {
    /// In all its forms. Each is one word or several, without capitals unless the place is `Identifier`.
    pub forms: &'static [&'static str],
    pub say: &'static str,
    pub place: Place,
}

const fn word(forms: &'static [&'static str], say: &'static str, place: Place) -> OldWord {
    OldWord { forms, say, place }
}

use Place::{Everywhere, FunctionsIn, Identifier, NamesIn};

pub const OLD_WORDS: &[OldWord] = &[
    // Names of concepts.
    word(&["standing"], "eligibility", Everywhere),
    word(&["barred"], "excluded", Everywhere),
    word(&["stretch", "stretches"], "scan, or offset range", Everywhere),
    word(&["frontier", "frontiers"], "line count", Everywhere),
    word(&["tally", "tallies", "tallied"], "digest", Everywhere),
    word(&["story", "stories"], "trace", Everywhere),
    word(&["script", "scripts"], "schedule", Everywhere),
    word(
        &["hear", "hears", "heard", "hearing"],
        "observe, or observer",
        Everywhere,
    ),
    word(
        &["freeze", "freezes", "freezing", "frozen"],
        "point in time, or final",
        Everywhere,
    ),
    word(&["remembered"], "seen events, or dedup index", Everywhere),
    word(&["Memory"], "SeenEvents, or DedupIndex", Identifier),
    word(&["horizon", "horizons"], "dedup window", Everywhere),
    word(&["hides"], "expires", Identifier),
    word(&["shared"], "committed", NamesIn(&["src/bus/dir"])),
    // The read side has a view of what was published.
    word(
        &["view", "views"],
        "read-only, or account",
        NamesIn(&[
            "src/audit",
            "src/bus",
            "src/core",
            "src/deployment",
            "src/store",
            "src/task",
        ]),
    ),
    word(
        &["fixed"],
        "deployment record",
        NamesIn(&["src/task", "src/deployment"]),
    ),
    word(&["stood"], "stopped at", Everywhere),
    word(&["switch", "switches", "switched"], "layout change", Everywhere),
    word(
        &["take up", "takes up", "taken up", "took up", "taking up"],
        "acquire, or use",
        Everywhere,
    ),
    word(&["let go", "lets go", "letting go"], "release", Everywhere),
    word(
        &["end"],
        "readable_end (the last stable offset)",
        FunctionsIn(&["src/bus", "src/replay", "src/audit"]),
    ),
    word(
        &["written"],
        "written_end (the high watermark)",
        FunctionsIn(&["src/bus", "src/replay", "src/audit"]),
    ),
    word(
        &["condemn", "condemns", "condemned", "condemning"],
        "quarantine",
        Everywhere,
    ),
    word(&["tend", "tends", "tended", "tending"], "maintain", Everywhere),
    word(&["bury", "buries", "buried", "burying"], "dead-letter", Everywhere),
    word(&["seldom"], "rate limit, or rarely", Everywhere),
    word(
        &["mute", "mutes", "muted", "muting"],
        "recovery, with outputs suppressed",
        Everywhere,
    ),
    word(
        &[
            "go through",
            "goes through",
            "going through",
            "gone through",
            "went through",
        ],
        "read, replay, or recover",
        Everywhere,
    ),
    // Turns of speech.
    word(
        &["whoever"],
        "the noun: the caller, the process, the reader",
        Everywhere,
    ),
    word(&["once more"], "again", Everywhere),
    word(&["that which"], "the noun", Everywhere),
    word(
        &["what is there", "what there is", "all that is there"],
        "the noun: the records, the files",
        Everywhere,
    ),
    word(&["stand", "stands"], "is, or is at", Everywhere),
    word(
        &["come to", "comes to", "came to", "coming to"],
        "is, reaches, or results in",
        Everywhere,
    ),
    word(
        &["hold against", "holds against", "held against"],
        "compared with",
        Everywhere,
    ),
];

/// A place where an old word is right, as it means something else there.
pub struct Allowed {
    /// The form that is found.
    pub form: &'static str,
    /// How the path of the file ends.
    pub file: &'static str,
    pub reason: &'static str,
}

pub const ALLOWED: &[Allowed] = &[
    Allowed {
        form: "frozen",
        file: "src/generate/bad/data_kinds.rs",
        reason: "an account status that the contract does not know",
    },
    Allowed {
        form: "script",
        file: "common/installed.rs",
        reason: "a shell script",
    },
    Allowed {
        form: "script",
        file: "audit/reconcile.rs",
        reason: "an HTML element",
    },
    Allowed {
        form: "stand",
        file: "deploy/README.md",
        reason: "stand-ins for images",
    },
    Allowed {
        form: "stand",
        file: "deploy/images/make.sh",
        reason: "stand-ins for images",
    },
    Allowed {
        form: "stand",
        file: "deploy/images/kafka/pom.xml",
        reason: "stand-ins for images",
    },
    Allowed {
        form: "script",
        file: "src/cli/completions.rs",
        reason: "a shell's completion script",
    },
    Allowed {
        form: "script",
        file: ".html",
        reason: "an HTML element",
    },
    Allowed {
        form: "script",
        file: "serve/pages/mod.rs",
        reason: "an HTML element, and a word of its policy",
    },
    Allowed {
        form: "script",
        file: "serve/bounds.rs",
        reason: "a word of the policy of a page",
    },
    Allowed {
        form: "muted",
        file: ".css",
        reason: "a quiet colour of text",
    },
    Allowed {
        form: "muted",
        file: ".js",
        reason: "a quiet colour of text",
    },
    Allowed {
        form: "switch",
        file: ".java",
        reason: "a keyword of Java",
    },
];
