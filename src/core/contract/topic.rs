//! The topics of the contract, and the two inner topics between the tasks.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A topic. Its number is part of stored formats, so the number of a removed topic stays reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Topic {
    /// `exchange.deposits`
    Deposits = 0,
    /// `exchange.withdrawals`
    Withdrawals = 1,
    /// `exchange.trades`
    Trades = 2,
    /// `exchange.transfers`
    Transfers = 3,
    /// `exchange.accounts`
    Accounts = 4,
    /// `softstake.control`
    Control = 5,
    /// `softstake.decisions`
    Decisions = 6,
    /// `softstake.ledger`: blocks, barriers, settlements and totals, in binary.
    Ledger = 7,
    /// `softstake.inbox`: the only input of the coordinator, in binary: control records, answers, subtotals and receipts.
    Inbox = 8,
    /// `softstake.distributions`
    Distributions = 9,
    /// `softstake.epochs`
    Epochs = 10,
    /// `softstake.dead-letters`
    DeadLetters = 11,
    /// `softstake.late-postings`
    LatePostings = 12,
    /// `softstake.redrives`: which dead letters were published again. No task reads it, and no result depends on it.
    Redrives = 13,
}

/// Who writes a topic, and in which format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopicKind {
    /// Lines that others than the tasks write: producers, operators, and the commands that they run.
    Input,
    /// Lines that Softstake writes for others.
    Output,
    /// Binary records between the tasks.
    Inner,
}

impl Topic {
    /// Every topic, by number.
    pub const ALL: [Self; 14] = [
        Self::Deposits,
        Self::Withdrawals,
        Self::Trades,
        Self::Transfers,
        Self::Accounts,
        Self::Control,
        Self::Decisions,
        Self::Ledger,
        Self::Inbox,
        Self::Distributions,
        Self::Epochs,
        Self::DeadLetters,
        Self::LatePostings,
        Self::Redrives,
    ];

    /// The source topics (contract, section 3).
    pub const SOURCES: [Self; 5] = [
        Self::Deposits,
        Self::Withdrawals,
        Self::Trades,
        Self::Transfers,
        Self::Accounts,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deposits => "exchange.deposits",
            Self::Withdrawals => "exchange.withdrawals",
            Self::Trades => "exchange.trades",
            Self::Transfers => "exchange.transfers",
            Self::Accounts => "exchange.accounts",
            Self::Control => "softstake.control",
            Self::Decisions => "softstake.decisions",
            Self::Ledger => "softstake.ledger",
            Self::Inbox => "softstake.inbox",
            Self::Distributions => "softstake.distributions",
            Self::Epochs => "softstake.epochs",
            Self::DeadLetters => "softstake.dead-letters",
            Self::LatePostings => "softstake.late-postings",
            Self::Redrives => "softstake.redrives",
        }
    }

    #[must_use]
    pub const fn kind(self) -> TopicKind {
        match self {
            Self::Deposits
            | Self::Withdrawals
            | Self::Trades
            | Self::Transfers
            | Self::Accounts
            | Self::Control
            | Self::Redrives => TopicKind::Input,
            Self::Ledger | Self::Inbox => TopicKind::Inner,
            Self::Decisions | Self::Distributions | Self::Epochs | Self::DeadLetters | Self::LatePostings => {
                TopicKind::Output
            }
        }
    }

    /// The topic with this stored number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|topic| topic.name() == name)
    }

    #[must_use]
    pub const fn partition(self, partition: u32) -> TopicPartition {
        TopicPartition { topic: self, partition }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for Topic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Topic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        Self::from_name(&name).ok_or_else(|| serde::de::Error::custom(format!("{name} is no topic")))
    }
}

/// One partition of one topic. Its text is `exchange.trades:3`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: Topic,
    pub partition: u32,
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.topic, self.partition)
    }
}

impl TopicPartition {
    /// Reads the form `exchange.trades:3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (topic, partition) = text.rsplit_once(':')?;
        Some(Topic::from_name(topic)?.partition(partition.parse().ok()?))
    }
}

impl Serialize for TopicPartition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TopicPartition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text} is no partition of a topic")))
    }
}
