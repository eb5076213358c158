use proptest::prelude::*;

use super::*;
use crate::serve::figures::samples::{asset, day, seal};

/// What happens in an epoch: whether it is `apr`, the pool or what is rewarded, and what is withheld and carried after it.
type Happening = (bool, i64, i64, i64, i64);

/// Seals that add up.
fn chain(happenings: &[Happening], relisted: Option<usize>) -> Vec<Seal<'static>> {
    let (mut carried, mut withheld) = (0, 0);
    let mut seals = Vec::new();
    for (epoch, (is_apr, given, adjusted, withheld_after, carried_out)) in happenings.iter().copied().enumerate() {
        if relisted == Some(epoch) {
            (carried, withheld) = (0, 0);
        }
        let mut seal = seal(epoch as u64, i64::try_from(epoch).unwrap() * 5);
        seal.epoch_end = day(i64::try_from(epoch + 1).unwrap() * 5).to_string().into();
        let text = |number: i64| number.to_string().into();
        seal.mode = if is_apr { "apr" } else { "pool" }.into();
        seal.reward_pool = text(given);
        seal.carried_in = text(carried);
        seal.withheld_before = text(withheld);
        seal.adjusted = text(adjusted);
        seal.withheld_after = text(withheld_after);
        let due = given + withheld + adjusted - withheld_after;
        if is_apr {
            seal.rewarded = text(given);
            seal.carried_out = text(carried);
            seal.distributed = text(due);
        } else {
            seal.carried_out = text(carried_out);
            seal.commission = text(3);
            seal.distributed = text(due + carried - carried_out - 3);
            carried = carried_out;
        }
        withheld = withheld_after;
        seal.distributions = epoch as u64;
        seals.push(seal);
    }
    seals
}

