//! The payout of an explanation, calculated again step by step from its printed figures alone.

use num_bigint::BigInt;
use serde_json::Value;

use super::{list, number};

fn zero() -> BigInt {
    BigInt::from(0)
}

fn power_of_ten(exponent: &Value) -> BigInt {
    BigInt::from(10).pow(exponent.as_u64().expect("decimals").try_into().expect("small"))
}

/// The payout in units. Every figure is checked on the way.
pub fn calculated(explanation: &Value) -> BigInt {
    let held = holding(explanation);
    let weight = weight(explanation, &held);
    let payout = &explanation["payout"];
    let of = |name: &str| number(&payout[name]["units"]);
    let rewarded = reward(explanation, &weight);
    let made_good: BigInt = list(&explanation["corrections"])
        .map(|one| correction(explanation, one))
        .sum();
    let adjusted: BigInt = list(&explanation["adjustments"])
        .map(|one| number(&one["delta"]["units"]))
        .sum();
    let before: BigInt = list(&payout["withheld_from"])
        .map(|from| number(&from[1]["units"]))
        .sum();
    let parts = [
        ("rewarded", &rewarded),
        ("made_good", &made_good),
        ("adjusted", &adjusted),
        ("withheld_before", &before),
    ];
    for (name, part) in parts {
        assert_eq!(*part, of(name), "{name}: {explanation:#}");
    }
    let due = rewarded + made_good + adjusted + before;
    assert_eq!(due, of("due"), "{explanation:#}");
    paid(explanation, &due)
}

/// S, from the opening balance and the changes.
fn holding(explanation: &Value) -> BigInt {
    let length = number(&explanation["epoch_ms"]);
    let opening = number(&explanation["opening_balance"]["units"]);
    let (mut held, mut balance) = (&opening * &length, opening);
    for change in list(&explanation["changes"]) {
        let product = number(&change["delta"]["units"]) * number(&change["counts_for_ms"]);
        assert_eq!(product, number(&change["unit_milliseconds"]), "{change}");
        held += product;
        balance += number(&change["delta"]["units"]);
    }
    assert_eq!(held, number(&explanation["unit_milliseconds"]), "{explanation:#}");
    assert_eq!(
        balance,
        number(&explanation["closing_balance"]["units"]),
        "{explanation:#}"
    );
    held
}

/// W, from S: that of the account, or its part of its owner's.
fn weight(explanation: &Value, held: &BigInt) -> BigInt {
    let rules = &explanation["programme"];
    let length = number(&explanation["epoch_ms"]);
    let owner = &explanation["owner"];
    let eligible = explanation["eligible"].as_bool().expect("a verdict");
    let together = if owner.is_null() {
        held.clone()
    } else {
        let sum = list(&owner["accounts"])
            .filter(|account| account["counts"] == true)
            .map(|account| number(&account["unit_milliseconds"]))
            .sum();
        assert_eq!(number(&owner["unit_milliseconds"]), sum, "{explanation:#}");
        sum
    };
    let reaches = together > zero() && together >= number(&rules["min_balance"]["units"]) * &length;
    if eligible {
        assert!(*held > zero() && reaches, "{explanation:#}");
    }
    if explanation["ineligible_because"] == "below_minimum" {
        assert!(*held > zero() && !reaches, "{explanation:#}");
    }
    let earns = if owner.is_null() { eligible } else { reaches };
    let mut counted = if earns { together.clone() } else { zero() };
    if !rules["max_balance"].is_null() {
        counted = counted.min(number(&rules["max_balance"]["units"]) * &length);
    }
    let (mut parts, mut weight) = (zero(), zero());
    for tier in list(&explanation["tiers"]) {
        let factor = [&tier["multiplier_scaled"], &tier["apr_scaled"]];
        let factor = factor.into_iter().find(|factor| factor.is_string());
        let part = number(&tier["unit_milliseconds"]);
        weight += &part * number(factor.expect("a factor"));
        parts += part;
    }
    assert_eq!(parts, counted, "{explanation:#}");
    if !owner.is_null() {
        assert_eq!(counted, number(&owner["counted_unit_milliseconds"]), "{explanation:#}");
        assert_eq!(weight, number(&owner["weight"]), "{explanation:#}");
        let part = |whole: BigInt| match eligible {
            true => whole * held / &together,
            false => zero(),
        };
        (counted, weight) = (part(counted), part(weight));
    }
    assert_eq!(
        (&counted, &weight),
        (
            &number(&explanation["counted_unit_milliseconds"]),
            &number(&explanation["weight"])
        ),
        "{explanation:#}"
    );
    weight
}

