//! The metrics: one table, from which the Prometheus text and docs/metrics.md are written. Counts
//! nothing: the counters are where their facts happen.

use crate::observe::Watch;
use crate::runtime::reactor::Reactor;

mod table;
mod text;

use table::METRICS;
use text::Samples;

/// What the metrics are read from.
#[derive(Clone, Copy)]
pub struct MetricsCx<'a> {
    pub reactor: &'a Reactor,
    pub watch: &'a Watch,
    pub admin: AdminCounts,
}

/// What the admin and metrics listeners have counted. Their clients are no connections of the
/// engine, so they count nowhere else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AdminCounts {
    /// Open clients.
    pub clients: usize,
    /// Clients that receive a stream of events.
    pub streams: usize,
    /// Clients accepted so far.
    pub accepted: u64,
    /// Requests answered so far, by the first digit of the status: 1xx first.
    pub requests: [u64; 5],
}

/// One metric.
struct Metric {
    name: &'static str,
    kind: MetricKind,
    /// What its value counts or measures.
    unit: &'static str,
    /// The names of its labels.
    labels: &'static [&'static str],
    help: &'static str,
    write: fn(&MetricsCx<'_>, &mut Samples<'_>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

impl MetricKind {
    fn name(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// Number of metrics, each with all its series.
pub fn families() -> usize {
    METRICS.len()
}

/// Appends the text of one metric: nothing if this system does not offer its value. So the whole
/// text can be written in slices. Its parts may be of different times.
pub fn write_family(index: usize, cx: &MetricsCx<'_>, out: &mut String) {
    let Some(metric) = METRICS.get(index) else { return };
    let begin = out.len();
    text::write_head(metric, out);
    let head_end = out.len();
    (metric.write)(cx, &mut Samples::new(metric, out));
    if out.len() == head_end {
        out.truncate(begin);
    }
}

/// Returns the names of all metrics.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().map(|metric| metric.name)
}

/// Returns the table of docs/metrics.md.
pub fn document() -> String {
    let mut table =
        String::from("| name | type | unit | labels | meaning |\n|---|---|---|---|---|\n");
    for metric in METRICS {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let row = [
            format!("`{}`", metric.name),
            metric.kind.name().to_owned(),
            metric.unit.to_owned(),
            labels.join(", "),
            metric.help.to_owned(),
        ];
        table += &format!("| {} |\n", row.join(" | "));
    }
    table
}
