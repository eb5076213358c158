//! Measures what the endpoint for monitoring costs, and whether a process that is scraped every second grows.
//!
//! `cargo bench --bench monitor`; settings:
//! - PAIRS (5): pairs of runs of EVENTS (2,000,000) events, with and without the endpoint, which is scraped every second.
//!   They alternate, so that other load on the machine affects both.
//! - MINUTES (30): length of the run that is watched. It begins when WARM_STAGES (200) hours of made-up events are
//!   processed, so that caches are full. Then another hour of STAGE_EVENTS (5,000) and its closes reach the bus every
//!   STAGE_SECONDS (15). Its memory, open files and answers are noted every second.
//! - PLOT: an SVG file for the plot of that run.

#[path = "../tests/it/common/program.rs"]
#[allow(dead_code, reason = "a benchmark uses a part of the tests' helpers")]
mod program;

use std::fmt::Write as _;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use program::{setting, softstake};
use softstake::generate::{Synthetic, write};

const SECOND: Duration = Duration::from_secs(1);

fn command(bus: &Path, state: &Path) -> Command {
    let mut command = softstake();
    command.args(["run", "--partitions", "4", "--log-level", "warn", "--bus"]);
    command.arg(format!("dir:{}", bus.display())).arg("--state").arg(state);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}

/// The metrics; none while the process does not listen yet, or any more.
fn scrape(address: SocketAddr) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, SECOND).ok()?;
    stream.set_read_timeout(Some(SECOND * 10)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
}

/// CPU seconds of all children that ended and were waited for (proc(5): fields 16 and 17 of `stat`, in hundredths).
fn cpu_of_children() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").expect("our figures");
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let ticks = fields.split_whitespace().skip(13).take(2);
    ticks.map(|ticks| ticks.parse::<f64>().expect("a number")).sum::<f64>() / 100.0
}

/// CPU seconds of a run until it is idle, and how often it was scraped.
fn run(source: &Path, place: &Path, is_monitored: bool) -> (f64, u64) {
    let bus = place.join("bus");
    copy(source, &bus);
    let before = cpu_of_children();
    let mut command = command(&bus, &place.join("state"));
    command.arg("--until-idle");
    let address = free_address();
    if is_monitored {
        command.args(["--monitor-listen", &address.to_string()]);
    }
    let mut child = command.spawn().expect("the program starts");
    let has_ended = AtomicBool::new(false);
    let scrapes = std::thread::scope(|scope| {
        let scraper = scope.spawn(|| {
            let mut scrapes = 0;
            while is_monitored && !has_ended.load(Ordering::Relaxed) {
                scrapes += u64::from(scrape(address).is_some());
                std::thread::sleep(SECOND);
            }
            scrapes
        });
        let status = child.wait().expect("its end");
        has_ended.store(true, Ordering::Relaxed);
        assert!(status.success(), "the run ended with {status}");
        scraper.join().expect("the scraper")
    });
    fs::remove_dir_all(place).expect("room for the next");
    (cpu_of_children() - before, scrapes)
}

