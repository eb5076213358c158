/// The use of a store, for which RocksDB is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// Many lookups of missing keys: it has filters.
    Ingest,
    /// Additions and scans, few lookups: it has no filters.
    Accrue,
    /// Small.
    Coordinate,
}
