//! Serves the clients of the admin endpoint between the turns of the loop: answers their requests
//! in order, sends large bodies in parts, and ends clients that keep others waiting.
//!
//! All parts together, events included, take about `BUDGET` per turn, and a tenth of the time. A
//! part is produced when the socket has accepted the one before, so a client holds one part of
//! memory whatever it asks for.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use crate::core::{Event, Key, Mail, Moment, Turn};
use crate::observe::Watch;
use crate::runtime::admin_port::{AdminClient, AdminRole};
use crate::runtime::reactor::{Outcome, Reactor};

use super::answer::AnswerCx;
use super::body::{Answer, RETRY_SECONDS, resource, too_many_streams};
use super::client::{Client, TimeUp, Work};
use super::commands;
use super::find::Found;
use super::http::problem::{Problem, Status};
use super::http::request::{ParsedRequest, REQUEST_BYTES, parse};
use super::metrics::{AdminCounts, MetricsCx};
use super::recording;
use super::settings::{CLIENTS, METRICS_CLIENTS, ServerSettings};
use super::viewer::{HEARTBEAT, STREAMS};

/// Maximum bytes of packets that are sent at once.
const TAP_PART_BYTES: usize = 64 * 1024;

/// Maximum number of requests that one client has answered in one turn.
const REQUESTS_PER_TURN: usize = 8;

/// Time for what is produced in parts, per turn: connections wait that long for the next turn.
const BUDGET: Duration = Duration::from_micros(25);

/// After a turn with parts, the next ones wait this many times as long as they took. A loop that is
/// never idle would also wait longer for a processor that others want.
const PAUSE: u32 = 9;

/// What serving needs from the rest of the process.
struct ServeCx<'a> {
    reactor: &'a mut Reactor,
    watch: &'a mut Watch,
    /// When the time of this turn for parts is used up.
    end: Moment,
    /// A part was produced in this turn.
    has_parts: bool,
}

/// How far serving a client has come.
enum Advanced {
    /// It waits for its client, or for an event.
    Waits,
    /// It goes on in the next turn.
    More,
    /// No time was left for a part: it goes on when parts are due again, before those that had one.
    Late,
    /// Its last bytes were sent.
    Over,
}

/// The server of the admin endpoint.
pub struct AdminServer {
    pub settings: ServerSettings,
    pub counts: AdminCounts,
    clients: BTreeMap<Key, Client>,
    /// Clients with work left, in turns.
    queue: VecDeque<Key>,
    /// When parts are due again.
    parts_at: Moment,
    /// The number of reloads that had ended when the clients were last served.
    reloads: u64,
}

impl AdminServer {
    pub fn new(settings: ServerSettings) -> AdminServer {
        AdminServer {
            settings,
            counts: AdminCounts::default(),
            clients: BTreeMap::new(),
            queue: VecDeque::new(),
            parts_at: Moment(0),
            reloads: 0,
        }
    }

    /// Runs the loop and serves the clients until a signal or a command stops it, or a reload has
    /// ended: then it returns None, and may be called again.
    pub fn run(&mut self, reactor: &mut Reactor, watch: &mut Watch) -> io::Result<Option<Outcome>> {
        let reloads = reactor.reloads_ended();
        loop {
            let outcome = reactor.turn(watch)?;
            if outcome.is_some() {
                // Viewers see how it ended.
                self.parts_at = Moment(0);
            }
            if self.is_due(reactor, watch) {
                self.serve(reactor, watch);
            }
            if outcome.is_some() {
                self.end_streams(reactor);
                return Ok(outcome);
            }
            if reactor.reloads_ended() != reloads {
                return Ok(None);
            }
        }
    }

    /// Ends the streams of events in order: nothing follows.
    fn end_streams(&mut self, reactor: &mut Reactor) {
        for client in self.clients.values_mut().filter(|client| client.is_stream()) {
            client.put_part(&[], true);
            send(client, reactor);
        }
    }

    /// Whether a client has something to be done.
    #[inline]
    fn is_due(&self, reactor: &mut Reactor, watch: &Watch) -> bool {
        let (now, reloads) = (reactor.woke(), reactor.reloads_ended());
        let Some(port) = reactor.admin() else { return false };
        if self.reloads != reloads {
            return true;
        }
        if self.counts.streams > 0 && self.has_news(watch) {
            port.wake_by(self.parts_at);
        }
        port.has_work(now)
    }

    fn has_news(&self, watch: &Watch) -> bool {
        self.clients.values().any(|client| match &client.work {
            _ if client.is_blocked() => false,
            Work::Events(viewer, _) => viewer.has_news(&watch.events),
            Work::Tap(id, _) => watch.taps.has_news(*id),
            Work::Request
            | Work::Body(..)
            | Work::Find(_)
            | Work::Reload(_)
            | Work::Start(_)
            | Work::Watch(_)
            | Work::Closing => false,
        })
    }

