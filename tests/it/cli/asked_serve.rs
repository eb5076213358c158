//! What `serve` is asked for and is not there, and the token of the processor: the rows of the table in `asked`.

/// Files, addresses and settings that are wrong. It never begins to serve.
pub const SERVE: &[(&str, i32, &str)] = &[
    ("serve --config FILE/misspelt.toml", 2, "did you mean `partitions`?"),
    (
        "serve --bus BUS --view FILE/view --listen 0.0.0.0:0",
        2,
        "give --token-keys FILE or --token-jwks-url URL",
    ),
    (
        "serve --bus BUS --view FILE/view --token-keys FILE/none.pem --audit-log NEW",
        2,
        "the file of keys",
    ),
    (
        "serve --bus BUS --view FILE/view --token-jwks-url http://10.0.0.1/ --audit-log NEW",
        2,
        "it must begin with https://",
    ),
    (
        "serve --bus BUS --view FILE/view --tls-certificate FILE/none.pem --tls-key FILE/none.key",
        2,
        "cannot read the certificate file",
    ),
    (
        "serve --bus BUS --view FILE/view --processors nowhere --processors-token-file FILE/none",
        2,
        "\"nowhere\" must be host:port",
    ),
    (
        "run --until-idle --bus BUS --state STATE --monitor-listen 127.0.0.1:0 --monitor-token-file FILE/none",
        2,
        "which cannot be read",
    ),
];

/// Flags of `serve` whose values name nothing that a bus could lack.
pub const SERVE_NAMES_NOTHING: &[&str] = &[
    "--audit-log",
    "--behind-proxy",
    "--connections",
    "--kafka-instance",
    "--listen",
    "--log-format",
    "--log-level",
    "--reconcile-results",
    "--refusals-per-minute",
    "--requests-per-minute",
    "--threads",
    "--token-audience",
    "--token-issuer",
    "--view",
];
