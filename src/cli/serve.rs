//! Builds the plans of the serving commands.

use super::Command;
use super::args::{Arg, ParsedArgs};
use super::error::UsageError;
use super::values::OptionValues;
use crate::config::parse::{SpanError, Spanned};
use crate::config::{ParseError, Plan, Route, Service, check, unit};

/// Default address of echo: local only, and without privileges.
const ECHO_LISTEN: &str = "127.0.0.1:7007";

/// Builds a service that needs only addresses to listen on.
pub fn small(mut args: ParsedArgs, service: Service) -> Result<Command, UsageError> {
    if args.words.is_empty() && service == Service::Echo {
        args.words.push(Arg { text: ECHO_LISTEN.to_string(), at: 0 });
    }
    let example = match service {
        Service::Discard => ":9",
        Service::Chargen => ":19",
        Service::Daytime => ":13",
        Service::Time => ":37",
        _ => ":7010",
    };
    same(&args, &service, &format!("oneloop {} {example}", service.name()))
}

pub fn greet(mut args: ParsedArgs) -> Result<Command, UsageError> {
    const EXAMPLE: &str = "oneloop greet :7008 --text 'welcome {peer.ip}\\n'";
    let Some(text) = args.values.text.take() else {
        let error = UsageError::missing("greet needs --text TEXT");
        return Err(error.detail(format!("for example: {EXAMPLE}")));
    };
    let service = Service::Greet { text, read_one: args.values.read_one };
    same(&args, &service, EXAMPLE)
}

pub fn relay(args: ParsedArgs) -> Result<Command, UsageError> {
    let needs = |what: &str| {
        let error = UsageError::missing(format!("relay needs {what}"));
        Err(error.detail("for example: oneloop relay :80 10.0.0.1:80"))
    };
    let Some((first, rest)) = args.words.split_first() else {
        return needs("an address to listen on and a target");
    };
    let listen = first.listen()?;
    if rest.is_empty() {
        return needs("a target after the address to listen on");
    }
    let mut targets = Vec::new();
    for word in rest {
        let target = word.target()?;
        let fits = check::target(&listen, &target, Spanned::whole(&word.text));
        fits.map_err(|span_error| misfit("target", word, span_error))?;
        targets.push(target);
    }
    let service = Service::Relay(targets);
    let route = Route { listen, service, policy: args.values.policy.clone() };
    plan(&args.values, vec![route], &args.words)
}

pub fn run(args: ParsedArgs) -> Result<Command, UsageError> {
    if args.words.is_empty() {
        let error = UsageError::missing("run needs a route: LISTEN=SERVICE");
        return Err(error.detail("for example: oneloop run :7=echo :9=discard"));
    }
    let route = |word: &Arg| {
        let route = Route::parse(&word.text, &args.values.policy);
        route.map_err(|parse_error| word.parse_error(&parse_error))
    };
    let routes = args.words.iter().map(route).collect::<Result<_, _>>()?;
    plan(&args.values, routes, &args.words)
}

/// Builds one route per address, all with the same service.
fn same(args: &ParsedArgs, service: &Service, example: &str) -> Result<Command, UsageError> {
    if args.words.is_empty() {
        let wrong = format!("{} needs an address to listen on", service.name());
        return Err(UsageError::missing(wrong).detail(format!("for example: {example}")));
    }
    let mut routes = Vec::new();
    for word in &args.words {
        let listen = word.listen()?;
        let fits = check::service(&listen, service, Spanned::whole(&word.text));
        fits.map_err(|span_error| misfit("address", word, span_error))?;
        let (service, policy) = (service.clone(), args.values.policy.clone());
        routes.push(Route { listen, service, policy });
    }
    plan(&args.values, routes, &args.words)
}

/// Builds the plan of these routes, one per argument, unless they conflict.
fn plan(values: &OptionValues, routes: Vec<Route>, words: &[Arg]) -> Result<Command, UsageError> {
    check::routes(&routes).map_err(|clash| UsageError::at(words[clash.route].at, clash.wrong))?;
    let OptionValues { max_connections, drain_timeout, drain_idle, busy_poll, .. } = *values;
    if let Some(idle) = drain_idle.filter(|idle| *idle >= drain_timeout && !drain_timeout.is_zero())
    {
        let [idle, timeout] = [idle, drain_timeout].map(unit::show_duration);
        let error = UsageError::missing(format!(
            "--drain-idle {idle} must be shorter than --drain-timeout {timeout}"
        ));
        return Err(error.detail("otherwise connections at rest would be reset instead of closed"));
    }
    let plan = Plan { routes, max_connections, drain_timeout, drain_idle, busy_poll };
    Ok(Command::Serve { plan, log: values.log.clone() })
}

fn misfit(subject: &str, word: &Arg, span_error: SpanError) -> UsageError {
    word.parse_error(&ParseError::new(subject, word.text.as_str(), span_error))
}
