//! The report for people: a sentence that answers, a table, what is not known, and what mends it.

use std::io::{self, Write};

use super::facts::Fact;
use super::finding::{Finding, Limit, Mend, Section, Sum, Verdict};
use super::{Report, Role};
use crate::text::digits::{grouped, plural};
use crate::text::paint::Paint;

/// The width of a terminal that most people have. Only a command is never broken to fit.
const COLUMNS: usize = 100;
/// The width of the longest name of a limit.
const NAME_COLUMNS: usize = 30;

pub fn write(report: &Report, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    let paint = Paint(colour);
    for (at, (role, sum)) in report.roles.iter().enumerate() {
        let text = if at == 0 { answer(report, *role, sum) } else { aside(report, *role, sum) };
        writeln!(out, "{}", if at == 0 { paint.bold(&text) } else { text })?;
    }
    table(report, &paint, out)?;
    unknowns(report, &paint, out)?;
    mends(report, &paint, out)
}

/// The one sentence that is looked for.
fn answer(report: &Report, role: Role, sum: &Sum) -> String {
    let role = as_role(report, role);
    let text = match (sum.bites, report.conns) {
        _ if !sum.known => {
            format!("How many connections this machine holds {role} is not known.")
        }
        (None, _) => format!("No limit is known to bound the connections of this machine {role}."),
        (Some((holds, limit)), None) => {
            let held = plural(holds, "connection");
            format!("This machine holds {held} {role}: {} bites first.", limit.word())
        }
        (Some((holds, limit)), Some(conns)) if sum.fits == Some(true) => {
            let (held, most) = (plural(conns, "connection"), grouped(holds));
            format!("This machine holds {held} {role}, up to {most}: {} bites first.", limit.word())
        }
        (Some((holds, limit)), Some(conns)) => {
            let (held, most, word) = (plural(conns, "connection"), grouped(holds), limit.word());
            match sum.fits {
                Some(_) => format!(
                    "This machine does not hold {held} {role}: {word} bites first, at {most}."
                ),
                None => format!(
                    "It is not known whether this machine holds {held} {role}.\n\
                     Of the limits that are known {word} bites first, at {most}."
                ),
            }
        }
    };
    match sum.unknown {
        0 => text,
        1 => format!("{text}\nOne limit is not known (?), and may bite earlier."),
        many => format!("{text}\n{many} limits are not known (?), and may bite earlier."),
    }
}

/// The same for a role that was not asked about.
fn aside(report: &Report, role: Role, sum: &Sum) -> String {
    let mut text = as_role(report, role);
    text.replace_range(..1, "A");
    match sum.bites {
        Some((holds, limit)) => {
            format!("{text} it holds {}: {} bites first.", grouped(holds), limit.word())
        }
        None if sum.known => format!("{text}: no limit is known to bite."),
        None => format!("{text}: not known."),
    }
}

fn as_role(report: &Report, role: Role) -> String {
    match (role, &report.target) {
        (Role::Server, _) => "as a server".to_string(),
        (Role::Client, None) => "as a client of one address and port".to_string(),
        (Role::Client, Some(target)) => format!("as a client of {target}"),
        (Role::Relay, None) => "as a relay (two ends each)".to_string(),
        (Role::Relay, Some(target)) => format!("as a relay to {target}"),
    }
}

/// Its cells before they are set: limit, now, needs, holds, note.
struct Row<'a> {
    finding: &'a Finding,
    cells: [String; 5],
}

const HEADS: [&str; 5] = ["limit", "now", "needs", "holds", ""];

fn table(report: &Report, paint: &Paint, out: &mut dyn Write) -> io::Result<()> {
    let bites = report.roles.first().and_then(|(_, sum)| sum.bites).map(|(_, limit)| limit);
    let row = |finding| Row { finding, cells: cells(finding, bites) };
    let rows: Vec<Row> = report.shown().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row.cells[column].chars().count());
        cells.chain([HEADS[column].len()]).max().unwrap_or_default()
    };
    let widths = [width(0), width(1), width(2), width(3)];
    let is_asked = report.conns.is_some();
    let head = line(&HEADS.map(String::from), &widths, is_asked);
    writeln!(out, "\n      {}", paint.dim(&head))?;
    for section in report.sections() {
        let mine = |row: &&Row| row.finding.limit.section() == *section;
        if rows.iter().any(|row| mine(&row)) {
            writeln!(out, "  {}", paint.bold(title(report, *section)))?;
        }
        for row in rows.iter().filter(mine) {
            let mark = mark(row.finding.verdict, paint);
            let text = line(&row.cells, &widths, is_asked);
            let is_biting = bites == Some(row.finding.limit);
            writeln!(out, "{mark}  {}", if is_biting { paint.bold(&text) } else { text })?;
        }
    }
    Ok(())
}

