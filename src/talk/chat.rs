//! `oneloop chat`: sends standard input to every client, and prints the lines of the clients with
//! their number and address.
//!
//! A `^D` typed at a terminal, SIGINT and SIGTERM end the chat: the remaining input is sent for a
//! bounded time, then each client receives a FIN. A file or a pipe as input may end without ending
//! the chat. It is read only while a client is connected, and no faster than the fastest client
//! receives.

use std::io::{self, IsTerminal};
use std::time::Duration;

use mio::Interest;

use super::failure::SessionError;
use super::members::{ChatCx, Members};
use super::ring::{RING_BYTES, Ring};
use super::screen::{FlushOutcome, Screen, StatusLines};
use super::terminal::{EVENTS, is_terminating, ready};
use crate::config::ChatPlan;
use crate::core::event::ServiceKind;
use crate::core::{Event, Key, Moment, Observer, Ready, SysError, Turn};
use crate::net::limits::{self, Descriptors};
use crate::net::stdio::Stdio;
use crate::net::{Listener, Signal, Socket, interests};
use crate::runtime::event_loop::{EventLoop, Source};
use crate::runtime::listeners::{ACCEPT_BUDGET, Accepted, Listeners};
use crate::text::count::Count;
use crate::text::escape::plain;

/// Maximum time from the beginning of the shutdown to the end of the chat.
const SEND_TIMEOUT: Duration = Duration::from_secs(2);

/// Minimum time from the beginning of the shutdown to the end of the chat, unless all clients are
/// gone. Closing at once would cut off the last lines of clients.
const LAST_LINES_TIMEOUT: Duration = Duration::from_millis(500);

/// Maximum bytes per read of the input. More is read only while the fastest client is behind by no
/// more than this; the others may be behind by the whole ring.
const INPUT_BYTES: usize = 64 * 1024;

/// Maximum reads of the input per turn.
const BUDGET: usize = 4;

