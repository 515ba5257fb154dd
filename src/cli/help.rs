//! Lays out the texts of `--help` and `--version` from the tables.

use super::args::dashed;
use super::command::{COMMANDS, CommandGroup, Spec};
use super::ctl;
use crate::config::options::{self, OptionSpec, Scope, Section};
use crate::text::wrap::{COLUMNS_MIN, fit};

/// Width of the name column: a longer name is on a line of its own.
const NAME_COLUMNS: usize = 27;
/// Keeps two words on one line; it is shown as a space.
const HARD_SPACE: char = '\u{a0}';

const ADDRESSES: &[(&str, &str)] = &[
    ("7007, :7007, *:7007", "port on all local addresses, IPv6 and IPv4"),
    ("127.0.0.1:7007", "IPv4 address and port"),
    ("[::1]:7007", "IPv6 address and port"),
    ("name:7007", "host name and port"),
    ("tcp://..., udp://...", "transport [default: TCP]"),
    ("/path, unix:/path", "Unix stream socket"),
    ("unix:@name", "abstract Unix socket (Linux)"),
    ("unix-dgram:/path", "Unix datagram socket"),
];
const LISTEN_OPTIONS: &[(&str, &str)] = &[
    ("...:0", "any free port; the log shows which one"),
    ("LISTEN,option...", "v6only, backlog=N, mode=0660 (Unix sockets), reuseport"),
];
const SERVE_CODES: &[(&str, &str)] = &[
    ("0", "success, including a completed drain"),
    ("1", "runtime error: cannot bind, permission denied, event loop failure"),
    ("2", "usage error"),
    ("130, 143", "a drain was interrupted by a second INT or TERM"),
];
const CONNECT_CODES: &[(&str, &str)] = &[
    ("0", "the connection ended in order; with -z: the target accepted it"),
    ("1", "local error: input, output or no descriptor available"),
    ("2", "usage error"),
    ("6", "host name not resolved"),
    ("7", "connect failed: refused or unreachable"),
    ("28", "timeout: -w for connecting, -i for idle time, no answer to a datagram"),
    ("56", "connection reset, or network error"),
    ("129, 130, 131, 143", "terminated by HUP, INT, QUIT or TERM"),
];
const DOCTOR_CODES: &[(&str, &str)] = &[
    ("0", "N connections fit in every role, or no N was given; TARGET accepted, if given"),
    ("1", "they do not fit, or the answer is unknown, or the connect to TARGET failed"),
    ("2", "usage error"),
];
const CTL_CODES: &[(&str, &str)] = &[
    ("0", "success"),
    ("1", "no admin endpoint, no answer, or an error from the daemon; ready: not ready"),
    ("2", "usage error"),
];
const TRACE_CODES: &[(&str, &str)] = &[
    ("0", "success, also if the recording is incomplete"),
    ("1", "no recording, no such connection in it, or the output cannot be written"),
    ("2", "usage error"),
];
const TOP_CODES: &[(&str, &str)] = &[
    ("0", "success"),
    ("1", "no admin endpoint, no answer to the first polls, or an error from the daemon"),
    ("2", "usage error"),
    ("129, 130, 143", "terminated by HUP, INT or TERM"),
];
const CHECK_CODES: &[(&str, &str)] = &[
    ("0", "the file can be served"),
    ("1", "it has errors, or cannot be read"),
    ("2", "usage error"),
];
const PLAN_CODES: &[(&str, &str)] = &[
    ("0", "a reload would change nothing"),
    ("1", "the file has errors, or there is nothing to compare it with"),
    ("2", "a reload would change something; also: usage error"),
];
const STRESS_CODES: &[(&str, &str)] = &[
    ("0", "no failures"),
    ("1", "a connection or a request failed, or a byte differed from the one sent"),
    ("2", "usage error"),
];
const SIGNALS: &[(&str, &str)] = &[
    ("TERM, INT", "drain: stop accepting, finish connections in progress; again: exit now"),
    ("QUIT", "log the state of the event loop"),
    ("HUP", "serve: reload the file; other commands that serve, and chat, ignore it"),
    ("PIPE", "ignored"),
];
const ENVIRONMENT: &[(&str, &str)] = &[
    ("RUST_LOG", "log filter, as in oneloop=debug; overrides -v and -q"),
    ("ONELOOP_ADMIN", "address of the admin endpoint, for ctl, top and plan"),
    ("NO_COLOR", "disables colors, if set"),
];

