//! When a listing or a change of programme is accepted.

use super::check;

#[test]
fn a_listing_after_an_event_that_it_covers_is_rejected() {
    check(
        "
        +10s deposit ann A 5
        run
        list A pool
        # The skipped event is at or after the anchor of the first two listings, so they are too late.
        list A pool anchor=+10s
        list A pool anchor=+10.001s
        +10.001s deposit ann A 5
        close A 0 pool=1
        =>
        dead control:0:0 listing_too_late
        dead control:0:1 listing_too_late
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn a_skipped_posting_before_the_anchor_blocks_no_listing() {
    check(
        "
        -0.001s deposit ann A 5
        run
        list A pool
        +0s deposit ann A 5
        close A 0 pool=1
        =>
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn a_skipped_opening_balance_can_be_sent_again() {
    check(
        "
        # The model does not know which events were skipped.
        unmodelled
        -500s opening ann A 5 id=o
        run
        list A pool
        list A pool anchor=+100s
        run
        -500s opening ann A 5 id=o p=1
        close A 0 pool=1
        =>
        dead control:0:0 listing_too_late
        paid A:0 ann 1 seconds=500
        seal A:0
        ",
    );
}

#[test]
fn a_programme_changes_from_a_later_epoch_only() {
    check(
        "
        list A pool from=1
        list A pool
        list A pool
        change A pool from=3
        # Not later than the newest programme.
        change A pool from=3
        change A pool from=2
        # Not later than the oldest open epoch.
        close A 0
        close A 1
        close A 2
        close A 3
        close A 4
        change A pool from=5
        change A pool from=6
        # Terms of the listing that never change.
        change A pool from=9 decimals=3
        change A pool from=9 anchor=+1s decimals=2
        change A pool from=9 anchor=+0s epoch=200s
        =>
        dead control:0:0 invalid_programme
        dead control:0:2 invalid_programme
        dead control:0:4 invalid_programme
        dead control:0:5 invalid_programme
        dead control:0:11 invalid_programme
        dead control:0:13 invalid_programme
        dead control:0:14 invalid_programme
        dead control:0:15 invalid_programme
        seal A:0 from=0
        seal A:1 from=0
        seal A:2 from=0
        seal A:3 from=3
        seal A:4 from=3
        ",
    );
}
