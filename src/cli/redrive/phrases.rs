//! Phrases about events, for what is said of a line.

use crate::audit::forecast::{ForecastEffect, MissedEpoch};
use crate::audit::record_fields::FieldDifference;
use crate::core::contract::event::Status;
use crate::core::values::asset::Asset;
use crate::core::values::printable::shortened;

/// Why a dead letter of the control topic is not published, and which command writes the event.
pub(super) fn control_command(event_type: Option<&str>) -> String {
    let command = match event_type {
        Some("softstake.asset.v1") => "list FILE",
        Some("softstake.asset_withdrawn.v1") => "withdraw ASSET EPOCH",
        Some("softstake.validator_reward.v1") => "reward ASSET AMOUNT",
        Some("softstake.pool_adjustment.v1") => "adjust ASSET AMOUNT",
        Some("softstake.epoch_close.v1") => "close ASSET EPOCH",
        Some("softstake.epoch_release.v1") => "release ASSET EPOCH",
        Some("softstake.epoch_void.v1") => "void ASSET EPOCH",
        Some("softstake.loss_accepted.v1") => "accept-loss TOPIC PARTITION FROM TO",
        Some("softstake.rules.v1") => "rules VERSION",
        Some(other) if other.starts_with("exchange.") => {
            return format!(
                "{} is an event of a source topic, which its producer has to send there; the control topic does not take it",
                shortened(other)
            );
        }
        _ => "…",
    };
    format!(
        "it is a control event: write it anew with `softstake control {command}`, which judges it and waits for the decision"
    )
}

/// `ATOM and DOT are`, for a sentence about assets.
pub(super) fn assets(names: &[Asset]) -> String {
    let list: Vec<String> = names.iter().map(Asset::to_string).collect();
    format!("{} {}", list.join(", "), if list.len() == 1 { "is" } else { "are" })
}

/// What was changed in one field.
pub(super) fn change(difference: &FieldDifference) -> String {
    let FieldDifference {
        field,
        published: before,
        replayed: after,
    } = difference;
    let is_account = field.rsplit('.').next().is_some_and(|last| last.ends_with("account"));
    let text = match (before, after) {
        (Some(before), Some(after)) => format!("{field} was {}, and is {}", shortened(before), shortened(after)),
        (None, Some(after)) => format!("{field} was missing, and is {}", shortened(after)),
        (Some(before), None) => format!("{field} was {}, and is taken out", shortened(before)),
        (None, None) => field.clone(),
    };
    if is_account {
        format!("{text}: it counts for another account")
    } else {
        text
    }
}

/// What an event changes.
pub(super) fn effect(effect: &ForecastEffect) -> String {
    match effect {
        ForecastEffect::Posting {
            account,
            asset,
            epoch,
            delta,
            late,
        } => format!(
            "{} {asset} for {account}, {}",
            signed(delta),
            when(*epoch, late.as_ref())
        ),
        ForecastEffect::Reward {
            account,
            asset,
            reward_asset,
            epoch,
            delta,
            late,
        } => format!(
            "{} {reward_asset} of reward of {asset} for {account}, {}",
            signed(delta),
            when(*epoch, late.as_ref())
        ),
        ForecastEffect::Status {
            account,
            status,
            from,
            asset,
        } => {
            let status = match status {
                Status::Enrolled => "enrolled",
                Status::OptedOut => "opted out",
                Status::Excluded => "excluded",
            };
            let asset = asset.map_or_else(|| "all assets".to_owned(), |asset| asset.to_string());
            format!("{account} is {status} from {from} on, for {asset}")
        }
    }
}

fn signed(delta: &str) -> String {
    if delta.starts_with('-') {
        delta.to_owned()
    } else {
        format!("+{delta}")
    }
}

fn when(epoch: impl std::fmt::Display, late: Option<&MissedEpoch>) -> String {
    let Some(MissedEpoch { epoch: missed, policy }) = late else {
        return format!("in epoch {epoch}");
    };
    let meaning = match policy.as_str() {
        "resettle" => "the closed epochs that it missed are settled again",
        "forfeit" => "nothing is paid for the time that it missed",
        _ => "what it missed is added to that epoch",
    };
    format!(
        "late: its time is in the closed epoch {missed}, so it counts in epoch {epoch} by policy {policy}; {meaning}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_event_has_its_command() {
        assert!(control_command(Some("softstake.epoch_close.v1")).contains("`softstake control close ASSET EPOCH`"));
        assert!(control_command(Some("exchange.deposit.v1")).contains("source topic"));
        assert!(control_command(None).contains("`softstake control …`"));
    }

    #[test]
    fn another_account_is_said() {
        let difference = |field: &str| FieldDifference {
            field: field.into(),
            published: Some("ann".into()),
            replayed: Some("bob".into()),
        };
        assert_eq!(
            change(&difference("data.buyer.account")),
            "data.buyer.account was ann, and is bob: it counts for another account"
        );
        assert_eq!(change(&difference("data.reason")), "data.reason was ann, and is bob");
    }
}
