use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::gate::GateLimit;
use crate::core::contract::listing::Listing;
use crate::core::values::offset::Offset;
use crate::serve::figures::samples::{DAY_MS, asset, day, seal};

const HOUR_MS: i64 = 3_600_000;

/// A listing with epochs of a day from 2026-01-01 on, what was decided on it, and its seals.
#[derive(Default)]
struct Deployment {
    catalogue: ViewCatalogue,
    seals: BTreeMap<Epoch, Seal<'static>>,
}

impl Deployment {
    fn new(programme: &Value) -> Self {
        let mut deployment = Self::default();
        deployment.decide(Decision::ListingAccepted {
            control_offset: Offset::new(0),
            number: 0,
            listing: Box::new(listing(programme)),
            in_force_from: Offsets::default(),
            newest_not_counted: None,
        });
        deployment
    }

    fn decide(&mut self, decision: Decision) {
        self.catalogue.add(&decision);
    }

    fn change(&mut self, programme: &Value) {
        self.decide(Decision::ProgrammeChanged {
            control_offset: Offset::new(0),
            number: 0,
            listing: Box::new(listing(programme)),
        });
    }

    fn close(&mut self, epoch: u64, reward_pool: &str, apr: Option<&str>) {
        self.decide(Decision::CloseAccepted {
            control_offset: Offset::new(0),
            asset: asset(),
            number: 0,
            epoch: Epoch::new(epoch),
            reward_pool: reward_pool.into(),
            apr: apr.map(str::to_owned),
            reward_rate: None,
            is_last: false,
            again: false,
        });
    }

