//! `oneloop chat`: sends standard input to every client, and prints the lines of the clients with
//! their number and address.
//!
//! An engine moves the bytes of the clients, whose connections end inside the process. A hub keeps
//! the input for those that read slowly. The lines of a client wait where they were received until
//! the screen has room for them.
//!
//! A `^D` typed at a terminal, SIGINT and SIGTERM end the chat: the remaining input is sent for a
//! bounded time, then each client receives a FIN. A file or a pipe as input may end without ending
//! the chat. It is read only while a client is connected, and no faster than the fastest client
//! receives.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::time::Duration;

use mio::Interest;

use super::console::{Console, INPUT_BYTES, Input};
use super::failure::SessionError;
use super::lines::{MAX_LINE_BYTES, next_piece};
use super::terminal::{EVENTS, is_terminating, ready};
use crate::config::ChatPlan;
use crate::config::unit::show_duration;
use crate::core::event::ServiceKind;
use crate::core::time::ticks;
use crate::core::{
    Buffers, ClosedLocal, Conn, ConnIds, Delivery, Engine, Event, Frame, Hub, HubSettings, Key,
    Mail, Moment, Observer, OnLag, Peer, Reason, Stream, Timeouts, Turn,
};
use crate::net::limits::{self, Descriptors};
use crate::net::socket::update_interest;
use crate::net::{Listener, Signal, Socket, interests};
use crate::runtime::event_loop::{EventLoop, Source, token};
use crate::runtime::listeners::{ACCEPT_BUDGET, Accepted, Listeners};
use crate::text::count::Count;
use crate::text::escape::plain;

/// Maximum time from the beginning of the shutdown to the end of the chat.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time from the beginning of the shutdown to the end of the chat, unless all clients are
/// gone. Closing at once would cut off the last lines of clients.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum reads of the input per turn.
const INPUT_BUDGET: usize = 4;

/// Bytes of the input that are kept: how far a client may fall behind.
const RING_BYTES: usize = 1 << 20;

/// Maximum deliveries to clients per turn. A delivery is one write of at most 64 KiB.
const DELIVERY_BUDGET: usize = 1024;

/// Maximum bytes per read of a client, which are added even to a screen that has become full.
const READ_BYTES: usize = 4096;

/// The loop of a chat.
struct Chat<'a> {
    event_loop: EventLoop,
    observer: &'a mut dyn Observer,
    listeners: Listeners,
    max_clients: usize,
    idle: Option<Duration>,
    engine: Engine<Socket>,
    conn_ids: ConnIds,
    hub: Hub,
    /// By the key of the connection.
    clients: BTreeMap<Key, Client>,
    /// Clients whose lines wait for room on the screen, in order.
    held: Vec<Key>,
    /// Clients of which the system has reported that they neither send nor read any more.
    hung_up: Vec<Key>,
    /// The delivery budget was used up.
    has_deliveries: bool,
    console: Console,
    /// When the chat began to end.
    shutdown_since: Option<Moment>,
    now: Moment,
}

/// A client.
struct Client {
    /// Its number and its address, as printed on the screen.
    name: String,
    /// When it sent a FIN. It may still be reading.
    left: Option<Moment>,
    /// It was sent a FIN, after all of the input.
    fin_sent: bool,
}

/// Runs until `^D`, a signal or a closed output ends the chat. Returns the exit code.
pub fn run(plan: &ChatPlan, observer: &mut dyn Observer) -> Result<u8, SessionError> {
    let mut chat = Chat::start(plan, observer)?;
    let signal = loop {
        if let Some(signal) = chat.turn()? {
            break Some(signal);
        }
        if chat.is_over() {
            break None;
        }
    };
    chat.close_all();
    chat.console.finish();
    match (signal, chat.console.failed) {
        (Some(signal), _) => Ok(signal.status()),
        (None, Some(fault)) if fault.kind != io::ErrorKind::BrokenPipe => {
            Err(SessionError::Stdio(fault))
        }
        _ => Ok(0),
    }
}

