//! What the payout service says it credited: the first credit of each distribution, and the sum of each epoch.
//!
//! The first credit counts for the customer. The sum has every credit, also a second one of the same distribution: that money is gone as well. A copy of an
//! event counts once. All of it is committed in one batch with how far the events are read, so it is right after a crash.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rocksdb::WriteBatch;
use serde::{Deserialize, Serialize};

use crate::bus::{BrokerError, FileError, OpenError, Reaction};
use crate::core::contract::records::PayoutExecuted;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;
use crate::serve::view::database::ViewDatabase;
use crate::serve::view::error::ViewError;
use crate::serve::view::kept::View;
use crate::serve::view::keys;

/// The most digits of an amount that is added up, 18 of them decimals. With fewer, no number of credits is too much for a sum.
const MOST_DIGITS: usize = 58;

/// What the payout service credited for a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    pub amount: String,
    pub at: TimeMs,
    /// Of the event that tells it.
    pub(super) identity: [u8; 16],
}

/// Why acknowledgements cannot be read. The variant says what follows from it.
#[derive(Debug, thiserror::Error)]
pub enum CreditsError {
    /// They cannot be reached now. Those that are known stay, and it is tried again.
    #[error("{0}")]
    Away(String),
    /// What was read is not there any more, or cannot be read at all. An operator has to act.
    #[error("{0}")]
    Wrong(String),
    /// The view, and not the acknowledgements.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<FileError> for CreditsError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { .. } | FileError::NotAFile { .. } => Self::Away(error.to_string()),
            FileError::Damaged { .. } | FileError::Version { .. } => Self::Wrong(error.to_string()),
        }
    }
}

impl From<BrokerError> for CreditsError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Unavailable { .. }
            | BrokerError::Unauthorised { .. }
            | BrokerError::Unauthenticated { .. }
            | BrokerError::GaveUp { .. } => Self::Away(error.to_string()),
            BrokerError::Refused { .. } | BrokerError::Misconfigured { .. } | BrokerError::Rejected { .. } => {
                Self::Wrong(error.to_string())
            }
        }
    }
}

impl From<OpenError> for CreditsError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Broker(error) => error.into(),
            OpenError::File(error) => error.into(),
            other if other.reaction() == Reaction::TryAgain => Self::Away(other.to_string()),
            other => Self::Wrong(other.to_string()),
        }
    }
}

/// What was credited of each epoch, in the reward asset.
pub type CreditedSums = BTreeMap<(Asset, Epoch), ExactAmount>;

/// Takes the bytes of an acknowledgement.
pub type TakeCredit<'a> = dyn FnMut(&[u8]) -> Result<(), ViewError> + 'a;

/// The acknowledgements of a payout service, in pieces: each read goes on where the one before ended.
pub trait CreditSource: Send {
    /// The name of the topic.
    fn name(&self) -> &str;

    /// Reads what came after `position`, which an earlier call returned, or a part of it. Returns where it ended.
    ///
    /// # Errors
    /// If they cannot be read, or the error that `take` returns.
    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, CreditsError>;

    /// The pause until the next read.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// How far the acknowledgements are read.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct CreditsRead {
    /// The topic that they are from.
    topic: String,
    position: Vec<u8>,
}

/// Credits that are not yet in the view.
struct CreditBatch<'a> {
    database: &'a ViewDatabase,
    batch: WriteBatch,
    /// The event of each distribution's first credit.
    first: BTreeMap<String, [u8; 16]>,
    /// The events of later credits.
    again: BTreeSet<Vec<u8>>,
    sums: CreditedSums,
}

impl CreditBatch<'_> {
    fn add(&mut self, record: &[u8]) -> Result<(), ViewError> {
        let Ok(executed) = PayoutExecuted::read(record) else {
            // `softstake reconcile payouts` reports it.
            return Ok(());
        };
        let key = keys::credit(&executed.distribution);
        let first = match self.first.entry(executed.distribution.clone()) {
            Entry::Occupied(first) => Some(*first.get()),
            Entry::Vacant(place) => match self.database.get(&key)? {
                Some(value) => Some(*place.insert(read_credit(self.database, &value)?.identity)),
                None => {
                    place.insert(executed.identity);
                    None
                }
            },
        };
        match first {
            None => {
                let credit = Credit {
                    amount: executed.written_amount.clone(),
                    at: executed.credited_at,
                    identity: executed.identity,
                };
                let value = postcard::to_stdvec(&credit);
                let value = value.map_err(|error| self.database.damaged(error.to_string()))?;
                self.batch.put(key, value);
            }
            Some(first) if first == executed.identity => return Ok(()),
            Some(_) => {
                let key = keys::credit_again(&executed.distribution, &executed.identity);
                if self.again.contains(&key) || self.database.get(&key)?.is_some() {
                    return Ok(());
                }
                self.batch.put(&key, b"");
                self.again.insert(key);
            }
        }
        self.sum(&executed)
    }

    fn sum(&mut self, executed: &PayoutExecuted) -> Result<(), ViewError> {
        let Some(of) = epoch_of(&executed.distribution) else {
            return Ok(());
        };
        if executed.amount.units().len() > MOST_DIGITS {
            // The log names no account.
            let (asset, epoch) = of;
            tracing::warn!(
                "a credit for {asset} epoch {epoch} is more than any asset has; the sums of finance leave it out, and `softstake reconcile payouts` names it"
            );
            return Ok(());
        }
        let sum = match self.sums.entry(of) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(place) => {
                let stored = self.database.get(&keys::credit_sum(of.0, of.1))?;
                let stored = stored.map(|value| read_sum(self.database, &value)).transpose()?;
                place.insert(stored.unwrap_or_default())
            }
        };
        *sum = sum.plus(executed.amount).unwrap_or(*sum);
        Ok(())
    }
}

