//! Measures what an event and a payout cost on a directory bus, and how that depends on the size of everything.
//!
//! One table, in Markdown: on each axis one setting changes, and all others stay as in the first line. Each figure is the median of the rounds.
//! The rounds of all lines of an axis take turns, so that other load on the machine affects all of them. The floor is a parser: `serde_json` reads
//! the same files into borrowed structs on one thread.
//!
//! `cargo bench --bench scale`; settings:
//! - ROUNDS (5): runs of each line.
//! - AXES (all): some of `events`, `accounts`, `assets`, `sources`, `ledger`, `settled`, `holders`, separated by commas.
//! - EVENTS (2,000,000): events of the first line. 200,000 give a first idea in a minute.
//! - LARGEST (10,000,000): lines with more events, accounts or holders are left out. With 50,000,000 it takes hours, and 15 GB of disk.
//!
//! `TMPDIR` should be on the disk that you want to measure.

#[path = "../tests/it/common/program.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of the tests' helpers")]
mod program;

use std::borrow::Cow;
use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use program::{setting, softstake};
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

/// What a line measures.
#[derive(Debug, Clone)]
struct Line {
    name: String,
    input: Input,
    ledger: u64,
}

/// The records of a line.
#[derive(Debug, Clone)]
enum Input {
    /// Generated events, with or without the closes of their epochs.
    Events { spec: Synthetic, closes: bool },
    /// One deposit for each of so many accounts of one asset, and so many closes.
    Holders { holders: u64, closes: u64 },
    /// As `Events` without closes, but only parsed.
    Parsed { spec: Synthetic },
}

/// One run of a line.
#[derive(Debug, Clone, Copy)]
struct Figures {
    seconds: f64,
    cpu: f64,
    peak_mb: f64,
    state_mb: f64,
}

fn base() -> Synthetic {
    Synthetic {
        events: setting("EVENTS", 2_000_000),
        accounts: 500_000,
        partitions: 2,
        epochs: 1,
        duplicates: 0.001,
        late: 0.0,
        bad: 0.0,
        ..Synthetic::default()
    }
}

fn with(change: impl FnOnce(&mut Synthetic)) -> Synthetic {
    let mut spec = base();
    change(&mut spec);
    spec
}

/// The lines of each axis.
fn axes() -> Vec<(&'static str, Vec<Line>)> {
    let line = |name: String, spec: Synthetic, ledger| Line {
        name,
        input: Input::Events { spec, closes: false },
        ledger,
    };
    let first = || line(format!("{} events", grouped(base().events)), base(), 4);
    let events = [1, 2, 6, 25].map(|times| {
        let events = base().events * times;
        line(
            format!("{} events", grouped(events)),
            with(|spec| spec.events = events),
            4,
        )
    });
    let floor = Line {
        name: format!("{} events, parsed only", grouped(base().events)),
        input: Input::Parsed { spec: base() },
        ledger: 4,
    };
    let accounts = [10_000, 100_000, 1_000_000, 10_000_000].map(|accounts| {
        line(
            format!("{} accounts", grouped(accounts)),
            with(|spec| spec.accounts = accounts),
            4,
        )
    });
    let assets = [1, 2, 4].map(|assets| line(format!("{assets} assets"), with(|spec| spec.assets = assets), 4));
    let sources = [1, 2, 8, 32].map(|partitions| {
        line(
            format!("{} source partitions", 5 * partitions),
            with(|spec| spec.partitions = partitions),
            4,
        )
    });
    let ledger = [1, 4, 16, 64].map(|ledger| line(format!("{ledger} ledger partitions"), base(), ledger));
    let settled = [0, 1, 5].map(|epochs: u32| Line {
        name: match epochs {
            0 => "5 epochs, none closed".to_owned(),
            1 => "1 epoch, closed".to_owned(),
            epochs => format!("{epochs} epochs, all closed"),
        },
        input: Input::Events {
            spec: with(|spec| spec.epochs = if epochs == 0 { 5 } else { epochs }),
            closes: epochs > 0,
        },
        ledger: 4,
    });
    let holders = [100_000, 1_000_000, 10_000_000].into_iter().flat_map(|holders| {
        [0, 4].map(|closes| Line {
            name: format!("{} holders, {closes} closes", grouped(holders)),
            input: Input::Holders { holders, closes },
            ledger: 4,
        })
    });
    vec![
        ("events", std::iter::once(floor).chain(events).collect()),
        ("accounts", accounts.into()),
        ("assets", assets.into()),
        ("sources", sources.into()),
        ("ledger", ledger.into()),
        ("settled", std::iter::once(first()).chain(settled).collect()),
        ("holders", holders.collect()),
    ]
}

