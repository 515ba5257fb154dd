//! The requests that change something: drain, pause, resume, reload.

use crate::core::event::PauseCause;
use crate::core::{Key, Turn};
use crate::observe::Watch;
use crate::runtime::reactor::Reactor;

use super::body::{Answer, resource};
use super::http::problem::{Problem, Status};
use super::http::request::HttpRequest;
use super::resources::{DrainingResource, PausedResource, ReloadResource};
use super::rows::{is_meant, seconds};

/// Starts the drain, as TERM does.
pub fn drain(reactor: &mut Reactor, watch: &mut Watch) -> DrainingResource {
    let turn = &mut Turn::new(reactor.woke(), watch);
    reactor.begin_drain(turn);
    let inspect = reactor.inspect();
    let left = inspect.drain().map_or(inspect.drain_timeout(), |drain| drain.due);
    DrainingResource {
        connections: inspect.connections(),
        flows: inspect.flows(),
        timeout_seconds: seconds(left),
    }
}

/// Starts a reload of the configuration file, as HUP does. Returns its number.
pub fn reload(reactor: &mut Reactor, watch: &mut Watch) -> Result<u64, Problem> {
    let turn = &mut Turn::new(reactor.woke(), watch);
    let number = reactor.request_reload(turn);
    number.ok_or_else(|| {
        let detail = match reactor.has_config_file() {
            true => "the daemon is draining",
            false => "the daemon was started without a configuration file",
        };
        Problem::new(Status::Conflict, detail)
    })
}

/// Answers with the result of the last reload.
pub fn reloaded(reactor: &Reactor) -> Result<Answer, Problem> {
    match reactor.reload_verdict() {
        Some(Ok(summary)) => resource(&ReloadResource {
            added: summary.added,
            changed: summary.changed,
            removed: summary.removed,
            unchanged: summary.unchanged,
            warnings: summary.warnings.clone(),
        }),
        Some(Err(failure)) => {
            let detail = format!("not reloaded\n{}", failure.report);
            Err(Problem::new(Status::UnprocessableContent, detail))
        }
        None => Err(Problem::new(Status::Conflict, "no reload has ended")),
    }
}

/// Pauses or resumes a listener, or all of them.
pub fn set_paused(
    reactor: &mut Reactor,
    watch: &mut Watch,
    request: &HttpRequest,
    paused: bool,
) -> Result<PausedResource, Problem> {
    let mut query = request.query.reader();
    let only = query.text("listener");
    query.finish()?;
    let inspect = reactor.inspect();
    if inspect.is_draining() {
        return Err(Problem::new(Status::Conflict, "the daemon is draining"));
    }
    let all: Vec<(Key, String)> =
        inspect.listeners().map(|(key, slot)| (key, slot.address.to_string())).collect();
    let chosen = all.iter().filter(|(_, address)| only.is_none_or(|only| is_meant(address, only)));
    let chosen: Vec<&(Key, String)> = chosen.collect();
    if let (Some(only), true) = (only, chosen.is_empty()) {
        let detail =
            format!("no stream listener has the address {only}; GET /listeners lists them");
        return Err(Problem::new(Status::NotFound, detail));
    }
    let mut changed = Vec::new();
    for (key, address) in chosen {
        let turn = &mut Turn::new(reactor.woke(), watch);
        if reactor.set_paused(*key, paused, turn) {
            changed.push(address.clone());
        }
    }
    let listeners = reactor.inspect().listeners();
    let by_operator = listeners.filter(|(_, slot)| slot.paused() == Some(PauseCause::Operator));
    let paused = by_operator.map(|(_, slot)| slot.address.to_string()).collect();
    Ok(PausedResource { changed, paused })
}
