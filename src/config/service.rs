//! Services: what a route does with its connections or datagrams.

use super::address::Address;
use super::template::Template;
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
