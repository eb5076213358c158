//! Texts, and how bad each of them is.

/// How bad something is. The worst is the greatest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    #[default]
    Plain,
    /// To look at.
    Warn,
    /// To mend.
    Bad,
}

impl Severity {
    /// A symbol of two characters, for those who see no colours.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Plain => "  ",
            Self::Warn => "! ",
            Self::Bad => "!!",
        }
    }

    /// The word for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Warn => "warn",
            Self::Bad => "bad",
        }
    }
}

/// A short text with a mark: a figure, or a problem in a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkedText {
    pub mark: Severity,
    pub text: String,
}

impl MarkedText {
    pub fn new(mark: Severity, text: impl Into<String>) -> Self {
        Self {
            mark,
            text: text.into(),
        }
    }
}
