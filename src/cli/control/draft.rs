//! Control events as they are written.

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::cli::control::arguments::{ControlEventCommand, VerdictArguments};
use crate::cli::flags::ControlFlags;
use crate::cli::input;
use crate::cli::listing_file::parse_listing;
use crate::cli::outcome::Failure;
use crate::core::contract::control::ControlEvent;
use crate::core::contract::event::EventType;
use crate::core::contract::rejection::Rejection;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::timestamp;

/// The `source` of all events that this command writes.
pub(super) const SOURCE: &str = "/softstake/control";

/// An event that has no id yet.
pub(super) struct Draft {
    pub(super) event_type: &'static str,
    pub(super) data: Value,
    /// The time, if it is given.
    pub(super) time: Option<String>,
    /// The first part of the usual id.
    name: String,
    /// Whether the same event can be meant twice, so that its usual id has the time.
    can_repeat: bool,
    /// The time of this start of the command.
    now: String,
}

/// An event as it is published.
pub(super) struct EventToWrite {
    pub(super) id: String,
    pub(super) record: Vec<u8>,
}

impl Draft {
    fn new(event_type: &'static str, data: Value, name: String) -> Self {
        let now = timestamp(i128::from(Timestamp::now().as_millisecond()));
        Self {
            event_type,
            data,
            time: None,
            name,
            can_repeat: false,
            now,
        }
    }

    fn at(mut self, time: Option<&String>) -> Self {
        self.time = time.cloned();
        self.can_repeat = true;
        self
    }

    /// The id that is used if none is given. Of an event that can only be meant once, it is the same each time.
    pub(super) fn usual_id(&self) -> String {
        if self.can_repeat {
            format!("{}-{}", self.name, self.time())
        } else {
            self.name.clone()
        }
    }

    fn time(&self) -> &str {
        self.time.as_deref().unwrap_or(&self.now)
    }

    /// The event with this id.
    pub(super) fn event(&self, id: String) -> EventToWrite {
        let event = json!({
            "specversion": "1.0",
            "id": id,
            "source": SOURCE,
            "type": self.event_type,
            "time": self.time(),
            "data": self.data,
        });
        EventToWrite {
            id,
            record: event.to_string().into_bytes(),
        }
    }

    /// The event with its fields read.
    pub(super) fn read<T>(&self, take: impl FnOnce(ControlEvent<'_>) -> T) -> Result<T, Rejection> {
        let data = self.data.to_string();
        Ok(take(ControlEvent::read(EventType::of(self.event_type)?, &data)?))
    }

    /// Asset and epoch of a release or void.
    pub(super) fn verdict(&self) -> Option<(Asset, Epoch)> {
        let verdict = self.read(|event| match event {
            ControlEvent::GateVerdict { asset, epoch, .. } => Some((asset, epoch)),
            _ => None,
        });
        verdict.ok().flatten()
    }
}

impl ControlEventCommand {
    /// The event that the command writes, and how.
    pub(super) fn draft(&self) -> Result<(Draft, &ControlFlags), Failure> {
        Ok(match self {
            Self::List { file, flags } => (listing(&input::read(file)?)?, flags),
            Self::Close {
                asset,
                epoch,
                pool,
                apr,
                reward_rate,
                flags,
            } => (close(*asset, *epoch, [pool, apr, reward_rate]), flags),
            Self::Release(arguments) => (
                arguments.draft("softstake.epoch_release.v1", "release"),
                &arguments.flags,
            ),
            Self::Void(arguments) => (arguments.draft("softstake.epoch_void.v1", "void"), &arguments.flags),
            Self::Withdraw {
                asset,
                epoch,
                reason,
                flags,
            } => {
                let data = json!({ "asset": asset, "epoch": epoch, "reason": reason });
                let name = format!("withdraw-{asset}-{epoch}");
                (Draft::new("softstake.asset_withdrawn.v1", data, name), flags)
            }
            Self::Reward {
                asset,
                amount,
                validator,
                time,
                flags,
            } => {
                let data = json!({ "asset": asset, "amount": amount, "validator": validator });
                let draft = Draft::new(
                    "softstake.validator_reward.v1",
                    data,
                    format!("reward-{asset}-{validator}"),
                );
                (draft.at(time.as_ref()), flags)
            }
            Self::Adjust {
                asset,
                amount,
                reason,
                time,
                flags,
            } => {
                let data = json!({ "asset": asset, "amount": amount, "reason": reason });
                let draft = Draft::new("softstake.pool_adjustment.v1", data, format!("adjust-{asset}"));
                (draft.at(time.as_ref()), flags)
            }
            Self::AcceptLoss {
                topic,
                partition,
                from,
                to,
                by,
                reason,
                flags,
            } => {
                let data = json!({
                    "topic": topic, "partition": partition, "from_offset": from, "to_offset": to, "by": by, "reason": reason,
                });
                let name = format!("loss-{topic}-{partition}-{from}-{to}");
                (Draft::new("softstake.loss_accepted.v1", data, name), flags)
            }
            Self::Rules { version, flags } => {
                let data = json!({ "version": version });
                (
                    Draft::new("softstake.rules.v1", data, format!("rules-{version}")),
                    flags,
                )
            }
        })
    }
}

/// The listing of a file, with every default written out.
fn listing(file: &[u8]) -> Result<Draft, Failure> {
    let listing = parse_listing(file).map_err(|rejection| {
        Failure::Failed(format!(
            "the listing would be rejected. {}: {}",
            rejection.code, rejection.reason
        ))
    })?;
    let data = listing.to_value();
    let digest = hex::encode(Sha256::digest(data.to_string()));
    let name = format!(
        "list-{}-from-{}-{}",
        listing.terms.asset,
        listing.programme.from_epoch,
        digest.get(..8).unwrap_or_default()
    );
    Ok(Draft::new("softstake.asset.v1", data, name))
}

fn close(asset: Asset, epoch: Epoch, given: [&Option<String>; 3]) -> Draft {
    let mut data = json!({ "asset": asset, "epoch": epoch });
    for (field, value) in ["reward_pool", "apr", "reward_rate"].into_iter().zip(given) {
        if let Some(value) = value {
            data[field] = value.as_str().into();
        }
    }
    Draft::new("softstake.epoch_close.v1", data, format!("close-{asset}-{epoch}"))
}

impl VerdictArguments {
    fn draft(&self, event_type: &'static str, verb: &str) -> Draft {
        let Self {
            asset,
            epoch,
            by,
            reason,
            ..
        } = self;
        let data = json!({ "asset": asset, "epoch": epoch, "by": by, "reason": reason });
        Draft::new(event_type, data, format!("{verb}-{asset}-{epoch}"))
    }
}