    fn seal(&mut self, epoch: u64, change: impl FnOnce(&mut Seal<'static>)) {
        self.close(epoch, "0", None);
        let mut seal = seal(epoch, i64::try_from(epoch).unwrap());
        change(&mut seal);
        self.catalogue.seal(asset(), seal.epoch);
        self.seals.insert(seal.epoch, seal);
    }

    fn hold(&mut self, epoch: u64, total: &str) {
        self.decide(Decision::EpochHeld {
            asset: asset(),
            number: 0,
            epoch: Epoch::new(epoch),
            limit: GateLimit::Always,
            largest: total.into(),
            total: total.into(),
            change: None,
        });
    }

    fn at(&self, at: i64) -> Liabilities {
        let seal_of = |_: Asset, epoch: Epoch| Ok::<_, FigureError>(self.seals.get(&epoch).cloned());
        liabilities(&self.catalogue, seal_of, TimeMs::from(at)).unwrap()
    }

    /// State, first and last epoch, amount and basis of each line.
    fn lines(&self, at: i64) -> Vec<String> {
        let lines = self.at(at).items.into_iter();
        lines
            .map(|line| {
                let amount = line.amount.unwrap_or("-".into());
                format!(
                    "{} {}-{} {amount} {:?}",
                    line.state, line.first_epoch, line.last_epoch, line.basis
                )
            })
            .collect()
    }
}

fn listing(programme: &Value) -> Listing {
    let data = json!({
        "asset": "ATOM", "decimals": 6, "anchor": "2026-01-01T00:00:00Z", "epoch_seconds": 86_400, "programme": programme,
    });
    Listing::read(&data.to_string()).unwrap()
}

fn pool() -> Value {
    json!({"from_epoch": 0, "mode": "pool"})
}

fn apr(rate: &str) -> Value {
    json!({"from_epoch": 0, "mode": "apr", "apr": rate})
}

/// A time in days and hours after 2026-01-01.
fn time(days: i64, hours: i64) -> i64 {
    day(days).get() + hours * HOUR_MS
}

#[test]
fn open_epochs_are_estimated_by_the_newest_sealed_one() {
    let mut deployment = Deployment::new(&pool());
    assert_eq!(deployment.lines(time(0, 8)), ["open 0-0 - Unknown"]);
    assert!(!deployment.at(time(0, 8)).totals[0].is_complete);
    deployment.seal(0, |seal| {
        seal.rewarded = "10".into();
        // What is paid of older dues is no part of what an epoch adds.
        seal.distributed = "700".into();
    });
    // A third of 10, rounded down to the unit.
    assert_eq!(deployment.lines(time(1, 8)), ["open 1-1 3.333333 LikeEpoch"]);
    let line = deployment.at(time(1, 8)).items.remove(0);
    assert_eq!((line.is_estimate, line.like_epoch), (true, Some(Epoch::FIRST)));
    assert_eq!(
        (line.start.as_str(), line.until.as_str()),
        ("2026-01-02T00:00:00.000Z", "2026-01-02T08:00:00.000Z")
    );
    // Nobody has closed for two days.
    assert_eq!(deployment.lines(time(3, 12)), ["open 1-3 25 LikeEpoch"]);
    assert_eq!(deployment.lines(time(1, 0)), [""; 0]);
    assert_eq!(deployment.lines(time(-5, 0)), [""; 0]);
    deployment.seal(1, |seal| seal.rewarded = "0".into());
    assert_eq!(deployment.lines(time(2, 12)), ["open 2-2 0 LikeEpoch"]);
}

#[test]
fn what_is_closed_counts_by_its_pool_or_its_figures() {
    let mut programme = pool();
    programme["commission_rate"] = "0.1".into();
    let mut deployment = Deployment::new(&programme);
    deployment.seal(0, |seal| {
        seal.rewarded = "10".into();
        seal.carried_out = "-0.5".into();
    });
    deployment.close(1, "20", None);
    assert_eq!(
        deployment.lines(time(2, 6)),
        ["closing 1-1 17.5 Pool", "open 2-2 2.5 LikeEpoch"]
    );
    deployment.hold(1, "16.999999");
    deployment.close(2, "10", None);
    deployment.close(3, "30", None);
    // What is carried into epoch 2 is not known before epoch 1 is sealed.
    let expected = ["held 1-1 16.999999 Held", "closing 2-3 36 Pool"];
    assert_eq!(deployment.lines(time(4, 0)), expected);
    let totals = deployment.at(time(4, 0)).totals;
    assert_eq!((&*totals[0].amount, totals[0].is_complete), ("52.999999", true));
    deployment.decide(Decision::EpochVoid {
        control_offset: Offset::new(0),
        asset: asset(),
        number: 0,
        epoch: Epoch::new(1),
        by: "ops".into(),
        reason: "wrong".into(),
    });
    assert_eq!(deployment.lines(time(4, 0)), expected[1..]);
    // A slashed pool pays nobody.
    deployment.close(4, "0", None);
    deployment.decide(Decision::PoolAdjusted {
        control_offset: Offset::new(0),
        asset: asset(),
        epoch: Epoch::new(4),
        amount: "-7".into(),
    });
    assert_eq!(deployment.lines(time(5, 0)), ["closing 2-4 36 Pool"]);
}

#[test]
fn another_rate_changes_the_estimate() {
    let mut deployment = Deployment::new(&apr("0.04"));
    deployment.seal(0, |seal| {
        (seal.mode, seal.apr) = ("apr".into(), Some("0.04".into()));
        seal.rewarded = "8".into();
    });
    assert_eq!(deployment.lines(time(1, 12)), ["open 1-1 4 LikeEpoch"]);
    // The close gave the rate of epoch 0, so it is likely to give it again.
    deployment.seals.get_mut(&Epoch::FIRST).unwrap().apr = Some("0.02".into());
    assert_eq!(deployment.lines(time(1, 12)), ["open 1-1 4 LikeEpoch"]);
    deployment.close(1, "0", Some("0.03"));
    assert_eq!(deployment.lines(time(2, 0)), ["closing 1-1 12 LikeEpoch"]);
    deployment.close(2, "0", Some("0"));
    assert_eq!(
        deployment.lines(time(3, 0)),
        ["closing 1-1 12 LikeEpoch", "closing 2-2 0 Nothing"]
    );
    // A new programme pays its own rate, then a paused one nothing, then another mode that no seal tells of.
    let from = |epoch: u64, mut programme: Value| {
        programme["from_epoch"] = epoch.into();
        programme
    };
    deployment.change(&from(3, apr("0.01")));
    deployment.change(&from(4, apr("0")));
    deployment.change(&from(5, pool()));
    let tier = json!([{"up_to": null, "apr": "0.05"}]);
    deployment.change(&json!({"from_epoch": 6, "mode": "apr", "tiers": tier}));
    assert_eq!(
        deployment.lines(time(7, 0))[2..],
        ["open 3-3 4 LikeEpoch", "open 4-4 0 Nothing", "open 5-6 - Unknown"]
    );
}

#[test]
fn a_programme_that_rewards_nobody_accrues_nothing() {
    for programme in [
        json!({"from_epoch": 0, "mode": "pool", "commission_rate": "1"}),
        json!({"from_epoch": 0, "mode": "pool", "tiers": [{"up_to": null, "multiplier": "0"}]}),
        json!({"from_epoch": 0, "mode": "apr", "tiers": [{"up_to": "5", "apr": "0"}, {"up_to": null, "apr": "0"}]}),
        apr("0"),
    ] {
        let mut deployment = Deployment::new(&programme);
        assert_eq!(deployment.lines(time(0, 8)), ["open 0-0 0 Nothing"], "{programme}");
        deployment.close(0, "12", None);
        assert_eq!(deployment.lines(time(1, 0)), ["closing 0-0 0 Nothing"], "{programme}");
    }
}

#[test]
fn a_withdrawn_asset_accrues_up_to_its_end_alone() {
    let mut deployment = Deployment::new(&pool());
    deployment.seal(0, |seal| seal.rewarded = "10".into());
    deployment.decide(Decision::WithdrawalAccepted {
        control_offset: Offset::new(0),
        asset: asset(),
        number: 0,
        epoch: Epoch::new(2),
        in_force_from: Offsets::default(),
        dropped: "0".into(),
    });
    assert_eq!(deployment.lines(time(9, 0)), ["open 1-1 10 LikeEpoch"]);
    deployment.close(1, "4", None);
    assert_eq!(deployment.lines(time(9, 0)), ["closing 1-1 4 Pool"]);
    deployment.seal(1, |_| {});
    assert_eq!(deployment.lines(time(9, 0)), [""; 0]);
}

#[test]
fn an_earlier_time_counts_what_was_accrued_then() {
    let mut deployment = Deployment::new(&pool());
    deployment.seal(0, |seal| seal.rewarded = "10".into());
    deployment.seal(1, |seal| seal.rewarded = "6".into());
    deployment.close(2, "12", None);
    // At midnight, all that had ended is in the statement.
    assert_eq!(deployment.lines(time(1, 0)), [""; 0]);
    assert_eq!(deployment.lines(time(2, 0)), [""; 0]);
    assert_eq!(deployment.lines(time(0, 6)), ["sealed 0-0 2.5 Sealed"]);
    assert_eq!(deployment.lines(time(1, 12)), ["sealed 1-1 3 Sealed"]);
    let line = deployment.at(time(1, 12)).items.remove(0);
    assert_eq!((line.is_estimate, line.like_epoch), (false, None));
    // Epoch 2 was open then, and its pool is known now.
    assert_eq!(deployment.lines(time(2, 6)), ["closing 2-2 3 Pool"]);
    assert_eq!(
        deployment.lines(time(3, 12)),
        ["closing 2-2 12 Pool", "open 3-3 3 LikeEpoch"]
    );
}

#[test]
fn what_softstake_did_not_write_is_named() {
    let mut deployment = Deployment::new(&pool());
    deployment.seal(0, |seal| seal.rewarded = "1e3".into());
    let seal_of = |_: Asset, epoch: Epoch| Ok::<_, FigureError>(deployment.seals.get(&epoch).cloned());
    let error = liabilities(&deployment.catalogue, seal_of, TimeMs::from(time(1, 1))).unwrap_err();
    assert!(
        error.to_string().contains("ATOM epoch 0 has no valid `rewarded`"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn what_is_accrued_grows_with_time(
        rewarded in 0_u64..1_000_000_000,
        (early, late) in (0_i64..6 * DAY_MS, 0_i64..6 * DAY_MS),
    ) {
        let mut deployment = Deployment::new(&pool());
        let whole = ExactAmount::parse(&format!("{}.{:06}", rewarded / 1_000_000, rewarded % 1_000_000)).unwrap();
        deployment.seal(0, |seal| seal.rewarded = whole.to_string().into());
        let total = |passed: i64| {
            let found = deployment.at(time(1, 0) + passed);
            found.totals.first().map_or(ExactAmount::default(), |total| ExactAmount::parse(&total.amount).unwrap())
        };
        let (early, late) = (early.min(late), early.max(late));
        prop_assert!(total(early) <= total(late));
        // A whole number of epochs has exactly so many times the amount.
        let days = late / DAY_MS;
        let exact = (0..days).try_fold(ExactAmount::default(), |sum, _| sum.plus(whole)).unwrap();
        prop_assert_eq!(total(days * DAY_MS), exact);
    }
}
