//! Measures the view of `softstake serve`: how fast it catches up with a directory bus, and how long it takes to read the history of an account.
//! First in this process, then over HTTP from a real `serve` with a view of its own, at a fixed rate.
//!
//! `cargo bench --bench view`; settings: DISTRIBUTIONS (1,000,000), EPOCHS (10), PARTITIONS (8), READS (20,000), RATE (500 requests a second),
//! SECONDS (30). `TMPDIR` should be on a disk.

#![allow(clippy::expect_used, clippy::print_stdout, reason = "a measurement that fails ends")]

#[path = "../tests/it/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a benchmark uses a part of the tests' helpers")]
mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Place, setting, softstake};
use ruint::aliases::U512;
use softstake::bus::dir::{DirBus, Options, ReadOnlyDir};
use softstake::bus::{Bus, Cursor, Log, Outputs, Position, TaskId, Topic};
use softstake::core::contract::decision::Offsets;
use softstake::core::contract::merkle::{BucketTree, EMPTY_ROOT, epoch_root};
use softstake::core::contract::records::{Distribution, DistributionWriter, Ineligible, Seal};
use softstake::core::values::amount::WideNumber;
use softstake::core::values::asset::Asset;
use softstake::core::values::bucket::{Partitions, bucket};
use softstake::core::values::ids::Epoch;
use softstake::core::values::time::timestamp;
use softstake::serve::view::{PayoutFilter, View};

const DAY_MS: i128 = 86_400_000;
/// 1 November 2026.
const ANCHOR_MS: i128 = 1_793_491_200_000;

fn atom() -> Asset {
    Asset::parse("ATOM").expect("a name")
}

fn name(number: u64) -> String {
    format!("u-{number:07}")
}

fn times(epoch: u64) -> (String, String) {
    let start = ANCHOR_MS + i128::from(epoch) * DAY_MS;
    (timestamp(start), timestamp(start + DAY_MS))
}

/// Writes the epochs as a run does: by partition, in the order of buckets and accounts.
fn write(path: &Path, accounts: u64, epochs: u64, partitions: u16) {
    let layout = Partitions::new(u32::from(partitions)).expect("a power of two");
    let mut order: Vec<(u16, String)> = (0..accounts)
        .map(|number| (bucket(&name(number)), name(number)))
        .collect();
    order.sort();
    let bus = DirBus::open(path, Options { sync: false }).expect("a bus");
    let mut job = 0;
    let mut commit = |task: TaskId, outputs: &Outputs| {
        job += 1;
        let cursor = Cursor {
            job,
            reached: Vec::new(),
        };
        let position = Position {
            cursor,
            ..Position::default()
        };
        bus.commit(task, outputs, &position).expect("a commit");
    };
    for epoch in 0..epochs {
        let (start, end) = times(epoch);
        let mut writer = DistributionWriter::new(Distribution {
            account: "".into(),
            asset: atom(),
            reward_asset: atom(),
            epoch: Epoch::new(epoch),
            epoch_start: start.clone().into(),
            epoch_end: end.clone().into(),
            amount: "".into(),
            rewarded: "".into(),
            made_good: "".into(),
            adjusted: "".into(),
            withheld_before: "".into(),
            balance_seconds: "".into(),
            average_balance: "".into(),
            programme_from_epoch: Epoch::FIRST,
        })
        .expect("a writer");
        let mut trees = vec![BucketTree::new(); 4096];
        for chunk in order
            .chunk_by(|a, b| layout.of(a.0) == layout.of(b.0))
            .flat_map(|one| one.chunks(20_000))
        {
            let mut outputs = Outputs::default();
            let partition = layout.of(chunk.first().map_or(0, |(bucket, _)| *bucket));
            for (number, (bucket, account)) in chunk.iter().enumerate() {
                let units = number as u64 * 7_919 % 100_000 + 1_000;
                let number = |units: u64, decimals| WideNumber {
                    is_negative: false,
                    magnitude: U512::from(units),
                    decimals,
                };
                let balance = units * 1_234_567;
                let numbers = [
                    number(units / 100, 4),
                    number(units, 6),
                    number(0, 6),
                    number(0, 6),
                    number(units % 100, 6),
                    number(balance * 864, 7),
                    number(balance, 6),
                ];
                outputs.push_with(
                    Topic::Distributions.partition(u32::from(partition)),
                    account.as_bytes(),
                    |out| {
                        let leaf = writer.write(out, account, &numbers).expect("a record");
                        trees[usize::from(*bucket)].push(leaf);
                    },
                );
            }
            commit(TaskId::accrue(partition), &outputs);
        }
        let roots = trees
            .iter()
            .map(|tree| if tree.is_empty() { EMPTY_ROOT } else { tree.root() });
        let mut outputs = Outputs::default();
        let seal = seal(epoch, (start, end), accounts, hex::encode(epoch_root(roots)));
        outputs.push_with(Topic::Epochs.partition(0), b"ATOM", |out| {
            seal.write(out).expect("a seal")
        });
        commit(TaskId::COORDINATE, &outputs);
    }
    bus.close().expect("a bus");
}

