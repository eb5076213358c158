use super::*;
use crate::core::values::time::TimeMs;

fn asset(name: &str) -> Asset {
    Asset::parse(name).unwrap()
}

/// ATOM has epochs of a day: 0, 1 and 3 are sealed, 2 and 4 are closed. ETH is listed only.
fn inventory() -> Inventory {
    let calendar = Calendar::new(TimeMs::parse("2026-11-01T00:00:00Z").unwrap(), 86_400, Epoch::FIRST);
    let mut inventory = Inventory::default();
    for name in ["ATOM", "ETH"] {
        inventory.0.entry(asset(name)).or_default().list(ListedPeriod {
            number: 0,
            calendar,
            withdrawn: None,
        });
    }
    for epoch in [0, 1, 3] {
        inventory.add_seal(asset("ATOM"), Epoch::new(epoch));
    }
    inventory.0.get_mut(&asset("ATOM")).unwrap().close(Epoch::new(4));
    inventory
}

fn asked(name: &str, from: Option<u64>, to: Option<u64>) -> Asked {
    let name = Some(name).filter(|name| !name.is_empty());
    Asked::new(name.map(asset), from.map(Epoch::new), to.map(Epoch::new)).unwrap()
}

fn said(asked: Asked, needed: EpochProgress) -> String {
    match inventory().resolve(asked, needed).and_then(|resolved| resolved.check()) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn epochs_that_are_there_are_no_error() {
    use EpochProgress::{Closed, Sealed};
    for (asked, needed) in [
        (asked("ATOM", None, None), Sealed),
        (asked("", None, None), Sealed),
        (asked("ATOM", Some(0), Some(1)), Sealed),
        (asked("ATOM", None, Some(1)), Sealed),
        (asked("ATOM", Some(3), Some(3)), Sealed),
        (asked("ATOM", Some(0), Some(4)), Closed),
    ] {
        assert_eq!(said(asked, needed), "", "{asked:?}");
    }
}

#[test]
fn what_is_not_there_is_named_with_its_dates() {
    use EpochProgress::{Closed, Sealed};
    for (asked, needed, expected) in [
        (
            asked("ATOM", Some(1), Some(29)),
            Sealed,
            "not everything that was asked for is there: \
             ATOM epoch 2 (2026-11-03T00:00:00.000Z to 2026-11-04T00:00:00.000Z) is closed, but not sealed, \
             ATOM epoch 4 (2026-11-05T00:00:00.000Z to 2026-11-06T00:00:00.000Z) is closed, but not sealed, \
             ATOM epochs 5 to 29 (2026-11-06T00:00:00.000Z to 2026-12-01T00:00:00.000Z) are not closed",
        ),
        (
            asked("ATOM", Some(3), None),
            Sealed,
            "not everything that was asked for is there: \
             ATOM epoch 4 (2026-11-05T00:00:00.000Z to 2026-11-06T00:00:00.000Z) is closed, but not sealed",
        ),
        (
            asked("ATOM", Some(7), None),
            Closed,
            "nothing of what was asked for is there: \
             ATOM epoch 7 (2026-11-08T00:00:00.000Z to 2026-11-09T00:00:00.000Z) is not closed",
        ),
        (
            asked("ETH", None, None),
            Closed,
            "nothing of what was asked for is there: no epoch is closed",
        ),
        (
            asked("ATMO", None, None),
            Closed,
            "ATMO is not listed; did you mean ATOM?",
        ),
        (
            asked("DOGE", None, None),
            Closed,
            "DOGE is not listed; the listed assets are ATOM, ETH",
        ),
    ] {
        assert_eq!(said(asked, needed), expected);
    }
    let mut damaged = inventory();
    damaged.0.get_mut(&asset("ATOM")).unwrap().close(Epoch::new(u64::MAX));
    let resolved = damaged.resolve(asked("ATOM", None, None), Sealed).unwrap();
    assert_eq!((resolved.there, resolved.missing().len()), (3, 2));
    // The last epoch that can be numbered takes no longer than others.
    assert!(said(asked("ATOM", None, Some(u64::MAX)), Sealed).contains("epochs 5 to 18446744073709551615"));
}

/// ATOM as above; its epochs from 6 on are withdrawn, and it is listed again from epoch 8 on.
fn listed_again() -> Inventory {
    let mut inventory = inventory();
    let atom = inventory.0.get_mut(&asset("ATOM")).unwrap();
    atom.withdraw(0, Epoch::new(6));
    atom.list(ListedPeriod {
        number: 1,
        calendar: Calendar::new(TimeMs::parse("2027-01-01T00:00:00Z").unwrap(), 3_600, Epoch::new(8)),
        withdrawn: None,
    });
    inventory
}

#[test]
fn epochs_that_the_asset_does_not_have_are_not_missing_beside_others() {
    let said = |from, to| {
        let resolved = listed_again().resolve(asked("ATOM", from, to), EpochProgress::Sealed);
        resolved
            .and_then(|resolved| resolved.check())
            .err()
            .map(|error| error.to_string())
    };
    for (from, to, expected) in [
        (6, 7, "ATOM epochs 6 to 7 do not exist"),
        (6, 6, "ATOM epoch 6 does not exist"),
        (
            4,
            6,
            "ATOM epochs 4 to 5 (2026-11-05T00:00:00.000Z to 2026-11-07T00:00:00.000Z) are closed, but not sealed",
        ),
        (
            7,
            9,
            "ATOM epochs 8 to 9 (2027-01-01T00:00:00.000Z to 2027-01-01T02:00:00.000Z) are not closed",
        ),
    ] {
        let error = said(Some(from), Some(to)).unwrap();
        assert!(error.ends_with(expected), "{error}");
    }
    assert_eq!(said(None, None), None);
    let inventory = listed_again();
    let begins = |epoch| inventory.begins_listing(asset("ATOM"), Epoch::new(epoch));
    assert_eq!([0, 1, 6, 8, 9].map(begins), [true, false, false, true, false]);
}

#[test]
fn an_epoch_that_the_gate_holds_is_named() {
    let mut inventory = inventory();
    let atom = inventory.0.get_mut(&asset("ATOM")).unwrap();
    atom.held.extend([(Epoch::new(1), true), (Epoch::new(2), false)]);
    let said = |inventory: &Inventory| {
        let resolved = inventory.resolve(asked("ATOM", Some(4), Some(4)), EpochProgress::Sealed);
        resolved.unwrap().check().unwrap_err().to_string()
    };
    // Epoch 1 is sealed.
    let error = said(&inventory);
    assert!(
        error.ends_with("closed, but not sealed: epoch 2 is held until it is released"),
        "{error}"
    );
    inventory
        .0
        .get_mut(&asset("ATOM"))
        .unwrap()
        .held
        .insert(Epoch::new(2), true);
    let error = said(&inventory);
    assert!(
        error.ends_with("closed, but not sealed: epoch 2 is void until it is closed again"),
        "{error}"
    );
}

#[test]
fn an_inverted_period_and_a_bus_without_assets_are_errors() {
    let inverted = Asked::new(None, Some(Epoch::new(5)), Some(Epoch::new(2))).unwrap_err();
    assert_eq!(
        inverted.to_string(),
        "the period is inverted: it begins with epoch 5 and ends with epoch 2; exchange the two"
    );
    let empty = Inventory::default();
    assert_eq!(
        empty.resolve(Asked::default(), EpochProgress::Sealed),
        Err(AskedError::NoAssets)
    );
    assert_eq!(empty.check_asset(asset("ATOM")), Err(AskedError::NoAssets));
}
