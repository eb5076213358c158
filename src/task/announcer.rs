//! Tells the operator, in the log, what a deployment has published: rejections, accepted control events, and seals.
//!
//! A task calls it after a commit. So everything is told once: not during recovery, not by a replay, and not by a process whose commit
//! failed. If a process dies between a commit and its line, the line is missing; the record itself is on its topic.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Span, field};

use crate::bus::{Outputs, Topic, TopicPartition};
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::envelope::Envelope;
use crate::core::contract::listing::Listing;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::records::{DeadLetter, Seal, read_data};
use crate::core::contract::rejection::{Code, RejectionCounts};
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;
use crate::spans::{SPANS, attribute};

/// After its first one, the rejected source records of a code are told this often, as a number.
const SUMMARY_EVERY: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Announcer {
    /// What was told of the rejected source records, by code.
    told: Mutex<BTreeMap<Code, Told>>,
    /// A span from the close of an epoch to its seal, by asset and epoch.
    settlements: Mutex<BTreeMap<(String, u64), Span>>,
}

/// The rejected source records of one code.
#[derive(Debug)]
struct Told {
    /// When a line was last written.
    at: Instant,
    /// The number of records since then.
    more: u64,
}

impl Announcer {
    /// Tells what the coordinator has published.
    pub fn tell_control(&self, outputs: &Outputs) {
        for (to, _, record) in outputs.iter() {
            match to.topic {
                Topic::Decisions => {
                    if let Ok(decision) = Decision::read(record) {
                        self.trace_close(&decision);
                        tell_decision(&decision);
                    }
                }
                Topic::DeadLetters => {
                    if let Ok(letter) = read_data::<DeadLetter<'_>>(record) {
                        tell_rejection("a control event", &letter);
                    }
                }
                Topic::Epochs => {
                    if let Ok(seal) = read_data::<Seal<'_>>(record) {
                        self.trace_seal(&seal);
                        tell_seal(&seal);
                    }
                }
                _ => {}
            }
        }
    }

    /// Begins the span of a settlement.
    fn trace_close(&self, decision: &Decision) {
        let Decision::CloseAccepted { asset, epoch, .. } = decision else {
            return;
        };
        let span = tracing::info_span!(
            target: SPANS, parent: None, "settlement", %asset, epoch = attribute(epoch.get()), sealed = field::Empty
        );
        if !span.is_disabled() {
            let mut settlements = self.settlements.lock().unwrap_or_else(PoisonError::into_inner);
            settlements.insert((asset.to_string(), epoch.get()), span);
        }
    }

    /// Ends it. An epoch that was closed before this process had the coordinator has none.
    fn trace_seal(&self, seal: &Seal<'_>) {
        let mut settlements = self.settlements.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(span) = settlements.remove(&(seal.asset.to_string(), seal.epoch.get())) {
            span.record("sealed", true);
        }
    }

    /// Another process has the coordinator now, and seals what was under way here.
    pub fn forget_settlements(&self) {
        self.settlements.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Tells of `new` rejected source records, which are among `outputs`: of the first of each code at once, of the others later.
    pub fn tell_source_rejections(&self, new: RejectionCounts, outputs: &Outputs) {
        for (code, count) in new.iter().filter(|(_, count)| *count > 0) {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            match told.entry(code) {
                Entry::Occupied(mut told) => told.get_mut().more += count,
                Entry::Vacant(first) => {
                    first.insert(Told {
                        at: Instant::now(),
                        more: count - 1,
                    });
                    drop(told);
                    if let Some(letter) = find(code, outputs) {
                        tell_rejection("a source record", &letter);
                    }
                }
            }
        }
    }

    /// Tells how many source records were rejected since the last line about each code, if it was long ago.
    pub fn tell_more(&self, now: Instant) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (code, told) in told.iter_mut() {
            if told.more > 0 && now.saturating_duration_since(told.at) >= SUMMARY_EVERY {
                tracing::warn!(
                    code = code.name(),
                    "{} more source records were rejected; softstake.dead-letters has them",
                    told.more
                );
                *told = Told { at: now, more: 0 };
            }
        }
    }
}

/// The first dead letter with this code.
fn find(code: Code, outputs: &Outputs) -> Option<DeadLetter<'_>> {
    let letters = outputs.iter().filter(|(to, ..)| to.topic == Topic::DeadLetters);
    letters
        .filter_map(|(_, _, record)| read_data::<DeadLetter<'_>>(record).ok())
        .find(|letter| letter.code == code)
}

fn tell_rejection(what: &str, letter: &DeadLetter<'_>) {
    let payload = letter.record();
    let envelope = payload.as_deref().and_then(|record| Envelope::read(record).ok());
    let remedy = letter
        .code
        .remedy()
        .map_or_else(String::new, |remedy| format!("; {remedy}"));
    tracing::warn!(
        code = letter.code.name(),
        id = envelope.as_ref().map(|envelope| envelope.id.as_ref()),
        record = %format_args!("{}:{}:{}", letter.topic, letter.partition, letter.offset),
        "{what} was rejected: {}{remedy}",
        letter.reason,
    );
}

fn tell_seal(seal: &Seal<'_>) {
    tracing::info!(
        asset = %seal.asset,
        epoch = seal.epoch.get(),
        ended = %seal.epoch_end,
        mode = %seal.mode,
        reward_pool = %seal.reward_pool,
        commission = %seal.commission,
        rewarded = %seal.rewarded,
        distributed = %seal.distributed,
        distributions = seal.distributions,
        withheld = %seal.withheld_after,
        carried_out = %seal.carried_out,
        root = %seal.root,
        "an epoch is sealed"
    );
}

