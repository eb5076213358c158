//! The payout example from outside: its binary between a real broker and real databases, which go away as they like, as
//! it does itself.

mod common;
#[path = "common/kafka/mod.rs"]
mod kafka;
#[path = "common/postgres.rs"]
mod postgres;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use num_bigint::BigUint;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use sha2::{Digest, Sha256};
use sqlx::{AnyConnection, AssertSqlSafe, Connection, Row};
use tempfile::TempDir;

use common::{Place, setting};
use kafka::{Cluster, wait_for};
use postgres::Postgres;
use softstake::generate::{Synthetic, write};

const DISTRIBUTIONS: &str = "softstake.distributions";
const EPOCHS: &str = "softstake.epochs";

/// Small transactions, so that there are many to be killed in, and an end.
const FLAGS: [&str; 2] = ["--batch=10", "--until-idle"];

/// Runs what sqlx and the admin client are asynchronous about.
fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

/// A small generator of our own: which instant, which case.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's MMIX constants.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// The consumer at work, killed with the test at the latest.
struct Consumer {
    process: Child,
    log: PathBuf,
}

impl Consumer {
    fn start(cluster: &Cluster, database: &Ledger, flags: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_softstake")).with_file_name("examples/payout_consumer");
        assert!(
            program.exists(),
            "{} is missing: `cargo test` without --test builds it",
            program.display()
        );
        let log = database.folder.path().join("log");
        let mut command = Command::new(program);
        command.arg("--brokers").arg(cluster.bootstrap());
        // What a payout service would leave as it is, but for being quick about a broker that comes back.
        command.args(["-X", "reconnect.backoff.max.ms=500"]).args(flags);
        // A password in it would not be for everybody to see.
        command.env("PAYOUT_DATABASE", &database.url);
        let append = File::options().create(true).append(true).open(&log).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(append);
        Self {
            process: command.spawn().expect("the consumer starts"),
            log,
        }
    }

    /// Runs until everything is read, with success.
    fn run(cluster: &Cluster, database: &Ledger) {
        let mut consumer = Self::start(cluster, database, &FLAGS);
        let status = wait_for("the consumer to end", || {
            consumer.process.try_wait().expect("its status")
        });
        assert!(
            status.success(),
            "the consumer ended with {status}:\n{}",
            consumer.said()
        );
    }

    /// Runs until it gives up; what it said.
    fn fail(cluster: &Cluster, database: &Ledger) -> String {
        let mut consumer = Self::start(cluster, database, &FLAGS);
        let status = wait_for("the consumer to end", || {
            consumer.process.try_wait().expect("its status")
        });
        assert_eq!(status.code(), Some(1), "{}", consumer.said());
        consumer.said()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("the log")
    }

    fn running(&mut self) -> bool {
        self.process.try_wait().expect("its status").is_none()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // SIGKILL; there is no other way to end it that it would notice.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("the consumer said:\n{}", self.said());
        }
    }
}

/// A database for the consumer, and a look into it.
struct Ledger {
    url: String,
    folder: TempDir,
}

impl Ledger {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let url = format!("sqlite:{}", folder.path().join("payout.db").display());
        Self { url, folder }
    }

    fn postgres(server: &Postgres, name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self {
            url: server.create(name),
            folder,
        }
    }

    /// The rows of a query, columns by blanks; none as long as there is no such table.
    fn rows(&self, sql: &str) -> Vec<String> {
        sqlx::any::install_default_drivers();
        block_on(async {
            let Ok(mut connection) = AnyConnection::connect(&self.url).await else {
                return Vec::new();
            };
            let rows = sqlx::query(AssertSqlSafe(sql.to_owned()))
                .fetch_all(&mut connection)
                .await;
            let text = |row: &sqlx::any::AnyRow| {
                let column = |at| match row.try_get::<String, _>(at) {
                    Ok(text) => text,
                    Err(_) => row.get::<i64, _>(at).to_string(),
                };
                (0..row.len()).map(column).collect::<Vec<_>>().join(" ")
            };
            rows.unwrap_or_default().iter().map(text).collect()
        })
    }

    fn statuses(&self) -> Vec<String> {
        self.rows("SELECT asset, epoch, status FROM seals ORDER BY asset, epoch")
    }

    fn wait_for(&self, asset: &str, epoch: u32, status: &str) {
        let row = format!("{asset} {epoch} {status}");
        wait_for(&row, || self.statuses().contains(&row).then_some(()));
    }

    /// Every account's balance by asset and account, after a look at whether it is the sum of its credits, whether only
    /// sealed epochs are credited, and whole ones if they are paid.
    fn balances(&self) -> BTreeMap<String, BigUint> {
        let balances = self.rows("SELECT asset, account, CAST(balance AS TEXT) FROM balances");
        let balances: BTreeMap<String, BigUint> = balances.iter().map(|row| keyed(row)).collect();
        let mut credited = BTreeMap::new();
        for row in self.rows("SELECT asset, account, CAST(amount AS TEXT) FROM credits") {
            let (account, amount) = keyed(&row);
            *credited.entry(account).or_default() += amount;
        }
        assert!(balances == credited, "the balances are not the sums of the credits");
        let early = "SELECT id FROM distributions d JOIN credits c ON c.distribution = d.id
                     LEFT JOIN seals s ON s.asset = d.asset AND s.epoch = d.epoch AND s.status IN ('paying', 'paid')
                     WHERE s.asset IS NULL";
        assert_eq!(
            self.rows(early),
            Vec::<String>::new(),
            "credited without a seal that is right"
        );
        let forgotten = "SELECT id FROM seals s JOIN distributions d ON s.asset = d.asset AND s.epoch = d.epoch
                         LEFT JOIN credits c ON c.distribution = d.id AND c.amount = d.amount
                         WHERE s.status = 'paid' AND c.distribution IS NULL";
        assert_eq!(self.rows(forgotten), Vec::<String>::new(), "paid, but not credited");
        balances
    }
}

