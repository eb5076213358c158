//! From a raw record to an envelope, and from a source event's data to its postings (contract, section 3).

use num_bigint::BigInt;

use super::amount::Decimal;
use super::json::{self, Json, Text};
use super::time;

/// Why a record becomes a dead letter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub code: &'static str,
    pub reason: String,
}

impl Rejection {
    pub fn new(code: &'static str, reason: impl Into<String>) -> Rejection {
        Rejection {
            code,
            reason: reason.into(),
        }
    }

    pub fn event(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_event", format!("the field {field} {what}"))
    }

    pub fn amount(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_amount", format!("the field {field} {what}"))
    }

    pub fn programme(field: &str, what: &str) -> Rejection {
        Rejection::new("invalid_programme", format!("the field {field} {what}"))
    }
}

#[derive(Debug, Clone)]
pub struct Envelope {
    pub id: String,
    pub source: String,
    pub kind: String,
    time: Json,
    data: Json,
}

const SOURCE_TYPES: [&str; 7] = [
    "exchange.deposit.v1",
    "exchange.opening_balance.v1",
    "exchange.withdrawal.v1",
    "exchange.trade.v1",
    "exchange.transfer.v1",
    "exchange.balance_adjustment.v1",
    "exchange.account_status.v1",
];

const CONTROL_TYPES: [&str; 4] = [
    "softstake.asset.v1",
    "softstake.validator_reward.v1",
    "softstake.epoch_close.v1",
    "softstake.loss_accepted.v1",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Source,
    Control,
}

impl Envelope {
    /// A record's envelope. Its type, its time and the contents of its data are checked later.
    pub fn read(record: &[u8]) -> Result<Envelope, Rejection> {
        let text = std::str::from_utf8(record)
            .map_err(|error| Rejection::new("invalid_json", format!("the record is not UTF-8: {error}")))?;
        let value = json::parse(text)
            .map_err(|error| Rejection::new("invalid_json", format!("the record is not one JSON value: {error}")))?;
        let Json::Object(members) = &value else {
            return Err(Rejection::new("invalid_event", "the record is not a JSON object"));
        };
        let envelope = Fields(members);
        if envelope.text("specversion")? != "1.0" {
            return Err(Rejection::event("specversion", "is not \"1.0\""));
        }
        let id = envelope.non_empty_text("id")?;
        let source = envelope.non_empty_text("source")?;
        let kind = envelope.non_empty_text("type")?;
        let data = envelope.required("data")?.clone();
        if !matches!(data, Json::Object(_)) {
            return Err(Rejection::event("data", "is not an object"));
        }
        let time = envelope.required("time")?.clone();
        Ok(Envelope {
            id,
            source,
            kind,
            time,
            data,
        })
    }

    pub fn is_same_event(&self, copy: &Envelope) -> bool {
        self.kind == copy.kind && self.time.same(&copy.time) && self.data.same(&copy.data)
    }

    pub fn check_type(&self, side: Side) -> Result<(), Rejection> {
        let found = if SOURCE_TYPES.contains(&self.kind.as_str()) {
            Side::Source
        } else if CONTROL_TYPES.contains(&self.kind.as_str()) {
            Side::Control
        } else {
            return Err(Rejection::new(
                "unsupported_type",
                format!("the type {:?} is not known", self.kind),
            ));
        };
        if found == side {
            Ok(())
        } else {
            Err(Rejection::new(
                "wrong_topic",
                format!("the type {} does not belong on this topic", self.kind),
            ))
        }
    }

    pub fn instant(&self) -> Result<i64, Rejection> {
        instant(&self.time, "time")
    }

    pub fn data(&self) -> Fields<'_> {
        match &self.data {
            Json::Object(members) => Fields(members),
            _ => Fields(&[]),
        }
    }
}

fn instant(value: &Json, field: &str) -> Result<i64, Rejection> {
    let text = match value {
        Json::Text(text) => text.to_text(),
        _ => None,
    };
    text.and_then(|text| time::parse(&text))
        .ok_or_else(|| Rejection::new("invalid_time", format!("the field {field} is no RFC 3339 time")))
}

/// The members of an object whose fields the contract names.
#[derive(Clone, Copy)]
pub struct Fields<'a>(&'a [(Text, Json)]);