impl<'a> Chat<'a> {
    /// Binds every address. Connections are accepted by the turns.
    fn start(plan: &ChatPlan, observer: &'a mut dyn Observer) -> Result<Chat<'a>, SessionError> {
        let max_clients = max_clients(plan)?;
        let mut event_loop = EventLoop::new(EVENTS)?;
        event_loop.handle_signals()?;
        let mut console = Console::open(plan.crlf, plan.log.quiet)?;
        event_loop.register(&mut console.stdio, Source::Stdio, Interest::READABLE)?;
        if console.is_edited() {
            event_loop.wake_on_continue()?;
        }
        let listeners = open_listeners(plan, &event_loop, &mut console, observer);
        console.flush();
        let listeners = listeners?;
        if io::stderr().is_terminal() {
            let addresses: Vec<&str> =
                listeners.iter().map(|(_, listener)| &*listener.address).collect();
            let end = if console.is_terminal { "^D or ^C ends" } else { "^C ends" };
            console.status(format_args!("chat on {}; {end} it", addresses.join(", ")));
        }
        console.show_typed(true);
        console.flush();
        let timeouts = Timeouts { idle: plan.idle.map(ticks), ..Timeouts::default() };
        let buffers = Buffers::with_scratch(READ_BYTES);
        let settings = HubSettings {
            frame: Frame::Raw,
            max_message: INPUT_BYTES,
            buffer: RING_BYTES,
            on_lag: OnLag::Close,
        };
        Ok(Chat {
            event_loop,
            observer,
            listeners,
            max_clients,
            idle: plan.idle,
            engine: Engine::new(vec![timeouts; plan.listens.len()], 0, buffers),
            conn_ids: ConnIds::default(),
            hub: Hub::new(settings),
            clients: BTreeMap::new(),
            held: Vec::new(),
            hung_up: Vec::new(),
            has_deliveries: false,
            console,
            shutdown_since: None,
            now: Moment(0),
        })
    }

    /// Runs one turn. Returns a signal received while the chat was ending: it ends at once.
    fn turn(&mut self) -> Result<Option<Signal>, SessionError> {
        let before = self.event_loop.before_sleep();
        let (limit, queued) = (self.sleep_limit(before), self.engine.queued());
        self.now = self.event_loop.sleep(before, limit, queued, self.observer)?.now;
        if self.event_loop.wakeups().any(|(source, _)| source != Source::Stdio) {
            self.console.hide_typed();
        }
        if self.mark() {
            let turn = &mut Turn::new(self.now, self.observer);
            for signal in self.event_loop.signals(turn) {
                match signal {
                    Signal::Quit => self.dump(),
                    signal if !is_terminating(signal) => {}
                    signal if self.shutdown_since.is_some() => return Ok(Some(signal)),
                    _ => self.begin_shutdown(),
                }
            }
        }
        let clients = self.engine.len();
        self.accept();
        self.read_input();
        let turn = &mut Turn::new(self.now, self.observer);
        self.engine.run(turn);
        self.engine.expire(turn);
        self.handle_mail();
        self.close_hung_up();
        self.deliver();
        let (registry, turn) =
            (self.event_loop.registry(), &mut Turn::new(self.now, self.observer));
        self.engine.update_interest(turn, |socket, key, read_off| {
            update_interest(socket, registry, token(key), read_off)
        });
        if self.engine.len() < clients {
            self.listeners.retry_paused(self.now);
        }
        self.flush();
        Ok(None)
    }

    fn sleep_limit(&self, now: Moment) -> Option<Duration> {
        let shutdown = self.shutdown_since.map(|since| {
            let next = [since.after(LAST_LINES_TIMEOUT), since.after(SEND_TIMEOUT)];
            next.into_iter().find(|end| *end > now).unwrap_or(now).since(now)
        });
        let is_busy = self.can_read_input() || self.console.can_flush() || self.has_deliveries;
        let limits = [
            is_busy.then_some(Duration::ZERO),
            self.engine.sleep(now),
            self.listeners.sleep(now, self.capacity_left()),
            shutdown,
        ];
        limits.into_iter().flatten().min()
    }

    /// Sets readiness bits from the events. Returns true if signals were received.
    fn mark(&mut self) -> bool {
        let mut signals = false;
        let turn = &mut Turn::new(self.now, self.observer);
        for (source, event) in self.event_loop.wakeups() {
            match source {
                Source::Conn(key) => {
                    if event.is_write_closed() {
                        self.hung_up.push(key.at(0));
                    }
                    self.engine.mark(key, ready(event), turn);
                }
                Source::Listener(key) => self.listeners.set_pending(key),
                Source::Signals => signals = true,
                Source::Stdio => self.console.mark(ready(event)),
                Source::Waker | Source::Timer | Source::Child(_) => {}
                Source::Datagram(_) | Source::DatagramFlow(_) => {}
                Source::Admin(_) | Source::AdminListener(_) => {}
            }
        }
        signals
    }

    /// Accepts pending connections up to the client limit.
    fn accept(&mut self) {
        let mut cursor = 0;
        while let Some(listener) = self.listeners.next_pending(&mut cursor) {
            for _ in 0..ACCEPT_BUDGET {
                if self.engine.len() >= self.max_clients && self.accept_pending() {
                    self.evict_left();
                }
                let clients = self.engine.len();
                let room = self.max_clients.saturating_sub(clients);
                let (event_loop, engine, conn_ids) =
                    (&self.event_loop, &self.engine, &mut self.conn_ids);
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(conn_ids.next());
                    let interests = interests(socket);
                    event_loop.register(socket.source(), Source::Conn(key), interests).map(|()| key)
                };
                let turn = &mut Turn::new(self.now, self.observer);
                match self.listeners.accept(listener, room, clients, turn, register) {
                    Some(accepted) => self.open_connection(accepted),
                    None => break,
                }
            }
        }
    }