/// A row of asset, account and amount.
fn keyed(row: &str) -> (String, BigUint) {
    let (key, amount) = row.rsplit_once(' ').expect("an amount");
    (key.to_owned(), scaled(amount))
}

/// An amount in units of 10^-18.
fn scaled(amount: &str) -> BigUint {
    let (whole, fraction) = amount.split_once('.').unwrap_or((amount, ""));
    format!("{whole}{fraction:0<18}").parse().expect("an amount")
}

/// The same as text.
fn plain(units: &BigUint) -> String {
    let digits = format!("{:0>19}", units.to_string());
    let (whole, fraction) = digits.split_at(digits.len() - 18);
    format!("{whole}.{fraction}")
        .trim_end_matches('0')
        .trim_end_matches('.')
        .to_owned()
}

/// What Softstake publishes for an asset and epoch, made without it.
struct Epoch {
    asset: &'static str,
    epoch: u32,
    /// Account and amount.
    paid: Vec<(String, BigUint)>,
}

impl Epoch {
    /// Some accounts with names that sort differently by bytes and by language, and amounts of all sizes.
    fn random(asset: &'static str, epoch: u32, accounts: usize, dice: &mut Dice) -> Self {
        let mut paid = BTreeMap::new();
        while paid.len() < accounts {
            let number = dice.throw(accounts as u64 * 2);
            let prefix = ["u-", "U-", "ü:", "|_", "\u{1f980} "][usize::try_from(number % 5).expect("small")];
            let amount = BigUint::from(1 + dice.throw(1 << 31)).pow(1 + u32::try_from(dice.throw(5)).expect("small"));
            paid.insert(format!("{prefix}{number}"), amount);
        }
        Self {
            asset,
            epoch,
            paid: paid.into_iter().collect(),
        }
    }

    fn distributions(&self) -> Vec<String> {
        let Self { asset, epoch, paid } = self;
        let event = |(account, amount): &(String, BigUint)| {
            serde_json::json!({
                "specversion": "1.0", "id": format!("{asset}:{epoch}:{account}"), "source": "/softstake",
                "type": "softstake.distribution.v1", "time": "2026-11-02T00:00:00.000Z",
                "data": {"account": account, "asset": asset, "epoch": epoch, "amount": plain(amount)}
            })
        };
        paid.iter().map(|paid| event(paid).to_string()).collect()
    }

    fn seal(&self) -> String {
        let Self { asset, epoch, paid } = self;
        let mut buckets: Vec<MemoryBackedTree<Sha256, String>> = (0..4096).map(|_| MemoryBackedTree::new()).collect();
        // `paid` is sorted by bytes.
        for (account, amount) in paid {
            let hash = Sha256::digest(account);
            let bucket = usize::from(hash[0]) << 4 | usize::from(hash[1]) >> 4;
            buckets[bucket].push(format!("{asset}:{epoch}:{account}|{}", plain(amount)));
        }
        let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
        for bucket in &buckets {
            tree.push(bucket.root().as_bytes().to_vec());
        }
        let sum: BigUint = paid.iter().map(|(_, amount)| amount).sum();
        serde_json::json!({
            "specversion": "1.0", "id": format!("{asset}:{epoch}"), "source": "/softstake",
            "type": "softstake.epoch_settled.v1", "time": "2026-11-02T00:00:00.000Z",
            "data": {"asset": asset, "epoch": epoch, "distributions": paid.len(), "distributed": plain(&sum),
                "root": hex::encode(tree.root().as_bytes())}
        })
        .to_string()
    }

