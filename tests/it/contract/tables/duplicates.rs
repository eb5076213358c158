//! Records with the id of an earlier one, and how long the dedup index keeps an id.

use super::check;

#[test]
fn an_identical_duplicate_is_dropped_and_a_different_one_rejected() {
    check(
        "
        list A
        +10s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        +11s deposit ann A 10 id=x
        +10s deposit ann A 10 id=x with={\"note\":\"more\"}
        # The same id on another partition is another event.
        +10s deposit ann A 10 id=x p=1
        +0s status ann enrolled id=s
        +0s status ann enrolled id=s
        +0s status ann excluded id=s
        close A 0 pool=1 id=c
        close A 0 pool=1 id=c
        close A 0 pool=2 id=c
        list A id=event-01
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
        list A epoch=86400s
        +10s    deposit ann A 10 id=x
        +86410s deposit ann A 10 id=y
        close A 0
        run
        # One day behind the oldest open epoch: still in the dedup window.
        +10s deposit ann A 10 id=x
        +10s deposit ann A 11 id=x
        close A 1
        run
        # Two days behind: too old to be applied. The id x has expired, so an event of an open epoch may use it again.
        +10s     deposit ann A 10 id=x
        +86399s  deposit ann A 10 id=z
        +86410s  deposit ann A 10 id=y
        +172810s deposit ann A 5 id=x
        close A 2 pool=1
        =>
        dead deposits:0:3 conflicting_duplicate
        dead deposits:0:4 too_old
        dead deposits:0:5 too_old
        # 20 * 86400 + 5 * 86390
        paid A:2 ann 1 seconds=2159950
        seal A:0
        seal A:1 carried_out=0
        seal A:2 closing=25
        ",
    );
}

#[test]
fn the_dedup_window_is_in_whole_epochs_and_at_least_one() {
    // A day is 24 epochs of an hour: with 25 closed, the first one is too old.
    check(
        "
        dedup 1
        list H late=carry epoch=3600s
        list M late=carry epoch=2678400s
        +10s deposit ann H 1
        +10s deposit ann M 1
        close H 0
        close H 1
        close H 2
        close H 3
        close H 4
        close H 5
        close H 6
        close H 7
        close H 8
        close H 9
        close H 10
        close H 11
        close H 12
        close H 13
        close H 14
        close H 15
        close H 16
        close H 17
        close H 18
        close H 19
        close H 20
        close H 21
        close H 22
        close H 23
        run
        # 24 epochs behind.
        +20s deposit ann H 1
        close H 24
        # Of a month, one epoch behind is allowed, although that is up to 62 days.
        close M 0
        run
        +20s deposit ann H 1
        +20s deposit ann M 1
        close M 1
        run
        +20s      deposit ann M 1
        +2678400s deposit ann M 1
        =>
        dead deposits:0:3 too_old
        dead deposits:0:5 too_old
        late deposits:0:2:0 ann H 1 0->24 carry
        late deposits:0:4:0 ann M 1 0->1 carry
        late deposits:0:6:0 ann M 1 1->2 carry
        seal H:0
        seal H:1
        seal H:2
        seal H:3
        seal H:4
        seal H:5
        seal H:6
        seal H:7
        seal H:8
        seal H:9
        seal H:10
        seal H:11
        seal H:12
        seal H:13
        seal H:14
        seal H:15
        seal H:16
        seal H:17
        seal H:18
        seal H:19
        seal H:20
        seal H:21
        seal H:22
        seal H:23
        seal H:24
        seal M:0
        seal M:1
        ",
    );
}

#[test]
fn an_event_expires_and_is_too_old_as_soon_as_one_of_its_postings_is() {
    check(
        "
        dedup 1
        list A epoch=86400s
        list B epoch=864000s
        +10s trade ann ben A/B 1 @1 id=x
        close A 0
        close A 1
        run
        +10s trade ann ben A/B 1 @1 id=x
        # No posting of this event is in A, so it is not too old.
        +10s transfer ann ben B 1 id=x
        close A 2
        close B 0 pool=1
        =>
        dead trades:0:1 too_old
        paid B:0 ben 1 seconds=1727980
        seal A:0 negative=1
        seal A:1 negative=1
        seal A:2 negative=1
        seal B:0 negative=1
        ",
    );
}

#[test]
fn a_rejected_or_ignored_event_is_not_in_the_dedup_index() {
    check(
        "
        list A anchor=+100s
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
