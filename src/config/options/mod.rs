//! The option table: one row for each option of each plan. Argument parsing, help, the keys of
//! configuration files, the options of a route and the arguments of a worker process are derived
//! from it.
//!
//! A row sets one field of the plan itself, from a text with its position, and prints that field as
//! a user would type it. The table knows nothing of dashes or arguments: `cli` does.

use super::ctl::CtlSettings;
use super::parse::{self, SpanError, Spanned};
use super::policy::RouteSettings;
use super::serve::ServeSettings;
use super::service::{Greeting, HubOptions, Service};
use super::tools::ConnectSettings;
use super::{Address, ChatPlan, DoctorPlan, LogPlan, Plan, Policy, StressPlan, TopPlan, TracePlan};

mod admin;
mod common;
mod ctl;
mod file;
mod serve;
mod stress;
mod tools;
mod top;
mod trace;

#[cfg(test)]
mod tests;

/// One option: `--name` on a command line, `name` after a comma in a route, a key in a
/// configuration file.
#[derive(Clone, Debug)]
pub struct OptionSpec {
    pub name: &'static str,
    pub short: Option<char>,
    pub takes: Takes,
    /// The default in words. Empty: help shows the value of the default plan.
    pub default: &'static str,
    /// Empty: hidden from help.
    pub help: &'static str,
    pub section: Section,
    pub scope: Scope,
    /// None: configuration files do not have it.
    pub in_file: Option<FileKey>,
    pub field: Field,
}

/// The key of an option in a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileKey {
    pub table: ConfigTable,
    /// Its name there, which may be shorter, because the table has a name too.
    pub name: &'static str,
    /// Whether it takes a list.
    pub is_list: bool,
}

/// A table of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigTable {
    Process,
    Log,
    Admin,
    /// The defaults of all routes. Each route may have the same keys.
    Policy,
    /// The settings of greet, in a route.
    Greet,
    /// The settings of hub, in a route.
    Hub,
}

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// A value with this name.
    Value(&'static str),
    /// A value only after `=`; without one the value is empty.
    OptionalValue,
}

/// The commands and routes that accept an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All commands.
    All,
    /// All commands with a log.
    Logged,
    /// All commands that serve.
    Servers,
    /// All commands that serve, `serve` with a file among them.
    Daemons,
    /// No command: only configuration files.
    File,
    /// These commands.
    Only(&'static [&'static str]),
    /// `run`, and the commands and routes of these services.
    Services(Services),
    /// The command and the routes of this service.
    Service(&'static str),
}

/// The services to which an option applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Services {
    All,
    Relay,
    /// All but relay, greet and hub: the services that answer datagrams themselves.
    Small,
}

impl ConfigTable {
    /// Its name, as it is written in a file.
    pub fn name(self) -> &'static str {
        match self {
            ConfigTable::Process => "process",
            ConfigTable::Log => "log",
            ConfigTable::Admin => "admin",
            ConfigTable::Policy => "policy",
            ConfigTable::Greet => "greet",
            ConfigTable::Hub => "hub",
        }
    }
}

/// The heading under which help lists an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    Own,
    Load,
    Amount,
    Report,
    Limits,
    Admin,
    Log,
    Other,
}

impl Section {
    /// All headings, in the order of help.
    pub const TITLES: [(Section, &'static str); 8] = [
        (Section::Own, "Options"),
        (Section::Load, "Load"),
        (Section::Amount, "Amount and duration"),
        (Section::Report, "Report"),
        (Section::Limits, "Limits and timeouts"),
        (Section::Admin, "Admin and metrics"),
        (Section::Log, "Logging, to standard error (RUST_LOG overrides -v and -q)"),
        (Section::Other, "Other"),
    ];
}

/// Parses a value and stores it in a plan.
type Set<P> = fn(&mut P, Spanned<'_>) -> Result<(), SpanError>;
/// Prints a value as a user would type it. None: nothing needs to be typed.
type Show<P> = fn(&P) -> Option<String>;

/// The plan that an option sets a field of.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    Daemon(Set<Plan>, Show<Plan>),
    Policy(Set<Policy>, Show<Policy>),
    Greeting(Set<Greeting>, Show<Greeting>),
    Hub(Set<HubOptions>, Show<HubOptions>),
    Log(Set<LogPlan>, Show<LogPlan>),
    Connect(Set<ConnectSettings>, Show<ConnectSettings>),
    Chat(Set<ChatPlan>, Show<ChatPlan>),
    Doctor(Set<DoctorPlan>, Show<DoctorPlan>),
    Ctl(Set<CtlSettings>, Show<CtlSettings>),
    Top(Set<TopPlan>, Show<TopPlan>),
    Trace(Set<TracePlan>, Show<TracePlan>),
    Serve(Set<ServeSettings>, Show<ServeSettings>),
    Stress(Set<StressPlan>, Show<StressPlan>),
    /// No field: the help is printed instead.
    Help,
    /// No field: the version is printed instead.
    Version,
}

/// The plans of all commands, without what the positional arguments add. Each command uses its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    pub daemon: Plan,
    /// For every route that does not override it.
    pub route: RouteSettings,
    pub log: LogPlan,
    pub connect: ConnectSettings,
    pub chat: ChatPlan,
    pub doctor: DoctorPlan,
    pub ctl: CtlSettings,
    pub top: TopPlan,
    pub trace: TracePlan,
    pub serve: ServeSettings,
    pub stress: StressPlan,
}

