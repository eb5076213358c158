//! The rows of seals.

use crate::audit::export::row::{ExportCell, ExportColumn, RowSink};
use crate::audit::export::scope::{ExportScope, ExportedRows};
use crate::audit::export::{ExportError, time};
use crate::audit::published::read_all;
use crate::bus::Log;
use crate::core::contract::records::Seal;

/// The columns, named like the fields of a seal. The cut is JSON.
pub const COLUMNS: [ExportColumn; 28] = [
    ExportColumn::text("asset"),
    ExportColumn::text("reward_asset"),
    ExportColumn::number("epoch"),
    ExportColumn::time("epoch_start"),
    ExportColumn::time("epoch_end"),
    ExportColumn::text("mode"),
    ExportColumn::number("programme_from_epoch"),
    ExportColumn::text("apr").optional(),
    ExportColumn::text("reward_rate").optional(),
    ExportColumn::text("reward_pool"),
    ExportColumn::text("commission"),
    ExportColumn::text("carried_in"),
    ExportColumn::text("carried_out"),
    ExportColumn::text("returned"),
    ExportColumn::text("rewarded"),
    ExportColumn::text("made_good"),
    ExportColumn::text("adjusted"),
    ExportColumn::text("distributed"),
    ExportColumn::text("withheld_before"),
    ExportColumn::text("withheld_after"),
    ExportColumn::number("distributions"),
    ExportColumn::number("ineligible_status"),
    ExportColumn::number("ineligible_negative"),
    ExportColumn::number("ineligible_below_minimum"),
    ExportColumn::text("eligible_balance_seconds"),
    ExportColumn::text("closing_balance"),
    ExportColumn::text("cut"),
    ExportColumn::text("root"),
];

/// Writes a row for each seal, in the order of the bus.
///
/// # Errors
/// A failure of the bus or of the sink, or a record that softstake did not write.
pub fn export(bus: &dyn Log, scope: &ExportScope, sink: &mut dyn RowSink) -> Result<ExportedRows, ExportError> {
    let mut exported = ExportedRows::default();
    read_all::<Seal<'static>, ExportError>(bus, None, |place, seal| {
        let seal = seal.map_err(|error| ExportError::record(place, error))?;
        let end = time(place, "epoch_end", &seal.epoch_end)?;
        // A seal of a moment ago waits for the next export: its epoch counted as missing.
        let is_wanted = scope.asked.has_asset(seal.asset)
            && scope.asked.period.includes_epoch_ending(end)
            && scope.inventory.is_sealed(seal.asset, seal.epoch);
        if !is_wanted {
            return Ok(());
        }
        let cut = serde_json::to_string(&seal.cut).map_err(|error| ExportError::record(place, error))?;
        sink.row(&[
            ExportCell::Text(seal.asset.as_str()),
            ExportCell::Text(seal.reward_asset.as_str()),
            ExportCell::Number(seal.epoch.get()),
            ExportCell::Time(time(place, "epoch_start", &seal.epoch_start)?),
            ExportCell::Time(end),
            ExportCell::Text(&seal.mode),
            ExportCell::Number(seal.programme_from_epoch.get()),
            ExportCell::text(seal.apr.as_deref()),
            ExportCell::text(seal.reward_rate.as_deref()),
            ExportCell::Text(&seal.reward_pool),
            ExportCell::Text(&seal.commission),
            ExportCell::Text(&seal.carried_in),
            ExportCell::Text(&seal.carried_out),
            ExportCell::Text(&seal.returned),
            ExportCell::Text(&seal.rewarded),
            ExportCell::Text(&seal.made_good),
            ExportCell::Text(&seal.adjusted),
            ExportCell::Text(&seal.distributed),
            ExportCell::Text(&seal.withheld_before),
            ExportCell::Text(&seal.withheld_after),
            ExportCell::Number(seal.distributions),
            ExportCell::Number(seal.ineligible.status),
            ExportCell::Number(seal.ineligible.negative),
            ExportCell::Number(seal.ineligible.below_minimum),
            ExportCell::Text(&seal.eligible_balance_seconds),
            ExportCell::Text(&seal.closing_balance),
            ExportCell::Text(&cut),
            ExportCell::Text(&seal.root),
        ])?;
        exported.rows += 1;
        Ok(())
    })?;
    Ok(exported)
}
