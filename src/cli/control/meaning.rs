//! What a control event will mean, in words, before it is published.

use ethnum::I256;
use serde::Serialize;

use crate::audit::control_topic::{ControlTopic, EpochState};
use crate::audit::history::AssetHistory;
use crate::cli::check::listing_words;
use crate::cli::control::draft::{Draft, EventToWrite};
use crate::cli::outcome::Failure;
use crate::cli::scratch::Scratch;
use crate::config::Loaded;
use crate::core::accrue::wide::magnitude;
use crate::core::contract::control::{CloseRates, ControlEvent};
use crate::core::contract::decision::Decision;
use crate::core::contract::listing::{AssetTerms, Listing};
use crate::core::contract::programme::{Mode, in_force};
use crate::core::values::amount::{Amount, format_units_wide};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::{TimeMs, timestamp};
use crate::deployment::preview::{AssumedClose, Preview, read_preview};

/// What an event will mean.
#[derive(Debug, Default)]
pub(super) struct Meaning {
    lines: Vec<String>,
    estimate: Option<Estimate>,
}

/// What a close pays, as far as it is known.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Estimate {
    Known(Box<Preview>),
    /// Why there is none.
    Unknown(String),
}

impl Meaning {
    pub(super) fn of(
        topic: &ControlTopic<'_>,
        draft: &Draft,
        event: &EventToWrite,
        loaded: &Loaded,
    ) -> Result<Self, Failure> {
        let mut meaning = Self::default();
        let time = event_time(event);
        let told = draft.read(|event| meaning.tell(topic, event, time, loaded));
        told.map_err(|rejection| Failure::Failed(format!("{}: {}", rejection.code, rejection.reason)))??;
        Ok(meaning)
    }

    pub(super) fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(super) fn estimate(&self) -> Option<serde_json::Value> {
        let estimate = self.estimate.as_ref()?;
        serde_json::to_value(estimate).ok()
    }

    fn say(&mut self, line: impl Into<String>) {
        self.lines.push(line.into());
    }

    /// Says why no more is known of an asset.
    fn say_undecided(&mut self, asset: Asset) {
        self.say(format!(
            "More is not known before a deployment has decided on the listing of {asset}, which is on the topic."
        ));
    }

    fn tell(
        &mut self,
        topic: &ControlTopic<'_>,
        event: ControlEvent<'_>,
        time: Option<TimeMs>,
        loaded: &Loaded,
    ) -> Result<(), Failure> {
        match event {
            ControlEvent::Listing(listing) => self.tell_listing(topic, &listing),
            ControlEvent::EpochClose {
                asset,
                epoch,
                reward_pool,
                rates,
            } => {
                let close = AssumedClose { reward_pool, rates };
                self.tell_close(topic, (asset, epoch), &close, loaded)?;
            }
            ControlEvent::GateVerdict {
                asset,
                epoch,
                is_release,
                ..
            } => self.tell_verdict(topic, asset, epoch, is_release)?,
            ControlEvent::Withdrawal { asset, epoch } => self.tell_withdrawal(topic, asset, epoch),
            ControlEvent::ValidatorReward { asset, amount, .. } => {
                self.tell_pool_change(topic, asset, (&amount, false), time)?;
            }
            ControlEvent::PoolAdjustment {
                asset,
                negative,
                amount,
            } => self.tell_pool_change(topic, asset, (&amount, negative), time)?,
            ControlEvent::LossAccepted(loss) => {
                self.say(format!(
                    "Accept that the records of {} from offset {} up to, not including, {} are gone for good.",
                    loss.source(),
                    loss.from_offset,
                    loss.to_offset
                ));
                self.say("Only records that are gone and were not read are skipped; one that is still there is applied.");
            }
            ControlEvent::Rules { version } => self.say(format!(
                "Put version {version} of the rules in force, in each source partition from where it is now, for settlements from the next close on."
            )),
        }
        Ok(())
    }