fn copy(from: &Path, to: &Path) {
    for topic in fs::read_dir(from).expect("a bus").map(|topic| topic.expect("a topic")) {
        let target = to.join(topic.file_name());
        fs::create_dir_all(&target).expect("a folder");
        for file in fs::read_dir(topic.path()).expect("a topic") {
            let file = file.expect("a file");
            fs::copy(file.path(), target.join(file.file_name())).expect("a copy");
        }
    }
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn measure_cost(folder: &Path, pairs: u64) {
    let spec = Synthetic {
        events: setting("EVENTS", 2_000_000),
        accounts: 200_000,
        partitions: 4,
        ..Synthetic::default()
    };
    let source = folder.join("source");
    fs::create_dir(&source).expect("a folder");
    write(&source, &spec, 0..spec.epochs, &mut |_| {}).expect("the bus");
    let (mut without, mut with, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for pair in 1..=pairs {
        let mut both = [false, true];
        both.rotate_left(usize::from(pair.is_multiple_of(2)));
        let runs = both.map(|is_monitored| (is_monitored, run(&source, &folder.join("pair"), is_monitored)));
        let of = |wanted| runs.iter().find(|(is_monitored, _)| *is_monitored == wanted);
        let ((_, (plain, _)), (_, (watched, scrapes))) = (of(false).expect("a run"), of(true).expect("a run"));
        println!("pair {pair}: without {plain:.2} s of CPU, with {watched:.2} s and {scrapes} scrapes");
        without.push(*plain);
        with.push(*watched);
        ratios.push(watched / plain);
    }
    println!(
        "{} events: medians {:.2} s without and {:.2} s with the endpoint, median ratio {:.3}",
        spec.events,
        median(&mut without),
        median(&mut with),
        median(&mut ratios)
    );
}

type Figure = fn(&Sample) -> f64;

/// What a second of the watched run was like.
struct Sample {
    seconds: f64,
    resident_mb: f64,
    open_files: f64,
    answer_ms: f64,
}

fn sample(child: &Child, began: Instant, address: SocketAddr) -> Option<(Sample, usize)> {
    let asked = Instant::now();
    let answer = scrape(address)?;
    let answer_ms = asked.elapsed().as_secs_f64() * 1_000.0;
    let process = format!("/proc/{}", child.id());
    let status = fs::read_to_string(format!("{process}/status")).expect("its memory");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = kilobytes.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    let files = fs::read_dir(format!("{process}/fd")).expect("its files").count();
    let sample = Sample {
        seconds: began.elapsed().as_secs_f64(),
        resident_mb: kilobytes.expect("its memory") / 1024.0,
        open_files: u32::try_from(files).expect("few files").into(),
        answer_ms,
    };
    Some((sample, answer.len()))
}

/// All that is on the bus was processed, and its closes too.
fn is_idle(metrics: &str) -> bool {
    let lags = metrics.lines().filter(|line| {
        line.starts_with("softstake_input_lag_records{") || line.starts_with("softstake_inner_lag_offsets{")
    });
    let lags: Vec<&str> = lags.collect();
    !lags.is_empty() && lags.iter().all(|line| line.ends_with(" 0"))
}

fn watch(folder: &Path, minutes: u64) -> Vec<Sample> {
    let every = setting("STAGE_SECONDS", 15);
    let warm = u32::try_from(setting("WARM_STAGES", 200)).expect("few stages").max(1);
    let stages = warm + u32::try_from(minutes * 60 / every).expect("few stages");
    let spec = Synthetic {
        events: u64::from(stages) * setting("STAGE_EVENTS", 5_000),
        accounts: 20_000,
        partitions: 4,
        epochs: stages,
        epoch_seconds: 3_600,
        ..Synthetic::default()
    };
    let (bus, state) = (folder.join("watched"), folder.join("state"));
    fs::create_dir(&bus).expect("a folder");
    let address = free_address();
    write(&bus, &spec, 0..warm, &mut |_| {}).expect("the bus");
    let mut child = command(&bus, &state)
        .args(["--cache-mb", "16", "--monitor-listen", &address.to_string()])
        .spawn()
        .expect("the program starts");
    // Several looks in turn: between two inputs the lags can be zero for a moment.
    let mut idle = 0;
    while idle < 10 {
        assert!(child.try_wait().expect("its status").is_none(), "the run ended");
        idle = if scrape(address).is_some_and(|metrics| is_idle(&metrics)) {
            idle + 1
        } else {
            0
        };
        std::thread::sleep(SECOND);
    }
    let (began, mut samples, mut written, mut size) = (Instant::now(), Vec::new(), warm, 0);
    while began.elapsed() < SECOND * 60 * u32::try_from(minutes).expect("few minutes") {
        let due = warm + 1 + u32::try_from(began.elapsed().as_secs() / every).expect("few stages");
        if written < due.min(stages) {
            write(&bus, &spec, written..written + 1, &mut |_| {}).expect("a stage");
            written += 1;
        }
        if let Some((sample, bytes)) = sample(&child, began, address) {
            samples.push(sample);
            size = size.max(bytes);
        }
        assert!(child.try_wait().expect("its status").is_none(), "the run ended");
        std::thread::sleep(SECOND);
    }
    child.kill().expect("its end");
    child.wait().expect("its end");
    println!(
        "{minutes} minutes, {} scrapes of at most {size} bytes, {} stages of {} events with 4 closes each, after {warm}",
        samples.len(),
        written - warm,
        spec.events / u64::from(stages)
    );
    samples
}

/// Prints the mean of each tenth of the run.
fn print_tenths(samples: &[Sample]) {
    println!("minute  memory MB  open files  answer ms");
    for tenth in samples.chunks(samples.len().div_ceil(10).max(1)) {
        let mean = |of: Figure| {
            tenth.iter().map(of).sum::<f64>() / f64::from(u32::try_from(tenth.len()).expect("few samples"))
        };
        println!(
            "{:>6.1}  {:>9.1}  {:>10.1}  {:>9.2}",
            mean(|sample| sample.seconds) / 60.0,
            mean(|sample| sample.resident_mb),
            mean(|sample| sample.open_files),
            mean(|sample| sample.answer_ms)
        );
    }
}

/// Draws three lines over time, one below the other, each from 0 to its greatest value.
fn plot(samples: &[Sample]) -> String {
    const WIDTH: f64 = 720.0;
    const HEIGHT: f64 = 120.0;
    let lines: [(&str, Figure); 3] = [
        ("resident memory, MB", |sample| sample.resident_mb),
        ("open files", |sample| sample.open_files),
        ("time to answer /metrics, ms", |sample| sample.answer_ms),
    ];
    let last = samples.last().map_or(1.0, |sample| sample.seconds);
    let mut svg = String::from(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 540" font-family="sans-serif" font-size="12"><rect width="800" height="540" fill="white"/>"#,
    );
    let mut top = 40.0;
    for (name, of) in lines {
        let most = samples.iter().map(of).fold(1.0, f64::max);
        let bottom = top + HEIGHT;
        let mut points = String::new();
        for sample in samples {
            let (x, y) = (
                60.0 + sample.seconds / last * WIDTH,
                bottom - of(sample) / most * HEIGHT,
            );
            write!(points, "{x:.1},{y:.1} ").expect("text");
        }
        write!(
            svg,
            r##"<text x="60" y="{:.0}">{name}</text><text x="52" y="{:.0}" text-anchor="end">{most:.0}</text><text x="52" y="{bottom:.0}" text-anchor="end">0</text><path d="M60 {top:.0}V{bottom:.0}H780" fill="none" stroke="#888"/><polyline points="{points}" fill="none" stroke="#1f77b4"/>"##,
            top - 8.0,
            top + 10.0
        )
        .expect("text");
        top += 160.0;
    }
    write!(
        svg,
        r#"<text x="60" y="520">0</text><text x="780" y="520" text-anchor="end">{:.0} minutes</text></svg>"#,
        last / 60.0
    )
    .expect("text");
    svg.push('\n');
    svg
}

fn main() {
    let folder = tempfile::tempdir().expect("a folder");
    let pairs = setting("PAIRS", 5);
    if pairs > 0 {
        measure_cost(folder.path(), pairs);
    }
    let minutes = setting("MINUTES", 30);
    if minutes > 0 {
        let samples = watch(folder.path(), minutes);
        print_tenths(&samples);
        if let Ok(file) = std::env::var("PLOT") {
            fs::write(&file, plot(&samples)).expect("the plot");
        }
    }
}
