//! The name that marks the spans for a collector of OpenTelemetry.
//!
//! A span with this target is sent if the environment names a collector (`docs/metrics.md`). Without one it is disabled: it costs a comparison.
//! A span never has an account or an amount, and there is none per record.

/// The target of spans.
pub const SPANS: &str = "softstake::spans";

/// A number as an attribute. A collector has no unsigned numbers, so `tracing` would send them as texts.
pub fn attribute<N: TryInto<i64>>(number: N) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
