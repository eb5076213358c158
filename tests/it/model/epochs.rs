//! Pools, closes, releases and voids (contract, section 3.2).

use num_bigint::BigInt;
use num_traits::Zero;
use serde_json::json;

use super::control::{Event, Stop, World, words};
use super::ledger::MOST_DAYS_AHEAD;
use super::listed::{Close, CloseOrder, State};
use super::listings::unknown_asset;
use super::programme::{Mode, optional_rate};
use crate::model::parts::amount::{Rational, plain};
use crate::model::parts::fields::{Rejection, signed_amount};

impl World<'_> {
    /// A validator's reward, or a pool adjustment, which has a sign.
    pub fn add_to_pool(&mut self, event: &Event, is_adjustment: bool) -> Result<(), Stop> {
        let last_field = if is_adjustment { "reason" } else { "validator" };
        let data = event.with_fields(&["asset", "amount", last_field])?;
        let asset = data.asset("asset")?;
        let (is_negative, amount) = if is_adjustment {
            signed_amount(data.required("amount")?, "amount")?
        } else {
            (false, data.amount("amount")?)
        };
        words(data, last_field)?;
        let (number, epoch) = self.epoch_of_pool(&asset, event.time)?;
        let listed = &self.assets[&asset][number];
        if !listed.has_epoch(epoch) {
            return Err(unknown_asset(&asset).into());
        }
        let decimals = listed.terms.reward_decimals();
        let units = amount.units("amount", decimals)?;
        let most = listed.terms.epochs_of_days(MOST_DAYS_AHEAD);
        if epoch > listed.oldest_open().saturating_add(most) {
            return Err(Rejection::new("too_far_ahead", "the field time is more than 400 days ahead").into());
        }
        let units = if is_negative { -units } else { units };
        let amount = plain(&units, decimals);
        *self.listing_mut(&asset, number)?.pools.entry(epoch).or_default() += units;
        self.record(json!({
            "decision": if is_adjustment { "pool_adjusted" } else { "reward_added" },
            "control_offset": event.offset, "asset": asset, "epoch": epoch, "amount": amount,
        }));
        Ok(())
    }

    /// Into the pool of which listing and epoch something goes that is dated at this time.
    fn epoch_of_pool(&self, asset: &str, time: i64) -> Result<(usize, u64), Rejection> {
        let newest = self.listed(asset)?;
        for (number, listed) in self.assets[asset].iter().enumerate() {
            if let Some(epoch) = listed.terms.epoch_of(time).filter(|epoch| listed.is_void(*epoch)) {
                return Ok((number, epoch));
            }
        }
        let listed = &self.assets[asset][newest];
        let oldest_open = listed.oldest_open();
        let epoch = listed.terms.epoch_of(time).unwrap_or(oldest_open);
        Ok((newest, epoch.max(oldest_open)))
    }

    pub fn close(&mut self, event: &Event) -> Result<(), Stop> {
        let data = event.with_fields(&["asset", "epoch", "reward_pool", "apr", "reward_rate"])?;
        let asset = data.asset("asset")?;
        let epoch = data.integer("epoch")?;
        let reward_pool = data.optional_decimal("reward_pool")?;
        let apr = optional_rate(data, "apr", 18, 1000)?;
        let reward_rate = optional_rate(data, "reward_rate", 18, 1_000_000_000)?;
        let number = self.listing_of(&asset, epoch)?;
        let listed = &self.assets[&asset][number];
        let reward_pool = match reward_pool {
            Some(amount) => amount.units("reward_pool", listed.terms.reward_decimals())?,
            None => BigInt::zero(),
        };
        let oldest_open = listed.oldest_open();
        let is_again = listed.is_void(epoch);
        if epoch < oldest_open && !is_again {
            return Err(Rejection::new("epoch_already_closed", format!("epoch {epoch} is closed already")).into());
        }
        if epoch > oldest_open {
            let reason = format!("epoch {oldest_open} is to be closed first");
            return Err(Rejection::new("epoch_out_of_order", reason).into());
        }
        if i128::from(event.time) < listed.terms.start_of(epoch) + i128::from(listed.terms.epoch_ms) {
            return Err(Rejection::new("epoch_not_over", "the field time is before the epoch's end").into());
        }
        let has_reward_asset = listed.terms.reward.is_some();
        check_rates(
            &listed.programme(epoch).mode,
            has_reward_asset,
            apr.as_ref(),
            reward_rate.as_ref(),
        )?;
        let pays_all = listed
            .withdrawn
            .as_ref()
            .is_some_and(|withdrawn| withdrawn.epoch == epoch + 1);
        let order = CloseOrder {
            reward_pool,
            apr,
            reward_rate,
            pays_all,
        };
        self.accept_close(event, &asset, number, epoch, order)
    }

    fn accept_close(
        &mut self,
        event: &Event,
        asset: &str,
        number: usize,
        epoch: u64,
        order: CloseOrder,
    ) -> Result<(), Stop> {
        self.record(json!({
            "decision": "close_accepted", "control_offset": event.offset, "asset": asset, "epoch": epoch,
        }));
        if let Some(void) = self.listing_mut(asset, number)?.close_of(epoch) {
            void.order = order;
            void.state = State::Waiting;
            return Ok(());
        }
        let cut = self.offsets_of(event)?;
        let listed = self.listing_mut(asset, number)?;
        let mut before = listed.closes.last().map(|close| &close.cut.0).into_iter().flatten();
        if before.any(|(place, offset)| cut.of(*place) < *offset) {
            return Err(format!("{asset}:{epoch}: the cut is behind the one of the epoch before").into());
        }
        let cut_on_record = cut.to_json();
        listed.closes.push(Close {
            epoch,
            cut,
            order,
            state: State::Waiting,
        });
        self.record(json!({"decision": "cut", "asset": asset, "epoch": epoch, "cut": cut_on_record}));
        Ok(())
    }

    /// The listing that an epoch is of. An epoch before the first one of all is of the first listing.
    fn listing_of(&self, asset: &str, epoch: u64) -> Result<usize, Rejection> {
        let newest = self.listed(asset)?;
        let listings = &self.assets[asset];
        let number = (0..=newest)
            .rev()
            .find(|number| listings[*number].terms.first_epoch <= epoch)
            .unwrap_or(0);
        if epoch >= listings[number].terms.first_epoch && !listings[number].has_epoch(epoch) {
            return Err(unknown_asset(asset));
        }
        Ok(number)
    }

    pub fn release(&mut self, event: &Event) -> Result<(), Stop> {
        let (asset, number, at) = self.held(event)?;
        let closes = &mut self.listing_mut(&asset, number)?.closes;
        let epoch = closes[at].epoch;
        if let State::Held(settlement) = std::mem::replace(&mut closes[at].state, State::Waiting) {
            self.seal(&asset, number, at, *settlement);
        }
        self.record(json!({
            "decision": "epoch_released", "control_offset": event.offset, "asset": asset, "epoch": epoch,
        }));
        Ok(())
    }

    pub fn void(&mut self, event: &Event) -> Result<(), Stop> {
        let (asset, number, at) = self.held(event)?;
        let closes = &mut self.listing_mut(&asset, number)?.closes;
        let epoch = closes[at].epoch;
        closes[at].state = State::Void;
        self.record(json!({
            "decision": "epoch_void", "control_offset": event.offset, "asset": asset, "epoch": epoch,
        }));
        Ok(())
    }

    /// The held epoch that an event decides on: its asset, its listing, and its close.
    fn held(&mut self, event: &Event) -> Result<(String, usize, usize), Stop> {
        let data = event.with_fields(&["asset", "epoch", "by", "reason"])?;
        let asset = data.asset("asset")?;
        let epoch = data.integer("epoch")?;
        words(data, "by")?;
        words(data, "reason")?;
        self.listed(&asset)?;
        self.settle_all(&asset)?;
        for (number, listed) in self.assets[&asset].iter().enumerate() {
            let is_it = |close: &Close| close.epoch == epoch && matches!(close.state, State::Held(_));
            if let Some(at) = listed.closes.iter().position(is_it) {
                return Ok((asset, number, at));
            }
        }
        Err(Rejection::new("epoch_not_held", format!("the gate does not hold epoch {epoch}")).into())
    }
}

/// Whether the rates of a close are those that the mode needs.
fn check_rates(
    mode: &Mode,
    has_reward_asset: bool,
    apr: Option<&Rational>,
    reward_rate: Option<&Rational>,
) -> Result<(), Rejection> {
    if apr.is_some() && !matches!(mode, Mode::Apr(_)) {
        return Err(Rejection::event("apr", "has no use in this epoch"));
    }
    let needs_rate = has_reward_asset && *mode != Mode::Pool;
    match (needs_rate, reward_rate) {
        (true, None) => Err(Rejection::event("reward_rate", "is missing")),
        (false, Some(_)) => Err(Rejection::event("reward_rate", "has no use in this epoch")),
        _ => Ok(()),
    }
}