    /// Serves all clients that can go on, as far as one turn allows.
    fn serve(&mut self, reactor: &mut Reactor, watch: &mut Watch) {
        let now = reactor.now();
        self.take_news(reactor, watch, now);
        let end = if now >= self.parts_at { now.after(BUDGET) } else { now };
        let mut cx = ServeCx { reactor, watch, end, has_parts: false };
        self.serve_queue(&mut cx);
        if cx.has_parts {
            let then = cx.reactor.now();
            self.parts_at = then.after(then.since(now) * PAUSE);
        }
        self.end_late_clients(reactor, watch);
        let wake_at = self.wake_at(now);
        if let Some(port) = reactor.admin() {
            port.set_wake_at(wake_at);
            self.counts.clients = port.len();
            self.counts.accepted = port.accepted();
        }
    }

    /// Serves each client in the queue once. Those for whose parts no time was left come first the
    /// next time.
    fn serve_queue(&mut self, cx: &mut ServeCx<'_>) {
        let mut late = VecDeque::new();
        for _ in 0..self.queue.len() {
            let Some(key) = self.queue.pop_front() else { break };
            let Some(mut client) = self.clients.remove(&key) else { continue };
            let advanced = self.advance(&mut client, cx);
            client.queued = match advanced {
                Advanced::Over => {
                    self.forget(&client, cx.watch);
                    continue;
                }
                Advanced::Waits => false,
                Advanced::More => {
                    self.queue.push_back(key);
                    true
                }
                Advanced::Late => {
                    late.push_back(key);
                    true
                }
            };
            self.clients.insert(key, client);
        }
        late.append(&mut self.queue);
        self.queue = late;
    }

    /// When the clients are to be served next, if nothing happens before.
    fn wake_at(&self, now: Moment) -> Option<Moment> {
        let deadline = self.clients.values().filter_map(|client| Some(client.deadline()?.0)).min();
        let mut queued = self.queue.iter().filter_map(|key| self.clients.get(key));
        let work_at = match queued.any(|client| !client.needs_time()) {
            true => Some(now),
            false => (!self.queue.is_empty()).then_some(self.parts_at),
        };
        [deadline, work_at].into_iter().flatten().min()
    }

    /// Takes over new clients, and queues those that have sent something or accept bytes again.
    fn take_news(&mut self, reactor: &mut Reactor, watch: &mut Watch, now: Moment) {
        let Some(port) = reactor.admin() else { return };
        let opened = port.opened();
        let mail = port.mail();
        for facts in opened {
            self.add(facts, reactor, now);
        }
        for mail in mail {
            match mail {
                Mail::Received(key) | Mail::Drained(key) => self.enqueue(key),
                Mail::Closed(closed) => {
                    if let Some(client) = self.clients.remove(&closed.key) {
                        self.forget(&client, watch);
                    }
                }
            }
        }
        let reloads = reactor.reloads_ended();
        if self.reloads != reloads {
            self.reloads = reloads;
            let waits = |(key, client): (&Key, &Client)| {
                matches!(client.work, Work::Reload(_)).then_some(*key)
            };
            let waiting: Vec<Key> = self.clients.iter().filter_map(waits).collect();
            waiting.into_iter().for_each(|key| self.enqueue(key));
        }
        if self.counts.streams > 0 {
            let viewing: Vec<Key> = self.viewers().collect();
            viewing.into_iter().for_each(|key| self.enqueue(key));
        }
    }

    fn viewers(&self) -> impl Iterator<Item = Key> {
        self.clients.iter().filter(|(_, client)| client.is_stream()).map(|(key, _)| *key)
    }

    fn enqueue(&mut self, key: Key) {
        if let Some(client) = self.clients.get_mut(&key)
            && !std::mem::replace(&mut client.queued, true)
        {
            self.queue.push_back(key);
        }
    }

    /// Adds a client. Without room an idle one is closed; if all are busy, the new one is told so.
    fn add(&mut self, facts: AdminClient, reactor: &mut Reactor, now: Moment) {
        let (key, role) = (facts.key, facts.role);
        let mut client = Client::new(facts, now);
        let of_role = self.clients.values().filter(|other| other.facts.role == role).count();
        let is_full = self.clients.len() >= CLIENTS
            || role == AdminRole::Metrics && of_role >= METRICS_CLIENTS;
        if is_full {
            let only = (role == AdminRole::Metrics).then_some(role);
            let idle = self.clients.iter().filter(|(_, other)| {
                other.is_idle() && only.is_none_or(|role| other.facts.role == role)
            });
            let longest = idle.min_by_key(|(_, other)| other.since).map(|(key, _)| *key);
            match (longest, reactor.admin()) {
                (Some(longest), Some(port)) => {
                    self.clients.remove(&longest);
                    port.reply(longest, &[], true, now);
                }
                (None, _) | (_, None) => {
                    let problem = Problem::unavailable("too many clients", RETRY_SECONDS);
                    client.refuse(problem);
                }
            }
        }
        self.clients.insert(key, client);
        self.enqueue(key);
    }

