//! The loop of `connect` for datagrams: owns standard input and output and the session's end. The
//! socket is that of `DatagramPeer`. The engine is not used, because it does not keep message
//! boundaries.
//!
//! Each read of the input becomes one datagram: at a terminal a line, from a file or a pipe as much
//! as is available, at most the largest datagram. The input is not split at line ends, because it
//! need not be text.
//!
//! While standard output is blocked no datagram is received. What exceeds the kernel's buffer is
//! lost, as datagrams may be. An empty datagram prints nothing.

use std::io;
use std::time::Duration;

use mio::Interest;

use super::datagram_peer::{DatagramPeer, SendOutcome};
use super::failure::SessionError;
use super::terminal::{EVENTS, is_terminating, ready};
use super::watch::{SessionFacts, SessionWatch};
use crate::config::{Address, ConnectPlan};
use crate::core::event::{DropReason, ServiceKind};
use crate::core::{
    Close, CloseKind, Event, Moment, Observer, Peer, Ready, Reason, Side, SysError, Turn,
};
use crate::net::recv_batch::RecvBatch;
use crate::net::stdio::Stdio;
use crate::net::{Resolver, Signal};
use crate::runtime::event_loop::{EventLoop, Source};

/// Maximum steps per direction and turn. A step reads or writes once.
const BUDGET: usize = 64;

/// Maximum bytes of one read of the input: the largest UDP payload over IPv4.
const MAX_DATAGRAM_BYTES: usize = 65_507;

/// The loop of one socket.
struct DatagramSession<'a> {
    plan: &'a ConnectPlan,
    event_loop: EventLoop,
    resolver: Resolver,
    watch: SessionWatch<'a>,
    peer: DatagramPeer,
    stdio: Stdio,
    /// Readiness bits of standard input and output.
    ready: Ready,
    /// A datagram that was read from the input and is not sent yet.
    outgoing: Option<Vec<u8>>,
    /// When the input ended.
    input_ended: Option<Moment>,
    /// When a datagram was last sent or received.
    active: Moment,
    /// Holds the datagram being printed.
    batch: RecvBatch,
    /// Bytes of the datagram being printed.
    received: usize,
    /// Bytes of it already written.
    written: usize,
    /// A budget was used up, so the next turn must not sleep.
    has_more: bool,
}

/// Runs a session until it ends or a signal ends it. Returns that signal and the recorded facts.
pub fn run(
    plan: &ConnectPlan,
    observer: &mut dyn Observer,
) -> Result<(Option<Signal>, SessionFacts), SessionError> {
    let mut session = DatagramSession::start(plan, observer)?;
    let (signal, reason) = loop {
        if let Some(signal) = session.sleep()? {
            break (Some(signal), Reason::Drained);
        }
        if let Err(reason) = session.transfer() {
            break (None, reason);
        }
    };
    session.close(reason);
    Ok((signal, session.watch.facts))
}