    /// Publishes it as Softstake does: distributions in transactions on several partitions, the seal in a later one. In
    /// between are transactions that were aborted, with amounts that are nobody's.
    fn publish(&self, cluster: &Cluster) {
        let distributions = self.distributions();
        for (partition, part) in (0..).zip(distributions.chunks(distributions.len().div_ceil(3))) {
            let wrong = Self {
                paid: vec![(self.paid[0].0.clone(), BigUint::from(7_u8))],
                ..*self
            };
            cluster
                .begin("payout", DISTRIBUTIONS, partition, wrong.distributions())
                .abort();
            cluster.begin("payout", DISTRIBUTIONS, partition, part).commit();
        }
        let wrong = Self {
            paid: Vec::new(),
            ..*self
        };
        cluster.begin("payout", EPOCHS, 0, [wrong.seal()]).abort();
        cluster.begin("payout", EPOCHS, 0, [self.seal()]).commit();
    }
}

/// What the balances have to be once epochs are paid.
fn due(epochs: &[Epoch]) -> BTreeMap<String, BigUint> {
    let mut due = BTreeMap::new();
    for Epoch { asset, paid, .. } in epochs {
        for (account, amount) in paid {
            *due.entry(format!("{asset} {account}")).or_default() += amount;
        }
    }
    due
}

fn create_topics(cluster: &Cluster) {
    cluster.create_topic(DISTRIBUTIONS, 3, &[]);
    cluster.create_topic(EPOCHS, 1, &[]);
}

#[test]
fn the_worked_example() {
    let cluster = Cluster::single();
    create_topics(&cluster);
    let lines = |name: &str| -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/example/expected")
            .join(name);
        fs::read_to_string(path)
            .expect("the example")
            .lines()
            .map(str::to_owned)
            .collect()
    };
    let (distributions, seals) = (lines("distributions.jsonl"), lines("epochs.jsonl"));
    let postgres = Postgres::start();
    let ledgers = [Ledger::sqlite(), Ledger::postgres(&postgres, "example")];

    // All that was published before a seal counts, wherever it lies. Before the seal nothing is paid.
    let transaction = cluster.begin("payout", DISTRIBUTIONS, 2, &distributions[5..]);
    transaction.produce(DISTRIBUTIONS, 0, &distributions[..2]);
    transaction.commit();
    cluster.begin("payout", DISTRIBUTIONS, 0, &distributions[..5]).abort();
    cluster.begin("payout", DISTRIBUTIONS, 1, &distributions[2..5]).commit();
    for ledger in &ledgers {
        Consumer::run(&cluster, ledger);
        assert_eq!(ledger.rows("SELECT count(*) FROM distributions"), ["7"]);
        assert!(ledger.balances().is_empty());
    }
    cluster.begin("payout", EPOCHS, 0, &seals).commit();
    for ledger in &ledgers {
        // Another run finds nothing to do.
        for _ in 0..2 {
            Consumer::run(&cluster, ledger);
            assert_eq!(ledger.statuses(), ["ATOM 0 paid", "ATOM 1 paid"]);
            let balances: Vec<String> = ledger
                .balances()
                .iter()
                .map(|(of, sum)| format!("{of} {}", plain(sum)))
                .collect();
            let sums = [
                "ATOM alice 1.1888",
                "ATOM bob 14.8118",
                "ATOM carol 1.309",
                "ATOM dave 0.2401",
            ];
            assert_eq!(balances, sums);
        }
    }

    // A topic made anew has not what is to come next, and nobody knows what was lost.
    cluster.delete_topic(DISTRIBUTIONS);
    cluster.create_topic(DISTRIBUTIONS, 3, &[]);
    for ledger in &ledgers {
        let said = Consumer::fail(&cluster, ledger);
        assert!(
            said.contains("softstake.distributions, partition 0 has no offset 9, but 0 to 0;"),
            "{said}"
        );
    }
}

