//! What a programme with a yearly rate (apr) pays.

use super::check;

#[test]
fn a_rate_is_paid_for_the_length_of_the_epoch() {
    check(
        "
        list A apr=0.365 decimals=6 epoch=86400s
        +0s     deposit ann A 1000
        +43200s deposit ben A 500
        # A thousandth of this earns 0.000000999 a day.
        +0s     deposit cat A 0.000999
        close A 0 pool=5
        =>
        # 36.5 per cent a year is a thousandth a day.
        paid A:0 ann 1
        paid A:0 ben 0.25 average=250
        seal A:0 mode=apr pool=5 commission=0 rewarded=1.25 distributed=1.25 carried_in=0 carried_out=0 closing=1500.000999
        ",
    );
}

#[test]
fn a_rate_of_zero_pays_nothing() {
    check(
        "
        list A apr=0
        +0s deposit ann A 1000
        close A 0
        =>
        seal A:0 mode=apr pool=0 rewarded=0 n=0 seconds=100000
        ",
    );
}

#[test]
fn a_rate_applies_to_the_weight_and_rounds_down_to_payout_decimals() {
    check(
        "
        # A year has 315,360 epochs of 100 seconds, so the rate is a thousandth an epoch.
        list A apr=315.36 tiers=100:1,-:2 max_balance=300 payout_decimals=1
        +0s deposit ann A 100
        +0s deposit ben A 200
        +0s deposit cat A 1000
        +0s deposit dan A 99
        close A 0
        =>
        # 100, 300, 500 and 99 are the weights; 0.09 is less than the smallest payout.
        paid A:0 ann 0.1
        paid A:0 ben 0.3
        paid A:0 cat 0.5
        seal A:0 R=0.99 paid=0.9 after=0.09
        ",
    );
}

#[test]
fn dust_of_a_pool_waits_while_a_rate_is_paid() {
    check(
        "
        list A
        change A apr=315.36 from=1
        change A from=2
        +0s  deposit ann A 100
        +0s  deposit ben A 100
        +50s reward A 0.03
        # A pool and a reward of an epoch with a rate are reported, but not carried over.
        +150s reward A 4
        close A 0
        close A 1 pool=5
        close A 2 pool=0.01
        =>
        paid A:0 ann 0.01
        paid A:0 ben 0.01
        paid A:1 ann 0.1
        paid A:1 ben 0.1
        paid A:2 ann 0.01
        paid A:2 ben 0.01
        seal A:0 mode=pool pool=0.03 carried_out=0.01
        seal A:1 mode=apr  pool=9    carried_in=0.01 carried_out=0.01 rewarded=0.2 from=1
        seal A:2 mode=pool pool=0.01 carried_in=0.01 carried_out=0 from=2
        ",
    );
}
