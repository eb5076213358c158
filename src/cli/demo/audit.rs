//! The demo's own audit: it recomputes, exactly, from the published records that money was conserved.

use std::collections::BTreeMap;

use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::short_root;
use crate::core::contract::merkle::{BucketTree, EMPTY_ROOT, epoch_root};
use crate::core::contract::records::{Distribution, Seal};
use crate::core::values::amount::{ExactAmount, SignedAmount};
use crate::core::values::bucket::{BUCKETS, bucket};

/// The parts of two sums that must be equal.
#[derive(Debug, PartialEq, Eq)]
struct Conservation<'a> {
    given: Vec<(&'a str, &'static str)>,
    used: Vec<(&'a str, &'static str)>,
}

impl<'a> Conservation<'a> {
    /// `P + carried_in + withheld_before + made_good + adjusted = commission + distributed + withheld_after + carried_out + returned`. In an epoch
    /// that pays a rate, the rewards replace the pool, and the carried amount does not change.
    fn of(seal: &'a Seal<'_>) -> Self {
        let due = [
            (&*seal.withheld_before, "withheld before"),
            (&*seal.made_good, "made good"),
            (&*seal.adjusted, "adjusted"),
        ];
        let paid = [
            (&*seal.distributed, "distributed"),
            (&*seal.withheld_after, "withheld after"),
        ];
        if seal.mode == "apr" {
            let mut given = vec![(&*seal.rewarded, "rewarded")];
            given.extend(due);
            return Conservation {
                given,
                used: paid.to_vec(),
            };
        }
        let mut given = vec![(&*seal.reward_pool, "pool"), (&seal.carried_in, "carried in")];
        given.extend(due);
        let mut used = vec![(&*seal.commission, "commission")];
        used.extend(paid);
        used.extend([(&*seal.carried_out, "carried out"), (&seal.returned, "returned")]);
        Conservation { given, used }
    }
}

impl Conservation<'_> {
    fn holds(&self) -> bool {
        let sum = |parts: &[(&str, &str)]| SignedAmount::sum(parts.iter().map(|(amount, _)| *amount));
        let given = sum(&self.given);
        given.is_some() && given == sum(&self.used)
    }

    fn line(&self) -> String {
        let side = |parts: &[(&str, &str)]| {
            parts
                .iter()
                .map(|(amount, what)| format!("{amount} {what}"))
                .collect::<Vec<_>>()
                .join(" + ")
        };
        format!("{} = {}", side(&self.given), side(&self.used))
    }
}

/// The sums over the distributions of an epoch.
#[derive(Default)]
struct EpochSums {
    count: u64,
    /// `None` if an amount cannot be parsed.
    sum: Option<ExactAmount>,
    /// The leaves of the Merkle tree, by bucket and account.
    leaves: BTreeMap<(u16, Vec<u8>), String>,
}

impl EpochSums {
    fn of<'a>(distributions: impl Iterator<Item = &'a Distribution<'a>>) -> Self {
        let mut sums = Self {
            sum: Some(ExactAmount::default()),
            ..Self::default()
        };
        for Distribution {
            account,
            asset,
            epoch,
            amount,
            ..
        } in distributions
        {
            sums.count += 1;
            sums.sum = sums.sum.and_then(|sum| sum.plus(ExactAmount::parse(amount)?));
            let leaf = format!("{asset}:{epoch}:{account}|{amount}");
            sums.leaves.insert((bucket(account), account.as_bytes().to_vec()), leaf);
        }
        sums
    }

    fn root(&self) -> String {
        let mut buckets: BTreeMap<u16, BucketTree> = BTreeMap::new();
        for ((bucket, _), leaf) in &self.leaves {
            buckets.entry(*bucket).or_default().push(leaf.as_bytes());
        }
        let root = |bucket| buckets.get(&bucket).map_or(EMPTY_ROOT, BucketTree::root);
        hex::encode(epoch_root((0..BUCKETS).map(root)))
    }
}