/// Returns every option of every command, in the order of help.
pub fn all() -> impl Iterator<Item = &'static OptionSpec> {
    let serve = file::OPTIONS.iter().chain(&serve::OPTIONS).chain(&admin::OPTIONS);
    let plans = serve
        .chain(&tools::OPTIONS)
        .chain(&ctl::OPTIONS)
        .chain(&top::OPTIONS)
        .chain(&trace::OPTIONS);
    plans.chain(&stress::OPTIONS).chain(&common::OPTIONS)
}

/// Returns the options of a command whose values are not the defaults, and their values as a user
/// would type them.
pub fn changed(
    command: &str,
    settings: &Settings,
) -> impl Iterator<Item = (&'static OptionSpec, String)> {
    let untouched = Settings::default();
    all().filter(move |option| option.scope.has_command(command)).filter_map(move |option| {
        let value = option.show(settings)?;
        (Some(&value) != option.show(&untouched).as_ref()).then_some((option, value))
    })
}

/// Returns the options of a route of this service whose values are not the defaults, as they are
/// written in a route. Options that do not apply to the service are left out.
pub(super) fn changed_of_route(service: &str, route: RouteSettings) -> Vec<String> {
    let settings = Settings { route, ..Settings::default() };
    let untouched = Settings::default();
    let fitting = route_options(service).filter(|(_, fits)| *fits);
    let changed = fitting.filter_map(|(option, _)| {
        let value = option.show(&settings)?;
        let text = match option.value() {
            Some(_) => format!("{}={value}", option.name),
            None => option.name.to_string(),
        };
        (Some(&value) != option.show(&untouched).as_ref()).then_some(text)
    });
    changed.collect()
}

/// Returns the arguments of `stress` that produce this plan, without defaults.
pub fn stress_arguments(plan: &StressPlan) -> Vec<String> {
    let mut arguments: Vec<String> = plan.targets.iter().map(Address::to_string).collect();
    let settings = Settings { stress: plan.clone(), ..Settings::default() };
    for (option, value) in changed("stress", &settings) {
        arguments.push(format!("--{}", option.name));
        arguments.extend(option.value().map(|_| value));
    }
    arguments
}

/// An option without a value. The rows of the table start from it.
const PLAIN: OptionSpec = OptionSpec {
    name: "",
    short: None,
    takes: Takes::Nothing,
    default: "",
    help: "",
    section: Section::Own,
    scope: Scope::All,
    in_file: None,
    field: Field::Help,
};

impl OptionSpec {
    /// Parses a value and stores it.
    pub fn set(&self, settings: &mut Settings, value: Spanned<'_>) -> Result<(), SpanError> {
        match self.field {
            Field::Daemon(set, _) => set(&mut settings.daemon, value),
            Field::Policy(set, _) => set(&mut settings.route.policy, value),
            Field::Greeting(set, _) => set(&mut settings.route.greeting, value),
            Field::Hub(set, _) => set(&mut settings.route.hub, value),
            Field::Log(set, _) => set(&mut settings.log, value),
            Field::Connect(set, _) => set(&mut settings.connect, value),
            Field::Chat(set, _) => set(&mut settings.chat, value),
            Field::Doctor(set, _) => set(&mut settings.doctor, value),
            Field::Ctl(set, _) => set(&mut settings.ctl, value),
            Field::Top(set, _) => set(&mut settings.top, value),
            Field::Trace(set, _) => set(&mut settings.trace, value),
            Field::Serve(set, _) => set(&mut settings.serve, value),
            Field::Stress(set, _) => set(&mut settings.stress, value),
            Field::Help | Field::Version => Ok(()),
        }
    }

