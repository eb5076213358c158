//! Assets that are withdrawn, and listed again.

use super::check;

#[test]
fn a_mistyped_listing_is_withdrawn_before_its_first_epoch() {
    check(
        "
        # 8 decimals were meant.
        list A decimals=2
        +10s reward A 1
        +20s reward A 2.5
        delist A 0
        delist A 0
        +10s reward A 1
        close A 0
        list A decimals=8
        +0s opening ann A 0.00000001
        close A 0 pool=1
        =>
        withdrawn A:0 dropped=3.5
        dead control:0:4 unknown_asset
        dead control:0:5 unknown_asset
        dead control:0:6 unknown_asset
        paid A:0 ann 1
        seal A:0
        ",
    );
}

#[test]
fn postings_that_the_old_listing_applied_are_not_lost_in_silence() {
    check(
        "
        list A decimals=2
        +0s  deposit ann A 1
        +60s deposit ann A 2
        run
        delist A 0
        list A decimals=8
        list A decimals=8 anchor=+60s
        list A decimals=8 anchor=+61s
        +0s  opening ann A 3
        +0s  deposit ann A 9
        close A 0 pool=1
        =>
        withdrawn A:0
        dead control:0:2 listing_too_late
        dead control:0:3 listing_too_late
        # The deposit of 9 is before the new anchor.
        paid A:0 ann 1 seconds=300
        seal A:0
        counted ignored=1 copies=0
        ",
    );
}

#[test]
fn in_the_last_epoch_every_whole_grain_is_paid_and_the_rest_ends() {
    check(
        "
        list A payout_decimals=0 min_payout=5
        list B payout_decimals=0 min_payout=5
        +0s deposit ann A 1
        +0s deposit ben A 2
        +0s goodwill cat A -1
        +0s deposit ann B 1
        delist A 1
        close A 0 pool=4.6
        # This one comes too late to change the last epoch.
        close B 0 pool=4.6
        delist B 1
        =>
        # 1.53 and 3.06. The floors leave 0.01.
        withdrawn A:1
        withdrawn B:1
        paid A:0 ann 1
        paid A:0 ben 3
        seal A:0 out=0.01 after=-0.41
        seal B:0 after=4.6
        ",
    );
}

#[test]
fn there_is_nothing_from_the_withdrawn_epoch_on() {
    check(
        "
        list A
        change A commission=1 from=1
        +0s deposit ann A 1
        +150s reward A 4
        +250s reward A 5
        close A 0 pool=1
        delist A 0
        delist A 2 with={\"epoc\":2}
        delist B 2
        delist A 2
        # Epoch 1 is the last one. What is dated in epoch 0 goes into it.
        change A commission=0.5 from=2
        change A commission=0.5 from=1
        +50s reward A 1
        +150s pool A 1
        +250s reward A 1
        close A 2
        close A 1
        close A 2
        =>
        dead control:0:5 epoch_already_closed
        dead control:0:6 invalid_event
        dead control:0:7 unknown_asset
        withdrawn A:2 dropped=5
        dead control:0:9 invalid_programme
        dead control:0:10 invalid_programme
        dead control:0:13 unknown_asset
        dead control:0:14 unknown_asset
        dead control:0:16 unknown_asset
        paid A:0 ann 1
        seal A:0
        # 4 + 1 + 1, all commission.
        seal A:1 pool=6 commission=6
        ",
    );
}

#[test]
fn a_withdrawal_is_in_force_from_an_offset() {
    check(
        "
        list A
        +0s   deposit ann A 1
        +100s deposit ann A 2
        run
        delist A 1
        # From here on, a posting dated in epoch 1 is one of an asset that is not listed, however inexact.
        +100s deposit ann A 0.001
        +99s  deposit ann A 0.001
        +50s  deposit ann A 2
        close A 0 pool=1
        run
        # No epoch is open any more.
        +50s  deposit ann A 0.001
        close A 1
        =>
        withdrawn A:1
        dead deposits:0:3 invalid_amount
        dead control:0:3 unknown_asset
        # 1 * 100, and 2 * 50. The deposit of epoch 1 counts for no epoch.
        paid A:0 ann 1 seconds=200
        seal A:0 closing=3
        counted ignored=2 copies=0
        ",
    );
}

#[test]
fn a_late_posting_before_the_withdrawal_counts_for_no_epoch() {
    check(
        "
        list A
        close A 0
        run
        +50s deposit ann A 2
        run
        delist A 1
        =>
        late deposits:0:0:0 ann A 2 0->1 resettle
        withdrawn A:1
        seal A:0
        ",
    );
}

#[test]
fn an_asset_is_listed_again_after_its_last_epoch() {
    check(
        "
        list A decimals=2 min_payout=9
        +0s deposit ann A 1
        delist A 2
        # Not all epochs are closed yet.
        list A first=2 anchor=+200s
        close A 0 pool=5
        close A 1 pool=5
        list A first=1 anchor=+200s
        list A first=2 anchor=+199s
        list A first=2 anchor=+200s from=3
        # Three decimals, longer epochs, later, and with a gap in the numbers.
        list A first=7 anchor=+300s epoch=200s decimals=3
        run
        # The old listing's, and it has no open epoch. The other one is the new listing's.
        +199s opening ben A 5
        +200s opening ben A 1.001
        +250s deposit ben A 1
        +299s close A 2
        +600s close A 6
        # Before the anchor, so it goes into epoch 7.
        +50s reward A 0.5
        close A 7 pool=0.501
        =>
        withdrawn A:2
        dead control:0:2 invalid_programme
        dead control:0:5 invalid_programme
        dead control:0:6 invalid_programme
        dead control:0:7 invalid_programme
        dead control:0:9 unknown_asset
        dead control:0:10 unknown_asset
        # All that is due is paid in the last epoch, whatever the minimum.
        paid A:1 ann 10 R=5 before=5
        # 1.001 for 200 seconds. Nothing is left of the old listing.
        paid A:7 ben 1.001 R=1.001 seconds=200.2 before=0
        seal A:0 after=5
        seal A:1 after=0
        seal A:7 in=0 before=0 closing=1.001
        counted ignored=2 copies=0
        ",
    );
}

#[test]
fn a_void_epoch_of_a_withdrawn_listing_may_be_closed_again() {
    check(
        "
        list A gate=always
        +0s deposit ann A 1
        delist A 1
        close A 0 pool=100
        void A 0
        list A first=1 anchor=+100s
        run
        +100s deposit ann A 1
        +50s  reward A 2
        close A 0 pool=1
        release A 0
        close A 1 pool=7
        =>
        withdrawn A:1
        held A:0 always total=100
        void A:0
        held A:0 always total=3
        released A:0
        paid A:0 ann 3
        paid A:1 ann 7 before=0
        seal A:0 pool=3
        seal A:1 pool=7
        ",
    );
}
