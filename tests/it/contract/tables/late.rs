//! Late postings: each epoch that they missed is settled again under its own rules.

use super::check;

#[test]
fn a_hundred_late_by_three_epochs_earns_all_four() {
    // Six others have 100 each, the cap. Of 80 they get 13.33, 13.33 and 13.34; the pots are 80, 80.02 and 80.04.
    // ann's part of each is a seventh: 11.42, 11.43 and 11.43, together 34.28. With the fourth epoch it is 45.7. Nobody
    // else's share changes.
    let others = ["b", "c", "d", "e", "f", "g"];
    let mut table = "list A max_balance=100\n".to_owned();
    for account in others {
        table += &format!("+0s deposit {account} A 100\n");
    }
    table += "close A 0 pool=80\nclose A 1 pool=80\nclose A 2 pool=80\nrun\n";
    table += "+0s deposit ann A 100\nclose A 3 pool=80\n=>\n";
    table += "late deposits:0:6:0 ann A 100 0->3 resettle\n";
    table += "paid A:3 ann 45.7 R=11.42 made=34.28 seconds=10000\n";
    for account in others {
        for (epoch, amount) in [(0, "13.33"), (1, "13.33"), (2, "13.34"), (3, "11.42")] {
            table += &format!("paid A:{epoch} {account} {amount}\n");
        }
    }
    table += "seal A:0 out=0.02\nseal A:1 out=0.04\nseal A:2 out=0\n";
    table += "seal A:3 R=79.94 out=0.06 made=34.28 paid=114.22\n";
    check(&table);
}

#[test]
fn an_overpayment_is_recovered() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=2
        run
        +0s withdraw ann A 4
        close A 1 pool=1.6
        =>
        # In epoch 0 ann had 6: 2 * 6 / 16 = 0.75 instead of 1. In epoch 1 she gets 0.6 of 1.6.
        late withdrawals:0:0:0 ann A -4 0->1 resettle time=2026-11-01T00:00:00.000Z
        paid A:0 ann 1
        paid A:0 ben 1
        paid A:1 ann 0.35 R=0.6 made=-0.25 seconds=600 average=6
        paid A:1 ben 1 R=1 made=0
        seal A:0
        seal A:1 made=-0.25 paid=1.35 closing=16
        ",
    );
}

#[test]
fn an_epoch_is_settled_again_for_each_late_posting() {
    check(
        "
        list A
        +0s deposit ann A 10
        +0s deposit ben A 10
        close A 0 pool=3
        run
        +0s deposit ann A 10
        close A 1 pool=3
        run
        +50s deposit ann A 20
        close A 2 pool=3
        =>
        # Epoch 0 with 20: 3 * 2000 / 3000 = 2 instead of 1.5.
        late deposits:0:2:0 ann A 10 0->1 resettle
        # Epoch 0 with 20 * 50 more: 3 * 3000 / 4000 = 2.25 instead of 2.
        # Epoch 1 with 40: 3 * 4000 / (3000 - 2000 + 4000) = 2.4 instead of 2.
        late deposits:0:3:0 ann A 20 0->2 resettle
        paid A:0 ann 1.5
        paid A:0 ben 1.5
        paid A:1 ann 2.5 R=2 made=0.5
        paid A:1 ben 1
        paid A:2 ann 3.05 R=2.4 made=0.65
        paid A:2 ben 0.6
        seal A:0
        seal A:1 made=0.5
        seal A:2 made=0.65
        ",
    );
}

#[test]
fn at_a_rate_a_late_posting_earns_to_the_unit_what_it_would_have_earned() {
    check(
        "
        # A thousandth an epoch, then two.
        list A apr=315.36
        +0s deposit ann A 1000
        close A 0
        close A 1 apr=630.72
        run
        +50s deposit ann A 500
        close A 2
        =>
        # Epoch 0: 1,250 on average. Epoch 1: 1,500 at two thousandths, instead of 1,000.
        late deposits:0:1:0 ann A 500 0->2 resettle
        paid A:0 ann 1 R=1
        paid A:1 ann 2 R=2
        paid A:2 ann 2.75 R=1.5 made=1.25
        seal A:0 apr=315.36
        seal A:1 apr=630.72
        seal A:2 apr=315.36
        ",
    );
}

#[test]
fn a_closed_epoch_keeps_its_own_rules() {
    check(
        "
        # Epoch 0 pays nothing below 20. Epoch 1 has a cap of 15.
        list A min_balance=20
        change A max_balance=15 from=1
        change A from=2
        +0s deposit ann A 10
        +0s deposit ben A 30
        close A 0 pool=6
        close A 1 pool=5
        run
        +0s deposit ann A 20
        close A 2 pool=6
        =>
        # Epoch 0 with 30: 6 * 30 / 60 = 3 instead of 0. Epoch 1 with 30, capped at 15: 5 * 15 / 30 = 2.5 instead of 2.
        late deposits:0:2:0 ann A 20 0->2 resettle
        paid A:0 ben 6
        paid A:1 ann 2
        paid A:1 ben 3
        paid A:2 ann 6.5 R=3 made=3.5
        paid A:2 ben 3
        seal A:0 below=1
        seal A:1
        seal A:2 made=3.5
        ",
    );
}

