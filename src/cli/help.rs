//! The texts of `--help` and `--version`, laid out from the tables.

use super::command::{COMMANDS, Group, Spec};
use super::flag::{Flag, Section, Where};
use crate::plan::stress::options::Part;

/// Texts keep within so many columns: a terminal that is a little wider than the oldest ones.
pub const COLUMNS: usize = 96;
/// A name longer than this stands on a line of its own.
const NAME_COLUMNS: usize = 30;
/// Keeps two words on one line; it is shown as a space.
const HARD_SPACE: char = '\u{a0}';

const ADDRESSES: &[(&str, &str)] = &[
    ("7007  :7007  *:7007", "a port on every address of this machine, IPv6 and IPv4"),
    ("127.0.0.1:7007  [::1]:7007", "one address; to listen, port 0 picks a free one and tells it"),
    ("name:7007", "a host name"),
    ("tcp://…  udp://…", "the transport; TCP if it is not said"),
    ("/path  unix:/path", "a Unix socket; unix:@name is one without a file (Linux)"),
    ("unix-dgram:/path", "a Unix datagram socket"),
];
const LISTEN_OPTIONS: (&str, &str) =
    ("LISTEN,option…", "v6only, backlog=N, mode=0660 (of a Unix socket), reuseport");
const SERVE_CODES: &[(&str, &str)] = &[
    ("0", "done, also after a drain"),
    ("1", "could not: an address cannot be bound, a right is missing, a failure while running"),
    ("2", "wrong usage"),
    ("130, 143", "a second INT or TERM cut the drain"),
];
const CONNECT_CODES: &[(&str, &str)] = &[
    ("0", "the conversation ended in order; with -z: there is somebody"),
    ("1", "something of ours failed: input, output, or no descriptor was left"),
    ("2", "wrong usage"),
    ("6", "the name does not resolve"),
    ("7", "no connection: refused, or there is no way to the target"),
    ("28", "timed out: no connection within -w, nothing moved for -i; on datagrams no answer"),
    ("56", "the connection was reset, or its network failed"),
    ("130, 143", "INT or TERM ended it"),
];
const DOCTOR_CODES: &[(&str, &str)] = &[
    ("0", "so many connections fit, or no number was given"),
    ("1", "they do not fit, or it is not known whether they do"),
    ("2", "wrong usage"),
];
const STRESS_CODES: &[(&str, &str)] = &[
    ("0", "all went well"),
    ("1", "something failed: a connection, an answer, or a byte that came back other than sent"),
    ("2", "wrong usage"),
];
const SIGNALS: &[(&str, &str)] = &[
    ("TERM, INT", "stop accepting and finish what is in progress; again: stop at once"),
    ("QUIT", "write the state of the loop to the log"),
    ("HUP, PIPE", "are ignored"),
];
const ENVIRONMENT: &[(&str, &str)] = &[
    ("RUST_LOG", "what the log shows, as in oneloop=debug; wins over -v and -q"),
    ("NO_COLOR", "no colours, if set"),
];

pub fn version() -> String {
    format!("oneloop {}\n", env!("CARGO_PKG_VERSION"))
}

/// `oneloop --help`.
pub fn overview() -> String {
    let mut page = Page::new("oneloop: one thread, one loop: a faithful echo and relay daemon");
    page.section("Usage");
    page.line("oneloop COMMAND [ARGUMENT…] [OPTION…]");
    page.line("oneloop COMMAND --help        tells all about one command");
    let groups = [(Group::Serve, "Serve"), (Group::Talk, "Talk"), (Group::Examine, "Examine")];
    for (group, title) in groups {
        let specs = COMMANDS.iter().filter(|spec| spec.group == group);
        page.list(title, specs.map(|spec| (spec.name, spec.about)));
    }
    page.addresses(true);
    page.section("Options of every command");
    page.flags(
        &Flag::all()
            .filter(|flag| matches!(flag.on, Where::All | Where::Logged))
            .collect::<Vec<_>>(),
    );
    page.list("Exit codes", SERVE_CODES.iter().copied());
    page.list("Signals", SIGNALS.iter().copied());
    page.list("Environment", ENVIRONMENT.iter().copied());
    page.section("Examples");
    for name in ["echo", "relay", "run", "connect"] {
        let spec = COMMANDS.iter().find(|spec| spec.name == name);
        page.examples(spec.and_then(|spec| spec.examples.first()).into_iter());
    }
    page.text
}