impl<'a> Fields<'a> {
    pub fn optional(self, name: &str) -> Result<Option<&'a Json>, Rejection> {
        let mut found = self.0.iter().filter(|(key, _)| key.is(name)).map(|(_, value)| value);
        let first = found.next();
        if found.next().is_some() {
            return Err(Rejection::event(name, "is given twice"));
        }
        Ok(first)
    }

    pub fn required(self, name: &str) -> Result<&'a Json, Rejection> {
        self.optional(name)?.ok_or_else(|| Rejection::event(name, "is missing"))
    }

    pub fn text(self, name: &str) -> Result<String, Rejection> {
        as_text(self.required(name)?, name)
    }

    pub fn optional_text(self, name: &str) -> Result<Option<String>, Rejection> {
        self.optional(name)?.map(|value| as_text(value, name)).transpose()
    }

    fn non_empty_text(self, name: &str) -> Result<String, Rejection> {
        let text = self.text(name)?;
        if text.is_empty() {
            Err(Rejection::event(name, "is empty"))
        } else {
            Ok(text)
        }
    }

    pub fn integer(self, name: &str) -> Result<u64, Rejection> {
        as_integer(self.required(name)?, name)
    }

    pub fn optional_integer(self, name: &str) -> Result<Option<u64>, Rejection> {
        self.optional(name)?.map(|value| as_integer(value, name)).transpose()
    }

    pub fn object(self, name: &str) -> Result<Fields<'a>, Rejection> {
        as_object(self.required(name)?, name)
    }

    /// An object for which `null` is as if absent.
    fn object_unless_null(self, name: &str) -> Result<Option<Fields<'a>>, Rejection> {
        match self.optional(name)? {
            None | Some(Json::Null) => Ok(None),
            Some(value) => as_object(value, name).map(Some),
        }
    }

    pub fn array(self, name: &str) -> Result<Option<&'a [Json]>, Rejection> {
        match self.optional(name)? {
            None => Ok(None),
            Some(Json::Array(elements)) => Ok(Some(elements)),
            Some(_) => Err(Rejection::event(name, "is not an array")),
        }
    }

    pub fn instant(self, name: &str) -> Result<i64, Rejection> {
        instant(self.required(name)?, name)
    }

    pub fn asset(self, name: &str) -> Result<String, Rejection> {
        let asset = self.text(name)?;
        let is_asset = (1..=16).contains(&asset.len())
            && asset
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        if is_asset {
            Ok(asset)
        } else {
            Err(Rejection::event(name, "is no asset name"))
        }
    }

    fn account(self, name: &str) -> Result<String, Rejection> {
        let account = self.text(name)?;
        let is_account = (1..=128).contains(&account.len()) && account.chars().all(is_printable);
        if is_account {
            Ok(account)
        } else {
            Err(Rejection::event(name, "is no account name"))
        }
    }

    /// A decimal that may be zero, as in a programme.
    pub fn decimal(self, name: &str) -> Result<Decimal, Rejection> {
        as_decimal(self.required(name)?, name)
    }

    pub fn optional_decimal(self, name: &str) -> Result<Option<Decimal>, Rejection> {
        self.optional(name)?.map(|value| as_decimal(value, name)).transpose()
    }

    pub fn amount(self, name: &str) -> Result<Decimal, Rejection> {
        greater_than_zero(self.decimal(name)?, name)
    }
}

pub fn as_object<'a>(value: &'a Json, name: &str) -> Result<Fields<'a>, Rejection> {
    match value {
        Json::Object(members) => Ok(Fields(members)),
        _ => Err(Rejection::event(name, "is not an object")),
    }
}

fn as_text(value: &Json, name: &str) -> Result<String, Rejection> {
    let Json::Text(text) = value else {
        return Err(Rejection::event(name, "is not a string"));
    };
    text.to_text()
        .ok_or_else(|| Rejection::event(name, "holds half a surrogate pair"))
}

fn as_integer(value: &Json, name: &str) -> Result<u64, Rejection> {
    let Json::Number(number) = value else {
        return Err(Rejection::event(name, "is not a number"));
    };
    number
        .to_u64()
        .ok_or_else(|| Rejection::event(name, "is no integer in range"))
}

pub fn as_decimal(value: &Json, name: &str) -> Result<Decimal, Rejection> {
    let Json::Text(text) = value else {
        return Err(Rejection::amount(name, "is not a string"));
    };
    text.to_text()
        .and_then(|text| Decimal::parse(&text))
        .ok_or_else(|| Rejection::amount(name, "is not written as digits, or digits, a point and digits"))
}

