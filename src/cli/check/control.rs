//! What the coordinator would say to the control topic, as far as it does not depend on a run.

use std::collections::BTreeMap;

use crate::core::contract::control::Control;
use crate::core::contract::event::{Envelope, Type};
use crate::core::contract::fields;
use crate::core::contract::listing::{AssetTerms, Listing};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// An asset that is listed.
pub(super) struct Listed {
    pub(super) terms: AssetTerms,
    /// The first epoch that is not closed.
    pub(super) oldest_open: Epoch,
    newest_programme: Epoch,
}

/// The assets listed, by name.
#[derive(Default)]
pub(super) struct Listings(pub(super) BTreeMap<Asset, Listed>);

impl Listings {
    /// Takes in a control event, or says why it would be refused.
    pub(super) fn judge(&mut self, envelope: &Envelope<'_>) -> Result<(), Rejection> {
        let kind = Type::of(&envelope.kind)?;
        if !kind.is_control() {
            return Control::read(kind, envelope.data).map(|_| ());
        }
        let time = fields::time(envelope.time, "time")?;
        match Control::read(kind, envelope.data)? {
            Control::Listing(listing) => self.list(*listing),
            Control::ValidatorReward { asset, amount, .. } => {
                let decimals = self.listed(asset)?.terms.decimals;
                amount
                    .units(decimals)
                    .map_err(|error| fields::bad_amount("amount", &error))?;
                Ok(())
            }
            Control::EpochClose {
                asset,
                epoch,
                reward_pool,
            } => {
                let listed = self.listed(asset)?;
                let open = listed.oldest_open;
                if epoch < open {
                    return Err(Code::EpochAlreadyClosed.because(format!(
                        "`epoch` {epoch} of {asset} is closed already; the oldest open is {open}"
                    )));
                }
                if epoch > open {
                    return Err(Code::EpochOutOfOrder.because(format!(
                        "`epoch` is {epoch}, but epoch {open} of {asset} has to be closed first"
                    )));
                }
                if i128::from(time.get()) < listed.terms.calendar.end_ms(epoch) {
                    return Err(
                        Code::EpochNotOver.because(format!("`time` is before the end of epoch {epoch} of {asset}"))
                    );
                }
                if let Some(pool) = reward_pool {
                    pool.units(listed.terms.decimals)
                        .map_err(|error| fields::bad_amount("reward_pool", &error))?;
                }
                listed.oldest_open = open.saturating_add(1);
                Ok(())
            }
        }
    }

    fn listed(&mut self, asset: Asset) -> Result<&mut Listed, Rejection> {
        self.0.get_mut(&asset).ok_or_else(|| {
            Code::UnknownAsset.because(format!("`asset` is {asset}, which is not listed; list it first"))
        })
    }

    fn list(&mut self, listing: Listing) -> Result<(), Rejection> {
        let Listing { terms, programme } = listing;
        let (asset, from) = (terms.asset, programme.from_epoch);
        let refused = |reason: String| Err(Code::InvalidProgramme.because(reason));
        let Some(listed) = self.0.get_mut(&asset) else {
            if from != Epoch::FIRST {
                return refused(format!(
                    "`from_epoch` of the first listing of {asset} must be 0, it is {from}"
                ));
            }
            self.0.insert(
                asset,
                Listed {
                    terms,
                    oldest_open: Epoch::FIRST,
                    newest_programme: Epoch::FIRST,
                },
            );
            return Ok(());
        };
        if listed.terms != terms {
            return refused(format!(
                "{asset} is listed already; `decimals`, `anchor` and `epoch_seconds` never change"
            ));
        }
        if from <= listed.oldest_open || from <= listed.newest_programme {
            let (open, newest) = (listed.oldest_open, listed.newest_programme);
            return refused(format!(
                "`from_epoch` is {from}; it must be later than epoch {open}, the oldest open, and than epoch {newest}, from which the newest \
                 programme of {asset} is in force"
            ));
        }
        listed.newest_programme = from;
        Ok(())
    }
}
