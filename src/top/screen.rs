//! What the screen has, without a terminal: texts, each with a mark.

use crate::instances::{MarkedText, Severity};

/// A part of the screen that is reached by a key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tab {
    #[default]
    All,
    Problems,
    Instances,
    Partitions,
    Epochs,
    Seals,
    Disks,
}

impl Tab {
    /// In the order of their keys, from `0`.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Problems,
        Self::Instances,
        Self::Partitions,
        Self::Epochs,
        Self::Seals,
        Self::Disks,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Problems => "problems",
            Self::Instances => "instances",
            Self::Partitions => "partitions",
            Self::Epochs => "epochs",
            Self::Seals => "seals",
            Self::Disks => "disks",
        }
    }
}

/// A column of a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnForm {
    pub name: &'static str,
    /// Numbers are aligned to the right, and never cut.
    pub is_number: bool,
    /// If the terminal is too narrow, the column with the greatest rank is left out first.
    pub rank: u8,
}

pub(super) const fn text(name: &'static str, rank: u8) -> ColumnForm {
    ColumnForm {
        name,
        is_number: false,
        rank,
    }
}

pub(super) const fn number(name: &'static str, rank: u8) -> ColumnForm {
    ColumnForm {
        name,
        is_number: true,
        rank,
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SectionRow {
    pub mark: Severity,
    /// One for each column.
    pub cells: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScreenSection {
    pub tab: Tab,
    pub title: &'static str,
    pub columns: &'static [ColumnForm],
    /// The worst first.
    pub rows: Vec<SectionRow>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusScreen {
    /// The deployment, and the time of this screen.
    pub title: String,
    pub clock: String,
    pub figures: Vec<MarkedText>,
    /// Sentences, the worst first.
    pub problems: Vec<MarkedText>,
    pub sections: Vec<ScreenSection>,
}
