//! The rows of distributions.

use crate::audit::export::row::{ExportCell, ExportColumn, RowSink};
use crate::audit::export::scope::{ExportScope, ExportedRows};
use crate::audit::export::{ExportError, time};
use crate::audit::published::read_all;
use crate::bus::Log;
use crate::core::contract::records::Distribution;

/// The columns, named like the fields of a record. The last is there only if records of epochs without a seal are wanted.
pub const COLUMNS: [ExportColumn; 16] = [
    ExportColumn::text("id"),
    ExportColumn::text("account"),
    ExportColumn::text("asset"),
    ExportColumn::text("reward_asset"),
    ExportColumn::number("epoch"),
    ExportColumn::time("epoch_start"),
    ExportColumn::time("epoch_end"),
    ExportColumn::text("amount"),
    ExportColumn::text("rewarded"),
    ExportColumn::text("made_good"),
    ExportColumn::text("adjusted"),
    ExportColumn::text("withheld_before"),
    ExportColumn::text("balance_seconds"),
    ExportColumn::text("average_balance"),
    ExportColumn::number("programme_from_epoch"),
    ExportColumn::truth("sealed"),
];

/// The columns of an export with, or without, records of epochs that are not sealed.
#[must_use]
pub fn columns(with_unsealed: bool) -> &'static [ExportColumn] {
    match (with_unsealed, COLUMNS.split_last()) {
        (false, Some((_, columns))) => columns,
        _ => &COLUMNS,
    }
}

/// Writes a row for each distribution, in the order of the bus. Seals were read before: an epoch that was sealed then has all its distributions on the
/// bus now.
///
/// # Errors
/// A failure of the bus or of the sink, or a record that softstake did not write.
pub fn export(
    bus: &dyn Log,
    scope: &mut ExportScope,
    with_unsealed: bool,
    sink: &mut dyn RowSink,
) -> Result<ExportedRows, ExportError> {
    let mut exported = ExportedRows::default();
    let only = scope.accounts.only();
    read_all::<Distribution<'static>, ExportError>(bus, only.as_deref(), |place, paid| {
        let paid = paid.map_err(|error| ExportError::record(place, error))?;
        if !scope.accounts.has(&paid.account) || !scope.asked.has_asset(paid.asset) {
            return Ok(());
        }
        let end = time(place, "epoch_end", &paid.epoch_end)?;
        if !scope.asked.period.includes_epoch_ending(end) {
            return Ok(());
        }
        let is_sealed = scope.inventory.is_sealed(paid.asset, paid.epoch);
        exported.unsealed += u64::from(!is_sealed);
        if !is_sealed && !with_unsealed {
            return Ok(());
        }
        let cells = [
            ExportCell::Text(&paid.id()),
            ExportCell::Text(&paid.account),
            ExportCell::Text(paid.asset.as_str()),
            ExportCell::Text(paid.reward_asset.as_str()),
            ExportCell::Number(paid.epoch.get()),
            ExportCell::Time(time(place, "epoch_start", &paid.epoch_start)?),
            ExportCell::Time(end),
            ExportCell::Text(&paid.amount),
            ExportCell::Text(&paid.rewarded),
            ExportCell::Text(&paid.made_good),
            ExportCell::Text(&paid.adjusted),
            ExportCell::Text(&paid.withheld_before),
            ExportCell::Text(&paid.balance_seconds),
            ExportCell::Text(&paid.average_balance),
            ExportCell::Number(paid.programme_from_epoch.get()),
            ExportCell::Truth(is_sealed),
        ];
        sink.row(cells.get(..columns(with_unsealed).len()).unwrap_or(&cells))?;
        scope.accounts.count(&paid.account);
        exported.rows += 1;
        Ok(())
    })?;
    Ok(exported)
}
