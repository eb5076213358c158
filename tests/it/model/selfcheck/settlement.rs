//! Weights, shares, statuses and programmes, each by itself.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_traits::One;
use serde_json::{Value, json};

use crate::model::bus::{Offsets, Place};
use crate::model::event::Status;
use crate::model::ledger::StatusEvent;
use crate::model::parts::amount::Rational;
use crate::model::parts::fields::Envelope;
use crate::model::programme::{Listing, Programme, listing};
use crate::model::share::Payer;
use crate::model::status::Statuses;
use crate::model::weigh::{ByAccount, weigh};

fn listed(programme: &Value) -> Result<Listing, &'static str> {
    let mut programme = programme.clone();
    programme["from_epoch"] = json!(0);
    let record = json!({
        "specversion": "1.0", "id": "x", "source": "/test", "type": "softstake.asset.v1", "time": "2026-11-01T00:00:00Z",
        "data": {
            "asset": "A", "decimals": 0, "anchor": "2026-11-01T00:00:00Z", "epoch_seconds": 60, "programme": programme,
        },
    });
    let envelope = Envelope::read(record.to_string().as_bytes()).map_err(|rejection| rejection.code)?;
    listing(envelope.data()).map_err(|rejection| rejection.code)
}

fn programme(fields: &Value) -> Programme {
    listed(fields).expect("a programme").programme
}

fn amounts<const N: usize>(amounts: [(&str, i64); N]) -> ByAccount {
    amounts
        .map(|(account, amount)| (account.to_owned(), BigInt::from(amount)))
        .into()
}

#[test]
fn tiers_and_cap_make_the_weight() {
    // In an epoch of 10 ms: bounds of 1,000 and 3,000 unit-milliseconds, and a cap of 5,000.
    let tiers = json!([
        {"up_to": "100", "multiplier": "1"}, {"up_to": "300", "multiplier": "0.5"}, {"up_to": null, "multiplier": "2"},
    ]);
    let programme = programme(&json!({"mode": "pool", "min_balance": "50", "max_balance": "500", "tiers": tiers}));
    let sums = amounts([
        ("a", 499),
        ("b", 500),
        ("c", 1000),
        ("d", 3000),
        ("e", 9000),
        ("f", -1),
        ("g", 0),
        ("h", 800),
    ]);
    let weighed = weigh(&programme, &BigInt::from(10), &sums, |account| account != "h");
    let million = |units: i64| units * 1_000_000;
    // e counts with 5,000: 1,000 + 2,000 / 2 + 2,000 * 2.
    let weights =
        [("b", 500), ("c", 1000), ("d", 2000), ("e", 6000)].map(|(account, weight)| (account, million(weight)));
    assert_eq!(weighed.weights, amounts(weights));
    assert_eq!(
        weighed.capped,
        amounts([("b", 500), ("c", 1000), ("d", 3000), ("e", 5000)])
    );
    assert_eq!(
        (weighed.not_allowed, weighed.negative, weighed.below_minimum),
        (1, 1, 1)
    );
}

#[test]
fn an_owner_is_weighed_as_a_whole() {
    let programme = programme(&json!({"mode": "pool", "scope": "owner", "min_balance": "3", "max_balance": "10"}));
    let sums = amounts([("u/a", 20), ("u/b", 10), ("u/c", -5), ("v/a", 1), ("v/b", 1), ("w", 3)]);
    let weighed = weigh(&programme, &BigInt::one(), &sums, |_| true);
    // u has 30, capped at 10, of which two thirds are rounded down to 6, and one third to 3.
    assert_eq!(weighed.capped, amounts([("u/a", 6), ("u/b", 3), ("w", 3)]));
    assert_eq!(
        weighed.weights,
        amounts([("u/a", 6_666_666), ("u/b", 3_333_333), ("w", 3_000_000)])
    );
    assert_eq!((weighed.negative, weighed.below_minimum), (1, 2));
}