#[test]
fn what_softstake_publishes() {
    let place = Place::new();
    let spec = Synthetic {
        events: 30_000,
        accounts: 1_500,
        seed: 5,
        late: 0.03,
        ..Synthetic::default()
    };
    write(&place.bus(), &spec, 0..spec.epochs, &mut |_| {}).expect("the bus is written");
    place.run(Some(4));
    let cluster = Cluster::single();
    create_topics(&cluster);
    let [distributions, seals] = [DISTRIBUTIONS, EPOCHS]
        .map(|topic| -> Vec<String> { place.records(topic).iter().map(ToString::to_string).collect() });
    for (partition, part) in (0..).zip(distributions.chunks(distributions.len().div_ceil(3))) {
        cluster.produce(DISTRIBUTIONS, partition, part);
    }
    cluster.produce(EPOCHS, 0, &seals);
    let ledger = Ledger::sqlite();
    Consumer::run(&cluster, &ledger);
    assert_eq!(ledger.rows("SELECT DISTINCT status FROM seals"), ["paid"]);
    assert_eq!(ledger.rows("SELECT count(*) FROM seals"), [seals.len().to_string()]);
    assert_eq!(
        ledger.rows("SELECT count(*) FROM credits"),
        [distributions.len().to_string()]
    );
    assert!(!ledger.balances().is_empty());
}

#[test]
fn killed_at_random_instants() {
    let rounds = setting("TEST_PAYOUT_KILLS", 20);
    let cluster = Cluster::single();
    create_topics(&cluster);
    let postgres = Postgres::start();
    let mut dice = Dice(1);
    let mut epochs: Vec<Epoch> = Vec::new();
    for epoch in 0..3 {
        for asset in ["ATOM", "DOT"] {
            epochs.push(Epoch::random(asset, epoch, 600, &mut dice));
            epochs.last().expect("just added").publish(&cluster);
        }
    }
    let due = due(&epochs);
    for kind in ["sqlite", "postgres"] {
        let mut databases = 0;
        let mut database = || {
            databases += 1;
            match kind {
                "sqlite" => Ledger::sqlite(),
                _ => Ledger::postgres(&postgres, &format!("kills_{databases}")),
            }
        };
        // How long it takes from the start to the end, the client's own start left out.
        let whole = database();
        let began = Instant::now();
        Consumer::run(&cluster, &whole);
        let whole = began.elapsed();
        let (mut kills, mut lives, mut amid) = (0, 0, 0);
        while kills < rounds {
            let ledger = database();
            lives += 1;
            // Each life is killed until it comes to its end between two kills.
            loop {
                let mut consumer = Consumer::start(&cluster, &ledger, &FLAGS);
                std::thread::sleep(whole.mul_f64(dice.throw(1000) as f64 / 1000.0));
                if !consumer.running() || kills == rounds {
                    break;
                }
                drop(consumer);
                kills += 1;
                ledger.balances();
                amid += usize::from(!ledger.rows("SELECT 1 FROM seals WHERE status <> 'paid'").is_empty());
            }
            Consumer::run(&cluster, &ledger);
            assert!(ledger.balances() == due, "something was lost or paid twice");
            assert_eq!(ledger.rows("SELECT DISTINCT status FROM seals"), ["paid"]);
            assert_eq!(ledger.rows("SELECT count(*) FROM credits"), ["3600"]);
            assert_eq!(ledger.rows("SELECT what FROM conflicts"), Vec::<String>::new());
        }
        println!("{kind}: {kills} kills in {lives} lives, {amid} of them amid payments; a whole run takes {whole:?}");
    }
}

