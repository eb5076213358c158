//! Records with the id of an earlier one, and how long the dedup index keeps an id.

use super::check;

#[test]
fn an_identical_duplicate_is_dropped_and_a_different_one_rejected() {
    check(
        "
        list A pool
        +10s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        +11s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x note=more
        # The same id on another partition is another event.
        +10s deposit ann A 10 id=x p=1
        +0s status ann enrolled id=s
        +0s status ann enrolled id=s
        +0s status ann excluded id=s
        close A 0 pool=1 id=c
        close A 0 pool=1 id=c
        close A 0 pool=2 id=c
        list A pool id=event-1
        +0s reward A 1 id=r
        +0s reward A 1 id=r
        +0s reward A 2 id=r
        close A 1
        =>
        dead deposits:0:2 conflicting_duplicate
        dead deposits:0:3 conflicting_duplicate
        dead deposits:0:4 conflicting_duplicate
        dead accounts:0:2 conflicting_duplicate
        dead control:0:3 conflicting_duplicate
        dead control:0:7 conflicting_duplicate
        paid A:0 ann 1 seconds=1800
        paid A:1 ann 1 seconds=2000
        seal A:0 pool=1
        seal A:1 pool=1
        ",
    );
}

#[test]
fn duplicates_are_recognised_within_the_dedup_window_and_too_old_after_it() {
    check(
        "
        dedup 1
        list A pool
        +10s  deposit ann A 10 id=x
        +110s deposit ann A 10 id=y
        close A 0
        run
        # One epoch behind the oldest open one: still in the dedup window.
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        close A 1
        run
        # Two epochs behind: too old to be applied. The id x has expired, so an event of an open epoch may use it again.
        +10s deposit ann A 10 id=x
        +99s deposit ann A 10 id=z
        +110s deposit ann A 10 id=y
        +210s deposit ann A 5 id=x
        close A 2 pool=1
        =>
        dead deposits:0:3 conflicting_duplicate
        dead deposits:0:4 too_old
        dead deposits:0:5 too_old
        # 20 * 100 + 5 * 90
        paid A:2 ann 1 seconds=2450
        seal A:0
        seal A:1 carried_out=0
        seal A:2 closing=25
        ",
    );
}

#[test]
fn an_event_expires_and_is_too_old_as_soon_as_one_of_its_postings_is() {
    check(
        "
        dedup 0
        list A pool
        list B pool epoch=1000s
        +10s trade ann ben A/B 1 @1 id=x
        close A 0
        run
        +10s trade ann ben A/B 1 @1 id=x
        # No posting of this event is in A, so it is not too old.
        +10s transfer ann ben B 1 id=x
        close A 1
        close B 0 pool=1
        =>
        dead trades:0:1 too_old
        paid B:0 ben 1 seconds=1980
        seal A:0 negative=1
        seal A:1 negative=1
        seal B:0 negative=1
        ",
    );
}

#[test]
fn a_rejected_or_ignored_event_is_not_in_the_dedup_index() {
    check(
        "
        list A pool anchor=+100s
        +100s deposit ann A 0.001 id=x
        +100s deposit ann A 1     id=x
        # Before the anchor, and of an asset that is not listed: ignored, so not in the dedup index.
        +99s  deposit ann A 2     id=y
        +100s deposit ann USD 2   id=y
        +100s deposit ann A 2     id=y
        close A 0 pool=1
        =>
        dead deposits:0:0 invalid_amount
        paid A:0 ann 1 seconds=300
        seal A:0
        ",
    );
}