fn tell_decision(decision: &Decision) {
    match decision {
        Decision::ListingAccepted { listing, .. } => tell_listing("an asset is listed", listing),
        Decision::ProgrammeChanged { listing, .. } => tell_listing("a change of programme is accepted", listing),
        Decision::CloseAccepted { asset, epoch, .. } => {
            tracing::info!(%asset, epoch = epoch.get(), "a close is accepted");
        }
        Decision::SourcesAdded { sources, starts } => tell_sources(sources, starts),
        // That is legal, but mostly a producer writes to a wrong name.
        Decision::Cut { asset, epoch, cut, .. } if cut.0.values().all(|offset| *offset == Offset::START) => {
            tracing::warn!(
                %asset,
                %epoch,
                "epoch {epoch} of {asset} is closed, but no source topic has ever had a record, so nobody holds anything; \
                 check where the exchange publishes: the source topics are {}",
                Topic::SOURCES.map(Topic::name).join(", ")
            );
        }
        Decision::Rules { version, .. } => {
            tracing::info!(version, "version {version} of the contract's rules is in force")
        }
        Decision::WithdrawalAccepted {
            asset, epoch, dropped, ..
        } => tracing::info!(
            %asset,
            epoch = epoch.get(),
            %dropped,
            "{asset} is withdrawn: it has no epoch from {epoch} on"
        ),
        Decision::EpochHeld {
            asset,
            epoch,
            limit,
            largest,
            total,
            change,
            ..
        } => tracing::warn!(
            %asset,
            epoch = epoch.get(),
            %limit,
            %largest,
            %total,
            change = change.as_deref().unwrap_or("none"),
            "epoch {epoch} of {asset} is held by the gate ({limit}), and nothing of it is paid; release it or void it"
        ),
        Decision::VerdictWaits { asset, control_offset } => tracing::info!(
            %asset,
            "the event at offset {control_offset} of the control topic waits until the closed epochs of {asset} are settled"
        ),
        Decision::EpochReleased {
            asset,
            epoch,
            by,
            reason,
            ..
        } => tracing::info!(%asset, epoch = epoch.get(), by, reason, "epoch {epoch} of {asset} is released"),
        Decision::EpochVoid {
            asset,
            epoch,
            by,
            reason,
            ..
        } => tracing::warn!(
            %asset,
            epoch = epoch.get(),
            by,
            reason,
            "epoch {epoch} of {asset} is void: nothing of it is paid, and later epochs wait; close it again"
        ),
        // Dead letters tell of what was rejected, a cut follows each close, and a pool is in its epoch's seal.
        Decision::LossAccepted {
            loss,
            skipped_from,
            skipped_to,
            ..
        } => tell_loss(loss, *skipped_from, *skipped_to),
        Decision::ListingProposed { .. }
        | Decision::LossProposed { .. }
        | Decision::ListingRefused { .. }
        | Decision::WithdrawalProposed { .. }
        | Decision::RulesProposed { .. }
        | Decision::RewardAdded { .. }
        | Decision::PoolAdjusted { .. }
        | Decision::Cut { .. }
        | Decision::Refused { .. }
        | Decision::ControlRead { .. } => {}
    }
}

fn tell_loss(loss: &RecordLoss, from: Offset, to: Offset) {
    let (source, by, reason) = (loss.source(), loss.by.as_str(), loss.reason.as_str());
    if from < to {
        tracing::warn!(
            by,
            reason,
            "the loss of records of {source} is accepted: offsets {from} to {last} are skipped for ever, and are no part of any result",
            last = to.get() - 1,
        );
    } else {
        tracing::warn!(
            by,
            reason,
            "the loss of records of {source} is accepted, but nothing is skipped: it is read to offset {from}, and either the record there exists, \
             or the event names only offsets from {first} to {last}",
            first = loss.from_offset,
            last = loss.to_offset.get() - 1,
        );
    }
}

fn tell_sources(sources: &[TopicPartition], starts: &Offsets) {
    if !sources.is_empty() {
        let sources: Vec<String> = sources.iter().map(ToString::to_string).collect();
        tracing::info!("new source partitions: {}", sources.join(", "));
    }
    if !starts.is_empty() {
        let starts: Vec<String> = starts
            .0
            .iter()
            .map(|(partition, first)| format!("{partition} begins at offset {first}, so {first} offsets are missing"))
            .collect();
        tracing::warn!(
            "records were deleted before this deployment first saw their partitions, and are no part of any result: {}; if they moved balances of \
             listed assets, begin a new deployment on topics that have them, or list the assets with a later anchor and send opening balances",
            starts.join(", ")
        );
    }
}

fn tell_listing(what: &str, listing: &Listing) {
    let Listing { terms, programme, .. } = listing;
    let value = listing.to_value();
    tracing::info!(
        asset = %terms.asset,
        decimals = terms.decimals,
        from_epoch = programme.from_epoch.get(),
        from = %timestamp(terms.calendar.start_ms(programme.from_epoch)),
        epoch_seconds = terms.calendar.length_ms() / 1000,
        programme = %value.get("programme").unwrap_or(&value),
        "{what}"
    );
}