fn seal(epoch: u64, (start, end): (String, String), distributions: u64, root: String) -> Seal<'static> {
    let zero = || "0".into();
    Seal {
        asset: atom(),
        reward_asset: atom(),
        epoch: Epoch::new(epoch),
        epoch_start: start.into(),
        epoch_end: end.into(),
        mode: "pool".into(),
        programme_from_epoch: Epoch::FIRST,
        apr: None,
        reward_rate: None,
        reward_pool: zero(),
        commission: zero(),
        carried_in: zero(),
        carried_out: zero(),
        returned: zero(),
        rewarded: zero(),
        made_good: zero(),
        adjusted: zero(),
        distributed: zero(),
        withheld_before: zero(),
        withheld_after: zero(),
        distributions,
        ineligible: Ineligible {
            status: 0,
            negative: 0,
            below_minimum: 0,
        },
        eligible_balance_seconds: zero(),
        closing_balance: zero(),
        cut: std::borrow::Cow::Owned(Offsets::default()),
        root: root.into(),
    }
}

/// The processor time of this process.
fn processor() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("its figures");
    let after = stat.rsplit(')').next().unwrap_or_default();
    let ticks: Vec<f64> = after
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|text| text.parse().ok())
        .collect();
    ticks.iter().sum::<f64>() / 100.0
}

/// The peak memory of this process since the last call of [`forget_peak`], in MB.
fn peak() -> u64 {
    peak_of("self")
}

/// The peak memory of a process, in MB.
fn peak_of(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("its figures");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or(0) >> 10
}

fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("the peak is forgotten");
}

fn folder_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).expect("a folder");
    let files = entries.map(|entry| entry.expect("an entry").metadata().expect("its length"));
    files.filter(fs::Metadata::is_file).map(|file| file.len()).sum()
}

#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn main() {
    let epochs = setting("EPOCHS", 10);
    let accounts = setting("DISTRIBUTIONS", 1_000_000) / epochs;
    let partitions = u16::try_from(setting("PARTITIONS", 8)).expect("a number of partitions");
    let place = Place::on_disk();
    if std::env::var_os("WRITE_TO").is_some_and(|path| {
        write(Path::new(&path), accounts, epochs, partitions);
        true
    }) {
        return;
    }
    // In a process of its own, so that its memory does not count.
    let program = std::env::current_exe().expect("this program");
    let status = Command::new(program).env("WRITE_TO", place.bus()).status();
    assert!(status.expect("it starts").success());
    rustix::fs::sync();
    let bus = ReadOnlyDir::open(&place.bus()).expect("a bus");
    forget_peak();
    let (began, before) = (Instant::now(), processor());
    let folder = place.state().join("view");
    let view = View::open(&folder, bus.identity()).expect("a view");
    view.catch_up(&bus, None).expect("it catches up");
    let (elapsed, used) = (began.elapsed(), processor() - before);
    let rows = accounts * epochs;
    println!(
        "{rows} distributions: {elapsed:.1?}, {:.0} a second, {used:.1} s of processor time, peak {} MB, {:.0} bytes each on disk",
        rows as f64 / elapsed.as_secs_f64(),
        peak(),
        folder_bytes(&folder) as f64 / rows as f64
    );
    let reads = setting("READS", 20_000);
    let mut durations = Vec::new();
    for read in 0..reads {
        let account = name(read.wrapping_mul(0x9e37_79b9_7f4a_7c15) % accounts);
        let began = Instant::now();
        let page = view
            .distributions(&account, &PayoutFilter::default(), None, 50)
            .expect("a page");
        durations.push(began.elapsed());
        assert_eq!(page.items.len() as u64, epochs.min(50));
    }
    println!("history of an account, in this process: {}", spread(durations));
    for what in ["first proof of an epoch", "second"] {
        let began = Instant::now();
        view.proof(atom(), Epoch::new(epochs - 1), &name(1)).expect("a proof");
        println!("{what}: {:.1?}", began.elapsed());
    }
    drop(view);
    measure_http(&place, accounts, rows);
}

