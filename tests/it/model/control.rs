//! The fold over the control topic: listings, changes, rewards, closes and their cuts (contract, sections 3 and 4).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use num_bigint::BigInt;
use num_traits::Zero;
use serde_json::Value;

use super::event::{AssetName, CONTROL_TYPES, SOURCE_TYPES};
use super::programme::{Fixed, Programme, listing};
use crate::model_parts::Outputs;
use crate::model_parts::bus::{self, CONTROL_TOPIC, Position, SOURCE_TOPICS};
use crate::model_parts::fields::{Envelope, Fields, Rejection};

/// The offsets of one accepted close, by topic and partition. The cut of any other partition is 0.
pub type Cut = BTreeMap<(String, u32), u64>;

#[derive(Debug, Clone)]
pub struct Asset {
    pub fixed: Fixed,
    /// Sorted by `from_epoch`, which is 0 for the first.
    programmes: Vec<Programme>,
    /// The closes of the closed epochs, from epoch 0.
    pub closes: Vec<Close>,
    rewards: BTreeMap<u64, BigInt>,
}

#[derive(Debug, Clone)]
pub struct Close {
    pub reward_pool: BigInt,
    pub cut: Cut,
    /// The cut as published.
    pub published_cut: Value,
}

/// How many days a posting or a reward may be ahead of the oldest open epoch.
pub const MOST_DAYS_AHEAD: u64 = 400;

impl Asset {
    /// Days in whole epochs, rounded up, and at least one.
    pub fn epochs_of_days(&self, days: u64) -> u64 {
        let epoch_ms = self.fixed.epoch_ms.unsigned_abs();
        (days * 86_400_000).div_ceil(epoch_ms).max(1)
    }

    pub fn programme(&self, epoch: u64) -> &Programme {
        self.programmes
            .iter()
            .rfind(|programme| programme.from_epoch <= epoch)
            .unwrap_or(&self.programmes[0])
    }

    pub fn validator_rewards(&self, epoch: u64) -> BigInt {
        self.rewards.get(&epoch).cloned().unwrap_or_default()
    }

    /// The epoch that a time is in. None before the anchor.
    pub fn epoch_of(&self, instant_ms: i64) -> Option<u64> {
        u64::try_from((instant_ms - self.fixed.anchor_ms).div_euclid(self.fixed.epoch_ms)).ok()
    }

    pub fn start_of(&self, epoch: u64) -> Result<i64, String> {
        i64::try_from(epoch)
            .ok()
            .and_then(|epoch| {
                epoch
                    .checked_mul(self.fixed.epoch_ms)?
                    .checked_add(self.fixed.anchor_ms)
            })
            .ok_or_else(|| format!("epoch {epoch} lies beyond all time"))
    }

    fn oldest_open_epoch(&self) -> u64 {
        self.closes.len() as u64
    }
}

#[derive(Debug, Default)]
pub struct Control {
    pub assets: BTreeMap<String, Asset>,
    pub dead_letters: BTreeMap<String, Value>,
    /// The source partitions on the bus.
    sources: BTreeSet<(String, u64)>,
}

pub fn fold(bus: &Path, published: &Outputs) -> Result<Control, String> {
    let mut control = Control::default();
    for topic in SOURCE_TOPICS {
        let numbers = bus::read_topic(bus, topic)?.into_keys();
        control
            .sources
            .extend(numbers.map(|number| (topic.to_owned(), u64::from(number))));
    }
    let mut applied: BTreeMap<(String, String), Envelope> = BTreeMap::new();
    let partition = bus::read_topic(bus, CONTROL_TOPIC)?.remove(&0).unwrap_or_default();
    for (offset, record) in (0..).zip(&partition.records) {
        if bus::is_blank(record) {
            continue;
        }
        let position = Position {
            topic: CONTROL_TOPIC,
            partition: 0,
            offset,
        };
        let too_late = published.dead_letters.get(&position.id()).is_some_and(|dead_letter| {
            dead_letter["data"]["code"] == "listing_too_late" // decided during the run, by the events that were skipped before
        });
        match judge(&control, &applied, record, too_late) {
            Ok(None) => {}
            Ok(Some((envelope, step))) => {
                control.apply(step, published)?;
                applied.insert((envelope.id.clone(), envelope.source.clone()), envelope);
            }
            Err(rejection) => {
                control
                    .dead_letters
                    .insert(position.id(), bus::dead_letter(&position, record, &rejection, None));
            }
        }
    }
    Ok(control)
}

