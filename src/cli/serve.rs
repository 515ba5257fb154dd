//! Makes plans of the commands that serve.

use super::Command;
use super::draft::Draft;
use super::error::UsageError;
use super::typed::{Typed, Word};
use crate::plan::misread::{Piece, Slip};
use crate::plan::{Misread, Plan, Route, Service, check, unit};

/// Where echo listens if nothing is said: for oneself, and without privileges.
const ECHO_LISTEN: &str = "127.0.0.1:7007";

/// A service that needs nothing but addresses to listen at.
pub fn small(mut typed: Typed, service: Service) -> Result<Command, UsageError> {
    if typed.words.is_empty() && service == Service::Echo {
        typed.words.push(Word { text: ECHO_LISTEN.to_string(), at: 0 });
    }
    let example = match service {
        Service::Discard => ":9",
        Service::Chargen => ":19",
        Service::Daytime => ":13",
        Service::Time => ":37",
        _ => ":7010",
    };
    same(&typed, &service, &format!("oneloop {} {example}", service.word()))
}

pub fn greet(mut typed: Typed) -> Result<Command, UsageError> {
    const EXAMPLE: &str = "oneloop greet :7008 --text 'welcome {peer.ip}\\n'";
    let Some(text) = typed.draft.text.take() else {
        let error = UsageError::missing("greet needs a text to send: --text TEXT");
        return Err(error.detail(format!("for example: {EXAMPLE}")));
    };
    let service = Service::Greet { text, read_one: typed.draft.read_one };
    same(&typed, &service, EXAMPLE)
}

pub fn relay(typed: Typed) -> Result<Command, UsageError> {
    let needs = |what: &str| {
        let error = UsageError::missing(format!("relay needs {what}"));
        Err(error.detail("for example: oneloop relay :80 10.0.0.1:80"))
    };
    let Some((first, rest)) = typed.words.split_first() else {
        return needs("an address to listen at and a target");
    };
    let listen = first.listen()?;
    if rest.is_empty() {
        return needs("a target behind the address it listens at");
    }
    let mut targets = Vec::new();
    for word in rest {
        let target = word.target()?;
        let fits = check::target(&listen, &target, Piece::whole(&word.text));
        fits.map_err(|slip| misfit("target", word, slip))?;
        targets.push(target);
    }
    let service = Service::Relay(targets);
    let route = Route { listen, service, policy: typed.draft.policy.clone() };
    plan(&typed.draft, vec![route], &typed.words)
}

pub fn run(typed: Typed) -> Result<Command, UsageError> {
    if typed.words.is_empty() {
        let error = UsageError::missing("run needs a route: LISTEN=SERVICE");
        return Err(error.detail("for example: oneloop run :7=echo :9=discard"));
    }
    let route = |word: &Word| {
        let route = Route::parse(&word.text, &typed.draft.policy);
        route.map_err(|misread| word.misread(&misread))
    };
    let routes = typed.words.iter().map(route).collect::<Result<_, _>>()?;
    plan(&typed.draft, routes, &typed.words)
}

/// One address or more, all with the same service.
fn same(typed: &Typed, service: &Service, example: &str) -> Result<Command, UsageError> {
    if typed.words.is_empty() {
        let wrong = format!("{} needs an address to listen at", service.word());
        return Err(UsageError::missing(wrong).detail(format!("for example: {example}")));
    }
    let mut routes = Vec::new();
    for word in &typed.words {
        let listen = word.listen()?;
        let fits = check::service(&listen, service, Piece::whole(&word.text));
        fits.map_err(|slip| misfit("address", word, slip))?;
        let (service, policy) = (service.clone(), typed.draft.policy.clone());
        routes.push(Route { listen, service, policy });
    }
    plan(&typed.draft, routes, &typed.words)
}

/// The plan of these routes, one for each word, if they can be together.
fn plan(draft: &Draft, routes: Vec<Route>, words: &[Word]) -> Result<Command, UsageError> {
    check::routes(&routes).map_err(|clash| UsageError::at(words[clash.route].at, clash.wrong))?;
    let Draft { max_connections, drain_timeout, drain_idle, spin, .. } = *draft;
    if let Some(idle) = drain_idle.filter(|idle| *idle >= drain_timeout && !drain_timeout.is_zero())
    {
        let [idle, timeout] = [idle, drain_timeout].map(unit::show_duration);
        let error = UsageError::missing(format!(
            "--drain-idle {idle} is not shorter than --drain-timeout {timeout}"
        ));
        return Err(error.detail("connections at rest would be reset instead of closed"));
    }
    let plan = Plan { routes, max_connections, drain_timeout, drain_idle, spin };
    Ok(Command::Serve { plan, log: draft.log.clone() })
}

fn misfit(subject: &str, word: &Word, slip: Slip) -> UsageError {
    word.misread(&Misread::new(subject, word.text.as_str(), slip))
}
