//! Source events: fills of one customer, zero fees, rebates, a price of zero, copies.

use super::check;

#[test]
fn one_side_of_a_trade_may_be_missing() {
    check(
        "
        list A
        list USD
        +0s trade ann -   A/USD 4 @2 buyer_fee=A:1
        +0s trade -   ben A/USD 4 @2 seller_fee=USD:1
        +0s trade -   -   A/USD 4 @2
        # null is as if absent.
        +0s trade ann -   A/USD 1 @2 with={\"seller\":null}
        +0s trade ann ben A/USD 1 @2 with={\"buyer\":null,\"seller\":null}
        +0s withdraw ann A 0.5 with={\"fee\":null}
        +0s deposit ben A 10
        +0s deposit ann USD 20
        close A 0 pool=1
        close USD 0 pool=1.8
        =>
        dead trades:0:2 invalid_event
        dead trades:0:4 invalid_event
        # ann: 4 - 1 + 1 - 0.5 = 3.5. ben: 10 - 4 = 6.
        paid A:0 ann 0.36 seconds=350
        paid A:0 ben 0.63 seconds=600
        # ann: 20 - 8 - 2 = 10. ben: 8 - 1 = 7.
        paid USD:0 ann 1.05 seconds=1000
        paid USD:0 ben 0.74 seconds=700
        seal A:0
        seal USD:0
        ",
    );
}

#[test]
fn a_fee_may_be_zero_or_a_rebate() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s trade - ann A/USD 1 @2 seller_fee=A:0
        +0s trade - ann A/USD 1 @2 seller_fee=A:-0.25
        +0s trade - ann A/USD 1 @2 seller_fee=A:+0.25
        +0s withdraw ann A 1 fee=A:-0.00
        +0s withdraw ann A 1 fee=A:1e3
        +0s withdraw ann A 1 fee=A:0.001
        +0s withdraw ann A 1 fee=B:0.001
        close A 0 pool=1
        =>
        dead withdrawals:0:1 invalid_amount
        dead withdrawals:0:2 invalid_amount
        # 10 - 3 - 0.25 + 0.25 - 1 - 1.
        paid A:0 ann 1 seconds=500
        seal A:0
        # Three legs in USD, and the fee in B.
        counted ignored=4 copies=0
        ",
    );
}

#[test]
fn a_price_or_a_quote_quantity_may_be_zero() {
    check(
        "
        list A
        list USD
        +0s trade ann ben A/USD 4 @0
        +0s trade ann ben A/USD 4 @3 quote=0.00
        # With a quote quantity, the price counts for nothing.
        +0s trade ann ben A/USD 4 @0 quote=3
        +0s trade ann ben A/USD 4 @0.001
        +0s trade ann ben A/USD 4 @-1
        +0s trade ann ben A/USD 0 @1
        close A 0 pool=1
        close USD 0 pool=1
        =>
        # 0.004 is no whole number of units.
        dead trades:0:3 invalid_amount
        dead trades:0:4 invalid_amount
        dead trades:0:5 invalid_amount
        paid A:0 ann 1 seconds=1200
        paid USD:0 ben 1 seconds=300
        seal A:0 negative=1
        seal USD:0 negative=1
        ",
    );
}

#[test]
fn no_posting_without_amount_has_a_number() {
    check(
        "
        list A
        close A 0
        run
        +0s trade ann ben A/USD 4 @0 buyer_fee=A:0 seller_fee=A:1
        close A 1
        =>
        # The quote legs and the buyer's fee are no postings.
        late trades:0:0:0 ann A 4  0->1 resettle
        late trades:0:0:1 ben A -4 0->1 resettle
        late trades:0:0:2 ben A -1 0->1 resettle
        seal A:0
        seal A:1 closing=4
        ",
    );
}

#[test]
fn the_first_fault_gives_the_code() {
    check(
        "
        list A
        list B
        raw deposits:0 oops
        raw deposits:0 [1]
        raw deposits:0 {\"specversion\":\"0.3\"}
        +0s deposit ann A 1 id=x
        # A copy is judged before its own type, time and fields.
        +0s deposit ann A 1 id=x type=exchange.airdrop.v1
        +0s deposit ann A 1 type=exchange.airdrop.v1
        +0s deposit ann A 1 type=softstake.distribution.v1
        +0s deposit ann A 1 type=softstake.rules.v1
        # An unknown field of a source event is ignored.
        +0s deposit ann A 1 with={\"memo\":{\"a\":1}}
        # The postings are judged in turn: A is too far ahead, before B is inexact.
        +401d trade ann - A/B 1 @1 quote=0.001
        # An inexact amount of A comes before a date that is too far ahead.
        +401d deposit ann A 0.001
        # It is ignored before the anchor only if it is exact.
        -1s deposit ann A 0.001
        -1s deposit ann A 1
        # All postings of an event are applied, or none.
        +0s trade ann ben Z/A 1 @1 quote=0.001
        +0s deposit ann A 1 topic=control
        close A 0
        =>
        dead deposits:0:0 invalid_json
        dead deposits:0:1 invalid_event
        dead deposits:0:2 invalid_event
        dead deposits:0:4 conflicting_duplicate
        dead deposits:0:5 unsupported_type
        dead deposits:0:6 unsupported_type
        dead deposits:0:7 wrong_topic
        dead trades:0:0 too_far_ahead
        dead deposits:0:9 invalid_amount
        dead deposits:0:10 invalid_amount
        dead trades:0:1 invalid_amount
        dead control:0:2 wrong_topic
        seal A:0 closing=2
        counted ignored=1 copies=0
        ",
    );
}

#[test]
fn an_event_is_applied_at_most_once_in_its_partition() {
    check(
        "
        list A
        +0s deposit ann A 1 id=x
        +0s deposit ann A 1 id=x
        # In another partition it is another event.
        +0s deposit ann A 1 id=x p=1
        # An event of which nothing was applied is not kept: rejected, or of an asset that is not listed.
        +0s deposit ann A 0.001 id=y
        +0s deposit ann A 1     id=y
        +0s deposit ann Z 1     id=z
        +0s deposit ann A 1     id=z
        # A status is kept for good.
        +0s status ann enrolled  id=s
        +0s status ann enrolled  id=s
        +0s status ann opted_out id=s
        close A 0 pool=1 id=c
        close A 0 pool=1 id=c
        close A 0 pool=2 id=c
        close A 2 id=d
        close A 1 id=d
        =>
        dead deposits:0:2 invalid_amount
        dead accounts:0:2 conflicting_duplicate
        dead control:0:3 conflicting_duplicate
        dead control:0:4 epoch_out_of_order
        paid A:0 ann 1 seconds=400
        seal A:0
        seal A:1
        counted ignored=1 copies=3
        ",
    );
}