    /// Returns how many connections may be accepted. At the limit it is one if a client that has
    /// left can be closed for it.
    fn capacity_left(&self) -> usize {
        let free = self.max_clients.saturating_sub(self.engine.len());
        free.max(self.clients.values().any(|client| client.left.is_some()).into())
    }

    /// Whether a connection is pending on a listener.
    fn accept_pending(&self) -> bool {
        self.listeners.sleep(self.now, 1) == Some(Duration::ZERO)
    }

    fn open_connection(&mut self, accepted: Accepted) {
        let (key, route, listen) = (accepted.key, accepted.route, &*accepted.address);
        let (service, peer) = (ServiceKind::Chat, &accepted.peer);
        let turn = &mut Turn::new(self.now, self.observer);
        turn.on(key, &Event::Opened { route, service, listen, peer });
        self.engine.insert(Conn::local(accepted.socket, None), key.id, route, turn);
        self.hub.join(key);
        let name = client_name(key.id, peer);
        self.console.status(format_args!("{name} joined"));
        let client = Client { name, left: None, fin_sent: false };
        self.clients.insert(key.at(0), client);
    }

    /// Closes the client that left first, so that another can be accepted.
    fn evict_left(&mut self) {
        let left = self.clients.iter().filter_map(|(key, client)| Some((client.left?, *key)));
        if let Some((_, key)) = left.min() {
            self.close(key, Reason::Evicted);
        }
    }

    /// Handles what the clients sent and how their connections ended.
    fn handle_mail(&mut self) {
        for mail in self.engine.mail() {
            match mail {
                Mail::Received(key) => self.receive(key.at(0)),
                Mail::Drained(key) => self.hub.unblocked(key),
                Mail::Closed(closed) => self.closed(&closed),
            }
        }
    }

    /// Adds the lines that a client sent to the screen, as far as it has room. While lines wait,
    /// the client is not read.
    fn receive(&mut self, key: Key) {
        let Some(client) = self.clients.get_mut(&key) else { return };
        let Some(message) = self.engine.message(key.at(1)) else { return };
        let (mut rest, last) = (message.bytes, message.last);
        while self.console.screen.has_room()
            && let Some((piece, length)) = next_piece(rest, last)
        {
            self.console.screen.add(&client.name, piece);
            rest = &rest[length..];
        }
        let (consumed, waits) =
            (message.bytes.len() - rest.len(), next_piece(rest, last).is_some());
        let limit = if waits { 0 } else { MAX_LINE_BYTES + 1 };
        self.engine.consume(key.at(1), consumed, limit);
        if waits {
            self.held.push(key);
        } else if last && client.left.is_none() {
            client.left = Some(self.now);
            self.console.status(format_args!("{} left", client.name));
            let socket = self.engine.get(key).and_then(|conn| conn.ends.socket(0));
            if let Some(socket) = socket {
                socket.probe_after_fin();
            }
        }
    }

    /// Prints the last lines of a client whose connection was closed, and why it was.
    fn closed(&mut self, closed: &ClosedLocal) {
        self.hub.leave(closed.key);
        let Some(client) = self.clients.remove(&closed.key.at(0)) else { return };
        let mut rest = &closed.received[..];
        while let Some((piece, length)) = next_piece(rest, true) {
            self.console.screen.add(&client.name, piece);
            rest = &rest[length..];
        }
        if let Some(departure) = self.departure(closed.reason).filter(|_| client.left.is_none()) {
            self.console.status(format_args!("{} {departure}", client.name));
        }
    }

