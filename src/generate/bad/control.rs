//! Bad control records.

use crate::generate::control_events::{StageClose, close, control_event, listing, reward};
use crate::generate::draws::Draws;
use crate::generate::json::{Json, JsonText};

use ControlDefect::{
    ChangeField, ChangeFrom, Close as CloseAt, CloseField, Data, ListingField, RewardAhead, RewardField, Truncated,
    Type,
};

/// The defect of a control record about the asset whose epoch was just closed.
#[derive(Debug, Clone, Copy)]
enum ControlDefect {
    /// A close of the epoch this many after the closed one, this many milliseconds after its end.
    Close(u32, i64),
    /// A valid close, but for this member: its JSON text, or `None` if the member is missing.
    CloseField(&'static str, Option<&'static str>),
    /// A valid reward, but for this member.
    RewardField(&'static str, Option<&'static str>),
    /// A reward of an epoch that is too far ahead.
    RewardAhead,
    /// A valid later programme, but for this member.
    ChangeField(&'static str, Option<&'static str>),
    /// A valid first listing, but for this member.
    ListingField(&'static str, Option<&'static str>),
    /// A listing of this type.
    Type(&'static str),
    /// An event of this type with this data. The first asset is ATOM on every bus.
    Data(&'static str, &'static str),
    /// A programme from the epoch this many after the closed one.
    ChangeFrom(u32),
    Truncated,
}

const AMOUNT: &str = "invalid_amount";
const ASSET: &str = "unknown_asset";
const EVENT: &str = "invalid_event";
const PROGRAMME: &str = "invalid_programme";
const TIME: &str = "invalid_time";
const NOT_HELD: &str = "epoch_not_held";

const ADJUSTMENT: &str = "softstake.pool_adjustment.v1";
const WITHDRAWAL: &str = "softstake.asset_withdrawn.v1";
const RELEASE: &str = "softstake.epoch_release.v1";
const VOID: &str = "softstake.epoch_void.v1";
const RULES: &str = "softstake.rules.v1";
const LOSS: &str = "softstake.loss_accepted.v1";

/// Code, name, defect. The closes come first: the records after them name an epoch that is still open.
const KINDS: &[(&str, &str, ControlDefect)] = &[
    ("epoch_already_closed", "close-again", CloseAt(0, 60_000)),
    ("epoch_out_of_order", "close-out-of-order", CloseAt(3, 60_000)),
    ("epoch_not_over", "close-too-early", CloseAt(1, -1)),
    (ASSET, "close-unlisted", CloseField("asset", Some(r#""DOGE""#))),
    (
        AMOUNT,
        "close-pool-exponent",
        CloseField("reward_pool", Some(r#""1e3""#)),
    ),
    (AMOUNT, "close-pool-number", CloseField("reward_pool", Some("10"))),
    (
        AMOUNT,
        "close-pool-negative",
        CloseField("reward_pool", Some(r#""-1""#)),
    ),
    (
        AMOUNT,
        "close-pool-too-precise",
        CloseField("reward_pool", Some(r#""1.0000000000000000001""#)),
    ),
    (EVENT, "close-unknown-field", CloseField("pool", Some(r#""1""#))),
    (EVENT, "close-epoch-twice", CloseField("epoch", Some(r#"1,"epoch":1"#))),
    (EVENT, "close-no-epoch", CloseField("epoch", None)),
    (EVENT, "close-epoch-string", CloseField("epoch", Some(r#""1""#))),
    (EVENT, "close-epoch-negative", CloseField("epoch", Some("-1"))),
    (EVENT, "close-epoch-fraction", CloseField("epoch", Some("1.5"))),
    (
        EVENT,
        "close-epoch-huge",
        CloseField("epoch", Some("99999999999999999999999")),
    ),
    (AMOUNT, "reward-zero", RewardField("amount", Some(r#""0""#))),
    (AMOUNT, "reward-negative", RewardField("amount", Some(r#""-2""#))),
    (
        AMOUNT,
        "reward-too-precise",
        RewardField("amount", Some(r#""1.0000000000000000001""#)),
    ),
    ("too_far_ahead", "reward-far-ahead", RewardAhead),
    (EVENT, "reward-unknown-field", RewardField("epoch", Some("0"))),
    (EVENT, "reward-no-amount", RewardField("amount", None)),
    (EVENT, "reward-no-validator", RewardField("validator", None)),
    (ASSET, "reward-unlisted", RewardField("asset", Some(r#""DOGE""#))),
    (EVENT, "close-apr-in-pool", CloseField("apr", Some(r#""0.05""#))),
    (EVENT, "close-apr-exponent", CloseField("apr", Some(r#""5e-2""#))),
    (
        EVENT,
        "close-reward-rate-without-use",
        CloseField("reward_rate", Some(r#""2""#)),
    ),
    (
        AMOUNT,
        "adjustment-zero",
        Data(ADJUSTMENT, r#"{"asset":"ATOM","amount":"-0.0","reason":"x"}"#),
    ),
    (
        AMOUNT,
        "adjustment-too-precise",
        Data(ADJUSTMENT, r#"{"asset":"ATOM","amount":"-0.0000001","reason":"x"}"#),
    ),
    (
        EVENT,
        "adjustment-blank-reason",
        Data(ADJUSTMENT, r#"{"asset":"ATOM","amount":"1","reason":" "}"#),
    ),
    (
        EVENT,
        "adjustment-unknown-field",
        Data(ADJUSTMENT, r#"{"asset":"ATOM","amount":"1","reason":"x","epoch":0}"#),
    ),
    (
        ASSET,
        "adjustment-unlisted",
        Data(ADJUSTMENT, r#"{"asset":"DOGE","amount":"1","reason":"x"}"#),
    ),
    (
        NOT_HELD,
        "release-not-held",
        Data(RELEASE, r#"{"asset":"ATOM","epoch":0,"by":"x","reason":"y"}"#),
    ),
    (
        NOT_HELD,
        "void-far-ahead",
        Data(VOID, r#"{"asset":"ATOM","epoch":1000000,"by":"x","reason":"y"}"#),
    ),
    (
        ASSET,
        "void-unlisted",
        Data(VOID, r#"{"asset":"DOGE","epoch":0,"by":"x","reason":"y"}"#),
    ),
    (
        EVENT,
        "release-by-nobody",
        Data(RELEASE, r#"{"asset":"ATOM","epoch":0,"reason":"y"}"#),
    ),
    (
        "epoch_already_closed",
        "withdrawal-of-closed-epoch",
        Data(WITHDRAWAL, r#"{"asset":"ATOM","epoch":0,"reason":"x"}"#),
    ),
    (
        ASSET,
        "withdrawal-unlisted",
        Data(WITHDRAWAL, r#"{"asset":"DOGE","epoch":0,"reason":"x"}"#),
    ),
    (
        EVENT,
        "withdrawal-unknown-field",
        Data(WITHDRAWAL, r#"{"asset":"ATOM","epoch":1000,"reason":"x","by":"y"}"#),
    ),
    (EVENT, "rules-not-higher", Data(RULES, r#"{"version":2}"#)),
    (EVENT, "rules-unknown", Data(RULES, r#"{"version":99}"#)),
    (
        EVENT,
        "loss-of-control",
        Data(
            LOSS,
            r#"{"topic":"softstake.control","partition":0,"from_offset":0,"to_offset":1,"by":"x","reason":"y"}"#,
        ),
    ),
    (
        EVENT,
        "loss-of-nothing",
        Data(
            LOSS,
            r#"{"topic":"exchange.trades","partition":0,"from_offset":1,"to_offset":1,"by":"x","reason":"y"}"#,
        ),
    ),
    ("wrong_topic", "deposit-on-control", Type("exchange.deposit.v1")),
    ("unsupported_type", "listing-v2", Type("softstake.asset.v2")),
    ("invalid_json", "control-truncated", Truncated),
    (PROGRAMME, "change-of-open-epoch", ChangeFrom(1)),
    (PROGRAMME, "change-of-closed-epoch", ChangeFrom(0)),
    (PROGRAMME, "change-decimals", ChangeField("decimals", Some("7"))),
    (
        PROGRAMME,
        "change-anchor",
        ChangeField("anchor", Some(r#""2026-11-02T00:00:00Z""#)),
    ),
    (PROGRAMME, "change-length", ChangeField("epoch_seconds", Some("59"))),
    (
        PROGRAMME,
        "change-unknown-mode",
        ChangeField("programme.mode", Some(r#""lottery""#)),
    ),
    (
        PROGRAMME,
        "change-commission",
        ChangeField("programme.commission_rate", Some(r#""1.01""#)),
    ),
    (
        PROGRAMME,
        "change-misspelt-commission",
        ChangeField("programme.comission_rate", Some(r#""0.1""#)),
    ),
    (
        PROGRAMME,
        "change-tier-unknown-field",
        ChangeField(
            "programme.tiers",
            Some(r#"[{"up_to":null,"multiplier":"1","name":"all"}]"#),
        ),
    ),
    (
        PROGRAMME,
        "change-mode-twice",
        ChangeField("programme.mode", Some(r#""pool","mode":"pool""#)),
    ),
    (
        PROGRAMME,
        "change-apr-missing",
        ChangeField("programme.mode", Some(r#""apr""#)),
    ),
    (
        PROGRAMME,
        "change-apr-in-pool",
        ChangeField("programme.apr", Some(r#""0.05""#)),
    ),
    (
        PROGRAMME,
        "change-tiers-order",
        ChangeField(
            "programme.tiers",
            Some(r#"[{"up_to":"9","multiplier":"1"},{"up_to":"5","multiplier":"2"},{"up_to":null,"multiplier":"1"}]"#),
        ),
    ),
    (
        PROGRAMME,
        "change-tiers-bounded",
        ChangeField("programme.tiers", Some(r#"[{"up_to":"9","multiplier":"1"}]"#)),
    ),
    (
        PROGRAMME,
        "change-tiers-none",
        ChangeField("programme.tiers", Some("[]")),
    ),
    (
        PROGRAMME,
        "change-multiplier",
        ChangeField("programme.tiers", Some(r#"[{"up_to":null,"multiplier":"100.000001"}]"#)),
    ),
    (
        PROGRAMME,
        "change-payout-decimals",
        ChangeField("programme.payout_decimals", Some("19")),
    ),
    (
        PROGRAMME,
        "change-enrolment",
        ChangeField("programme.enrolment", Some(r#""maybe""#)),
    ),
    (
        PROGRAMME,
        "change-late-policy",
        ChangeField("programme.late_policy", Some(r#""shrug""#)),
    ),
    (
        PROGRAMME,
        "change-minimum",
        ChangeField("programme.min_balance", Some(r#""1e3""#)),
    ),
    (
        PROGRAMME,
        "change-cap-too-precise",
        ChangeField("programme.max_balance", Some(r#""1.0000000000000000001""#)),
    ),
    (
        PROGRAMME,
        "change-rate-number",
        ChangeField("programme.commission_rate", Some("0.1")),
    ),
    (
        PROGRAMME,
        "change-scope",
        ChangeField("programme.scope", Some(r#""customer""#)),
    ),
    (
        PROGRAMME,
        "change-gate-empty",
        ChangeField("programme.gate", Some("{}")),
    ),
    (
        PROGRAMME,
        "change-gate-unknown-limit",
        ChangeField("programme.gate", Some(r#"{"max_payouts":"1"}"#)),
    ),
    (
        PROGRAMME,
        "change-rates-in-pool",
        ChangeField("programme.tiers", Some(r#"[{"up_to":null,"apr":"0.05"}]"#)),
    ),
    (PROGRAMME, "change-first-epoch", ChangeField("first_epoch", Some("1"))),
    (
        PROGRAMME,
        "change-misdated-from",
        ChangeField("misdated_from", Some(r#""2027-01-01T00:00:00Z""#)),
    ),
    (PROGRAMME, "change-no-mode", ChangeField("programme.mode", None)),
    (EVENT, "listing-no-decimals", ListingField("decimals", None)),
    (EVENT, "listing-asset-colon", ListingField("asset", Some(r#""LUNA:2""#))),
    (EVENT, "listing-unknown-field", ListingField("decimal", Some("6"))),
    (EVENT, "listing-no-programme", ListingField("programme", None)),
    (TIME, "listing-anchor", ListingField("anchor", Some(r#""tomorrow""#))),
    (
        EVENT,
        "listing-reward-asset-alone",
        ListingField("reward_asset", Some(r#""USDT""#)),
    ),
    (TIME, "listing-misdated-from", ListingField("misdated_from", Some("7"))),
    (PROGRAMME, "listing-decimals-19", ListingField("decimals", Some("19"))),
    (
        PROGRAMME,
        "listing-59-seconds",
        ListingField("epoch_seconds", Some("59")),
    ),
    (
        PROGRAMME,
        "listing-32-days",
        ListingField("epoch_seconds", Some("2764800")),
    ),
    (
        PROGRAMME,
        "listing-from-epoch-1",
        ListingField("programme.from_epoch", Some("1")),
    ),
];

/// How many of them a stage ends with.
const EACH_STAGE: usize = 10;

/// The kinds of bad control records: the name, which follows `bad-` in the record's `id`, and the code of the dead letter.
pub fn bad_control_kinds() -> impl Iterator<Item = (&'static str, &'static str)> {
    KINDS.iter().map(|&(code, name, _)| (name, code))
}

/// The bad records that end the stage.
pub(crate) fn lines(of: &StageClose, draws: &mut Draws) -> Vec<Vec<u8>> {
    let first = of.epoch as usize * EACH_STAGE;
    let turns = first..first + EACH_STAGE;
    turns.map(|turn| line(of, KINDS[turn % KINDS.len()], draws)).collect()
}

fn line(of: &StageClose, (_, name, defect): (&str, &str, ControlDefect), draws: &mut Draws) -> Vec<u8> {
    let id = || format!("bad-{name}-{}", of.epoch);
    let next = of.epoch + 1;
    let over = of.end_ms(1) + 60_000;
    let raw = |raw: &'static str| Json::Raw(JsonText::Borrowed(raw));
    let spoilt = |kind: &'static str, mut data: Json, field: &str, text: Option<&'static str>| {
        data.set(field, text.map(raw));
        control_event(id(), kind, over, data)
    };
    let (closing, rewarding) = ("softstake.epoch_close.v1", "softstake.validator_reward.v1");
    let listed = "softstake.asset.v1";
    let event = match defect {
        CloseAt(ahead, after_ms) => {
            let epoch = of.epoch + ahead;
            let data = close(of.symbol(), epoch, Some("1".to_owned()));
            control_event(id(), closing, of.end_ms(ahead) + after_ms, data)
        }
        CloseField(field, text) => {
            let data = close(of.symbol(), next, Some("1".to_owned()));
            spoilt(closing, data, field, text)
        }
        RewardField(field, text) => {
            let data = reward(of.symbol(), "1".to_owned(), 0);
            spoilt(rewarding, data, field, text)
        }
        RewardAhead => {
            let data = reward(of.symbol(), "1".to_owned(), 0);
            control_event(id(), rewarding, of.spec.too_far_ahead_ms(of.spec.epochs), data)
        }
        // Later than every programme of the catalogue.
        ChangeField(field, text) => spoilt(listed, proposal(of, of.epoch + 50), field, text),
        ChangeFrom(ahead) => control_event(id(), listed, over, proposal(of, of.epoch + ahead)),
        ListingField(field, text) => {
            let mut data = proposal(of, 0);
            data.set("asset", Some(Json::text("BAD1")));
            spoilt(listed, data, field, text)
        }
        Type(kind) => control_event(id(), kind, over, proposal(of, 0)),
        Data(kind, data) => control_event(id(), kind, over, raw(data)),
        Truncated => control_event(id(), closing, over, close(of.symbol(), next, None)),
    };
    let mut text = event.compact(draws);
    if matches!(defect, Truncated) {
        text.truncate(text.len() - 9);
    }
    text
}

/// A listing of the asset with the simplest programme, in force from an epoch on.
fn proposal(of: &StageClose, from_epoch: u32) -> Json {
    let mut data = listing(of.spec, of.asset, "");
    let programme = Json::object([
        ("from_epoch", Json::Number(from_epoch.into())),
        ("mode", Json::text("pool")),
    ]);
    data.set("programme", Some(programme));
    data
}