impl<'a> DatagramSession<'a> {
    /// Sets up the loop and reports the connection as opened. The target is resolved later.
    fn start(
        plan: &'a ConnectPlan,
        observer: &'a mut dyn Observer,
    ) -> Result<DatagramSession<'a>, SessionError> {
        let mut event_loop = EventLoop::new(EVENTS)?;
        event_loop.handle_signals()?;
        let mut stdio = Stdio::open()?.with_cr_lf(plan.crlf);
        if !plan.probe {
            event_loop.register(&mut stdio, Source::Stdio, Interest::READABLE)?;
        }
        let first = (plan.probe && sends_probe(plan)).then(Vec::new);
        let mut watch = SessionWatch::new(observer, plan.log.quiet);
        watch.facts.datagrams = true;
        let peer = DatagramPeer::new(&plan.target, first);
        let (service, client, now) = (ServiceKind::Connect, &Peer::Stdio, event_loop.now());
        let opened = Event::Opened { route: 0, service, listen: "stdio", peer: client };
        watch.on(peer.key, &opened);
        Ok(DatagramSession {
            plan,
            resolver: Resolver::new(event_loop.waker()),
            event_loop,
            watch,
            peer,
            stdio,
            ready: if plan.probe { Ready::NONE } else { Ready::READ.with(Ready::WRITE) },
            outgoing: None,
            input_ended: None,
            active: now,
            batch: RecvBatch::new(),
            received: 0,
            written: 0,
            has_more: true,
        })
    }

    /// Sleeps until an event or a deadline, and sets readiness bits. Returns a signal that ends the
    /// session.
    fn sleep(&mut self) -> Result<Option<Signal>, SessionError> {
        let before = self.event_loop.before_sleep();
        let limit = match self.has_more {
            true => Some(Duration::ZERO),
            false => self.due().map(|(due, _)| due.since(before)),
        };
        let turn = &mut self.event_loop.sleep(before, limit, 0, &mut self.watch)?;
        let mut signals = false;
        for (source, event) in self.event_loop.wakeups() {
            match source {
                Source::Conn(key) => self.peer.mark(key, ready(event), turn),
                Source::Signals => signals = true,
                Source::Stdio => self.ready = self.ready.with(ready(event)),
                Source::Waker => {
                    self.resolver.collect(turn);
                }
                Source::Timer | Source::Child(_) => {}
                Source::Listener(_) | Source::Datagram(_) | Source::DatagramFlow(_) => {}
                Source::Admin(_) | Source::AdminListener(_) => {}
            }
        }
        let received = if signals { self.event_loop.signals(turn) } else { Vec::new() };
        Ok(received.into_iter().find(|signal| is_terminating(*signal)))
    }

    /// Opens the socket and moves datagrams both ways. An error ends the session.
    fn transfer(&mut self) -> Result<(), Reason> {
        let now = self.watch.now;
        let (resolver, registry) = (&mut self.resolver, self.event_loop.registry());
        let turn = &mut Turn::new(now, &mut self.watch);
        self.peer.open(resolver, registry, turn)?;
        self.has_more = false;
        self.send()?;
        self.receive()?;
        if self.ready.has(Ready::ERROR) {
            self.ready = self.ready.without(Ready::ERROR);
            if let Some(error) = self.stdio.take_error().map_err(|error| stdio_error(&error))? {
                return Err(stdio_error(&error));
            }
        }
        match self.due() {
            Some((due, reason)) if due <= now && !self.has_more => Err(reason),
            _ => Ok(()),
        }
    }

    /// Sends datagrams from the input to the socket.
    fn send(&mut self) -> Result<(), Reason> {
        for _ in 0..BUDGET {
            if !self.peer.is_writable() {
                return Ok(());
            }
            if self.has_sent_all() {
                if !self.ready.has(Ready::READ) {
                    return Ok(());
                }
                self.read_input()?;
                continue;
            }
            let turn = &mut Turn::new(self.watch.now, &mut self.watch);
            match self.peer.send(&mut self.outgoing, turn)? {
                SendOutcome::Done(_) => self.active = self.watch.now,
                SendOutcome::Blocked => return Ok(()),
                SendOutcome::Refused => break,
            }
        }
        self.has_more = true;
        Ok(())
    }

    /// Reads the next datagram to send.
    fn read_input(&mut self) -> Result<(), Reason> {
        let mut datagram = vec![0; MAX_DATAGRAM_BYTES];
        match self.stdio.read(&mut datagram) {
            Ok(0) => self.input_ended = Some(self.watch.now),
            Ok(bytes) => {
                datagram.truncate(bytes);
                self.outgoing = Some(datagram);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(stdio_error(&error)),
        }
        self.ready = self.ready.without(Ready::READ);
        Ok(())
    }

    /// Receives datagrams from the socket and prints them.
    fn receive(&mut self) -> Result<(), Reason> {
        for _ in 0..BUDGET {
            if self.written < self.received {
                if !self.ready.has(Ready::WRITE) {
                    return Ok(());
                }
                self.write_output()?;
            } else if self.peer.is_readable() {
                let turn = &mut Turn::new(self.watch.now, &mut self.watch);
                match self.peer.receive(&mut self.batch, turn)? {
                    SendOutcome::Done(bytes) => self.handle_received(bytes),
                    SendOutcome::Blocked => return Ok(()),
                    SendOutcome::Refused => break,
                }
            } else {
                return Ok(());
            }
        }
        self.has_more = true;
        Ok(())
    }

    /// Starts printing a received datagram. One that exceeds the buffer is dropped, because a part
    /// of it is not what was sent.
    fn handle_received(&mut self, bytes: usize) {
        let is_whole = self.batch.datagram(bytes).is_some();
        if !is_whole {
            let (key, from) = (self.peer.key.at(1), self.peer.address());
            self.watch.on(key, &Event::Dropped { bytes: Some(bytes), from, why: DropReason::Long });
        }
        (self.received, self.written) = (if is_whole && !self.plan.probe { bytes } else { 0 }, 0);
        self.active = self.watch.now;
    }

    fn write_output(&mut self) -> Result<(), Reason> {
        let rest = self.batch.datagram(self.received).map_or(&[][..], |all| &all[self.written..]);
        match self.stdio.write(rest) {
            Ok(bytes) => self.written += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = self.ready.without(Ready::WRITE);
            }
            Err(error) => return Err(stdio_error(&error)),
        }
        Ok(())
    }

    /// Returns when the session ends if there are no more events, and the reason.
    fn due(&self) -> Option<(Moment, Reason)> {
        let after = |from: Moment, wait: Option<Duration>, reason: Reason| {
            wait.map(|wait| (from.after(wait), reason))
        };
        if !self.peer.is_open() {
            return after(Moment(0), self.plan.wait, Reason::ConnectTimeout);
        }
        let idle = after(self.active, self.plan.idle, Reason::IdleTimeout);
        let has_sent_all = self.has_sent_all();
        let has_printed_all = self.written == self.received;
        let last = match (self.plan.probe, self.input_ended) {
            (true, _) if self.peer.answered || has_sent_all && !sends_probe(self.plan) => {
                Some((Moment(0), Reason::Finished))
            }
            (true, _) if has_sent_all => {
                after(self.active, probe_timeout(self.plan), Reason::Served)
            }
            (false, Some(ended)) if has_sent_all && has_printed_all => {
                after(ended.max(self.active), self.plan.linger, Reason::Finished)
            }
            _ => None,
        };
        [idle, last].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn has_sent_all(&self) -> bool {
        self.peer.has_resent_all() && self.outgoing.is_none()
    }

    fn close(&mut self, reason: Reason) {
        let ending = Close { reason, first: Side::Proxy, by: CloseKind::Fin };
        let (up, down) = (self.peer.sent_bytes, self.peer.received_bytes);
        let lasted = self.watch.now.since(Moment(0));
        self.watch.on(self.peer.key, &Event::Closed { ending, up, down, lasted });
    }
}

/// Whether a probe of this target sends an empty datagram and waits for an answer or a refusal. A
/// Unix socket needs none: connecting to it fails if no process has bound it.
fn sends_probe(plan: &ConnectPlan) -> bool {
    matches!(plan.target, Address::Udp(..))
}

/// Returns how long a probe waits for an answer or a refusal.
pub fn probe_timeout(plan: &ConnectPlan) -> Option<Duration> {
    let linger = plan.linger.unwrap_or(ConnectPlan::DATAGRAM_LINGER);
    Some(plan.idle.map_or(linger, |idle| idle.min(linger)))
}

/// Converts an error of standard input or output.
fn stdio_error(error: &io::Error) -> Reason {
    Reason::Reset { by: Side::Client, fault: SysError::from(error) }
}
