//! Settlement: cases calculated by hand.

use serde_json::json;

use super::{Bus, amounts, codes, event, fields, list, text_of};

#[test]
fn tiers_and_max_balance_make_the_weight() {
    // Of 300, 100 are in the first tier and 200 in the second: 100 + 200 * 1.5 = 400. 900 is capped at 300.
    let bus = Bus::listing(&json!({"mode": "pool", "max_balance": "300",
        "tiers": [{"up_to": "100", "multiplier": "1"}, {"up_to": null, "multiplier": "1.5"}]}));
    bus.deposit("d-1", "00:00", "ann", "100");
    bus.deposit("d-2", "00:00", "ben", "300");
    bus.deposit("d-3", "00:00", "cat", "900");
    bus.close(0, "90.01", 3);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 10", "0 ben 40", "0 cat 40"]);
    let seal = &outputs.seals["A:0"]["data"];
    let names = ["carried_out", "rewarded", "eligible_balance_seconds", "closing_balance"];
    assert_eq!(fields(seal, names), ["0.01", "90", "42000", "1300"]);
}

#[test]
fn a_rate_is_paid_and_the_dust_of_the_pool_is_kept() {
    // Epoch 0 is a pool of 0.03 for two, so 0.01 remains. A year has 525,600 minutes: the rate is a millionth.
    let bus = Bus::listing(&json!({"mode": "pool"}));
    let apr = json!({"from_epoch": 1, "mode": "apr", "apr": "0.5256"});
    bus.control("change-A", "softstake.asset.v1", "00:00", &list("A", &apr));
    bus.deposit("d-1", "00:00", "ann", "1234567.89");
    bus.deposit("d-2", "00:00", "ben", "1234567.89");
    bus.close(0, "0.03", 2);
    bus.close(1, "5", 2);
    let outputs = bus.expected();
    assert_eq!(
        amounts(&outputs),
        ["0 ann 0.01", "0 ben 0.01", "1 ann 1.23", "1 ben 1.23"]
    );
    let seal = &outputs.seals["A:1"]["data"];
    let names = [
        "mode",
        "reward_pool",
        "commission",
        "carried_in",
        "carried_out",
        "rewarded",
        "distributed",
    ];
    assert_eq!(fields(seal, names), ["apr", "5", "0", "0.01", "0.01", "2.46", "2.46"]);
    assert_eq!(seal["programme_from_epoch"], 1);
}

#[test]
fn payouts_are_withheld_until_min_payout_is_reached() {
    // Ann's share is 3 of 4, ben's 1 of 4. Ben has no balance in epoch 2, and is still paid when min_payout falls.
    let bus = Bus::listing(&json!({"mode": "pool", "min_payout": "3", "min_balance": "1"}));
    let lower = json!({"from_epoch": 2, "mode": "pool", "min_payout": "2"});
    bus.control("change-A", "softstake.asset.v1", "00:00", &list("A", &lower));
    bus.deposit("d-1", "00:00", "ann", "3");
    bus.deposit("d-2", "00:00", "ben", "1");
    let data = json!({"account": "ben", "asset": "A", "amount": "0.9", "fee": {"asset": "A", "amount": "0.1"}});
    bus.line(
        "exchange.deposits",
        &event("w-1", "exchange.withdrawal.v1", "02:00", &data),
    );
    bus.close(0, "4", 3);
    bus.close(1, "4", 3);
    bus.close(2, "4", 3);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 3", "1 ann 3", "2 ann 4", "2 ben 2"]);
    let withheld = |epoch: u32| {
        let seal = &outputs.seals[&format!("A:{epoch}")]["data"];
        fields(seal, ["withheld_before", "withheld_after", "distributed", "rewarded"])
    };
    assert_eq!(withheld(0), ["0", "1", "3", "4"]);
    assert_eq!(withheld(1), ["1", "2", "3", "4"]);
    assert_eq!(withheld(2), ["2", "0", "6", "4"]);
    let ben = &outputs.distributions["A:2:ben"]["data"];
    assert_eq!(fields(ben, ["balance_seconds", "average_balance"]), ["0", "0"]);
}

#[test]
fn late_postings_follow_the_late_policy() {
    // Ten from second 30, read after the cut: S = 10 * (30 + 60) with carry, and 10 * 60 with forfeit.
    for (policy, balance_seconds) in [("carry", "900"), ("forfeit", "600")] {
        let bus = Bus::listing(&json!({"mode": "pool", "late_policy": policy}));
        bus.deposit("d-0", "00:00", "ann", "1");
        let data = json!({"account": "ben", "asset": "A", "delta": "+10.00", "reason": "release"});
        let late = event("d-1", "exchange.balance_adjustment.v1", "00:30", &data);
        bus.line("exchange.deposits", &late);
        bus.close(0, "1", 1);
        bus.close(1, "1", 2);
        let outputs = bus.expected();
        assert_eq!(
            text_of(&outputs.distributions["A:1:ben"]["data"]["balance_seconds"]),
            balance_seconds
        );
        assert_eq!(amounts(&outputs)[0], "0 ann 1");
        let report = json!({
            "specversion": "1.0", "id": "exchange.deposits:0:1:0", "source": "/softstake",
            "type": "softstake.late_posting.v1", "time": "2026-11-01T00:02:00.000Z",
            "data": {"event_id": "d-1", "event_source": "/test", "account": "ben", "asset": "A", "delta": "10",
                "event_time": "2026-11-01T00:00:30.000Z", "missed_epoch": 0, "applied_epoch": 1, "policy": policy},
        });
        assert_eq!(outputs.late_postings.values().collect::<Vec<_>>(), [&report]);
    }
}

