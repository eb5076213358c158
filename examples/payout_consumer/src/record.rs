//! What Softstake publishes: distributions, and the seals over them.

use std::fmt;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::amount::Amount;

/// The topic of the distributions: one record per account, asset and epoch.
pub const DISTRIBUTIONS: &str = "softstake.distributions";

/// The topic of the seals: one record per asset and epoch.
pub const EPOCHS: &str = "softstake.epochs";

/// Both topics.
pub const TOPICS: [&str; 2] = [DISTRIBUTIONS, EPOCHS];

/// The position of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub topic: String,
    pub partition: i32,
    pub offset: i64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place {
            topic,
            partition,
            offset,
        } = self;
        write!(f, "{topic}, partition {partition}, offset {offset}")
    }
}

/// What an account is paid for its holding of an asset in an epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// `ASSET:epoch:account`.
    pub id: String,
    pub asset: String,
    pub epoch: i64,
    pub account: String,
    /// The asset to credit. It may be another one than `asset`, which the account holds.
    pub reward_asset: String,
    pub amount: Amount,
}

/// The count, the sum and the root that the distributions of an asset and epoch must have before one of them may be paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    pub asset: String,
    pub epoch: i64,
    /// The asset that all of them are paid in.
    pub reward_asset: String,
    /// Their number.
    pub distributions: i64,
    /// Their sum.
    pub distributed: Amount,
    /// Their Merkle root, in lower-case hex.
    pub root: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Distribution(Distribution),
    Seal(Seal),
}

impl Record {
    /// Reads a record's value, a CloudEvent in structured mode, from one of the [`TOPICS`].
    ///
    /// # Errors
    /// What is wrong with the record, as a sentence without its position.
    pub fn decode(topic: &str, value: &[u8]) -> Result<Record, String> {
        match topic {
            DISTRIBUTIONS => distribution(value).map(Record::Distribution),
            EPOCHS => seal(value).map(Record::Seal),
            _ => Err("its topic was not requested".to_owned()),
        }
    }
}

#[derive(Deserialize)]
struct Envelope {
    specversion: String,
    #[serde(rename = "type")]
    kind: String,
    id: String,
}

/// Unknown fields are ignored, so that later versions may add some.
#[derive(Deserialize)]
struct Event<D> {
    data: D,
}

#[derive(Deserialize)]
struct DistributionData {
    account: String,
    asset: String,
    reward_asset: String,
    epoch: i64,
    amount: String,
}

#[derive(Deserialize)]
struct SealData {
    asset: String,
    reward_asset: String,
    epoch: i64,
    distributions: i64,
    distributed: String,
    root: String,
}

/// The id and data of an event of the type `kind`. The type is checked before the data, which may mean something else in
/// another version.
fn event<D: DeserializeOwned>(value: &[u8], kind: &str) -> Result<(String, D), String> {
    let envelope: Envelope = serde_json::from_slice(value).map_err(|error| format!("it is not an event: {error}"))?;
    if envelope.specversion != "1.0" || envelope.kind != kind {
        let Envelope {
            specversion,
            kind: found,
            ..
        } = envelope;
        return Err(format!(
            "it is a {found:?} of CloudEvents {specversion:?}, not a {kind:?} of \"1.0\""
        ));
    }
    let event: Event<D> = serde_json::from_slice(value).map_err(|error| format!("its data are wrong: {error}"))?;
    Ok((envelope.id, event.data))
}

fn amount(field: &str, text: &str) -> Result<Amount, String> {
    text.parse().map_err(|error| format!("its {field} {text:?} {error}"))
}

fn distribution(value: &[u8]) -> Result<Distribution, String> {
    let (id, data) = event::<DistributionData>(value, "softstake.distribution.v1")?;
    let DistributionData {
        account,
        asset,
        reward_asset,
        epoch,
        ..
    } = data;
    if id != format!("{asset}:{epoch}:{account}") {
        return Err(format!(
            "its id {id:?} is not that of {asset}, epoch {epoch} and account {account:?}"
        ));
    }
    let amount = amount("amount", &data.amount)?;
    if amount == Amount::ZERO {
        return Err("its amount is zero".to_owned());
    }
    Ok(Distribution {
        id,
        asset,
        epoch,
        account,
        reward_asset,
        amount,
    })
}

