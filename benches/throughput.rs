//! Measures the throughput of `softstake run --until-idle` against a parser: `serde_json` reads the same files into borrowed
//! structs on one thread. Also measures the peak memory of the run, and that of a run in which five million accounts with a
//! balance are settled twice.
//!
//! `cargo bench --bench throughput`; settings: EVENTS (5,000,000), ACCOUNTS (1,000,000), ASSETS (4), EPOCHS (5), PARTITIONS (4),
//! LEDGER (4), ROUNDS (3), HOLDERS (5,000,000). Each epoch is settled, which the parser does not do.
//! The two alternate, so that other load on the machine affects both. Use the ratio, not the rates.

use std::borrow::Cow;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Deserialize;
use softstake::generate::{Synthetic, write};

/// An event, as read by a parser only.
#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsing is measured")]
struct Event<'a> {
    #[serde(borrow)]
    specversion: Cow<'a, str>,
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(borrow)]
    data: Data<'a>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsing is measured")]
struct Data<'a> {
    #[serde(borrow)]
    account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    from_account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    to_account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    amount: Option<Cow<'a, str>>,
    #[serde(borrow)]
    delta: Option<Cow<'a, str>>,
    #[serde(borrow)]
    base_asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quote_asset: Option<Cow<'a, str>>,
    #[serde(borrow)]
    price: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quantity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    quote_quantity: Option<Cow<'a, str>>,
    #[serde(borrow)]
    buyer: Option<Party<'a>>,
    #[serde(borrow)]
    seller: Option<Party<'a>>,
    #[serde(borrow)]
    fee: Option<Fee<'a>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsing is measured")]
struct Party<'a> {
    #[serde(borrow)]
    account: Cow<'a, str>,
    #[serde(borrow)]
    fee: Option<Fee<'a>>,
}

#[derive(Deserialize)]
#[allow(dead_code, reason = "only parsing is measured")]
struct Fee<'a> {
    #[serde(borrow)]
    asset: Cow<'a, str>,
    #[serde(borrow)]
    amount: Cow<'a, str>,
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(default)
}

/// Reads and parses all source files. Returns the number of parsed records, and the duration.
fn parse(bus: &Path) -> (u64, Duration) {
    let began = Instant::now();
    let mut parsed = 0;
    let topics = fs::read_dir(bus).expect("the bus");
    for topic in topics.map(|topic| topic.expect("a topic").path()) {
        if !topic
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("exchange."))
        {
            continue;
        }
        for file in fs::read_dir(&topic).expect("a topic") {
            let bytes = fs::read(file.expect("a file").path()).expect("records");
            for line in bytes.split(|byte| *byte == b'\n') {
                if std::hint::black_box(serde_json::from_slice::<Event<'_>>(line)).is_ok() {
                    parsed += 1;
                }
            }
        }
    }
    (parsed, began.elapsed())
}