#[test]
fn statuses_decide_at_the_start_and_exclusions_within_the_epoch() {
    let bus = Bus::listing(&json!({"mode": "pool", "enrolment": "opt_in"}));
    for (number, account) in ["ann", "ben", "cat", "dan", "eve", "fay"].iter().enumerate() {
        bus.deposit(&format!("d-{number}"), "00:00", account, "1");
    }
    bus.status("s-1", "00:00", "ann", "enrolled"); // counts: it is at the start
    bus.status("s-2", "00:01", "ben", "enrolled"); // counts from the next epoch
    bus.status("s-3", "00:00", "cat", "enrolled");
    bus.status("s-4", "00:59", "cat", "excluded"); // excludes from this epoch and, as the newest status, from the next
    bus.status("s-5", "00:00", "dan", "enrolled");
    bus.status("s-6", "00:30", "dan", "opted_out"); // counts from the next epoch
    bus.status("s-8", "00:00", "eve", "enrolled"); // decides: it has the greater id
    bus.status("s-7", "00:00", "eve", "excluded");
    bus.close(0, "3", 6);
    bus.close(1, "3", 6);
    let outputs = bus.expected();
    assert_eq!(
        amounts(&outputs),
        ["0 ann 1", "0 dan 1", "0 eve 1", "1 ann 1", "1 ben 1", "1 eve 1"]
    );
    assert_eq!(outputs.seals["A:0"]["data"]["ineligible"]["status"], 3);
}

#[test]
fn a_status_counts_only_before_the_cut() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.close(0, "1", 1); // there is no status yet
    bus.status("s-1", "00:00", "ann", "opted_out");
    bus.close(1, "1", 1);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 1"]);
    assert_eq!(text_of(&outputs.seals["A:1"]["data"]["carried_out"]), "1");
}

#[test]
fn an_ineligible_account_counts_for_the_first_reason() {
    let bus = Bus::listing(&json!({"mode": "pool", "min_balance": "1", "payout_decimals": 0}));
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.deposit("d-1", "00:00", "ben", "0.99");
    let data = json!({"from_account": "cat", "to_account": "dan", "asset": "A", "amount": "2.5"});
    bus.line(
        "exchange.deposits",
        &event("x-0", "exchange.transfer.v1", "00:15", &data),
    );
    bus.status("s-1", "00:00", "ben", "opted_out");
    bus.close(0, "2.99", 3);
    let outputs = bus.expected();
    // Ann 60, dan 2.5 * 45 = 112.5, together 172.5: 1.04 and 1.94, each truncated to a whole number.
    assert_eq!(amounts(&outputs), ["0 ann 1", "0 dan 1"]);
    let seal = &outputs.seals["A:0"]["data"];
    assert_eq!(
        seal["ineligible"],
        json!({"status": 1, "negative": 1, "below_minimum": 0})
    );
    assert_eq!(fields(seal, ["carried_out", "closing_balance"]), ["0.99", "3.5"]);
}

#[test]
fn a_trade_posts_to_both_sides() {
    let bus = Bus::listing(&json!({"mode": "pool"}));
    bus.control(
        "list-B",
        "softstake.asset.v1",
        "00:00",
        &list("B", &json!({"mode": "pool"})),
    );
    let data = json!({"base_asset": "A", "quote_asset": "B", "price": "0.50", "quantity": "3",
        "buyer": {"account": "ann", "fee": {"asset": "A", "amount": "0.1"}}, "seller": {"account": "ben"}});
    bus.line("exchange.deposits", &event("t-0", "exchange.trade.v1", "00:00", &data));
    bus.close(0, "1", 1);
    let data = json!({"asset": "B", "epoch": 0, "reward_pool": "1"});
    bus.control("close-B", "softstake.epoch_close.v1", "01:00", &data);
    bus.line(
        "softstake.epochs",
        &json!({"id": "B:0", "data": {"cut": {"exchange.deposits": {"0": 1}}}}).to_string(),
    );
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["0 ann 1", "0 ben 1"]);
    assert_eq!(text_of(&outputs.seals["A:0"]["data"]["closing_balance"]), "2.9");
    assert_eq!(text_of(&outputs.seals["B:0"]["data"]["closing_balance"]), "1.5");
}

#[test]
fn a_reward_of_a_closed_epoch_goes_to_the_oldest_open_one() {
    let bus = Bus::listing(&json!({"mode": "pool", "commission_rate": "0.5"}));
    let reward = json!({"asset": "A", "amount": "1.01", "validator": "v-1"});
    bus.deposit("d-0", "00:00", "ann", "1");
    bus.close(0, "0.00", 1);
    bus.control("r-1", "softstake.validator_reward.v1", "00:30", &reward);
    bus.control("r-1", "softstake.validator_reward.v1", "00:30", &reward); // an identical copy
    bus.control("r-2", "softstake.validator_reward.v1", "02:30", &reward);
    bus.close(1, "0", 1);
    let outputs = bus.expected();
    assert_eq!(amounts(&outputs), ["1 ann 0.51"]);
    assert_eq!(
        fields(&outputs.seals["A:1"]["data"], ["reward_pool", "commission"]),
        ["1.01", "0.5"]
    );
    assert_eq!(codes(&outputs, "softstake.control"), Vec::<String>::new());
}
