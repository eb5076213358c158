//! `softstake serve`: what was published, over HTTP, for those who may see it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Instant, SystemTime};

use crate::bus::archive::ArchiveBus;
use crate::cli::flags::{KafkaFlags, given};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::private::keep_files_private;
use crate::cli::{bus, logging, signals};
use crate::config::{BusAddress, ConfigError, Key, Loaded, LogFormat, ServeConfig};
use crate::serve::api::{self, Api};
use crate::serve::auth::{AccessSettings, KeySource, TokenRules};
use crate::serve::credits::{DirCredits, KafkaCredits};
use crate::serve::http::{ServeError, ServeParts, Serving, TlsFiles, run};
use crate::serve::metrics::ObservedServe;
use crate::serve::processors::Processors;
use crate::serve::reconciliations::ReconciliationFolder;
use crate::serve::view::{CreditSource, View, ViewError};
use crate::serve::{pages, probes};

/// Show what was published: an API over HTTP, and pages for customers, support, operators, treasury, finance and auditors
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It reads the bus into a view of its own, which may be deleted at any time, and writes nothing to the bus. Any number of instances may run.
On 127.0.0.1 and without keys, everybody on this machine sees everything. On any other address it needs keys, and TLS or a proxy that ends it.

Example:
  softstake serve --bus dir:bus --view view
  softstake serve --bus kafka --view view --listen 0.0.0.0:8420 --token-keys keys.json --audit-log reads.jsonl \\
      --tls-certificate server.pem --tls-key server.key")]
