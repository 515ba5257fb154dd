//! Writes the text format 0.0.4 of Prometheus: heads, samples, and what their values escape.

use std::fmt::{Display, Write};

use super::{Metric, MetricKind};
use crate::core::DurationHistogram;

/// Appends the samples of one metric.
pub struct Samples<'a> {
    metric: &'a Metric,
    out: &'a mut String,
}

impl<'a> Samples<'a> {
    pub fn new(metric: &'a Metric, out: &'a mut String) -> Samples<'a> {
        Samples { metric, out }
    }

    /// Appends the only sample of a metric without labels.
    pub fn value(&mut self, value: impl Display) {
        self.sample("", &[], value);
    }

    /// Appends the sample with this value of the only label.
    pub fn labelled(&mut self, label_value: &str, value: impl Display) {
        let [label] = self.metric.labels else {
            debug_assert!(false, "{} does not have one label", self.metric.name);
            return;
        };
        self.sample("", &[(*label, label_value)], value);
    }

    /// Appends the samples of a histogram: its buckets, their sum and their count.
    pub fn histogram<const FROM: u32>(&mut self, histogram: &DurationHistogram<FROM>) {
        debug_assert_eq!(self.metric.kind, MetricKind::Histogram);
        for (bound, count) in histogram.buckets() {
            self.sample("_bucket", &[("le", &bound.as_secs_f64().to_string())], count);
        }
        self.sample("_bucket", &[("le", "+Inf")], histogram.count());
        self.sample("_sum", &[], histogram.sum().as_secs_f64());
        self.sample("_count", &[], histogram.count());
    }

    fn sample(&mut self, suffix: &str, labels: &[(&str, &str)], value: impl Display) {
        let out = &mut *self.out;
        out.push_str(self.metric.name);
        out.push_str(suffix);
        for (at, (name, value)) in labels.iter().enumerate() {
            out.push(if at == 0 { '{' } else { ',' });
            out.push_str(name);
            out.push_str("=\"");
            escape(value, true, out);
            out.push('"');
        }
        if !labels.is_empty() {
            out.push('}');
        }
        // Writing to a string does not fail.
        let _ = writeln!(out, " {value}");
    }
}

/// Appends the lines before the samples.
pub fn write_head(metric: &Metric, out: &mut String) {
    out.push_str("# HELP ");
    out.push_str(metric.name);
    out.push(' ');
    escape(metric.help, false, out);
    let _ = writeln!(out, "\n# TYPE {} {}", metric.name, metric.kind.name());
}

/// Appends a help text, or the value of a label, in which quotes are escaped too.
fn escape(text: &str, quoted: bool, out: &mut String) {
    for ch in text.chars() {
        match ch {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            _ => out.push(ch),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const METRIC: Metric = Metric {
        name: "x_seconds",
        kind: MetricKind::Histogram,
        unit: "seconds",
        labels: &["route"],
        help: "A \"back\\slash\"\nand a line.",
        write: |_, _| {},
    };

    #[test]
    fn help_texts_and_label_values_are_escaped() {
        let mut out = String::new();
        write_head(&METRIC, &mut out);
        Samples::new(&METRIC, &mut out).labelled("a\\\"b\"\nc", 7);
        assert_eq!(
            out,
            "# HELP x_seconds A \"back\\\\slash\"\\nand a line.\n# TYPE x_seconds histogram\n\
             x_seconds{route=\"a\\\\\\\"b\\\"\\nc\"} 7\n"
        );
    }

    #[test]
    fn a_histogram_has_cumulative_buckets_a_sum_and_a_count() {
        let (mut out, mut histogram) = (String::new(), DurationHistogram::<0>::default());
        for micros in [3, 70, 5_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        Samples::new(&METRIC, &mut out).histogram(&histogram);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 15);
        assert_eq!(lines[0], "x_seconds_bucket{le=\"0.000001\"} 0");
        assert_eq!(lines[1], "x_seconds_bucket{le=\"0.000004\"} 1");
        assert_eq!(lines[11], "x_seconds_bucket{le=\"4.194304\"} 2");
        assert_eq!(
            lines[12..],
            ["x_seconds_bucket{le=\"+Inf\"} 3", "x_seconds_sum 5.000073", "x_seconds_count 3"]
        );
    }
}
