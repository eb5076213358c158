//! The calendar of an asset: closes, rewards of validators, and how far ahead events may be.

use super::check;

#[test]
fn an_epoch_is_sealed_without_any_source_partition() {
    check(
        "
        list A
        list B apr=1
        close A 0 pool=5
        close B 0
        =>
        seal A:0 returned=5 cut={}
        seal B:0 returned=0 cut={}
        ",
    );
}

#[test]
fn a_validator_reward_goes_into_the_epoch_of_its_time_or_the_oldest_open_one() {
    check(
        "
        list A
        +0s    deposit ann A 1
        -1000s reward A 1
        +50s   reward A 2
        +250s  reward A 4
        close A 0
        +50s   reward A 8
        +150s  reward A 16
        close A 1 pool=0.5
        close A 2
        # Of an epoch in the far future.
        +9999900s reward A 32
        close A 3
        =>
        paid A:0 ann 3
        paid A:1 ann 24.5
        paid A:2 ann 4
        seal A:0 pool=3
        seal A:1 pool=24.5
        seal A:2 pool=4
        seal A:3 pool=0
        ",
    );
}

#[test]
fn a_posting_may_be_four_hundred_days_ahead_and_no_more() {
    check(
        "
        list A epoch=86400s
        +34560000s     deposit ann A 1
        +34646399.999s deposit ann A 1
        +34646400s     deposit ann A 1 id=x
        close A 0
        run
        +34646400s     deposit ann A 1 id=x
        +34732800s     deposit ann A 1
        =>
        dead deposits:0:2 too_far_ahead
        dead deposits:0:4 too_far_ahead
        seal A:0
        ",
    );
    // 9,600 epochs of an hour, and 13 of 31 days.
    check(
        "
        list H epoch=3600s
        list M epoch=2678400s
        +34563599.999s deposit ann H 1
        +34563600s     deposit ann H 1
        +37497599.999s deposit ann M 1
        +37497600s     deposit ann M 1
        =>
        dead deposits:0:1 too_far_ahead
        dead deposits:0:3 too_far_ahead
        ",
    );
}

#[test]
fn a_reward_may_be_four_hundred_days_ahead_and_no_more() {
    check(
        "
        list A epoch=86400s
        +34646399.999s reward A 1
        +34646400s     reward A 1 id=x
        close A 0
        # The close moves the window.
        +34646400s     reward A 1 id=x
        =>
        dead control:0:2 too_far_ahead
        seal A:0 pool=0
        ",
    );
}

#[test]
fn closes_are_accepted_in_order_and_not_before_the_end_of_the_epoch() {
    check(
        "
        list A
        close B 0
        close A 1
        +99.999s close A 0
        +100s close A 0 pool=0.001
        +100s close A 0 pool=1
        +100s close A 0 pool=1
        # The order of closes is checked before the end of the epoch.
        +0s close A 0
        +0s close A 2
        =>
        dead control:0:1 unknown_asset
        dead control:0:2 epoch_out_of_order
        dead control:0:3 epoch_not_over
        dead control:0:4 invalid_amount
        dead control:0:6 epoch_already_closed
        dead control:0:7 epoch_already_closed
        dead control:0:8 epoch_out_of_order
        seal A:0 returned=1
        ",
    );
}

#[test]
fn each_asset_has_its_own_calendar() {
    check(
        "
        list A
        list B epoch=60s anchor=+30s decimals=0
        +0s  deposit ann A 1
        +30s deposit ann B 1
        +90s deposit ben B 1
        close A 0 pool=1
        close B 0 pool=1
        close B 1 pool=2
        =>
        paid A:0 ann 1 seconds=100
        paid B:0 ann 1 seconds=60
        paid B:1 ann 1 seconds=60
        paid B:1 ben 1 seconds=60
        seal A:0
        seal B:0 closing=1
        seal B:1 closing=2
        ",
    );
}
