//! Rewards are rounded down to units, whole grains are paid, and the rest is withheld until it makes a grain.

use super::check;

#[test]
fn a_holder_of_one_in_9991_is_paid_with_two_decimals() {
    // ann's R is 10 / 9,991 = 0.00100090 an epoch, ben's all but that. After 10 epochs ann has 0.010009, after 20 she has
    // 0.020018. The floors leave a unit of 0.00000001 each time.
    let mut table = "list A decimals=8 payout_decimals=2\n+0s deposit ann A 1\n+0s deposit ben A 9990\n".to_owned();
    for epoch in 0..20 {
        table += &format!("close A {epoch} pool=10\n");
    }
    table += "=>\npaid A:9 ann 0.01 R=0.0010009 before=0.0090081\npaid A:19 ann 0.01 before=0.0090171\n";
    for epoch in 0..20 {
        // What ben earned is just below 10, 20, 30 and so on: by 0.001 for each epoch, so a cent is missing three times.
        let amount = if [0, 9, 19].contains(&epoch) { "9.99" } else { "10" };
        table += &format!("paid A:{epoch} ben {amount}\n");
        table += &format!(
            "seal A:{epoch} out=0.00000001 rewarded={}\n",
            if epoch == 0 { "9.99999999" } else { "10" }
        );
    }
    check(&table);
}

#[test]
fn the_rest_below_a_grain_is_withheld_per_account() {
    check(
        "
        list A decimals=4 payout_decimals=2
        +0s deposit ann A 1
        +0s deposit ben A 2
        close A 0 pool=1
        close A 1 pool=1
        =>
        # 0.3333 and 0.6666. Then 1.0001 are shared: 0.3333 and 0.6667.
        paid A:0 ann 0.33 R=0.3333 before=0
        paid A:0 ben 0.66 R=0.6666 before=0
        paid A:1 ann 0.33 R=0.3333 before=0.0033
        paid A:1 ben 0.67 R=0.6667 before=0.0066
        seal A:0 R=0.9999 out=0.0001 paid=0.99 before=0      after=0.0099
        seal A:1 R=1      out=0.0001 paid=1    before=0.0099 after=0.0099 in=0.0001
        ",
    );
}

#[test]
fn a_whole_grain_below_min_payout_is_withheld_as_well() {
    check(
        "
        list A decimals=4 payout_decimals=2 min_payout=0.5
        +0s deposit ann A 1
        close A 0 pool=0.2599
        close A 1 pool=0.2401
        close A 2 pool=0.4999
        =>
        # 0.2599, then exactly 0.5, then 0.49 in whole grains, which is below the minimum.
        paid A:1 ann 0.5 R=0.2401 before=0.2599
        seal A:0 n=0 after=0.2599
        seal A:1 n=1 after=0
        seal A:2 n=0 after=0.4999
        ",
    );
}
