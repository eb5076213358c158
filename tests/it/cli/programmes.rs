//! The programmes in `examples/programmes`: each is accepted, is explained in the words that its comment promises, and pays what its product's
//! example pays.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::events::{deposit, event};
use crate::common::records::text;
use crate::common::{Place, softstake, succeed};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/programmes")
}

/// Each file, and sentences of `check --programme`.
const WORDS: &[(&str, &[&str])] = &[
    (
        "binance_bnb.toml",
        &[
            "BNB has 8 decimals. Its epochs last 1 day; epoch 0 starts at 2026-11-01T00:00:00.000Z.",
            "weight earns 0.095 % per year",
            "An average balance below 0.5 BNB earns nothing; the part above 1000 BNB does not count.",
            "Only accounts take part that are enrolled when the epoch starts.",
        ],
    ),
    (
        "gate_sui.toml",
        &[
            "weight earns 1.001 % per year of 365 days, or the rate that a close gives",
            "An average balance below 100 SUI earns nothing; the part above 500000 SUI does not count.",
        ],
    ),
    (
        "kucoin_hold_to_earn_sol.toml",
        &[
            "epoch 0 starts at 2026-10-31T16:00:00.000Z",
            "An average balance below 0.02 SOL earns nothing; the part above 10000 SOL does not count.",
            "The balances of all accounts of one owner are taken together for this",
        ],
    ),
    (
        "kucoin_2019_atom.toml",
        &[
            "are shared by weight, after a commission of 0 %.",
            "less than 0.000001 ATOM is withheld until it adds up",
            "Every account takes part that has not opted out",
        ],
    ),
    (
        "bybit_flexible_usdt.toml",
        &[
            "Its epochs last 1 hour; epoch 0 starts at 2026-11-01T10:00:00.000Z.",
            "Rewards are paid in USDT, which has 6 decimals.",
            "  from 200 USDT.FLEX to 1000 USDT.FLEX: 2 %",
            "Each close gives the rate from USDT.FLEX to USDT.",
        ],
    ),
    (
        "okx_auto_earn_usdt.toml",
        &[
            "Its epochs last 1 hour",
            "Of an average balance, at most 1000000 USDT counts.",
            "The balances of all accounts of one owner are taken together for this",
            "Only accounts take part that are enrolled",
        ],
    ),
    (
        "kraken_dot.toml",
        &[
            "DOT.S has 10 decimals. Its epochs last 7 days",
            "Rewards are paid in DOT, which has 10 decimals.",
            "after a commission of 20 %.",
            "Payouts are cut to multiples of 0.00000001 DOT",
            "rewards that differ by more than 50 % from the epoch before",
        ],
    ),
    (
        "coinbase_eth.toml",
        &[
            "after a commission of 35 %.",
            "Payouts are cut to multiples of 0.000000000001 ETH",
        ],
    ),
    (
        "bitget_2022_usdt.toml",
        &[
            "  from 0 USDT to 500 USDT: 12 %",
            "  from 500 USDT to 5000 USDT: 0.8 %",
            "  above 5000 USDT: 0.3 %",
        ],
    ),
    (
        "kucoin_2022_usdt.toml",
        &["  from 0 USDT to 1000 USDT: 3 %", "  above 1000 USDT: 1.5 %"],
    ),
    (
        "htx_usdt.toml",
        &[
            "  from 0 USDT to 2000 USDT: 10 %",
            "  from 2000 USDT to 5000 USDT: 8 %",
            "  above 5000 USDT: 5 %",
        ],
    ),
];

#[test]
fn every_programme_is_explained_as_its_comment_says() {
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the programmes")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    let known: BTreeSet<String> = WORDS.iter().map(|(file, _)| (*file).to_owned()).collect();
    assert_eq!(files, known, "each file has its words here");
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/programmes.md")).expect("the page");
    for (file, words) in WORDS {
        let path = folder().join(file);
        let output = succeed(softstake().arg("check").arg("--programme").arg(&path));
        let explained = String::from_utf8(output.stdout).expect("text");
        for expected in *words {
            assert!(explained.contains(expected), "{file} has no `{expected}`:\n{explained}");
        }
        assert!(explained.contains("Example: "), "{file}:\n{explained}");
        let comment = fs::read_to_string(&path).expect("a file");
        assert!(
            comment.starts_with("# ") && comment.contains("# Expressed: "),
            "{file} says what it models"
        );
        assert!(
            page.contains(&format!("../examples/programmes/{file}")),
            "the page has no {file}"
        );
    }
}

/// Lists a programme from its file, and settles one epoch for a constant balance. Returns what is paid.
fn paid(file: &str, asset: &str, balance: &str, opts_in: bool) -> String {
    let place = Place::new();
    let mut list = softstake();
    list.args(["control", "list"]).arg(folder().join(file));
    list.args(["--yes", "--timeout", "1", "--bus"])
        .arg(format!("dir:{}", place.bus().display()));
    // Nothing runs yet, so there is no decision.
    let published = list.output().expect("the program starts");
    assert_eq!(
        published.status.code(),
        Some(3),
        "{}",
        String::from_utf8_lossy(&published.stderr)
    );
    if opts_in {
        let status = serde_json::json!({"account": "ann", "status": "enrolled"});
        place.append(
            "exchange.accounts",
            0,
            [event("in", "exchange.account_status.v1", -1, &status)],
        );
    }
    place.append("exchange.deposits", 0, [deposit("d", 0, "ann", asset, balance)]);
    let data = serde_json::json!({"asset": asset, "epoch": 0});
    place.append(
        "softstake.control",
        0,
        [event("close", "softstake.epoch_close.v1", 86_400_000, &data)],
    );
    place.run(Some(2));
    let paid = place.records("softstake.distributions");
    assert_eq!(paid.len(), 1, "{file}");
    text(&paid[0]["data"]["amount"]).to_owned()
}

/// A day of the examples that the exchanges published.
#[test]
fn published_examples_are_paid() {
    for (file, asset, balance, opts_in, expected) in [
        // 111 a year.
        ("bitget_2022_usdt.toml", "USDT", "10000", false, "0.30410958"),
        // 165 a year.
        ("kucoin_2022_usdt.toml", "USDT", "10000", false, "0.45205479"),
        // 640 a year.
        ("htx_usdt.toml", "USDT", "9000", false, "1.75342465"),
        ("gate_sui.toml", "SUI", "100", true, "0.00274246"),
        ("binance_bnb.toml", "BNB", "2.14", true, "0.00000556"),
    ] {
        assert_eq!(paid(file, asset, balance, opts_in), expected, "{file}");
    }
}
