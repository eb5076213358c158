//! How the pool of an epoch is shared and withheld.

use super::check;

#[test]
fn min_balance_applies_to_the_average_balance() {
    check(
        "
        list A min_balance=10
        +0s     deposit ann A 10
        +0.001s deposit ben A 10
        +50s    deposit cat A 20
        close A 0 pool=2
        =>
        paid A:0 ann 1
        paid A:0 cat 1
        seal A:0 below=1 seconds=2000 closing=30
        ",
    );
}

#[test]
fn max_balance_and_tiers_make_the_weight() {
    check(
        "
        list A max_balance=300 tiers=100:1,-:1.5
        +0s deposit ann A 100
        +0s deposit ben A 300
        +0s deposit cat A 900
        close A 0 pool=90.01
        =>
        # Of 300, 100 are in the first tier and 200 in the second: 100 + 200 * 1.5 = 400. 900 counts as 300.
        paid A:0 ann 10 seconds=10000
        paid A:0 ben 40 seconds=30000
        paid A:0 cat 40 seconds=90000 average=900
        seal A:0 carried_out=0.01 rewarded=90 seconds=70000 closing=1300
        ",
    );
}

#[test]
fn tiers_apply_to_the_average_balance() {
    check(
        "
        list A tiers=100:1,200:2,-:0
        # On average 100, 150 and 300.
        +50s deposit ann A 200
        +0s  deposit ben A 150
        +0s  deposit cat A 300
        close A 0 pool=6
        =>
        # 100, 100 + 2 * 50 and 100 + 2 * 100.
        paid A:0 ann 1
        paid A:0 ben 2
        paid A:0 cat 3
        seal A:0 seconds=55000
        ",
    );
}

#[test]
fn the_commission_is_rounded_down_and_takes_nothing_of_the_dust() {
    check(
        "
        list A commission=0.1
        change A commission=1 from=2
        change A commission=0.000000000000000001 from=3
        +0s deposit ann A 1
        +0s deposit ben A 1
        close A 0 pool=0.19
        close A 1 pool=0.19
        close A 2 pool=5
        close A 3 pool=0.01
        =>
        # floor(0.019) = 0.01, so 0.18 are shared.
        paid A:0 ann 0.09
        paid A:0 ben 0.09
        paid A:1 ann 0.09
        paid A:1 ben 0.09
        seal A:0 commission=0.01 rewarded=0.18
        seal A:1 commission=0.01 rewarded=0.18
        seal A:2 commission=5 rewarded=0 carried_out=0 from=2
        # One cent for two accounts.
        seal A:3 commission=0 rewarded=0 carried_out=0.01 from=3
        ",
    );
}

#[test]
fn payouts_below_min_payout_are_withheld_until_they_reach_it() {
    check(
        "
        list A min_payout=1
        +0s deposit ann A 3
        +0s deposit ben A 1
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        close A 3 pool=1
        =>
        # ann earns 0.75 an epoch, ben 0.25: exactly the minimum is paid.
        paid A:1 ann 1.5
        paid A:3 ann 1.5
        paid A:3 ben 1
        seal A:0 rewarded=1 distributed=0   n=0 withheld_before=0   withheld_after=1
        seal A:1 rewarded=1 distributed=1.5 n=1 withheld_before=1   withheld_after=0.5
        seal A:2 rewarded=1 distributed=0   n=0 withheld_before=0.5 withheld_after=1.5
        seal A:3 rewarded=1 distributed=2.5 n=2 withheld_before=1.5 withheld_after=0
        ",
    );
}

#[test]
fn withheld_rewards_are_paid_when_min_payout_falls_to_accounts_that_left_and_not_to_excluded_ones() {
    check(
        "
        list A min_payout=1
        change A min_payout=0.1 from=2
        +0s   deposit ann A 1
        +100s withdraw ann A 1
        +0s   deposit ben A 1
        +0s   status ben enrolled
        +100s status ben excluded
        close A 0 pool=1
        close A 1 pool=1
        close A 2 pool=1
        =>
        paid A:2 ann 0.5 seconds=0   average=0 from=2
        seal A:0 after=1
        seal A:1 before=1 after=1 returned=1 status=1 from=0
        seal A:2 before=1 after=0.5 returned=1 R=0 paid=0.5 from=2
        ",
    );
}

#[test]
fn withheld_rewards_are_paid_to_a_negative_balance() {
    check(
        "
        list A min_payout=1
        +0s   deposit ann A 1
        +0s   deposit ben A 1
        +100s withdraw ann A 2.005
        +100s withdraw ann A 2
        change A from=1
        close A 0 pool=1
        close A 1 pool=1
        =>
        dead withdrawals:0:0 invalid_amount
        paid A:1 ann 0.5 seconds=-100 average=-1
        paid A:1 ben 1.5
        seal A:0
        seal A:1 negative=1 closing=1
        ",
    );
}
