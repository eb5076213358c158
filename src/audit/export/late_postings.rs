//! The rows of late postings.

use crate::audit::export::row::{ExportCell, ExportColumn, RowSink};
use crate::audit::export::scope::{ExportScope, ExportedRows};
use crate::audit::export::{ExportError, time};
use crate::audit::published::read_all;
use crate::bus::Log;
use crate::core::contract::records::LatePosting;

/// The columns, named like the fields of a record, and the end of the epoch that the posting counts in.
pub const COLUMNS: [ExportColumn; 10] = [
    ExportColumn::text("event_id"),
    ExportColumn::text("event_source"),
    ExportColumn::text("account"),
    ExportColumn::text("asset"),
    ExportColumn::text("delta"),
    ExportColumn::time("event_time"),
    ExportColumn::number("missed_epoch"),
    ExportColumn::number("applied_epoch"),
    ExportColumn::time("applied_epoch_end").optional(),
    ExportColumn::text("policy"),
];

/// Writes a row for each late posting, in the order of the bus. The period has the epoch that a posting counts in, sealed or not.
///
/// # Errors
/// A failure of the bus or of the sink, or a record that softstake did not write.
pub fn export(bus: &dyn Log, scope: &mut ExportScope, sink: &mut dyn RowSink) -> Result<ExportedRows, ExportError> {
    let mut exported = ExportedRows::default();
    let only = scope.accounts.only();
    read_all::<LatePosting<'static>, ExportError>(bus, only.as_deref(), |place, late| {
        let late = late.map_err(|error| ExportError::record(place, error))?;
        if !scope.accounts.has(&late.account) || !scope.asked.has_asset(late.asset) {
            return Ok(());
        }
        // The listing is on the bus, unless its retention deleted the decisions.
        let dates = scope.inventory.dates(late.asset, late.applied_epoch);
        let end = dates.map(|(_, end)| time(place, "applied_epoch", &end)).transpose()?;
        if !end.map_or(scope.asked.period.is_everything(), |end| {
            scope.asked.period.includes_epoch_ending(end)
        }) {
            return Ok(());
        }
        sink.row(&[
            ExportCell::Text(&late.event_id),
            ExportCell::Text(&late.event_source),
            ExportCell::Text(&late.account),
            ExportCell::Text(late.asset.as_str()),
            ExportCell::Text(&late.delta),
            ExportCell::Time(time(place, "event_time", &late.event_time)?),
            ExportCell::Number(late.missed_epoch.get()),
            ExportCell::Number(late.applied_epoch.get()),
            end.map_or(ExportCell::Empty, ExportCell::Time),
            ExportCell::Text(&late.policy),
        ])?;
        scope.accounts.count(&late.account);
        exported.rows += 1;
        Ok(())
    })?;
    Ok(exported)
}
