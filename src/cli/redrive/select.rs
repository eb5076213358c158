//! Which dead letters a command is about.

use clap::Args;

use crate::audit::redrive::{DeadLetters, KnownLetter, LetterState};
use crate::cli::message::message;
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::{Topic, TopicKind};
use crate::core::values::time::TimeMs;

/// The filters of `list` and `export`.
#[derive(Debug, Args)]
pub(super) struct LetterFilter {
    /// Only rejected records of this topic
    #[arg(long, value_name = "TOPIC", value_parser = topic)]
    topic: Option<Topic>,
    /// Only those that were rejected with this code
    #[arg(long, value_name = "CODE", value_parser = code)]
    code: Option<Code>,
    /// Only events of this time or later: a date, or a time such as 2026-11-22T08:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<TimeMs>,
    /// Only events before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<TimeMs>,
    /// At most this many dead letters, the oldest first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Also those that were redriven, or whose event was rejected again later
    #[arg(long)]
    all: bool,
}

impl LetterFilter {
    /// Whether a dead letter is meant, whatever its state. One whose time cannot be read is of any time.
    pub(super) fn is_meant(&self, letter: &KnownLetter) -> bool {
        self.topic.is_none_or(|topic| letter.id.partition.topic == topic)
            && self.code.is_none_or(|code| letter.code == code)
            && letter.time.is_none_or(|time| {
                self.since.is_none_or(|since| time >= since) && self.until.is_none_or(|until| time < until)
            })
    }

    /// The dead letters to show, and how many more there are. `usual`: the limit if none is given.
    pub(super) fn selected<'l>(&self, letters: &'l DeadLetters, usual: usize) -> (Vec<&'l KnownLetter>, usize) {
        let is_offered = |letter: &&KnownLetter| self.all || letter.state == LetterState::Open;
        let meant = letters.iter().filter(|letter| self.is_meant(letter));
        let mut selected: Vec<&KnownLetter> = meant.filter(is_offered).collect();
        let shown = self.limit.unwrap_or(usual).min(selected.len());
        let left_out = selected.split_off(shown).len();
        (selected, left_out)
    }
}

/// So many unreadable records are told.
const MOST_TOLD: usize = 20;

/// Tells which records could not be read.
pub(super) fn tell_unreadable(letters: &DeadLetters) {
    for sentence in letters.unreadable.iter().take(MOST_TOLD) {
        message!("warning: {sentence}; it is left out");
    }
    let more = letters.unreadable.len().saturating_sub(MOST_TOLD);
    if more > 0 {
        message!("warning: {more} more records are left out");
    }
}

fn topic(name: &str) -> Result<Topic, String> {
    let rejecting = |topic: &Topic| topic.kind() == TopicKind::Input && *topic != Topic::Redrives;
    Topic::from_name(name).filter(rejecting).ok_or_else(|| {
        let topics = Topic::ALL.into_iter().filter(rejecting).map(Topic::name);
        format!("it is none of {}", topics.collect::<Vec<_>>().join(", "))
    })
}

fn code(name: &str) -> Result<Code, String> {
    let found = Code::ALL.into_iter().find(|code| code.name() == name);
    found.ok_or_else(|| format!("it is none of {}", Code::ALL.map(Code::name).join(", ")))
}

fn time(text: &str) -> Result<TimeMs, String> {
    TimeMs::parse(text)
        .or_else(|error| TimeMs::parse(&format!("{text}T00:00:00Z")).map_err(|_| error))
        .map_err(|error| format!("no date, and no time such as 2026-11-22T08:00:00Z: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_its_midnight() {
        assert_eq!(time("2026-11-22"), time("2026-11-22T00:00:00Z"));
        assert!(time("yesterday").is_err());
        assert_eq!(topic("exchange.trades"), Ok(Topic::Trades));
        assert!(topic("softstake.redrives").is_err() && topic("softstake.epochs").is_err());
        assert_eq!(code("too_old"), Ok(Code::TooOld));
    }
}
