//! Names that were probably meant to be names of our topics.

use crate::core::contract::topic::{Topic, TopicKind};

/// What the names of all our topics begin with.
pub(super) const PREFIXES: [&str; 2] = ["exchange.", "softstake."];

/// Whether `name` begins as the names of our topics do.
pub(super) fn has_prefix(name: &str) -> bool {
    let name = name.to_lowercase();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The topic that `name` was probably meant for; `None` if it is like none, or is the name of one.
pub(super) fn meant_topic(name: &str) -> Option<Topic> {
    if Topic::from_name(name).is_some() {
        return None;
    }
    let name = name.to_lowercase();
    // `exchange.deposits.v1`, `exchange.deposits-old`.
    let extended = Topic::ALL.into_iter().find(|topic| {
        let rest = name.strip_prefix(topic.name());
        rest.is_some_and(|rest| !rest.starts_with(|first: char| first.is_alphanumeric()))
    });
    if extended.is_some() {
        return extended;
    }
    let whole = Topic::ALL
        .into_iter()
        .map(|topic| (strsim::osa_distance(&name, topic.name()), topic));
    let whole = whole
        .filter(|(wrong, topic)| *wrong <= bare(*topic).len() / 3)
        .min_by_key(|(wrong, _)| *wrong);
    whole.map(|(_, topic)| topic).or_else(|| {
        // `deposits`, without the prefix. Only an input topic: others write it.
        let mut inputs = Topic::ALL.into_iter().filter(|topic| topic.kind() == TopicKind::Input);
        inputs.find(|topic| strsim::osa_distance(&name, bare(*topic)) <= 1)
    })
}

/// A topic's name without the prefix.
fn bare(topic: Topic) -> &'static str {
    let name = topic.name();
    PREFIXES
        .iter()
        .find_map(|prefix| name.strip_prefix(prefix))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topic_that_was_meant() {
        for (name, expected) in [
            ("exchange.deposit", Some(Topic::Deposits)),
            ("exchange.depostis", Some(Topic::Deposits)),
            ("Exchange.Deposits", Some(Topic::Deposits)),
            ("exchange_deposits", Some(Topic::Deposits)),
            ("exchange.deposits.v1", Some(Topic::Deposits)),
            ("exchange.deposits-old", Some(Topic::Deposits)),
            ("exhange.withdrawl", Some(Topic::Withdrawals)),
            ("exchange.withdraw", Some(Topic::Withdrawals)),
            ("exchange.account", Some(Topic::Accounts)),
            ("exchange.transfer", Some(Topic::Transfers)),
            ("exchange.trade", Some(Topic::Trades)),
            ("softstake.controls", Some(Topic::Control)),
            ("softstake.contorl", Some(Topic::Control)),
            ("softstake.dead_letters", Some(Topic::DeadLetters)),
            ("softsteak.control", Some(Topic::Control)),
            ("deposits", Some(Topic::Deposits)),
            ("deposit", Some(Topic::Deposits)),
            ("controls", Some(Topic::Control)),
            ("exchange.orders", None),
            ("exchange.candles", None),
            ("exchange.events", None),
            ("exchange.balances", None),
            ("exchange.staking-deposits", None),
            ("softstake.toml", None),
            ("softstake.log", None),
            ("state", None),
            ("backup", None),
            ("epochs", None),
            ("orders", None),
            ("", None),
        ] {
            assert_eq!(meant_topic(name), expected, "{name}");
        }
        for topic in Topic::ALL {
            assert!(has_prefix(topic.name()));
            assert_eq!(meant_topic(topic.name()), None);
            assert_eq!(meant_topic(&topic.name()[..topic.name().len() - 1]), Some(topic));
        }
    }
}
