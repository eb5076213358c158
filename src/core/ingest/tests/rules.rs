//! The version of the rules at each offset.

use super::*;
use crate::core::contract::rules::{FIRST_RULES, NEWEST_RULES};

fn in_force(version: u64, from: Option<u64>) -> Decision {
    Decision::Rules {
        control_offset: None,
        version,
        in_force_from: Offsets(from.map(|from| (SOURCE, Offset::new(from))).into_iter().collect()),
    }
}

#[test]
fn each_record_has_the_version_at_its_offset() {
    let mut partition = Partition::new();
    partition.decide(&in_force(FIRST_RULES, None));
    assert_eq!(partition.ingest.rules_at(Offset::START), FIRST_RULES);
    // As a later program would know it.
    partition.ingest.state.rules.push((Offset::new(10), FIRST_RULES + 1));
    partition.ingest.state.rules.push((Offset::new(12), FIRST_RULES + 2));
    partition.restart();
    let at = |offset| partition.ingest.rules_at(Offset::new(offset)) - FIRST_RULES;
    assert_eq!([0, 9, 10, 11, 12, 99].map(at), [0, 0, 1, 1, 2, 2]);
}

#[test]
fn a_version_that_is_not_known_is_refused() {
    let mut partition = Partition::new();
    partition.decide(&in_force(NEWEST_RULES, None));
    let refused = partition.try_decide(&in_force(NEWEST_RULES + 1, Some(3)));
    let expected = Fault::UnknownRules {
        version: NEWEST_RULES + 1,
        newest: NEWEST_RULES,
    };
    assert_eq!(refused.err(), Some(expected));
}

#[test]
fn a_proposed_version_is_answered_with_the_position_and_stops_the_partition() {
    let mut partition = Partition::new();
    partition.read(&deposit("1", "A", anchor()));
    let proposed = Decision::RulesProposed {
        control_offset: Offset::new(4),
        version: NEWEST_RULES,
    };
    let out = partition.decide(&proposed);
    let answers: Vec<Inbox> = out
        .iter()
        .map(|(_, _, record)| codec::decode(record, "an answer").unwrap())
        .collect();
    let answer = Inbox::PositionAnswer {
        source: SOURCE,
        control_offset: Offset::new(4),
        from: Offset::new(1),
    };
    assert_eq!(answers, [answer]);
    let limit = |partition: &Partition| partition.ingest.limit(partition.offset);
    assert_eq!(limit(&partition), Offset::new(1));
    partition.restart();
    assert_eq!(limit(&partition), Offset::new(1), "the question outlives a restart");
    partition.decide(&in_force(NEWEST_RULES, Some(1)));
    assert_eq!(limit(&partition), Offset::NO_LIMIT);
}
