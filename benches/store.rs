//! Measures a commit, a scan and a lookup of the store. Prints a table of nanoseconds per operation: wall-clock time, and the
//! processor time of all threads, compaction included.
//!
//!     cargo bench --bench store -- [ACCOUNTS [OPERATIONS]]

use std::collections::HashMap;
use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use ethnum::I256;
use softstake::bus::Position;
use softstake::core::accrue::row::Row;
use softstake::store::rocks::{FILE_FROM, MemoryLimits, RocksStore, StoreKind, StoreResources, StoreSettings};
use softstake::store::{Changes, Store, row};

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Additions, through the write-ahead log and the memtable.
    Log,
    /// Additions, as an ingested file.
    File,
    /// Rows are combined in a hash map, then read, changed and put, as an ingested file.
    ReadAndPut,
}

fn slices(keys: &[Vec<u8>]) -> Vec<&[u8]> {
    keys.iter().map(Vec::as_slice).collect()
}

/// SplitMix64. It gives the same keys in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// Table, asset (of two), epoch, bucket, account.
fn row_key(random: &mut Random, accounts: u64, key: &mut Vec<u8>) {
    let number = random.next();
    let account = number % accounts;
    let bucket = Random(account).next() as u16 & 0xfff;
    key.clear();
    key.push(3);
    key.extend_from_slice(&((number >> 60) as u16 & 1).to_be_bytes());
    key.extend_from_slice(&7_u32.to_be_bytes());
    key.extend_from_slice(&bucket.to_be_bytes());
    key.extend_from_slice(b"u-");
    key.extend_from_slice(account.to_string().as_bytes());
}

fn posting(random: &mut Random) -> Row {
    let delta = i128::from(random.next() as u32) - (1 << 31);
    Row {
        delta: I256::new(delta),
        weighted: I256::new(delta * i128::from(random.next() % 86_400_000)),
    }
}

/// Wall-clock and processor time.
struct Clock(Instant, Duration);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), processor())
    }

    fn per(&self, operations: usize) -> (f64, f64) {
        let each = |time: Duration| time.as_nanos() as f64 / operations.max(1) as f64;
        (each(self.0.elapsed()), each(processor().saturating_sub(self.1)))
    }
}

/// Processor time of this process so far; zero without /proc.
fn processor() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks: u64 = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Duration::from_millis(ticks * 10)
}

fn memory_mb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        / 1024
}

fn open(
    name: &str,
    kind: StoreKind,
    shared: &StoreResources,
    file_from: usize,
) -> Outcome<(RocksStore, tempfile::TempDir)> {
    let directory = tempfile::tempdir()?;
    let mut settings = StoreSettings::new(shared.clone(), name);
    settings.file_from = file_from;
    let store = RocksStore::open(directory.path(), kind, settings)?;
    Ok((store, directory))
}

fn additions(way: Way, batch: usize, operations: usize, accounts: u64, shared: &StoreResources) -> Outcome {
    let file_from = if way == Way::Log { usize::MAX } else { 0 };
    let (mut store, _directory) = open("bench", StoreKind::Accrue, shared, file_from)?;
    let mut random = Random(1);
    let mut changes = Changes::default();
    let mut key = Vec::new();
    let position = Position::default();
    let clock = Clock::start();
    let mut left = operations;
    while left > 0 {
        let now = batch.min(left);
        left -= now;
        if way == Way::ReadAndPut {
            let mut rows: HashMap<Vec<u8>, Row> = HashMap::with_capacity(now);
            for _ in 0..now {
                row_key(&mut random, accounts, &mut key);
                let row = posting(&mut random);
                let sum = rows.entry(key.clone()).or_default();
                *sum = sum.checked_add(row).ok_or("overflow")?;
            }
            let mut keys: Vec<_> = rows.keys().cloned().collect();
            keys.sort_unstable();
            for (key, old) in keys.iter().zip(store.get_many(&slices(&keys))?) {
                let old = old
                    .map_or(Some(Row::default()), |old| row::decode(&old))
                    .ok_or("not a row")?;
                changes.put_row(key, old.checked_add(rows[key]).ok_or("overflow")?);
            }
        } else {
            for _ in 0..now {
                row_key(&mut random, accounts, &mut key);
                changes.add(&key, posting(&mut random));
            }
        }
        store.commit(&mut changes, &position)?;
    }
    let (wall, cpu) = clock.per(operations);

    let scan = |store: &RocksStore| -> Outcome<(usize, f64)> {
        let clock = Clock::start();
        let mut rows = 0;
        let mut scan = store.scan(&[3], &[4])?;
        while scan.next()?.is_some() {
            rows += 1;
        }
        Ok((rows, clock.per(rows).0))
    };
    let (rows, first) = scan(&store)?;
    println!(
        "{:>10} {batch:>8} {wall:>8.0} {cpu:>8.0} {rows:>9} {first:>9.0} {:>8}",
        format!("{way:?}"),
        memory_mb(),
    );
    Ok(())
}