#[test]
fn a_pot_is_shared_by_weight_and_only_if_it_is_positive() {
    let share = |pot: i64, total: i64, weight: i64| {
        let payer = Payer::Pot {
            pot: pot.into(),
            total_weight: total.into(),
        };
        payer.share(&weight.into())
    };
    assert_eq!(share(10, 3, 2), BigInt::from(6));
    assert_eq!(share(10, 3, 3), BigInt::from(10));
    assert_eq!(share(-10, 3, 2), BigInt::from(0));
    assert_eq!(share(10, 0, 0), BigInt::from(0));
    let rate = Payer::Rate(Rational::new(2.into(), 3.into()));
    assert_eq!(rate.share(&BigInt::from(2)), BigInt::from(1));
    assert_eq!(rate.share(&BigInt::from(3)), BigInt::from(2));
}

/// `account time status asset`, each read at its own offset.
fn statuses(lines: &[(&str, i64, Status, Option<&str>)]) -> BTreeMap<String, Vec<StatusEvent>> {
    let place = Place::of("exchange.accounts", 0).expect("a topic");
    let mut by_account: BTreeMap<String, Vec<StatusEvent>> = BTreeMap::new();
    for (offset, (account, time, status, asset)) in (0..).zip(lines) {
        by_account.entry((*account).to_owned()).or_default().push(StatusEvent {
            time: *time,
            id: format!("s-{offset}"),
            asset: asset.map(str::to_owned),
            status: *status,
            place,
            offset,
        });
    }
    by_account
}

#[test]
fn statuses_decide_at_the_start_and_exclusions_inside() {
    use Status::{Enrolled, Excluded, OptedOut};
    let by_account = statuses(&[
        ("a", 100, OptedOut, None),
        ("a", 101, Enrolled, None),
        ("b", 100, Excluded, Some("B")),
        ("b", 199, Excluded, Some("A")),
        ("c", 200, Excluded, None),
        ("d", 90, Enrolled, Some("A")),
        ("d", 95, OptedOut, None),
        ("e", 100, Excluded, None), // at the cut
    ]);
    let cut = Offsets(BTreeMap::from([(
        Place::of("exchange.accounts", 0).expect("a topic"),
        7,
    )]));
    let at = |asset, start, end| Statuses {
        by_account: &by_account,
        asset,
        cut: &cut,
        start,
        end,
    };
    let of = |asset, start, end| {
        let statuses = at(asset, start, end);
        ["a", "b", "b/x", "c", "d", "e"].map(|account| (statuses.allows(account, false), statuses.is_excluded(account)))
    };
    let (yes, no, excluded) = ((true, false), (false, false), (false, true));
    assert_eq!(of("A", 100, 200), [no, excluded, excluded, yes, no, yes]);
    assert_eq!(of("B", 101, 200), [yes, excluded, excluded, yes, no, yes]);
    assert_eq!(of("A", 199, 201), [yes, excluded, excluded, excluded, no, yes]);
    assert_eq!(of("C", 0, 50), [yes; 6]);
    // Without a status, a programme with opt_in wants one. Of d, only the status for one asset is known at 90.
    assert!(!at("A", 0, 50).allows("a", true));
    assert!(at("A", 90, 95).allows("d", true));
    assert!(!at("B", 90, 95).allows("d", true));
}

#[test]
fn defaults_of_a_programme() {
    let programme = programme(&json!({"mode": "pool"}));
    assert_eq!(
        (programme.late_policy.name(), programme.payout_decimals),
        ("resettle", 0)
    );
    assert_eq!(
        (programme.min_payout, programme.min_balance, programme.max_balance),
        (0.into(), 0.into(), None)
    );
    assert!(!programme.scope_is_owner && !programme.enrolment_is_opt_in && programme.gate.is_none());
    assert_eq!(programme.tiers.len(), 1);
    assert_eq!(
        listed(&json!({"mode": "pool", "gates": "always"})).err(),
        Some("invalid_programme")
    );
}