#[test]
fn nothing_is_made_good_for_an_epoch_without_a_pot_or_without_weight() {
    check(
        "
        list A
        close A 0 pool=5
        +100s deposit ben A 1
        close A 1
        run
        +0s deposit ann A 1
        close A 2 pool=1
        =>
        # In epoch 0 nobody had weight, and the pot went back. In epoch 1 there was no pot.
        late deposits:0:1:0 ann A 1 0->2 resettle
        paid A:2 ann 0.5 made=0
        paid A:2 ben 0.5
        seal A:0 returned=5
        seal A:1
        seal A:2
        ",
    );
}

#[test]
fn carry_adds_the_missed_balance_seconds_to_the_open_epoch() {
    check(
        "
        list A late=carry
        +0s deposit ann A 10
        close A 0 pool=1
        run
        +50s deposit ann A 10
        close A 1 pool=1
        =>
        # 10 * 100, and 10 from 50 to 200.
        late deposits:0:1:0 ann A 10 0->1 carry
        paid A:0 ann 1 seconds=1000
        paid A:1 ann 1 seconds=2500 average=25 made=0
        seal A:0
        seal A:1 closing=20
        ",
    );
}

#[test]
fn the_policy_is_that_of_the_open_epoch() {
    check(
        "
        list A late=carry
        change A late=forfeit from=1
        change A late=resettle from=2
        +0s deposit ann A 10
        close A 0 pool=1
        run
        +50s deposit ann A 10
        close A 1 pool=1
        run
        +50s deposit ben A 20
        close A 2 pool=4
        =>
        # From the start of epoch 1 on. Its past is not paid.
        late deposits:0:1:0 ann A 10 0->1 forfeit
        # Epoch 0: 20 * 50 beside 10 * 100 is half of 1. Epoch 1: 20 beside 20 is half of 1.
        late deposits:0:2:0 ben A 20 0->2 resettle
        paid A:0 ann 1 seconds=1000
        paid A:1 ann 1 seconds=2000
        paid A:2 ann 2
        paid A:2 ben 3 R=2 made=1
        seal A:0
        seal A:1
        seal A:2
        ",
    );
}

#[test]
fn with_owner_scope_the_whole_owner_is_settled_again() {
    check(
        "
        list A scope=owner max_balance=10000
        +0s deposit u A 6000
        +0s deposit ben A 10000
        close A 0 pool=16
        run
        +0s deposit u/a A 6000
        close A 1 pool=20
        =>
        # With 12,000, capped at 10,000, u and u/a have 5,000 each. Epoch 0: 16 * 5,000 / (16,000 - 6,000 + 10,000) = 4.
        # u got 6 there, so 2 too much; u/a got nothing.
        late deposits:0:2:0 u/a A 6000 0->1 resettle
        paid A:0 u 6
        paid A:0 ben 10
        paid A:1 u 3 R=5 made=-2
        paid A:1 u/a 9 R=5 made=4
        paid A:1 ben 10
        seal A:0
        seal A:1 made=2 paid=22
        ",
    );
}

#[test]
fn each_partition_has_its_own_cut_and_each_posting_its_number() {
    check(
        "
        list A
        +0s deposit ben A 10
        close A 0 pool=1
        run
        # The cut of epoch 0 does not name these partitions.
        +0s   deposit cat A 10 p=1
        +100s deposit dan A 20 p=1
        +50s  trade ann ben A/USD 4 @1 buyer_fee=A:0 seller_fee=A:2
        close A 1 pool=1
        =>
        # The postings of the trade in USD are ignored and have numbers. The buyer's fee of zero is no posting.
        late deposits:1:0:0 cat A 10 0->1 resettle
        late trades:0:0:0 ann A 4  0->1 resettle
        late trades:0:0:2 ben A -4 0->1 resettle
        late trades:0:0:4 ben A -2 0->1 resettle
        # Epoch 0, each as if it were the only late one. ann: 200 beside 1000 is 0.16. ben: 700 of 700, as before.
        # cat: a half. Epoch 1: ann 4, ben 4, cat 10, dan 20 of 38.
        paid A:0 ben 1
        paid A:1 ann 0.26 R=0.1  made=0.16
        paid A:1 ben 0.1  R=0.1  made=0
        paid A:1 cat 0.76 R=0.26 made=0.5
        paid A:1 dan 0.52 R=0.52 made=0
        seal A:0 cut={\"exchange.deposits\":{\"0\":1}}
        seal A:1 cut={\"exchange.deposits\":{\"0\":1,\"1\":2},\"exchange.trades\":{\"0\":1}} R=0.98 made=0.66
        ",
    );
}
