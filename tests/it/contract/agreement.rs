//! The program and the model on the same synthetic buses: every published record must be equal.

use softstake::generate::Synthetic;

use crate::common::{Place, setting};
use crate::judge::compare;

#[test]
fn a_hundred_thousand_events_on_1_and_on_16_partitions() {
    let spec = Synthetic {
        events: setting("TEST_EVENTS", 100_000),
        accounts: 2_000,
        assets: 4,
        partitions: 2,
        epochs: 5,
        seed: 7,
        duplicates: 0.03,
        late: 0.03,
        bad: 0.03,
        ..Synthetic::default()
    };
    let mut outcomes = Vec::new();
    for partitions in [1, 16] {
        let place = Place::new();
        place.grow(&spec, Some(partitions));
        let published = compare(&place.bus(), &format!("{partitions} ledger partitions"));
        assert_eq!(published.seals.len(), 20, "4 assets, 5 epochs");
        assert!(
            published.late_postings.len() > 1000,
            "{} late postings",
            published.late_postings.len()
        );
        assert!(
            published.dead_letters.len() > 3000,
            "{} dead letters",
            published.dead_letters.len()
        );
        outcomes.push(place.outcome());
    }
    assert_eq!(outcomes[0], outcomes[1], "the number of partitions changes the output");
}

#[test]
fn two_hundred_small_buses() {
    let seeds = setting("TEST_SEEDS", 200);
    let first = setting("TEST_FIRST_SEED", 1);
    for seed in first..first + seeds {
        let spec = Synthetic {
            events: 300 + seed % 7 * 100,
            accounts: 5 + seed % 40,
            assets: 1 + u32::try_from(seed % 6).expect("small"),
            partitions: 1 + u32::try_from(seed % 3).expect("small"),
            epochs: if seed % 10 == 0 {
                12
            } else {
                1 + u32::try_from(seed % 5).expect("small")
            },
            epoch_seconds: [60, 3600, 86_400, 2_678_400][usize::try_from(seed % 4).expect("small")],
            seed,
            duplicates: 0.05,
            late: 0.08,
            bad: 0.1,
        };
        let place = Place::new();
        place.grow(&spec, Some(1 << (seed % 5)));
        compare(&place.bus(), &format!("seed {seed}"));
    }
}

#[test]
fn a_bus_whose_stages_are_all_there_at_once() {
    let spec = Synthetic {
        events: 20_000,
        accounts: 500,
        seed: 42,
        late: 0.05,
        ..Synthetic::default()
    };
    let place = Place::new();
    place.bring_all(&spec);
    place.run(None);
    compare(&place.bus(), "all stages at once");
}