fn greater_than_zero(amount: Decimal, name: &str) -> Result<Decimal, Rejection> {
    if amount.is_zero() {
        Err(Rejection::amount(name, "is zero"))
    } else {
        Ok(amount)
    }
}

/// Not printable are category Cc, the two separators, and category Cf as of Unicode 16.
fn is_printable(character: char) -> bool {
    const FORMAT_CHARACTERS: [(u32, u32); 21] = [
        (0x00AD, 0x00AD),
        (0x0600, 0x0605),
        (0x061C, 0x061C),
        (0x06DD, 0x06DD),
        (0x070F, 0x070F),
        (0x0890, 0x0891),
        (0x08E2, 0x08E2),
        (0x180E, 0x180E),
        (0x200B, 0x200F),
        (0x202A, 0x202E),
        (0x2060, 0x2064),
        (0x2066, 0x206F),
        (0xFEFF, 0xFEFF),
        (0xFFF9, 0xFFFB),
        (0x110BD, 0x110BD),
        (0x110CD, 0x110CD),
        (0x13430, 0x1343F),
        (0x1BCA0, 0x1BCA3),
        (0x1D173, 0x1D17A),
        (0xE0001, 0xE0001),
        (0xE0020, 0xE007F),
    ];
    let code = u32::from(character);
    !character.is_control()
        && !matches!(character, '\u{2028}' | '\u{2029}')
        && !FORMAT_CHARACTERS
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&code))
}

#[derive(Debug, Clone)]
pub enum SourceEvent {
    Postings(Vec<Posting>),
    Status { account: String, status: Status },
}

/// In the order that decides between two statuses with the same time and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Enrolled,
    OptedOut,
    Excluded,
}

/// One posting as the event states it, before the conversion to the asset's units.
#[derive(Debug, Clone)]
pub struct Posting {
    pub account: String,
    pub asset: String,
    is_debit: bool,
    quantity: Quantity,
    /// Whether it is an opening balance, which counts from the anchor at any time of the event.
    pub at_anchor: bool,
}

#[derive(Debug, Clone)]
enum Quantity {
    Given(Decimal),
    Product { price: Decimal, quantity: Decimal },
}

impl Posting {
    /// The signed delta in the asset's units.
    pub fn delta(&self, decimals: u32) -> Result<BigInt, Rejection> {
        const MOST_DIGITS: usize = 76;
        let units = match &self.quantity {
            Quantity::Given(amount) => amount.units("amount", decimals)?,
            Quantity::Product { price, quantity } => {
                for (field, factor) in [("price", price), ("quantity", quantity)] {
                    if factor.significant_digits() > MOST_DIGITS {
                        return Err(Rejection::amount(field, "has more than 76 significant digits"));
                    }
                }
                price.times(quantity).units("price * quantity", decimals)?
            }
        };
        Ok(if self.is_debit { -units } else { units })
    }
}

fn credit(account: &str, asset: &str, quantity: Quantity) -> Posting {
    Posting {
        account: account.to_owned(),
        asset: asset.to_owned(),
        is_debit: false,
        quantity,
        at_anchor: false,
    }
}

fn debit(account: &str, asset: &str, quantity: Quantity) -> Posting {
    Posting {
        is_debit: true,
        ..credit(account, asset, quantity)
    }
}

/// The meaning of a source event's data. Fields are checked, and postings numbered, in the order of the contract.
pub fn source_event(kind: &str, data: Fields) -> Result<SourceEvent, Rejection> {
    let postings = match kind {
        "exchange.deposit.v1" => deposit(data, false)?,
        "exchange.opening_balance.v1" => deposit(data, true)?,
        "exchange.withdrawal.v1" => withdrawal(data)?,
        "exchange.trade.v1" => trade(data)?,
        "exchange.transfer.v1" => transfer(data)?,
        "exchange.balance_adjustment.v1" => balance_adjustment(data)?,
        "exchange.account_status.v1" => return account_status(data),
        _ => unreachable!("SOURCE_TYPES has a type without an arm: {kind}"),
    };
    Ok(SourceEvent::Postings(postings))
}

fn deposit(data: Fields, at_anchor: bool) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let amount = data.amount("amount")?;
    Ok(vec![Posting {
        at_anchor,
        ..credit(&account, &asset, Quantity::Given(amount))
    }])
}

fn withdrawal(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let amount = data.amount("amount")?;
    let mut postings = vec![debit(&account, &asset, Quantity::Given(amount))];
    postings.extend(fee(data, &account)?);
    Ok(postings)
}