impl Input {
    fn records(&self) -> u64 {
        match self {
            Self::Events { spec, .. } | Self::Parsed { spec } => spec.events,
            Self::Holders { holders, .. } => *holders,
        }
    }

    fn largest(&self) -> u64 {
        match self {
            Self::Events { spec, .. } | Self::Parsed { spec } => spec.events.max(spec.accounts),
            Self::Holders { holders, .. } => *holders,
        }
    }

    /// Writes the records to a new bus.
    fn write(&self, bus: &Path) {
        fs::create_dir_all(bus).expect("a folder");
        match self {
            Self::Holders { holders, closes } => hold(bus, *holders, 4, *closes).expect("a bus of holders"),
            Self::Events { spec, .. } | Self::Parsed { spec } => {
                write(bus, spec, 0..spec.epochs, &mut |_| {}).expect("the bus");
            }
        }
        if !matches!(self, Self::Events { closes: true, .. }) && !matches!(self, Self::Holders { .. }) {
            let control = bus.join("softstake.control/0.jsonl");
            let text = fs::read_to_string(&control).expect("control events");
            let lines = text.lines().filter(|line| !line.contains("epoch_close"));
            fs::write(&control, lines.map(|line| format!("{line}\n")).collect::<String>()).expect("control events");
        }
    }
}

/// Reads and parses all source files.
fn parse(bus: &Path) {
    for topic in fs::read_dir(bus)
        .expect("the bus")
        .map(|topic| topic.expect("a topic").path())
    {
        if !topic
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with("exchange."))
        {
            continue;
        }
        for file in fs::read_dir(&topic).expect("a topic") {
            let bytes = fs::read(file.expect("a file").path()).expect("records");
            for line in bytes.split(|byte| *byte == b'\n') {
                let _ = std::hint::black_box(serde_json::from_slice::<Event<'_>>(line));
            }
        }
    }
}

