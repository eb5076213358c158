//! Which accounts a source record is about, also if it was rejected.

use std::borrow::Cow;

use crate::audit::traced_accounts::TracedAccounts;
use crate::core::contract::event::EventType;
use crate::core::contract::fields;
use crate::core::contract::fields::{RawField, fields};

fields!(RecordFields {
    event_type = "type",
    data
});
fields!(NameFields {
    account,
    from_account,
    to_account,
    buyer,
    seller
});
fields!(SideFields { account });

/// The accounts in those fields of a record that name accounts in its type of event. Text elsewhere, and fields that the type does not have, name
/// nobody. If fields are given twice, nobody can tell who is meant, so they name nobody either.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedAccounts<'a>(Vec<(&'static str, Cow<'a, str>)>);

impl<'a> NamedAccounts<'a> {
    pub(crate) fn of(record: &'a [u8]) -> Self {
        let text = std::str::from_utf8(record).unwrap_or_default();
        Self::read(text.trim_ascii_start()).unwrap_or_default()
    }

    fn read(record: &'a str) -> Option<Self> {
        let RecordFields { event_type, data } = fields::object(record, "record").ok()?;
        let data: NameFields<'a> = fields::object(fields::required(data, "data").ok()?, "data").ok()?;
        let one = [("account", data.account)];
        let two = [("from_account", data.from_account), ("to_account", data.to_account)];
        let side = |field: RawField<'a>| {
            let text = fields::required(field, "side").ok();
            let side: Option<SideFields<'a>> = text.and_then(|text| fields::object(text, "side").ok());
            side.map_or(RawField::Missing, |side| side.account)
        };
        let trade = [("buyer", side(data.buyer)), ("seller", side(data.seller))];
        let event_type = fields::text(event_type, "type").ok();
        let named = match event_type.map(|name| EventType::of(&name)) {
            Some(Ok(EventType::Trade)) => trade.to_vec(),
            Some(Ok(EventType::Transfer)) => two.to_vec(),
            Some(Ok(
                EventType::Deposit
                | EventType::MadeUpCredit
                | EventType::OpeningBalance
                | EventType::Withdrawal
                | EventType::BalanceAdjustment
                | EventType::RewardAdjustment
                | EventType::AccountStatus,
            )) => one.to_vec(),
            // Control events are about assets.
            Some(Ok(
                EventType::Listing
                | EventType::Withdrawn
                | EventType::ValidatorReward
                | EventType::PoolAdjustment
                | EventType::EpochClose
                | EventType::EpochRelease
                | EventType::EpochVoid
                | EventType::LossAccepted
                | EventType::Rules,
            )) => Vec::new(),
            None | Some(Err(_)) => [&one[..], &two[..], &trade[..]].concat(),
        };
        let text = |(field, name): (&'static str, RawField<'a>)| Some((field, fields::text(name, field).ok()?));
        Some(Self(named.into_iter().filter_map(text).collect()))
    }

    /// Whether one of `accounts` is named.
    pub(crate) fn any_of(&self, accounts: &TracedAccounts) -> bool {
        self.0.iter().any(|(_, name)| accounts.contains(name))
    }

    /// Those of `accounts` that are named.
    pub(crate) fn among(&self, accounts: &TracedAccounts) -> Vec<Box<str>> {
        let traced = self.0.iter().filter(|(_, name)| accounts.contains(name));
        traced.map(|(_, name)| Box::from(&**name)).collect()
    }

    /// Whether the reason of a rejection is about a field of another party than `accounts`.
    pub(crate) fn is_about_others(&self, reason: &str, accounts: &TracedAccounts) -> bool {
        let path = reason.strip_prefix('`').and_then(|rest| rest.split(['`', '.']).next());
        let Some(side @ ("from_account" | "to_account" | "buyer" | "seller")) = path else {
            return false;
        };
        let is_own = |(field, name): &(&str, Cow<'_, str>)| *field == side && accounts.contains(name);
        !self.0.iter().any(is_own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(record: &str) -> Vec<String> {
        let named = NamedAccounts::of(record.as_bytes());
        named
            .0
            .into_iter()
            .map(|(field, name)| format!("{field}={name}"))
            .collect()
    }

    #[test]
    fn the_type_of_the_event_decides_which_fields_name_an_account() {
        let data = r#"{"account":"a\u0062","from_account":"c","to_account":"d","buyer":{"account":"e"},"seller":{"account":"f"},"reason":"g"}"#;
        for (event_type, expected) in [
            ("exchange.deposit.v1", &["account=ab"][..]),
            ("exchange.account_status.v1", &["account=ab"]),
            ("exchange.reward_adjustment.v1", &["account=ab"]),
            ("exchange.transfer.v1", &["from_account=c", "to_account=d"]),
            ("exchange.trade.v1", &["buyer=e", "seller=f"]),
            ("softstake.epoch_close.v1", &[]),
            ("softstake.epoch_release.v1", &[]),
            (
                "exchange.airdrop.v1",
                &["account=ab", "from_account=c", "to_account=d", "buyer=e", "seller=f"],
            ),
        ] {
            assert_eq!(named(&format!(r#" {{"type":"{event_type}","data":{data}}}"#)), expected);
        }
    }

    #[test]
    fn a_record_without_readable_names_is_about_nobody() {
        for record in [
            "",
            "ann",
            r#"["ann"]"#,
            r#"{"type":"exchange.deposit.v1","account":"ann"}"#,
            r#"{"type":"exchange.deposit.v1","data":"ann"}"#,
            r#"{"type":"exchange.deposit.v1","data":{"account":["ann"]}}"#,
            r#"{"type":"exchange.deposit.v1","data":{"account":"ben","account":"ann"}}"#,
            r#"{"type":"exchange.trade.v1","data":{"buyer":{"account":"ben","account":"ann"}}}"#,
            r#"{"type":"exchange.deposit.v1","data":{"account":"ann"}"#,
        ] {
            assert!(named(record).is_empty(), "{record}");
        }
        // The rest of the record may be wrong.
        assert_eq!(named(r#"{"data":{"account":"ann","amount":-5}}"#), ["account=ann"]);
    }

    #[test]
    fn a_reason_about_the_other_side_is_recognised() {
        let record = br#"{"type":"exchange.trade.v1","data":{"buyer":{"account":"ann"},"seller":{"account":"ben"}}}"#;
        let named = NamedAccounts::of(record);
        let ann = TracedAccounts::of_owner_of("ann");
        assert!(named.is_about_others("`seller.fee.amount` is zero", &ann));
        assert!(!named.is_about_others("`buyer.fee.amount` is zero", &ann));
        assert!(!named.is_about_others("`quantity` is zero", &ann));
    }
}
