//! Conservation of money in what was published, checked from the records alone.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::Ratio;
use num_traits::{One, Zero};
use serde_json::Value;

/// A published decimal, exactly.
fn decimal(value: &Value) -> Ratio<BigInt> {
    let text = value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is no decimal in a string"));
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{fraction}")
        .parse()
        .unwrap_or_else(|_| panic!("{text} is no decimal"));
    let scale = (0..fraction.len()).fold(BigInt::one(), |scale, _| scale * 10);
    Ratio::new(digits, scale)
}

/// Checks that every seal conserves money, agrees with its distributions and continues the seal before it.
pub fn check(seals: &[Value], distributions: &[Value]) {
    let mut paid: BTreeMap<(String, u64), (Ratio<BigInt>, u64)> = BTreeMap::new();
    for data in distributions.iter().map(|record| &record["data"]) {
        let entry = paid.entry(epoch_of(data)).or_insert_with(|| (Ratio::zero(), 0));
        assert!(decimal(&data["amount"]) > Ratio::zero(), "{data} pays nothing");
        entry.0 += decimal(&data["amount"]);
        entry.1 += 1;
    }
    let by_epoch: BTreeMap<_, &Value> = seals
        .iter()
        .map(|record| (epoch_of(&record["data"]), &record["data"]))
        .collect();
    assert_eq!(by_epoch.len(), seals.len(), "an epoch is sealed twice");
    for ((asset, epoch), seal) in &by_epoch {
        let what = format!("{asset}:{epoch}");
        let field = |name: &str| decimal(&seal[name]);
        if seal["mode"] == "pool" {
            assert_eq!(
                field("reward_pool") + field("carried_in") + field("withheld_before"),
                field("commission") + field("distributed") + field("withheld_after") + field("carried_out"),
                "{what} does not conserve money"
            );
        } else {
            assert_eq!(
                field("carried_in"),
                field("carried_out"),
                "{what} touches dust in apr mode"
            );
        }
        assert_eq!(
            field("rewarded") + field("withheld_before"),
            field("distributed") + field("withheld_after"),
            "{what} pays or withholds more or less than was earned"
        );
        let before = epoch
            .checked_sub(1)
            .and_then(|before| by_epoch.get(&(asset.clone(), before)));
        let left = |name: &str| before.map_or_else(Ratio::zero, |seal| decimal(&seal[name]));
        assert_eq!(
            field("carried_in"),
            left("carried_out"),
            "{what} does not carry in what the epoch before carried out"
        );
        assert_eq!(
            field("withheld_before"),
            left("withheld_after"),
            "{what} does not continue what the epoch before withheld"
        );
        let (amount, count) = paid.remove(&(asset.clone(), *epoch)).unwrap_or((Ratio::zero(), 0));
        assert_eq!(
            field("distributed"),
            amount,
            "{what}: the sum in the seal is not that of its distributions"
        );
        assert_eq!(
            seal["distributions"].as_u64(),
            Some(count),
            "{what}: the count in the seal is not that of its distributions"
        );
    }
    assert!(paid.is_empty(), "distributions without a seal: {paid:?}");
}

fn epoch_of(data: &Value) -> (String, u64) {
    (
        data["asset"].as_str().expect("an asset").to_owned(),
        data["epoch"].as_u64().expect("an epoch"),
    )
}