fn seal(value: &[u8]) -> Result<Seal, String> {
    let (id, data) = event::<SealData>(value, "softstake.epoch_settled.v1")?;
    let SealData {
        asset,
        reward_asset,
        epoch,
        distributions,
        root,
        ..
    } = data;
    if id != format!("{asset}:{epoch}") {
        return Err(format!("its id {id:?} is not that of {asset} and epoch {epoch}"));
    }
    let distributed = amount("sum", &data.distributed)?;
    Ok(Seal {
        asset,
        epoch,
        reward_asset,
        distributions,
        distributed,
        root,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distribution(change: impl Fn(&mut serde_json::Value)) -> Result<Record, String> {
        let mut event = serde_json::json!({
            "specversion": "1.0", "id": "ATOM:7:u:1|é", "source": "/softstake", "type": "softstake.distribution.v1",
            "time": "2026-11-09T00:00:00.000Z", "data": {"account": "u:1|é", "asset": "ATOM", "reward_asset": "USDT",
            "epoch": 7, "epoch_start": "2026-11-08T00:00:00.000Z", "epoch_end": "2026-11-09T00:00:00.000Z",
            "amount": "0.5", "rewarded": "1", "made_good": "-0.25", "adjusted": "0", "withheld_before": "-0.1",
            "balance_seconds": "-1", "average_balance": "0", "programme_from_epoch": 0}
        });
        change(&mut event);
        Record::decode(DISTRIBUTIONS, event.to_string().as_bytes())
    }

    #[test]
    fn distributions() {
        let Ok(Record::Distribution(read)) = distribution(|event| event["data"]["new"] = 1.into()) else {
            panic!("not read");
        };
        assert_eq!((read.epoch, read.account.as_str()), (7, "u:1|é"));
        assert_eq!((read.asset.as_str(), read.reward_asset.as_str()), ("ATOM", "USDT"));
        assert_eq!(read.amount.to_string(), "0.5");
        for (field, value) in [
            ("/id", "ATOM:8:u:1|é"),
            ("/specversion", "2.0"),
            ("/type", "softstake.distribution.v2"),
            ("/type", "softstake.epoch_settled.v1"),
            ("/data/amount", "0.50"),
            ("/data/amount", "0"),
            ("/data/amount", "-1"),
            ("/data/account", "u-2"),
            ("/data/epoch", "7"),
        ] {
            let refused = distribution(|event| *event.pointer_mut(field).unwrap() = value.into());
            assert!(refused.is_err(), "{field} {value:?}: {refused:?}");
        }
        for (object, field) in [("", "data"), ("/data", "reward_asset"), ("/data", "amount")] {
            let without = |event: &mut serde_json::Value| {
                let fields = event.pointer_mut(object).unwrap().as_object_mut().unwrap();
                fields.remove(field).unwrap();
            };
            distribution(without).unwrap_err();
        }
    }

    /// Epoch 1 of an asset that is paid in another one at a rate, with a debt, and epoch 2 with a pot that went back.
    #[test]
    fn seals() {
        let root = "6e40c37dd6a66c69de74149320fbaaa0fd1382bf729a1cee7dc0e448731f021b";
        let mut event = serde_json::json!({
            "specversion": "1.0", "id": "ATOM:1", "source": "/softstake", "type": "softstake.epoch_settled.v1",
            "time": "2026-11-03T00:00:00.000Z", "data": {"asset": "ATOM", "reward_asset": "USDT", "epoch": 1,
            "epoch_start": "2026-11-02T00:00:00.000Z", "epoch_end": "2026-11-03T00:00:00.000Z", "mode": "apr",
            "apr": "0.05", "reward_rate": "8.1", "reward_pool": "-2", "commission": "0", "carried_in": "-1",
            "carried_out": "-3", "returned": "0", "rewarded": "7", "made_good": "-0.5", "adjusted": "-0.25",
            "distributed": "6.2998", "withheld_before": "-1", "withheld_after": "-1.0498", "distributions": 4,
            "ineligible": {"status": 1, "negative": 2, "below_minimum": 0}, "eligible_balance_seconds": "1.5",
            "closing_balance": "1", "programme_from_epoch": 0, "cut": {"exchange.deposits": {"0": 8}}, "root": root}
        });
        let mut seal = Seal {
            asset: "ATOM".to_owned(),
            epoch: 1,
            reward_asset: "USDT".to_owned(),
            distributions: 4,
            distributed: "6.2998".parse().unwrap(),
            root: root.to_owned(),
        };
        let read = Record::decode(EPOCHS, event.to_string().as_bytes());
        assert_eq!(read, Ok(Record::Seal(seal.clone())));
        Record::decode(DISTRIBUTIONS, event.to_string().as_bytes()).unwrap_err();
        Record::decode(DISTRIBUTIONS, b"{}").unwrap_err();
        Record::decode("exchange.deposits", b"{}").unwrap_err();

        event["id"] = "ATOM:2".into();
        let data = event["data"].as_object_mut().unwrap();
        data.retain(|name, _| name != "apr" && name != "reward_rate");
        data.extend([
            ("epoch".to_owned(), 2.into()),
            ("mode".to_owned(), "pool".into()),
            ("returned".to_owned(), "12.5".into()),
            ("distributions".to_owned(), 0.into()),
            ("distributed".to_owned(), "0".into()),
        ]);
        (seal.epoch, seal.distributions, seal.distributed) = (2, 0, Amount::ZERO);
        let read = Record::decode(EPOCHS, event.to_string().as_bytes());
        assert_eq!(read, Ok(Record::Seal(seal)));
        event["data"].as_object_mut().unwrap().remove("reward_asset");
        Record::decode(EPOCHS, event.to_string().as_bytes()).unwrap_err();
    }
}
