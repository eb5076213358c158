//! A view that is killed, deleted, or made from an archive answers the same.

use std::fs;

use serde_json::Value;
use softstake::generate::Synthetic;

use super::reads::{by, settled, spec, text};
use super::served::{Served, serve};
use crate::common::process::Process;
use crate::common::{Dice, Place, fail, on_bus, succeed};

/// All that a process that serves answers of its bus: for some accounts, and for all.
fn answers(served: &Served, accounts: &[String]) -> Vec<Value> {
    served.caught_up();
    let mut answers = Vec::new();
    for account in accounts {
        answers.extend(served.walk(&format!("/v1/accounts/{account}/distributions"), 500));
        answers.extend(served.walk(&format!("/v1/accounts/{account}/late-postings"), 500));
    }
    let assets = served.walk("/v1/assets", 500);
    for asset in &assets {
        let path = format!("/v1/assets/{}/epochs", text(asset, "asset"));
        let epochs = served.walk(&path, 500);
        for epoch in &epochs {
            answers.extend(served.walk(&format!("{path}/{}/distributions", epoch["epoch"]), 500));
        }
        answers.extend(epochs);
    }
    answers.extend(assets);
    for path in ["/v1/dead-letters", "/v1/late-postings"] {
        answers.extend(served.walk(path, 500));
        answers.push(served.value(&format!("{path}/counts")));
    }
    answers
}

fn some_accounts(place: &Place) -> Vec<String> {
    let paid = by(place, "softstake.distributions", |record| {
        text(&record["data"], "account").to_owned()
    });
    let is_plain = |name: &String| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    paid.into_keys().filter(is_plain).take(20).collect()
}

#[test]
fn killed_while_it_catches_up_it_ends_with_the_same_answers() {
    let spec = Synthetic {
        events: 40_000,
        accounts: 6_000,
        epochs: 4,
        ..spec()
    };
    let place = settled(&spec);
    let accounts = some_accounts(&place);
    let mut dice = Dice::new(7);
    let view = place.bus().with_file_name("view");
    for _ in 0..6 {
        let log = place.bus().with_file_name("killed.log");
        let process = Process::logging(serve(&place).args(["--listen", "127.0.0.1:0"]), &log);
        dice.pause(350);
        // Killed with SIGKILL.
        drop(process);
    }
    let survived = Served::start(&place, &[]);
    let expected = answers(&survived, &accounts);
    let distributions = place.records("softstake.distributions").len();
    assert!(distributions > 10_000, "{distributions}");
    drop(survived);
    // From nothing, without a kill.
    fs::remove_dir_all(&view).expect("the view");
    assert!(
        answers(&Served::start(&place, &[]), &accounts) == expected,
        "the rebuilt view answers otherwise"
    );
}

#[test]
fn an_archive_answers_as_its_bus() {
    let place = settled(&spec());
    let accounts = some_accounts(&place);
    let expected = answers(&Served::start(&place, &[]), &accounts);
    let archive = Place::new();
    fs::remove_dir_all(archive.bus()).ok();
    succeed(on_bus("archive", &place.bus()).arg("--out").arg(archive.bus()));
    assert!(
        answers(&Served::start(&archive, &[]), &accounts) == expected,
        "the archive answers otherwise"
    );
}

#[test]
fn a_view_of_another_bus_is_refused_with_what_to_do() {
    let (ours, other) = (settled(&spec()), settled(&spec()));
    drop(Served::start(&ours, &[]));
    let view = ours.bus().with_file_name("view");
    let mut command = on_bus("serve", &other.bus());
    let said = fail(command.arg("--view").arg(view).args(["--listen", "127.0.0.1:0"]), 1);
    assert!(
        said.contains("correct --view or --bus") && said.contains("rebuilt"),
        "{said}"
    );
}