impl View {
    /// Reads the payout service's acknowledgements on. Returns whether there were any.
    pub(super) fn read_credits(&self, source: &mut (dyn CreditSource + 'static)) -> Result<bool, CreditsError> {
        let before = self.credits_read(source.name())?;
        let mut credits = CreditBatch {
            database: &self.database,
            batch: WriteBatch::default(),
            first: BTreeMap::new(),
            again: BTreeSet::new(),
            sums: CreditedSums::new(),
        };
        let position = source.read_on(before.as_deref(), &mut |record| credits.add(record))?;
        if before.as_deref() == Some(&position[..]) {
            return Ok(false);
        }
        let CreditBatch { mut batch, sums, .. } = credits;
        for ((asset, epoch), sum) in sums {
            batch.put(keys::credit_sum(asset, epoch), sum.units());
        }
        let read = CreditsRead {
            topic: source.name().to_owned(),
            position,
        };
        let read = postcard::to_stdvec(&read).map_err(|error| self.database.damaged(error.to_string()))?;
        batch.put(keys::CREDITS_READ, read);
        self.database.write(batch)?;
        Ok(true)
    }

    /// How far the acknowledgements of a topic are read; `None` if nothing of it is.
    fn credits_read(&self, topic: &str) -> Result<Option<Vec<u8>>, CreditsError> {
        let Some(stored) = self.database.get(keys::CREDITS_READ)? else {
            return Ok(None);
        };
        let damaged = |error| self.database.damaged(format!("how far credits are read: {error}"));
        let read: CreditsRead = postcard::from_bytes(&stored).map_err(damaged)?;
        match read.topic == topic {
            true => Ok(Some(read.position)),
            false => Err(CreditsError::Wrong(format!(
                "the view at {} has the credits of the topic {}, and not of {topic}: correct --executions, or delete the view, and it is rebuilt",
                self.database.path().display(),
                read.topic
            ))),
        }
    }

    /// What the payout service credited of each epoch, as far as its events are read.
    ///
    /// # Errors
    /// If the view cannot be read.
    pub fn credited(&self) -> Result<CreditedSums, ViewError> {
        let mut sums = CreditedSums::new();
        let mut scan = self.database.scan_prefix(&keys::credit_sums().0);
        while let Some((key, value)) = scan.next()? {
            let of = keys::read_asset_epoch(key).ok_or_else(|| self.database.damaged("a key of a sum of credits"))?;
            sums.insert(of, read_sum(&self.database, value)?);
        }
        Ok(sums)
    }
}

/// A credit as the view keeps it.
pub(super) fn read_credit(database: &ViewDatabase, value: &[u8]) -> Result<Credit, ViewError> {
    postcard::from_bytes(value).map_err(|error| database.damaged(format!("a credit: {error}")))
}

fn read_sum(database: &ViewDatabase, value: &[u8]) -> Result<ExactAmount, ViewError> {
    let digits = std::str::from_utf8(value).ok().and_then(ExactAmount::parse_units);
    digits.ok_or_else(|| database.damaged("a sum of credits"))
}

/// The asset and the epoch of a distribution's id.
fn epoch_of(id: &str) -> Option<(Asset, Epoch)> {
    let mut parts = id.splitn(3, ':');
    let (asset, epoch) = (parts.next()?, parts.next()?);
    let number = epoch.parse::<u64>().ok()?;
    let is_ours = parts.next().is_some_and(|account| !account.is_empty()) && number.to_string() == epoch;
    let asset = Asset::parse(asset).ok()?;
    is_ours.then(|| (asset, Epoch::new(number)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;

    /// Events of a topic, so many of which are read at a time.
    struct Told {
        topic: &'static str,
        events: Vec<String>,
        at_a_time: usize,
    }

    impl Told {
        fn new(events: &[String], at_a_time: usize) -> Self {
            Self {
                topic: "payout.executions",
                events: events.to_vec(),
                at_a_time,
            }
        }
    }

    impl CreditSource for Told {
        fn name(&self) -> &str {
            self.topic
        }

        fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, CreditsError> {
            let from = position.map_or(0, |bytes| usize::from_be_bytes(bytes.try_into().unwrap()));
            let to = self.events.len().min(from + self.at_a_time);
            self.events[from..to]
                .iter()
                .try_for_each(|event| take(event.as_bytes()))?;
            Ok(to.to_be_bytes().to_vec())
        }
    }

    fn executed(event: &str, distribution: &str, amount: &str) -> String {
        json!({
            "specversion": "1.0", "id": event, "source": "/payouts", "type": "payout.executed.v1",
            "time": "2026-11-02T08:00:00Z",
            "data": {"distribution": distribution, "amount": amount, "credited_at": "2026-11-02T08:00:00Z"},
        })
        .to_string()
    }

    /// Two epochs, a copy of an event, a second credit and its copy, and what is none.
    fn events() -> Vec<String> {
        let second = executed("e-5", "ATOM:0:alice", "0.5");
        vec![
            executed("e-1", "ATOM:0:alice", "1.25"),
            executed("e-2", "ATOM:0:bob", "2"),
            executed("e-1", "ATOM:0:alice", "1.25"),
            executed("e-3", "ATOM:1:alice", "0.000000000000000001"),
            "no JSON".into(),
            executed("e-4", "nothing of ours", "7"),
            second.clone(),
            executed("e-2", "ATOM:0:bob", "2"),
            second,
            // The first one of an id is what was credited.
            executed("e-1", "ATOM:0:alice", "9"),
            // No asset has so much.
            executed("e-6", "ATOM:0:carol", &"9".repeat(41)),
        ]
    }

    fn sums(view: &View) -> Vec<(u64, String)> {
        let sums = view.credited().unwrap().into_iter();
        sums.map(|((asset, epoch), sum)| {
            assert_eq!(asset.as_str(), "ATOM");
            (epoch.get(), sum.to_string())
        })
        .collect()
    }

    fn expected() -> Vec<(u64, String)> {
        vec![(0, "3.75".into()), (1, "0.000000000000000001".into())]
    }

    #[test]
    fn every_credit_counts_once_however_the_events_are_read() {
        for at_a_time in 1..=events().len() {
            let folder = tempfile::tempdir().unwrap();
            let mut source = Told::new(&events(), at_a_time);
            // The view is opened anew for each part.
            while View::open(folder.path(), "log").unwrap().read_and_flush(&mut source) {}
            let view = View::open(folder.path(), "log").unwrap();
            assert_eq!(sums(&view), expected(), "{at_a_time} at a time");
            let first = view.database.get(&keys::credit("ATOM:0:alice")).unwrap().unwrap();
            assert_eq!(read_credit(&view.database, &first).unwrap().amount, "1.25");
        }
    }

    impl View {
        fn read_and_flush(&self, source: &mut Told) -> bool {
            let was_new = self.read_credits(source).unwrap();
            self.database.flush().unwrap();
            was_new
        }
    }

    /// Copies the files of a view as they are: that is what a crash leaves.
    fn crashed(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() && path.file_name().unwrap() != "LOCK" {
                fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }

    #[test]
    fn after_a_crash_no_credit_is_lost_or_doubled() {
        let folder = tempfile::tempdir().unwrap();
        let (path, copy) = (folder.path().join("view"), folder.path().join("copy"));
        let view = View::open(&path, "log").unwrap();
        view.read_and_flush(&mut Told::new(&events()[..3], 100));
        let before = sums(&view);
        // These are in memory when the process dies.
        view.read_credits(&mut Told::new(&events(), 100)).unwrap();
        assert_eq!(sums(&view), expected());
        crashed(&path, &copy);
        let after = View::open(&copy, "log").unwrap();
        assert_eq!(sums(&after), before, "what was in memory is lost");
        after.read_credits(&mut Told::new(&events(), 100)).unwrap();
        assert_eq!(sums(&after), expected());
        assert!(!after.read_credits(&mut Told::new(&events(), 100)).unwrap());
    }

    #[test]
    fn credits_of_another_topic_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let view = View::open(folder.path(), "log").unwrap();
        let mut source = Told::new(&events(), 100);
        view.read_credits(&mut source).unwrap();
        source.topic = "other.executions";
        let error = view.read_credits(&mut source).unwrap_err().to_string();
        for part in [
            "payout.executions",
            "other.executions",
            "--executions",
            "delete the view",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_id_names_an_asset_and_an_epoch() {
        let atom = Asset::parse("ATOM").unwrap();
        for (id, expected) in [
            ("ATOM:12:alice", Some((atom, Epoch::new(12)))),
            ("ATOM:0:a:b", Some((atom, Epoch::FIRST))),
            ("ATOM:012:alice", None),
            ("ATOM:+1:alice", None),
            ("ATOM:1:", None),
            ("ATOM:1", None),
            (":1:alice", None),
            ("payment 7", None),
        ] {
            assert_eq!(epoch_of(id), expected, "{id}");
        }
    }
}
