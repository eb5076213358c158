//! A strict reader of OpenMetrics 1.0: it accepts nothing that the format forbids, as far as this program may write it.

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of one answer.
#[derive(Debug, Default)]
pub struct Scrape {
    /// By name, in the order of the text.
    pub families: Vec<MetricFamily>,
}

#[derive(Debug, Default)]
pub struct MetricFamily {
    pub name: String,
    pub kind: String,
    pub unit: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Scrape {
    /// Reads a whole answer.
    pub fn read(text: &str) -> Result<Self, String> {
        let body = text.strip_suffix("# EOF\n").ok_or("does not end with # EOF")?;
        let mut scrape = Self::default();
        for line in body.split_terminator('\n') {
            let read = scrape.read_line(line);
            read.map_err(|what| format!("{what}: {line}"))?;
        }
        if !body.is_empty() && !body.ends_with('\n') {
            return Err("the last line has no end".into());
        }
        let mut names = BTreeSet::new();
        for family in &scrape.families {
            if !names.insert(&family.name) {
                return Err(format!("{} comes twice", family.name));
            }
            family.check().map_err(|what| format!("{}: {what}", family.name))?;
        }
        Ok(scrape)
    }

    fn read_line(&mut self, line: &str) -> Result<(), String> {
        let Some(about) = line.strip_prefix("# ") else {
            let family = self.families.last_mut().ok_or("a sample before its family")?;
            family.samples.push(read_sample(line)?);
            return Ok(());
        };
        let mut words = about.splitn(3, ' ');
        let (Some(keyword), Some(name), Some(value)) = (words.next(), words.next(), words.next()) else {
            return Err("not a keyword, a name and a value".into());
        };
        if !is_name(name) {
            return Err("not a name".into());
        }
        if self.families.last().is_none_or(|family| family.name != name) {
            self.families.push(MetricFamily {
                name: name.to_owned(),
                ..MetricFamily::default()
            });
        }
        let family = self.families.last_mut().ok_or("no family")?;
        if !family.samples.is_empty() {
            return Err("comes after samples of its family".into());
        }
        let field = match keyword {
            "HELP" => &mut family.help,
            "TYPE" => &mut family.kind,
            "UNIT" => &mut family.unit,
            _ => return Err("an unknown keyword".into()),
        };
        if !field.is_empty() || value.is_empty() {
            return Err("comes twice or is empty".into());
        }
        value.clone_into(field);
        Ok(())
    }

    /// The value of the sample with this name and these labels.
    pub fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: BTreeMap<String, String> = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut samples = self.families.iter().flat_map(|family| &family.samples);
        let found = samples.find(|sample| sample.name == name && sample.labels == wanted);
        found.map(|sample| sample.value)
    }
}

impl MetricFamily {
    fn check(&self) -> Result<(), String> {
        let suffixes: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "info" => &["_info"],
            "histogram" => &["_bucket", "_sum", "_count"],
            kind => return Err(format!("the type {kind:?}")),
        };
        if self.help.is_empty() {
            return Err("has no help".into());
        }
        if !self.unit.is_empty() && !self.name.ends_with(&format!("_{}", self.unit)) {
            return Err(format!("does not end with its unit {}", self.unit));
        }
        let mut seen = BTreeSet::new();
        for sample in &self.samples {
            let suffix = sample.name.strip_prefix(self.name.as_str());
            if !suffix.is_some_and(|suffix| suffixes.contains(&suffix)) {
                return Err(format!("has the sample {}", sample.name));
            }
            if !seen.insert((&sample.name, &sample.labels)) {
                return Err(format!("has {} twice with {:?}", sample.name, sample.labels));
            }
            let is_whole = sample.value >= 0.0 && sample.value.fract() == 0.0;
            let is_valid = match self.kind.as_str() {
                "counter" => is_whole,
                "info" => sample.value == 1.0,
                "histogram" => sample.value >= 0.0,
                _ => sample.value.is_finite(),
            };
            if !is_valid {
                return Err(format!("has the value {}", sample.value));
            }
        }
        if self.kind == "histogram" {
            self.check_histograms()?;
        }
        Ok(())
    }

    /// Each histogram has a sum, a count, and buckets that ascend and end with the count.
    fn check_histograms(&self) -> Result<(), String> {
        let mut buckets = BTreeMap::<BTreeMap<String, String>, Vec<(f64, f64)>>::new();
        let named = |suffix: &str| format!("{}{suffix}", self.name);
        for sample in self.samples.iter().filter(|sample| sample.name == named("_bucket")) {
            let mut labels = sample.labels.clone();
            let bound = labels.remove("le").ok_or("a bucket without le")?;
            let bound = read_number(&bound)?;
            buckets.entry(labels).or_default().push((bound, sample.value));
        }
        let of = |suffix: &str, labels: &BTreeMap<String, String>| {
            let mut samples = self.samples.iter();
            samples.find(|sample| sample.name == named(suffix) && sample.labels == *labels)
        };
        for (labels, buckets) in &buckets {
            let (Some(count), Some(_)) = (of("_count", labels), of("_sum", labels)) else {
                return Err(format!("{labels:?} has no sum or count"));
            };
            let ascend = buckets
                .windows(2)
                .all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1);
            if !ascend || buckets.last() != Some(&(f64::INFINITY, count.value)) {
                return Err(format!("{labels:?} has the buckets {buckets:?}"));
            }
        }
        let counts = self.samples.iter().filter(|sample| sample.name == named("_count"));
        if counts.count() != buckets.len() {
            return Err("a histogram without buckets".into());
        }
        Ok(())
    }
}

