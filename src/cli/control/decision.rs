//! Decisions in words.

use crate::core::contract::decision::Decision;
use crate::core::contract::rejection::Code;

/// What the sender can do about a rejection; `None` if the reason says it.
pub(super) const fn remedy(code: Code) -> Option<&'static str> {
    match code {
        Code::EpochNotOver => Some("run the command again after the end of the epoch"),
        Code::ConflictingDuplicate => Some("give the event an --id of its own"),
        Code::TooFarAhead => Some("correct --time"),
        Code::InvalidEvent | Code::InvalidAmount | Code::InvalidTime => Some("correct the command, and run it again"),
        Code::EpochAlreadyClosed | Code::InvalidProgramme => code.remedy(),
        _ => None,
    }
}

/// Whether a later decision has overtaken an accepted event, so that the same event can be meant again.
pub(super) fn is_overtaken(decision: &Decision, decisions: &[Decision]) -> bool {
    let later = decisions.iter().skip_while(|one| *one != decision).skip(1);
    let mut later = later;
    later.any(|later| match (decision, later) {
        (
            Decision::CloseAccepted { number, epoch, .. },
            Decision::EpochVoid {
                number: of, epoch: at, ..
            },
        )
        | (
            Decision::EpochVoid { number, epoch, .. },
            Decision::CloseAccepted {
                number: of, epoch: at, ..
            },
        ) => number == of && epoch == at,
        (
            Decision::ListingAccepted { number, .. } | Decision::ProgrammeChanged { number, .. },
            Decision::ProgrammeChanged { number: of, .. } | Decision::WithdrawalAccepted { number: of, .. },
        ) => number == of,
        (Decision::WithdrawalAccepted { asset, .. }, Decision::ListingAccepted { listing, .. }) => {
            *asset == listing.terms.asset
        }
        _ => false,
    })
}

/// The outcome of an accepted event.
pub(super) fn words(decision: &Decision) -> Vec<String> {
    let accepted = |what: String| vec![format!("Accepted: {what}")];
    match decision {
        Decision::ListingAccepted {
            listing,
            newest_not_counted,
            ..
        } => {
            let mut words = accepted(format!("{} is listed.", listing.terms.asset));
            words.extend(newest_not_counted.as_ref().map(|newest| {
                format!("Postings up to {newest} were passed over; by `misdated_from` they do not count.")
            }));
            words
        }
        Decision::ProgrammeChanged { listing, .. } => accepted(format!(
            "{} has the programme from epoch {} on.",
            listing.terms.asset, listing.programme.from_epoch
        )),
        Decision::WithdrawalAccepted {
            asset, epoch, dropped, ..
        } => accepted(format!(
            "{asset} has no epoch from {epoch} on. Rewards and adjustments of {dropped} in all are dropped."
        )),
        Decision::RewardAdded {
            asset, epoch, amount, ..
        } => accepted(format!("{amount} is added to the pool of epoch {epoch} of {asset}.")),
        Decision::PoolAdjusted {
            asset, epoch, amount, ..
        } => accepted(format!("the pool of epoch {epoch} of {asset} is adjusted by {amount}.")),
        Decision::CloseAccepted {
            asset,
            epoch,
            reward_pool,
            again,
            ..
        } => {
            let cut = if *again { " It keeps its cut." } else { "" };
            accepted(format!(
                "epoch {epoch} of {asset} closes; the close orders a pool of {reward_pool}.{cut}"
            ))
        }
        Decision::EpochReleased { asset, epoch, by, .. } => accepted(format!(
            "epoch {epoch} of {asset} is released by {by}, and is paid now."
        )),
        Decision::EpochVoid { asset, epoch, by, .. } => accepted(format!(
            "epoch {epoch} of {asset} is void, by {by}: nothing of it is published. `softstake control close` settles it again."
        )),
        Decision::LossAccepted {
            loss,
            skipped_from,
            skipped_to,
            ..
        } => accepted(if skipped_from == skipped_to {
            format!(
                "but nothing is skipped: no record of {} in this range is gone that is still to be read.",
                loss.source()
            )
        } else {
            format!(
                "offsets {skipped_from} up to, not including, {skipped_to} of {} are skipped.",
                loss.source()
            )
        }),
        Decision::Rules { version, .. } => accepted(format!("version {version} of the rules is in force.")),
        _ => accepted("the event is decided.".into()),
    }
}