/// The middle of these durations, that of 99 of 100, and the longest.
fn spread(mut durations: Vec<Duration>) -> String {
    durations.sort_unstable();
    let at = |percent: usize| {
        let index = (durations.len() * percent / 100).min(durations.len().saturating_sub(1));
        durations.get(index).copied().unwrap_or(Duration::MAX)
    };
    format!("p50 {:.2?}, p99 {:.2?}, longest {:.2?}", at(50), at(99), at(100))
}

/// The connections over which a real `serve` is asked. More than it answers at once, so that a slow answer holds up few requests.
const CONNECTIONS: u64 = 32;

/// Asks for a path over a connection that stays open; the status and the length of the body.
fn get(stream: &mut BufReader<TcpStream>, path: &str) -> Option<(u16, usize)> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.get_mut().write_all(request.as_bytes()).ok()?;
    let (mut status, mut length) = (None, None);
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|length| *length > 0)?;
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.get(..3)?.parse().ok();
        }
        if let Some(rest) = line.strip_prefix("content-length:") {
            length = rest.trim().parse().ok();
        }
    }
    let length = length?;
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some((status?, length))
}

fn connect(address: SocketAddr) -> Option<BufReader<TcpStream>> {
    let stream = TcpStream::connect(address).ok()?;
    stream.set_nodelay(true).ok()?;
    Some(BufReader::new(stream))
}

/// A `serve` catches up with the bus into a view of its own, then answers RATE requests a second. The duration of a request counts from the
/// moment when it was due, so one that waits for a connection counts as slow.
#[allow(clippy::cast_precision_loss, reason = "figures for people")]
fn measure_http(place: &Place, accounts: u64, rows: u64) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let began = Instant::now();
    let mut server = softstake()
        .args(["serve", "--requests-per-minute", "1000000", "--log-level", "warn"])
        .args(["--listen", &address.to_string()])
        .args(["--bus", &format!("dir:{}", place.bus().display()), "--view"])
        .arg(place.state().join("served"))
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let is_ready = || connect(address).and_then(|mut stream| get(&mut stream, "/readyz"));
    while is_ready().is_none_or(|(status, _)| status != 200) {
        assert!(
            began.elapsed() < Duration::from_secs(600),
            "not ready after ten minutes"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let elapsed = began.elapsed();
    println!(
        "serve is ready after {elapsed:.1?}: {:.0} distributions a second, start included",
        rows as f64 / elapsed.as_secs_f64()
    );
    let (rate, seconds) = (setting("RATE", 500), setting("SECONDS", 30));
    let start = Instant::now();
    let asked = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS)
            .map(|first| {
                scope.spawn(move || {
                    let mut stream = connect(address).expect("a connection");
                    let mut durations = Vec::new();
                    for request in (first..rate * seconds).step_by(CONNECTIONS as usize) {
                        let due = start + Duration::from_secs(1) * request as u32 / rate as u32;
                        std::thread::sleep(due.saturating_duration_since(Instant::now()));
                        let account = name(request.wrapping_mul(0x9e37_79b9_7f4a_7c15) % accounts);
                        let path = format!("/v1/accounts/{account}/distributions?limit=50");
                        let (status, length) = get(&mut stream, &path).expect("an answer");
                        assert!(status == 200 && length > 1_000, "{status} with {length} bytes");
                        durations.push(due.elapsed());
                    }
                    durations
                })
            })
            .collect();
        let durations = threads.into_iter().map(|thread| thread.join().expect("no panic"));
        durations.flatten().collect::<Vec<_>>()
    });
    println!(
        "history of an account over HTTP: {} requests in {:.1?}, {}; peak of the process {} MB",
        asked.len(),
        start.elapsed(),
        spread(asked),
        peak_of(&server.id().to_string())
    );
    server.kill().expect("it runs");
    server.wait().expect("its end");
}