/// `oneloop COMMAND --help`.
pub fn about(spec: &Spec) -> String {
    let mut page = Page::new(&format!("oneloop {}: {}", spec.name, spec.about));
    page.section("Usage");
    page.line(&format!("oneloop {} {}", spec.name, spec.arguments));
    page.text.push('\n');
    page.items(spec.words.iter().copied());
    if !spec.notes.is_empty() {
        page.text.push('\n');
        spec.notes.iter().for_each(|note| page.line(note));
    }
    let mut parts = Vec::new();
    for (section, title) in Section::ALL {
        let flags = Flag::all().filter(|flag| flag.section == section && flag.is_on(spec.name));
        let flags: Vec<Flag> = flags.filter(|flag| !flag.help.is_empty()).collect();
        if !flags.is_empty() {
            page.section(title);
            page.flags(&flags);
        }
        // Parts of one list have their units explained once, behind the last of them.
        parts.extend(flags);
        if !matches!(section, Section::Stress(Part::Load | Part::Much)) {
            page.units(&parts);
            parts.clear();
        }
    }
    let (listens, codes) = match spec.name {
        "connect" => (false, CONNECT_CODES),
        "doctor" => (false, DOCTOR_CODES),
        "stress" => (false, STRESS_CODES),
        _ => (true, SERVE_CODES),
    };
    page.addresses(listens);
    page.list("Exit codes", codes.iter().copied());
    if listens {
        page.list("Signals", SIGNALS.iter().copied());
    }
    page.section("Examples");
    page.examples(spec.examples.iter());
    page.text
}

/// A text that grows downwards.
struct Page {
    text: String,
}

impl Page {
    fn new(title: &str) -> Page {
        Page { text: format!("{title}\n") }
    }

    fn section(&mut self, title: &str) {
        self.text.push_str(&format!("\n{title}:\n"));
    }

    fn line(&mut self, line: &str) {
        let indent = if line.is_empty() { "" } else { "  " };
        self.text.push_str(&format!("{indent}{line}\n"));
    }

    fn list<'a>(&mut self, title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) {
        self.section(title);
        self.items(items);
    }

    /// Names and what they are, in two columns. The first is as wide as it must be.
    fn items<'a>(&mut self, items: impl Iterator<Item = (&'a str, &'a str)>) {
        let items: Vec<(&str, &str)> = items.collect();
        let widths = items.iter().map(|(name, _)| name.chars().count());
        let width = widths.filter(|width| *width <= NAME_COLUMNS).max().unwrap_or(NAME_COLUMNS);
        for (name, text) in items {
            let mut lines = wrap(text, COLUMNS - width - 4).into_iter();
            let mut left = name;
            if name.chars().count() > width {
                self.line(name);
                left = "";
            }
            let first = lines.next().unwrap_or_default();
            self.line(&format!("{left:width$}  {first}"));
            lines.for_each(|line| self.line(&format!("{:width$}  {line}", "")));
        }
    }

    fn flags(&mut self, flags: &[Flag]) {
        let rows: Vec<(String, String)> = flags.iter().map(row).collect();
        self.items(rows.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    }

    fn addresses(&mut self, listens: bool) {
        let option = listens.then_some(LISTEN_OPTIONS);
        self.list("Addresses", ADDRESSES.iter().copied().chain(option));
    }

    /// What the values of these options may be.
    fn units(&mut self, flags: &[Flag]) {
        const TIME: &str = "TIME has a unit: 100us, 500ms, 5s, 2m, 1h or 1d; some may be off.";
        const N: &str = "N may be 10k (thousands) or 1m (millions).";
        const SIZE: &str = "SIZE may be 64k (of 1024), 1M or 1G.";
        const RATE: &str = "RATE is 2k/s, 600/m or 50/h; a bare number means per second.";
        let units = [("TIME", TIME), ("N", N), ("SIZE", SIZE), ("RATE", RATE)];
        let takes = |unit: &str| flags.iter().any(|flag| flag.value == Some(unit));
        let lines: Vec<&str> = units.iter().filter(|unit| takes(unit.0)).map(|u| u.1).collect();
        if !lines.is_empty() {
            self.text.push('\n');
            lines.iter().for_each(|line| self.line(line));
        }
    }

    fn examples<'a>(&mut self, examples: impl Iterator<Item = &'a (&'a str, &'a str)>) {
        for (command, text) in examples {
            self.line(command);
            self.line(&format!("    {text}"));
        }
    }
}

/// An option as help shows it: its names, and what it does.
fn row(flag: &Flag) -> (String, String) {
    let short = flag.short.map_or("    ".to_string(), |short| format!("-{short}, "));
    let value = flag.value.map_or(String::new(), |value| format!(" {value}"));
    let default = match (flag.value, flag.default) {
        (None, _) | (_, "") => String::new(),
        (_, default) => format!(" (default: {default})").replacen(": ", ":\u{a0}", 1),
    };
    (format!("{short}--{}{value}", flag.long), format!("{}{default}", flag.help))
}

/// The text in lines of at most so many columns.
fn wrap(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        let fits = |line: &String| line.chars().count() + 1 + word.chars().count() <= columns;
        match lines.last_mut().filter(|line| fits(line)) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_string()),
        }
    }
    lines.iter().map(|line| line.replace(HARD_SPACE, " ")).collect()
}
