//! The flags. Each has an environment variable, and each secret may be in a file.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use super::failure::Failure;

/// Properties with which the client would load native code, run a shell command, or send files to another server. A name that ends with a point
/// means all names that begin with it. Nothing here needs them.
const DANGEROUS: [&str; 7] = [
    "plugin.",
    "ssl.engine.",
    "ssl.providers",
    "sasl.kerberos.",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.file",
];

/// Pays Softstake's distributions into a database, each exactly once.
#[derive(Debug, Parser)]
#[command(
    version,
    after_help = "\
A command line is visible to everybody on the machine. So give secrets in files (--database-file, -F), or in the variables."
)]
pub struct Flags {
    /// Kafka's bootstrap servers
    #[arg(long, env = "PAYOUT_BROKERS", value_name = "HOST:PORT,...")]
    pub brokers: String,

    /// The database: sqlite:PATH or postgres://USER@HOST/NAME
    #[arg(long, env = "PAYOUT_DATABASE", hide_env_values = true, value_name = "URL")]
    #[arg(required_unless_present = "database_file", conflicts_with = "database_file")]
    database: Option<String>,

    /// A file with the URL of the database
    #[arg(long, env = "PAYOUT_DATABASE_FILE", value_name = "PATH")]
    database_file: Option<PathBuf>,

    /// A property of librdkafka, such as security.protocol=SASL_SSL; in the variable one per line
    #[arg(
        short = 'X',
        env = "PAYOUT_PROPERTIES",
        hide_env_values = true,
        value_name = "KEY=VALUE"
    )]
    #[arg(value_parser = property, value_delimiter = '\n')]
    properties: Vec<(String, String)>,

    /// A property whose value is in a file, such as sasl.password=/run/secrets/kafka; in the variable one per line
    #[arg(short = 'F', env = "PAYOUT_FILES", value_name = "KEY=PATH")]
    #[arg(value_parser = property, value_delimiter = '\n')]
    files: Vec<(String, String)>,

    /// The topic for the executions, `payout.executed.v1`
    #[arg(
        long,
        env = "PAYOUT_EXECUTIONS",
        default_value = "payout.executions",
        value_name = "TOPIC"
    )]
    pub executions: String,

    /// The name of this payout service on Kafka: its transactional id, and the group that keeps its position
    #[arg(long, env = "PAYOUT_NAME", default_value = "softstake-payout", value_name = "NAME")]
    pub name: String,

    /// How many records to keep, and how many distributions to credit or publish, in one transaction
    #[arg(long, env = "PAYOUT_BATCH", default_value_t = 1000, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=5000))]
    pub batch: u16,

    /// Exit once every record is read and every payable distribution is paid and its execution published
    #[arg(long, env = "PAYOUT_UNTIL_IDLE")]
    pub until_idle: bool,
}

impl Flags {
    /// The URL of the database.
    ///
    /// # Errors
    /// If its file cannot be read.
    pub fn database(&self) -> Result<String, Failure> {
        match (&self.database, &self.database_file) {
            (_, Some(path)) => secret("--database-file", path),
            (url, None) => Ok(url.clone().unwrap_or_default()),
        }
    }

    /// The properties of librdkafka, with the values that are in files.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn properties(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut properties = self.properties.clone();
        for (key, path) in &self.files {
            properties.push((key.clone(), secret(key, Path::new(path))?));
        }
        Ok(properties)
    }
}

/// The text in the file for `name`. Such a file mostly ends in a line feed, which is no part of the secret.
fn secret(name: &str, path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path)
        .map_err(|error| Failure::Stop(format!("{name}: the file {path:?} cannot be read: {error}")))?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn property(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("there is no = in it")?;
    let is_named = |entry: &str| key == entry || entry.ends_with('.') && key.starts_with(entry);
    if DANGEROUS.iter().any(|entry| is_named(entry)) {
        return Err(format!(
            "{key} cannot be set: the client would load or run other code, or send files away"
        ));
    }
    Ok((key.to_owned(), value.to_owned()))
}
