//! What becomes of a pot: shared, returned, or a deficit.

use super::check;

#[test]
fn a_pot_that_nobody_has_weight_for_goes_back_to_the_treasury() {
    check(
        "
        list A decimals=6 epoch=1d commission=0.1
        close A 0 pool=1000
        +1d    deposit  ann A 0.000001
        +1441m withdraw ann A 0.000001
        close A 1 pool=0.1
        =>
        # 1,000 less a tenth is returned. The holder of 0.000001 for a minute gets the pot of that day alone: 0.09.
        paid A:1 ann 0.09 seconds=0.00006 average=0
        seal A:0 pool=1000 commission=100 returned=900 out=0 n=0
        seal A:1 pool=0.1 commission=0.01 in=0 returned=0 out=0
        ",
    );
}

#[test]
fn an_account_of_zero_weight_gives_the_pot_back_too() {
    check(
        "
        list A tiers=100:0,-:1
        +0s deposit ann A 100
        close A 0 pool=5
        close A 1
        =>
        seal A:0 returned=5 out=0 seconds=10000 closing=100
        seal A:1 in=0 returned=0
        ",
    );
}

#[test]
fn what_the_floors_leave_goes_into_the_next_pot() {
    check(
        "
        list A
        +0s deposit ann A 1
        +0s deposit ben A 1
        close A 0 pool=0.03
        close A 1 pool=0.03
        =>
        paid A:0 ann 0.01
        paid A:0 ben 0.01
        # 0.03 and 0.01.
        paid A:1 ann 0.02
        paid A:1 ben 0.02
        seal A:0 out=0.01
        seal A:1 in=0.01 out=0
        ",
    );
}

#[test]
fn a_deficit_is_made_up_before_anything_is_paid() {
    check(
        "
        list A commission=0.1
        +0s  deposit ann A 1
        +50s pool A -8
        close A 0 pool=5
        close A 1 pool=2
        close A 2 pool=10
        =>
        # P = -3: no commission. Then 2 - 0.2 - 3 = -1.2. Then 10 - 1 - 1.2 = 7.8.
        paid A:2 ann 7.8
        seal A:0 pool=-3 commission=0   in=0    out=-3   returned=0 R=0
        seal A:1 pool=2  commission=0.2 in=-3   out=-1.2 returned=0 R=0
        seal A:2 pool=10 commission=1   in=-1.2 out=0    returned=0 R=7.8
        ",
    );
}

#[test]
fn a_deficit_waits_while_a_rate_is_paid() {
    check(
        "
        list A
        change A apr=315.36 from=1
        change A from=2
        +0s  deposit ann A 1000
        +50s pool A -2
        close A 0
        close A 1 pool=7
        close A 2 pool=5
        =>
        # A thousandth. The pool of 7 is only reported.
        paid A:1 ann 1
        paid A:2 ann 3
        seal A:0 out=-2
        seal A:1 pool=7 commission=0 in=-2 out=-2 returned=0 R=1
        seal A:2 in=-2 out=0 R=3
        ",
    );
}

#[test]
fn a_deficit_without_anybody_is_carried_and_not_returned() {
    check(
        "
        list A
        +50s  pool A -8
        +100s deposit ann A 1
        close A 0
        close A 1 pool=10
        =>
        paid A:1 ann 2
        seal A:0 pool=-8 commission=0 out=-8 returned=0
        seal A:1 in=-8 out=0
        ",
    );
}