    fn tell_listing(&mut self, topic: &ControlTopic<'_>, listing: &Listing) {
        let asset = listing.terms.asset;
        let known = topic.history().asset(asset);
        match known.filter(|(_, known)| known.withdrawn.is_none()) {
            None => self.say(format!(
                "List {asset}. What is published of it before the listing does not count."
            )),
            Some((_, known)) => {
                let from = listing.programme.from_epoch;
                self.say(format!(
                    "Change the programme of {asset} from epoch {from} on, which starts at {}.",
                    timestamp(known.terms.calendar.start_ms(from))
                ));
                let replaced = known.programmes.iter().filter(|programme| programme.from_epoch >= from);
                for programme in replaced {
                    self.say(format!(
                        "It replaces the change from epoch {} on.",
                        programme.from_epoch
                    ));
                }
            }
        }
        self.lines.extend(listing_words(listing));
    }

    fn tell_close(
        &mut self,
        topic: &ControlTopic<'_>,
        (asset, epoch): (Asset, Epoch),
        close: &AssumedClose,
        loaded: &Loaded,
    ) -> Result<(), Failure> {
        let Some((_, listed)) = topic.listing_of(asset, epoch) else {
            self.say(format!("Close epoch {epoch} of {asset}."));
            self.say_undecided(asset);
            return Ok(());
        };
        self.say(format!("Close {}.", dated(listed, epoch)));
        let is_void = topic.epoch_state(asset, epoch)? == EpochState::Void;
        if is_void {
            self.say("The epoch was void. It is settled again, on the cut that it has.");
        }
        let pool = close.reward_pool.as_ref().map(|pool| (pool, false));
        self.tell_pool(topic, listed, epoch, pool, "ordered by this close");
        let programme = in_force(&listed.programmes, epoch);
        let mode = programme.map(|programme| programme.mode);
        if matches!(mode, Some(Mode::Apr { .. } | Mode::AprPerTier)) {
            self.say("Its programme pays a rate. The exchange funds the sum; the pool is only reported beside it.");
        }
        if let (Some(Mode::Apr { rate }), Some(apr)) = (mode, close.rates.apr) {
            self.say(format!(
                "The rate is {} % a year, in place of the programme's {} %.",
                apr.per_cent(),
                rate.per_cent()
            ));
        }
        if programme.is_some_and(|programme| programme.gate.is_some()) {
            self.say("Its programme has a gate: nothing is published while the gate holds the epoch.");
        } else {
            self.say("Its programme has no gate: once accepted, the close cannot be taken back.");
        }
        let estimate = if is_void {
            Estimate::Unknown("the epoch was closed before; a preview is only of an open epoch".into())
        } else {
            estimate(asset, epoch, close, loaded)?
        };
        self.tell_estimate(&estimate);
        self.estimate = Some(estimate);
        if let Some(before) = epoch.get().checked_sub(1).map(Epoch::new)
            && let Some(seal) = topic.seal(asset, before)?
        {
            self.say(format!(
                "The epoch before, {before}: {} accounts were paid {} {} in all, of a pool of {}.",
                seal.distributions, seal.distributed, seal.reward_asset, seal.reward_pool
            ));
        }
        Ok(())
    }

    fn tell_estimate(&mut self, estimate: &Estimate) {
        let preview = match estimate {
            Estimate::Unknown(why) => return self.say(format!("No estimate of what it pays: {why}.")),
            Estimate::Known(preview) => preview,
        };
        let unit = preview.reward_asset;
        self.say(format!(
            "Estimate by the stores: {} accounts are paid {} {unit} in all; {} {unit} is withheld after it.",
            preview.distributions, preview.total, preview.withheld_after
        ));
        if let Some(largest) = &preview.largest {
            self.say(format!(
                "The largest payout is {} {unit}, to {}.",
                largest.amount, largest.account
            ));
        }
        if let Some(limit) = preview.gate.held_by {
            self.say(format!("By this estimate the gate would hold it, by {limit}."));
        }
        let at = preview
            .read_to
            .persisted_at
            .as_deref()
            .unwrap_or("a time that is not known");
        self.say(format!(
            "The stores were last written at {at}; later records are not in the estimate."
        ));
    }