pub fn version() -> String {
    format!("oneloop {}\n", env!("CARGO_PKG_VERSION"))
}

/// A help text. It is laid out once the width of the terminal is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    Overview,
    /// Help for the command with this name.
    About(&'static str),
}

impl Help {
    /// Lays out the text in at most `columns` columns. Only example commands are never wrapped.
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
    let title = "A single-threaded event loop that echoes and relays bytes between TCP, UDP and \
                 Unix sockets.";
    let mut page = HelpPage::new(title, columns);
    page.paragraph("Usage: oneloop COMMAND [OPTIONS] [ARGUMENTS]");
    page.paragraph("See \"oneloop COMMAND --help\" for the options of a command.");
    let groups = [
        (CommandGroup::Serve, "Serve"),
        (CommandGroup::Talk, "Talk"),
        (CommandGroup::Tools, "Tools"),
    ];
    for (group, title) in groups {
        let specs = COMMANDS.iter().filter(|spec| spec.group == group);
        page.list(title, specs.map(|spec| (spec.name, spec.about)));
    }
    page.addresses(true);
    page.section("Common options");
    let common = |option: &&OptionSpec| matches!(option.scope, Scope::All | Scope::Logged);
    page.options(&options::all().filter(common).collect::<Vec<_>>());
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
    let (first, rest) = spec.about.split_at(1);
    let mut page = HelpPage::new(&format!("{}{rest}.", first.to_uppercase()), columns);
    page.paragraph(&format!("Usage: oneloop {} {}", spec.name, spec.arguments));
    match spec.name {
        "ctl" => page.list("Commands", ctl::COMMANDS.iter().map(|row| (row.usage, row.about))),
        _ if spec.words.is_empty() => {}
        _ => page.list("Arguments", spec.words.iter().copied()),
    }
    if !spec.notes.is_empty() {
        page.text.push('\n');
        spec.notes.iter().for_each(|note| page.plain(note));
    }
    let mut with_units = Vec::new();
    for (section, title) in Section::TITLES {
        let shown = |option: &&OptionSpec| option.section == section && !option.help.is_empty();
        let has = |option: &&OptionSpec| option.scope.has_command(spec.name);
        let listed: Vec<_> = options::all().filter(shown).filter(has).collect();
        if !listed.is_empty() {
            page.section(title);
            page.options(&listed);
        }
        // Units are explained once, after the last section of stress options.
        with_units.extend(listed);
        if !matches!(section, Section::Load | Section::Amount) {
            page.units(&with_units);
            with_units.clear();
        }
    }
    let (listens, codes) = match spec.name {
        "connect" => (false, CONNECT_CODES),
        "doctor" => (false, DOCTOR_CODES),
        "ctl" => (false, CTL_CODES),
        "top" => (false, TOP_CODES),
        "trace" => (false, TRACE_CODES),
        "stress" => (false, STRESS_CODES),
        "check" => (false, CHECK_CODES),
        "plan" => (false, PLAN_CODES),
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

/// A help page under construction.
struct HelpPage {
    text: String,
    columns: usize,
}

impl HelpPage {
    fn new(title: &str, columns: usize) -> HelpPage {
        HelpPage { text: fit(&format!("{title}\n"), columns), columns }
    }

    fn section(&mut self, title: &str) {
        self.text.push_str(&fit(&format!("\n{title}:\n"), self.columns));
    }

    /// Adds a line without indentation.
    fn plain(&mut self, line: &str) {
        self.text.push_str(&fit(&format!("{line}\n"), self.columns));
    }

    /// Adds an empty line and a line without indentation.
    fn paragraph(&mut self, line: &str) {
        self.text.push('\n');
        self.plain(line);
    }

    /// Adds an indented line.
    fn line(&mut self, line: &str) {
        let indent = if line.is_empty() { "" } else { "  " };
        self.text.push_str(&fit(&format!("{indent}{line}\n"), self.columns));
    }

    fn list<'a>(&mut self, title: &str, items: impl Iterator<Item = (&'a str, &'a str)>) {
        self.section(title);
        self.items(items);
    }

    /// Adds names and descriptions in two columns. The first is as narrow as the names allow.
    fn items<'a>(&mut self, items: impl Iterator<Item = (&'a str, &'a str)>) {
        let items: Vec<(&str, &str)> = items.collect();
        let widths = items.iter().map(|(name, _)| name.chars().count());
        let most = self.name_columns();
        let width = widths.filter(|width| *width <= most).max().unwrap_or(most);
        self.columns_of(&items, width);
    }