/// A fee debits; a negative one, a rebate, credits; one of zero is no posting.
fn fee(payer: Fields, account: &str) -> Result<Option<Posting>, Rejection> {
    let Some(fee) = payer.object_unless_null("fee")? else {
        return Ok(None);
    };
    let asset = fee.asset("asset")?;
    let (is_rebate, amount) = signed_decimal(fee.required("amount")?, "amount")?;
    if amount.is_zero() {
        return Ok(None);
    }
    let quantity = Quantity::Given(amount);
    Ok(Some(if is_rebate {
        credit(account, &asset, quantity)
    } else {
        debit(account, &asset, quantity)
    }))
}

fn trade(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let base_asset = data.asset("base_asset")?;
    let quote_asset = data.asset("quote_asset")?;
    let price = data.decimal("price")?;
    let quantity = data.amount("quantity")?;
    let base = Quantity::Given(quantity.clone());
    // None where the quote amount is zero: then there is no posting of it.
    let quote = match data.optional_decimal("quote_quantity")? {
        Some(given) if given.is_zero() => None,
        Some(given) => Some(Quantity::Given(given)),
        None if price.is_zero() => None,
        None => Some(Quantity::Product { price, quantity }),
    };
    let buyer = party(data, "buyer")?;
    let seller = party(data, "seller")?;
    if buyer.is_none() && seller.is_none() {
        return Err(Rejection::event("buyer", "is missing, and so is the field seller"));
    }
    let mut postings = Vec::new();
    if let Some((buyer, _)) = &buyer {
        postings.push(credit(buyer, &base_asset, base.clone()));
        postings.extend(quote.clone().map(|quote| debit(buyer, &quote_asset, quote)));
    }
    if let Some((seller, _)) = &seller {
        postings.push(debit(seller, &base_asset, base));
        postings.extend(quote.map(|quote| credit(seller, &quote_asset, quote)));
    }
    postings.extend(buyer.and_then(|(_, fee)| fee));
    postings.extend(seller.and_then(|(_, fee)| fee));
    Ok(postings)
}

/// The account and the fee of a side. None if the side is missing.
fn party(data: Fields, name: &str) -> Result<Option<(String, Option<Posting>)>, Rejection> {
    let Some(party) = data.object_unless_null(name)? else {
        return Ok(None);
    };
    let account = party.account("account")?;
    let fee = fee(party, &account)?;
    Ok(Some((account, fee)))
}

fn transfer(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let from = data.account("from_account")?;
    let to = data.account("to_account")?;
    let asset = data.asset("asset")?;
    let amount = Quantity::Given(data.amount("amount")?);
    Ok(vec![debit(&from, &asset, amount.clone()), credit(&to, &asset, amount)])
}

fn balance_adjustment(data: Fields) -> Result<Vec<Posting>, Rejection> {
    let account = data.account("account")?;
    let asset = data.asset("asset")?;
    let (is_debit, amount) = signed_amount(data.required("delta")?, "delta")?;
    data.text("reason")?;
    Ok(vec![Posting {
        is_debit,
        ..credit(&account, &asset, Quantity::Given(amount))
    }])
}

/// An amount other than zero after at most one sign, and whether the sign is a minus.
fn signed_amount(value: &Json, name: &str) -> Result<(bool, Decimal), Rejection> {
    let (is_negative, amount) = signed_decimal(value, name)?;
    Ok((is_negative, greater_than_zero(amount, name)?))
}

/// A decimal after at most one sign, and whether the sign is a minus.
fn signed_decimal(value: &Json, name: &str) -> Result<(bool, Decimal), Rejection> {
    let text = match value {
        Json::Text(text) => text.to_text(),
        _ => None,
    };
    let text = text.ok_or_else(|| Rejection::amount(name, "is not a string"))?;
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(&text);
    let amount = Decimal::parse(unsigned).ok_or_else(|| Rejection::amount(name, "is no signed decimal"))?;
    Ok((text.starts_with('-'), amount))
}

fn account_status(data: Fields) -> Result<SourceEvent, Rejection> {
    let account = data.account("account")?;
    let status = match data.text("status")?.as_str() {
        "enrolled" => Status::Enrolled,
        "opted_out" => Status::OptedOut,
        "excluded" => Status::Excluded,
        _ => {
            return Err(Rejection::event(
                "status",
                "is none of enrolled, opted_out and excluded",
            ));
        }
    };
    Ok(SourceEvent::Status { account, status })
}
