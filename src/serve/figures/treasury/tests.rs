use num_bigint::BigInt;
use num_rational::Ratio;
use num_traits::{Signed, Zero};
use proptest::prelude::*;

use super::*;
use crate::serve::figures::samples::{asset, day, seal};

type BigRational = Ratio<BigInt>;

/// Seals of consecutive days with these closing balances. Before a day in `gaps` there is a day without an epoch.
fn with_balances(balances: &[i64], gaps: &[usize]) -> Vec<Seal<'static>> {
    let mut start = 0;
    let mut seals = Vec::new();
    for (epoch, balance) in balances.iter().enumerate() {
        start += i64::from(gaps.contains(&epoch));
        let mut seal = seal(epoch as u64, start);
        seal.closing_balance = balance.to_string().into();
        seal.eligible_balance_seconds = (balance.max(&0) * 86_400).to_string().into();
        seals.push(seal);
        start += 1;
    }
    seals
}

fn between(from: i64, to: i64) -> TimePeriod {
    TimePeriod {
        from: Some(day(from)),
        to: Some(day(to)),
    }
}

fn figures(seals: &[Seal<'_>], period: TimePeriod, unbonding_days: u32) -> TreasuryFigures {
    treasury(asset(), seals, period, unbonding_days).unwrap()
}

#[test]
fn averages_balances_and_flows_of_a_period() {
    let seals = with_balances(&[100, 70, -5], &[]);
    let all = figures(&seals, TimePeriod::default(), 21).epochs;
    let flows: Vec<_> = all.iter().map(|epoch| epoch.net_flow.as_deref()).collect();
    assert_eq!(flows, [None, Some("-30"), Some("-75")]);
    assert_eq!(all[1].eligible_average, "70");
    assert_eq!(all[2].closing_balance, "-5");
    // The first flow of a period needs the seal before it.
    let last = figures(&seals, between(2, 3), 21).epochs;
    assert_eq!(last, all[2..]);
    assert!(figures(&seals, between(5, 9), 21).epochs.is_empty());
}

#[test]
fn the_share_that_stays_in_a_bank_run() {
    // On day 60 of 100, three quarters are taken out.
    let balances: Vec<i64> = (0..100).map(|number| if number < 60 { 1_000 } else { 250 }).collect();
    let retained = figures(&with_balances(&balances, &[]), TimePeriod::default(), 21)
        .retained
        .unwrap();
    assert_eq!((retained.p95.as_str(), retained.p99.as_str()), ("0.25", "0.25"));
    assert_eq!(
        (retained.stakeable_95.as_str(), retained.liquid_95.as_str()),
        ("62.5", "187.5")
    );
    // Windows begin at the ends of days 9 to 78: 90 days before the newest end, and 21 days before it at the latest.
    assert_eq!(retained.windows, 70);
    // As of a time before the run, everything stayed.
    let before = figures(&with_balances(&balances, &[]), between(0, 60), 21)
        .retained
        .unwrap();
    assert_eq!((before.p99.as_str(), before.stakeable_99.as_str()), ("1", "1000"));
}

#[test]
fn one_window_in_twenty_may_stay_below_the_share() {
    // 20 windows of a day: only in the first one something is taken out.
    let mut balances = vec![100; 21];
    balances[0] = 200;
    let retained = figures(&with_balances(&balances, &[]), TimePeriod::default(), 1)
        .retained
        .unwrap();
    assert_eq!(retained.windows, 20);
    assert_eq!((retained.p95.as_str(), retained.p99.as_str()), ("1", "0.5"));
}

#[test]
fn too_few_windows_have_a_reason() {
    for (days, unbonding, windows) in [(20, 1, 19), (40, 21, 19), (200, 91, 0), (200, 71, 20)] {
        let found = figures(&with_balances(&vec![5; days], &[]), TimePeriod::default(), unbonding);
        match found.retained {
            Some(retained) => assert_eq!(retained.windows, windows),
            None => {
                let why = found.not_retained_because.unwrap();
                assert!(
                    windows < 20 && why.starts_with(&format!("{windows} windows of {unbonding} days")),
                    "{why}"
                );
            }
        }
    }
    let nothing = figures(&[], TimePeriod::default(), 21);
    assert_eq!(nothing.not_retained_because.as_deref(), Some("no epoch is sealed"));
}

#[test]
fn a_seal_that_softstake_did_not_write_is_an_error() {
    let mut wrong = with_balances(&[1], &[]);
    wrong[0].closing_balance = "1e3".into();
    let error = treasury(asset(), &wrong, TimePeriod::default(), 21).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("ATOM epoch 0 has no valid `closing_balance`"),
        "{error}"
    );
}