    /// Closes the clients that have left and cannot read any more.
    fn close_hung_up(&mut self) {
        for key in std::mem::take(&mut self.hung_up) {
            match self.clients.get(&key).map(|client| client.left.is_some()) {
                Some(true) => self.close(key, Reason::Finished),
                // Its last lines may wait for room on the screen.
                Some(false) if !self.hung_up.contains(&key) => self.hung_up.push(key),
                Some(false) | None => {}
            }
        }
    }

    /// Describes why a client was closed that had not left. `None` at the end of the chat.
    fn departure(&self, reason: Reason) -> Option<String> {
        match reason {
            Reason::Finished | Reason::Served => Some("left".to_string()),
            Reason::Reset { fault, .. } => Some(format!("left: {fault}")),
            Reason::Lagged => Some("disconnected: it does not read and fell behind".to_string()),
            Reason::IdleTimeout => {
                let idle = show_duration(self.idle.unwrap_or_default());
                Some(format!("disconnected: idle for {idle}"))
            }
            _ => None,
        }
    }

    /// Sends the input to the clients, as far as they accept it and the budget allows.
    fn deliver(&mut self) {
        for _ in 0..DELIVERY_BUDGET {
            let Some(key) = self.hub.next_ready() else { break };
            match self.hub.next(key) {
                Delivery::Bytes(bytes) => {
                    let length = bytes.len();
                    let turn = &mut Turn::new(self.now, self.observer);
                    let accepted = self.engine.reply(key, bytes, false, turn);
                    self.hub.advance(key, accepted);
                    match accepted < length {
                        true => self.hub.blocked(key),
                        // It may have everything now, and then `next` is not asked again.
                        false => self.shut_down_if_ending(key),
                    }
                }
                Delivery::CaughtUp => self.shut_down_if_ending(key),
                Delivery::Lagged | Delivery::Missed(_) => self.close(key, Reason::Lagged),
            }
        }
        self.has_deliveries = self.hub.has_ready();
    }

    /// Sends a FIN at the end of the chat to a client that has received all of the input.
    fn shut_down_if_ending(&mut self, key: Key) {
        if self.shutdown_since.is_some() && self.hub.behind(key) == 0 {
            self.engine.shut_down(key);
            self.clients.entry(key).and_modify(|client| client.fin_sent = true);
        }
    }

    /// Closes a connection: with a reset if the client has not received all of the input. A FIN
    /// would mean that it had.
    fn close(&mut self, key: Key, reason: Reason) {
        let is_behind = self.hub.behind(key) > 0;
        let socket = self.engine.get(key).and_then(|conn| conn.ends.socket(0));
        if let Some(socket) = socket.filter(|_| is_behind) {
            socket.reset_on_drop();
        }
        self.hub.leave(key);
        self.engine.end(key, reason, &mut Turn::new(self.now, self.observer));
        self.handle_mail();
    }

    /// Closes all clients at the end of the chat.
    fn close_all(&mut self) {
        let ends: Vec<(Key, bool)> =
            self.clients.iter().map(|(key, client)| (*key, client.fin_sent)).collect();
        for (key, fin_sent) in ends {
            self.close(key, if fin_sent { Reason::Drained } else { Reason::Cut });
        }
    }

    /// Whether the input is read now. A terminal is read without clients too, for a `^D` and to
    /// report that a line is not sent.
    fn can_read_input(&self) -> bool {
        let is_wanted = self.console.is_terminal || self.hub.is_caught_up();
        self.shutdown_since.is_none() && is_wanted && self.console.can_read()
    }

    /// Reads input for all clients.
    fn read_input(&mut self) {
        for _ in 0..INPUT_BUDGET {
            if !self.can_read_input() {
                return;
            }
            for input in self.console.read() {
                match input {
                    Input::End => self.begin_shutdown(),
                    // What is typed behind the end is not sent.
                    Input::Text(_) if self.shutdown_since.is_some() => {}
                    Input::Text(_) if self.hub.is_empty() => {
                        self.console.status("no clients, line not sent");
                    }
                    Input::Text(text) => self.hub.publish(None, &text),
                }
            }
        }
    }

