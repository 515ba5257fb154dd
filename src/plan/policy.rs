//! Policies: the limits and timeouts of a route, and the names under which they are typed.

use std::time::Duration;

use super::Service;
use super::guess;
use super::parse_error::{Piece, SpanError, put};
use super::unit;

/// Limits and timeouts of a route. None means: off.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub idle_timeout: Option<Duration>,
    pub half_close_timeout: Option<Duration>,
    pub lifetime: Option<Duration>,
    pub connect_timeout: Duration,
    /// How long a datagram flow lives without a datagram in either direction.
    pub udp_timeout: Duration,
    /// The largest number of datagram flows; at the limit the oldest makes room.
    pub udp_flows: usize,
    /// Answer UDP sources with ports below 1024 too.
    pub udp_any_port: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            idle_timeout: None,
            half_close_timeout: None,
            lifetime: None,
            connect_timeout: Duration::from_secs(5),
            udp_timeout: Duration::from_secs(60),
            udp_flows: 4096,
            udp_any_port: false,
        }
    }
}

/// One field of a policy as it is typed: behind `--` for all routes, behind a comma for one.
#[derive(Debug)]
pub struct PolicyOption {
    pub name: &'static str,
    /// What its value is called; none if it takes none.
    pub value: Option<&'static str>,
    pub default: &'static str,
    pub help: &'static str,
    pub on: On,
    pub set: fn(&mut Policy, Piece<'_>) -> Result<(), SpanError>,
}

/// Which services an option means something to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    All,
    Relay,
    /// All but relay and greet: what answers datagrams by itself.
    Small,
}

/// Every option of a policy.
pub const OPTIONS: [PolicyOption; 7] = [
    PolicyOption {
        name: "idle-timeout",
        value: Some("TIME"),
        default: "off",
        help: "end a connection on which nothing moved for so long",
        on: On::All,
        set: |policy, value| put(&mut policy.idle_timeout, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "half-close-timeout",
        value: Some("TIME"),
        default: "off",
        help: "end it when one side has ended and the other was silent for so long",
        on: On::All,
        set: |policy, value| put(&mut policy.half_close_timeout, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "max-lifetime",
        value: Some("TIME"),
        default: "off",
        help: "end it when it is so old",
        on: On::All,
        set: |policy, value| put(&mut policy.lifetime, unit::read_timeout(value)),
    },
    PolicyOption {
        name: "connect-timeout",
        value: Some("TIME"),
        default: "5s",
        help: "wait so long for a target, then try the next one",
        on: On::Relay,
        set: |policy, value| {
            let reason = "a silent target makes room for the next one";
            put(&mut policy.connect_timeout, unit::read_wait_because(value, reason))
        },
    },
    PolicyOption {
        name: "udp-timeout",
        value: Some("TIME"),
        default: "60s",
        help: "forget a datagram flow that was silent for so long",
        on: On::Relay,
        set: |policy, value| {
            let reason = "datagrams have no end of their own";
            put(&mut policy.udp_timeout, unit::read_wait_because(value, reason))
        },
    },
    PolicyOption {
        name: "udp-flows",
        value: Some("N"),
        default: "4096",
        help: "keep at most so many datagram flows; the oldest makes room",
        on: On::Relay,
        set: |policy, value| put(&mut policy.udp_flows, unit::read_limit(value)),
    },
    PolicyOption {
        name: "udp-allow-low-ports",
        value: None,
        default: "off",
        help: "answer datagrams from ports below 1024 too",
        on: On::Small,
        set: |policy, _| put(&mut policy.udp_any_port, Ok(true)),
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

/// Reads `name=value` or `name`, as it stands in a route of this service.
pub(super) fn read_option(
    option: Piece<'_>,
    service: &Service,
    policy: &mut Policy,
) -> Result<(), SpanError> {
    let (name, value) = option.split('=');
    let word = service.name();
    let Some(known) = OPTIONS.iter().find(|known| known.name == name.text) else {
        let hint = guess::hint(name.text, OPTIONS.iter().map(|known| known.name), str::to_string);
        return Err(name.wrong(format!("an unknown option{hint}")).or_accepts(&accepted(word)));
    };
    if !known.on.fits(word) {
        let wrong = format!("{} means nothing to {word}", name.text);
        return Err(name.wrong(wrong).or_accepts(&accepted(word)));
    }
    match (known.value, value) {
        (Some(_), Some(value)) => (known.set)(policy, value),
        (None, None) => (known.set)(policy, name),
        (Some(_), None) => Err(name.lacks(format!("{} takes a value", name.text))),
        (None, Some(value)) => Err(value.wrong(format!("{} takes no value", name.text))),
    }
}

/// The options of a service, as an error tells them.
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
    fn the_defaults_that_help_tells_are_the_ones_in_force() {
        for option in &OPTIONS {
            let mut policy = Policy::default();
            if option.value.is_some() {
                (option.set)(&mut policy, Piece::whole(option.default)).expect(option.name);
            }
            assert_eq!(policy, Policy::default(), "{}", option.name);
        }
    }

    #[test]
    fn off_is_understood_or_refused_with_the_reason() {
        let read = |name: &str| {
            let option = OPTIONS.iter().find(|option| option.name == name).expect(name);
            (option.set)(&mut Policy::default(), Piece::whole("off"))
        };
        for name in ["idle-timeout", "half-close-timeout", "max-lifetime"] {
            assert_eq!(read(name), Ok(()), "{name}");
        }
        let refused = [
            ("connect-timeout", "a silent target makes room for the next one"),
            ("udp-timeout", "datagrams have no end of their own"),
        ];
        for (name, reason) in refused {
            let wrong = format!("it always has an end: {reason}");
            assert_eq!(read(name).map_err(|span_error| span_error.wrong), Err(wrong), "{name}");
        }
    }

    #[test]
    fn each_option_sets_its_own_field_and_no_other() {
        let mut seen = vec![Policy::default()];
        for option in &OPTIONS {
            let mut policy = Policy::default();
            let value = if option.value == Some("N") { "7" } else { "7s" };
            (option.set)(&mut policy, Piece::whole(value)).expect(option.name);
            assert!(!seen.contains(&policy), "{} repeats another one's work", option.name);
            seen.push(policy);
        }
    }
}