fn read_sample(line: &str) -> Result<Sample, String> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not a name".into());
    }
    let (labels, value) = match rest.strip_prefix('{') {
        Some(rest) => read_labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    let value = value.strip_prefix(' ').ok_or("no blank before the value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value: read_number(value)?,
    })
}

/// Reads labels up to the brace that closes them. Returns the rest, too.
fn read_labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), String> {
    let mut labels = BTreeMap::new();
    loop {
        let (name, quoted) = rest.split_once("=\"").ok_or("a label without a value")?;
        if !is_name(name) || name.contains(':') {
            return Err(format!("the label {name:?}"));
        }
        let (value, after) = read_quoted(quoted)?;
        if labels.insert(name.to_owned(), value).is_some() {
            return Err(format!("the label {name} twice"));
        }
        match after.split_at_checked(1) {
            Some(("}", after)) => return Ok((labels, after)),
            Some((",", after)) => rest = after,
            _ => return Err("neither a comma nor a brace after a label".into()),
        }
    }
}

fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((value, &text[at + 1..])),
            '\\' => value.push(match characters.next() {
                Some((_, 'n')) => '\n',
                Some((_, escaped @ ('"' | '\\'))) => escaped,
                _ => return Err("an unknown escape".into()),
            }),
            other => value.push(other),
        }
    }
    Err("a label value without an end".into())
}

fn read_number(text: &str) -> Result<f64, String> {
    match text {
        "+Inf" => Ok(f64::INFINITY),
        text if text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e' | b'E')) =>
        {
            text.parse().map_err(|_| format!("the number {text:?}"))
        }
        text => Err(format!("the number {text:?}")),
    }
}

fn is_name(name: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b':');
    name.bytes().next().is_some_and(is_letter) && name.bytes().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[test]
fn what_the_format_forbids_is_rejected() {
    let right = "# HELP a_seconds The a.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total{b=\"c\\\"\\n\"} 3\n# EOF\n";
    let scrape = Scrape::read(right).expect("valid");
    assert_eq!(scrape.get("a_seconds_total", &[("b", "c\"\n")]), Some(3.0));
    for (from, to) in [
        ("# EOF\n", ""),
        ("# EOF\n", "# EOF"),
        ("_total", ""),
        (" 3\n", " -3\n"),
        (" 3\n", " 3.5\n"),
        (" 3\n", " NaN\n"),
        (" 3\n", " 3 \n"),
        (" 3\n", "\n"),
        ("counter", "count"),
        ("# TYPE a_seconds counter\n", ""),
        ("# HELP a_seconds The a.\n", ""),
        ("# UNIT a_seconds seconds", "# UNIT a_seconds records"),
        ("{b=\"c", "{b=\"x\",b=\"c"),
        ("{b=\"c\\\"\\n\"}", "{b=\"c\\x\"}"),
        ("{b=\"c\\\"\\n\"}", "{b=\"c\"\"}"),
        ("{b=\"c\\\"\\n\"}", "{0=\"c\"}"),
        (
            "# EOF",
            "# TYPE b gauge\n# HELP b B.\nb 1\n# HELP a_seconds The a.\n# TYPE a_seconds counter\n# EOF",
        ),
        (" 3\n", " 3\na_seconds_total{b=\"c\\\"\\n\"} 3\n"),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert_ne!(wrong, right, "{from}");
        Scrape::read(&wrong).expect_err(&wrong);
    }
    let histogram = |buckets: &str| format!("# HELP h H.\n# TYPE h histogram\nh_sum 1\nh_count 2\n{buckets}# EOF\n");
    Scrape::read(&histogram("h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 2\n")).expect("valid");
    for wrong in [
        "",
        "h_bucket{le=\"1.0\"} 1\n",
        "h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"+Inf\"} 3\n",
        "h_bucket{le=\"1.0\"} 3\nh_bucket{le=\"+Inf\"} 2\n",
        "h_bucket{le=\"1.0\"} 1\nh_bucket{le=\"0.5\"} 1\nh_bucket{le=\"+Inf\"} 2\n",
        "h_bucket 1\nh_bucket{le=\"+Inf\"} 2\n",
    ] {
        Scrape::read(&histogram(wrong)).expect_err(wrong);
    }
}
