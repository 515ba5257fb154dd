//! Services, and how they are written in a route.

use super::address::{self, Address};
use super::check;
use super::listen::Listen;
use super::parse::{self, SpanError, Spanned};
use super::policy::{self, OPTIONS, Policy};
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

impl Service {
    /// The names of all services.
    pub const WORDS: [&'static str; 8] =
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
    pub fn from_token(word: &str) -> Option<Service> {
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

/// Reads `SERVICE[,option…][:argument]` and stores the options in `policy`.
pub(super) fn read(
    input: Spanned<'_>,
    listen: &Listen,
    policy: &mut Policy,
) -> Result<Service, SpanError> {
    let (word, rest) = input.until(&[',', ':']);
    let Some(mut service) = Service::from_token(word.text) else {
        let hint = parse::suggestion(word.text, Service::WORDS, str::to_string);
        let span_error = if word.is_empty() {
            word.wrong("missing service")
        } else {
            word.wrong(format!("unknown service{hint}"))
        };
        return Err(span_error.or_accepts(&Service::WORDS.join(", ")));
    };
    check::service(listen, &service, word)?;
    let argument = read_options(rest, &mut service, policy)?;
    match (&mut service, argument) {
        (Service::Relay(targets), Some(argument)) => {
            *targets = read_targets(argument, listen, policy)?;
        }
        (Service::Greet { text, .. }, Some(argument)) => *text = template::read(argument)?,
        (Service::Relay(_), None) => {
            return Err(input.lacks("missing target").or_accepts("relay:TARGET[,TARGET…]"));
        }
        (Service::Greet { .. }, None) => {
            return Err(input.lacks("missing text").or_accepts("greet:TEXT, greet,read-one:TEXT"));
        }
        (_, Some(argument)) => {
            return Err(argument.wrong(format!("{} takes no argument", word.text)));
        }
        (_, None) => {}
    }
    Ok(service)
}

/// Reads the options between the name and the colon. Returns the text after the colon.
fn read_options<'a>(
    mut rest: Spanned<'a>,
    service: &mut Service,
    policy: &mut Policy,
) -> Result<Option<Spanned<'a>>, SpanError> {
    while let Some(more) = rest.after(",") {
        let (option, next) = more.until(&[',', ':']);
        match service {
            Service::Greet { read_one, .. } if option.text == "read-one" => *read_one = true,
            _ => policy::read_option(option, service, policy)?,
        }
        rest = next;
    }
    Ok(rest.after(":"))
}

/// Reads `TARGET,TARGET,option=value`: items that look like options, and targets.
fn read_targets(
    argument: Spanned<'_>,
    listen: &Listen,
    policy: &mut Policy,
) -> Result<Vec<Address>, SpanError> {
    let mut targets = Vec::new();
    for item in argument.parts(',') {
        if is_option(item.text) {
            policy::read_option(item, &Service::Relay(Vec::new()), policy)?;
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
        None => OPTIONS.iter().any(|option| option.name == text),
    }
}
