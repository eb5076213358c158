//! What an account has accrued in epochs that are not settled: asked from a running processor, and compared with what is then paid.

use std::fs;

use serde_json::{Value, json};

use super::served::Served;
use crate::common::events::{ago, close, deposit, event, listing_from, pool, time};
use crate::common::process::until;
use crate::common::{Place, fail};
use crate::deployment::monitor::endpoint::Watched;

const DAY_S: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;
const TOKEN: &str = "a-token-of-the-read-side";

/// Tiers, a minimum and a cap.
fn rated() -> Value {
    json!({
        "from_epoch": 0, "mode": "apr", "apr": "0.06", "min_balance": "1", "max_balance": "50",
        "tiers": [{ "up_to": "20", "multiplier": "1" }, { "up_to": null, "multiplier": "1.5" }],
    })
}

struct Scene {
    place: Place,
    /// The anchor of the listings: one day and a half ago.
    anchor: i64,
    _processor: Watched,
    served: Served,
}

impl Scene {
    /// A deployment with ATOM, which shares a pool, and SOL, which has a rate. Epoch 1 is the day that it is now.
    fn new() -> Self {
        let (place, anchor) = (Place::new(), ago(DAY_MS * 3 / 2));
        let listings = [
            listing_from(anchor, "ATOM", 6, DAY_S, &pool()),
            listing_from(anchor, "SOL", 9, DAY_S, &rated()),
        ];
        place.append("softstake.control", 0, listings);
        let deposits = [
            deposit("d1", anchor + 1_000, "ann", "ATOM", "10"),
            deposit("d2", anchor + 1_000, "ben", "ATOM", "30"),
            deposit("d3", anchor + 5_000, "ann", "SOL", "70.5"),
            deposit("d4", anchor + DAY_MS + 2_500, "ann", "SOL", "1"),
            deposit("d5", anchor + 1_000, "cat", "SOL", "0.5"),
            deposit("d6", anchor + 1_000, "ben", "SOL", "30"),
        ];
        place.append("exchange.deposits", 0, deposits);
        let opted_out = json!({ "account": "ben", "status": "opted_out", "asset": "SOL" });
        let status = event("s1", "exchange.account_status.v1", anchor + 10_000, &opted_out);
        place.append("exchange.accounts", 0, [status]);
        let token = place.bus().with_file_name("token");
        fs::write(&token, TOKEN).expect("the token");
        let token = token.to_str().expect("a path");
        let processor = Watched::start(&place, &["--partitions", "2", "--monitor-token-file", token]);
        let address = processor.address().to_string();
        let flags = ["--processors", &address, "--processors-token-file", token];
        let served = Served::start(&place, &flags.map(str::to_owned));
        assert_eq!(served.value("/v1/session")["has_processor"], true);
        Self {
            place,
            anchor,
            _processor: processor,
            served,
        }
    }

    /// The estimate of an account and an asset.
    fn accrued(&self, account: &str, asset: &str) -> Option<Value> {
        let reply = self.served.read(&format!("/v1/accounts/{account}/accrued"));
        if reply.status == 503 {
            return None;
        }
        assert_eq!(reply.status, 200, "{reply:?}");
        let items = reply.json()["items"].clone();
        let items = items.as_array().expect("items").iter();
        items.clone().find(|item| item["asset"] == asset).cloned()
    }

    /// Waits until the estimate has so many epochs, the first of them this one.
    fn until_epochs(&self, account: &str, asset: &str, first: u64, count: usize) -> Value {
        let mut found = None;
        until(&format!("{account} has {count} epochs of {asset}"), || {
            found = self.accrued(account, asset);
            let epochs = found.as_ref().and_then(|found| found["epochs"].as_array());
            epochs.is_some_and(|epochs| epochs.len() == count && epochs[0]["epoch"] == first)
        });
        found.expect("an estimate")
    }

    fn until_epochs_none(&self, account: &str, asset: &str) -> Value {
        let mut found = None;
        until("nothing is unsettled", || {
            found = self.accrued(account, asset);
            found.as_ref().is_some_and(|found| found["epochs"] == json!([]))
        });
        found.expect("an estimate")
    }

    fn close(&self, asset: &str, epoch: u32, reward_pool: &str) {
        let data = json!({ "asset": asset, "epoch": epoch, "reward_pool": reward_pool });
        let end = self.anchor + (i64::from(epoch) + 1) * DAY_MS;
        let close = event(
            &format!("close-{asset}-{epoch}"),
            "softstake.epoch_close.v1",
            end,
            &data,
        );
        self.place.append("softstake.control", 0, [close]);
    }

    /// What an account was paid for an epoch, once it is sealed.
    fn paid(&self, account: &str, asset: &str, epoch: u64) -> Value {
        let path = format!("/v1/accounts/{account}/distributions/{asset}/{epoch}");
        until("it is sealed", || {
            let reply = self.served.read(&path);
            reply.status == 200 && reply.json()["sealed"] == true
        });
        self.served.value(&path)
    }
}