    /// The pool of an epoch: what is on record of it, and what this event adds.
    fn tell_pool(
        &mut self,
        topic: &ControlTopic<'_>,
        listed: &AssetHistory,
        epoch: Epoch,
        new: Option<(&Amount, bool)>,
        what: &str,
    ) {
        let (terms, unit) = (&listed.terms, listed.terms.reward_asset());
        let mut sums = [I256::ZERO; 3];
        let mut counts = [0; 2];
        if let Some((amount, negative)) = new {
            sums[0] = signed_units(amount, negative, terms);
        }
        for (amount, is_adjustment) in topic.added(terms.asset, epoch) {
            let Ok((negative, amount)) = Amount::parse_signed(amount) else {
                continue;
            };
            let index = usize::from(is_adjustment);
            counts[index] += 1;
            // Sums of a few amounts below 10^30.
            sums[index + 1] = sums[index + 1].saturating_add(signed_units(&amount, negative, terms));
        }
        let total = sums.iter().fold(I256::ZERO, |total, sum| total.saturating_add(*sum));
        let [given, rewards, adjusted] = sums.map(|sum| written(sum, terms));
        self.say(format!(
            "Pool: {given} {unit} {what}, {rewards} {unit} of {} validators' rewards, {adjusted} {unit} of {} adjustments: {} {unit} in all.",
            counts[0],
            counts[1],
            written(total, terms)
        ));
    }

    fn tell_verdict(
        &mut self,
        topic: &ControlTopic<'_>,
        asset: Asset,
        epoch: Epoch,
        is_release: bool,
    ) -> Result<(), Failure> {
        let EpochState::Held(decision) = topic.epoch_state(asset, epoch)? else {
            return Ok(());
        };
        let Decision::EpochHeld {
            limit,
            largest,
            total,
            change,
            ..
        } = *decision
        else {
            return Ok(());
        };
        let Some((_, listed)) = topic.listing_of(asset, epoch) else {
            return Ok(());
        };
        let unit = listed.terms.reward_asset();
        let verb = if is_release { "Release" } else { "Void" };
        self.say(format!(
            "{verb} {}, which the gate holds by {limit}.",
            dated(listed, epoch)
        ));
        let change = match change {
            Some(change) => format!("the rewards changed by a factor of {change} against the epoch before"),
            None => "there is no epoch before to compare with".into(),
        };
        self.say(format!(
            "It would pay {total} {unit} in all, at most {largest} {unit} to one account; {change}."
        ));
        self.say(if is_release {
            "Its distributions are published and paid. This cannot be taken back."
        } else {
            "Nothing of it is published. It keeps its cut, and later epochs wait until it is closed again and settled."
        });
        Ok(())
    }

    fn tell_withdrawal(&mut self, topic: &ControlTopic<'_>, asset: Asset, epoch: Epoch) {
        let Some((number, listed)) = topic.history().asset(asset) else {
            self.say(format!("End the listing of {asset}: it has no epoch from {epoch} on."));
            return self.say_undecided(asset);
        };
        let open = topic.history().oldest_uncut(number);
        self.say(format!(
            "End the listing of {asset}: it has no epoch from {epoch} on, which would start at {}.",
            timestamp(listed.terms.calendar.start_ms(epoch))
        ));
        self.say(match epoch.get().saturating_sub(open.get()) {
            0 => "No epoch is left to be closed.".into(),
            1 => format!("Epoch {open} is still to be closed; it is the last one."),
            count => format!(
                "{count} epochs, {open} to {}, are still to be closed; the last one pays without regard to `min_payout`.",
                epoch.saturating_sub(1)
            ),
        });
        self.say("Later postings of it are ignored. What is then withheld below a grain, debts, and what is carried out end there.");
        let mut dropped = I256::ZERO;
        for decision in topic.decisions() {
            let (Decision::RewardAdded {
                asset: of,
                epoch: at,
                amount,
                ..
            }
            | Decision::PoolAdjusted {
                asset: of,
                epoch: at,
                amount,
                ..
            }) = decision
            else {
                continue;
            };
            if let Ok((negative, amount)) = Amount::parse_signed(amount)
                && *of == asset
                && *at >= epoch
            {
                dropped = dropped.saturating_add(signed_units(&amount, negative, &listed.terms));
            }
        }
        self.say(format!(
            "Rewards and adjustments of {} {} in all, of epochs from {epoch} on, are dropped.",
            written(dropped, &listed.terms),
            listed.terms.reward_asset()
        ));
    }

