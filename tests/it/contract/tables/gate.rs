//! The gate: an epoch is held before anything is published, and released or void.

use super::check;

#[test]
fn a_pool_of_a_thousand_for_ten_is_held_and_closed_again() {
    check(
        "
        list A gate=max_change:0.5
        +0s deposit ann A 1
        close A 0 pool=10
        close A 1 pool=1000
        run
        +0s deposit ben A 1
        # Still held, so this one waits. It has the deposit of ben below its cut.
        close A 2 pool=15
        void A 1
        # A void epoch counts as closed. What is dated in it goes into it, and it keeps its cut.
        +150s reward A 1
        close A 1 pool=9
        =>
        # (1000 - 10) / 10.
        held A:1 max_change largest=1000 total=1000 change=99
        void A:1
        # Late for epochs 0 and 1: half of 10 in each.
        late deposits:0:1:0 ben A 1 0->2 resettle
        paid A:0 ann 10
        paid A:1 ann 10
        # R is 15, and 10 are made good: 25 instead of 10 is a change of 1.5.
        held A:2 max_change largest=17.5 total=25 change=1.5
        seal A:0 cut={\"exchange.deposits\":{\"0\":1}}
        seal A:1 pool=10 cut={\"exchange.deposits\":{\"0\":1}}
        ",
    );
}

#[test]
fn what_is_equal_to_a_limit_is_within() {
    check(
        "
        list A gate=max_payout:6,max_total:10,max_change:0.2
        +0s deposit ann A 6
        +0s deposit ben A 4
        close A 0 pool=10
        # Down by a fifth, and up by a quarter.
        close A 1 pool=8
        close A 2 pool=10
        =>
        paid A:0 ann 6
        paid A:0 ben 4
        paid A:1 ann 4.8
        paid A:1 ben 3.2
        held A:2 max_change largest=6 total=10 change=0.25
        seal A:0
        seal A:1
        ",
    );
}

#[test]
fn each_limit_holds_and_the_first_is_named() {
    check(
        "
        list A gate=max_payout:5
        list B gate=max_total:5,max_change:0
        list C gate=max_payout:0,max_total:0
        list D gate=always
        +0s deposit ann A 1
        +0s deposit ann B 1
        +0s deposit ann C 1
        close A 0 pool=5.01
        # There is no change in a first epoch.
        close B 0 pool=5
        close B 1 pool=5.01
        close C 0 pool=1
        close D 0
        =>
        held A:0 max_payout largest=5.01 total=5.01 change=null
        held B:1 max_total largest=5.01 total=5.01 change=0.002
        held C:0 max_payout
        held D:0 always largest=0 total=0
        paid B:0 ann 5
        seal B:0
        ",
    );
}

#[test]
fn a_released_epoch_is_paid_and_those_behind_it_follow() {
    check(
        "
        list A gate=always
        change A from=1
        list B
        +0s deposit ann A 1
        +0s deposit ben B 1
        close A 0 pool=5
        close A 1 pool=6
        # Another asset goes on.
        close B 0 pool=1
        run
        release A 0
        =>
        held A:0 always total=5
        released A:0
        paid A:0 ann 5
        paid A:1 ann 6
        paid B:0 ben 1
        seal A:0
        seal A:1 from=1
        seal B:0
        ",
    );
}

#[test]
fn what_is_not_held_can_be_neither_released_nor_void() {
    check(
        "
        list A gate=always
        +0s deposit ann A 1
        release B 0
        release A 0
        close A 0 pool=5
        close A 1 pool=5
        # Epoch 1 waits behind the held one.
        release A 1
        void A 1
        release A 0 with={\"reson\":\"x\"}
        release A 0
        release A 0
        void A 0
        void A 1
        void A 1
        release A 1
        =>
        dead control:0:1 unknown_asset
        dead control:0:2 epoch_not_held
        dead control:0:5 epoch_not_held
        dead control:0:6 epoch_not_held
        dead control:0:7 invalid_event
        dead control:0:9 epoch_not_held
        dead control:0:10 epoch_not_held
        dead control:0:12 epoch_not_held
        dead control:0:13 epoch_not_held
        held A:0 always
        released A:0
        held A:1 always
        void A:1
        paid A:0 ann 5
        seal A:0
        ",
    );
}

#[test]
fn a_void_epoch_counts_as_closed() {
    check(
        "
        list A gate=always
        change A from=1
        +0s deposit ann A 1
        close A 0 pool=5
        void A 0
        close A 1 pool=2
        # Epoch 1 waits. Another close of it is too late.
        close A 1 pool=3
        # Closed again, epoch 0 is held again, and is not void any more.
        close A 0 pool=4
        close A 0 pool=4
        release A 0
        close A 0 pool=4
        +50s reward A 1
        close A 2
        =>
        held A:0 always total=5
        void A:0
        held A:0 always total=4
        dead control:0:5 epoch_already_closed
        dead control:0:7 epoch_already_closed
        dead control:0:9 epoch_already_closed
        released A:0
        paid A:0 ann 4
        paid A:1 ann 2
        paid A:2 ann 1
        seal A:0
        seal A:1
        seal A:2
        ",
    );
}