    /// Prints what the outputs accept now. Clients whose lines waited for it are read again.
    fn flush(&mut self) {
        let had_failed = self.console.failed.is_some();
        self.console.show_typed(self.shutdown_since.is_none());
        self.console.flush();
        if self.console.failed.is_some() && !had_failed {
            self.begin_shutdown();
        }
        if self.console.screen.has_room() {
            let held = std::mem::take(&mut self.held);
            held.into_iter().for_each(|key| self.receive(key));
        }
    }

    /// Closes the listeners and stops reading the input. Each client receives the rest and a FIN.
    fn begin_shutdown(&mut self) {
        if self.shutdown_since.is_none() {
            self.shutdown_since = Some(self.now);
            let connections = self.engine.len();
            let draining = Event::Draining { connections, deadline: SEND_TIMEOUT };
            self.observer.on(Key::LOOP, &draining);
            self.listeners.close_now();
            let keys: Vec<Key> = self.clients.keys().copied().collect();
            keys.into_iter().for_each(|key| self.shut_down_if_ending(key));
        }
    }

    /// Whether the input is sent, the output printed and the time for last lines over, or the send
    /// timeout expired.
    fn is_over(&self) -> bool {
        let Some(since) = self.shutdown_since else { return false };
        let has_sent_all = self.clients.values().all(|client| client.fin_sent);
        let has_printed_all = self.console.screen.is_empty();
        let no_more_lines = self.engine.is_empty() || since.after(LAST_LINES_TIMEOUT) <= self.now;
        (has_sent_all && has_printed_all && no_more_lines) || since.after(SEND_TIMEOUT) <= self.now
    }

    /// Reports the listeners and the clients, each with the bytes it is behind.
    fn dump(&mut self) {
        let connections = self.engine.len();
        let (up, down) = self.engine.iter().fold((0, 0), |(up, down), (_, conn)| {
            let moved = conn.moved();
            (up + moved.0, down + moved.1)
        });
        self.observer.on(Key::LOOP, &Event::InProgress { connections, up, down });
        let mut dump = |line: &str| self.observer.on(Key::LOOP, &Event::Dump { line });
        let clients = Count(connections, "client");
        dump(&format!("chat: {clients} of at most {}", self.max_clients));
        for (_, listener) in self.listeners.iter() {
            dump(&format!("listener {}: {}", listener.address, listener.state()));
        }
        for (key, client) in &self.clients {
            let left = if client.left.is_some() { ", left" } else { "" };
            dump(&format!("{}: {} B behind{left}", client.name, self.hub.behind(*key)));
        }
    }
}

/// Returns how the others see a client. The path of a Unix socket is chosen by the peer, so it is
/// escaped.
fn client_name(id: u32, peer: &Peer) -> String {
    match peer {
        Peer::Unix(Some(path)) => format!("#{id} unix:{}", plain(path)),
        Peer::Unix(None) => format!("#{id} unix"),
        Peer::Inet(_) | Peer::Stdio => format!("#{id} {peer}"),
    }
}

/// Returns the client limit of the plan. The default is lowered to what the open-file limit allows;
/// for a limit that was set this is an error.
fn max_clients(plan: &ChatPlan) -> Result<usize, SessionError> {
    let files = limits::raise_files().files;
    let descriptors = Descriptors { listeners: plan.listens.len(), ..Descriptors::default() };
    match limits::max_connections(Some(plan.max_clients), files, descriptors) {
        Err(error) if plan.max_clients == ChatPlan::MAX_CLIENTS && error.possible > 0 => {
            Ok(error.possible)
        }
        done => done.map_err(SessionError::Limit),
    }
}

/// Binds and registers the listeners, and reports them once all are bound.
fn open_listeners(
    plan: &ChatPlan,
    event_loop: &EventLoop,
    console: &mut Console,
    observer: &mut dyn Observer,
) -> Result<Listeners, SessionError> {
    let (mut listeners, mut bound) = (Listeners::default(), Vec::new());
    for (route, listen) in plan.listens.iter().enumerate() {
        for listener in Listener::bind(listen)? {
            let address = listener.address().to_string();
            if let Some(warning) = listener.warning() {
                console.status(plain(warning));
            }
            let key = listeners.open(listener, route as u16, event_loop.registry())?;
            bound.push((key, address));
        }
    }
    for (key, address) in &bound {
        observer.on(*key, &Event::Listening { address, service: ServiceKind::Chat });
    }
    Ok(listeners)
}