/// The effect of an accepted control event.
enum Step {
    List {
        asset: String,
        fixed: Fixed,
        programme: Programme,
    },
    Change {
        asset: String,
        programme: Programme,
    },
    Reward {
        asset: String,
        epoch: u64,
        amount: BigInt,
    },
    Close {
        asset: String,
        reward_pool: BigInt,
    },
    /// On a directory bus nothing is ever gone, so nothing is skipped.
    Loss,
}

/// The effect of one record. None for an identical duplicate.
fn judge(
    control: &Control,
    applied: &BTreeMap<(String, String), Envelope>,
    record: &[u8],
    too_late: bool,
) -> Result<Option<(Envelope, Step)>, Rejection> {
    let envelope = Envelope::read(record)?;
    if let Some(first) = applied.get(&(envelope.id.clone(), envelope.source.clone())) {
        return if first.is_same_event(&envelope) {
            Ok(None)
        } else {
            Err(Rejection::new(
                "conflicting_duplicate",
                "the id and source were used by another event",
            ))
        };
    }
    envelope.check_type(&CONTROL_TYPES, &SOURCE_TYPES)?;
    let time = envelope.instant()?;
    let step = match envelope.kind.as_str() {
        "softstake.asset.v1" => control.judge_listing(envelope.data(), too_late)?,
        "softstake.validator_reward.v1" => control.judge_reward(envelope.data(), time)?,
        "softstake.loss_accepted.v1" => control.judge_loss(envelope.data())?,
        _ => control.judge_close(envelope.data(), time)?,
    };
    Ok(Some((envelope, step)))
}

impl Control {
    fn judge_listing(&self, data: Fields, too_late: bool) -> Result<Step, Rejection> {
        let listing = listing(data)?;
        let from_epoch = listing.programme.from_epoch;
        let Some(listed) = self.assets.get(&listing.asset) else {
            if from_epoch != 0 {
                return Err(Rejection::programme("from_epoch", "of a first listing is not 0"));
            }
            if too_late {
                return Err(Rejection::new(
                    "listing_too_late",
                    "postings that the listing covers were passed over",
                ));
            }
            return Ok(Step::List {
                asset: listing.asset,
                fixed: listing.fixed,
                programme: listing.programme,
            });
        };
        if listing.fixed != listed.fixed {
            return Err(Rejection::programme(
                "anchor",
                "or decimals or epoch_seconds differ from the first listing's",
            ));
        }
        if from_epoch <= listed.oldest_open_epoch() {
            return Err(Rejection::programme(
                "from_epoch",
                "is not later than the oldest open epoch",
            ));
        }
        if listed
            .programmes
            .iter()
            .any(|programme| from_epoch <= programme.from_epoch)
        {
            return Err(Rejection::programme(
                "from_epoch",
                "is not later than the newest programme's",
            ));
        }
        Ok(Step::Change {
            asset: listing.asset,
            programme: listing.programme,
        })
    }

    fn judge_reward(&self, data: Fields, time: i64) -> Result<Step, Rejection> {
        data.only("invalid_event", &["asset", "amount", "validator"])?;
        let asset = data.asset("asset")?;
        let amount = data.amount("amount")?;
        data.text("validator")?;
        let listed = self.listed(&asset)?;
        let amount = amount.units("amount", listed.fixed.decimals)?;
        // A time before the anchor counts as epoch 0, so it is treated like a closed epoch.
        let oldest_open = listed.oldest_open_epoch();
        let epoch = listed.epoch_of(time).unwrap_or(0).max(oldest_open);
        if epoch > oldest_open + listed.epochs_of_days(MOST_DAYS_AHEAD) {
            return Err(Rejection::new(
                "too_far_ahead",
                "the field time is more than 400 days ahead",
            ));
        }
        Ok(Step::Reward { asset, epoch, amount })
    }

