//! Sends spans to a collector of OpenTelemetry, as the standard variables of the environment say. Without them, nothing of this is started.

use std::error::Error;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use reqwest::Client;
use tokio::runtime::{Builder, Runtime};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

use crate::spans::SPANS;

/// How long the last spans may take at the end of the process. Orchestrators wait 10 seconds for all.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// How long a collector may take for one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// A collector that is away is told of this often.
const WARN_EVERY: Duration = Duration::from_secs(600);

/// The variables that name the collector.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// The variables that name the protocol. Only one is known.
const PROTOCOLS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
const KNOWN_PROTOCOL: &str = "http/protobuf";

/// The spans of this process on their way to a collector.
#[derive(Debug)]
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Begins, if the environment names a collector. `instance` is the name of this process, if it has one.
    ///
    /// # Errors
    /// What is wrong with the environment, and what to do.
    pub fn from_environment(instance: Option<&str>) -> Result<Option<Self>, String> {
        Self::from(
            |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty()),
            instance,
        )
    }

    fn from(variable: impl Fn(&str) -> Option<String>, instance: Option<&str>) -> Result<Option<Self>, String> {
        if !is_wanted(&variable)? {
            return Ok(None);
        }
        let client = CollectorClient::new()?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_protocol(Protocol::HttpBinary)
            .with_timeout(TIMEOUT)
            .with_http_client(client)
            .build()
            .map_err(|error| format!("{}: {error}", ENDPOINTS[1]))?;
        let mut resource =
            Resource::builder().with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
        let attributes = variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let has = |name: &str| {
            attributes
                .split(',')
                .any(|one| one.trim_start().starts_with(&format!("{name}=")))
        };
        if variable("OTEL_SERVICE_NAME").is_none() && !has("service.name") {
            resource = resource.with_service_name("softstake");
        }
        if let Some(instance) = instance.filter(|_| !has("service.instance.id")) {
            resource = resource.with_attribute(KeyValue::new("service.instance.id", instance.to_owned()));
        }
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_batch_exporter(exporter)
            .build();
        Ok(Some(Self(provider)))
    }

    /// Takes the spans with our target from the subscriber. Nothing else is sent: no line of the log.
    pub fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        let ours = |metadata: &Metadata<'_>| metadata.is_span() && metadata.target() == SPANS;
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("softstake"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(filter_fn(ours))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        // Spans that a collector does not take within this time are lost. They are no part of any result.
        let _ = self.0.shutdown_with_timeout(FLUSH_WITHIN);
    }
}

/// Whether the environment wants traces.
fn is_wanted(variable: &impl Fn(&str) -> Option<String>) -> Result<bool, String> {
    let is_disabled = variable("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_none = variable("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_disabled || is_none || ENDPOINTS.iter().all(|name| variable(name).is_none()) {
        return Ok(false);
    }
    for name in PROTOCOLS {
        if let Some(value) = variable(name).filter(|value| value != KNOWN_PROTOCOL) {
            return Err(format!(
                "{name} is {value}, but traces are only sent as {KNOWN_PROTOCOL}: set it to that, with the collector's port for HTTP (4318)"
            ));
        }
        if variable(name).is_some() {
            break;
        }
    }
    Ok(true)
}

/// Sends requests with the HTTP client that the program has anyway.
struct CollectorClient {
    client: Client,
    runtime: Runtime,
    warned: Mutex<Option<Instant>>,
}

impl fmt::Debug for CollectorClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CollectorClient")
    }
}

impl CollectorClient {
    fn new() -> Result<Self, String> {
        let client = Client::builder().timeout(TIMEOUT).build();
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self {
            client: client.map_err(|error| format!("cannot make an HTTP client for traces: {error}"))?,
            runtime: runtime.map_err(|error| format!("cannot start the asynchronous runtime for traces: {error}"))?,
            warned: Mutex::default(),
        })
    }

    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        let (parts, body) = request.into_parts();
        let answer = self
            .client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body)
            .send()
            .await?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        *response.body_mut() = answer.bytes().await?;
        Ok(response)
    }

    fn warn(&self, what: &str) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            *warned = Some(Instant::now());
            tracing::warn!(
                "traces are lost, and nothing else: the collector of {} {what}",
                ENDPOINTS[1]
            );
        }
    }
}

#[async_trait]
impl HttpClient for CollectorClient {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        // The thread that exports has no runtime of its own.
        match self.runtime.block_on(self.send(request)) {
            Ok(response) => {
                if !response.status().is_success() {
                    self.warn(&format!("answers with status {}", response.status().as_u16()));
                }
                Ok(response)
            }
            Err(error) => {
                let mut cause: &dyn Error = &error;
                while let Some(source) = cause.source() {
                    cause = source;
                }
                self.warn(&format!("cannot be reached: {cause}"));
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(variables: &[(&str, &str)]) -> Result<bool, String> {
        is_wanted(&|name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn nothing_begins_without_an_endpoint() {
        assert_eq!(wanted(&[]), Ok(false));
        assert_eq!(
            wanted(&[("OTEL_SERVICE_NAME", "a"), ("OTEL_TRACES_SAMPLER", "always_on")]),
            Ok(false)
        );
        assert!(Traces::from(|_| None, None).unwrap().is_none());
        let collector = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(wanted(&[collector]), Ok(true));
        assert_eq!(
            wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://a:1/v1/traces")]),
            Ok(true)
        );
        assert_eq!(wanted(&[collector, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(false));
        assert_eq!(wanted(&[collector, ("OTEL_TRACES_EXPORTER", "none")]), Ok(false));
        assert_eq!(
            wanted(&[collector, ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")]),
            Ok(true)
        );
        let error = wanted(&[collector, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).unwrap_err();
        assert!(error.contains("only sent as http/protobuf"), "{error}");
    }
}