    fn forget(&mut self, client: &Client, watch: &mut Watch) {
        match client.work {
            Work::Events(..) => watch.events.leave(),
            Work::Tap(id, _) => watch.taps.close(id),
            Work::Start(_) => {
                let is_starting = |client: &Client| matches!(client.work, Work::Start(_));
                if !self.clients.values().any(is_starting) {
                    recording::abandon(watch);
                }
                return;
            }
            Work::Request
            | Work::Body(..)
            | Work::Find(_)
            | Work::Watch(_)
            | Work::Reload(_)
            | Work::Closing => return,
        }
        self.counts.streams -= 1;
    }

    /// Serves one client until it has to wait, or has used up its share of the turn.
    fn advance(&mut self, client: &mut Client, cx: &mut ServeCx<'_>) -> Advanced {
        let (mut requests, mut has_part) = (0, false);
        loop {
            cx.has_parts |= has_part;
            if !send(client, cx.reactor) {
                return Advanced::Waits;
            }
            match &mut client.work {
                Work::Closing => return Advanced::Over,
                Work::Request if requests == REQUESTS_PER_TURN => return Advanced::More,
                Work::Request => match self.next_request(client, cx) {
                    true => requests += 1,
                    false => return Advanced::Waits,
                },
                Work::Events(viewer, _) if !viewer.has_news(&cx.watch.events) => {
                    return Advanced::Waits;
                }
                Work::Tap(id, _) if !cx.watch.taps.has_news(*id) => return Advanced::Waits,
                Work::Body(..)
                | Work::Find(_)
                | Work::Start(_)
                | Work::Watch(_)
                | Work::Tap(..)
                | Work::Events(..)
                    if cx.reactor.now() >= cx.end =>
                {
                    return if has_part { Advanced::More } else { Advanced::Late };
                }
                Work::Body(..) | Work::Watch(_) | Work::Tap(..) | Work::Events(..) => {
                    has_part |= self.put_next_part(client, cx);
                }
                Work::Reload(number) if *number > cx.reactor.reloads_ended() => {
                    return Advanced::Waits;
                }
                Work::Reload(_) => {
                    let answered = commands::reloaded(cx.reactor);
                    self.put(client, answered, cx);
                }
                Work::Start(start) => match start.part(cx.reactor, cx.watch) {
                    None => has_part = true,
                    Some(begun) => self.put(client, resource(&begun), cx),
                },
                Work::Find(find) => match find.part(cx.reactor.inspect()) {
                    Found::More => has_part = true,
                    Found::Open(key) => {
                        let then = find.then.clone();
                        let answered = self.answer_cx(client, cx).found(key, then);
                        self.put(client, answered, cx);
                    }
                    Found::Gone => {
                        let detail = format!("no connection {} is open", find.id());
                        self.put(client, Err(Problem::new(Status::NotFound, detail)), cx);
                    }
                },
            }
        }
    }

    /// Produces the next part of what a client receives. Returns false if its answer is complete
    /// instead.
    fn put_next_part(&mut self, client: &mut Client, cx: &mut ServeCx<'_>) -> bool {
        let (mut part, mut is_complete) = (Vec::new(), false);
        match &mut client.work {
            Work::Body(body, _) => {
                let (reactor, watch, admin) = (&*cx.reactor, &*cx.watch, self.counts);
                (part, is_complete) = body.part(&MetricsCx { reactor, watch, admin });
            }
            Work::Watch(job) => {
                let Some(started) = job.part(cx.reactor, cx.watch) else { return true };
                let answered = started.and_then(|state| resource(&state));
                self.put(client, answered, cx);
                return false;
            }
            Work::Tap(id, _) => is_complete = cx.watch.taps.take(*id, TAP_PART_BYTES, &mut part),
            Work::Events(viewer, _) => viewer.part(&cx.watch.events, &mut part),
            Work::Request | Work::Find(_) | Work::Reload(_) | Work::Start(_) | Work::Closing => {
                return false;
            }
        }
        if is_complete {
            self.forget(client, cx.watch);
        }
        client.put_part(&part, is_complete);
        true
    }

