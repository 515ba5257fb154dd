//! Watches over HTTP: starts one, for open connections and for those to come, says what is watched,
//! and ends it. Open connections are visited in parts.

use std::time::Duration;

use crate::config::unit::show_duration;
use crate::core::Moment;
use crate::observe::watches::{WATCH_TIME, WATCH_TIME_MAX, WATCHES, WatchRule, WatchTarget};
use crate::observe::{PeerFilter, Watch};
use crate::runtime::inspect::{ConnView, Inspect};
use crate::runtime::reactor::Reactor;
use crate::runtime::sweep::SweepCursor;

use super::http::problem::{Problem, Status};
use super::http::query::{YES_OR_NO, refused};
use super::http::request::HttpRequest;
use super::known::with_known;
use super::recording;
use super::resources::{WatchResource, WatchRow};
use super::rows::{is_meant, seconds};

/// Maximum slots visited per part, and maximum connections among them: each may be asked for the
/// address of its peer, which takes about a microsecond.
const SLOTS_PER_PART: usize = 16 * 1024;
const COMPARED_PER_PART: usize = 32;

/// A watch that is being started.
pub struct WatchJob {
    target: WatchTarget,
    time: Duration,
    bytes: bool,
    /// None: it has not begun.
    rule: Option<WatchRule>,
    cursor: SweepCursor,
}

impl WatchJob {
    /// Reads what is to be watched.
    pub fn of(request: &HttpRequest, inspect: Inspect<'_>) -> Result<WatchJob, Problem> {
        let mut query = request.query.reader();
        let connection = query.count("connection", u64::from(u32::MAX))?;
        let (peer, route) = (query.text("peer"), query.text("route"));
        let time = query.duration("for")?.unwrap_or(WATCH_TIME);
        let bytes = query.choice("bytes", &YES_OR_NO)?.unwrap_or(false);
        query.finish()?;
        if time.is_zero() || time > WATCH_TIME_MAX {
            let accepted = format!("more than 0s, at most {}", show_duration(WATCH_TIME_MAX));
            return Err(refused("for", &show_duration(time), "out of range", &accepted));
        }
        let target = match (connection, peer, route) {
            (Some(id), None, None) => WatchTarget::Connection(id as u32),
            (None, Some(""), None) => {
                return Err(refused("peer", "", "empty", "an address, a block, or text"));
            }
            (None, Some(peer), None) => WatchTarget::Peer(PeerFilter::parse(peer), peer.to_owned()),
            (None, None, Some(name)) => {
                WatchTarget::Route(indices(name, inspect)?, name.to_owned())
            }
            _ => {
                let expected = "one of connection=N, peer=ADDRESS and route=NAME must be given";
                return Err(Problem::bad_request(expected));
            }
        };
        Ok(WatchJob { target, time, bytes, rule: None, cursor: SweepCursor::default() })
    }

    /// Visits the next connections. Returns the answer after the last one.
    pub fn part(
        &mut self,
        reactor: &Reactor,
        watch: &mut Watch,
    ) -> Option<Result<WatchResource, Problem>> {
        match self.advance(reactor.inspect(), watch) {
            Ok(false) => None,
            Ok(true) => Some(Ok(state(watch, reactor.now()))),
            Err(problem) => Some(Err(problem)),
        }
    }

    /// Returns whether all connections were visited.
    fn advance(&mut self, inspect: Inspect<'_>, watch: &mut Watch) -> Result<bool, Problem> {
        if let WatchTarget::Connection(id) = self.target {
            return self.find(id, inspect, watch);
        }
        let rule = self.begin(inspect, watch)?;
        let mut compared = 0;
        for _ in 0..SLOTS_PER_PART {
            let Some(slot) = inspect.visit(&mut self.cursor) else { return Ok(true) };
            let Some(view) = slot else { continue };
            if self.matches(&view) {
                watch_open(&view, &rule, watch);
            }
            compared += 1;
            if compared == COMPARED_PER_PART {
                break;
            }
        }
        Ok(false)
    }

