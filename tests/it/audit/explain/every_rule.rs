//! Explanations of synthetic buses that have all that the contract allows: each adds up to what was published.

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use serde_json::Value;
use softstake::audit::explain::{ExplainError, Explainer};
use softstake::bus::dir::ReadOnlyDir;
use softstake::core::values::account::AccountName;
use softstake::core::values::asset::Asset;
use softstake::core::values::ids::Epoch;
use softstake::generate::Synthetic;

use super::calculation::calculated;
use super::{decimal, list};
use crate::common::records::{by_id, text};
use crate::common::{Place, setting};

/// How often something was there.
#[derive(Default)]
struct Met(BTreeMap<&'static str, u64>);

impl Met {
    fn add(&mut self, name: &'static str, is_there: bool) {
        *self.0.entry(name).or_default() += u64::from(is_there);
    }

    fn count(&mut self, explanation: &Value) {
        let (rules, payout) = (&explanation["programme"], &explanation["payout"]);
        let is_negative = |value: &Value| value["units"].as_str().is_some_and(|units| units.starts_with('-'));
        let owned = explanation["owner"]["accounts"].as_array().map_or(0, Vec::len);
        self.add("several accounts of an owner", owned > 1);
        self.add("rate of the close", rules["is_apr_of_close"] == true);
        self.add("rate for another asset", rules["reward_rate_scaled"].is_string());
        self.add(
            "rates per tier",
            rules["mode"] == "apr" && rules["apr_scaled"].is_null(),
        );
        self.add("last epoch", rules["is_last_epoch"] == true);
        self.add("adjustment", list(&explanation["adjustments"]).len() > 0);
        self.add("deficit", is_negative(&payout["pool"]["to_share"]));
        for reason in ["debt", "excluded", "below_min_payout", "below_grain"] {
            self.add(reason, payout["withheld_because"] == reason);
        }
        for correction in list(&explanation["corrections"]) {
            self.add("correction", true);
            self.add("correction of a pool", correction["pool"].is_object());
            self.add("correction of a rate", correction["rate"].is_object());
            self.add("correction of an owner", correction["corrected"]["owner"].is_object());
            self.add("second correction", correction["is_corrected_before"] == true);
            self.add("overpayment", is_negative(&correction["made_good"]));
        }
        for status in list(&explanation["statuses"]) {
            self.add("status of one asset", status["asset"].is_string());
            self.add("status of the owner", status["account"] != explanation["account"]);
            self.add("bar", status["effect"] == "bars");
        }
    }
}

/// The amounts of a published distribution, and where an explanation has them.
const PARTS: [(&str, &str); 5] = [
    ("amount", "paid"),
    ("rewarded", "rewarded"),
    ("made_good", "made_good"),
    ("adjusted", "adjusted"),
    ("withheld_before", "withheld_before"),
];

/// Explains a sealed payout, and compares it with the published record, if there is one.
fn check(explainer: &Explainer<'_>, id: (&str, u64, &str), published: Option<&Value>, met: &mut Met) {
    let (asset, epoch, account) = id;
    let explained = explainer.explain(
        Asset::parse(asset).expect("an asset"),
        Epoch::new(epoch),
        &AccountName::new(account).expect("an account"),
    );
    let explanation = match explained {
        Ok(explanation) => serde_json::to_value(explanation).expect("JSON"),
        // Another record of the account is not of this asset.
        Err(ExplainError::NoRecord { .. }) if published.is_none() => return,
        Err(error) => panic!("{id:?}: {error}"),
    };
    assert_eq!(explanation["stage"], "sealed", "{id:?}");
    let paid = calculated(&explanation);
    assert_eq!(explanation["agrees"], true, "{explanation:#}");
    let data = &published.unwrap_or(&Value::Null)["data"];
    assert_eq!(explanation["published"], data["amount"], "{explanation:#}");
    assert_eq!(paid > BigInt::from(0), published.is_some(), "{explanation:#}");
    if published.is_some() {
        let decimals = usize::try_from(explanation["reward_decimals"].as_u64().expect("decimals")).expect("small");
        assert_eq!(decimal(&paid, decimals), text(&data["amount"]), "{explanation:#}");
        for (field, part) in PARTS {
            assert_eq!(
                explanation["payout"][part]["amount"], data[field],
                "{field}: {explanation:#}"
            );
        }
        for field in [
            "balance_seconds",
            "average_balance",
            "epoch_start",
            "epoch_end",
            "reward_asset",
        ] {
            assert_eq!(explanation[field], data[field], "{field}: {explanation:#}");
        }
    }
    met.add("published payout", published.is_some());
    met.add(
        "published payout with amounts made good",
        data["made_good"].as_str().is_some_and(|made_good| made_good != "0"),
    );
    met.count(&explanation);
}

#[test]
fn payouts_under_every_rule_add_up() {
    let mut met = Met::default();
    let wanted = setting("TEST_EXPLAINED", 100);
    for seed in 3.. {
        // Three buses have everything.
        if seed >= 6 && met.0["published payout"] >= wanted {
            break;
        }
        let epoch_seconds = [86_400, 3_600, 2_678_400][usize::try_from(seed % 3).expect("small")];
        let spec = Synthetic {
            events: 1_500,
            accounts: 25,
            assets: 12,
            epochs: 12,
            epoch_seconds,
            seed,
            late: 0.15,
            duplicates: 0.03,
            bad: 0.03,
            ..Synthetic::default()
        };
        let place = Place::new();
        place.grow(&spec, Some(4));
        let paid = by_id(place.records("softstake.distributions"));
        let accounts: BTreeSet<&str> = paid.values().map(|record| text(&record["data"]["account"])).collect();
        let bus = ReadOnlyDir::open(&place.bus()).expect("the bus");
        let explainer = Explainer::new(&bus).expect("its decisions");
        // Each payout that has something special, and some of the others; with the payouts that there are not.
        let is_special = |data: &Value| ["made_good", "adjusted"].iter().any(|field| data[*field] != "0");
        let mut number = 0;
        for seal in place.records("softstake.epochs") {
            let (asset, epoch) = (
                text(&seal["data"]["asset"]),
                seal["data"]["epoch"].as_u64().expect("an epoch"),
            );
            for account in &accounts {
                number += 1;
                let published = paid.get(&format!("{asset}:{epoch}:{account}"));
                let is_special = published.is_some_and(|record| is_special(&record["data"]));
                if number % 29 == 0 || (is_special && number % 4 == 0) {
                    check(&explainer, (asset, epoch, account), published, &mut met);
                }
            }
        }
    }
    let Met(met) = met;
    assert!(met.values().all(|count| *count > 0), "{met:#?}");
    println!("explained: {met:#?}");
}
