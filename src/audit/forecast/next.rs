//! What a run would do with records that are published next to a source partition, and what they would change.

use std::collections::BTreeMap;

use crate::audit::error::AuditError;
use crate::audit::forecast::Forecast;
use crate::audit::forecast::source::{ForecastIngest, ForecastOutcome};
use crate::audit::history::History;
use crate::bus::{Log, Outputs, ReadError, Topic, TopicPartition};
use crate::core::contract::event::Status;
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::records::{LatePosting, read_data};
use crate::core::protocol::ledger::{Entry, LedgerRecord, Posting};
use crate::core::values::amount::format_signed_units;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

/// All source partitions of a bus.
///
/// # Errors
/// A failure of the bus.
pub fn source_partitions(bus: &dyn Log) -> Result<Vec<TopicPartition>, ReadError> {
    let mut sources = Vec::new();
    for topic in Topic::SOURCES {
        let numbers = bus.partitions(topic)?;
        sources.extend(numbers.into_iter().map(|number| topic.partition(number)));
    }
    Ok(sources)
}

/// What one event would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForecastEffect {
    /// A balance.
    Posting {
        account: String,
        asset: Asset,
        /// The epoch in which it counts.
        epoch: Epoch,
        /// Signed, in whole asset.
        delta: String,
        late: Option<MissedEpoch>,
    },
    /// The reward that an account is due.
    Reward {
        account: String,
        /// The asset whose holders are rewarded.
        asset: Asset,
        reward_asset: Asset,
        epoch: Epoch,
        /// Signed, in whole reward asset.
        delta: String,
        late: Option<MissedEpoch>,
    },
    /// The status of an account.
    Status {
        account: String,
        status: Status,
        from: TimeMs,
        /// `None` for all assets.
        asset: Option<Asset>,
    },
}

/// The closed epoch that a late posting belongs to, and the policy by which it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedEpoch {
    pub epoch: Epoch,
    pub policy: String,
}

/// What would become of one record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NextOutcome {
    pub outcome: ForecastOutcome,
    pub effects: Vec<ForecastEffect>,
    /// The assets of postings that would be ignored because they are not listed.
    pub unlisted: Vec<Asset>,
}

/// The end of a source partition, where records are judged that are not published yet.
pub struct NextRecords {
    ingest: ForecastIngest,
    history: History,
    next: Offset,
}

impl Forecast<'_> {
    /// The end of a source partition. Events that are on it already are not compared with those that are judged: look for copies first.
    ///
    /// # Errors
    /// A failure of the bus, or decisions that contradict one another.
    pub fn next_records(&self, source: TopicPartition) -> Result<NextRecords, AuditError> {
        Ok(NextRecords {
            ingest: ForecastIngest::new(source, self.dedup_days, &self.decisions)?,
            history: History::of(&self.decisions)?,
            next: self.bus.written_end(source)?,
        })
    }
}

impl NextRecords {
    /// Judges one more record.
    ///
    /// # Errors
    /// Decisions that contradict one another.
    pub fn judge(&mut self, record: &[u8]) -> Result<NextOutcome, AuditError> {
        let mut unlisted = BTreeMap::new();
        let outcome = self.ingest.apply(self.next, record, &mut unlisted)?;
        self.next = self.next.next()?;
        Ok(NextOutcome {
            outcome,
            effects: self.effects()?,
            unlisted: unlisted.into_keys().collect(),
        })
    }

    /// What the ledger blocks of the last record hold.
    fn effects(&self) -> Result<Vec<ForecastEffect>, AuditError> {
        let outputs = self.ingest.outputs();
        let late = LateReports::of(outputs);
        let mut effects = Vec::new();
        for (_, _, record) in outputs.iter().filter(|(to, ..)| to.topic == Topic::Ledger) {
            let LedgerRecord::Block(mut block) = LedgerRecord::read(record)? else {
                continue;
            };
            while let Some(entry) = block.next_entry()? {
                effects.push(self.effect(&entry, &late)?);
            }
        }
        Ok(effects)
    }

    fn effect(&self, entry: &Entry<'_>, late: &LateReports<'_>) -> Result<ForecastEffect, AuditError> {
        let posting = |posting: &Posting<'_>| {
            let AssetTerms { asset, decimals, .. } = self.terms(posting.at)?;
            let (account, delta) = (posting.account.as_str(), format_signed_units(posting.delta, decimals));
            Ok(ForecastEffect::Posting {
                account: account.to_owned(),
                asset,
                epoch: posting.at.epoch(),
                late: late.of_posting(account, asset, posting.at.epoch(), &delta),
                delta,
            })
        };
        match entry {
            Entry::Posting(one) => posting(one),
            Entry::Late(entry) => posting(&entry.posting),
            Entry::Adjustment(adjustment) => {
                let terms = self.terms(adjustment.at)?;
                let (account, epoch) = (adjustment.account.as_str(), adjustment.at.epoch());
                let delta = format_signed_units(adjustment.delta, terms.reward_decimals());
                Ok(ForecastEffect::Reward {
                    account: account.to_owned(),
                    asset: terms.asset,
                    reward_asset: terms.reward_asset(),
                    epoch,
                    late: late.of_posting(account, terms.asset, epoch, &delta),
                    delta,
                })
            }
            Entry::Status(entry) => Ok(ForecastEffect::Status {
                account: entry.account.as_str().to_owned(),
                status: entry.status,
                from: TimeMs::from(entry.time_ms),
                asset: entry.asset,
            }),
        }
    }

    fn terms(&self, at: AssetEpoch) -> Result<AssetTerms, AuditError> {
        let settlement = self.history.settlement(at);
        let terms = settlement.map(|settlement| settlement.terms);
        terms.ok_or_else(|| AuditError::Decisions(format!("there is no listing number {}", at.number())))
    }
}

/// The reports of late postings of one event.
struct LateReports<'a>(Vec<LatePosting<'a>>);

impl<'a> LateReports<'a> {
    fn of(outputs: &'a Outputs) -> Self {
        let reports = outputs.iter().filter(|(to, ..)| to.topic == Topic::LatePostings);
        Self(
            reports
                .filter_map(|(_, _, record)| read_data::<LatePosting<'_>>(record).ok())
                .collect(),
        )
    }

    fn of_posting(&self, account: &str, asset: Asset, epoch: Epoch, delta: &str) -> Option<MissedEpoch> {
        let report = self.0.iter().find(|report| {
            report.account == account && report.asset == asset && report.applied_epoch == epoch && report.delta == delta
        })?;
        Some(MissedEpoch {
            epoch: report.missed_epoch,
            policy: report.policy.to_string(),
        })
    }
}
