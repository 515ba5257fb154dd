//! The requests that change something: drain, pause, resume.

use crate::core::event::PauseCause;
use crate::core::{Key, Turn};

use super::answer::{Answer, AnswerCx, resource};
use super::http::problem::{Problem, Status};
use super::http::request::HttpRequest;
use super::resources::{DrainingResource, PausedResource};
use super::rows::{is_meant, seconds};

/// Starts the drain, as TERM does.
pub fn drain(cx: &mut AnswerCx<'_>) -> Result<Answer, Problem> {
    let turn = &mut Turn::new(cx.reactor.woke(), cx.watch);
    cx.reactor.begin_drain(turn);
    let inspect = cx.reactor.inspect();
    let left = inspect.drain().map_or(inspect.drain_timeout(), |drain| drain.due);
    resource(&DrainingResource {
        connections: inspect.connections(),
        flows: inspect.flows(),
        timeout_seconds: seconds(left),
    })
}

/// Pauses or resumes a listener, or all of them.
pub fn set_paused(
    cx: &mut AnswerCx<'_>,
    request: &HttpRequest,
    paused: bool,
) -> Result<Answer, Problem> {
    let mut query = request.query.reader();
    let only = query.text("listener");
    query.finish()?;
    let inspect = cx.reactor.inspect();
    if inspect.is_draining() {
        return Err(Problem::new(Status::Conflict, "the daemon is being stopped"));
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
        let turn = &mut Turn::new(cx.reactor.woke(), cx.watch);
        if cx.reactor.set_paused(*key, paused, turn) {
            changed.push(address.clone());
        }
    }
    let listeners = cx.reactor.inspect().listeners();
    let by_operator = listeners.filter(|(_, slot)| slot.paused() == Some(PauseCause::Operator));
    let paused = by_operator.map(|(_, slot)| slot.address.to_string()).collect();
    resource(&PausedResource { changed, paused })
}
