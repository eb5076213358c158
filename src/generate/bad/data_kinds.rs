//! Bad source records, second part: defects of the fields of `data`.

use crate::generate::bad::defect::BadKind;
use crate::generate::bad::defect::Base::{Adjustment, Deposit, Status, Trade, Transfer, Withdrawal};
use crate::generate::bad::defect::Defect::{Drop, Set, TooLarge, TooPrecise};
use crate::generate::bad::defect::kind;

const EVENT: &str = "invalid_event";
const AMOUNT: &str = "invalid_amount";

/// Defects inside `data`.
pub(super) const DATA_KINDS: &[BadKind] = &[
    // Names.
    kind(EVENT, "no-account", Deposit, Drop("data.account")),
    kind(EVENT, "account-number", Deposit, Set("data.account", "42")),
    kind(EVENT, "account-null", Withdrawal, Set("data.account", "null")),
    kind(
        EVENT,
        "account-nest",
        Deposit,
        Set("data.account", "[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]"),
    ),
    kind(EVENT, "account-empty", Deposit, Set("data.account", r#""""#)),
    kind(
        EVENT,
        "account-129-bytes",
        Deposit,
        Set(
            "data.account",
            r#""ééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééééx""#,
        ),
    ),
    kind(EVENT, "account-control", Deposit, Set("data.account", r#""u-\u0007""#)),
    kind(
        EVENT,
        "account-nul",
        Transfer,
        Set("data.from_account", r#""u-\u0000""#),
    ),
    kind(
        EVENT,
        "account-next-line",
        Deposit,
        Set("data.account", r#""u-\u0085""#),
    ),
    kind(
        EVENT,
        "account-line-separator",
        Deposit,
        Set("data.account", r#""u-\u2028""#),
    ),
    kind(
        EVENT,
        "account-bidi-override",
        Deposit,
        Set("data.account", r#""u-\u202e100000""#),
    ),
    kind(
        EVENT,
        "account-zero-width",
        Transfer,
        Set("data.to_account", r#""u-\u200b""#),
    ),
    kind(EVENT, "no-receiver", Transfer, Drop("data.to_account")),
    kind(EVENT, "no-asset", Deposit, Drop("data.asset")),
    kind(EVENT, "asset-number", Deposit, Set("data.asset", "1")),
    kind(EVENT, "asset-blank", Deposit, Set("data.asset", r#""AT OM""#)),
    kind(
        EVENT,
        "asset-no-break-space",
        Deposit,
        Set("data.asset", r#""ATOM\u00a0""#),
    ),
    kind(EVENT, "asset-control", Transfer, Set("data.asset", r#""ATOM\u0007""#)),
    kind(EVENT, "asset-empty", Deposit, Set("data.asset", r#""""#)),
    kind(
        EVENT,
        "asset-33-bytes",
        Deposit,
        Set("data.asset", r#""币币币币币币币币币币币""#),
    ),
    kind(EVENT, "asset-colon", Withdrawal, Set("data.asset", r#""ATOM:USD""#)),
    kind(
        EVENT,
        "asset-bidi-override",
        Deposit,
        Set("data.asset", r#""\u202eATOM""#),
    ),
    // Amounts.
    kind(EVENT, "no-amount", Deposit, Drop("data.amount")),
    kind(
        EVENT,
        "amount-twice",
        Deposit,
        Set("data.amount", r#""1","amount":"1""#),
    ),
    kind(AMOUNT, "amount-number", Deposit, Set("data.amount", "12.5")),
    kind(AMOUNT, "amount-null", Deposit, Set("data.amount", "null")),
    kind(AMOUNT, "amount-object", Deposit, Set("data.amount", r#"{"value":"1"}"#)),
    kind(AMOUNT, "amount-empty", Deposit, Set("data.amount", r#""""#)),
    kind(AMOUNT, "amount-blank", Deposit, Set("data.amount", r#"" 1""#)),
    kind(AMOUNT, "amount-negative", Deposit, Set("data.amount", r#""-1""#)),
    kind(AMOUNT, "amount-plus", Withdrawal, Set("data.amount", r#""+1""#)),
    kind(AMOUNT, "amount-zero", Deposit, Set("data.amount", r#""0""#)),
    kind(AMOUNT, "amount-zero-long", Transfer, Set("data.amount", r#""0.000""#)),
    kind(AMOUNT, "amount-exponent", Deposit, Set("data.amount", r#""1e3""#)),
    kind(AMOUNT, "amount-comma", Deposit, Set("data.amount", r#""1,5""#)),
    kind(AMOUNT, "amount-underscore", Deposit, Set("data.amount", r#""1_000""#)),
    kind(AMOUNT, "amount-no-whole", Deposit, Set("data.amount", r#"".5""#)),
    kind(AMOUNT, "amount-no-fraction", Deposit, Set("data.amount", r#""5.""#)),
    kind(AMOUNT, "amount-two-points", Deposit, Set("data.amount", r#""1.2.3""#)),
    kind(AMOUNT, "amount-words", Deposit, Set("data.amount", r#""Infinity""#)),
    kind(AMOUNT, "amount-arabic-digits", Deposit, Set("data.amount", r#""١٢""#)),
    kind(AMOUNT, "amount-full-width", Deposit, Set("data.amount", r#""１２""#)),
    kind(
        AMOUNT,
        "amount-unlisted-zero",
        Deposit,
        Set("data", r#"{"account":"u-000001","asset":"DOGE","amount":"0"}"#),
    ),
    kind(AMOUNT, "amount-too-precise", Deposit, TooPrecise("data.amount")),
    kind(AMOUNT, "amount-too-large", Deposit, TooLarge("data.amount")),
    kind(
        AMOUNT,
        "amount-beyond-128-bits",
        Transfer,
        Set(
            "data.amount",
            r#""999999999999999999999999999999999999999999999999999999999999""#,
        ),
    ),
    // Fees: a bad fee rejects the whole event.
    kind(
        EVENT,
        "fee-amount-twice",
        Withdrawal,
        Set("data.fee.amount", r#""1","amount":"1""#),
    ),
    kind(EVENT, "fee-string", Withdrawal, Set("data.fee", r#""0.1""#)),
    kind(EVENT, "fee-array", Withdrawal, Set("data.fee", "[]")),
    kind(EVENT, "fee-no-asset", Withdrawal, Drop("data.fee.asset")),
    kind(EVENT, "fee-no-amount", Withdrawal, Drop("data.fee.amount")),
    kind(
        AMOUNT,
        "fee-two-signs",
        Withdrawal,
        Set("data.fee.amount", r#""--0.1""#),
    ),
    kind(AMOUNT, "fee-sign-only", Withdrawal, Set("data.fee.amount", r#""-""#)),
    kind(AMOUNT, "fee-too-precise", Withdrawal, TooPrecise("data.fee.amount")),
    kind(
        AMOUNT,
        "seller-fee-exponent",
        Trade,
        Set("data.seller.fee", r#"{"asset":"USDT","amount":"1E1"}"#),
    ),
    // Trades.
    kind(EVENT, "no-quote-asset", Trade, Drop("data.quote_asset")),
    kind(EVENT, "no-price", Trade, Drop("data.price")),
    kind(EVENT, "no-quantity", Trade, Drop("data.quantity")),
    kind(
        EVENT,
        "no-customer",
        Trade,
        Set(
            "data",
            r#"{"base_asset":"DOGE","quote_asset":"USDT","price":"3","quantity":"2"}"#,
        ),
    ),
    kind(
        EVENT,
        "no-customer-null",
        Trade,
        Set(
            "data",
            r#"{"base_asset":"DOGE","quote_asset":"USDT","price":"3","quantity":"2","buyer":null,"seller":null}"#,
        ),
    ),
    kind(EVENT, "buyer-string", Trade, Set("data.buyer", r#""u-000001""#)),
    kind(EVENT, "no-seller-account", Trade, Drop("data.seller.account")),
    kind(AMOUNT, "price-minus-zero", Trade, Set("data.price", r#""-0.0""#)),
    kind(AMOUNT, "price-number", Trade, Set("data.price", "1.25")),
    kind(AMOUNT, "price-negative", Trade, Set("data.price", r#""-3""#)),
    kind(AMOUNT, "quantity-zero", Trade, Set("data.quantity", r#""0""#)),
    kind(AMOUNT, "quote-product-inexact", Trade, TooPrecise("data.price")),
    kind(
        AMOUNT,
        "quote-product-too-long",
        Trade,
        Set(
            "data.price",
            r#""1.0000000000000000000000000000000000000000000000000000000000000000000000000000000000000001""#,
        ),
    ),
    kind(
        AMOUNT,
        "quote-quantity-negative",
        Trade,
        Set("data.quote_quantity", r#""-1""#),
    ),
    kind(AMOUNT, "quote-quantity-null", Trade, Set("data.quote_quantity", "null")),
    kind(
        AMOUNT,
        "quote-quantity-too-precise",
        Trade,
        TooPrecise("data.quote_quantity"),
    ),
    // Adjustments and statuses.
    kind(EVENT, "no-delta", Adjustment, Drop("data.delta")),
    kind(EVENT, "no-reason", Adjustment, Drop("data.reason")),
    kind(AMOUNT, "delta-zero", Adjustment, Set("data.delta", r#""-0.0""#)),
    kind(AMOUNT, "delta-two-signs", Adjustment, Set("data.delta", r#""+-1""#)),
    kind(AMOUNT, "delta-sign-only", Adjustment, Set("data.delta", r#""-""#)),
    kind(AMOUNT, "delta-number", Adjustment, Set("data.delta", "-5")),
    kind(AMOUNT, "delta-too-large", Adjustment, TooLarge("data.delta")),
    kind(EVENT, "no-status", Status, Drop("data.status")),
    kind(EVENT, "status-unknown", Status, Set("data.status", r#""frozen""#)),
    kind(EVENT, "status-case", Status, Set("data.status", r#""Enrolled""#)),
    kind(EVENT, "status-null", Status, Set("data.status", "null")),
    kind(EVENT, "status-no-account", Status, Drop("data.account")),
];
