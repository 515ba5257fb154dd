//! Services, and how they are written in a route.

use super::address::{self, Address};
use super::check;
use super::listen::Listen;
use super::options;
use super::parse::{self, SpanError, Spanned};
use super::route::RouteSettings;
use super::template::{self, Template};
use crate::core::ServiceKind;

/// What a route does with its connections or datagrams.
#[derive(Clone, Debug, PartialEq)]
pub enum Service {
    Echo,
    Discard,
    Chargen,
    Daytime,
    Time,
    Whoami,
    /// Sends `text` with its placeholders replaced; with `read_one` reads and logs one message.
    Greet {
        text: Template,
        read_one: bool,
    },
    Relay(Vec<Address>),
}

/// What the options of greet set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Greeting {
    /// None: not given, or the argument of a route.
    pub text: Option<Template>,
    pub read_one: bool,
}

impl Service {
    /// The names of all services.
    pub const NAMES: [&'static str; 8] =
        ["echo", "discard", "chargen", "daytime", "time", "whoami", "greet", "relay"];

    /// Returns the service without its settings.
    pub fn kind(&self) -> ServiceKind {
        match self {
            Service::Echo => ServiceKind::Echo,
            Service::Discard => ServiceKind::Discard,
            Service::Chargen => ServiceKind::Chargen,
            Service::Daytime => ServiceKind::Daytime,
            Service::Time => ServiceKind::Time,
            Service::Whoami => ServiceKind::Whoami,
            Service::Greet { .. } => ServiceKind::Greet,
            Service::Relay(_) => ServiceKind::Relay,
        }
    }

    /// Returns the name of the service.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the service with this name; greet and relay are still without text and targets.
    pub fn from_name(word: &str) -> Option<Service> {
        Some(match word {
            "echo" => Service::Echo,
            "discard" => Service::Discard,
            "chargen" => Service::Chargen,
            "daytime" => Service::Daytime,
            "time" => Service::Time,
            "whoami" => Service::Whoami,
            "greet" => Service::Greet { text: Template::default(), read_one: false },
            "relay" => Service::Relay(Vec::new()),
            _ => return None,
        })
    }
}

/// Reads `SERVICE[,option…][:argument]` and stores the options in `settings`.
pub(super) fn read(
    input: Spanned<'_>,
    listen: &Listen,
    settings: &mut RouteSettings,
) -> Result<Service, SpanError> {
    let (word, rest) = input.until(&[',', ':']);
    let Some(service) = Service::from_name(word.text) else {
        let hint = parse::suggestion(word.text, Service::NAMES, str::to_string);
        let span_error = if word.is_empty() {
            word.wrong("missing service")
        } else {
            word.wrong(format!("unknown service{hint}"))
        };
        return Err(span_error.or_accepts(&Service::NAMES.join(", ")));
    };
    check::service(listen, &service, word)?;
    let argument = read_options(rest, service.name(), settings)?;
    match (service, argument) {
        (Service::Relay(_), Some(argument)) => {
            read_targets(argument, listen, settings).map(Service::Relay)
        }
        (Service::Greet { .. }, Some(argument)) => {
            let text = template::read(argument)?;
            Ok(Service::Greet { text, read_one: settings.greeting.read_one })
        }
        (Service::Relay(_), None) => {
            Err(input.lacks("missing target").or_accepts("relay:TARGET[,TARGET…]"))
        }
        (Service::Greet { .. }, None) => {
            Err(input.lacks("missing text").or_accepts("greet:TEXT, greet,read-one:TEXT"))
        }
        (_, Some(argument)) => Err(argument.wrong(format!("{} takes no argument", word.text))),
        (service, None) => Ok(service),
    }
}

/// Reads the options between the name and the colon. Returns the text after the colon.
fn read_options<'a>(
    mut rest: Spanned<'a>,
    service: &str,
    settings: &mut RouteSettings,
) -> Result<Option<Spanned<'a>>, SpanError> {
    while let Some(more) = rest.after(",") {
        let (option, next) = more.until(&[',', ':']);
        options::read_route_option(option, service, settings)?;
        rest = next;
    }
    Ok(rest.after(":"))
}

/// Reads `TARGET,TARGET,option=value`: items that look like options, and targets.
fn read_targets(
    argument: Spanned<'_>,
    listen: &Listen,
    settings: &mut RouteSettings,
) -> Result<Vec<Address>, SpanError> {
    let mut targets = Vec::new();
    for item in argument.parts(',') {
        if is_option(item.text) {
            options::read_route_option(item, "relay", settings)?;
        } else {
            let target = address::read_target(item)?;
            check::target(listen, &target, item)?;
            targets.push(target);
        }
    }
    match targets.is_empty() {
        true => Err(argument.to(0).wrong("missing target").or_accepts("relay:TARGET[,TARGET…]")),
        false => Ok(targets),
    }
}

fn is_option(text: &str) -> bool {
    match text.split_once('=') {
        Some((name, _)) => name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
        None => options::is_route_option(text),
    }
}