    /// Answers the next request, if it has arrived completely.
    fn next_request(&mut self, client: &mut Client, cx: &mut ServeCx<'_>) -> bool {
        let (key, now) = (client.facts.key, cx.reactor.now());
        let Some(port) = cx.reactor.admin() else { return false };
        let Some(received) = port.received(key) else { return false };
        let (bytes, last) = (received.bytes.len(), received.last);
        match parse(received.bytes) {
            ParsedRequest::Incomplete if last => {
                client.work = Work::Closing;
                true
            }
            ParsedRequest::Incomplete => {
                if bytes > 0 && !std::mem::replace(&mut client.has_begun, true) {
                    client.since = now;
                }
                port.consume(key, 0, REQUEST_BYTES);
                false
            }
            ParsedRequest::Invalid(problem) => {
                client.begin_invalid();
                self.put(client, Err(problem), cx);
                true
            }
            ParsedRequest::Complete { request, length } => {
                port.consume(key, length, 0);
                client.begin(&request);
                let answered = self.answer_cx(client, cx).answer(&request);
                self.put(client, answered, cx);
                true
            }
        }
    }

    fn answer_cx<'a>(&'a self, client: &'a Client, cx: &'a mut ServeCx<'_>) -> AnswerCx<'a> {
        let ServeCx { reactor, watch, .. } = cx;
        AnswerCx {
            settings: &self.settings,
            streams: self.counts.streams,
            client: &client.facts,
            reactor,
            watch,
        }
    }

    /// Starts to send an answer, and reports it.
    fn put(
        &mut self,
        client: &mut Client,
        answered: Result<Answer, Problem>,
        cx: &mut ServeCx<'_>,
    ) {
        let answered = answered.and_then(|answer| self.check_streams(answer));
        let answer = answered.unwrap_or_else(|problem| Answer::Response(problem.into()));
        let Some(status) = client.put(answer, cx.watch) else { return };
        if client.is_stream() {
            self.counts.streams += 1;
        }
        count(&mut self.counts, status);
        let request = &client.request;
        let event = Event::AdminRequest {
            method: request.method,
            target: &request.path,
            status: status.code(),
            peer: &client.facts.peer,
            changes: request.changes,
        };
        Turn::new(cx.reactor.woke(), cx.watch).on(Key::LOOP, &event);
    }

    fn check_streams(&self, answer: Answer) -> Result<Answer, Problem> {
        match answer {
            Answer::Events(..) if self.counts.streams >= STREAMS => Err(too_many_streams()),
            answer => Ok(answer),
        }
    }

    /// Ends the clients whose time is up.
    fn end_late_clients(&mut self, reactor: &mut Reactor, watch: &mut Watch) {
        let now = reactor.now();
        let late = self.clients.iter().filter_map(|(key, client)| {
            let (_, what) = client.deadline().filter(|(at, _)| *at <= now)?;
            Some((*key, what))
        });
        let late: Vec<(Key, TimeUp)> = late.collect();
        for (key, what) in late {
            let Some(client) = self.clients.get_mut(&key) else { continue };
            match what {
                TimeUp::Answer => {
                    let detail = "the request did not arrive in time";
                    client.refuse(Problem::new(Status::RequestTimeout, detail));
                }
                TimeUp::Close => client.work = Work::Closing,
                TimeUp::Heartbeat => {
                    match client.work {
                        Work::Tap(id, _) => watch.taps.keep_alive(id),
                        _ => client.put_part(HEARTBEAT.as_bytes(), false),
                    }
                    client.since = now;
                }
                TimeUp::Reset => {
                    if let Some(client) = self.clients.remove(&key) {
                        self.forget(&client, watch);
                    }
                    if let Some(port) = reactor.admin() {
                        port.reset(key, now);
                    }
                }
            }
            self.enqueue(key);
        }
    }
}

/// Counts an answer by the class of its status.
fn count(counts: &mut AdminCounts, status: Status) {
    let class = usize::from(status.code() / 100);
    if let Some(count) = counts.requests.get_mut(class - 1) {
        *count += 1;
    }
}

/// Sends what waits to be sent. Returns whether the client accepted all of it.
fn send(client: &mut Client, reactor: &mut Reactor) -> bool {
    let (is_last, now) = (matches!(client.work, Work::Closing), reactor.now());
    if !client.is_blocked() && !is_last {
        return true;
    }
    let Some(port) = reactor.admin() else { return false };
    let accepted = port.reply(client.facts.key, &client.out[client.sent..], is_last, now);
    client.sent += accepted;
    // Its time counts from the moment in which it stopped to accept, not from its last answer.
    if accepted > 0 || !client.was_blocked {
        client.since = now;
    }
    client.was_blocked = client.is_blocked();
    if client.was_blocked {
        return false;
    }
    client.out.clear();
    client.sent = 0;
    true
}
