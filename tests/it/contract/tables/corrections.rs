//! Corrections: of pools, and of accounts' rewards.

use super::check;

#[test]
fn a_wrong_pool_is_corrected_in_the_next_epoch() {
    check(
        "
        list A
        +0s deposit ann A 1
        close A 0 pool=1000
        # 10 was meant. Epoch 0 is closed, so the adjustment goes into epoch 1, whose pool is 1,500.
        +50s pool A -990
        close A 1 pool=1500
        =>
        paid A:0 ann 1000
        paid A:1 ann 510
        seal A:0
        seal A:1 pool=510
        ",
    );
}

#[test]
fn a_reward_adjustment_goes_into_the_due() {
    check(
        "
        list A
        +0s  deposit  ann A 1
        # Goodwill for somebody who holds nothing.
        +50s goodwill fay A 0.25
        # A clawback.
        +50s goodwill ann A -0.4
        close A 0 pool=1
        =>
        paid A:0 ann 0.6  R=1 adjusted=-0.4 seconds=100
        paid A:0 fay 0.25 R=0 adjusted=0.25 seconds=0 average=0
        seal A:0 R=1 adjusted=-0.15 paid=0.85 after=0
        ",
    );
}

#[test]
fn a_debt_is_made_up_before_anything_is_paid() {
    check(
        "
        list A
        +0s deposit ann A 1
        +0s deposit ben A 1
        +50s goodwill ann A -2.5
        close A 0 pool=2
        close A 1 pool=2
        close A 2 pool=2
        =>
        # ann: 1 - 2.5 = -1.5, then -0.5, then 0.5.
        paid A:0 ben 1
        paid A:1 ben 1
        paid A:2 ann 0.5 R=1 before=-0.5
        paid A:2 ben 1
        seal A:0 adjusted=-2.5 paid=1   before=0    after=-1.5
        seal A:1 adjusted=0    paid=1   before=-1.5 after=-0.5
        seal A:2 adjusted=0    paid=1.5 before=-0.5 after=0
        ",
    );
}

#[test]
fn debts_count_negative_in_the_sums_of_what_is_withheld() {
    check(
        "
        list A min_payout=5
        +0s deposit ann A 1
        +50s goodwill ben A -3
        close A 0 pool=2
        =>
        seal A:0 after=-1 n=0
        ",
    );
}

#[test]
fn a_late_reward_adjustment_counts_in_the_open_epoch() {
    check(
        "
        list A
        -50s goodwill ann A 1
        close A 0
        run
        +50s goodwill ann A 0.2
        close A 1
        =>
        # The first one is before the anchor.
        late transfers:0:1:0 ann A 0.2 0->1 carry time=2026-11-01T00:00:50.000Z
        paid A:1 ann 0.2 adjusted=0.2 made=0
        seal A:0 n=0
        seal A:1
        counted ignored=1 copies=0
        ",
    );
}

#[test]
fn wrong_adjustments_are_dead_letters() {
    check(
        "
        list A
        +0s goodwill ann A 0
        +0s goodwill ann A 0.001
        +0s goodwill ann A +1
        +0s goodwill ann A 1 with={\"reason\":7}
        +0s pool A 0
        +0s pool A 0.001
        +0s pool A +1
        +0s pool B 1
        +0s reward A -1
        +0s reward A 1 with={\"validators\":3}
        close A 0
        =>
        dead transfers:0:0 invalid_amount
        dead transfers:0:1 invalid_amount
        dead transfers:0:3 invalid_event
        dead control:0:1 invalid_amount
        dead control:0:2 invalid_amount
        dead control:0:4 unknown_asset
        dead control:0:5 invalid_amount
        dead control:0:6 invalid_event reason=validator
        paid A:0 ann 1
        seal A:0 pool=1 returned=1
        ",
    );
}