    /// Looks for the connection with this number.
    fn find(&mut self, id: u32, inspect: Inspect<'_>, watch: &mut Watch) -> Result<bool, Problem> {
        let key = match inspect.find(id, &mut self.cursor, SLOTS_PER_PART) {
            Some(Some(key)) => key,
            Some(None) => return Ok(false),
            None => {
                return Err(Problem::new(Status::NotFound, format!("no connection {id} is open")));
            }
        };
        let rule = self.begin(inspect, watch)?;
        if let Some(view) = inspect.view(key) {
            watch_open(&view, &rule, watch);
        }
        Ok(true)
    }

    /// Starts the watch, once.
    fn begin(&mut self, inspect: Inspect<'_>, watch: &mut Watch) -> Result<WatchRule, Problem> {
        if let Some(rule) = &self.rule {
            return Ok(rule.clone());
        }
        let until = inspect.now.after(self.time);
        let rule = WatchRule { target: self.target.clone(), until, bytes: self.bytes };
        let started = watch.start_watch(rule.clone());
        match started.map_err(|error| Problem::bad_request(error.to_string()))? {
            true => self.rule = Some(rule.clone()),
            false => {
                let detail = format!("{WATCHES} watches are on; DELETE /watch ends them");
                return Err(Problem::new(Status::Conflict, detail));
            }
        }
        Ok(rule)
    }

    fn matches(&self, view: &ConnView<'_>) -> bool {
        match &self.target {
            WatchTarget::Connection(id) => view.key.id == *id,
            WatchTarget::Route(indices, _) => indices.contains(&view.route_index()),
            WatchTarget::Peer(filter, _) => view.peer().is_some_and(|peer| filter.matches(&peer)),
        }
    }
}

/// The indices of the routes with this name.
fn indices(name: &str, inspect: Inspect<'_>) -> Result<Vec<u16>, Problem> {
    let routes = inspect.routes().iter();
    let named = routes.filter(|(_, route)| is_meant(route.name(), name));
    let indices: Vec<u16> = named.map(|(index, _)| index).collect();
    match indices.is_empty() {
        false => Ok(indices),
        true => {
            let detail = format!("no route has the name {name}; GET /routes lists them");
            Err(Problem::new(Status::NotFound, detail))
        }
    }
}

/// Watches an open connection, and passes on what is known of it.
fn watch_open(view: &ConnView<'_>, rule: &WatchRule, watch: &mut Watch) {
    with_known(view, |known| watch.watch_open(view.key, known, rule));
}

/// Ends all watches. `record=off` also ends the recording of watched connections.
pub fn stop(
    request: &HttpRequest,
    reactor: &Reactor,
    watch: &mut Watch,
) -> Result<WatchResource, Problem> {
    let mut query = request.query.reader();
    let record = query.choice("record", &[("keep", true), ("off", false)])?;
    query.finish()?;
    watch.stop_watches();
    let is_of_watched = watch.recorder.as_ref().is_some_and(|recorder| recorder.is_of_watched());
    if record == Some(false) && is_of_watched {
        recording::end(watch);
    }
    Ok(state(watch, reactor.now()))
}

/// Says what is watched.
pub fn state(watch: &Watch, now: Moment) -> WatchResource {
    let watches = watch.watches();
    let (connections, left_out) = watches.counts();
    let kept = watch.recorder.as_ref().and_then(|recorder| recorder.kept_until());
    WatchResource {
        watches: watches.rules().iter().map(|rule| row(rule, now)).collect(),
        connections,
        left_out,
        record: recording::state(watch).record,
        kept_seconds: kept.map(|until| seconds(until.since(now))),
    }
}

fn row(rule: &WatchRule, now: Moment) -> WatchRow {
    let (mut connection, mut peer, mut route) = (None, None, None);
    match &rule.target {
        WatchTarget::Connection(id) => connection = Some(*id),
        WatchTarget::Peer(_, text) => peer = Some(text.clone()),
        WatchTarget::Route(_, name) => route = Some(name.clone()),
    }
    let left_seconds = seconds(rule.until.since(now));
    WatchRow { connection, peer, route, left_seconds, bytes: rule.bytes }
}