pub(super) struct Serve {
    /// The configuration to read: a TOML file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The bus to read: dir:PATH, or kafka with the brokers under [kafka]
    #[arg(long, value_name = "dir:PATH|kafka")]
    bus: Option<String>,
    #[command(flatten)]
    kafka: KafkaFlags,
    #[command(flatten)]
    serve: ServeFlags,
    /// Reads at a time [default: two for each core]
    #[arg(long, value_name = "N")]
    threads: Option<String>,
    /// human or json [default: human]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// off, error, warn, info, debug or trace, also by target: info,softstake::bus=debug [default: info]
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// The settings of this command alone.
#[derive(Debug, clap::Args)]
pub(super) struct ServeFlags {
    /// The address to listen on; port 0 is any free one [default: 127.0.0.1:8420]
    #[arg(long, value_name = "IP:PORT")]
    listen: Option<String>,
    /// The folder of the view
    #[arg(long, value_name = "DIR")]
    view: Option<String>,
    /// The certificate with its chain, as PEM
    #[arg(long, value_name = "FILE")]
    tls_certificate: Option<String>,
    /// The private key of the certificate, as PEM
    #[arg(long, value_name = "FILE")]
    tls_key: Option<String>,
    /// The name of the proxy that ends TLS; its X-Forwarded-For is believed
    #[arg(long, value_name = "NAME")]
    behind_proxy: Option<String>,
    /// The public keys of tokens: PEM, or a set of JWKs
    #[arg(long, value_name = "FILE")]
    token_keys: Option<String>,
    /// The address at which the issuer of tokens publishes its keys
    #[arg(long, value_name = "URL")]
    token_jwks_url: Option<String>,
    /// The issuer that tokens must have, `iss`
    #[arg(long, value_name = "TEXT")]
    token_issuer: Option<String>,
    /// The audience that tokens must have, `aud`
    #[arg(long, value_name = "TEXT")]
    token_audience: Option<String>,
    /// The file that tells who has read which account: JSON lines; needed with keys
    #[arg(long, value_name = "FILE")]
    audit_log: Option<String>,
    /// Requests of one subject [default: 600]
    #[arg(long, value_name = "N")]
    requests_per_minute: Option<String>,
    /// Requests without a valid token, of one address [default: 60]
    #[arg(long, value_name = "N")]
    refusals_per_minute: Option<String>,
    /// Connections at a time [default: 512]
    #[arg(long, value_name = "N")]
    connections: Option<String>,
    /// The topic on which the payout service tells what it has credited
    #[arg(long, value_name = "TOPIC")]
    executions: Option<String>,
    /// The instances of `softstake run`, for estimates and for what they do: host:port of `monitor.listen`, separated by commas
    #[arg(long, value_name = "HOST:PORT,...")]
    processors: Option<String>,
    /// File with the token of those instances, `monitor.token_file`
    #[arg(long, value_name = "FILE")]
    processors_token_file: Option<String>,
    /// The folder of results of `softstake reconcile`, in JSON: NAME.json
    #[arg(long, value_name = "DIR")]
    reconcile_results: Option<String>,
}

impl ServeFlags {
    fn given(&self) -> Vec<(Key, String)> {
        given([
            (Key::ServeListen, &self.listen),
            (Key::ServeView, &self.view),
            (Key::ServeTlsCertificate, &self.tls_certificate),
            (Key::ServeTlsKey, &self.tls_key),
            (Key::ServeBehindProxy, &self.behind_proxy),
            (Key::ServeTokenKeys, &self.token_keys),
            (Key::ServeTokenJwksUrl, &self.token_jwks_url),
            (Key::ServeTokenIssuer, &self.token_issuer),
            (Key::ServeTokenAudience, &self.token_audience),
            (Key::ServeAuditLog, &self.audit_log),
            (Key::ServeRequestsPerMinute, &self.requests_per_minute),
            (Key::ServeRefusalsPerMinute, &self.refusals_per_minute),
            (Key::ServeConnections, &self.connections),
            (Key::ServeExecutions, &self.executions),
            (Key::ServeProcessors, &self.processors),
            (Key::ServeProcessorsTokenFile, &self.processors_token_file),
            (Key::ServeReconcileResults, &self.reconcile_results),
        ])
    }
}

impl Serve {
    pub(super) fn run(&self) -> Outcome {
        // The view has accounts and amounts.
        keep_files_private();
        let loaded = self.load()?;
        drop(logging::begin(&loaded)?);
        work(&loaded).map_err(|failure| match (loaded.config.log.format, &failure) {
            // With JSON logs, stderr has nothing but JSON.
            (LogFormat::Json, Failure::Usage(error) | Failure::Failed(error)) => {
                tracing::error!(error, "failed");
                Failure::Logged(Box::new(failure))
            }
            _ => failure,
        })
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let mut flags = given([
            (Key::Bus, &self.bus),
            (Key::Threads, &self.threads),
            (Key::LogFormat, &self.log_format),
            (Key::LogLevel, &self.log_level),
        ]);
        flags.extend(self.kafka.given());
        flags.extend(self.serve.given());
        Loaded::of_process(self.config.as_deref(), &flags)
    }
}

fn work(loaded: &Loaded) -> Outcome {
    let started = (SystemTime::now(), Instant::now());
    let serving = serving(loaded)?;
    serving.check().map_err(|error| refused(loaded, error))?;
    let path = loaded.config.serve.view.as_ref();
    let path = path.ok_or(ConfigError::Missing(Key::ServeView))?;
    let stop = signals::stop_on_signals(0)?;
    let Some(log) = bus::read_only(loaded.bus()?, &loaded.config, &stop)? else {
        return Ok(());
    };
    let view = Arc::new(View::open(path, log.identity())?);
    let credits = credits(loaded, &stop)?;
    let follows_credits = credits.is_some();
    let processors = processors(&loaded.config.serve)?.map(Arc::new);
    let results = loaded.config.serve.reconcile_results.clone();
    let results = results.map(|path| Arc::new(ReconciliationFolder::new(path)));
    let follower = {
        let (view, stop) = (Arc::clone(&view), Arc::clone(&stop));
        thread::Builder::new().name("follow".into()).spawn(move || {
            // Without news of the bus, answers would be old without a sign of it.
            let _ends = StopAtEnd(Arc::clone(&stop));
            view.follow(log.as_ref(), credits, &stop)
        })
    };
    let follower =
        follower.map_err(|error| Failure::Failed(format!("cannot start the thread that reads the bus: {error}")))?;
    let manner = manner(&serving);
    let began = |address| tracing::info!("serving on {}{address}; {}", manner.0, manner.1);
    let paths = |parts: &ServeParts| {
        let api = Api::new(Arc::clone(&view), parts.readers.clone(), processors.clone());
        let api = api
            .following_credits(follows_credits)
            .showing_reconciliations(results.clone());
        let guarded = api::routes(api);
        let observed = ObservedServe {
            view: Arc::clone(&view),
            access: Arc::clone(&parts.access),
            readers: parts.readers.clone(),
            requests: Arc::clone(&parts.requests),
            started,
        };
        (guarded, pages::routes().merge(probes::routes(observed)))
    };
    let served = run(serving, paths, &stop, began).map_err(|error| refused(loaded, error));
    stop.store(true, Ordering::Relaxed);
    let followed = follower.join();
    let followed = followed.map_err(|_| Failure::Failed("the thread that reads the bus panicked".into()))?;
    served.and(followed.map_err(Failure::from))
}

/// Stops the process when its thread ends, also by a panic.
struct StopAtEnd(Arc<AtomicBool>);

impl Drop for StopAtEnd {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Where estimates are asked for, if anywhere.
fn processors(config: &ServeConfig) -> Result<Option<Processors>, Failure> {
    match (&config.processors, &config.processors_token_file) {
        (None, None) => Ok(None),
        (Some(addresses), Some(file)) => Processors::new(addresses, file).map(Some).map_err(Failure::Usage),
        (given, _) => {
            let (is, is_not) = match given {
                Some(_) => (Key::ServeProcessors, Key::ServeProcessorsTokenFile),
                None => (Key::ServeProcessorsTokenFile, Key::ServeProcessors),
            };
            Err(Failure::Usage(format!(
                "`{}` is set, and `{}` is not: estimates need both, so give {}",
                is.name(),
                is_not.name(),
                is_not.flag()
            )))
        }
    }
}

/// The payout service's acknowledgements, if they are to be read.
fn credits(loaded: &Loaded, stop: &Arc<AtomicBool>) -> Result<Option<Box<dyn CreditSource>>, Failure> {
    let Some(name) = loaded.config.serve.executions.clone() else {
        return Ok(None);
    };
    Ok(match loaded.bus()? {
        BusAddress::Dir(path) if ArchiveBus::is_at(path) => {
            return Err(Failure::Usage(format!(
                "an archive holds the topics of softstake alone, and not {name}: leave out `{}`",
                Key::ServeExecutions.name()
            )));
        }
        BusAddress::Dir(path) => Some(Box::new(DirCredits::new(path, &name))),
        BusAddress::Kafka => Some(Box::new(KafkaCredits::new(
            loaded.config.kafka.clone(),
            name,
            Arc::clone(stop),
        ))),
    })
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// What the log tells of how it serves: the scheme, and who may ask.
fn manner(serving: &Serving) -> (&'static str, String) {
    let scheme = if serving.tls.is_some() { "https://" } else { "http://" };
    let asks = match serving.access.keys {
        Some(_) => "a token is needed",
        None => "everybody on this machine sees everything",
    };
    let proxy = serving.behind_proxy.as_ref();
    let proxy = proxy.map(|proxy| format!(", and the proxy {proxy} ends TLS"));
    (scheme, format!("{asks}{}", proxy.unwrap_or_default()))
}

fn serving(loaded: &Loaded) -> Result<Serving, Failure> {
    let config = &loaded.config.serve;
    Ok(Serving {
        listen: config.listen,
        tls: tls_files(config)?,
        behind_proxy: config.behind_proxy.clone(),
        access: AccessSettings {
            keys: key_source(config)?,
            rules: TokenRules {
                issuer: config.token_issuer.clone(),
                audience: config.token_audience.clone(),
            },
            audit_log: config.audit_log.clone(),
            requests_per_minute: config.requests_per_minute,
            refusals_per_minute: config.refusals_per_minute,
        },
        connections: usize::try_from(config.connections).unwrap_or(usize::MAX),
        readers: loaded.config.threads,
    })
}

fn tls_files(config: &ServeConfig) -> Result<Option<TlsFiles>, Failure> {
    match (&config.tls_certificate, &config.tls_key) {
        (None, None) => Ok(None),
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles {
            certificate: certificate.clone(),
            key: key.clone(),
        })),
        (given, _) => {
            let (is, is_not) = match given {
                Some(_) => (Key::ServeTlsCertificate, Key::ServeTlsKey),
                None => (Key::ServeTlsKey, Key::ServeTlsCertificate),
            };
            Err(Failure::Usage(format!(
                "`{}` is set, and `{}` is not: TLS needs both, so give {}",
                is.name(),
                is_not.name(),
                is_not.flag()
            )))
        }
    }
}

fn key_source(config: &ServeConfig) -> Result<Option<KeySource>, Failure> {
    match (&config.token_keys, &config.token_jwks_url) {
        (None, None) => Ok(None),
        (Some(file), None) => Ok(Some(KeySource::File(file.clone()))),
        (None, Some(address)) => Ok(Some(KeySource::Issuer(address.clone()))),
        (Some(_), Some(_)) => Err(Failure::Usage(format!(
            "`{}` and `{}` are both set: keys come from one place, so take one of them away",
            Key::ServeTokenKeys.name(),
            Key::ServeTokenJwksUrl.name()
        ))),
    }
}

fn refused(loaded: &Loaded, error: ServeError) -> Failure {
    match error {
        ServeError::Listen(error) => {
            let key = Key::ServeListen;
            Failure::from(ConfigError::Value {
                origin: loaded.origin(key).clone(),
                key,
                what: error.to_string(),
            })
        }
        error @ (ServeError::Unsafe(_) | ServeError::File(_)) => Failure::Usage(error.to_string()),
        error @ ServeError::Threads(_) => Failure::Failed(error.to_string()),
    }
}
