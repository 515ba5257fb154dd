//! Prints the report: a sentence for each role, a table, the unknown limits, and the commands that
//! raise a limit.

use super::connect::ConnectAttempt;
use super::demand::Role;
use super::facts::Fact;
use super::finding::{Finding, Fix, Limit, LimitSection, LimitUnit, Verdict};
use super::{Report, RoleReport};
use crate::text::count::{grouped, plural};
use crate::text::escape::plain;
use crate::text::terminal::Paint;
use crate::text::wrap::fit;

/// Lays out the report in at most `columns` columns. Only commands are never wrapped.
pub fn report(report: &Report, colour: bool, columns: usize) -> String {
    let mut page = TextReport { text: String::new(), paint: Paint(colour), columns };
    for role_report in &report.roles {
        let verdict = match (report.conns, role_report.summary.fits) {
            (None, _) => Verdict::Unasked,
            (Some(_), None) => Verdict::Unknown,
            (Some(_), Some(fits)) => verdict(fits),
        };
        page.marked(report, verdict, &sentence(report, role_report));
    }
    if let (Some(target), Some(attempt)) = (&report.target, &report.attempt) {
        page.marked(report, verdict(attempt.result.is_ok()), &attempted(target, attempt));
    }
    page.table(report);
    page.unknowns(report);
    page.fixes(report);
    page.text
}

/// Summarizes one role in a sentence.
fn sentence(report: &Report, role_report: &RoleReport) -> String {
    let (role, summary) = (as_role(report, role_report.role), &role_report.summary);
    let unknown = match (summary.known, summary.unknown) {
        (false, _) => return format!("{role}: unknown."),
        (true, 0) => String::new(),
        (true, many) => format!("; {} unknown", plural(many as u64, "limit")),
    };
    let Some((holds, limit)) = summary.limiting else {
        return format!("{role}: no known limit{unknown}.");
    };
    let (most, limit) = (grouped(holds), limit.sentence_name());
    let text = match (report.conns.map(|conns| plural(conns, "connection")), summary.fits) {
        (None, _) => format!("up to {}, limited by {limit}", plural(holds, "connection")),
        (Some(conns), Some(true)) => format!("{conns} fit, up to {most} ({limit})"),
        (Some(conns), Some(false)) => format!("{conns} do not fit, only {most} ({limit})"),
        (Some(conns), None) => {
            format!("unknown whether {conns} fit; {limit} allows {most}")
        }
    };
    format!("{role}: {text}{unknown}.")
}

fn as_role(report: &Report, role: Role) -> String {
    match (role, &report.target) {
        (Role::Server, _) => "As a server".to_string(),
        (Role::Client, None) => "As a client of one target".to_string(),
        (Role::Client, Some(target)) => format!("As a client of {}", plain(target)),
        (Role::Relay, None) => "As a relay".to_string(),
        (Role::Relay, Some(target)) => format!("As a relay to {}", plain(target)),
    }
}

/// Describes the connect to the target.
fn attempted(target: &str, attempt: &ConnectAttempt) -> String {
    let name = plain(target);
    let took = format!("{:.1?}", attempt.took);
    let connected = match &attempt.result {
        Ok(connected) => connected,
        Err(error) => return format!("Connect to {name} failed: {error} ({took})."),
    };
    let from = connected.from.map_or_else(String::new, |from| format!(" from {from}"));
    match target.starts_with("udp:") || target.starts_with("unix-dgram:") {
        true => format!("Datagrams to {name}: routed to {}{from}; nothing sent.", connected.to),
        false => format!("Connect to {name}: connected to {}{from} in {took}.", connected.to),
    }
}

/// A report under construction.
struct TextReport {
    text: String,
    paint: Paint,
    columns: usize,
}

/// A row of the table: a limit, its value, a number for each role, and a note.
struct LimitRow {
    limit: Limit,
    verdict: Verdict,
    cells: Vec<String>,
    note: String,
}

impl TextReport {
    fn line(&mut self, line: &str) {
        self.text.push_str(&fit(line, self.columns));
        self.text.push('\n');
    }

    /// Adds a sentence, with a mark if N or a target was given.
    fn marked(&mut self, report: &Report, verdict: Verdict, text: &str) {
        let text = self.paint.bold(text);
        match report.conns.is_some() || report.target.is_some() {
            true => self.line(&format!("{}  {text}", mark(verdict, self.paint))),
            false => self.line(&text),
        }
    }

