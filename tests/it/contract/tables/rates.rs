//! Rates: fixed, given at the close, per tier, and in another asset.

use super::check;

#[test]
fn published_examples_of_rates_per_tier() {
    // Bitget: 12% of 500, 0.8% of 4,500 and 0.3% of 5,000 are 60 + 36 + 15 = 111 a year. KuCoin: 30 + 135 = 165.
    // HTX: 200 + 240 + 200 = 640. A day is a 365th.
    check(
        "
        list BITGET decimals=8 epoch=1d rates=500:0.12,5000:0.008,-:0.003
        list KUCOIN decimals=8 epoch=1d rates=1000:0.03,-:0.015
        list HTX    decimals=8 epoch=1d rates=2000:0.1,5000:0.08,-:0.05
        +0s deposit ann BITGET 10000
        +0s deposit ann KUCOIN 10000
        +0s deposit ann HTX 9000
        close BITGET 0
        close KUCOIN 0
        close HTX 0
        =>
        paid BITGET:0 ann 0.30410958
        paid KUCOIN:0 ann 0.45205479
        paid HTX:0    ann 1.75342465
        seal BITGET:0 mode=apr apr=null
        seal KUCOIN:0
        seal HTX:0
        ",
    );
}

#[test]
fn the_rate_may_be_known_only_at_the_close() {
    check(
        "
        list A epoch=1d apr=0.1
        +0s deposit ann A 3650
        close A 0
        close A 1 apr=0.2
        close A 2 apr=0
        close A 3 apr=1000.000000000000000001
        close A 3 apr=0.3 rate=1
        close A 3
        =>
        dead control:0:4 invalid_event
        dead control:0:5 invalid_event
        paid A:0 ann 1
        paid A:1 ann 2
        paid A:3 ann 1
        seal A:0 apr=0.1 reward_rate=null
        seal A:1 apr=0.2
        seal A:2 apr=0 n=0
        seal A:3 apr=0.1
        ",
    );
}

#[test]
fn a_multiplier_may_raise_a_rate() {
    check(
        "
        # A thousandth an epoch; above 1,000 half as much again.
        list A apr=315.36 tiers=1000:1,-:1.5
        +0s deposit ann A 3000
        close A 0
        =>
        paid A:0 ann 4
        seal A:0 apr=315.36
        ",
    );
}

#[test]
fn a_rate_that_has_no_use_is_judged_last() {
    check(
        "
        list P
        list T rates=-:0.1
        list A apr=0.1
        close P 1 apr=0.1
        +0s close P 0 apr=0.1
        close P 0 pool=0.001 apr=0.1
        close P 0 apr=0.1
        close P 0 rate=1
        close T 0 apr=0.1
        close A 0 rate=1
        close A 0 apr=-1
        =>
        dead control:0:3 epoch_out_of_order
        dead control:0:4 epoch_not_over
        dead control:0:5 invalid_amount
        dead control:0:6 invalid_event
        dead control:0:7 invalid_event
        dead control:0:8 invalid_event
        dead control:0:9 invalid_event
        dead control:0:10 invalid_event
        ",
    );
}

#[test]
fn a_rate_is_paid_in_another_asset() {
    check(
        "
        # 0.1% a day. Of 10 ETH, 0.01 ETH, which are 25 USDC at 2,500.
        list ETH decimals=3 epoch=1d apr=0.365 reward=USDC:6
        +0s deposit ann ETH 10
        close ETH 0 rate=2500
        close ETH 1
        close ETH 1 rate=1000000000.000000001
        close ETH 1 rate=0.0000001
        =>
        dead control:0:2 invalid_event
        dead control:0:3 invalid_event
        paid ETH:0 ann 25 reward_asset=USDC seconds=864000 average=10
        seal ETH:0 reward_asset=USDC apr=0.365 reward_rate=2500 R=25 closing=10
        # 0.000000001 USDC is no unit.
        seal ETH:1 reward_rate=0.0000001 R=0
        ",
    );
}

#[test]
fn a_pool_is_paid_in_another_asset() {
    check(
        "
        # Balances have no decimals, rewards have 3, and payouts 2. The minimum is 0.5 of the reward asset.
        list A decimals=0 reward=R:3 payout_decimals=2 min_payout=0.5
        +0s deposit ann A 2
        +0s deposit ben A 1
        +0s goodwill ann A 0.001
        +0s goodwill ann A 0.0001
        +0s pool A -0.5
        close A 0 pool=2.0001
        close A 0 pool=2
        =>
        # 1.5: 1 for ann, 0.5 for ben. ann's goodwill of 0.001 is below a grain.
        dead transfers:0:1 invalid_amount
        dead control:0:2 invalid_amount
        paid A:0 ann 1   adjusted=0.001 reward_asset=R seconds=200 average=2
        paid A:0 ben 0.5 seconds=100
        seal A:0 pool=1.5 R=1.5 after=0.001 reward_rate=null closing=3
        ",
    );
}

#[test]
fn a_late_posting_is_paid_at_the_rates_of_its_epoch() {
    check(
        "
        list A decimals=0 epoch=1d apr=0.365 reward=R:2
        close A 0 rate=3 apr=0.73
        close A 1 rate=5
        run
        +12h deposit ann A 1000
        close A 2 rate=1
        =>
        # Epoch 0: half a day at 0.2% and 3: 3. Epoch 1: 0.1% and 5: 5.
        late deposits:0:0:0 ann A 1000 0->2 resettle
        paid A:2 ann 9 R=1 made=8
        seal A:0
        seal A:1
        seal A:2
        ",
    );
}