/// CPU seconds of this process and of all children that ended (proc(5): fields 14 to 17 of `stat`, in hundredths).
fn cpu() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("our figures");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(11).take(4);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// Runs the program on a bus until it is idle; returns its peak memory in MB.
fn run(bus: &Path, state: &Path, ledger: u64) -> f64 {
    let mut child = softstake()
        .args(["run", "--until-idle", "--log-level", "error", "--bus"])
        .arg(format!("dir:{}", bus.display()))
        .arg("--state")
        .arg(state)
        .args(["--partitions", &ledger.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0.0f64;
    loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            peak = peak.max(kilobytes.unwrap_or(0.0) / 1024.0);
        }
        if let Some(ended) = child.try_wait().expect("its status") {
            assert!(ended.success(), "the run ended with {ended}");
            return peak;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn megabytes(folder: &Path) -> f64 {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .map(|entry| entry.expect("an entry"));
    entries
        .map(|entry| match entry.metadata().expect("its length") {
            metadata if metadata.is_dir() => megabytes(&entry.path()),
            metadata => metadata.len() as f64 / f64::from(1 << 20),
        })
        .sum()
}

fn measure(line: &Line, source: &Path, place: &Path) -> Figures {
    let (bus, state) = (place.join("bus"), place.join("state"));
    link(source, &bus);
    rustix::fs::sync();
    let (began, before) = (Instant::now(), cpu());
    let peak_mb = match line.input {
        Input::Parsed { .. } => {
            parse(&bus);
            f64::NAN
        }
        _ => run(&bus, &state, line.ledger),
    };
    let figures = Figures {
        seconds: began.elapsed().as_secs_f64(),
        cpu: cpu() - before,
        peak_mb,
        state_mb: megabytes(&state),
    };
    fs::remove_dir_all(place).expect("room for the next");
    figures
}

/// The middle of some figures, with the least and the most.
fn spread(figures: &[Figures], value: impl Fn(&Figures) -> f64) -> (f64, f64, f64) {
    let mut values: Vec<f64> = figures.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
    (at(values.len() / 2), at(0), at(values.len().saturating_sub(1)))
}

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    groups.collect::<Vec<_>>().join(",")
}

fn print(line: &Line, figures: &[Figures]) {
    let records = line.input.records() as f64;
    let (cpu, least, most) = spread(figures, |one| one.cpu / records * 1e6);
    let (rate, ..) = spread(figures, |one| records / one.seconds);
    let (peak, ..) = spread(figures, |one| one.peak_mb);
    let (state, ..) = spread(figures, |one| one.state_mb);
    // A parser has neither.
    let shown = |value: f64| {
        if value > 0.0 {
            format!("{value:.0}")
        } else {
            String::new()
        }
    };
    println!(
        "| {} | {cpu:.2} ({least:.2} to {most:.2}) | {} | {} | {} |",
        line.name,
        grouped(rate as u64),
        shown(peak),
        shown(state)
    );
}

/// What a payout costs: a run with closes, less the same run without.
fn print_payouts(measured: &[(Line, Vec<Figures>)]) {
    for (without, with) in measured.iter().zip(measured.iter().skip(1)) {
        let (Input::Holders { holders, closes: 0 }, Input::Holders { closes, .. }) = (&without.0.input, &with.0.input)
        else {
            continue;
        };
        let payouts = (holders * closes) as f64;
        let less = |value: fn(&Figures) -> f64| spread(&with.1, value).0 - spread(&without.1, value).0;
        println!(
            "{} holders: a payout takes {:.2} µs of processor time; one epoch takes {:.1} s",
            grouped(*holders),
            less(|one| one.cpu) / payouts * 1e6,
            less(|one| one.seconds) / *closes as f64
        );
    }
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let chosen = std::env::var("AXES").ok();
    let (rounds, largest) = (setting("ROUNDS", 5), setting("LARGEST", 10_000_000));
    for (axis, mut lines) in axes() {
        if chosen
            .as_ref()
            .is_some_and(|chosen| !chosen.split(',').any(|name| name.trim() == axis))
        {
            continue;
        }
        lines.retain(|line| line.input.largest() <= largest);
        let sources: Vec<PathBuf> = (0..lines.len())
            .map(|at| folder.path().join(format!("{axis}-{at}")))
            .collect();
        for (line, source) in lines.iter().zip(&sources) {
            line.input.write(source);
        }
        let mut measured: Vec<(Line, Vec<Figures>)> = lines.into_iter().map(|line| (line, Vec::new())).collect();
        for _ in 0..rounds {
            for ((line, figures), source) in measured.iter_mut().zip(&sources) {
                figures.push(measure(line, source, &folder.path().join("place")));
            }
        }
        println!(
            "\n| {axis} | processor time for an event, µs | events a second | peak memory, MB | state on disk, MB |"
        );
        println!("|---|---|---|---|---|");
        measured.iter().for_each(|(line, figures)| print(line, figures));
        print_payouts(&measured);
        for source in sources {
            fs::remove_dir_all(source).expect("room for the next");
        }
    }
}

/// Writes a bus on which every account has a balance, with some closes.
fn hold(bus: &Path, holders: u64, partitions: u64, closes: u64) -> std::io::Result<()> {
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
    for epoch in 0..closes {
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