fn lines(seals: &[Seal<'_>], relisted: Option<usize>, period: TimePeriod) -> Vec<FinanceLine> {
    let begins =
        |_, epoch: Epoch| epoch == Epoch::FIRST || relisted.is_some_and(|first| epoch == Epoch::new(first as u64));
    let credited: CreditedSums = seals
        .iter()
        .map(|seal| {
            (
                (seal.asset, seal.epoch),
                ExactAmount::parse(&seal.epoch.to_string()).unwrap(),
            )
        })
        .collect();
    finance(seals, begins, period, Some(&credited)).unwrap()
}

/// The amounts that are summed over a line, in an order.
fn summed(line: &FinanceLine) -> Vec<&str> {
    let executed = line.executed.as_deref().unwrap();
    vec![
        &line.pool,
        &line.commission,
        &line.returned,
        &line.rewarded,
        &line.made_good,
        &line.adjusted,
        &line.distributed,
        executed,
    ]
}

fn sums(lines: &[FinanceLine]) -> (Vec<SignedAmount>, u64, u64) {
    let columns: Vec<Vec<&str>> = lines.iter().map(summed).collect();
    let column = |number: usize| SignedAmount::sum(columns.iter().map(|line| line[number])).unwrap();
    (
        (0..8).map(column).collect(),
        lines.iter().map(|line| line.payouts).sum(),
        lines.iter().map(|line| line.epochs).sum(),
    )
}

#[test]
fn a_line_for_each_month_and_each_mode() {
    // Epochs of five days: seven end in January or at the start of February.
    let mut happenings = vec![(false, 10, 0, 1, 2); 8];
    happenings.extend(vec![(true, 7, 1, 0, 0); 4]);
    let found = lines(&chain(&happenings, None), None, TimePeriod::default());
    let shown: Vec<_> = found
        .iter()
        .map(|line| {
            (
                line.month.as_str(),
                line.mode.as_str(),
                line.epochs,
                line.pool.as_str(),
                line.rewarded.as_str(),
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            ("2026-01", "pool", 6, "60", "0"),
            ("2026-02", "pool", 2, "20", "0"),
            ("2026-02", "apr", 3, "21", "21"),
            ("2026-03", "apr", 1, "7", "7"),
        ]
    );
    assert!(found.iter().all(|line| line.conserved && line.wrong.is_empty()));
    assert_eq!(
        (found[1].carried_in.as_str(), found[1].carried_out.as_str()),
        ("2", "2")
    );
    assert_eq!(
        (found[2].withheld_before.as_str(), found[2].withheld_after.as_str()),
        ("1", "0")
    );
    assert_eq!(found[0].executed.as_deref(), Some("15"));
}

#[test]
fn a_seal_that_does_not_add_up_is_named_in_its_month() {
    let mut seals = chain(&[(false, 10, 0, 1, 2); 8], None);
    seals[5].carried_out = "5".into();
    let found = lines(&seals, None, TimePeriod::default());
    assert_eq!(found[0].wrong, ["ATOM epoch 5: 13 came in, but 16 went out or is kept"]);
    // The epoch after it is in the next month.
    assert_eq!(
        found[1].wrong,
        ["ATOM epoch 6 starts with 2 carried, but the epoch before left 5"]
    );
    assert!(!found[0].conserved && !found[1].conserved);
}

#[test]
fn without_executions_nothing_is_said_of_them() {
    let seals = chain(&[(false, 10, 0, 1, 2); 2], None);
    let found = finance(&seals, |_, _| false, TimePeriod::default(), None).unwrap();
    let none = (&None, &None, &None);
    assert_eq!(
        (
            &found[0].executed,
            &found[0].not_credited,
            &found[0].over_credited_epochs
        ),
        none
    );
    let elsewhere: CreditedSums = [((asset(), Epoch::new(7)), ExactAmount::parse("4").unwrap())].into();
    let found = finance(&seals, |_, _| false, TimePeriod::default(), Some(&elsewhere)).unwrap();
    assert_eq!(found[0].executed.as_deref(), Some("0"));
    assert_eq!(found[0].not_credited.as_ref(), Some(&found[0].distributed));
    assert_eq!(found[0].over_credited_epochs, Some(vec![]));
}

#[test]
fn what_is_credited_beyond_the_distributed_is_negative_and_its_epochs_are_named() {
    let seals = chain(&[(false, 10, 0, 0, 2); 3], None);
    assert_eq!(
        [&*seals[1].distributed, &*seals[2].distributed],
        ["7", "7"],
        "of 10 and 2 that are carried in, 3 are commission and 2 are carried out"
    );
    let credited = |of: [&str; 3]| -> CreditedSums {
        let sums = (0..).zip(of);
        sums.map(|(epoch, sum)| ((asset(), Epoch::new(epoch)), ExactAmount::parse(sum).unwrap()))
            .collect()
    };
    for (of, executed, not_credited, over) in [
        (["5", "7", "7"], "19", "0", vec![]),
        (["5", "0", "6.5"], "11.5", "7.5", vec![]),
        // One epoch hides what another lacks in the sum, but not in the list.
        (["5", "9", "5"], "19", "0", vec![1]),
        (
            ["6", "7", "7.000000000000000001"],
            "20.000000000000000001",
            "-1.000000000000000001",
            vec![0, 2],
        ),
    ] {
        let found = finance(
            &seals,
            |_, epoch| epoch == Epoch::FIRST,
            TimePeriod::default(),
            Some(&credited(of)),
        );
        let [line] = &found.unwrap()[..] else {
            panic!("one line")
        };
        assert_eq!(
            (line.executed.as_deref(), line.not_credited.as_deref()),
            (Some(executed), Some(not_credited)),
            "{of:?}"
        );
        let over: Vec<Epoch> = over.into_iter().map(Epoch::new).collect();
        assert_eq!(line.over_credited_epochs.as_ref(), Some(&over), "{of:?}");
    }
}

proptest! {
    #[test]
    fn figures_add_up_over_any_split(
        happenings in prop::collection::vec((any::<bool>(), 0_i64..1_000, -20_i64..20, -30_i64..30, -40_i64..40), 1..40),
        relisted in prop::option::of(0_usize..40),
        splits in prop::collection::vec(-5_i64..220, 0..5),
    ) {
        let seals = chain(&happenings, relisted);
        let whole = lines(&seals, relisted, TimePeriod::default());
        let mut splits: Vec<_> = splits.into_iter().map(|number| Some(day(number))).collect();
        splits.sort_unstable();
        let starts = [None].into_iter().chain(splits.iter().copied());
        let ends = splits.iter().copied().chain([None]);
        let parts: Vec<Vec<FinanceLine>> = starts
            .zip(ends)
            .map(|(from, to)| lines(&seals, relisted, TimePeriod { from, to }))
            .collect();
        let parts = parts.concat();
        prop_assert_eq!(sums(&whole), sums(&parts));
        // The lines follow one another: each begins with what the one before left, but for the first of a listing.
        for lines in [&whole, &parts] {
            prop_assert!(lines.iter().all(|line| line.conserved), "{lines:?}");
            for pair in lines.windows(2).filter(|pair| Some(pair[1].first_epoch) != relisted.map(|first| Epoch::new(first as u64))) {
                prop_assert_eq!(&pair[0].carried_out, &pair[1].carried_in);
                prop_assert_eq!(&pair[0].withheld_after, &pair[1].withheld_before);
            }
        }
        // So do the sums of each line.
        for line in &parts {
            let sum = |amounts: &[&str]| SignedAmount::sum(amounts.iter().copied()).unwrap();
            let due = [line.withheld_before.as_str(), &line.made_good, &line.adjusted];
            let paid = [line.distributed.as_str(), &line.withheld_after];
            let (came_in, went_out) = if line.mode == "apr" {
                (sum(&[&line.rewarded]), sum(&[]))
            } else {
                (sum(&[&line.pool, &line.carried_in]), sum(&[&line.commission, &line.carried_out, &line.returned]))
            };
            prop_assert_eq!(came_in.plus(sum(&due)), went_out.plus(sum(&paid)));
        }
    }
}
