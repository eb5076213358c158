//! The assets of the synthetic bus and their programmes.

use crate::generate::draws::Draws;
use crate::generate::text::power_of_ten;

/// 2026-11-01T00:00:00Z
pub(crate) const ANCHOR_MS: i64 = 1_793_491_200_000;

/// An asset that is traded, listed or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Coin {
    pub(crate) symbol: String,
    pub(crate) decimals: u8,
    /// Price of one coin in millionths of a dollar. It keeps the amounts of different coins comparable.
    pub(crate) price: u64,
}

impl Coin {
    /// The units that `value` millionths of a dollar buy, cut to a drawn number of digits. At least one unit.
    pub(crate) fn units(&self, value: u64, draws: &mut Draws) -> u128 {
        let units = u128::from(value) * power_of_ten(u32::from(self.decimals)) / u128::from(self.price);
        let digits = match draws.below(10) {
            0..8 => self.decimals.min(u8::try_from(draws.below(5)).unwrap_or(0) + 2),
            _ => self.decimals,
        };
        let grain = power_of_ten(u32::from(self.decimals - digits));
        (units - units % grain).max(grain)
    }
}

/// A later programme of an asset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ProgrammeChange {
    /// Published in this stage, before its closes.
    pub(crate) stage: u32,
    pub(crate) programme: &'static str,
}

/// A listed asset with its programmes.
#[derive(Debug, Clone)]
pub(crate) struct ListedCoin {
    pub(crate) coin: Coin,
    /// The stage of its epoch 0: its anchor is this many epochs after the anchor of the bus.
    pub(crate) first_stage: u32,
    /// The `programme` object of the listing.
    pub(crate) programme: &'static str,
    pub(crate) changes: &'static [ProgrammeChange],
}

struct CatalogueRow(&'static str, u8, u64, u32, &'static str, &'static [ProgrammeChange]);

const ROWS: [CatalogueRow; 12] = [
    CatalogueRow(
        "ATOM",
        6,
        4_250_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"0.5","max_balance":"10000","commission_rate":"0.10","tiers":[{"up_to":"100","multiplier":"1"},{"up_to":null,"multiplier":"1.5"}],"min_payout":"0.0001","payout_decimals":6,"enrolment":"automatic","late_policy":"carry"}"#,
        &[ProgrammeChange {
            stage: 1,
            programme: r#"{"from_epoch":3,"mode":"pool","min_balance":"1","max_balance":"25000","commission_rate":"0.05","tiers":[{"up_to":"50","multiplier":"0.5"},{"up_to":"1000","multiplier":"1"},{"up_to":null,"multiplier":"1.25"}],"min_payout":"0.01","payout_decimals":4}"#,
        }],
    ),
    CatalogueRow(
        "SOL",
        9,
        160_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.061","min_balance":"0.02","max_balance":"500","min_payout":"0.0002","payout_decimals":6}"#,
        &[],
    ),
    CatalogueRow(
        "ETH",
        18,
        2_500_000_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"0.001","max_balance":"500","commission_rate":"0.15","min_payout":"0.00001","payout_decimals":8,"enrolment":"opt_in","late_policy":"forfeit"}"#,
        &[],
    ),
    CatalogueRow(
        "ADA",
        6,
        500_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"150","min_payout":"1","late_policy":"carry"}"#,
        &[
            ProgrammeChange {
                stage: 0,
                programme: r#"{"from_epoch":2,"mode":"apr","apr":"0.0275","min_balance":"150","tiers":[{"up_to":"1000","multiplier":"0"},{"up_to":"20000","multiplier":"1.000001"},{"up_to":null,"multiplier":"0.75"}],"min_payout":"0.5"}"#,
            },
            ProgrammeChange {
                stage: 2,
                programme: r#"{"from_epoch":4,"mode":"pool","max_balance":"50000","payout_decimals":2,"late_policy":"forfeit"}"#,
            },
        ],
    ),
    CatalogueRow(
        "币安人生",
        0,
        12_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.2","min_balance":"1","max_balance":"100000","min_payout":"1","payout_decimals":0}"#,
        &[],
    ),
    CatalogueRow(
        "DOT.S",
        10,
        6_000_000,
        1,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.145","tiers":[{"up_to":"5","multiplier":"0"},{"up_to":"250","multiplier":"1"},{"up_to":null,"multiplier":"100"}],"payout_decimals":5,"enrolment":"opt_in","late_policy":"forfeit"}"#,
        &[],
    ),
    CatalogueRow(
        "NEAR",
        18,
        5_000_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","commission_rate":"1","late_policy":"forfeit"}"#,
        &[ProgrammeChange {
            stage: 0,
            programme: r#"{"from_epoch":1,"mode":"pool","commission_rate":"0.123456789012345678","max_balance":"100","min_payout":"0.000000000000000001"}"#,
        }],
    ),
    CatalogueRow("SUI", 9, 3_000_000, 0, r#"{"from_epoch":0,"mode":"pool"}"#, &[]),
    CatalogueRow(
        "TON",
        9,
        5_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.031234567890123456","max_balance":null,"commission_rate":"0.0","late_policy":"forfeit"}"#,
        &[],
    ),
    CatalogueRow(
        "POL",
        18,
        400_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"500","max_balance":"500000","tiers":[{"up_to":"1000.5","multiplier":"0.333333"},{"up_to":"10000","multiplier":"0.999999"},{"up_to":null,"multiplier":"1"}],"min_payout":"0.5","payout_decimals":2}"#,
        &[],
    ),
    CatalogueRow(
        "ALGO",
        8,
        200_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"1000.000","commission_rate":"0.2","payout_decimals":3,"enrolment":"opt_in"}"#,
        &[],
    ),
    CatalogueRow(
        "XTZ",
        6,
        1_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.055","tiers":[{"up_to":null,"multiplier":"1"}],"min_payout":"0.002"}"#,
        &[],
    ),
];

/// Symbols of the assets after the table. They use the table's programmes from the start again.
const MORE: [&str; 12] = [
    "KSM", "AVAX", "APT", "INJ", "TIA", "SEI", "OSMO", "EGLD", "FLOW", "MINA", "CELO", "KAVA",
];

/// The first `count` assets. An asset has the same place for every count.
pub(crate) fn assets(count: u32) -> Vec<ListedCoin> {
    let of_row = |(number, row): (usize, &CatalogueRow)| {
        let CatalogueRow(name, decimals, price, first_stage, programme, changes) = *row;
        let symbol = match number.checked_sub(ROWS.len()) {
            None => name.to_owned(),
            Some(more) => MORE
                .get(more)
                .map_or_else(|| format!("A{number}"), |&name| name.to_owned()),
        };
        ListedCoin {
            coin: Coin {
                symbol,
                decimals,
                price,
            },
            first_stage,
            programme,
            changes,
        }
    };
    let rows = ROWS.iter().cycle().take(count as usize);
    rows.enumerate().map(of_row).collect()
}

/// Assets that are traded and deposited, but never listed.
pub(crate) fn unlisted() -> Vec<Coin> {
    let coins = [
        ("USDT", 6, 1_000_000),
        ("BTC", 8, 65_000_000_000),
        ("DOGE", 8, 150_000),
        ("EUR", 2, 1_080_000),
        ("1INCH", 18, 300_000),
        ("USDe", 18, 1_000_000),
    ];
    let coin = |(symbol, decimals, price): (&str, u8, u64)| Coin {
        symbol: symbol.to_owned(),
        decimals,
        price,
    };
    coins.into_iter().map(coin).collect()
}
