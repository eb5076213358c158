//! A walk over all accounts of an epoch: opening rows, the epoch's rows and statuses side by side, in the order of bucket and account.

use crate::core::accrue::assess::Account;
use crate::core::accrue::row::Row;
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;
use crate::store::tables::Table;
use crate::store::{Scan, Store, row as encoding, tables};
use crate::task::harness::Stop;
use ethnum::I256;
use ruint::aliases::U512;

/// A table's walk with the entry it stands at.
struct Cursor<'a> {
    table: Table,
    scan: Box<dyn Scan + 'a>,
    key: Vec<u8>,
    value: Vec<u8>,
    ended: bool,
}

impl<'a> Cursor<'a> {
    fn open(store: &'a dyn Store, table: Table, bucket: u16) -> Result<Self, Stop> {
        let (from, to) = table.range(bucket);
        let mut cursor = Self {
            table,
            scan: store.scan(&from, &to)?,
            key: Vec::new(),
            value: Vec::new(),
            ended: false,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    fn advance(&mut self) -> Result<(), Stop> {
        match self.scan.next()? {
            Some((key, value)) => {
                self.key.clear();
                self.key.extend_from_slice(key);
                self.value.clear();
                self.value.extend_from_slice(value);
            }
            None => self.ended = true,
        }
        Ok(())
    }

    fn place(&self) -> Result<Option<&[u8]>, Stop> {
        if self.ended {
            Ok(None)
        } else {
            Ok(Some(self.table.place(&self.key)?))
        }
    }

    fn stands_at(&self, place: &[u8]) -> Result<bool, Stop> {
        Ok(self.place()? == Some(place))
    }
}

/// The accounts of an epoch.
pub struct Accounts<'a> {
    rows: Cursor<'a>,
    openings: Cursor<'a>,
    statuses: Cursor<'a>,
    place: Vec<u8>,
}

impl<'a> Accounts<'a> {
    /// The accounts of an epoch from bucket `bucket` on.
    pub fn from(store: &'a dyn Store, at: AssetEpoch, bucket: u16) -> Result<Self, Stop> {
        Ok(Self {
            rows: Cursor::open(store, Table::Rows(at), bucket)?,
            openings: Cursor::open(store, Table::Openings(at.number()), bucket)?,
            statuses: Cursor::open(store, Table::Statuses, bucket)?,
            place: Vec::new(),
        })
    }

    /// Brings the next account that holds or held something into `account`; `false` at the end. Those with nothing but a status are passed over.
    pub fn next(&mut self, account: &mut Account) -> Result<bool, Stop> {
        let next = match (self.rows.place()?, self.openings.place()?) {
            (Some(row), Some(opening)) => row.min(opening),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(false),
        };
        self.place.clear();
        self.place.extend_from_slice(next);
        let (bucket, name) = tables::split_place(&self.place)?;
        account.bucket = bucket;
        account.name.clear();
        account.name.push_str(name);
        account.statuses.clear();
        account.row = Row::default();
        if self.rows.stands_at(&self.place)? {
            account.row = encoding::decode(&self.rows.value).ok_or_else(|| Fault::Undecodable {
                what: "a row",
                why: "it is not as this version writes it".into(),
            })?;
            self.rows.advance()?;
        }
        (account.opening, account.withheld) = (I256::ZERO, U512::ZERO);
        if self.openings.stands_at(&self.place)? {
            (account.opening, account.withheld) = tables::read_opening(&self.openings.value)?;
            self.openings.advance()?;
        }
        while self
            .statuses
            .place()?
            .is_some_and(|place| place <= self.place.as_slice())
        {
            if self.statuses.stands_at(&self.place)? {
                account
                    .statuses
                    .push(tables::read_status(&self.statuses.key, &self.statuses.value)?);
            }
            self.statuses.advance()?;
        }
        Ok(true)
    }
}