fn cells(found: &Finding, bites: Option<Limit>) -> [String; 5] {
    let unit = found.limit.unit();
    let now = match &found.now {
        Fact::Known(now) => unit.print(*now),
        Fact::Endless => "no limit".to_string(),
        Fact::Absent => "none".to_string(),
        Fact::Unknown(_) => "unknown".to_string(),
    };
    let needs = found.needs.map_or_else(String::new, |needs| unit.print(needs));
    let holds = match &found.holds {
        Fact::Known(holds) => grouped(*holds),
        Fact::Endless | Fact::Absent => "any".to_string(),
        Fact::Unknown(_) => "unknown".to_string(),
    };
    // The reason for an unknown may be long; it stands below the table.
    let note = if found.verdict == Verdict::Unknown { "" } else { &found.note };
    let note = match (bites == Some(found.limit), note) {
        (false, note) => note.to_string(),
        (true, "") => "bites first".to_string(),
        (true, note) => format!("bites first; {note}"),
    };
    [found.limit.name().to_string(), now, needs, holds, note]
}

/// One line of the table. Where no number was asked for, nothing is needed.
fn line(cells: &[String; 5], widths: &[usize; 4], is_asked: bool) -> String {
    let [limit, now, needs, holds, note] = cells;
    let [a, b, c, d] = *widths;
    let needs = if is_asked { format!("  {needs:>c$}") } else { String::new() };
    format!("{limit:a$}  {now:>b$}{needs}  {holds:>d$}  {note}").trim_end().to_string()
}

fn title(report: &Report, section: Section) -> &'static str {
    match (section, &report.target) {
        (Section::Every, _) => "every connection",
        (Section::Server, _) => "a server",
        (Section::Client, None) => "a client of one address and port",
        (Section::Client, Some(_)) => "a client of this target",
    }
}

fn unknowns(report: &Report, paint: &Paint, out: &mut dyn Write) -> io::Result<()> {
    let unknown = |found: &&Finding| found.verdict == Verdict::Unknown;
    let found: Vec<_> = report.shown().filter(unknown).collect();
    if !found.is_empty() {
        writeln!(out, "\n{}", paint.bold("Not known, and so not counted as enough:"))?;
    }
    for found in found {
        writeln!(out, "  {:NAME_COLUMNS$}  {}", found.limit.name(), found.note)?;
    }
    Ok(())
}

fn mends(report: &Report, paint: &Paint, out: &mut dyn Write) -> io::Result<()> {
    let ill: Vec<_> = report.shown().filter(|found| !found.mend.is_empty()).collect();
    if ill.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{}", paint.bold("What mends it:"))?;
    for found in &ill {
        let mut name = found.limit.name();
        for mend in &found.mend {
            writeln!(out, "  {name:NAME_COLUMNS$}  {}", remedy(mend, paint))?;
            name = "";
        }
    }
    if ill.iter().flat_map(|found| &found.mend).any(|mend| mend.command.starts_with("sysctl")) {
        let text = "sysctl -w lasts until the next boot; a line in /etc/sysctl.d/ stays.";
        writeln!(out, "  {}", paint.dim(text))?;
    }
    Ok(())
}

/// The command and the remark, on two lines if one would be too long.
fn remedy(mend: &Mend, paint: &Paint) -> String {
    let Mend { command, remark } = mend;
    let remark_text = paint.dim(&format!("# {remark}"));
    match (command.is_empty(), remark.is_empty()) {
        (_, true) => command.clone(),
        (true, _) => remark_text,
        _ if NAME_COLUMNS + 8 + command.len() + remark.len() <= COLUMNS => {
            format!("{command}  {remark_text}")
        }
        _ => format!("{remark_text}\n{:1$}{command}", "", NAME_COLUMNS + 4),
    }
}

fn mark(verdict: Verdict, paint: &Paint) -> String {
    match verdict {
        Verdict::Unasked => "    ".to_string(),
        Verdict::Fits => paint.fine("  ok"),
        Verdict::TooSmall => paint.bad("  NO"),
        Verdict::Slows => paint.warning("slow"),
        Verdict::Unknown => paint.warning("   ?"),
    }
}
