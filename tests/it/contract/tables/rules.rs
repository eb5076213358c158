//! The version of the rules, and records that are gone.

use super::check;

#[test]
fn a_version_of_the_rules_comes_into_force_if_it_is_known_and_higher() {
    check(
        "
        know 3
        list A
        +0s deposit ann A 1
        rules 2
        rules 4
        rules 3
        rules 3 id=again
        close A 0 pool=1
        =>
        dead control:0:1 invalid_event
        dead control:0:2 invalid_event
        rules 3
        dead control:0:4 invalid_event
        paid A:0 ann 1
        seal A:0
        ",
    );
}

#[test]
fn a_version_that_the_program_does_not_know_is_refused() {
    check(
        "
        rules 3
        =>
        dead control:0:0 invalid_event
        ",
    );
}

#[test]
fn records_that_are_gone_are_skipped_if_their_loss_was_accepted() {
    check(
        "
        list A
        +0s deposit ann A 1
        run
        +0s deposit ann A 2
        +0s deposit ann A 4
        +0s deposit ann A 8
        gone deposits:0 3
        # The record at 3 is still there, so it is applied.
        lost deposits:0 1..4
        lost deposits:0 1..1
        lost control:0 1..2
        lost deposits:0 1..2 with={\"partition\":4294967296}
        lost deposits:0 1..2 with={\"why\":\"\"}
        lost deposits:0 1..2 with={\"by\":\"\"}
        lost deposits:1 1..2
        close A 0 pool=1
        =>
        lost 1..4
        dead control:0:2 invalid_event
        dead control:0:3 invalid_event
        dead control:0:4 invalid_event
        dead control:0:5 invalid_event
        dead control:0:6 invalid_event
        dead control:0:7 invalid_event
        paid A:0 ann 1 seconds=900
        seal A:0
        ",
    );
}