    fn name_columns(&self) -> usize {
        NAME_COLUMNS.min(self.columns * 3 / 8)
    }

    fn columns_of(&mut self, items: &[(&str, &str)], width: usize) {
        for &(name, text) in items {
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

    /// Adds options, in the same columns in every section.
    fn options(&mut self, options: &[&OptionSpec]) {
        let rows: Vec<(String, String)> = options.iter().map(|option| row(option)).collect();
        let items: Vec<_> = rows.iter().map(|(name, text)| (&**name, &**text)).collect();
        self.columns_of(&items, self.name_columns());
    }

    fn addresses(&mut self, listens: bool) {
        let options = if listens { LISTEN_OPTIONS } else { &[] };
        self.list("Addresses", ADDRESSES.iter().chain(options).copied());
    }

    /// Adds the formats of the values that these options take.
    fn units(&mut self, options: &[&OptionSpec]) {
        const TIME: &str = "TIME needs a unit: 100us, 500ms, 5s, 2m, 1h or 1d.";
        const TIMEOUT: &str =
            "TIME needs a unit: 100us, 500ms, 5s, 2m, 1h or 1d. \"off\" disables a timeout.";
        const N: &str = "N accepts the suffixes k (thousands) and m (millions).";
        const SIZE: &str = "SIZE accepts the suffixes k (1024 bytes), M and G.";
        const RATE: &str =
            "RATE is a number per second (2k/s or 2k), minute (600/m) or hour (50/h).";
        let has_off =
            |option: &&OptionSpec| option.value() == Some("TIME") && option.default == "off";
        let time = if options.iter().any(has_off) { TIMEOUT } else { TIME };
        let units = [("TIME", time), ("N", N), ("SIZE", SIZE), ("RATE", RATE)];
        let takes = |unit: &str| options.iter().any(|option| option.value() == Some(unit));
        let lines: Vec<&str> = units.iter().filter(|unit| takes(unit.0)).map(|u| u.1).collect();
        if !lines.is_empty() {
            self.text.push('\n');
            lines.iter().for_each(|line| self.plain(line));
        }
    }

    fn examples<'a>(&mut self, examples: impl Iterator<Item = &'a (&'a str, &'a str)>) {
        for (command, text) in examples {
            self.text.push_str(&format!("  {command}\n"));
            self.line(&format!("    {text}"));
        }
    }
}

/// Returns the names of an option and its description.
fn row(option: &OptionSpec) -> (String, String) {
    let short = option.short.map_or("    ".to_string(), |short| format!("-{short}, "));
    let value = option.value().map_or(String::new(), |value| format!(" {value}"));
    let default = option.default_text();
    let default = default.map_or(String::new(), |text| format!(" [default:\u{a0}{text}]"));
    (format!("{short}{}{value}", dashed(option)), format!("{}{default}", option.help))
}

/// Wraps the text into lines of at most `columns` columns.
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
            for option in options::all() {
                let shown = text.lines().any(|line| {
                    let words = line.split_whitespace().take(2);
                    words.into_iter().any(|word| word.trim_end_matches(',') == dashed(option))
                });
                let shows = |other: &OptionSpec| {
                    other.scope.has_command(spec.name) && !other.help.is_empty()
                };
                let same = |other: &OptionSpec| other.name == option.name && shows(other);
                assert_eq!(shown, options::all().any(same), "{} of {}", option.name, spec.name);
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

    #[test]
    fn no_heading_is_empty() {
        for spec in COMMANDS {
            let text = Help::About(spec.name).text(80);
            let lines: Vec<&str> = text.lines().collect();
            let is_heading = |line: &str| line.ends_with(':') && !line.starts_with(' ');
            let empty = lines.windows(2).find(|pair| is_heading(pair[0]) && pair[1].is_empty());
            assert_eq!(empty, None, "{}", spec.name);
        }
    }
}
