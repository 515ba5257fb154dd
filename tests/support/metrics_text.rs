//! A strict parser of the Prometheus text format 0.0.4. It accepts less than Prometheus does:
//! whatever it accepts, any reader understands in one way.

use std::collections::{BTreeMap, BTreeSet};

/// The metrics of a text, by name.
pub type Metrics = BTreeMap<String, Family>;

/// A metric, and the samples of all its series in their order.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub help: String,
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// With the suffix of a histogram.
    pub name: String,
    pub labels: Vec<(String, String)>,
    pub value: f64,
}

/// Parses a whole text. Returns what is wrong, with the number of the line.
pub fn parse(text: &str) -> Result<Metrics, String> {
    if !text.ends_with('\n') {
        return Err("the last line does not end".to_owned());
    }
    let mut metrics = Metrics::new();
    let mut current = String::new();
    let mut known = BTreeSet::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |what: String| format!("line {}: {what}: {line}", at + 1);
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help".to_owned()))?;
            current = name.to_owned();
            let help = unescape(help, false).map_err(wrong)?;
            let family = Family { help, ..Family::default() };
            if metrics.insert(current.clone(), family).is_some() {
                return Err(wrong("a second HELP".to_owned()));
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type".to_owned()))?;
            let family = metrics.get_mut(name).filter(|_| name == current);
            let family = family.ok_or_else(|| wrong("TYPE without HELP".to_owned()))?;
            let is_known = ["counter", "gauge", "histogram"].contains(&kind);
            if !is_known || !family.kind.is_empty() || !family.samples.is_empty() {
                return Err(wrong("not the one TYPE of a metric".to_owned()));
            }
            family.kind = kind.to_owned();
        } else {
            let sample = sample(line).map_err(wrong)?;
            let family = metrics.get_mut(&current).filter(|family| !family.kind.is_empty());
            let family = family.ok_or_else(|| wrong("a sample without TYPE".to_owned()))?;
            let suffix = sample.name.strip_prefix(&current).unwrap_or("?");
            let suffixes: &[&str] = match family.kind.as_str() {
                "histogram" => &["_bucket", "_sum", "_count"],
                _ => &[""],
            };
            if !suffixes.contains(&suffix) {
                return Err(wrong("a sample of another metric".to_owned()));
            }
            if !known.insert((sample.name.clone(), sample.labels.clone())) {
                return Err(wrong("a second sample of a series".to_owned()));
            }
            family.samples.push(sample);
        }
    }
    for (name, family) in &metrics {
        check(family).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(metrics)
}

/// Checks a whole metric: it has samples, and the buckets of a histogram fit together.
fn check(family: &Family) -> Result<(), String> {
    if family.kind.is_empty() || family.samples.is_empty() {
        return Err("no TYPE or no samples".to_owned());
    }
    if family.kind == "counter" && family.samples.iter().any(|sample| sample.value < 0.0) {
        return Err("a counter below zero".to_owned());
    }
    if family.kind != "histogram" {
        return Ok(());
    }
    let of = |suffix: &str| {
        let samples = family.samples.iter().filter(|sample| sample.name.ends_with(suffix));
        samples.cloned().collect::<Vec<Sample>>()
    };
    let (buckets, sums, counts) = (of("_bucket"), of("_sum"), of("_count"));
    let ([_], [count]) = (&sums[..], &counts[..]) else {
        return Err("not one sum and one count".to_owned());
    };
    let mut bounds = Vec::new();
    for bucket in &buckets {
        let [(le, bound)] = &bucket.labels[..] else { return Err("labels of a bucket".to_owned()) };
        bounds.push(number(bound).ok().filter(|_| le == "le").ok_or("not a bound")?);
    }
    if !bounds.windows(2).all(|pair| pair[0] < pair[1]) || bounds.last() != Some(&f64::INFINITY) {
        return Err(format!("the bounds are not in order up to +Inf: {bounds:?}"));
    }
    if !buckets.windows(2).all(|pair| pair[0].value <= pair[1].value) {
        return Err("the buckets are not cumulative".to_owned());
    }
    match buckets.last().map(|bucket| bucket.value) == Some(count.value) {
        true => Ok(()),
        false => Err("the last bucket is not the count".to_owned()),
    }
}

fn sample(line: &str) -> Result<Sample, String> {
    let name_end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(name_end);
    let mut labels: Vec<(String, String)> = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label")?;
            let end = quoted_end(after).ok_or("a label value does not end")?;
            if !is_name(label) || labels.iter().any(|(known, _)| known == label) {
                return Err(format!("label {label:?}"));
            }
            labels.push((label.to_owned(), unescape(&after[..end], true)?));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').ok_or("the labels do not end")?;
    }
    let value = number(rest.strip_prefix(' ').ok_or("no space before the value")?)?;
    match is_name(name) {
        true => Ok(Sample { name: name.to_owned(), labels, value }),
        false => Err(format!("name {name:?}")),
    }
}

/// The position of the closing quote.
fn quoted_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.find(|ch| {
        let ends = ch == '"' && !escaped;
        escaped = ch == '\\' && !escaped;
        ends
    })
}

fn unescape(text: &str, quoted: bool) -> Result<String, String> {
    let (mut plain, mut chars) = (String::new(), text.chars());
    while let Some(ch) = chars.next() {
        plain.push(match (ch, quoted) {
            ('\\', _) => match chars.next() {
                Some('\\') => '\\',
                Some('n') => '\n',
                Some('"') if quoted => '"',
                other => return Err(format!("escape of {other:?}")),
            },
            _ => ch,
        });
    }
    Ok(plain)
}

fn number(text: &str) -> Result<f64, String> {
    let is_plain = text.chars().all(|ch| ch.is_ascii_digit() || ch == '.' || ch == '-');
    match text {
        "+Inf" => Ok(f64::INFINITY),
        _ if is_plain => text.parse().map_err(|_| format!("number {text:?}")),
        _ => Err(format!("number {text:?}")),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|ch: char| ch.is_ascii_lowercase())
        && name.chars().all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit() || ch == '_')
}
