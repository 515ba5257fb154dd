//! Routes: a listener, a service and a policy, written as `LISTEN=SERVICE[,option…]`.
//!
//! `SERVICE` is a name, followed by options after commas, and for three of them by an argument:
//! `relay:TARGET[,TARGET…][,option…]`, `greet[,read-one][,option…]:TEXT`, whose text extends to the
//! end, and `hub[,option…][:NAME[,option…]]`. Routes whose hubs have the same name, or none, share
//! one hub.

use std::collections::HashMap;
use std::fmt;

use super::address::{self, Address};
use super::parse::{self, ParseError, SpanError, Spanned};
use super::policy::{Policy, RouteSettings};
use super::service::{Greeting, HubOptions, Service};
use super::{Listen, check, listen, options, template};

/// A listener, its service and its policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// Identifies it in metrics, in lists and across reloads. Without a name of its own it is the
    /// address to listen on. Routes of one name are one route with several addresses.
    pub name: String,
    pub listen: Listen,
    pub service: Service,
    pub policy: Policy,
}

/// Examples of routes, for error messages.
const ROUTES: &str = ":7=echo, /run/x.sock=relay:HOST:PORT,idle-timeout=1h, :23=greet:hello\\n";

impl Route {
    /// Returns a route whose name is its address.
    pub fn unnamed(listen: Listen, service: Service, policy: Policy) -> Route {
        Route { name: listen.address.to_string(), listen, service, policy }
    }

    /// Parses `LISTEN=SERVICE[,option…]`. `policy` has the defaults.
    pub fn parse(text: &str, policy: &Policy) -> Result<Route, ParseError> {
        read(Spanned::whole(text), policy)
            .map_err(|span_error| ParseError::new("route", text, span_error))
    }
}

/// Prints the text that `run` accepts. Parsing it with the default policy gives the same route,
/// with two exceptions: options that do not apply to the service are left out, and no text exists
/// for a path that contains `=` and the name of a service, as in `unix:/a=echo,mode=0600`.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut settings = RouteSettings { policy: self.policy.clone(), ..Default::default() };
        let argument = match &self.service {
            Service::Greet { text, read_one } => {
                settings.greeting = Greeting { text: None, read_one: *read_one };
                Some(text.to_string())
            }
            Service::Relay(targets) => {
                let targets: Vec<String> = targets.iter().map(Address::to_string).collect();
                Some(targets.join(","))
            }
            Service::Hub { name, settings: hub } => {
                settings.hub = HubOptions::from(hub);
                Some(name.clone()).filter(|name| !name.is_empty())
            }
            Service::Echo
            | Service::Discard
            | Service::Chargen
            | Service::Daytime
            | Service::Time
            | Service::Whoami => None,
        };
        let name = self.service.name();
        write!(f, "{}={name}", self.listen)?;
        for option in options::changed_of_route(name, settings) {
            write!(f, ",{option}")?;
        }
        argument.map_or(Ok(()), |argument| write!(f, ":{argument}"))
    }
}

/// Numbers the routes that share a name, as two do with port 0: `tcp://127.0.0.1:0#2`.
pub fn number_names(routes: &mut [Route]) {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for route in routes {
        let count = counts.entry(route.name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            route.name = format!("{}#{count}", route.name);
        }
    }
}

fn read(input: Spanned<'_>, policy: &Policy) -> Result<Route, SpanError> {
    let Some(sign) = sign(input.text) else {
        let span_error = input.lacks("missing service: expected =SERVICE");
        return Err(span_error.or_accepts(ROUTES));
    };
    let mut settings = RouteSettings { policy: policy.clone(), ..RouteSettings::default() };
    let listen = listen::read(input.to(sign))?;
    let service = read_service(input.from(sign + 1), &listen, &mut settings)?;
    Ok(Route::unnamed(listen, service, settings.policy))
}

