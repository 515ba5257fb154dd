//! Prints the report: a sentence for each role, a table, the unknown limits, and the commands that
//! raise a limit.

use super::connect::Attempt;
use super::demand::Role;
use super::facts::Fact;
use super::finding::{Finding, Fix, Limit, Section, Verdict};
use super::show::count;
use super::{Judged, Report};
use crate::text::digits::{grouped, plural};
use crate::text::escape::plain;
use crate::text::paint::Paint;
use crate::text::wrap::fit;

/// Lays out the report in at most `columns` columns. Only commands are never wrapped.
pub fn report(report: &Report, colour: bool, columns: usize) -> String {
    let mut page = Page { text: String::new(), paint: Paint(colour), columns };
    for judged in &report.roles {
        let verdict = match (report.conns, judged.sum.fits) {
            (None, _) => Verdict::Unasked,
            (Some(_), None) => Verdict::Unknown,
            (Some(_), Some(fits)) => verdict(fits),
        };
        page.marked(report, verdict, &sentence(report, judged));
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
fn sentence(report: &Report, judged: &Judged) -> String {
    let (role, sum) = (as_role(report, judged.role), &judged.sum);
    let unknown = match (sum.known, sum.unknown) {
        (false, _) => return format!("{role}: unknown."),
        (true, 0) => String::new(),
        (true, many) => format!("; {} unknown", plural(many as u64, "limit")),
    };
    let Some((holds, limit)) = sum.limiting else {
        return format!("{role}: no known limit{unknown}.");
    };
    let (most, limit) = (grouped(holds), limit.word());
    let text = match (report.conns.map(|conns| plural(conns, "connection")), sum.fits) {
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
fn attempted(target: &str, attempt: &Attempt) -> String {
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
struct Page {
    text: String,
    paint: Paint,
    columns: usize,
}

/// A row of the table: a limit, its value, a number for each role, and a note.
struct Row {
    limit: Limit,
    verdict: Verdict,
    cells: Vec<String>,
    note: String,
}

impl Page {
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
        heads.extend(report.roles.iter().map(|judged| judged.role.word().to_string()));
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
        for section in Section::ALL {
            let mine: Vec<&Row> =
                rows.iter().filter(|row| row.limit.section() == section).collect();
            if !mine.is_empty() {
                let title = self.paint.bold(title(section));
                self.line(&format!("  {title}"));
            }
            for row in mine {
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
        let mut unknown: Vec<&Finding> = Vec::new();
        for found in report.roles.iter().flat_map(|judged| &judged.findings) {
            let is_new = unknown.iter().all(|other| other.limit != found.limit);
            if found.verdict == Verdict::Unknown && is_new {
                unknown.push(found);
            }
        }
        if unknown.is_empty() {
            return;
        }
        self.text.push('\n');
        self.line(&self.paint.bold("Unknown, and not counted as sufficient:"));
        for found in unknown {
            self.line(&format!("  {:19}  {}", found.limit.short(), plain(&found.note)));
        }
    }

    fn fixes(&mut self, report: &Report) {
        let mut has_sysctl = false;
        for judged in &report.roles {
            let fixes: Vec<&Fix> = judged.findings.iter().flat_map(|found| &found.fix).collect();
            if fixes.is_empty() {
                continue;
            }
            self.text.push('\n');
            let conns = plural(report.conns.unwrap_or_default(), "connection");
            let title = format!("To hold {conns} as a {}:", judged.role.word());
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
fn rows(report: &Report) -> Vec<Row> {
    let mut limits: Vec<&Finding> = Vec::new();
    for found in report.roles.iter().flat_map(|judged| &judged.findings) {
        if limits.iter().all(|other| other.limit != found.limit) {
            limits.push(found);
        }
    }
    limits.sort_by_key(|found| Section::ALL.iter().position(|at| *at == found.limit.section()));
    limits.into_iter().map(|first| row(report, first)).collect()
}

fn row(report: &Report, first: &Finding) -> Row {
    let limit = first.limit;
    let of = |judged: &'_ Judged| judged.findings.iter().position(|found| found.limit == limit);
    let mut cells = vec![limit.short().to_string(), now(first)];
    let mut verdict = first.verdict;
    for judged in &report.roles {
        let found = of(judged).map(|at| &judged.findings[at]);
        cells.push(found.map_or_else(String::new, |found| number(report, found)));
        verdict = found.map_or(verdict, |found| worse(verdict, found.verdict));
    }
    let is_limiting =
        |judged: &Judged| judged.sum.limiting.is_some_and(|(_, limiting)| limiting == limit);
    let note = match report.roles.iter().any(is_limiting) {
        true => "limiting",
        // The reason may be long, so it is printed below the table.
        false if first.verdict == Verdict::Unknown => "",
        false => &first.note,
    };
    Row { limit, verdict, cells, note: plain(note).to_string() }
}

fn now(found: &Finding) -> String {
    match &found.now {
        Fact::Known(now) => found.limit.unit().print(*now),
        Fact::Endless => "no limit".to_string(),
        Fact::Absent => "none".to_string(),
        Fact::Unknown(_) => "unknown".to_string(),
    }
}

/// Returns the value needed if N was given, otherwise how many connections fit.
fn number(report: &Report, found: &Finding) -> String {
    match (&found.holds, found.needs) {
        (_, Some(needs)) => found.limit.unit().print(needs),
        (_, None) if report.conns.is_some() => "any".to_string(),
        (Fact::Known(holds), None) => count(*holds),
        (Fact::Endless | Fact::Absent, None) => "any".to_string(),
        (Fact::Unknown(_), None) => "unknown".to_string(),
    }
}

fn verdict(is_good: bool) -> Verdict {
    if is_good { Verdict::Fits } else { Verdict::TooSmall }
}

/// Returns the worse of two verdicts.
fn worse(one: Verdict, other: Verdict) -> Verdict {
    use Verdict::{Fits, Slows, TooSmall, Unasked, Unknown};
    let order = [TooSmall, Unknown, Slows, Fits, Unasked];
    order.into_iter().find(|verdict| [one, other].contains(verdict)).unwrap_or(one)
}

fn line(cells: &[String], widths: &[usize], note: &str) -> String {
    let mut text = format!("{:1$}", cells[0], widths[0]);
    for (cell, width) in cells.iter().zip(widths).skip(1) {
        text.push_str(&format!("  {cell:>width$}"));
    }
    format!("{text}  {note}").trim_end().to_string()
}

/// Formats a row for terminals too narrow for columns: each number after its name.
fn labelled(row: &Row, heads: &[String]) -> String {
    let cells = heads.iter().zip(&row.cells).skip(1).filter(|(_, cell)| !cell.is_empty());
    let cells: Vec<String> = cells.map(|(head, cell)| format!("{head} {cell}")).collect();
    let note = if row.note.is_empty() { String::new() } else { format!(" ({})", row.note) };
    format!("{}: {}{note}", row.cells[0], cells.join(", "))
}

fn title(section: Section) -> &'static str {
    match section {
        Section::Every => "every connection",
        Section::Server => "accepted connections",
        Section::Client => "connections to one target",
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
