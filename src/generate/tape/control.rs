//! The control topic of a tape's bus.

use crate::generate::bus::BusWriter;
use crate::generate::control_events::{close, control_event, reward};
use crate::generate::error::GenerateError;
use crate::generate::json::Json;
use crate::generate::tape::plan::TapePlan;
use crate::generate::text::{DAY_MS, decimal, power_of_ten, timestamp};

/// Writes the listings. The base asset shares a pool. The quote asset pays a rate to accounts that enrolled, and another
/// rate from the second day on. Returns the number of records.
pub(super) fn listings(plan: &TapePlan, bus: &mut BusWriter) -> Result<u64, GenerateError> {
    let mut draws = plan.draws(0);
    let [(base, base_decimals), (quote, quote_decimals)] = [plan.asset(0), plan.asset(1)];
    // Bounds are round numbers of about the mean trade.
    let [base_round, quote_round] = plan.mean.map(|mean| power_of_ten(mean.ilog10()));
    let text = |units: u128, decimals: u8| decimal(units.max(1), decimals);
    let shared = format!(
        r#"{{"from_epoch":0,"mode":"pool","min_balance":"{}","max_balance":"{}","commission_rate":"0.10","tiers":[{{"up_to":"{}","multiplier":"1"}},{{"up_to":"{}","multiplier":"1.25"}},{{"up_to":null,"multiplier":"1.5"}}],"min_payout":"{}","payout_decimals":{}}}"#,
        text(base_round / 4, base_decimals),
        text(base_round * 500, base_decimals),
        text(base_round * 10, base_decimals),
        text(base_round * 100, base_decimals),
        text(base_round / 2_000, base_decimals),
        base_decimals.min(4),
    );
    let rated = |from: u32, apr: &str, policy: &str, cap: u128| {
        format!(
            r#"{{"from_epoch":{from},"mode":"apr","apr":"{apr}","min_balance":"{}","max_balance":"{}","min_payout":"{}","payout_decimals":{},"enrolment":"opt_in","late_policy":"{policy}"}}"#,
            text(quote_round / 10, quote_decimals),
            text(quote_round * cap, quote_decimals),
            text(quote_round / 1_000, quote_decimals),
            quote_decimals.min(8),
        )
    };
    let programmes = [
        (format!("list-{base}"), base, base_decimals, shared),
        (
            format!("list-{quote}"),
            quote,
            quote_decimals,
            rated(0, "0.03", "forfeit", 100),
        ),
        (
            format!("change-{quote}-1"),
            quote,
            quote_decimals,
            rated(1, "0.035", "carry", 200),
        ),
    ];
    let count = programmes.len() as u64;
    for (id, asset, decimals, programme) in programmes {
        let anchor = timestamp(plan.anchor_ms);
        let data = Json::object([
            ("asset", Json::text(asset.to_owned())),
            ("decimals", Json::Number(decimals.into())),
            ("anchor", Json::text(anchor)),
            ("epoch_seconds", Json::Number(86_400)),
            ("programme", Json::Raw(programme.into())),
        ]);
        let published_ms = plan.anchor_ms - DAY_MS / 2;
        let event = control_event(id, "softstake.asset.v1", published_ms, data);
        bus.control(&event.compact(&mut draws))?;
    }
    Ok(count)
}

/// Writes rewards and closes of all days that the tape covers, in proportion to the units held. Returns the number of
/// records.
pub(super) fn closes(plan: &TapePlan, held: [u128; 2], bus: &mut BusWriter) -> Result<u64, GenerateError> {
    let mut draws = plan.draws(plan.rows.len() + 2);
    let mut count = 0;
    for epoch in 0..plan.epochs {
        let end_ms = plan.anchor_ms + DAY_MS * i64::from(epoch + 1);
        for (side, held) in held.into_iter().enumerate() {
            let (asset, decimals) = plan.asset(side);
            // Five per cent a year, give or take a tenth.
            let day = held / 7_300 * u128::from(90 + draws.below(21)) / 100;
            if side == 0 {
                let amount = decimal((day / 10).max(1), decimals);
                let data = reward(asset, amount, u64::from(epoch));
                let id = format!("vr-{asset}-{epoch}");
                let time_ms = end_ms - DAY_MS / 4;
                let event = control_event(id, "softstake.validator_reward.v1", time_ms, data);
                bus.control(&event.compact(&mut draws))?;
                count += 1;
            }
            // An epoch that pays a rate only reports the pool.
            let data = close(asset, epoch, Some(decimal(day, decimals)));
            let id = format!("close-{asset}-{epoch}");
            let event = control_event(id, "softstake.epoch_close.v1", end_ms + 300_000, data);
            bus.control(&event.compact(&mut draws))?;
            count += 1;
        }
    }
    Ok(count)
}
