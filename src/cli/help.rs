//! The texts of `--help` and `--version`, laid out from the tables.

use super::command::{COMMANDS, Group, Spec};
use super::flag::{Flag, Section, Where};
use crate::plan::stress::options::Part;
use crate::text::wrap::{COLUMNS_MIN, fit};

/// A name longer than this stands on a line of its own; on a narrow page earlier.
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
    ("0", "so many connections fit in every role (no number: 0), and TARGET accepted"),
    ("1", "they do not fit, or it is not known whether they do, or TARGET failed"),
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

/// A help text. It is laid out when the width of the terminal is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    Overview,
    /// Of the command with this name.
    About(&'static str),
}

impl Help {
    /// The text in at most so many columns. Only a command to type is never broken.
    pub fn text(self, columns: usize) -> String {
        let columns = columns.max(COLUMNS_MIN);
        match self {
            Help::Overview => overview(columns),
            Help::About(name) => {
                let spec = COMMANDS.iter().find(|spec| spec.name == name);
                spec.map_or_else(String::new, |spec| about(spec, columns))
            }
        }
    }
}

/// `oneloop --help`.
fn overview(columns: usize) -> String {
    let title = "oneloop: one thread, one loop: a faithful echo and relay daemon";
    let mut page = Page::new(title, columns);
    page.section("Usage");
    page.line("oneloop COMMAND [ARGUMENT…] [OPTION…]");
    page.line("oneloop COMMAND --help        tells all about one command");
    let groups = [(Group::Serve, "Serve"), (Group::Talk, "Talk"), (Group::Tools, "Tools")];
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
fn about(spec: &Spec, columns: usize) -> String {
    let mut page = Page::new(&format!("oneloop {}: {}", spec.name, spec.about), columns);
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
    columns: usize,
}

impl Page {
    fn new(title: &str, columns: usize) -> Page {
        Page { text: fit(&format!("{title}\n"), columns), columns }
    }

    fn section(&mut self, title: &str) {
        self.text.push_str(&fit(&format!("\n{title}:\n"), self.columns));
    }

    fn line(&mut self, line: &str) {
        let indent = if line.is_empty() { "" } else { "  " };
        self.text.push_str(&fit(&format!("{indent}{line}\n"), self.columns));
    }

    fn list<'a>(&mut self, title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) {
        self.section(title);
        self.items(items);
    }

    /// Names and what they are, in two columns. The first is as wide as it must be.
    fn items<'a>(&mut self, items: impl Iterator<Item = (&'a str, &'a str)>) {
        let items: Vec<(&str, &str)> = items.collect();
        let widths = items.iter().map(|(name, _)| name.chars().count());
        let most = NAME_COLUMNS.min(self.columns * 3 / 8);
        let width = widths.filter(|width| *width <= most).max().unwrap_or(most);
        for (name, text) in items {
            let mut lines = wrap(text, self.columns - width - 4).into_iter();
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
            self.text.push_str(&format!("  {command}\n"));
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

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{Command, parse};
    use super::*;
    use crate::text::wrap::width;

    fn command(line: &str) -> Command {
        parse(line.split_whitespace().map(OsString::from)).unwrap()
    }

    #[test]
    fn help_shows_every_option_of_a_command_within_the_columns() {
        for spec in &COMMANDS {
            let texts = [format!("{} --help", spec.name), format!("help {}", spec.name)];
            let Command::Help(help) = command(&texts[0]) else { panic!("{texts:?}") };
            assert_eq!(command(&texts[1]), Command::Help(help));
            let text = help.text(80);
            for flag in Flag::all() {
                let shown = text.lines().any(|line| {
                    let words = line.split_whitespace().take(2);
                    words.into_iter().any(|word| word.trim_end_matches(',') == flag.dashed())
                });
                let shows = |other: &Flag| other.is_on(spec.name) && !other.help.is_empty();
                let same = |other: &Flag| other.long == flag.long && shows(other);
                assert_eq!(
                    shown,
                    Flag::all().any(|other| same(&other)),
                    "{} of {}",
                    flag.long,
                    spec.name
                );
            }
            assert_layout(help);
        }
    }

    /// No line is wider than the terminal, but for a command to type on a narrow one.
    fn assert_layout(help: Help) {
        for columns in [80, 60, 40] {
            for line in help.text(columns).lines() {
                let is_command = columns < 80 && line.contains("oneloop ");
                assert!(width(line) <= columns || is_command, "{columns}: {line:?}");
                assert_eq!(line.trim_end(), line);
            }
        }
    }

    #[test]
    fn the_overview_names_every_command() {
        let Command::Help(help) = command("--help") else { panic!("no help") };
        for line in ["-h", "help", "-h echo"] {
            assert_eq!(command(line), Command::Help(help), "{line}");
        }
        let text = help.text(80);
        assert!(COMMANDS.iter().all(|spec| text.contains(&format!("\n  {} ", spec.name))));
        assert_layout(help);
    }

    #[test]
    fn the_version_is_the_one_of_the_package() {
        let expected = Command::Version(format!("oneloop {}\n", env!("CARGO_PKG_VERSION")));
        for line in ["--version", "-V", "echo --version", "relay -V"] {
            assert_eq!(command(line), expected, "{line}");
        }
    }
}
