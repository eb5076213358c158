//! What a metric is, for the table in the documentation and for the text.

/// A family of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// As it is exposed, without the suffix `_total` or `_info`.
    pub name: &'static str,
    pub kind: FamilyKind,
    /// The end of the name; empty if it has none.
    pub unit: &'static str,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FamilyKind {
    Counter,
    Gauge,
    Histogram,
    Info,
}

impl FamilyKind {
    /// As OpenMetrics names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

impl Family {
    /// The name without the unit.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let stem = self.name.strip_suffix(self.unit).unwrap_or(self.name);
        stem.strip_suffix('_').unwrap_or(stem)
    }
}

/// Every endpoint has it.
pub const BUILD: Family = Family {
    name: "softstake_build",
    kind: FamilyKind::Info,
    unit: "",
    labels: &["version", "rules"],
    help: "The version of the program, and the newest version of the rules that it knows",
};
