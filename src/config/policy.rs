//! Policies: the limits and timeouts of a route, and their options.

use std::time::Duration;

use super::Service;
use super::parse::{self, SpanError, Spanned, put};
use super::unit;

/// Limits and timeouts of a route. None: off.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub idle_timeout: Option<Duration>,
    pub half_close_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    pub connect_timeout: Duration,
    /// Idle timeout of a datagram flow.
    pub udp_timeout: Duration,
    /// Maximum number of datagram flows. A new flow beyond it evicts the oldest.
    pub udp_flows: usize,
    /// Also answer UDP sources with ports below 1024.
    pub udp_allow_low_ports: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            idle_timeout: None,
            half_close_timeout: None,
            max_lifetime: None,
            connect_timeout: Duration::from_secs(5),
            udp_timeout: Duration::from_secs(60),
            udp_flows: 4096,
            udp_allow_low_ports: false,
        }
    }
}

/// An option that sets one field of a policy: after `--` for all routes, after a comma for one.
#[derive(Debug)]
pub struct PolicyOption {
    pub name: &'static str,
    /// Name of its value. None: it takes no value.
    pub value: Option<&'static str>,
    pub default: &'static str,
    pub help: &'static str,
    pub on: On,
    pub set: fn(&mut Policy, Spanned<'_>) -> Result<(), SpanError>,
}

/// The services to which an option applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    All,
    Relay,
    /// All but relay and greet: the services that answer datagrams themselves.
    Small,
}

/// All policy options, in the order of help.
pub const OPTIONS: [PolicyOption; 7] = [
    PolicyOption {
        name: "idle-timeout",
        value: Some("TIME"),
        default: "off",
        help: "close connections idle for this long",
        on: On::All,
        set: |policy, value| put(&mut policy.idle_timeout, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "half-close-timeout",
        value: Some("TIME"),
        default: "off",
        help: "close half-closed connections idle for this long",
        on: On::All,
        set: |policy, value| put(&mut policy.half_close_timeout, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "max-lifetime",
        value: Some("TIME"),
        default: "off",
        help: "close connections at this age",
        on: On::All,
        set: |policy, value| put(&mut policy.max_lifetime, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "connect-timeout",
        value: Some("TIME"),
        default: "5s",
        help: "give up on a target and try the next",
        on: On::Relay,
        set: |policy, value| {
            let reason = "an unresponsive target must fail over to the next";
            put(&mut policy.connect_timeout, unit::read_wait_because(value, reason))
        },
    },
    PolicyOption {
        name: "udp-timeout",
        value: Some("TIME"),
        default: "60s",
        help: "close datagram flows idle for this long",
        on: On::Relay,
        set: |policy, value| {
            let reason = "a datagram flow has no end of file";
            put(&mut policy.udp_timeout, unit::read_wait_because(value, reason))
        },
    },
    PolicyOption {
        name: "udp-flows",
        value: Some("N"),
        default: "4096",
        help: "maximum datagram flows; a new one replaces the oldest",
        on: On::Relay,
        set: |policy, value| put(&mut policy.udp_flows, unit::read_limit(value)),
    },
    PolicyOption {
        name: "udp-allow-low-ports",
        value: None,
        default: "off",
        help: "also answer datagrams from ports below 1024",
        on: On::Small,
        set: |policy, _| put(&mut policy.udp_allow_low_ports, Ok(true)),
    },
];

impl On {
    pub fn fits(self, service: &str) -> bool {
        match self {
            On::All => true,
            On::Relay => service == "relay",
            On::Small => service != "relay" && service != "greet",
        }
    }
}

/// Reads `name=value` or `name` in a route with this service.
pub(super) fn read_option(
    option: Spanned<'_>,
    service: &Service,
    policy: &mut Policy,
) -> Result<(), SpanError> {
    let (name, value) = option.split('=');
    let word = service.name();
    let Some(known) = OPTIONS.iter().find(|known| known.name == name.text) else {
        let hint =
            parse::suggestion(name.text, OPTIONS.iter().map(|known| known.name), str::to_string);
        return Err(name.wrong(format!("unknown option{hint}")).or_accepts(&accepted(word)));
    };
    if !known.on.fits(word) {
        let wrong = format!("{} does not apply to {word}", name.text);
        return Err(name.wrong(wrong).or_accepts(&accepted(word)));
    }
    match (known.value, value) {
        (Some(_), Some(value)) => (known.set)(policy, value),
        (None, None) => (known.set)(policy, name),
        (Some(_), None) => Err(name.lacks(format!("{} takes a value", name.text))),
        (None, Some(value)) => Err(value.wrong(format!("{} takes no value", name.text))),
    }
}

/// Lists the options of a service, for an error message.
fn accepted(service: &str) -> String {
    let fitting = OPTIONS.iter().filter(|option| option.on.fits(service));
    let shown = fitting.map(|option| match option.value {
        Some(value) => format!("{}={value}", option.name),
        None => option.name.to_string(),
    });
    let own = (service == "greet").then(|| "read-one".to_string());
    own.into_iter().chain(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_in_help_are_the_ones_in_force() {
        for option in &OPTIONS {
            let mut policy = Policy::default();
            if option.value.is_some() {
                (option.set)(&mut policy, Spanned::whole(option.default)).expect(option.name);
            }
            assert_eq!(policy, Policy::default(), "{}", option.name);
        }
    }

    #[test]
    fn off_is_understood_or_refused_with_the_reason() {
        let read = |name: &str| {
            let option = OPTIONS.iter().find(|option| option.name == name).expect(name);
            (option.set)(&mut Policy::default(), Spanned::whole("off"))
        };
        for name in ["idle-timeout", "half-close-timeout", "max-lifetime"] {
            assert_eq!(read(name), Ok(()), "{name}");
        }
        let refused = [
            ("connect-timeout", "an unresponsive target must fail over to the next"),
            ("udp-timeout", "a datagram flow has no end of file"),
        ];
        for (name, reason) in refused {
            let wrong = format!("cannot be off: {reason}");
            assert_eq!(read(name).map_err(|span_error| span_error.wrong), Err(wrong), "{name}");
        }
    }

    #[test]
    fn each_option_sets_its_own_field_and_no_other() {
        let mut distinct = vec![Policy::default()];
        for option in &OPTIONS {
            let mut policy = Policy::default();
            let value = if option.value == Some("N") { "7" } else { "7s" };
            (option.set)(&mut policy, Spanned::whole(value)).expect(option.name);
            assert!(
                !distinct.contains(&policy),
                "{} sets the same field as another option",
                option.name
            );
            distinct.push(policy);
        }
    }
}