#[test]
fn the_estimate_of_a_rate_is_what_is_then_paid() {
    let scene = Scene::new();
    let before = scene.until_epochs("ann", "SOL", 0, 2);
    assert_eq!((&before["balance"], &before["withheld"]), (&json!("71.5"), &json!("0")));
    let expected = [
        ("epoch", json!(0)),
        ("start", json!(time(scene.anchor))),
        ("end", json!(time(scene.anchor + DAY_MS))),
        ("state", json!("open")),
        ("eligibility", json!("earns")),
        ("counted_balance", json!("50")),
        ("like_epoch", Value::Null),
    ];
    for (name, value) in expected {
        assert_eq!(before["epochs"][0][name], value, "{name}");
    }
    assert_eq!(before["epochs"][0]["programme"]["max_balance"], "50");
    // The first day is over, so all of it is accrued: 70.5 from the fifth second on.
    assert_eq!(before["epochs"][0]["balance_seconds_so_far"], "6090847.5");
    assert_eq!(before["epochs"][0]["reward_so_far"], before["epochs"][0]["reward"]);
    let figure = |name: &str| {
        before["epochs"][1][name]
            .as_str()
            .and_then(|text| text.parse::<f64>().ok())
    };
    let part = figure("reward_so_far").expect("a part") / figure("reward").expect("a reward");
    assert!((0.49..0.6).contains(&part), "half a day of a day: {part}");
    for epoch in [0, 1] {
        scene.close("SOL", epoch, "0");
        let estimate = &before["epochs"][epoch as usize];
        let paid = scene.paid("ann", "SOL", epoch.into());
        assert_eq!(estimate["reward"], paid["rewarded"], "epoch {epoch}");
        assert_eq!(estimate["average_balance"], paid["average_balance"], "epoch {epoch}");
    }
    // Sealed epochs are no estimates any more. The balance is still told.
    let after = scene.until_epochs_none("ann", "SOL");
    assert_eq!(after["balance"], "71.5");
}

#[test]
fn of_a_pool_the_estimate_is_what_the_newest_seal_paid_for_the_same_balance() {
    let scene = Scene::new();
    let before = scene.until_epochs("ann", "ATOM", 0, 2);
    // No epoch was sealed yet, so there is nothing to estimate by.
    let first = &before["epochs"][0];
    assert_eq!(
        (&first["reward"], &first["eligibility"]),
        (&Value::Null, &json!("earns"))
    );
    scene.close("ATOM", 0, "40");
    let paid = scene.paid("ann", "ATOM", 0);
    assert_eq!(paid["rewarded"], "10");
    let after = scene.until_epochs("ann", "ATOM", 1, 1);
    let second = &after["epochs"][0];
    assert_eq!(second["like_epoch"], 0);
    // 40,000,000 units for 40 ATOM over 86,399 s; ann holds 10 of them over 86,400 s.
    assert_eq!(second["reward"], "10.000115");
    assert_eq!(
        (&second["average_balance"], &second["counted_balance"]),
        (&json!("10"), &json!("10"))
    );
    let so_far = second["balance_seconds_so_far"].as_str().expect("a number");
    let seconds: f64 = so_far.parse::<f64>().expect("a number") / 10.0;
    assert!((43_200.0..46_800.0).contains(&seconds), "half a day: {seconds}");
}

#[test]
fn who_does_not_earn_is_told_why() {
    let scene = Scene::new();
    let small = scene.until_epochs("cat", "SOL", 0, 2);
    assert_eq!(small["epochs"][1]["eligibility"], "below_minimum");
    let out = scene.until_epochs("ben", "SOL", 0, 2);
    // The status came in the first epoch, and decides from the second on.
    assert_eq!(out["epochs"][0]["eligibility"], "earns");
    assert_eq!(out["epochs"][1]["eligibility"], "excluded");
    assert_eq!(
        (&out["epochs"][1]["reward"], &out["epochs"][1]["reward_so_far"]),
        (&Value::Null, &Value::Null)
    );
    let reply = scene.served.read("/v1/accounts/nobody/accrued");
    assert_eq!((reply.status, &reply.json()["items"]), (200, &json!([])));
}

#[test]
fn without_a_processor_the_answer_says_so() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing_from(0, "ATOM", 6, DAY_S, &pool())]);
    place.append("exchange.deposits", 0, [deposit("d1", 1_000, "ann", "ATOM", "10")]);
    place.append("softstake.control", 0, [close("ATOM", 0, DAY_S, "1")]);
    place.run(Some(1));
    let served = Served::start(&place, &[]);
    let told = served.read("/v1/accounts/ann/accrued").problem(404);
    assert!(told.contains("`serve.processors` is not set"), "{told}");
    drop(served);
    // Nobody listens there.
    let token = place.bus().with_file_name("token");
    fs::write(&token, TOKEN).expect("the token");
    let token = token.to_str().expect("a path").to_owned();
    let flags = ["--processors", "127.0.0.1:1", "--processors-token-file", &token].map(str::to_owned);
    let served = Served::start(&place, &flags);
    let reply = served.read("/v1/accounts/ann/accrued");
    let told = reply.problem(503);
    assert!(told.contains("No instance of the processor"), "{told}");
    assert!(reply.header("retry-after").is_some(), "{reply:?}");
    assert!(
        served.said().contains("no estimate: 127.0.0.1:1: ") && !served.said().contains("ann"),
        "{}",
        served.said()
    );
    drop(served);
    for (flags, expected) in [
        (vec!["--processors", "127.0.0.1:1"], "give --processors-token-file"),
        (vec!["--processors-token-file", &token], "give --processors"),
        (
            vec!["--processors", "nowhere", "--processors-token-file", &token],
            "\"nowhere\" must be host:port",
        ),
        (
            vec!["--processors", "127.0.0.1:1", "--processors-token-file", "missing"],
            "cannot be used",
        ),
    ] {
        let error = fail(super::served::serve(&place).args(flags), 2);
        assert!(error.contains(expected), "{error}");
    }
}
