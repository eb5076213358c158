//! Which balance each kind of event makes, and what it earns.

use super::check;

#[test]
fn a_balance_earns_from_its_posting_on() {
    check(
        "
        list A
        +0s  deposit ann A 10
        +50s deposit ben A 10
        +75s withdraw ann A 4
        close A 0 pool=14
        =>
        # ann: 10 * 100 - 4 * 25. ben: 10 * 50.
        paid A:0 ann 9 seconds=900 average=9 from=0
        paid A:0 ben 5 seconds=500 average=5
        seal A:0 mode=pool pool=14 commission=0 carried_in=0 carried_out=0 rewarded=14 distributed=14 n=2 seconds=1400 closing=16
        ",
    );
}

#[test]
fn a_sub_account_has_a_balance_of_its_own() {
    check(
        "
        list A
        +0s  deposit ann A 1
        +0s  deposit ann/grid A 2
        +0s  deposit ann/ A 3
        +0s  deposit /ann A 4
        +50s transfer ann/grid ann A 1
        close A 0 pool=10
        =>
        paid A:0 ann 1.5 seconds=150
        paid A:0 ann/grid 1.5 seconds=150
        paid A:0 ann/ 3 seconds=300
        paid A:0 /ann 4 seconds=400
        seal A:0
        ",
    );
}

#[test]
fn assets_are_told_apart_by_their_bytes() {
    check(
        "
        list USDe
        list USDE
        list DOT.S
        list DOT
        list 币安人生
        +0s  deposit ann USDe 1
        +0s  deposit ann USDE 2
        +0s  deposit ann DOT.S 3
        +0s  deposit ann DOT 4
        +0s  deposit ann 币安人生 5
        +50s trade ann - 币安人生/USDe 1 @0.5
        close USDe 0 pool=1
        close USDE 0 pool=1
        close DOT.S 0 pool=1
        close DOT 0 pool=1
        close 币安人生 0 pool=1
        =>
        paid USDe:0 ann 1 seconds=75
        paid USDE:0 ann 1 seconds=200
        paid DOT.S:0 ann 1 seconds=300
        paid DOT:0 ann 1 seconds=400
        paid 币安人生:0 ann 1 seconds=550
        seal USDe:0
        seal USDE:0
        seal DOT.S:0
        seal DOT:0
        seal 币安人生:0
        ",
    );
}

#[test]
fn a_balance_keeps_earning_in_later_epochs() {
    check(
        "
        list A
        +0s   deposit ann A 10
        +150s deposit ben A 10
        close A 0 pool=1
        close A 1 pool=1.5
        close A 2 pool=2
        =>
        paid A:0 ann 1   seconds=1000
        paid A:1 ann 1   seconds=1000
        paid A:1 ben 0.5 seconds=500
        paid A:2 ann 1   seconds=1000
        paid A:2 ben 1   seconds=1000
        seal A:0 closing=10
        seal A:1 closing=20
        seal A:2 closing=20
        ",
    );
}

#[test]
fn a_posting_on_the_boundary_belongs_to_the_later_epoch() {
    check(
        "
        list A
        +0s      deposit ann A 10
        +99.999s deposit ann A 10
        +100s    deposit ann A 10
        close A 0 pool=1
        close A 1 pool=1
        =>
        # 10 for one millisecond are 0.01 asset-seconds. The average of 10.0001 is truncated to two decimals.
        paid A:0 ann 1 seconds=1000.01 average=10
        paid A:1 ann 1 seconds=3000    average=30
        seal A:0 closing=20
        seal A:1 closing=30
        ",
    );
}

#[test]
fn an_average_is_truncated_to_the_decimals_of_the_asset() {
    check(
        "
        list A
        +0.001s deposit ann A 1
        close A 0 pool=1
        =>
        # 99.999 / 100 = 0.99999
        paid A:0 ann 1 seconds=99.999 average=0.99
        seal A:0
        ",
    );
}

#[test]
fn postings_before_the_anchor_are_ignored() {
    check(
        "
        list A
        -0.001s deposit ann A 10
        +0s     deposit ben A 10
        close A 0 pool=2
        =>
        paid A:0 ben 2 seconds=1000
        seal A:0 closing=10
        ",
    );
}

#[test]
fn an_opening_balance_counts_from_the_anchor_at_any_time() {
    check(
        "
        list A
        -500s  opening ann A 10
        +50s   opening ben A 10
        +5000s opening cat A 10
        close A 0 pool=3
        =>
        paid A:0 ann 1 seconds=1000
        paid A:0 ben 1 seconds=1000
        paid A:0 cat 1 seconds=1000
        seal A:0 closing=30
        ",
    );
}

