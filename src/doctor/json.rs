//! Writes the report as one JSON object. A missing number is `null`; `state` gives the reason.

use std::net::SocketAddr;

use serde::Serialize;

use super::connect::ConnectAttempt;
use super::demand::Role;
use super::finding::{Finding, Fix, LimitSection, LimitUnit, Verdict};
use super::{Report, RoleReport};
use crate::text::json;

#[derive(Serialize)]
struct Document<'a> {
    conns: Option<u64>,
    target: Option<&'a str>,
    connect: Option<Connect<'a>>,
    fits: Option<bool>,
    roles: Vec<RoleObject<'a>>,
}

#[derive(Serialize)]
struct Connect<'a> {
    ok: bool,
    resolved: &'a [SocketAddr],
    to: Option<&'a str>,
    from: Option<SocketAddr>,
    took_us: u64,
    error: Option<&'a str>,
}

#[derive(Serialize)]
struct RoleObject<'a> {
    role: Role,
    holds: Option<u64>,
    limiting: Option<&'static str>,
    unknown: usize,
    fits: Option<bool>,
    limits: Vec<LimitObject<'a>>,
}

#[derive(Serialize)]
struct LimitObject<'a> {
    limit: &'static str,
    concerns: LimitSection,
    unit: LimitUnit,
    state: &'static str,
    now: Option<u64>,
    needs: Option<u64>,
    holds: Option<u64>,
    verdict: Option<&'static str>,
    note: &'a str,
    fix: &'a [Fix],
}

/// Formats the report.
pub fn text(report: &Report) -> String {
    json::report(&Document {
        conns: report.conns,
        target: report.target.as_deref(),
        connect: report.attempt.as_ref().map(connect),
        fits: report.fits(),
        roles: report.roles.iter().map(role).collect(),
    })
}

fn connect(attempt: &ConnectAttempt) -> Connect<'_> {
    let connected = attempt.result.as_ref().ok();
    Connect {
        ok: connected.is_some(),
        resolved: &attempt.addresses,
        to: connected.map(|connected| connected.to.as_str()),
        from: connected.and_then(|connected| connected.from),
        took_us: attempt.took.as_micros() as u64,
        error: attempt.result.as_ref().err().map(String::as_str),
    }
}

fn role(RoleReport { role, findings, summary }: &RoleReport) -> RoleObject<'_> {
    RoleObject {
        role: *role,
        holds: summary.limiting.map(|(holds, _)| holds),
        limiting: summary.limiting.map(|(_, limit)| limit.name()),
        unknown: summary.unknown,
        fits: summary.fits,
        limits: findings.iter().map(limit).collect(),
    }
}

fn limit(found: &Finding) -> LimitObject<'_> {
    LimitObject {
        limit: found.limit.name(),
        concerns: found.limit.section(),
        unit: found.limit.unit(),
        state: found.now.state(),
        now: found.now.known().copied(),
        needs: found.needs,
        holds: found.holds.known().copied(),
        verdict: verdict(found.verdict),
        note: &found.note,
        fix: &found.fix,
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
