//! Writes the report as one JSON object. A missing number is `null`; `state` gives the reason.

use std::io::{self, Write};

use super::connect::ConnectAttempt;
use super::facts::Fact;
use super::finding::{Finding, Fix, LimitSection, LimitUnit, Verdict};
use super::{Report, RoleReport};
use crate::text::escape::write_json;

pub fn write(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let target = report.target.as_deref().map_or_else(|| "null".to_string(), quoted);
    let attempt = report.attempt.as_ref().map_or_else(|| "null".to_string(), attempt_text);
    let roles: Vec<_> = report.roles.iter().map(role_text).collect();
    writeln!(out, "{{")?;
    writeln!(out, "  \"conns\": {},", number(report.conns))?;
    writeln!(out, "  \"target\": {target},")?;
    writeln!(out, "  \"connect\": {attempt},")?;
    writeln!(out, "  \"fits\": {},", truth(report.fits()))?;
    writeln!(out, "  \"roles\": [\n    {}\n  ]", roles.join(",\n    "))?;
    writeln!(out, "}}")
}

fn attempt_text(attempt: &ConnectAttempt) -> String {
    let connected = attempt.result.as_ref().ok();
    let text = |text: Option<String>| text.map_or_else(|| "null".to_string(), |text| quoted(&text));
    let addresses: Vec<_> = attempt.addresses.iter().map(|at| quoted(&at.to_string())).collect();
    format!(
        "{{\"ok\": {}, \"resolved\": [{}], \"to\": {}, \"from\": {}, \"took_us\": {}, \
         \"error\": {}}}",
        connected.is_some(),
        addresses.join(", "),
        text(connected.map(|connected| connected.to.clone())),
        text(connected.and_then(|connected| connected.from).map(|from| from.to_string())),
        attempt.took.as_micros(),
        text(attempt.result.as_ref().err().cloned()),
    )
}

fn role_text(role_report: &RoleReport) -> String {
    let RoleReport { role, findings, summary } = role_report;
    let holds = number(summary.limiting.map(|(holds, _)| holds));
    let limiting =
        summary.limiting.map_or_else(|| "null".to_string(), |(_, limit)| quoted(limit.name()));
    let (unknown, fits) = (summary.unknown, truth(summary.fits));
    let limits: Vec<_> = findings.iter().map(finding_text).collect();
    let limits = limits.join(",\n      ");
    format!(
        "{{\"role\": \"{}\", \"holds\": {holds}, \"limiting\": {limiting}, \
         \"unknown\": {unknown}, \"fits\": {fits}, \"limits\": [\n      {limits}\n    ]}}",
        role.name()
    )
}

fn finding_text(found: &Finding) -> String {
    let fix = |fix: &Fix| {
        let (command, remark) = (quoted(&fix.command), quoted(&fix.remark));
        format!("{{\"command\": {command}, \"remark\": {remark}}}")
    };
    let fixes: Vec<_> = found.fix.iter().map(fix).collect();
    let fields = [
        ("limit", quoted(found.limit.name())),
        ("concerns", quoted(section(found.limit.section()))),
        ("unit", quoted(unit(found.limit.unit()))),
        ("state", quoted(state(&found.now))),
        ("now", number(found.now.known().copied())),
        ("needs", number(found.needs)),
        ("holds", number(found.holds.known().copied())),
        ("verdict", verdict(found.verdict).map_or_else(|| "null".to_string(), quoted)),
        ("note", quoted(&found.note)),
        ("fix", format!("[{}]", fixes.join(", "))),
    ];
    let fields: Vec<_> =
        fields.iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
    format!("{{{}}}", fields.join(", "))
}

fn section(section: LimitSection) -> &'static str {
    match section {
        LimitSection::Every => "every",
        LimitSection::Server => "server",
        LimitSection::Client => "client",
    }
}

fn unit(unit: LimitUnit) -> &'static str {
    match unit {
        LimitUnit::Count => "count",
        LimitUnit::Bytes => "bytes",
    }
}

fn state(fact: &Fact) -> &'static str {
    match fact {
        Fact::Known(_) => "known",
        Fact::Unlimited => "no limit",
        Fact::Absent => "none",
        Fact::Unknown(_) => "unknown",
    }
}

fn verdict(verdict: Verdict) -> Option<&'static str> {
    match verdict {
        Verdict::Unasked => None,
        Verdict::Fits => Some("ok"),
        Verdict::TooSmall => Some("no"),
        Verdict::Slows => Some("slow"),
        Verdict::Unknown => Some("unknown"),
    }
}

fn truth(truth: Option<bool>) -> String {
    truth.map_or_else(|| "null".to_string(), |truth| truth.to_string())
}

fn number(number: Option<u64>) -> String {
    number.map_or_else(|| "null".to_string(), |number| number.to_string())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::new();
    // Writing to a string does not fail.
    let _ = write_json(&mut quoted, text);
    quoted
}