/// The loop of a chat.
struct Chat<'a> {
    event_loop: EventLoop,
    observer: &'a mut dyn Observer,
    listeners: Listeners,
    max_clients: usize,
    members: Members,
    ring: Ring,
    stdio: Stdio,
    /// Readiness bits of standard input and output.
    ready: Ready,
    screen: Screen,
    status_lines: StatusLines,
    input: Box<[u8]>,
    /// Standard input is a terminal.
    is_terminal: bool,
    /// When the chat began to end.
    shutdown_since: Option<Moment>,
    /// The error of standard output.
    output_failed: Option<SysError>,
    now: Moment,
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
    let (members, mut cx) = chat.cx();
    members.close_all(&mut cx);
    chat.flush_output();
    chat.screen.discard();
    chat.flush_status();
    match (signal, chat.output_failed) {
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
        let mut stdio = Stdio::open()?.with_cr_lf(plan.crlf);
        event_loop.register(&mut stdio, Source::Stdio, Interest::READABLE)?;
        let quiet = plan.log.quiet;
        let mut status_lines = if quiet { StatusLines::silent() } else { StatusLines::new() };
        let listeners = open_listeners(plan, &event_loop, &mut status_lines, observer)?;
        Ok(Chat {
            event_loop,
            observer,
            listeners,
            max_clients,
            members: Members::new(plan.idle),
            ring: Ring::new(RING_BYTES),
            stdio,
            ready: Ready::READ.with(Ready::WRITE),
            screen: Screen::default(),
            status_lines,
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            is_terminal: io::stdin().is_terminal(),
            shutdown_since: None,
            output_failed: None,
            now: Moment(0),
        })
    }

    /// Runs one turn. Returns a signal received while the chat was ending: it ends at once.
    fn turn(&mut self) -> Result<Option<Signal>, SessionError> {
        let before = self.event_loop.before_sleep();
        let (limit, queued) = (self.sleep_limit(before), self.members.queued());
        self.now = self.event_loop.sleep(before, limit, queued, self.observer)?.now;
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
        self.accept();
        self.read_input();
        let (members, mut cx) = self.cx();
        let closed = members.run(&mut cx);
        members.expire(&mut cx);
        if closed {
            self.listeners.retry_paused(self.now);
        }
        self.flush_output();
        self.flush_status();
        Ok(None)
    }

    fn sleep_limit(&self, now: Moment) -> Option<Duration> {
        let shutdown = self.shutdown_since.map(|since| {
            let next = [since.after(LAST_LINES_TIMEOUT), since.after(SEND_TIMEOUT)];
            next.into_iter().find(|end| *end > now).unwrap_or(now).since(now)
        });
        let is_busy = self.can_read_input() || self.can_flush();
        let limits = [
            is_busy.then_some(Duration::ZERO),
            self.members.sleep(now),
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
                Source::Conn(key) => self.members.mark(key, ready(event), turn),
                Source::Listener(key) => self.listeners.set_pending(key),
                Source::Signals => signals = true,
                Source::Stdio => self.ready = self.ready.with(ready(event)),
                Source::Waker | Source::Timer | Source::Child(_) => {}
                Source::Datagram(_) | Source::DatagramFlow(_) => {}
            }
        }
        signals
    }

    /// Accepts pending connections up to the client limit.
    fn accept(&mut self) {
        let mut cursor = 0;
        while let Some(listener) = self.listeners.next_pending(&mut cursor) {
            for _ in 0..ACCEPT_BUDGET {
                if self.members.len() >= self.max_clients && self.accept_pending() {
                    let (members, mut cx) = self.cx();
                    members.evict_left(&mut cx);
                }
                let clients = self.members.len();
                let room = self.max_clients.saturating_sub(clients);
                let (event_loop, members) = (&self.event_loop, &mut self.members);
                let register = |socket: &mut Socket| {
                    let (key, interests) = (members.vacant(), interests(socket));
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
        let free = self.max_clients.saturating_sub(self.members.len());
        free.max(self.members.iter().any(|member| member.has_left).into())
    }

    /// Whether a connection is pending on a listener.
    fn accept_pending(&self) -> bool {
        self.listeners.sleep(self.now, 1) == Some(Duration::ZERO)
    }

    fn open_connection(&mut self, accepted: Accepted) {
        let (key, listen, peer) = (accepted.key, &*accepted.address, &accepted.peer);
        let opened =
            Event::Opened { route: accepted.route, service: ServiceKind::Chat, listen, peer };
        self.observer.on(key, &opened);
        let (members, mut cx) = self.cx();
        members.join(key, accepted.socket, peer, &mut cx);
    }

    /// Whether the input is read now.
    fn can_read_input(&self) -> bool {
        let is_wanted = match self.members.min_behind(&self.ring) {
            Some(behind) => behind <= INPUT_BYTES as u64,
            // A terminal is read without clients too, for a `^D` and to report that a line is not
            // sent.
            None => self.is_terminal,
        };
        self.shutdown_since.is_none() && self.ready.has(Ready::READ) && is_wanted
    }

    /// Reads input into the ring, for all clients.
    fn read_input(&mut self) {
        for _ in 0..BUDGET {
            if !self.can_read_input() {
                return;
            }
            match self.stdio.read(&mut self.input) {
                Ok(0) => {
                    self.ready = self.ready.without(Ready::READ);
                    if self.is_terminal {
                        self.begin_shutdown();
                    }
                }
                Ok(_) if self.members.is_empty() => {
                    self.status_lines.print("* no clients, line not sent");
                }
                Ok(bytes) => {
                    self.ring.push(&self.input[..bytes]);
                    self.members.queue_all();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ready = self.ready.without(Ready::READ);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        let fault = SysError::from(&error);
                        self.status_lines.print(format_args!("* standard input failed: {fault}"));
                    }
                }
            }
        }
    }

    fn can_flush(&self) -> bool {
        !self.screen.is_empty() && self.ready.has(Ready::WRITE)
    }

    /// Writes buffered lines to standard output. If that fails, the chat ends.
    fn flush_output(&mut self) {
        if self.output_failed.is_some() {
            return self.screen.discard();
        }
        let had_room = self.screen.has_room();
        let flushed = match (self.ready.has(Ready::ERROR), self.can_flush()) {
            (_, true) => self.screen.flush(|bytes| self.stdio.write(bytes)),
            (true, false) => match self.stdio.take_error() {
                Ok(Some(error)) | Err(error) => Err(error),
                Ok(None) => Ok(FlushOutcome::Done),
            },
            (false, false) => return,
        };
        self.ready = self.ready.without(Ready::ERROR);
        match flushed {
            Ok(FlushOutcome::Blocked) => self.ready = self.ready.without(Ready::WRITE),
            Ok(FlushOutcome::Done | FlushOutcome::Yielded) => {}
            Err(error) => {
                self.screen.discard();
                self.ready = self.ready.without(Ready::WRITE);
                self.output_failed.get_or_insert(SysError::from(&error));
                self.begin_shutdown();
            }
        }
        if !had_room && self.screen.has_room() {
            self.members.queue_readable();
        }
    }

    /// Prints the status lines whose preceding output is written.
    fn flush_status(&mut self) {
        while let Some(line) = self.screen.next_status() {
            self.status_lines.print(line);
        }
    }

    /// Closes the listeners and stops reading the input. Each member receives the rest and a FIN.
    fn begin_shutdown(&mut self) {
        if self.shutdown_since.is_none() {
            self.shutdown_since = Some(self.now);
            let connections = self.members.len();
            let draining = Event::Draining { connections, deadline: SEND_TIMEOUT };
            self.observer.on(Key::LOOP, &draining);
            self.listeners.close_now();
            self.members.queue_all();
        }
    }

    /// Whether the input is sent, the output printed and the time for last lines over, or the send
    /// timeout expired.
    fn is_over(&self) -> bool {
        let Some(since) = self.shutdown_since else { return false };
        let has_sent_all = self.members.iter().all(|member| member.fin_sent);
        let has_printed_all = self.screen.is_empty();
        let no_more_lines = self.members.is_empty() || since.after(LAST_LINES_TIMEOUT) <= self.now;
        (has_sent_all && has_printed_all && no_more_lines) || since.after(SEND_TIMEOUT) <= self.now
    }

    /// Borrows the members and the parts of the chat that they use.
    fn cx(&mut self) -> (&mut Members, ChatCx<'_>) {
        let cx = ChatCx {
            ring: &self.ring,
            screen: &mut self.screen,
            status_lines: &mut self.status_lines,
            shutting_down: self.shutdown_since.is_some(),
            turn: Turn::new(self.now, self.observer),
        };
        (&mut self.members, cx)
    }

    /// Reports the listeners and the members, each with the bytes it is behind.
    fn dump(&mut self) {
        let (connections, (up, down)) = (self.members.len(), self.members.bytes_moved());
        self.observer.on(Key::LOOP, &Event::InProgress { connections, up, down });
        let mut dump = |line: &str| self.observer.on(Key::LOOP, &Event::Dump { line });
        let clients = Count(connections, "client");
        dump(&format!("chat: {clients} of at most {}", self.max_clients));
        for (_, listener) in self.listeners.iter() {
            dump(&format!("listener {}: {}", listener.address, listener.state()));
        }
        for member in self.members.iter() {
            let left = if member.has_left { ", left" } else { "" };
            dump(&format!("{}: {} B behind{left}", member.name, member.behind(&self.ring)));
        }
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
    status_lines: &mut StatusLines,
    observer: &mut dyn Observer,
) -> Result<Listeners, SessionError> {
    let (mut listeners, mut bound) = (Listeners::default(), Vec::new());
    for (route, listen) in plan.listens.iter().enumerate() {
        for listener in Listener::bind(listen)? {
            let address = listener.address().to_string();
            if let Some(warning) = listener.warning() {
                status_lines.print(format_args!("* {}", plain(warning)));
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