/// Reads `SERVICE[,option…][:argument]` and stores the options in `settings`.
fn read_service(
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
        (Service::Hub { .. }, argument) => {
            let name = argument.map_or(Ok(String::new()), |name| read_hub_name(name, settings))?;
            let settings =
                settings.hub.settings("hub-buffer").map_err(|wrong| word.wrong(wrong))?;
            Ok(Service::Hub { name, settings })
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

/// Reads `NAME,option…`.
fn read_hub_name(input: Spanned<'_>, settings: &mut RouteSettings) -> Result<String, SpanError> {
    let (name, options) = input.until(&[',']);
    if let Some(options) = options.after(",") {
        options
            .parts(',')
            .try_for_each(|item| options::read_route_option(item, "hub", settings))?;
    }
    read_name_of_hub(name)
}

/// Reads the name of a hub, which can be shown anywhere.
pub(super) fn read_name_of_hub(name: Spanned<'_>) -> Result<String, SpanError> {
    const NAME_BYTES_MAX: usize = 64;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    match (1..=NAME_BYTES_MAX).contains(&name.text.len()) && name.text.bytes().all(is_plain) {
        true => Ok(name.text.to_string()),
        false => Err(name
            .wrong("not the name of a hub")
            .or_accepts("1 to 64 letters, digits, '-', '_' and '.'")),
    }
}

fn is_option(text: &str) -> bool {
    match text.split_once('=') {
        Some((name, _)) => name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'),
        None => options::is_route_option(text),
    }
}

/// Finds the `=` between the listener and the service: the first one followed by the name of a
/// service. A listener may contain others (`mode=0660`, or a path). Without such an `=`, returns
/// the first one that belongs to no listen option, so that the error names the unknown service.
fn sign(text: &str) -> Option<usize> {
    let signs = || text.match_indices('=').map(|(at, _)| at);
    let service = |at: &usize| {
        let word = text[at + 1..].split([',', ':']).next();
        word.is_some_and(|word| Service::NAMES.contains(&word))
    };
    let separates = |at: &usize| {
        let name = text[..*at].rsplit(',').next();
        !matches!(name, Some("mode" | "backlog"))
    };
    signs().find(service).or_else(|| signs().find(separates))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::tests::{Dice, check};
    use crate::core::{Frame, HubSettings, OnLag};

    const RAW_SKIP: &str = "a raw stream cannot skip: its reader would not notice the gap";

    fn parsed(text: &str) -> Route {
        Route::parse(text, &Policy::default()).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn a_route_is_an_address_and_a_service() {
        let cases = [
            (":7=echo", "tcp://:7", "echo"),
            ("udp://:9=discard", "udp://:9", "discard"),
            ("unix:@c=chargen", "unix:@c", "chargen"),
            ("[::1]:13=daytime", "tcp://[::1]:13", "daytime"),
            ("37=time", "tcp://:37", "time"),
            ("localhost:1=whoami", "tcp://localhost:1", "whoami"),
            ("tcp://[::]:80,v6only=echo", "tcp://[::]:80,v6only", "echo"),
            ("/run/x,mode=0660=echo", "unix:/run/x,mode=0660", "echo"),
            ("/run/x,mode=0660,backlog=9=echo", "unix:/run/x,backlog=9,mode=0660", "echo"),
            ("/run/a=b=echo", "unix:/run/a=b", "echo"),
        ];
        for (text, listen, service) in cases {
            let route = parsed(text);
            assert_eq!(
                (route.listen.to_string().as_str(), route.service.name()),
                (listen, service)
            );
            assert_eq!(route.policy, Policy::default(), "{text}");
        }
    }

    #[test]
    fn a_relay_has_targets_and_options_in_any_order() {
        let texts = [
            ":80=relay:a:1,/run/b,idle-timeout=1h,connect-timeout=2s",
            ":80=relay,idle-timeout=1h:a:1,connect-timeout=2s,unix:/run/b",
        ];
        for text in texts {
            let route = parsed(text);
            let Service::Relay(targets) = &route.service else { panic!("{route:?}") };
            let shown: Vec<String> = targets.iter().map(|target| target.to_string()).collect();
            assert_eq!(shown, ["tcp://a:1", "unix:/run/b"]);
            assert_eq!(route.policy.idle_timeout, Some(Duration::from_secs(3600)));
            assert_eq!(route.policy.connect_timeout, Duration::from_secs(2));
        }
        assert!(matches!(parsed(":81=relay::80").service, Service::Relay(to) if to.len() == 1));
    }

    #[test]
    fn the_text_of_a_greeting_runs_to_the_end() {
        let greeting = |text: &str| match parsed(text).service {
            Service::Greet { text, read_one } => (text.to_string(), read_one),
            other => panic!("{other:?}"),
        };
        let text = "welcome {peer.ip}, x=y: ok,read-one\\n";
        assert_eq!(greeting(&format!(":23=greet:{text}")), (text.to_string(), false));
        assert_eq!(greeting(&format!(":23=greet,read-one:{text}")), (text.to_string(), true));
        assert_eq!(greeting(":23=greet:"), (String::new(), false));
        let route = parsed(":23=greet,max-lifetime=5s,read-one:hi");
        assert_eq!(route.policy.max_lifetime, Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_hub_may_have_a_name_and_its_options_fit_together() {
        let hub = |text: &str| match parsed(text).service {
            Service::Hub { name, settings } => (name, settings),
            other => panic!("{other:?}"),
        };
        let defaults = HubSettings::default();
        assert_eq!(hub(":9=hub"), (String::new(), defaults));
        assert_eq!(hub(":9=hub:lobby.1"), ("lobby.1".to_string(), defaults));
        let raw = HubSettings { frame: Frame::Raw, on_lag: OnLag::Close, ..defaults };
        assert_eq!(hub(":9=hub,frame=raw:x"), ("x".to_string(), raw));
        assert_eq!(hub(":9=hub:x,frame=raw"), ("x".to_string(), raw));
        assert_eq!(hub(":9=hub,on-lag=close,frame=raw"), (String::new(), raw));
        let exact = hub(":9=hub,frame=len32,max-message=100,hub-buffer=120").1;
        assert_eq!((exact.max_message, exact.buffer), (100, 120));
        let text = ":9=hub,frame=len32,max-message=100,hub-buffer=119";
        let error = Route::parse(text, &Policy::default()).unwrap_err();
        assert_eq!(error.wrong, "max-message 100b needs a hub-buffer of at least 120b, not 119b");
    }

    #[test]
    fn what_a_route_does_not_say_is_as_in_the_given_policy() {
        let policy = Policy { idle_timeout: Some(Duration::from_secs(9)), ..Policy::default() };
        let route = Route::parse(":7=echo", &policy).unwrap();
        assert_eq!(route.policy, policy);
        let route =
            Route::parse("udp://:7=echo,idle-timeout=off,udp-allow-low-ports", &policy).unwrap();
        assert_eq!(route.policy, Policy { udp_allow_low_ports: true, ..Policy::default() });
    }

    #[test]
    fn a_wrong_route_is_refused_at_its_place() {
        let cases = [
            ("", "", "missing service: expected =SERVICE"),
            (":7", "", "missing service: expected =SERVICE"),
            ("/x,mode=0660", "", "missing service: expected =SERVICE"),
            (":7=", "", "missing service"),
            (":7=ecoh", "ecoh", "unknown service; did you mean echo?"),
            ("/x,mode=0660=realy:a:1", "realy", "unknown service; did you mean relay?"),
            (":80,v6only=1=echo", "1", "v6only takes no value"),
            (":99999=echo", "99999", "a port is a number from 0 to 65535"),
            ("=echo", "", "missing address"),
            (":7=echo:x", "x", "echo takes no argument"),
            (":7=echo,", "", "unknown option"),
            (
                ":7=echo,idel-timeout=1h",
                "idel-timeout",
                "unknown option; did you mean idle-timeout?",
            ),
            (
                ":7=echo,connect-timeout=1s",
                "connect-timeout",
                "connect-timeout does not apply to echo",
            ),
            (
                ":7=relay,udp-allow-low-ports:a:1",
                "udp-allow-low-ports",
                "udp-allow-low-ports does not apply to relay",
            ),
            (":7=echo,idle-timeout", "", "idle-timeout takes a value"),
            (":7=echo,idle-timeout=5x", "x", "unknown unit"),
            (":7=echo,udp-allow-low-ports=1", "1", "udp-allow-low-ports takes no value"),
            (":7=relay", "", "missing target"),
            (":7=relay:", "", "missing address"),
            (":7=relay:idle-timeout=1h", "", "missing target"),
            (":7=relay:a:1,", "", "missing address"),
            (":7=relay:a:0", "0", "cannot connect to port 0"),
            (":7=relay:a:1,b", "", "missing port: expected :PORT"),
            (":7=relay:a:1,idle=1h", "idle", "unknown option"),
            (":7=hub,frame=raw,on-lag=skip", "hub", RAW_SKIP),
            (":7=hub,frame=rwa", "rwa", "unknown value; did you mean raw?"),
            (":7=hub,max-message=0", "0", "must be at least 1"),
            (":7=hub,max-message=17M", "17M", "too large"),
            (":7=hub:", "", "not the name of a hub"),
            (":7=hub:a b", "a b", "not the name of a hub"),
            (":7=hub:a,fram=raw", "fram", "unknown option; did you mean frame?"),
            (":7=hub:a:b", "a:b", "not the name of a hub"),
            (":7=echo,frame=raw", "frame", "frame does not apply to echo"),
            (":7=greet", "", "missing text"),
            (":7=greet,read-two:x", "read-two", "unknown option"),
            (":7=greet:{pear}", "pear", "unknown placeholder; did you mean {peer}?"),
        ];
        for (text, place, wrong) in cases {
            let error = Route::parse(text, &Policy::default()).expect_err(text);
            assert_eq!((&text[error.span.clone()], error.wrong.as_str()), (place, wrong), "{text}");
        }
    }

    #[test]
    fn a_route_that_cannot_work_is_refused() {
        let cases = [
            (":7=relay:127.0.0.1:7", "127.0.0.1:7"),
            (":7=relay:a:7,[::1]:7", "[::1]:7"),
            (":7=relay:udp://a:7", "udp://a:7"),
            ("udp://:7=greet:hi", "greet"),
            ("udp://:7=hub", "hub"),
            ("unix-dgram:/x=hub:a", "hub"),
        ];
        for (text, place) in cases {
            let error = Route::parse(text, &Policy::default()).expect_err(text);
            assert_eq!(&text[error.span.clone()], place, "{error}");
        }
    }

    #[test]
    fn a_route_prints_as_run_accepts_it() {
        let cases = [
            (":7=echo", "tcp://:7=echo"),
            ("udp://:9=discard,udp-allow-low-ports", "udp://:9=discard,udp-allow-low-ports"),
            ("/run/x,mode=660=echo,idle-timeout=60m", "unix:/run/x,mode=0660=echo,idle-timeout=1h"),
            ("/run/a=b=echo", "unix:/run/a=b=echo"),
            ("/run/a=echo=echo", "unix:/run/a=echo=echo"),
            (
                ":80=relay:a:1,/run/b=c,connect-timeout=2s",
                "tcp://:80=relay,connect-timeout=2s:tcp://a:1,unix:/run/b=c",
            ),
            (
                "udp://:53=relay,udp-flows=2k:udp://a:53",
                "udp://:53=relay,udp-flows=2000:udp://a:53",
            ),
            (":1=greet,read-one:a, {peer}: =x\\n", "tcp://:1=greet,read-one:a, {peer}: =x\\n"),
            (":1=greet:", "tcp://:1=greet:"),
            (":9=hub,max-lifetime=1s:a.b", "tcp://:9=hub,max-lifetime=1s:a.b"),
            (":9=hub,frame=raw", "tcp://:9=hub,frame=raw"),
            (":9=hub,frame=raw,on-lag=close", "tcp://:9=hub,frame=raw"),
            (
                ":9=hub:x,on-lag=close,max-message=2k,hub-buffer=2M",
                "tcp://:9=hub,max-message=2k,hub-buffer=2M,on-lag=close:x",
            ),
        ];
        for (text, printed) in cases {
            let route = parsed(text);
            assert_eq!(route.to_string(), printed, "{text}");
            assert_eq!(parsed(printed), route, "{text}");
        }
    }

    #[test]
    fn an_option_of_another_service_is_not_printed() {
        let policy = Policy { udp_flows: 5, udp_allow_low_ports: true, ..Policy::default() };
        let printed = |text| Route::parse(text, &policy).unwrap().to_string();
        assert_eq!(printed(":7=echo"), "tcp://:7=echo,udp-allow-low-ports");
        assert_eq!(printed(":7=relay:a:1"), "tcp://:7=relay,udp-flows=5:tcp://a:1");
    }

    #[test]
    fn any_text_is_refused_in_order_or_prints_back() {
        let mut dice = Dice::throw();
        let seedlings = [
            ":80=relay:a:1,/run/b,idle-timeout=1h,connect-timeout=2s",
            "/run/x,mode=0660=echo,udp-allow-low-ports",
            ":23=greet,read-one:hi {peer.ip}\\n",
            ":9=hub,frame=len32,max-message=64k,hub-buffer=1M,on-lag=close:lobby",
        ];
        let mut accepted = 0;
        for _ in 0..10_000 {
            match Route::parse(&dice.text(&seedlings), &Policy::default()) {
                Ok(route) => {
                    accepted += 1;
                    let printed = route.to_string();
                    // A path that looks like a service is the exception.
                    if route.listen.to_string().contains('=') {
                        continue;
                    }
                    let read = Route::parse(&printed, &Policy::default());
                    assert_eq!(read.as_ref(), Ok(&route), "{printed:?}");
                }
                Err(error) => check(&error),
            }
        }
        assert!(accepted > 500, "only {accepted} were accepted: the test has lost its aim");
    }
}
