//! Late postings that count with their true time.

use super::check;

#[test]
fn a_late_posting_is_applied_into_the_oldest_open_epoch() {
    check(
        "
        list A late=carry
        +0s deposit ben A 10
        close A 0
        close A 1
        run
        +50s  trade ann ben A/USD 4 @1 seller_fee=A:1
        +150s deposit ann A 1
        close A 2 pool=1
        =>
        # The numbers of a trade's postings include ignored ones, such as the two in USD. There is no buyer's fee.
        late trades:0:0:0 ann A 4 0->2 carry
        late trades:0:0:2 ben A -4 0->2 carry
        late trades:0:0:4 ben A -1 0->2 carry
        late deposits:0:1:0 ann A 1 1->2 carry
        # ann: 4 * 250 + 1 * 150. ben: 10 * 100 - 5 * 250, which is negative.
        paid A:2 ann 1 seconds=1150
        seal A:0
        seal A:1
        seal A:2 negative=1 closing=5
        ",
    );
}

#[test]
fn a_late_withdrawal_lowers_the_next_payout() {
    check(
        "
        list A late=carry
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=2
        run
        +0s withdraw ann A 4
        close A 1 pool=1.2
        =>
        # ann: 10 * 100 - 4 * 200.
        late withdrawals:0:0:0 ann A -4 0->1 carry
        paid A:0 ann 1
        paid A:0 ben 1
        paid A:1 ann 0.2 seconds=200 average=2
        paid A:1 ben 1
        seal A:0
        seal A:1 closing=16
        ",
    );
}

#[test]
fn what_is_no_posting_has_no_number() {
    check(
        "
        list A late=carry
        close A 0
        run
        # Of ann alone: -1 X (0, ignored), no quote, and a rebate (1). The second trade has a quote: (1), and the rebate (2).
        +50s trade -   ann X/A 1 @0 seller_fee=A:-1
        +50s trade -   ann X/A 1 @2 seller_fee=A:-1
        # A fee of zero has no number: 0, 1, 2, 3, and the seller's rebate (4).
        +50s trade ben ann X/A 1 @1 buyer_fee=A:0 seller_fee=A:-1
        close A 1 pool=1
        =>
        late trades:0:0:1 ann A 1  0->1 carry
        late trades:0:1:1 ann A 2  0->1 carry
        late trades:0:1:2 ann A 1  0->1 carry
        late trades:0:2:1 ben A -1 0->1 carry
        late trades:0:2:3 ann A 1  0->1 carry
        late trades:0:2:4 ann A 1  0->1 carry
        paid A:1 ann 1 seconds=900
        seal A:0
        seal A:1 negative=1 closing=6
        ",
    );
}
