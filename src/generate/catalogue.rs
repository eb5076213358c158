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

/// The rates that closes of an asset name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rates {
    None,
    /// Some closes replace the programme's yearly rate.
    Apr,
    /// Each close names what a coin is worth in the reward asset.
    Reward,
}

/// What treasury does about the gate of an asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GateKind {
    None,
    /// Every epoch is held: released at once, or void and closed again, or released in the next stage.
    Always,
    /// Each epoch is released in the next stage. If no limit held it, the release is rejected.
    Limits,
}

/// An asset is withdrawn, and listed again with a gap of some stages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Relisting {
    /// The withdrawal is published in this stage. Its epoch is the last one.
    pub(crate) withdrawn: u32,
    /// The first stage of the new listing.
    pub(crate) listed: u32,
    pub(crate) first_epoch: u32,
    /// At least those of the old listing, so that all amounts remain exact.
    pub(crate) decimals: u8,
    pub(crate) programme: &'static str,
}

/// What only some assets have.
#[derive(Debug, Clone, Copy)]
struct Extras {
    first_epoch: u32,
    /// Symbol, decimals and price of the reward asset.
    reward: Option<(&'static str, u8, u64)>,
    rates: Rates,
    gate: GateKind,
    relisting: Option<Relisting>,
}

const PLAIN: Extras = Extras {
    first_epoch: 0,
    reward: None,
    rates: Rates::None,
    gate: GateKind::None,
    relisting: None,
};

/// A listed asset with its programmes.
#[derive(Debug, Clone)]
pub(crate) struct ListedCoin {
    pub(crate) coin: Coin,
    /// What rewards are paid in, if it is another asset.
    pub(crate) reward: Option<Coin>,
    /// The stage of its first epoch: its anchor is this many epochs after the anchor of the bus.
    pub(crate) first_stage: u32,
    /// The number of its first epoch.
    pub(crate) first_epoch: u32,
    /// The `programme` object of the listing.
    pub(crate) programme: &'static str,
    pub(crate) changes: &'static [ProgrammeChange],
    pub(crate) rates: Rates,
    pub(crate) gate: GateKind,
    pub(crate) relisting: Option<Relisting>,
}

impl ListedCoin {
    /// What rewards are paid in.
    pub(crate) fn paid_in(&self) -> &Coin {
        self.reward.as_ref().unwrap_or(&self.coin)
    }
}

struct CatalogueRow(
    &'static str,
    u8,
    u64,
    u32,
    &'static str,
    &'static [ProgrammeChange],
    Extras,
);

const ROWS: [CatalogueRow; 12] = [
    CatalogueRow(
        "ATOM",
        6,
        4_250_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"0.5","max_balance":"10000","commission_rate":"0.10","tiers":[{"up_to":"100","multiplier":"1"},{"up_to":null,"multiplier":"1.5"}],"min_payout":"0.0001","payout_decimals":6,"enrolment":"automatic","late_policy":"resettle"}"#,
        &[
            // Replaced before it comes into force.
            ProgrammeChange {
                stage: 0,
                programme: r#"{"from_epoch":5,"mode":"pool","commission_rate":"1"}"#,
            },
            ProgrammeChange {
                stage: 1,
                programme: r#"{"from_epoch":3,"mode":"pool","min_balance":"1","max_balance":"25000","commission_rate":"0.05","tiers":[{"up_to":"50","multiplier":"0.5"},{"up_to":"1000","multiplier":"1"},{"up_to":null,"multiplier":"1.25"}],"min_payout":"0.01","payout_decimals":4}"#,
            },
        ],
        PLAIN,
    ),
    CatalogueRow(
        "SOL",
        9,
        160_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.061","min_balance":"0.02","max_balance":"500","min_payout":"0.0002","payout_decimals":6}"#,
        &[],
        Extras {
            rates: Rates::Apr,
            ..PLAIN
        },
    ),
    CatalogueRow(
        "ETH",
        18,
        2_500_000_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"0.001","max_balance":"500","commission_rate":"0.15","min_payout":"0.00001","payout_decimals":8,"enrolment":"opt_in","late_policy":"forfeit"}"#,
        &[],
        PLAIN,
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
                programme: r#"{"from_epoch":4,"mode":"pool","scope":"owner","max_balance":"50000","payout_decimals":2,"late_policy":"forfeit"}"#,
            },
        ],
        PLAIN,
    ),
    CatalogueRow(
        "币安人生",
        0,
        12_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.2","min_balance":"1","max_balance":"100000","min_payout":"0.01","payout_decimals":3}"#,
        &[],
        Extras {
            reward: Some(("USDT", 6, 1_000_000)),
            rates: Rates::Reward,
            ..PLAIN
        },
    ),
    CatalogueRow(
        "DOT.S",
        10,
        6_000_000,
        1,
        r#"{"from_epoch":100,"mode":"apr","tiers":[{"up_to":"5","apr":"0"},{"up_to":"250","apr":"0.145"},{"up_to":null,"apr":"0.031234567890123456"}],"payout_decimals":5,"enrolment":"opt_in","late_policy":"resettle"}"#,
        &[],
        Extras {
            first_epoch: 100,
            ..PLAIN
        },
    ),
    CatalogueRow(
        "NEAR",
        18,
        5_000_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","commission_rate":"1","late_policy":"forfeit"}"#,
        &[ProgrammeChange {
            stage: 0,
            programme: r#"{"from_epoch":1,"mode":"pool","scope":"owner","commission_rate":"0.123456789012345678","max_balance":"100","min_payout":"0.000000000000000001"}"#,
        }],
        PLAIN,
    ),
    CatalogueRow(
        "SUI",
        9,
        3_000_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","gate":"always"}"#,
        &[],
        Extras {
            gate: GateKind::Always,
            ..PLAIN
        },
    ),
    CatalogueRow(
        "TON",
        9,
        5_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","apr":"0.031234567890123456","max_balance":null,"commission_rate":"0.0","late_policy":"carry","gate":{"max_payout":"1000000","max_total":"100000000","max_change":"0.02"}}"#,
        &[],
        Extras {
            rates: Rates::Apr,
            gate: GateKind::Limits,
            ..PLAIN
        },
    ),
    CatalogueRow(
        "POL",
        18,
        400_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","scope":"owner","min_balance":"500","max_balance":"500000","tiers":[{"up_to":"1000.5","multiplier":"0.333333"},{"up_to":"10000","multiplier":"0.999999"},{"up_to":null,"multiplier":"1"}],"min_payout":"0.5","payout_decimals":2}"#,
        &[],
        Extras {
            reward: Some(("USDC", 6, 1_000_000)),
            ..PLAIN
        },
    ),
    CatalogueRow(
        "ALGO",
        8,
        200_000,
        0,
        r#"{"from_epoch":0,"mode":"pool","min_balance":"1000.000","commission_rate":"0.2","min_payout":"100","payout_decimals":3,"enrolment":"opt_in"}"#,
        &[],
        Extras {
            relisting: Some(Relisting {
                withdrawn: 2,
                listed: 4,
                first_epoch: 10,
                decimals: 10,
                programme: r#"{"from_epoch":10,"mode":"pool","late_policy":"carry"}"#,
            }),
            ..PLAIN
        },
    ),
    CatalogueRow(
        "XTZ",
        6,
        1_000_000,
        0,
        r#"{"from_epoch":0,"mode":"apr","scope":"owner","tiers":[{"up_to":"2000","apr":"0.055"},{"up_to":null,"apr":"0.0275"}],"min_payout":"0.02"}"#,
        &[],
        Extras {
            reward: Some(("EURC", 2, 1_080_000)),
            rates: Rates::Reward,
            ..PLAIN
        },
    ),
];

/// Symbols of the assets after the table. They use the table's programmes from the start again.
const MORE: [&str; 12] = [
    "KSM", "AVAX", "APT", "INJ", "TIA", "SEI", "OSMO", "EGLD", "FLOW", "MINA", "CELO", "KAVA",
];

/// The first `count` assets. An asset has the same place for every count.
pub(crate) fn assets(count: u32) -> Vec<ListedCoin> {
    let of_row = |(number, row): (usize, &CatalogueRow)| {
        let CatalogueRow(name, decimals, price, first_stage, programme, changes, extras) = *row;
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
            reward: extras.reward.map(|(symbol, decimals, price)| Coin {
                symbol: symbol.to_owned(),
                decimals,
                price,
            }),
            first_stage,
            first_epoch: extras.first_epoch,
            programme,
            changes,
            rates: extras.rates,
            gate: extras.gate,
            relisting: extras.relisting,
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