#[test]
fn a_late_opening_balance_counts_from_the_anchor_as_well() {
    check(
        "
        list A late=carry
        close A 0
        run
        +150s opening ann A 10
        close A 1 pool=1
        =>
        # 10 from the anchor to the end of epoch 1.
        late deposits:0:0:0 ann A 10 0->1 carry time=2026-11-01T00:00:00.000Z
        paid A:1 ann 1 seconds=2000 average=20
        seal A:0
        seal A:1 closing=10
        ",
    );
}

#[test]
fn a_trade_moves_two_assets_and_its_fees_a_third() {
    check(
        "
        list A
        list B
        list C
        +0s deposit buy  B 100
        +0s deposit buy  C 1
        +0s deposit sell A 10
        +0s deposit sell C 1
        +50s trade buy sell A/B 4 @2.5 buyer_fee=C:0.5 seller_fee=B:1
        close A 0 pool=1
        close B 0 pool=99.5
        close C 0 pool=1.75
        =>
        # A: 4 * 50, and 10 * 100 - 4 * 50.
        paid A:0 buy  0.2  seconds=200
        paid A:0 sell 0.8  seconds=800
        # B: 100 * 100 - 10 * 50, and (10 - 1) * 50.
        paid B:0 buy  95   seconds=9500
        paid B:0 sell 4.5  seconds=450
        # C: 1 * 100 - 0.5 * 50, and 1 * 100.
        paid C:0 buy  0.75 seconds=75
        paid C:0 sell 1    seconds=100
        seal A:0 closing=10
        seal B:0 closing=99
        seal C:0 closing=1.5
        ",
    );
}

#[test]
fn a_given_quote_quantity_replaces_price_times_quantity() {
    check(
        "
        list A
        list B
        +0s deposit buy B 1
        # 0.33 * 0.01 is no exact number of cents: nothing of the trade is applied.
        +0s trade buy sell A/B 0.33 @0.01
        +0s trade buy sell A/B 0.33 @0.01 quote=0.25
        # In an asset that is not listed the product need not be exact.
        +0s trade buy sell A/USD 0.33 @0.01
        close A 0 pool=1
        close B 0 pool=1
        =>
        dead trades:0:0 invalid_amount
        paid A:0 buy 1 seconds=66
        paid B:0 buy  0.75 seconds=75
        paid B:0 sell 0.25 seconds=25
        seal A:0 negative=1
        seal B:0 carried_out=0
        ",
    );
}