    fn judge_close(&self, data: Fields, time: i64) -> Result<Step, Rejection> {
        data.only("invalid_event", &["asset", "epoch", "reward_pool"])?;
        let asset = data.asset("asset")?;
        let epoch = data.integer("epoch")?;
        let reward_pool = data.optional_decimal("reward_pool")?;
        let listed = self.listed(&asset)?;
        let reward_pool = match reward_pool {
            Some(amount) => amount.units("reward_pool", listed.fixed.decimals)?,
            None => BigInt::zero(),
        };
        let oldest_open = listed.oldest_open_epoch();
        if epoch < oldest_open {
            return Err(Rejection::new(
                "epoch_already_closed",
                format!("epoch {epoch} is closed already"),
            ));
        }
        if epoch > oldest_open {
            return Err(Rejection::new(
                "epoch_out_of_order",
                format!("epoch {oldest_open} is to be closed first"),
            ));
        }
        if listed.epoch_of(time).is_none_or(|reached| reached <= epoch) {
            return Err(Rejection::new(
                "epoch_not_over",
                "the field time lies before the epoch's end",
            ));
        }
        Ok(Step::Close { asset, reward_pool })
    }

    fn judge_loss(&self, data: Fields) -> Result<Step, Rejection> {
        let known = ["topic", "partition", "from_offset", "to_offset", "by", "reason"];
        data.only("invalid_event", &known)?;
        let invalid = |field: &str, why: &str| Err(Rejection::new("invalid_event", format!("the field {field} {why}")));
        let topic = data.text("topic")?;
        if !SOURCE_TOPICS.contains(&topic.as_str()) {
            return invalid("topic", "is no source topic");
        }
        let partition = data.integer("partition")?;
        let from = data.integer("from_offset")?;
        let to = data.integer("to_offset")?;
        for field in ["by", "reason"] {
            if data.text(field)?.trim().is_empty() {
                return invalid(field, "is blank");
            }
        }
        if from >= to {
            return invalid("to_offset", "is not greater than from_offset");
        }
        if !self.sources.contains(&(topic, partition)) {
            return invalid("partition", "is not read");
        }
        Ok(Step::Loss)
    }

    fn listed(&self, asset: &str) -> Result<&Asset, Rejection> {
        self.assets.get(asset).ok_or_else(|| {
            Rejection::new(
                "unknown_asset",
                format!("the field asset names {asset}, which is not listed"),
            )
        })
    }

    fn apply(&mut self, step: Step, published: &Outputs) -> Result<(), String> {
        match step {
            Step::List {
                asset,
                fixed,
                programme,
            } => {
                let listed = Asset {
                    fixed,
                    programmes: vec![programme],
                    closes: Vec::new(),
                    rewards: BTreeMap::new(),
                };
                self.assets.insert(asset, listed);
            }
            Step::Change { asset, programme } => self.asset_mut(&asset)?.programmes.push(programme),
            Step::Reward { asset, epoch, amount } => {
                *self.asset_mut(&asset)?.rewards.entry(epoch).or_default() += amount;
            }
            Step::Loss => {}
            Step::Close { asset, reward_pool } => {
                let listed = self.asset_mut(&asset)?;
                let id = format!("{asset}:{}", listed.oldest_open_epoch());
                let seal = published.seals.get(&id).ok_or_else(|| {
                    format!("softstake.epochs: the seal {id} is missing, so nothing after its cut can be computed")
                })?;
                let published_cut = seal["data"]["cut"].clone();
                let cut = read_cut(&published_cut).ok_or_else(|| format!("seal {id}: {published_cut} is no cut"))?;
                if let Some(before) = listed.closes.last() {
                    check_not_behind(&before.cut, &cut).map_err(|error| format!("seal {id}: {error}"))?;
                }
                listed.closes.push(Close {
                    reward_pool,
                    cut,
                    published_cut,
                });
            }
        }
        Ok(())
    }

    fn asset_mut(&mut self, asset: &str) -> Result<&mut Asset, String> {
        self.assets
            .get_mut(asset)
            .ok_or_else(|| format!("{asset} is not listed"))
    }
}

fn read_cut(published: &Value) -> Option<Cut> {
    let mut cut = Cut::new();
    for (topic, partitions) in published.as_object()? {
        for (partition, offset) in partitions.as_object()? {
            cut.insert((topic.clone(), partition.parse().ok()?), offset.as_u64()?);
        }
    }
    Some(cut)
}

/// A later close has a later cut, with every partition of the one before.
fn check_not_behind(before: &Cut, cut: &Cut) -> Result<(), String> {
    for ((topic, partition), offset) in before {
        match cut.get(&(topic.clone(), *partition)) {
            Some(later) if later >= offset => {}
            _ => {
                return Err(format!(
                    "the cut of {topic}/{partition} is behind the one of the epoch before"
                ));
            }
        }
    }
    Ok(())
}