/// Reward for one unit of weight, from the rates that are printed.
fn check_rate(explanation: &Value, rate: &Value) {
    let rules = &explanation["programme"];
    let (parts, year) = (BigInt::from(10).pow(18), BigInt::from(365_u64 * 86_400_000));
    let (mut numerator, mut denominator) = match rules["apr_scaled"].is_null() {
        true => (BigInt::from(1), &parts * year),
        false => (number(&rules["apr_scaled"]), &parts * year * 1_000_000),
    };
    if !rules["reward_rate_scaled"].is_null() {
        numerator *= number(&rules["reward_rate_scaled"]) * power_of_ten(&explanation["reward_decimals"]);
        denominator *= parts * power_of_ten(&explanation["decimals"]);
    }
    assert_eq!(numerator, number(&rate["numerator"]), "{explanation:#}");
    assert_eq!(denominator, number(&rate["denominator"]), "{explanation:#}");
}

/// R, from W.
fn reward(explanation: &Value, weight: &BigInt) -> BigInt {
    let payout = &explanation["payout"];
    let rate = &payout["rate"];
    if explanation["programme"]["mode"] == "apr" {
        check_rate(explanation, rate);
        return weight * number(&rate["numerator"]) / number(&rate["denominator"]);
    }
    let pool = &payout["pool"];
    let of = |name: &str| number(&pool[name]["units"]);
    let to_share = of("to_share");
    assert_eq!(
        of("reward_pool") - of("commission") + of("carried_in"),
        to_share,
        "{explanation:#}"
    );
    let total = number(&pool["total_weight"]);
    let is_returned = to_share > zero() && total == zero();
    assert_eq!(of("returned"), if is_returned { to_share.clone() } else { zero() });
    if *weight == zero() || to_share <= zero() {
        return zero();
    }
    to_share * weight / total
}

/// What is made good of a closed epoch.
fn correction(explanation: &Value, correction: &Value) -> BigInt {
    let (sealed, now) = (&correction["as_sealed"], &correction["corrected"]);
    let (mut own, mut all) = (zero(), zero());
    for late in list(&correction["late"]) {
        let product = number(&late["delta"]["units"]) * number(&late["counts_for_ms"]);
        assert_eq!(product, number(&late["unit_milliseconds"]), "{late}");
        all += &product;
        if late["account"] == explanation["account"] {
            own += product;
        }
    }
    let held = number(&sealed["unit_milliseconds"]) + own;
    assert_eq!(held, number(&now["unit_milliseconds"]), "{correction:#}");
    for figures in [sealed, now] {
        if let Some(owner) = figures["owner"].as_object()
            && figures["eligible"] == true
        {
            let part = number(&owner["weight"]) * number(&figures["unit_milliseconds"]);
            let part = part / number(&owner["unit_milliseconds"]);
            assert_eq!(part, number(&figures["weight"]), "{correction:#}");
        }
    }
    let rewarded = |figures: &Value, total: &str| {
        let weight = number(&figures["weight"]);
        let (rate, pool) = (&correction["rate"], &correction["pool"]);
        if !rate.is_null() {
            return weight * number(&rate["numerator"]) / number(&rate["denominator"]);
        }
        match number(&pool[total]) {
            total if total == zero() => zero(),
            total => number(&pool["to_share"]["units"]) * weight / total,
        }
    };
    let before = rewarded(sealed, "total_weight");
    assert_eq!(before, number(&sealed["rewarded"]["units"]), "{correction:#}");
    let after = rewarded(now, "corrected_total_weight");
    assert_eq!(after, number(&now["rewarded"]["units"]), "{correction:#}");
    if correction["is_corrected_before"] == false {
        assert_eq!(before, number(&correction["before"]["units"]), "{correction:#}");
    }
    let made_good = after - number(&correction["before"]["units"]);
    assert_eq!(made_good, number(&correction["made_good"]["units"]), "{correction:#}");
    made_good
}

/// What is paid of the due.
fn paid(explanation: &Value, due: &BigInt) -> BigInt {
    let (rules, payout) = (&explanation["programme"], &explanation["payout"]);
    let of = |name: &str| number(&payout[name]["units"]);
    let grain = number(&rules["grain"]["units"]);
    let payable = due.clone().max(zero()) / &grain * &grain;
    assert_eq!(payable, of("payable"), "{explanation:#}");
    let least = number(&rules["min_payout"]["units"]);
    let is_excluded = explanation["is_excluded"] == true;
    let paid = if payable < least || is_excluded {
        zero()
    } else {
        payable.clone()
    };
    assert_eq!(paid, of("paid"), "{explanation:#}");
    let left = due - &paid;
    assert_eq!(left, of("withheld_after"), "{explanation:#}");
    let because = if left == zero() {
        None
    } else if left < zero() {
        Some("debt")
    } else if is_excluded {
        Some("excluded")
    } else if paid == zero() && payable > zero() {
        Some("below_min_payout")
    } else {
        Some("below_grain")
    };
    assert_eq!(payout["withheld_because"].as_str(), because, "{explanation:#}");
    paid
}
