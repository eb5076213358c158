//! The published books, audited from the strings in the records alone.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_rational::Ratio;
use num_traits::{One, Zero};
use serde_json::Value;

/// A published decimal, exactly.
pub fn decimal(value: &Value) -> Ratio<BigInt> {
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

/// Holds every seal against conservation, against its distributions, and against the seal before it.
pub fn audit(seals: &[Value], distributions: &[Value]) {
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
            "{what} pays or withholds what nobody earned"
        );
        let before = epoch
            .checked_sub(1)
            .and_then(|before| by_epoch.get(&(asset.clone(), before)));
        let left = |name: &str| before.map_or_else(Ratio::zero, |seal| decimal(&seal[name]));
        assert_eq!(
            field("carried_in"),
            left("carried_out"),
            "{what} carries in what was not carried out"
        );
        assert_eq!(
            field("withheld_before"),
            left("withheld_after"),
            "{what} forgets what was withheld"
        );
        let (amount, count) = paid.remove(&(asset.clone(), *epoch)).unwrap_or((Ratio::zero(), 0));
        assert_eq!(
            field("distributed"),
            amount,
            "{what} says another sum than its distributions"
        );
        assert_eq!(
            seal["distributions"].as_u64(),
            Some(count),
            "{what} says another number of distributions"
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