    fn tell_pool_change(
        &mut self,
        topic: &ControlTopic<'_>,
        asset: Asset,
        change: (&Amount, bool),
        time: Option<TimeMs>,
    ) -> Result<(), Failure> {
        let Some((number, listed)) = topic.history().asset(asset) else {
            self.say(format!("Change the pool of an epoch of {asset}."));
            self.say_undecided(asset);
            return Ok(());
        };
        let oldest = topic.history().oldest_uncut(number);
        let dated_in = time
            .and_then(|time| listed.terms.calendar.epoch_of(time))
            .unwrap_or(oldest);
        let is_void = topic.epoch_state(asset, dated_in)? == EpochState::Void;
        let epoch = if is_void { dated_in } else { dated_in.max(oldest) };
        self.say(format!("Change the pool of {}.", dated(listed, epoch)));
        self.tell_pool(topic, listed, epoch, Some(change), "of this event");
        self.say("What the close of the epoch orders comes on top.");
        Ok(())
    }
}

/// The time that an event has.
fn event_time(event: &EventToWrite) -> Option<TimeMs> {
    let written: serde_json::Value = serde_json::from_slice(&event.record).ok()?;
    TimeMs::parse(written.get("time")?.as_str()?).ok()
}

fn dated(listed: &AssetHistory, epoch: Epoch) -> String {
    let calendar = &listed.terms.calendar;
    format!(
        "epoch {epoch} of {}, from {} to {}",
        listed.terms.asset,
        timestamp(calendar.start_ms(epoch)),
        timestamp(calendar.end_ms(epoch))
    )
}

/// Units of the reward asset; 0 for an amount that is refused elsewhere.
fn signed_units(amount: &Amount, negative: bool, terms: &AssetTerms) -> I256 {
    let units = I256::from(amount.units(terms.reward_decimals()).unwrap_or_default());
    if negative { -units } else { units }
}

fn written(units: I256, terms: &AssetTerms) -> String {
    format_units_wide(units < I256::ZERO, magnitude(units), u32::from(terms.reward_decimals()))
}

/// What a close pays by the stores, if they are here.
fn estimate(asset: Asset, epoch: Epoch, close: &AssumedClose, loaded: &Loaded) -> Result<Estimate, Failure> {
    if loaded.config.state.is_none() {
        return Ok(Estimate::Unknown("give the state directory with --state".into()));
    }
    let state = loaded.state()?;
    if !state.exists() {
        return Ok(Estimate::Unknown(format!(
            "there is no state directory at {}",
            state.display()
        )));
    }
    let close = AssumedClose {
        reward_pool: close.reward_pool,
        rates: CloseRates { ..close.rates },
    };
    Ok(
        match read_preview(state, asset, &close, Scratch::new("control")?.path(), None) {
            Ok(preview) if preview.epoch == epoch => Estimate::Known(Box::new(preview)),
            Ok(preview) => Estimate::Unknown(format!("the stores are at epoch {}", preview.epoch)),
            Err(error) => Estimate::Unknown(error.to_string()),
        },
    )
}