/// The shares of all windows, as the definition says it.
fn shares_by_definition(seals: &[Seal<'_>], unbonding_days: i64) -> Vec<BigRational> {
    let read: Vec<(TimeMs, TimeMs, i64)> = seals
        .iter()
        .map(|seal| {
            let (start, end) = times(seal).unwrap();
            (start, end, seal.closing_balance.parse().unwrap())
        })
        .collect();
    let newest = read.last().unwrap().1.get();
    let mut shares = Vec::new();
    for (at, (_, start, balance)) in read.iter().enumerate() {
        let end = start.get() + unbonding_days * DAY_MS;
        if start.get() < newest - i64::from(WINDOW_DAYS) * DAY_MS || end > newest || *balance <= 0 {
            continue;
        }
        let inside: Vec<_> = read[at..].iter().take_while(|closing| closing.1.get() <= end).collect();
        if inside.windows(2).any(|pair| pair[0].1 != pair[1].0) {
            continue;
        }
        let lowest = inside.iter().map(|closing| closing.2.max(0)).min().unwrap();
        shares.push(BigRational::new(BigInt::from(lowest), BigInt::from(*balance)));
    }
    shares.sort();
    shares
}

fn rational(text: &str) -> BigRational {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
    BigRational::new(digits, BigInt::from(10).pow(u32::try_from(fraction.len()).unwrap()))
}

proptest! {
    #[test]
    fn the_shares_are_those_of_the_definition(
        balances in prop::collection::vec(-20_i64..1_000, 1..140),
        gaps in prop::collection::vec(0_usize..140, 0..3),
        unbonding in 0_u32..40,
    ) {
        let seals = with_balances(&balances, &gaps);
        let expected = shares_by_definition(&seals, i64::from(unbonding));
        let found = figures(&seals, TimePeriod::default(), unbonding).retained;
        prop_assert_eq!(found.is_some(), expected.len() >= 20);
        let Some(found) = found else { return Ok(()) };
        let cut = BigRational::new(BigInt::from(1), BigInt::from(10).pow(18));
        let newest = BigRational::from(BigInt::from((*balances.last().unwrap()).max(0)));
        let parts = [(95, &found.p95, &found.stakeable_95, &found.liquid_95), (99, &found.p99, &found.stakeable_99, &found.liquid_99)];
        for (percent, share, stakeable, liquid) in parts {
            // The greatest share that so many windows reach.
            let reached = |share: &BigRational| expected.iter().filter(|other| *other >= share).count();
            let exact = expected.iter().rev().find(|share| reached(share) * 100 >= expected.len() * percent).unwrap();
            for (shown, right) in [(share, exact.clone()), (stakeable, exact * &newest)] {
                let less = right - rational(shown);
                prop_assert!(!less.is_negative() && less < cut, "{} of {:?}", shown, exact);
            }
            prop_assert!((rational(stakeable) + rational(liquid) - &newest).is_zero());
        }
    }

    #[test]
    fn epochs_and_flows_add_up_over_any_split(
        balances in prop::collection::vec(-50_i64..1_000, 1..40),
        from in 0_i64..45,
        split in 0_i64..45,
        to in 0_i64..45,
    ) {
        let seals = with_balances(&balances, &[]);
        let mut bounds = [from, split, to];
        bounds.sort_unstable();
        let [from, split, to] = bounds;
        let whole = figures(&seals, between(from, to), 21).epochs;
        let mut parts = figures(&seals, between(from, split), 21).epochs;
        parts.extend(figures(&seals, between(split, to), 21).epochs);
        prop_assert_eq!(&whole, &parts);
        let flows = whole.iter().filter_map(|epoch| epoch.net_flow.as_deref());
        let sum = SignedAmount::sum(flows).unwrap();
        if let (Some(first), Some(last)) = (whole.first(), whole.last()) {
            let first = usize::try_from(first.epoch.get()).unwrap();
            let before = balances[first.saturating_sub(1)];
            prop_assert_eq!(sum.plus(SignedAmount::parse(&before.to_string()).unwrap()).unwrap().to_string(), last.closing_balance.clone());
        }
    }
}
