//! Reads a result of `softstake reconcile --json`, of which only the beginning may be there.

use std::fmt;

use serde::Serialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use utoipa::ToSchema;

use crate::audit::reconciliation::{ReconciledScope, ReconciliationKind};

/// The most disagreements that are kept.
const MOST_KEPT: usize = 20;
/// The most characters of a text that are kept.
const MOST_CHARACTERS: usize = 500;
/// The most fields of a record that are told of.
const MOST_FIELDS: usize = 5;

/// Something that does not agree.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Disagreement {
    /// Such as `missing`, `unpaid` or `differs`: the word of the command.
    pub kind: String,
    /// A record, a distribution, or an account with its asset.
    pub of: String,
    /// Both sides.
    pub detail: String,
}

/// What is read of a result.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReadResult {
    pub(super) kind: ReconciliationKind,
    pub(super) made_at: String,
    pub(super) compared: ReconciledScope,
    pub(super) agrees: bool,
    pub(super) disagreements: u64,
    pub(super) verdict: String,
    pub(super) first: Vec<Disagreement>,
}

/// Reads a result, or tells why it is none. If it is not whole, what comes after the bytes is not needed.
pub(super) fn read_result(bytes: &[u8], is_whole: bool) -> Result<ReadResult, String> {
    let mut found = Found::default();
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = FoundFields(&mut found).deserialize(&mut json).and_then(|()| json.end());
    match read {
        Err(error) if error.is_eof() && is_whole => return Err("it is torn: it ends in the middle".into()),
        Err(error) if !error.is_eof() => return Err(format!("it is no result of softstake reconcile --json: {error}")),
        _ => {}
    }
    let missing = |name: &str| {
        format!("it has no `{name}`, so it is no result of softstake reconcile --json, or of an older one")
    };
    let kind = found.kind.ok_or_else(|| missing("kind"))?;
    Ok(ReadResult {
        kind,
        made_at: found.made_at.ok_or_else(|| missing("made_at"))?,
        compared: found.compared.ok_or_else(|| missing("compared"))?,
        agrees: found.agrees.ok_or_else(|| missing("agrees"))?,
        disagreements: found.disagreements.ok_or_else(|| missing("disagreements"))?,
        verdict: shortened(found.verdict.ok_or_else(|| missing("verdict"))?),
        first: found.first.iter().map(|one| disagreement(kind, one)).collect(),
    })
}

/// The fields that were read so far.
#[derive(Default)]
struct Found {
    kind: Option<ReconciliationKind>,
    made_at: Option<String>,
    compared: Option<ReconciledScope>,
    agrees: Option<bool>,
    disagreements: Option<u64>,
    verdict: Option<String>,
    first: Vec<Value>,
}

struct FoundFields<'a>(&'a mut Found);

impl<'de> DeserializeSeed<'de> for FoundFields<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FoundFields<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let found = self.0;
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                "kind" => found.kind = Some(map.next_value()?),
                "made_at" => found.made_at = Some(map.next_value()?),
                "compared" => found.compared = Some(map.next_value()?),
                "agrees" => found.agrees = Some(map.next_value()?),
                "disagreements" => found.disagreements = Some(map.next_value()?),
                "verdict" => found.verdict = Some(map.next_value()?),
                // The lists of the three kinds.
                "differences" | "findings" | "rows" => map.next_value_seed(FirstItems(&mut found.first))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

/// The first items of a list.
struct FirstItems<'a>(&'a mut Vec<Value>);

impl<'de> DeserializeSeed<'de> for FirstItems<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FirstItems<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while self.0.len() < MOST_KEPT {
            match list.next_element()? {
                Some(item) => self.0.push(item),
                None => return Ok(()),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

/// A disagreement in the words of its kind of result.
fn disagreement(kind: ReconciliationKind, item: &Value) -> Disagreement {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default();
    let side = |value: &str, name: &str| {
        let value = if value.is_empty() { "nothing" } else { value };
        format!("{name} {value}")
    };
    let in_asset = |name: &str| match text(name) {
        "" => String::new(),
        amount => format!("{amount} {}", text("reward_asset")),
    };
    let (word, of, mut details) = match kind {
        ReconciliationKind::Records => {
            let fields = item.get("fields").and_then(Value::as_array);
            let fields = fields.map(Vec::as_slice).unwrap_or_default().iter().take(MOST_FIELDS);
            let fields = fields.map(|field| {
                let text = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or_default();
                let (published, replayed) = (side(text("published"), "published"), side(text("replayed"), "replayed"));
                format!("{}: {published}, {replayed}", text("field"))
            });
            (
                text("kind"),
                format!("{} {}", text("topic"), text("id")),
                fields.collect(),
            )
        }
        ReconciliationKind::Payouts => (
            text("kind"),
            text("distribution").to_owned(),
            vec![
                format!(
                    "{}, {}",
                    side(&in_asset("distributed"), "distributed"),
                    side(&in_asset("credited"), "credited")
                ),
                text("note").to_owned(),
            ],
        ),
        ReconciliationKind::Balances => (
            text("verdict"),
            format!("{} {} at {}", text("account"), text("asset"), text("time")),
            vec![
                format!(
                    "{}, {}",
                    side(text("theirs"), "the ledger has"),
                    side(text("ours"), "the log")
                ),
                text("note").to_owned(),
            ],
        ),
    };
    details.retain(|detail| !detail.is_empty());
    Disagreement {
        kind: shortened(word.to_owned()),
        of: shortened(of.trim().to_owned()),
        detail: shortened(details.join("; ").trim().to_owned()),
    }
}

/// The first characters of a text.
fn shortened(text: String) -> String {
    match text.char_indices().nth(MOST_CHARACTERS) {
        None => text,
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}