/// Writes the check of every seal. Returns whether all of them hold.
pub(super) fn show(
    seals: &[Seal<'_>],
    distributions: &[Distribution<'_>],
    out: &mut Output<'_>,
) -> Result<bool, Failure> {
    write_line!(
        out,
        "Is money conserved? Recomputed exactly from the published records:"
    )?;
    let mut all_hold = !seals.is_empty();
    for seal in seals {
        all_hold &= one(seal, distributions, out)?;
    }
    write_line!(out)?;
    Ok(all_hold)
}

fn one(seal: &Seal<'_>, distributions: &[Distribution<'_>], out: &mut Output<'_>) -> Result<bool, Failure> {
    let conservation = Conservation::of(seal);
    let sums = EpochSums::of(
        distributions
            .iter()
            .filter(|paid| (paid.asset, paid.epoch) == (seal.asset, seal.epoch)),
    );
    let paid =
        sums.count == seal.distributions && sums.sum.is_some() && sums.sum == ExactAmount::parse(&seal.distributed);
    let root = sums.root() == seal.root;
    let mark = |holds: bool| if holds { "✓" } else { "✗ DOES NOT HOLD" };
    let line = |out: &mut Output<'_>, what: String, holds: bool| -> Outcome {
        write_line!(out, "    {what}  {}", mark(holds))
    };
    write_line!(out, "  {} epoch {}", seal.asset, seal.epoch)?;
    line(out, conservation.line(), conservation.holds())?;
    line(
        out,
        format!(
            "{} distributions add up to {}",
            sums.count,
            sums.sum.unwrap_or_default()
        ),
        paid,
    )?;
    line(out, format!("Merkle root {}", short_root(&seal.root)), root)?;
    Ok(conservation.holds() && paid && root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::captured;
    use crate::core::contract::decision::Offsets;
    use crate::core::contract::records::Ineligible;
    use crate::core::values::asset::Asset;
    use crate::core::values::ids::Epoch;

    fn paid(account: &'static str, amount: &'static str) -> Distribution<'static> {
        Distribution {
            account: account.into(),
            asset: Asset::parse("ATOM").unwrap(),
            reward_asset: Asset::parse("ATOM").unwrap(),
            epoch: Epoch::FIRST,
            epoch_start: "".into(),
            epoch_end: "".into(),
            amount: amount.into(),
            rewarded: amount.into(),
            made_good: "0".into(),
            adjusted: "0".into(),
            withheld_before: "0".into(),
            balance_seconds: "".into(),
            average_balance: "".into(),
            programme_from_epoch: Epoch::FIRST,
        }
    }

    /// The worked example of the contract.
    fn example() -> (Seal<'static>, Vec<Distribution<'static>>) {
        let seal = Seal {
            asset: Asset::parse("ATOM").unwrap(),
            reward_asset: Asset::parse("ATOM").unwrap(),
            epoch: Epoch::FIRST,
            epoch_start: "".into(),
            epoch_end: "".into(),
            mode: "pool".into(),
            apr: None,
            reward_rate: None,
            reward_pool: "12.5".into(),
            commission: "1.25".into(),
            carried_in: "0".into(),
            carried_out: "0.0001".into(),
            returned: "0".into(),
            rewarded: "11.2499".into(),
            made_good: "0".into(),
            adjusted: "0".into(),
            distributed: "11.2499".into(),
            withheld_before: "0".into(),
            withheld_after: "0".into(),
            distributions: 3,
            ineligible: Ineligible {
                status: 1,
                negative: 0,
                below_minimum: 0,
            },
            eligible_balance_seconds: "97120583.25".into(),
            closing_balance: "2461.29".into(),
            programme_from_epoch: Epoch::FIRST,
            cut: std::borrow::Cow::Owned(Offsets::default()),
            root: "91c3653106b9783e93bc1fbcb4339a3956a4b1ad2072dcf3fbb7e85874bbe788".into(),
        };
        (
            seal,
            vec![paid("alice", "0.9007"), paid("bob", "10.0081"), paid("carol", "0.3411")],
        )
    }

    fn holds(seal: &Seal<'_>, distributions: &[Distribution<'_>]) -> bool {
        captured(|out| show(std::slice::from_ref(seal), distributions, out))
            .0
            .unwrap()
    }

    #[test]
    fn the_worked_example_holds() {
        let (seal, mut distributions) = example();
        assert_eq!(
            Conservation::of(&seal).line(),
            "12.5 pool + 0 carried in + 0 withheld before + 0 made good + 0 adjusted = 1.25 commission + 11.2499 distributed + 0 withheld after + \
             0.0001 carried out + 0 returned"
        );
        assert!(holds(&seal, &distributions));
        distributions.reverse();
        assert!(holds(&seal, &distributions), "the order does not matter");
    }

    #[test]
    fn one_unit_too_much_is_detected() {
        let (right, distributions) = example();
        for change in [
            |seal: &mut Seal<'static>| seal.carried_out = "0.000100000000000001".into(),
            |seal: &mut Seal<'static>| seal.withheld_before = "0.000001".into(),
            |seal: &mut Seal<'static>| seal.commission = "-1.25".into(),
            |seal: &mut Seal<'static>| seal.made_good = "0.000001".into(),
            |seal: &mut Seal<'static>| seal.adjusted = "-0.000001".into(),
            |seal: &mut Seal<'static>| seal.returned = "0.000001".into(),
            |seal: &mut Seal<'static>| seal.distributions = 4,
            |seal: &mut Seal<'static>| seal.root.to_mut().replace_range(0..1, "a"),
        ] {
            let mut seal = right.clone();
            change(&mut seal);
            assert!(!holds(&seal, &distributions), "{seal:?}");
        }
        let mut moved = distributions.clone();
        (moved[0].amount, moved[2].amount) = ("0.9008".into(), "0.3410".into());
        assert!(!holds(&right, &moved), "the sum is right, the root is not");
        assert!(!holds(&right, &distributions[..2]));
        assert!(
            !captured(|out| show(&[], &[], out)).0.unwrap(),
            "no seal at all proves nothing"
        );
    }

    #[test]
    fn debts_deficits_and_a_returned_pot_are_counted_with_their_signs() {
        let (mut seal, distributions) = example();
        // 0.9 of the pool is gone, 0.2 were made good, 0.05 clawed back; a debt of 0.75 is left.
        (seal.reward_pool, seal.carried_in) = ("11.6".into(), "0".into());
        (seal.made_good, seal.adjusted) = ("0.2".into(), "-0.05".into());
        seal.withheld_after = "-0.75".into();
        assert!(holds(&seal, &distributions));
        (seal.carried_out, seal.returned) = ("-1.9999".into(), "2".into());
        assert!(holds(&seal, &distributions));
        seal.returned = "1.9999".into();
        assert!(!holds(&seal, &distributions));
    }

    #[test]
    fn a_rate_has_no_pot() {
        let (mut seal, distributions) = example();
        seal.mode = "apr".into();
        (seal.carried_in, seal.carried_out) = ("5".into(), "5".into());
        assert_eq!(
            Conservation::of(&seal).line(),
            "11.2499 rewarded + 0 withheld before + 0 made good + 0 adjusted = 11.2499 distributed + 0 withheld after"
        );
        assert!(holds(&seal, &distributions));
    }
}