/// Runs the program on a bus. Returns its duration, and its peak memory in bytes.
fn run(bus: &Path, state: &Path, ledger: u64) -> (Duration, u64) {
    let began = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_softstake"))
        .args(["run", "--until-idle", "--bus"])
        .arg(format!("dir:{}", bus.display()))
        .arg("--state")
        .arg(state)
        .args(["--partitions", &ledger.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
            peak = peak.max(kilobytes.unwrap_or(0) << 10);
        }
        if let Some(ended) = child.try_wait().expect("its status") {
            assert!(ended.success(), "the run ended with {ended}");
            return (began.elapsed(), peak);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn main() {
    let (events, accounts) = (setting("EVENTS", 5_000_000), setting("ACCOUNTS", 1_000_000));
    let partitions = u32::try_from(setting("PARTITIONS", 4)).expect("few partitions");
    let count = |name, default| u32::try_from(setting(name, default)).expect("a small number");
    let (assets, epochs) = (count("ASSETS", 4), count("EPOCHS", 5));
    let spec = Synthetic {
        events,
        accounts,
        assets,
        partitions,
        epochs,
        ..Synthetic::default()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("source");
    fs::create_dir(&source).expect("a folder");
    let summary = write(&source, &spec, 0..spec.epochs, &mut |_| {}).expect("the bus");
    println!(
        "{} events, {} bytes, {accounts} accounts, {assets} assets, {epochs} epochs",
        summary.events, summary.bytes
    );
    for round in 1..=setting("ROUNDS", 3) {
        let (parsed, alone) = parse(&source);
        let place = folder.path().join(format!("round-{round}"));
        let (bus, state) = (place.join("bus"), place.join("state"));
        link(&source, &bus);
        let (whole, peak) = run(&bus, &state, setting("LEDGER", 4));
        #[allow(clippy::cast_precision_loss, reason = "figures for people")]
        let rate = |time: Duration| events as f64 / time.as_secs_f64() / 1e6;
        println!(
            "round {round}: parse only {:.2} M/s ({parsed} records), run {:.3} M/s in {whole:.1?}, ratio {:.3}, peak memory {} MB",
            rate(alone),
            rate(whole),
            alone.as_secs_f64() / whole.as_secs_f64(),
            peak >> 20
        );
        fs::remove_dir_all(&place).expect("room for the next");
    }
    let holders = setting("HOLDERS", 5_000_000);
    let (bus, state) = (folder.path().join("holders"), folder.path().join("state"));
    hold(&bus, holders, u64::from(partitions)).expect("a bus of holders");
    let (whole, peak) = run(&bus, &state, setting("LEDGER", 4));
    println!(
        "{holders} holders, each paid twice: {whole:.1?}, peak memory {} MB",
        peak >> 20
    );
}

/// Writes a bus on which every account has a balance, with two closes.
fn hold(bus: &Path, holders: u64, partitions: u64) -> std::io::Result<()> {
    let (deposits, control) = (bus.join("exchange.deposits"), bus.join("softstake.control"));
    fs::create_dir_all(&deposits)?;
    fs::create_dir_all(&control)?;
    for partition in 0..partitions {
        let mut file = BufWriter::new(fs::File::create(deposits.join(format!("{partition}.jsonl")))?);
        for holder in (partition..holders).step_by(usize::try_from(partitions).unwrap_or(1)) {
            let (hour, minute, amount) = (holder % 24, holder % 60, holder % 1000 + 1);
            writeln!(
                file,
                r#"{{"specversion":"1.0","id":"d-{holder}","source":"/deposits","type":"exchange.deposit.v1","time":"2026-11-01T{hour:02}:{minute:02}:00Z","data":{{"account":"u-{holder:07}","asset":"ATOM","amount":"{amount}.5"}}}}"#
            )?;
        }
        file.flush()?;
    }
    let mut file = BufWriter::new(fs::File::create(control.join("0.jsonl"))?);
    writeln!(
        file,
        r#"{{"specversion":"1.0","id":"list","source":"/treasury","type":"softstake.asset.v1","time":"2026-10-31T12:00:00Z","data":{{"asset":"ATOM","decimals":6,"anchor":"2026-11-01T00:00:00Z","epoch_seconds":86400,"programme":{{"from_epoch":0,"mode":"pool","commission_rate":"0.1"}}}}}}"#
    )?;
    for epoch in 0..2 {
        let day = epoch + 2;
        writeln!(
            file,
            r#"{{"specversion":"1.0","id":"close-{epoch}","source":"/treasury","type":"softstake.epoch_close.v1","time":"2026-11-{day:02}T00:05:00Z","data":{{"asset":"ATOM","epoch":{epoch},"reward_pool":"100000"}}}}"#
        )?;
    }
    file.flush()
}

/// Makes a bus of hard links to the files of another: the same records without a copy.
fn link(from: &Path, to: &Path) {
    for topic in fs::read_dir(from)
        .expect("a bus")
        .map(|topic| topic.expect("a topic").path())
    {
        let target = to.join(topic.file_name().expect("a name"));
        fs::create_dir_all(&target).expect("a folder");
        for file in fs::read_dir(&topic)
            .expect("a topic")
            .map(|file| file.expect("a file").path())
        {
            fs::hard_link(&file, target.join(file.file_name().expect("a name"))).expect("a link");
        }
    }
}