    fn table(&mut self, report: &Report) {
        let rows = rows(report);
        let mut heads = vec![String::new(), "now".to_string()];
        heads.extend(report.roles.iter().map(|role_report| role_report.role.name().to_string()));
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row.cells[column].chars().count());
            cells.chain([heads[column].len()]).max().unwrap_or_default()
        };
        let widths: Vec<usize> = (0..heads.len()).map(width).collect();
        let caption = match report.conns {
            Some(conns) => {
                format!("Value of each limit needed for {}:", plural(conns, "connection"))
            }
            None => "Connections that each limit allows:".to_string(),
        };
        self.text.push('\n');
        self.line(&caption);
        let is_wide = widths.iter().map(|width| width + 2).sum::<usize>() + 3 <= self.columns;
        if is_wide {
            let blank = mark(Verdict::Unasked, self.paint);
            let head = format!("{blank} {}", line(&heads, &widths, ""));
            self.line(&self.paint.dim(&head));
        }
        for section in LimitSection::ALL {
            let in_section: Vec<&LimitRow> =
                rows.iter().filter(|row| row.limit.section() == section).collect();
            if !in_section.is_empty() {
                let title = self.paint.bold(title(section));
                self.line(&format!("  {title}"));
            }
            for row in in_section {
                let mark = mark(row.verdict, self.paint);
                let text = match is_wide {
                    true => line(&row.cells, &widths, &row.note),
                    false => labelled(row, &heads),
                };
                self.line(&format!("{mark} {text}"));
            }
        }
    }

    fn unknowns(&mut self, report: &Report) {
        let unknown = one_per_limit(report, |found| found.verdict == Verdict::Unknown);
        if unknown.is_empty() {
            return;
        }
        self.text.push('\n');
        self.line(&self.paint.bold("Unknown, and not counted as sufficient:"));
        for found in unknown {
            self.line(&format!("  {:19}  {}", found.limit.table_name(), plain(&found.note)));
        }
    }

    fn fixes(&mut self, report: &Report) {
        let mut has_sysctl = false;
        for role_report in &report.roles {
            let fixes: Vec<&Fix> =
                role_report.findings.iter().flat_map(|found| &found.fix).collect();
            if fixes.is_empty() {
                continue;
            }
            self.text.push('\n');
            let conns = plural(report.conns.unwrap_or_default(), "connection");
            let title = format!("To hold {conns} as a {}:", role_report.role.name());
            self.line(&self.paint.bold(&title));
            for fix in fixes {
                self.fix(fix);
                has_sysctl |= fix.command.starts_with("sysctl");
            }
        }
        if has_sysctl {
            let text =
                "sysctl -w lasts until the next boot; a file in /etc/sysctl.d/ is permanent.";
            self.text.push('\n');
            self.line(&self.paint.dim(text));
        }
    }

    /// Adds the command and the remark, on two lines if one would be too long.
    fn fix(&mut self, fix: &Fix) {
        let Fix { command, remark } = fix;
        let is_short = command.chars().count() + remark.chars().count() + 6 <= self.columns;
        let remark_text = self.paint.dim(&format!("# {remark}"));
        match (command.is_empty(), remark.is_empty()) {
            (_, true) => self.text.push_str(&format!("  {command}\n")),
            (true, _) => self.line(&format!("  {remark_text}")),
            _ if is_short => self.text.push_str(&format!("  {command}  {remark_text}\n")),
            _ => {
                self.line(&format!("  {remark_text}"));
                self.text.push_str(&format!("  {command}\n"));
            }
        }
    }
}

/// Returns one row for each limit that applies to a role of the report.
fn rows(report: &Report) -> Vec<LimitRow> {
    let mut limits = one_per_limit(report, |_| true);
    limits.sort_by_key(|found| found.limit.section());
    limits.into_iter().map(|first| row(report, first)).collect()
}

/// Returns the first of the chosen findings of each limit.
fn one_per_limit(report: &Report, is_chosen: fn(&Finding) -> bool) -> Vec<&Finding> {
    let mut limits: Vec<&Finding> = Vec::new();
    let all = report.roles.iter().flat_map(|role_report| &role_report.findings);
    for found in all.filter(|found| is_chosen(found)) {
        if limits.iter().all(|other| other.limit != found.limit) {
            limits.push(found);
        }
    }
    limits
}