#[test]
fn a_trade_with_one_customer_moves_that_customers_balances() {
    check(
        "
        list A
        list B
        +0s deposit ann A 10
        +0s deposit ben B 10
        # The house buys from ann, and sells to ben. A side may be null as well.
        +50s trade -   ann  A/B 4 @2 seller_fee=B:1
        +50s trade ben - A/B 2 @2 with={\"seller\":null,\"buyer\":{\"account\":\"ben\",\"fee\":null}}
        # Nobody is a customer.
        +50s trade -   -    A/B 1 @1 with={\"seller\":null}
        close A 0 pool=9
        close B 0 pool=11.5
        =>
        dead trades:0:2 invalid_event
        # 10 * 100 - 4 * 50, and 2 * 50.
        paid A:0 ann 8   seconds=800
        paid A:0 ben 1   seconds=100
        # (8 - 1) * 50, and 10 * 100 - 4 * 50.
        paid B:0 ann 3.5 seconds=350
        paid B:0 ben 8   seconds=800
        seal A:0 closing=8
        seal B:0 closing=13
        ",
    );
}

#[test]
fn a_rebate_is_a_credit_and_a_fee_of_zero_nothing() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        +50s withdraw ann A 1 fee=A:-3
        +50s withdraw ann A 1 fee=A:0.00
        +50s withdraw ann A 1 fee=A:-0
        +50s withdraw ann A 1 fee=A:+2
        +50s withdraw ann A 1 with={\"fee\":null}
        +50s trade ann ben A/USD 2 @1 buyer_fee=A:-0.5 seller_fee=A:0
        close A 0 pool=18.25
        =>
        # ann: 10 * 100 + (-5 + 3 - 2 + 2 + 0.5) * 50. ben: 10 * 100 - 2 * 50.
        paid A:0 ann 9.25 seconds=925
        paid A:0 ben 9    seconds=900
        seal A:0 closing=16.5
        ",
    );
}

#[test]
fn a_price_or_quote_quantity_of_zero_moves_no_quote() {
    check(
        "
        list A
        list B
        +0s deposit sell A 10
        +0s deposit buy  B 10
        +0s trade buy sell A/B 1 @0
        +0s trade buy sell A/B 1 @0.000
        +0s trade buy sell A/B 1 @5 quote=0
        +0s trade buy sell A/B 1 @0 quote=2
        close A 0 pool=1
        close B 0 pool=1
        =>
        paid A:0 buy  0.4 seconds=400
        paid A:0 sell 0.6 seconds=600
        paid B:0 buy  0.8 seconds=800
        paid B:0 sell 0.2 seconds=200
        seal A:0
        seal B:0
        ",
    );
}

#[test]
fn a_withdrawal_fee_is_added_to_the_amount() {
    check(
        "
        list A
        list B
        +0s deposit ann A 10
        +0s deposit ann B 10
        +0s withdraw ann A 2 fee=A:1
        +0s withdraw ann A 2 fee=B:1
        +0s withdraw ann A 2 fee=USD:1
        close A 0 pool=1
        close B 0 pool=1
        =>
        paid A:0 ann 1 seconds=300
        paid B:0 ann 1 seconds=900
        seal A:0 closing=3
        seal B:0 closing=9
        ",
    );
}

#[test]
fn a_transfer_to_the_same_account_changes_nothing() {
    check(
        "
        list A
        +0s  deposit ann A 10
        +25s transfer ann ben A 4
        +50s transfer ann ann A 6
        +60s trade ann ann A/USD 1000 @1
        close A 0 pool=10
        =>
        paid A:0 ann 7 seconds=700
        paid A:0 ben 3 seconds=300
        seal A:0 closing=10
        ",
    );
}

#[test]
fn an_adjustment_raises_or_lowers_a_balance() {
    check(
        "
        list A
        +0s  deposit ann A 10
        +50s adjust ann A -5
        +75s adjust ann A +5
        +75s adjust ann A 1
        close A 0 pool=1
        =>
        # 10 * 100 - 5 * 50 + 6 * 25
        paid A:0 ann 1 seconds=900
        seal A:0 closing=11
        ",
    );
}

#[test]
fn an_event_is_applied_whole_or_not_at_all() {
    check(
        "
        list A
        list B decimals=0
        list C epoch=60s
        +0s deposit ann A 10
        # B has no decimals, so the fee is invalid, and the withdrawal of A is not applied either.
        +0s withdraw ann A 10 fee=B:0.5
        # 400 days are 576000 epochs of C and 345600 of A. This is epoch 576001 of C, and epoch 345600 of A.
        +34560060s trade ann ben A/C 1 @1
        # A fee in an asset before its anchor is ignored and does not reject the event.
        list D anchor=+1000s
        +0s withdraw ann A 1 fee=D:1
        close A 0 pool=1
        =>
        dead withdrawals:0:0 invalid_amount
        dead trades:0:0 too_far_ahead
        paid A:0 ann 1 seconds=900
        seal A:0 closing=9
        ",
    );
}

#[test]
fn the_largest_amounts_do_not_overflow() {
    // 10^30 units, held for the longest epoch, at the largest multiplier, with the largest pool.
    check(
        "
        list A decimals=0 epoch=2678400s tiers=-:100 commission=0.000000000000000001
        +0s deposit ann A 1000000000000000000000000000000
        +0s deposit ben A 1000000000000000000000000000000
        +0s deposit cat A 1000000000000000000000000000000
        close A 0 pool=1000000000000000000000000000000
        =>
        # The commission is 10^12, and 10^30 - 10^12 can be divided by three.
        paid A:0 ann 333333333333333333000000000000
        paid A:0 ben 333333333333333333000000000000
        paid A:0 cat 333333333333333333000000000000
        seal A:0 commission=1000000000000 carried_out=0 closing=3000000000000000000000000000000 seconds=8035200000000000000000000000000000000
        ",
    );
    // And at the largest rate: 10^30 * 100 * 1000 * 31 / 365.
    check(
        "
        list A apr=1000 decimals=18 epoch=2678400s tiers=-:100
        +0s deposit ann A 1000000000000
        close A 0
        =>
        paid A:0 ann 8493150684931506.849315068493150684
        seal A:0 mode=apr
        ",
    );
}
