//! Services: what a route does with its connections or datagrams.

use super::address::Address;
use super::template::Template;
use super::unit;
use crate::core::{Frame, HubSettings, OnLag, ServiceKind};

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
    /// All routes with this name share one hub.
    Hub {
        name: String,
        settings: HubSettings,
    },
}

/// What the options of greet set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Greeting {
    /// None: not given, or the argument of a route.
    pub text: Option<Template>,
    pub read_one: bool,
}

/// What the options of hub set.
#[derive(Clone, Debug, PartialEq)]
pub struct HubOptions {
    pub frame: Frame,
    pub max_message: usize,
    pub buffer: usize,
    /// None: not given, so the frame decides.
    pub on_lag: Option<OnLag>,
}

impl Default for HubOptions {
    fn default() -> HubOptions {
        let HubSettings { frame, max_message, buffer, .. } = HubSettings::default();
        HubOptions { frame, max_message, buffer, on_lag: None }
    }
}

impl From<&HubSettings> for HubOptions {
    /// Returns options that give these settings. What follows from the frame is not given.
    fn from(settings: &HubSettings) -> HubOptions {
        let HubSettings { frame, max_message, buffer, on_lag } = *settings;
        let options = HubOptions { frame, max_message, buffer, on_lag: None };
        let follows = options.settings("").is_ok_and(|settings| settings.on_lag == on_lag);
        HubOptions { on_lag: Some(on_lag).filter(|_| !follows), ..options }
    }
}

impl HubOptions {
    /// Returns the settings, or why the options contradict each other. `buffer_name` is the name of
    /// the buffer's option where it was typed.
    pub fn settings(&self, buffer_name: &str) -> Result<HubSettings, String> {
        let HubOptions { frame, max_message, buffer, on_lag } = *self;
        let on_lag = match (frame, on_lag) {
            (Frame::Raw, Some(OnLag::Skip)) => {
                return Err("a raw stream cannot skip: its reader would not notice the gap".into());
            }
            (Frame::Raw, None) => OnLag::Close,
            (_, on_lag) => on_lag.unwrap_or(OnLag::Skip),
        };
        let buffer_min = HubSettings::buffer_min(frame, max_message);
        if buffer < buffer_min {
            let [message, min, buffer] = [max_message, buffer_min, buffer]
                .map(|bytes| unit::with_unit(unit::show_size(bytes)));
            return Err(format!(
                "max-message {message} needs a {buffer_name} of at least {min}, not {buffer}"
            ));
        }
        Ok(HubSettings { frame, max_message, buffer, on_lag })
    }
}

impl Service {
    /// The names of all services.
    pub const NAMES: [&'static str; 9] =
        ["echo", "discard", "chargen", "daytime", "time", "whoami", "greet", "relay", "hub"];

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
            Service::Hub { .. } => ServiceKind::Hub,
        }
    }

    /// Returns the name of the service.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns the service with this name; greet, relay and hub are still without text,
    /// targets and settings.
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
            "hub" => Service::Hub { name: String::new(), settings: HubSettings::default() },
            _ => return None,
        })
    }
}
