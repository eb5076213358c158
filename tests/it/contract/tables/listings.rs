//! Mistakes in listings, and how they are mended or refused.

use super::check;

#[test]
fn a_change_replaces_all_that_is_scheduled_for_its_epoch_or_later() {
    check(
        "
        list A
        +0s deposit ann A 1
        change A commission=0.3 from=1
        change A commission=0.5 from=2
        change A commission=1   from=3
        change A commission=0.1 from=2
        close A 0 pool=1
        # The oldest open epoch is 1.
        change A from=1
        change A from=0
        close A 1 pool=1
        close A 2 pool=1
        close A 3 pool=1
        =>
        dead control:0:6 invalid_programme
        dead control:0:7 invalid_programme
        paid A:0 ann 1
        paid A:1 ann 0.7
        paid A:2 ann 0.9
        paid A:3 ann 0.9
        seal A:0 from=0
        seal A:1 from=1
        seal A:2 from=2
        seal A:3 from=2
        ",
    );
}

#[test]
fn only_the_programme_may_change() {
    check(
        "
        list A decimals=2 first=5
        change A from=6
        change A from=7 with={\"decimals\":3}
        change A from=7 with={\"epoch_seconds\":200}
        change A from=7 with={\"anchor\":\"2026-11-02T00:00:00Z\"}
        change A from=7 with={\"first_epoch\":4}
        change A from=7 with={\"reward_asset\":\"B\",\"reward_decimals\":2}
        change A from=7 misdated=+1d
        # The asset itself is the default.
        change A from=7 with={\"reward_asset\":\"A\",\"reward_decimals\":2} commission=1
        # Listed again.
        list A first=5
        # A first listing has a programme from its first epoch on.
        list B first=5 from=6
        list B from=1
        =>
        dead control:0:2 invalid_programme
        dead control:0:3 invalid_programme
        dead control:0:4 invalid_programme
        dead control:0:5 invalid_programme
        dead control:0:6 invalid_programme
        dead control:0:7 invalid_programme
        dead control:0:9 invalid_programme
        dead control:0:10 invalid_programme
        dead control:0:11 invalid_programme
        ",
    );
}

#[test]
fn epochs_may_begin_with_any_number() {
    check(
        "
        list A first=5
        +0s deposit ann A 1
        +0s close A 4
        +500s close A 6
        close A 5 pool=1
        =>
        dead control:0:1 epoch_already_closed
        dead control:0:2 epoch_out_of_order
        paid A:5 ann 1
        seal A:5
        ",
    );
}

#[test]
fn a_record_of_the_far_future_does_not_make_an_asset_unlistable() {
    check(
        "
        +26000d deposit ann A 1
        -1s     deposit ann A 2
        run
        list A
        +0s deposit ann A 4
        close A 0 pool=1
        =>
        listed A newest=2098-01-07T00:00:00.000Z
        paid A:0 ann 1 seconds=400
        seal A:0
        counted ignored=2 copies=0
        ",
    );
}

#[test]
fn a_listing_that_comes_after_its_postings_is_too_late() {
    check(
        "
        +10s deposit ann A 1
        # Misdated by 50 days.
        +50d deposit ann A 1
        run
        list A
        list A anchor=+10s
        list A anchor=+10.001s
        list A anchor=+11s misdated=+50.001d
        list A anchor=+10s misdated=+50d
        list A anchor=+11s misdated=+50d
        +11s deposit ann A 1
        close A 0 pool=1
        =>
        dead control:0:0 listing_too_late
        dead control:0:1 listing_too_late
        dead control:0:2 listing_too_late
        dead control:0:3 listing_too_late
        dead control:0:4 listing_too_late
        listed A newest=2026-12-21T00:00:00.000Z
        paid A:0 ann 1 seconds=100
        seal A:0
        ",
    );
}

#[test]
fn of_the_day_of_the_anchor_only_the_first_and_the_last_posting_are_known() {
    check(
        "
        +10s deposit ann A 1
        +90s deposit ann A 1
        +95s deposit ann A 1 p=1
        run
        # Nobody knows whether a posting is between, so it counts.
        list A anchor=+20s misdated=+80s
        # The first one is after it.
        list A anchor=+5s misdated=+10s
        delist A 0
        # All of them are before it.
        list A anchor=+96s misdated=+97s
        =>
        dead control:0:0 listing_too_late
        listed A newest=2026-11-01T00:01:35.000Z
        withdrawn A:0
        counted ignored=3 copies=0
        ",
    );
}

#[test]
fn opening_balances_before_the_listing_are_to_be_sent_again() {
    check(
        "
        +0s opening ann A 1
        run
        list A
        list A anchor=+100s
        +0s opening ann A 1
        +0s opening ben A 3
        close A 0 pool=4
        =>
        # It counts at the anchor of the first listing. The second one is later.
        dead control:0:0 listing_too_late
        paid A:0 ann 1 seconds=100
        paid A:0 ben 3 seconds=300
        seal A:0
        ",
    );
}

#[test]
fn a_misspelt_field_is_refused_with_the_nearest_one() {
    check(
        "
        list A programme={\"comission_rate\":\"0.1\"}
        list A programme={\"tiers\":[{\"upto\":null,\"multiplier\":\"1\"}]}
        list A programme={\"gate\":{\"max_pay\":\"1\"}}
        list A with={\"reward_aset\":\"B\"}
        close A 0 with={\"reward_pol\":\"1\"}
        =>
        dead control:0:0 invalid_programme reason=commission_rate
        dead control:0:1 invalid_programme reason=up_to
        dead control:0:2 invalid_programme reason=max_payout
        dead control:0:3 invalid_event reason=reward_asset
        dead control:0:4 invalid_event reason=reward_pool
        ",
    );
}

/// Lists A with one fault after another.
fn faults(cases: &[(&str, &str)]) {
    let mut table = String::new();
    for (listing, _) in cases {
        table += &format!("list A {listing}\n");
    }
    table += "=>\n";
    for (offset, (_, code)) in cases.iter().enumerate() {
        table += &format!("dead control:0:{offset} {code}\n");
    }
    check(&table);
}

#[test]
fn any_fault_inside_the_programme_is_an_invalid_programme() {
    let programmes = [
        r#"programme={"from_epoch":"0"}"#,
        r#"programme={"mode":"apy"}"#,
        r#"programme={"mode":null}"#,
        "programme={\"apr\":\"0.1\"}",
        "programme={\"mode\":\"apr\"}",
        "apr=1000.1",
        "apr=0.0000000000000000001",
        "apr=-1",
        "apr=0.1 commission=0.1",
        "commission=1.1",
        "min_balance=0.001",
        r#"programme={"min_balance":1}"#,
        r#"programme={"min_balance":null}"#,
        "max_balance=0",
        "min_balance=5 max_balance=4",
        "min_payout=0.001",
        "payout_decimals=3",
        "scope=customer",
        "enrolment=manual",
        "late=ignore",
        r#"programme={"tiers":[]}"#,
        r#"programme={"tiers":[{"up_to":null}]}"#,
        "tiers=5:1",
        "tiers=-:1,-:1",
        "tiers=5:1,5:2,-:1",
        "tiers=0:1,-:1",
        "tiers=5:1,-:100.000001",
        "tiers=5:1,-:0.0000001",
        "rates=-:0.1 apr=0.1",
        r#"rates=-:0.1 programme={"mode":"pool"}"#,
        r#"programme={"mode":"apr","tiers":[{"up_to":"1","multiplier":"1"},{"up_to":null,"apr":"1"}]}"#,
        "gate=never:1",
        r#"programme={"gate":"never"}"#,
        r#"programme={"gate":{}}"#,
        r#"programme={"gate":null}"#,
        "gate=max_payout:0.001",
        "gate=max_change:0.0000000000000000001",
        r#"programme={"gate":{"max_change":1}}"#,
    ];
    faults(&programmes.map(|programme| (programme, "invalid_programme")));
}

#[test]
fn faults_outside_the_programme_have_codes_of_their_own() {
    faults(&[
        ("decimals=19", "invalid_programme"),
        ("epoch=59s", "invalid_programme"),
        ("epoch=2678401s", "invalid_programme"),
        ("with={\"first_epoch\":-1}", "invalid_event"),
        ("with={\"first_epoch\":1000000001}", "invalid_programme"),
        ("with={\"anchor\":\"2026-11-01\"}", "invalid_time"),
        ("with={\"misdated_from\":7}", "invalid_time"),
        ("with={\"reward_asset\":\"B\"}", "invalid_event"),
        ("with={\"reward_decimals\":2}", "invalid_event"),
        ("reward=B:19", "invalid_programme"),
        ("reward=A:3", "invalid_programme"),
        ("with={\"programme\":null}", "invalid_event"),
        ("with={\"decimals\":\"2\"}", "invalid_event"),
    ]);
}

#[test]
fn zeros_and_null_that_are_allowed() {
    check(
        "
        list A min_balance=0 min_payout=0 programme={\"max_balance\":null} gate=max_change:0
        list B apr=0 commission=0
        list C min_balance=5 max_balance=5 commission=1 tiers=5:0,-:100
        close A 0 pool=0.00
        close B 0
        close C 0
        =>
        seal A:0
        seal B:0
        seal C:0
        ",
    );
}