    /// Prints the value as a user would type it. None: nothing needs to be typed.
    pub fn show(&self, settings: &Settings) -> Option<String> {
        match self.field {
            Field::Daemon(_, show) => show(&settings.daemon),
            Field::Policy(_, show) => show(&settings.route.policy),
            Field::Greeting(_, show) => show(&settings.route.greeting),
            Field::Hub(_, show) => show(&settings.route.hub),
            Field::Log(_, show) => show(&settings.log),
            Field::Connect(_, show) => show(&settings.connect),
            Field::Chat(_, show) => show(&settings.chat),
            Field::Doctor(_, show) => show(&settings.doctor),
            Field::Ctl(_, show) => show(&settings.ctl),
            Field::Top(_, show) => show(&settings.top),
            Field::Trace(_, show) => show(&settings.trace),
            Field::Serve(_, show) => show(&settings.serve),
            Field::Stress(_, show) => show(&settings.stress),
            Field::Help | Field::Version => None,
        }
    }

    /// Returns the name of the value that it requires.
    pub fn value(&self) -> Option<&'static str> {
        match self.takes {
            Takes::Value(name) => Some(name),
            Takes::Nothing | Takes::OptionalValue => None,
        }
    }

    /// Returns the default as help shows it.
    pub fn default_text(&self) -> Option<String> {
        match (self.value(), self.default) {
            (None, _) => None,
            (Some(_), "") => self.show(&Settings::default()),
            (Some(_), words) => Some(words.to_string()),
        }
    }
}

impl Scope {
    pub fn has_command(self, command: &str) -> bool {
        const UNLOGGED: [&str; 7] = ["check", "plan", "doctor", "ctl", "top", "trace", "stress"];
        let serves = command == "run" || Service::NAMES.contains(&command);
        match self {
            Scope::All => true,
            Scope::Logged => !UNLOGGED.contains(&command),
            Scope::Servers => serves,
            Scope::Daemons => serves || command == "serve",
            Scope::File => false,
            Scope::Only(commands) => commands.contains(&command),
            Scope::Services(services) => serves && (command == "run" || services.has(command)),
            Scope::Service(service) => service == command,
        }
    }

    /// Whether routes of this service accept the option. None: the options of routes do not include
    /// it.
    pub(super) fn has_route(self, service: &str) -> Option<bool> {
        match self {
            Scope::Services(services) => Some(services.has(service)),
            Scope::Service(only) => Some(only == service),
            Scope::All
            | Scope::Logged
            | Scope::Servers
            | Scope::Daemons
            | Scope::File
            | Scope::Only(_) => None,
        }
    }
}

impl Services {
    fn has(self, service: &str) -> bool {
        match self {
            Services::All => true,
            Services::Relay => service == "relay",
            Services::Small => !["relay", "greet", "hub"].contains(&service),
        }
    }
}

/// Reads `name=value` or `name` in a route of this service.
pub(super) fn read_route_option(
    option: Spanned<'_>,
    service: &str,
    settings: &mut RouteSettings,
) -> Result<(), SpanError> {
    let (name, value) = option.split('=');
    let Some((known, fits)) = route_options(service).find(|(known, _)| known.name == name.text)
    else {
        let names = route_options(service).map(|(known, _)| known.name);
        let hint = parse::suggestion(name.text, names, str::to_string);
        return Err(name.wrong(format!("unknown option{hint}")).or_accepts(&accepted(service)));
    };
    if !fits {
        let wrong = format!("{} does not apply to {service}", name.text);
        return Err(name.wrong(wrong).or_accepts(&accepted(service)));
    }
    let value = match (known.value(), value) {
        (Some(_), Some(value)) => value,
        (None, None) => name,
        (Some(_), None) => return Err(name.lacks(format!("{} takes a value", name.text))),
        (None, Some(value)) => return Err(value.wrong(format!("{} takes no value", name.text))),
    };
    match known.field {
        Field::Policy(set, _) => set(&mut settings.policy, value),
        Field::Greeting(set, _) => set(&mut settings.greeting, value),
        Field::Hub(set, _) => set(&mut settings.hub, value),
        Field::Daemon(..)
        | Field::Log(..)
        | Field::Connect(..)
        | Field::Chat(..)
        | Field::Doctor(..)
        | Field::Ctl(..)
        | Field::Top(..)
        | Field::Trace(..)
        | Field::Serve(..)
        | Field::Stress(..)
        | Field::Help
        | Field::Version => Err(name.wrong("unknown option")),
    }
}

/// Whether routes of some service have an option with this name.
pub(super) fn is_route_option(name: &str) -> bool {
    route_options("").any(|(known, _)| known.name == name)
}

/// Returns the options of routes, and whether routes of this service accept each.
fn route_options(service: &str) -> impl Iterator<Item = (&'static OptionSpec, bool)> {
    all().filter_map(move |option| Some((option, option.scope.has_route(service)?)))
}

/// Lists the options of a service, for an error message.
fn accepted(service: &str) -> String {
    let fitting = route_options(service).filter(|(_, fits)| *fits);
    let shown = fitting.map(|(option, _)| match option.value() {
        Some(value) => format!("{}={value}", option.name),
        None => option.name.to_string(),
    });
    shown.collect::<Vec<_>>().join(", ")
}