fn ids(batch: usize, ids: usize, shared: &StoreResources) -> Outcome {
    let (mut store, _directory) = open("bench", StoreKind::Ingest, shared, FILE_FROM)?;
    let mut random = Random(2);
    let mut id = |prefix: u8| {
        let mut key = vec![prefix];
        key.extend_from_slice(&random.next().to_be_bytes());
        key.extend_from_slice(&random.next().to_be_bytes());
        key
    };
    let mut changes = Changes::default();
    let clock = Clock::start();
    for _ in 0..ids.div_ceil(batch) {
        for _ in 0..batch {
            changes.put(&id(2), &7_u32.to_be_bytes());
        }
        store.commit(&mut changes, &Position::default())?;
    }
    let (wall, cpu) = clock.per(ids);
    let keys: Vec<Vec<Vec<u8>>> = (0..20).map(|_| (0..10_000).map(|_| id(2)).collect()).collect();
    let clock = Clock::start();
    for keys in &keys {
        if store.get_many(&slices(keys))?.iter().any(Option::is_some) {
            return Err("found an id that is not there".into());
        }
    }
    let lookup = clock.per(200_000).0;
    store.compact();
    let clock = Clock::start();
    for keys in &keys {
        store.get_many(&slices(keys))?;
    }
    let compacted = clock.per(200_000).0;
    println!(
        "{batch:>19} {wall:>8.0} {cpu:>8.0} {ids:>9} {lookup:>9.0} {compacted:>9.0} {:>8}",
        memory_mb()
    );
    Ok(())
}

fn combining(batch: usize, accounts: u64) -> Outcome {
    let mut store = softstake::store::memory::MemoryStore::default();
    let mut random = Random(1);
    let mut key = Vec::new();
    let mut changes = Changes::default();
    let prepared: Vec<_> = (0..batch)
        .map(|_| {
            row_key(&mut random, accounts, &mut key);
            (key.clone(), posting(&mut random))
        })
        .collect();
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..5 {
        let clock = Clock::start();
        for (key, row) in &prepared {
            changes.add(key, *row);
        }
        let (adding, _) = clock.per(batch);
        // The deleted range covers all keys, so nothing is applied: only sorting and grouping are measured.
        changes.delete_range(&[1], &[255]);
        let clock = Clock::start();
        store.commit(&mut changes, &Position::default())?;
        let (sorting, _) = clock.per(batch);
        best = (best.0.min(adding), best.1.min(sorting));
    }
    println!("{batch:>19} {:>8.0} {:>8.0}", best.0, best.1);
    Ok(())
}

fn main() -> Outcome {
    let mut arguments = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let accounts = arguments.next().unwrap_or(1_000_000);
    let operations = arguments.next().unwrap_or(4_000_000);
    let shared = StoreResources::new(MemoryLimits::default())?;

    println!("adding to changes, sorting and combining them: ns each");
    println!("              batch      add     sort");
    for batch in [1_000, 10_000, 100_000, 500_000] {
        combining(batch, accounts as u64)?;
    }
    println!("{operations} additions to two rows of {accounts} accounts: ns each; then a scan: ns a row");
    println!("       way    batch     wall processor    rows      scan   RSS MB");
    for batch in [1_000, 10_000, 30_000, 50_000, 100_000, 500_000] {
        for way in [Way::Log, Way::File, Way::ReadAndPut] {
            // A few hundred small commits are enough.
            let operations = operations.min(batch * 500);
            additions(way, batch, operations, accounts as u64, &shared)?;
        }
    }
    println!("ids: inserting, ns each; looking up absent ones by 10,000, before and after compaction");
    println!("              batch     wall processor     ids    absent compacted   RSS MB");
    for batch in [10_000, 100_000] {
        ids(batch, 5_000_000, &shared)?;
    }
    Ok(())
}
