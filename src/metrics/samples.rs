//! The samples of one scrape, and their text in OpenMetrics.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::metrics::family::{Family, FamilyKind};

type Labels = Vec<(&'static str, String)>;

#[derive(Debug)]
enum SampleValue {
    Count(u64),
    Number(f64),
    Histogram(Histogram),
    Info,
}

/// The samples of one scrape.
#[derive(Debug)]
pub struct Samples {
    /// All families of the endpoint, in its order.
    families: &'static [Family],
    /// By the name of their family.
    samples: BTreeMap<&'static str, Vec<(Labels, SampleValue)>>,
}

impl Samples {
    /// No samples yet.
    #[must_use]
    pub const fn of(families: &'static [Family]) -> Self {
        Self {
            families,
            samples: BTreeMap::new(),
        }
    }

    /// Adds a sample of a counter, or of a gauge with a whole number. The labels have the order of the family's.
    pub fn count<const N: usize>(&mut self, family: &Family, labels: [&str; N], value: u64) {
        self.add(family, labels, SampleValue::Count(value));
    }

    /// Adds a sample of a gauge.
    pub fn number<const N: usize>(&mut self, family: &Family, labels: [&str; N], value: f64) {
        self.add(family, labels, SampleValue::Number(value));
    }

    pub fn histogram<const N: usize>(&mut self, family: &Family, labels: [&str; N], value: &Histogram) {
        self.add(family, labels, SampleValue::Histogram(value.clone()));
    }

    pub fn info<const N: usize>(&mut self, family: &Family, labels: [&str; N]) {
        self.add(family, labels, SampleValue::Info);
    }

    fn add<const N: usize>(&mut self, family: &Family, values: [&str; N], value: SampleValue) {
        debug_assert!(self.families.contains(family), "{}", family.name);
        debug_assert_eq!(family.labels.len(), N, "{}", family.name);
        let labels = family.labels.iter().zip(values);
        let labels = labels.map(|(label, value)| (*label, value.to_owned())).collect();
        self.samples.entry(family.name).or_default().push((labels, value));
    }

    /// The text of all families, also of those without samples.
    ///
    /// # Errors
    /// If a family and its samples disagree.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }

    fn encode_family(&self, family: &Family, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = (!family.unit.is_empty()).then(|| Unit::Other(family.unit.to_owned()));
        let kind = match family.kind {
            FamilyKind::Counter => MetricType::Counter,
            FamilyKind::Gauge => MetricType::Gauge,
            FamilyKind::Histogram => MetricType::Histogram,
            FamilyKind::Info => MetricType::Info,
        };
        let mut all = encoder.encode_descriptor(family.stem(), family.help, unit.as_ref(), kind)?;
        for (labels, value) in self.samples.get(family.name).into_iter().flatten() {
            match value {
                SampleValue::Info => all.encode_info(labels)?,
                value if labels.is_empty() => value.encode(family.kind, &mut all)?,
                SampleValue::Histogram(histogram) => histogram.encode(all.encode_family(labels)?)?,
                value => value.encode(family.kind, &mut all.encode_family(labels)?)?,
            }
        }
        Ok(())
    }
}

impl SampleValue {
    fn encode(&self, kind: FamilyKind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
        match self {
            Self::Count(count) if kind == FamilyKind::Counter => {
                encoder.encode_counter::<NoLabelSet, _, f64>(count, None)
            }
            Self::Count(count) => encoder.encode_gauge(&i64::try_from(*count).unwrap_or(i64::MAX)),
            Self::Number(number) => encoder.encode_gauge(number),
            // Each histogram has a label, and an info is nothing but labels.
            Self::Histogram(_) | Self::Info => Err(fmt::Error),
        }
    }
}

impl Collector for Samples {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.families
            .iter()
            .try_for_each(|family| self.encode_family(family, &mut encoder))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn family(
        name: &'static str,
        kind: FamilyKind,
        unit: &'static str,
        labels: &'static [&'static str],
    ) -> Family {
        Family {
            name,
            kind,
            unit,
            labels,
            help: "What it is",
        }
    }

    const HALTED: Family = family("softstake_halted_epochs", FamilyKind::Gauge, "", &["asset"]);
    const SEALS: Family = family("softstake_seals", FamilyKind::Counter, "", &[]);
    const UPTIME: Family = family("softstake_uptime_seconds", FamilyKind::Gauge, "seconds", &[]);
    const BATCH: Family = family("softstake_batch_seconds", FamilyKind::Histogram, "seconds", &["task"]);
    const READY: Family = family("softstake_ready", FamilyKind::Gauge, "", &[]);
    const FAMILIES: [Family; 5] = [HALTED, SEALS, UPTIME, BATCH, READY];

    #[test]
    fn every_family_is_written_and_what_a_label_holds_is_escaped() {
        let mut samples = Samples::of(&FAMILIES);
        samples.count(&HALTED, ["A\"\n\\"], 1);
        samples.count(&SEALS, [], 3);
        samples.number(&UPTIME, [], 0.5);
        let histogram = Histogram::new([1.0]);
        histogram.observe(2.0);
        samples.histogram(&BATCH, ["ingest"], &histogram);
        let text = samples.text().unwrap();
        for expected in [
            "softstake_halted_epochs{asset=\"A\\\"\\n\\\\\"} 1\n",
            "softstake_seals_total 3\n",
            "# UNIT softstake_uptime_seconds seconds\nsoftstake_uptime_seconds 0.5\n",
            "softstake_batch_seconds_bucket{le=\"1.0\",task=\"ingest\"} 0\n",
            "softstake_batch_seconds_bucket{le=\"+Inf\",task=\"ingest\"} 1\n",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        for family in FAMILIES {
            let header = format!("# TYPE {} {}\n", family.name, family.kind.name());
            assert!(text.contains(&header), "{header}");
        }
        // Without a unit, none is said.
        assert!(!text.contains("# UNIT softstake_seals"));
    }
}
