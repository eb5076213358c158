//! Conservation of money, checked from the published records alone.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::Ratio;
use num_traits::Zero;
use serde_json::Value;

type Money = Ratio<BigInt>;

/// A published decimal, exactly.
pub fn decimal(value: &Value) -> Money {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no decimal in a string"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}").parse();
    let digits: BigInt = digits.unwrap_or_else(|_| panic!("{text} is no decimal"));
    let decimals = u32::try_from(fraction.len()).expect("few decimals");
    Ratio::new(digits, BigInt::from(10).pow(decimals))
}

/// Published records by their ids.
type Records = BTreeMap<String, Value>;

/// Checks that every seal balances, agrees with its distributions, and continues the seal before it.
pub fn check(seals: &Records, distributions: &Records) {
    let mut sums: BTreeMap<String, (u64, Money)> = BTreeMap::new();
    for record in distributions.values() {
        let data = &record["data"];
        let amount = decimal(&data["amount"]);
        assert!(amount > Money::zero(), "{data} pays nothing");
        let due = ["rewarded", "made_good", "adjusted", "withheld_before"].map(|name| decimal(&data[name]));
        assert!(amount <= due.iter().sum(), "{data} pays more than its parts");
        let seal = format!("{}:{}", text(&data["asset"]), data["epoch"]);
        let sum = sums.entry(seal).or_insert_with(|| (0, Money::zero()));
        *sum = (sum.0 + 1, &sum.1 + amount);
    }
    for (id, record) in seals {
        let data = &record["data"];
        let (count, distributed) = sums.remove(id).unwrap_or_else(|| (0, Money::zero()));
        assert_eq!(data["distributions"], count, "{id}: the number of distributions");
        assert_eq!(decimal(&data["distributed"]), distributed, "{id}: their sum");
        check_seal(id, data);
        check_before(id, data, seals);
    }
    assert!(sums.is_empty(), "distributions without a seal: {sums:?}");
}

fn check_seal(id: &str, data: &Value) {
    let sum = |names: &[&str]| names.iter().map(|name| decimal(&data[*name])).sum::<Money>();
    let paid = ["distributed", "withheld_after"];
    assert_eq!(
        sum(&["rewarded", "withheld_before", "made_good", "adjusted"]),
        sum(&paid),
        "{id}: what is due is paid or withheld"
    );
    if data["mode"] == "pool" {
        assert_eq!(
            sum(&["reward_pool", "carried_in", "withheld_before", "made_good", "adjusted"]),
            sum(&["commission", "carried_out", "returned"]) + sum(&paid),
            "{id}: the pool"
        );
        let returned = decimal(&data["returned"]);
        assert!(returned >= Money::zero(), "{id} returns a deficit");
        assert!(
            returned.is_zero() || decimal(&data["carried_out"]).is_zero(),
            "{id} returns and carries"
        );
    } else {
        assert_eq!(data["carried_in"], data["carried_out"], "{id}: what a pool left");
        assert_eq!((text(&data["commission"]), text(&data["returned"])), ("0", "0"), "{id}");
    }
}

/// The seal before belongs to the same listing if it ends where this one starts.
fn check_before(id: &str, data: &Value, seals: &Records) {
    let epoch = data["epoch"].as_u64().expect("an epoch");
    let before = epoch
        .checked_sub(1)
        .map(|epoch| format!("{}:{epoch}", text(&data["asset"])));
    let before = before.and_then(|id| seals.get(&id)).map(|record| &record["data"]);
    let Some(before) = before.filter(|before| before["epoch_end"] == data["epoch_start"]) else {
        return;
    };
    // A listing after a withdrawal begins with nothing.
    let begins_anew = ["carried_in", "withheld_before"].iter().all(|name| data[*name] == "0");
    for (now, then) in [("carried_in", "carried_out"), ("withheld_before", "withheld_after")] {
        assert!(
            begins_anew || data[now] == before[then],
            "{id}: {now} is not what the epoch before left"
        );
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}