fn row(report: &Report, first: &Finding) -> LimitRow {
    let limit = first.limit;
    let mut cells = vec![limit.table_name().to_string(), now(first)];
    let mut verdict = first.verdict;
    for role_report in &report.roles {
        let found = role_report.findings.iter().find(|found| found.limit == limit);
        cells.push(found.map_or_else(String::new, |found| number(report, found)));
        verdict = found.map_or(verdict, |found| verdict.min(found.verdict));
    }
    let is_limiting = |role_report: &RoleReport| {
        role_report.summary.limiting.is_some_and(|(_, limiting)| limiting == limit)
    };
    let note = match report.roles.iter().any(is_limiting) {
        true => "limiting",
        // The reason may be long, so it is printed below the table.
        false if first.verdict == Verdict::Unknown => "",
        false => &first.note,
    };
    LimitRow { limit, verdict, cells, note: plain(note).to_string() }
}

fn now(found: &Finding) -> String {
    let known = found.now.known().map(|now| found.limit.unit().format(*now));
    known.unwrap_or_else(|| found.now.state().to_string())
}

/// Returns the value needed if N was given, otherwise how many connections fit.
fn number(report: &Report, found: &Finding) -> String {
    match (&found.holds, found.needs) {
        (_, Some(needs)) => found.limit.unit().format(needs),
        (_, None) if report.conns.is_some() => "any".to_string(),
        (Fact::Known(holds), None) => count(*holds),
        (Fact::Unlimited | Fact::Absent, None) => "any".to_string(),
        (Fact::Unknown(_), None) => "unknown".to_string(),
    }
}

fn verdict(is_good: bool) -> Verdict {
    if is_good { Verdict::Fits } else { Verdict::TooSmall }
}

fn line(cells: &[String], widths: &[usize], note: &str) -> String {
    let mut text = format!("{:1$}", cells[0], widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        text.push_str(&format!("  {cell:>width$}"));
    }
    format!("{text}  {note}").trim_end().to_string()
}

/// Formats a row for terminals too narrow for columns: each number after its name.
fn labelled(row: &LimitRow, heads: &[String]) -> String {
    let cells = heads.iter().zip(&row.cells).skip(1).filter(|(_, cell)| !cell.is_empty());
    let cells: Vec<String> = cells.map(|(head, cell)| format!("{head} {cell}")).collect();
    let note = if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) };
    format!("{}: {}{note}", row.cells[0], cells.join(", "))
}

fn title(section: LimitSection) -> &'static str {
    match section {
        LimitSection::Every => "every connection",
        LimitSection::Server => "accepted connections",
        LimitSection::Client => "connections to one target",
    }
}

fn mark(verdict: Verdict, paint: Paint) -> String {
    match verdict {
        Verdict::Unasked => "    ".to_string(),
        Verdict::Fits => paint.fine("  ok"),
        Verdict::TooSmall => paint.bad("  NO"),
        Verdict::Slows => paint.warning("slow"),
        Verdict::Unknown => paint.warning("   ?"),
    }
}

impl LimitUnit {
    pub fn format(self, number: u64) -> String {
        match self {
            LimitUnit::Count => count(number),
            LimitUnit::Bytes => bytes(number),
        }
    }
}

/// `19,936`, `9,999,999`, `16.7 M`: at most nine columns, never rounded up.
pub fn count(number: u64) -> String {
    let (mut tenths, mut units) = (number / 100_000, ["M", "G", "T", "P", "E"].iter());
    let mut unit = units.next();
    if number < 10_000_000 {
        return grouped(number);
    }
    while tenths >= 10_000
        && let Some(next) = units.next()
    {
        (tenths, unit) = (tenths / 1000, Some(next));
    }
    format!("{}.{} {}", tenths / 10, tenths % 10, unit.unwrap_or(&""))
}

/// `512 B`, `3.9 KiB`, `23 GiB`: never rounded up.
fn bytes(number: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut power = 0;
    while power + 1 < units.len() && number >> (10 * (power + 1)) > 0 {
        power += 1;
    }
    let whole = number >> (10 * power);
    let tenth = ((number as u128 * 10) >> (10 * power)) % 10;
    match (power, whole) {
        (1.., ..10) => format!("{whole}.{tenth} {}", units[power]),
        _ => format!("{whole} {}", units[power]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_counts_are_short_and_never_rounded_up() {
        let numbers = [0, 9_999_999, 10_000_000, 16_777_183, 999_999_999, 1_073_741_816, u64::MAX];
        let expected = ["0", "9,999,999", "10.0 M", "16.7 M", "999.9 M", "1.0 G", "18.4 E"];
        assert_eq!(numbers.map(count), expected);
    }

    #[test]
    fn sizes_have_two_digits_at_least() {
        let shown = [0, 1023, 1024, 3_993, 10_240, 24_927_068_160, u64::MAX].map(bytes);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "3.8 KiB", "10 KiB", "23 GiB", "15 EiB"]);
    }
}
