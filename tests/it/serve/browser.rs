//! The pages in a real Chromium, over a real run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use softstake::generate::Synthetic;

use super::reads::{by, settled, text};
use super::served::{Desk, Served};
use crate::common::installed::cache;
use crate::common::records::acknowledgement;
use crate::common::{Place, on_bus, softstake};
use crate::deployment::monitor::endpoint::Watched;

/// Credits all but each tenth payout; one of them twice, and one with too much.
fn pay_out(place: &Place) {
    let paid = place.records("softstake.distributions");
    let credits = paid.iter().enumerate().filter(|(number, _)| number % 10 != 9);
    let credits = credits.map(|(number, record)| {
        let amount = text(&record["data"], "amount");
        let amount = if number == 1 { "1000" } else { amount };
        acknowledgement(number, text(record, "id"), amount).to_string()
    });
    let again = acknowledgement(paid.len(), text(&paid[0], "id"), text(&paid[0]["data"], "amount"));
    place.append("payout.executions", 0, credits.chain([again.to_string()]));
}

/// A folder with results of a scheduled job, and a torn file.
fn reconciled(place: &Place) -> String {
    let folder = place.bus().with_file_name("results");
    fs::create_dir(&folder).expect("a folder");
    for (name, line) in [("records", vec![]), ("payouts", vec!["payouts"])] {
        let mut command = softstake();
        command.arg("reconcile").args(line).arg("--json");
        command.arg("--bus").arg(format!("dir:{}", place.bus().display()));
        let output = command.output().expect("the program starts");
        fs::write(folder.join(format!("{name}.json")), output.stdout).expect("a result");
    }
    fs::write(folder.join("torn.json"), "{").expect("a torn file");
    folder.display().to_string()
}

#[test]
fn each_page_for_each_reader_on_each_screen() {
    let place = settled(&Synthetic {
        events: 6_000,
        accounts: 60,
        assets: 3,
        epochs: 24,
        late: 0.03,
        bad: 0.02,
        ..Synthetic::default()
    });
    let paid = by(&place, "softstake.distributions", |record| {
        text(&record["data"], "account").to_owned()
    });
    let by_payouts: BTreeMap<usize, &String> = paid.iter().map(|(account, paid)| (paid.len(), account)).collect();
    let (_, account) = by_payouts.last_key_value().expect("an account that was paid");
    let desk = Desk::new();
    pay_out(&place);
    let results = reconciled(&place);
    // Pages ask more in a minute than people do.
    let patient = ["--requests-per-minute", "100000", "--refusals-per-minute", "10000"].map(str::to_owned);
    let (open, guarded) = (
        place.bus().with_file_name("open"),
        place.bus().with_file_name("guarded"),
    );
    let serve = |view: &Path, more: &[String]| {
        let mut command = on_bus("serve", &place.bus());
        command
            .arg("--view")
            .arg(view)
            .args(["--listen", "127.0.0.1:0"])
            .args(&patient)
            .args(more);
        Served::of(&mut command, view.with_extension("log"))
    };
    // The open server asks a processor that runs, and one that is away. The guarded one asks none.
    desk.put("token", b"a-token-of-the-read-side");
    let token = desk.path("token").display().to_string();
    let processor = Watched::start(&place, &["--monitor-token-file", &token]);
    processor.until_ready();
    let addresses = format!("{},127.0.0.1:1", processor.address());
    let asks = ["--processors", &addresses, "--processors-token-file", &token];
    let shows = ["--executions", "payout.executions", "--reconcile-results", &results];
    let more: Vec<String> = asks.into_iter().chain(shows).map(str::to_owned).collect();
    let (open, guarded) = (serve(&open, &more), serve(&guarded, &desk.flags()));
    open.caught_up();
    let customer = desk.token(&json!({ "sub": "customer", "scope": "softstake.customer", "account": account }));
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser.sh");
    let mut command = Command::new(tests);
    command.arg(cache().join("browser"));
    command.args([&open, &guarded].map(|served| format!("http://{}", served.address)));
    command
        .args([&customer, &desk.role("operator"), *account])
        .stdin(Stdio::null());
    let output = command.output().expect("the tests of the pages");
    assert!(
        output.status.success(),
        "{}\n{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let passed = String::from_utf8_lossy(&output.stdout)
        .lines()
        .any(|line| line.trim_start_matches(['#', 'ℹ', ' ']) == "fail 0");
    assert!(passed, "{}", String::from_utf8_lossy(&output.stdout));
}