#[test]
fn what_it_depends_on_comes_and_goes() {
    let cluster = Cluster::single();
    let mut postgres = Postgres::start();
    let ledger = Ledger::postgres(&postgres, "outages");
    // There is nothing to read yet, not even topics.
    let mut consumer = Consumer::start(&cluster, &ledger, &[]);
    wait_for("the consumer to have started", || {
        consumer.said().contains("does not exist yet").then_some(())
    });
    create_topics(&cluster);
    let mut dice = Dice(2);
    let mut epochs = Vec::new();
    let mut publish = |epoch: Epoch| {
        epoch.publish(&cluster);
        ledger.wait_for(epoch.asset, epoch.epoch, "paid");
        epochs.push(epoch);
    };
    publish(Epoch::random("ATOM", 0, 100, &mut dice));

    let second = Consumer::fail(&cluster, &ledger);
    assert!(second.contains("another instance runs on this database"), "{second}");

    cluster.kill(0);
    cluster.start(0);
    publish(Epoch::random("ATOM", 1, 100, &mut dice));

    postgres.crash();
    std::thread::sleep(Duration::from_secs(2));
    postgres.restart();
    publish(Epoch::random("ATOM", 2, 100, &mut dice));

    // A partition that is added is read, too, and before any seal that comes later is judged.
    block_on(async {
        let admin: AdminClient<DefaultClientContext> = cluster.client().create().expect("a client");
        let partitions = NewPartitions::new(DISTRIBUTIONS, 4);
        let created = admin
            .create_partitions([&partitions], &AdminOptions::new())
            .await
            .expect("an answer");
        assert!(created[0].is_ok(), "{created:?}");
    });
    let epoch = Epoch::random("ATOM", 3, 100, &mut dice);
    cluster
        .begin("payout", DISTRIBUTIONS, 3, epoch.distributions())
        .commit();
    cluster.begin("payout", EPOCHS, 0, [epoch.seal()]).commit();
    ledger.wait_for("ATOM", 3, "paid");

    // Behind a transaction that is open the broker holds everything back. That is no reason to call it missing.
    let late = Epoch::random("ATOM", 4, 100, &mut dice);
    let open = cluster.begin("open", DISTRIBUTIONS, 1, ["it would be unreadable"]);
    late.publish(&cluster);
    ledger.wait_for("ATOM", 4, "waiting");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(ledger.rows("SELECT status FROM seals WHERE epoch = 4"), ["waiting"]);
    open.abort();
    ledger.wait_for("ATOM", 4, "paid");

    // What is really missing holds its epoch and no other; should it come after all, the epoch is paid.
    let held = Epoch::random("ATOM", 5, 100, &mut dice);
    let distributions = held.distributions();
    cluster.begin("payout", DISTRIBUTIONS, 0, &distributions[1..]).commit();
    cluster.begin("payout", EPOCHS, 0, [held.seal()]).commit();
    ledger.wait_for("ATOM", 5, "held");
    let reason = ledger.rows("SELECT reason FROM seals WHERE epoch = 5").remove(0);
    assert!(
        reason.starts_with("there are 99 distributions, the seal says 100; they add up to "),
        "{reason}"
    );
    assert!(
        consumer
            .said()
            .contains("ATOM epoch 5 is held and nothing of it is paid"),
        "{}",
        consumer.said()
    );
    let mut other = Epoch::random("DOT", 0, 50, &mut dice);
    other.paid[0].1 = scaled("1000000000000000000000000000000.000000000000000001");
    other.publish(&cluster);
    ledger.wait_for("DOT", 0, "paid");
    cluster.begin("payout", DISTRIBUTIONS, 2, &distributions[..1]).commit();
    ledger.wait_for("ATOM", 5, "paid");

    assert!(
        consumer.running(),
        "it was one process all the time:\n{}",
        consumer.said()
    );
    epochs.extend([epoch, late, held, other]);
    assert!(ledger.balances() == due(&epochs), "something was lost or paid twice");
}

/// How much memory an epoch takes must not depend on how large it is. Not run by default: it takes minutes.
#[test]
#[ignore = "it takes minutes"]
fn a_large_epoch() {
    let accounts = usize::try_from(setting("TEST_PAYOUT_ACCOUNTS", 2_000_000)).expect("a number");
    let cluster = Cluster::single();
    create_topics(&cluster);
    let epoch = Epoch::random("ATOM", 0, accounts, &mut Dice(3));
    epoch.publish(&cluster);
    let postgres = Postgres::start();
    for ledger in [Ledger::sqlite(), Ledger::postgres(&postgres, "large")] {
        let began = Instant::now();
        let mut consumer = Consumer::start(&cluster, &ledger, &["--until-idle"]);
        let mut peak_kib = 0;
        while consumer.running() {
            let status = fs::read_to_string(format!("/proc/{}/status", consumer.process.id())).unwrap_or_default();
            let peak = status
                .lines()
                .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
            peak_kib = peak.map_or(peak_kib, |peak| peak.parse::<u64>().expect("a number").max(peak_kib));
            std::thread::sleep(Duration::from_millis(100));
        }
        println!(
            "{} distributions: {:?}, {} MiB at most",
            accounts,
            began.elapsed(),
            peak_kib / 1024
        );
        println!("{}", consumer.said());
        assert_eq!(ledger.statuses(), ["ATOM 0 paid"]);
        assert!(
            ledger.balances() == due(std::slice::from_ref(&epoch)),
            "something was lost or paid twice"
        );
        assert!(peak_kib < 400 * 1024, "{peak_kib} KiB");
    }
}
