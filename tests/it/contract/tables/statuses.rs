//! Who may earn, and who may be paid.

use super::check;

#[test]
fn an_excluded_account_is_paid_nothing_while_it_is_excluded() {
    check(
        "
        list A decimals=4 payout_decimals=2 min_payout=2
        +0s   deposit ann A 1
        +0s   deposit ben A 1
        +100s status ann excluded
        +250s goodwill ann A 5
        +300s status ann enrolled
        close A 0 pool=3
        close A 1 pool=3
        close A 2 pool=3
        close A 3 pool=2
        =>
        # ann has 1.5 withheld from epoch 0, and goodwill of 5 in epoch 2. All of it is paid in epoch 3.
        paid A:1 ben 4.5
        paid A:2 ben 3
        paid A:3 ann 7.5 R=1 before=6.5
        seal A:0 after=3 status=0
        seal A:1 after=1.5 status=1
        seal A:2 after=6.5 status=1
        seal A:3 after=1 status=0
        ",
    );
}

#[test]
fn an_opted_out_account_earns_nothing_and_is_paid_what_it_earned() {
    check(
        "
        list A min_payout=2
        change A from=1
        +0s   deposit ann A 1
        +0s   deposit ben A 1
        +100s status ann opted_out
        close A 0 pool=3
        close A 1 pool=3
        =>
        paid A:1 ann 1.5 R=0 before=1.5
        paid A:1 ben 4.5 R=3 before=1.5
        seal A:0
        seal A:1 status=1
        ",
    );
}

#[test]
fn a_status_is_for_one_asset_or_for_all_and_each_must_be_enrolled() {
    check(
        "
        list A
        list B enrolment=opt_in
        +0s deposit ann A 1
        +0s deposit ben A 1
        +0s deposit cat A 1
        +0s deposit ann B 1
        +0s deposit ben B 1
        +0s deposit cat B 1
        +0s deposit dan B 1
        # ann: out of A alone. In B, she is enrolled for all.
        +0s status ann enrolled
        +0s status ann opted_out A
        # ben: out of all, and in B nevertheless is not enough.
        +0s status ben opted_out
        +0s status ben enrolled B
        # cat: for B alone. A is automatic.
        +0s status cat enrolled B
        close A 0 pool=1
        close B 0 pool=1
        =>
        paid A:0 cat 1
        paid B:0 ann 0.5
        paid B:0 cat 0.5
        seal A:0 status=2
        # ben and dan.
        seal B:0 status=2
        ",
    );
}

#[test]
fn the_latest_status_at_the_start_of_the_epoch_decides() {
    check(
        "
        list A
        +0s   deposit ann A 1
        +0s   deposit ben A 1
        +0s   deposit cat A 1
        # Of two at one time, the greater id decides.
        -1s   status ann opted_out id=b
        -1s   status ann enrolled id=a
        +0s   status ben opted_out
        +0.001s status ben enrolled
        # Only an exclusion counts inside the epoch, whatever follows it.
        +50s  status cat opted_out
        +150s status cat excluded
        +160s status cat enrolled
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=2
        =>
        paid A:0 cat 1
        paid A:1 ben 1
        paid A:2 ben 1
        paid A:2 cat 1
        seal A:0 status=2
        seal A:1 status=2
        seal A:2 status=1
        ",
    );
}

#[test]
fn an_exclusion_of_the_owner_covers_the_sub_accounts() {
    check(
        "
        list A
        +0s deposit u A 1
        +0s deposit u/a A 1
        +0s deposit v/a A 1
        +0s deposit w/a A 1
        +0s status u excluded
        # A sub-account's exclusion is its own, and only an exclusion is inherited.
        +0s status v/b excluded
        +0s status w opted_out
        close A 0 pool=2
        =>
        paid A:0 v/a 1
        paid A:0 w/a 1
        seal A:0 status=2
        ",
    );
}

#[test]
fn an_exclusion_of_one_asset_covers_the_sub_accounts_for_that_asset() {
    check(
        "
        list A
        list B
        +0s deposit u/a A 1
        +0s deposit u/a B 1
        +50s status u excluded B
        close A 0 pool=2
        close B 0 pool=2
        =>
        paid A:0 u/a 2
        seal A:0
        seal B:0 status=1 returned=2
        ",
    );
}

#[test]
fn a_late_status_changes_no_closed_epoch() {
    check(
        "
        list A
        +0s deposit ben A 1
        close A 0 pool=1
        run
        # ann is excluded from the start on, as known now. In epoch 0 she was not.
        +0s deposit ann A 1
        -1s status ann excluded
        close A 1 pool=1
        run
        +200s status ann enrolled
        close A 2 pool=1
        =>
        late deposits:0:1:0 ann A 1 0->1 resettle
        paid A:0 ben 1
        paid A:1 ben 1
        # Half of epoch 0 was made good in epoch 1, and withheld.
        paid A:2 ann 1 R=0.5 before=0.5
        paid A:2 ben 0.5
        seal A:0 status=0
        seal A:1 status=1 made=0.5 after=0.5
        seal A:2 status=0
        ",
    );
}

#[test]
fn nothing_is_made_good_for_an_epoch_from_which_the_account_was_excluded() {
    check(
        "
        list A
        +0s   deposit ben A 1
        +50s  status ann excluded
        +100s status ann enrolled
        close A 0 pool=1
        run
        +0s deposit ann A 1
        close A 1 pool=1
        =>
        late deposits:0:1:0 ann A 1 0->1 resettle
        paid A:0 ben 1
        paid A:1 ann 0.5 made=0
        paid A:1 ben 0.5
        seal A:0
        seal A:1 made=0
        ",
    );
}

#[test]
fn wrong_statuses_are_dead_letters() {
    check(
        "
        list A
        +0s deposit ann A 1
        +0s status ann frosted
        +0s status ann opted_out A:B
        +0s status ann opted_out with={\"asset\":null}
        # Of an asset that is not listed.
        +0s status ann opted_out Z
        close A 0 pool=1
        =>
        dead accounts:0:0 invalid_event
        dead accounts:0:1 invalid_event
        dead accounts:0:2 invalid_event
        paid A:0 ann 1
        seal A:0
        ",
    );
}
