//! Which accounts share: statuses, negative balances and the reasons in the seal.

use super::check;

#[test]
fn with_opt_in_an_account_earns_from_the_epoch_after_its_enrolment() {
    check(
        "
        list A enrolment=opt_in
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s status ann enrolled
        +0.001s status ben enrolled
        close A 0 pool=1
        close A 1 pool=1
        =>
        paid A:0 ann 1
        paid A:1 ann 0.5
        paid A:1 ben 0.5
        seal A:0 status=2 closing=10
        seal A:1 status=1 closing=20
        ",
    );
}

#[test]
fn an_account_that_opts_out_earns_until_the_end_of_the_epoch() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s status ann opted_out
        +0.001s status ben opted_out
        +150s status ben enrolled
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        =>
        paid A:0 ben 1
        paid A:2 ben 1
        seal A:0 status=1
        seal A:1 status=2 returned=1 closing=0 seconds=0
        seal A:2 status=1 in=0
        ",
    );
}

#[test]
fn an_exclusion_within_an_epoch_excludes_the_account_from_it() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s deposit dan A 10
        +0s deposit eve A 10
        # Within epoch 0; a later status does not change that.
        +50s status ann excluded
        +60s status ann enrolled
        # At the end of epoch 0, which is the start of epoch 1.
        +100s status ben excluded
        # Before epoch 0, and ended before epoch 0.
        -10s status cat excluded
        -5s  status cat enrolled
        # At its start, but another status of the same time has a greater id.
        +0s status dan excluded id=a
        +0s status dan enrolled id=b
        # In the last millisecond.
        +99.999s status eve excluded
        +100s    status eve enrolled
        close A 0 pool=3
        close A 1 pool=4
        =>
        paid A:0 ben 1
        paid A:0 cat 1
        paid A:0 dan 1
        paid A:1 ann 1
        paid A:1 cat 1
        paid A:1 dan 1
        paid A:1 eve 1
        seal A:0 status=2
        seal A:1 status=1
        ",
    );
}

#[test]
fn the_greatest_id_decides_among_statuses_of_the_same_time() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        +0s deposit cat A 10
        +0s deposit dan A 10
        +0s status ann opted_out id=9
        +0s status ann enrolled  id=10
        +0s status ben enrolled  id=z
        +0s status ben opted_out id=Z
        # The same time and id, on two partitions.
        +0s status cat enrolled  id=x p=0
        +0s status cat opted_out id=x p=1
        +0s status dan opted_out id=y p=1
        +0s status dan enrolled  id=y p=0
        # A status of an earlier time does not decide, even with a greater id.
        -1s status ben opted_out id=zz
        close A 0 pool=1
        =>
        # Ids are compared as bytes: 9 is greater than 10, and z is greater than Z.
        paid A:0 ben 1
        seal A:0 status=3
        ",
    );
}

#[test]
fn a_status_after_the_cut_counts_from_the_next_epoch() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=1
        run
        -10s status ann opted_out
        # Within epoch 0, whose cut has passed. At the start of epoch 1 it is no longer the newest status.
        +50s status ben excluded
        +60s status ben enrolled
        close A 1 pool=1
        =>
        paid A:0 ann 0.5
        paid A:0 ben 0.5
        paid A:1 ben 1
        seal A:0 status=0
        seal A:1 status=1
        ",
    );
}

#[test]
fn a_status_applies_to_every_asset() {
    check(
        "
        list A
        list B epoch=200s
        +0s deposit ann A 10
        +0s deposit ann B 10
        +100s status ann excluded
        close A 0 pool=1
        close A 1 pool=1
        close B 0 pool=1
        =>
        paid A:0 ann 1
        seal A:0
        seal A:1 status=1
        seal B:0 status=1
        ",
    );
}

#[test]
fn a_negative_balance_earns_nothing_and_takes_nothing_from_others() {
    check(
        "
        list A
        +0s   deposit ann A 10
        +0s   withdraw ben A 10
        +100s deposit ben A 20
        # A sum of zero earns nothing and counts for no reason.
        +0s   deposit cat A 1
        +50s  withdraw cat A 2
        close A 0 pool=1
        close A 1 pool=2
        =>
        paid A:0 ann 1
        paid A:1 ann 1
        paid A:1 ben 1
        seal A:0 negative=1 status=0 below=0 seconds=1000 closing=10
        seal A:1 negative=1 seconds=2000 closing=20
        ",
    );
}

#[test]
fn an_ineligible_account_counts_for_the_first_reason_only() {
    check(
        "
        list A min_balance=5
        +0s withdraw ann A 1
        +0s status   ann opted_out
        +0s withdraw ben A 1
        +0s deposit  cat A 1
        +0s deposit  dan A 1
        +0s status   dan excluded
        close A 0 pool=1
        =>
        seal A:0 status=2 negative=1 below=1 returned=1 closing=0
        ",
    );
}

#[test]
fn an_asset_that_is_listed_later_and_begins_earlier_counts_superseded_statuses() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        -20s status ann opted_out
        -10s status ann enrolled
        -20s status ben enrolled
        -10s status ben opted_out
        close A 0 pool=1
        run
        close A 1 pool=1
        close A 2 pool=1
        run
        # It begins between the statuses of each account.
        list B anchor=-15s
        +0s deposit ann B 10
        +0s deposit ben B 10
        close B 0 pool=1
        close B 1 pool=1
        =>
        paid A:0 ann 1
        paid A:1 ann 1
        paid A:2 ann 1
        paid B:0 ben 1
        paid B:1 ann 1
        seal A:0 status=1
        seal A:1 status=1
        seal A:2 status=1
        seal B:0 status=1
        seal B:1 status=1
        ",
    );
}
