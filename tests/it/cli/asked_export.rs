//! What `export` and `reconcile payouts` are asked for and is not there, and periods that `statement` and `query` are asked for: more rows of the table
//! in `asked`.

/// Assets, accounts, periods and credits that are not there.
pub const EXPORT: &[(&str, i32, &str)] = &[
    ("reconcile payouts --acks FILE/none.jsonl --bus BUS", 2, "none.jsonl"),
    (
        "reconcile payouts --bus BUS",
        3,
        "there is no topic payout.executions in ",
    ),
    (
        "reconcile payouts --bus BUS --executions other.executions",
        3,
        "there is no topic other.executions in ",
    ),
    (
        "statement --bus BUS --from 2026-11-05 --to 2026-11-02",
        2,
        "no moment is in the period",
    ),
    ("statement --bus BUS --from yesterday", 2, "nor a date such as"),
    (
        "statement --bus BUS --from 2026-11-01 --to-epoch 3",
        2,
        "cannot be used with",
    ),
    (
        "statement --bus BUS --asset ATOM --from 2026-11-02 --to 2026-11-09",
        3,
        "ATOM epochs 2 to 7 (2026-11-03T00:00:00.000Z to 2026-11-09T00:00:00.000Z) are not closed",
    ),
    (
        "statement --bus BUS --from 2027-01-01",
        3,
        "nothing of what was asked for is there: ATOM epoch 61",
    ),
    (
        "statement --bus BUS --to 2026-11-01",
        3,
        "no epoch of any asset has its last moment before 2026-11-01T00:00:00.000Z",
    ),
    (
        "query distributions ann --bus BUS --from 2026-11-05 --to 2026-11-02",
        2,
        "no moment is in the period",
    ),
    (
        "query distributions ann --bus BUS --to tomorrow",
        2,
        "nor a date such as",
    ),
    (
        "query distributions ann --bus BUS --asset ATOM --from 2026-11-02 --to 2026-11-09",
        3,
        "ATOM epochs 2 to 7 (2026-11-03T00:00:00.000Z to 2026-11-09T00:00:00.000Z) are not closed",
    ),
    (
        "query distributions ann --bus BUS --to 2026-11-01",
        3,
        "no epoch of any asset has its last moment before 2026-11-01T00:00:00.000Z",
    ),
    (
        "query distributions nobody --bus BUS --asset ATOM --from 2026-11-02 --to 2026-11-03",
        3,
        "to nobody of ATOM for an epoch that has its last moment from 2026-11-02T00:00:00.000Z on and before 2026-11-03",
    ),
    ("export distributions --bus EMPTY", 3, "no asset is listed here"),
    ("export distributions --bus BUS --asset ATMO", 3, "did you mean ATOM?"),
    (
        "export distributions --bus BUS --account nobody --account ann",
        3,
        "nothing of what was asked for is of nobody",
    ),
    (
        "export distributions --bus BUS --accounts FILE/names.txt",
        3,
        "nothing of what was asked for is of bob, nobody",
    ),
    ("export distributions --bus BUS --accounts FILE/none.txt", 2, "none.txt"),
    (
        "export distributions --bus BUS --accounts FILE/no-rows.csv",
        3,
        "is of account,asset,balance,time",
    ),
    (
        "export distributions --bus BUS --asset ATOM --from 2026-11-02 --to 2026-11-09",
        3,
        "ATOM epochs 2 to 7 (2026-11-03T00:00:00.000Z to 2026-11-09T00:00:00.000Z) are not closed",
    ),
    (
        "export distributions --bus BUS --from 2027-01-01",
        3,
        "nothing of what was asked for is there: ATOM epoch 61",
    ),
    (
        "export distributions --bus BUS --to 2026-11-01",
        3,
        "no epoch of any asset has its last moment before 2026-11-01T00:00:00.000Z",
    ),
    (
        "export distributions --bus BUS --from 2026-11-05 --to 2026-11-02",
        2,
        "no moment is in the period",
    ),
    (
        "export distributions --bus BUS --from yesterday",
        2,
        "nor a date such as",
    ),
    (
        "export distributions --bus BUS --format parquet",
        2,
        "name it with --out",
    ),
    (
        "export distributions --bus BUS --unsealed --asset DOT",
        3,
        "no epoch is closed",
    ),
    (
        "export distributions --bus BUS --out FILE/new/none.csv",
        1,
        "cannot write ",
    ),
    ("export seals --bus BUS --asset DOT", 3, "no epoch is closed"),
    ("export seals --bus EMPTY", 3, "no asset is listed here"),
    (
        "export seals --bus BUS --asset SOL --to 2026-11-01",
        3,
        "no epoch of SOL has its last moment before",
    ),
    (
        "export seals --bus BUS --format jsonl --out NEW --spreadsheet",
        2,
        "for --format csv alone",
    ),
    ("export seals --bus BUS --format xml", 2, "'xml'"),
    ("export late-postings --bus BUS --asset ATMO", 3, "did you mean ATOM?"),
    (
        "export late-postings --bus BUS --account ann",
        3,
        "nothing of what was asked for is of ann",
    ),
    ("export late-postings --bus EMPTY", 3, "no asset is listed here"),
    (
        "export late-postings --bus BUS --to 2026-10-01",
        3,
        "no epoch of any asset has its last moment before",
    ),
    (
        "export tax nobody --year 2026 --bus BUS --acks FILE/acks.jsonl",
        3,
        "nobody has no sealed payout in 2026",
    ),
    (
        "export tax ann --year 2026 --by credit --bus BUS --acks FILE/acks.jsonl",
        3,
        "not everything that was asked for is there: ATOM epochs 2 to 60",
    ),
    (
        "export tax ann --year 2025 --bus BUS --acks FILE/acks.jsonl",
        3,
        "no epoch of any asset has its last moment from 2025-01-01T00:00:00.000Z on and before 2026-01-01T00:00:00.000Z",
    ),
    (
        "export tax ann --year 26 --bus BUS --acks FILE/acks.jsonl",
        2,
        "'--year <YEAR>'",
    ),
    (
        "export tax ann --year 2026 --bus BUS --acks FILE/none.jsonl",
        2,
        "none.jsonl",
    ),
    (
        "export tax ann --year 2026 --bus BUS --asset ATMO --acks FILE/acks.jsonl",
        3,
        "did you mean ATOM?",
    ),
    (
        "export tax ann --year 2026 --bus BUS --executions other.executions",
        3,
        "there is no topic other.executions in ",
    ),
];
