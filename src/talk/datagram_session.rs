//! Standard input and output, joined to a datagram socket. Messages have edges, which streams have
//! not: so this is no connection of the engine, but a loop that carries one datagram at a time.
//!
//! What one read of the input finds is one datagram: at a terminal a line, of a file or a pipe as
//! much as is there, and never more than a datagram can hold. Nothing is cut at line ends, because
//! not all that is sent is text.
//!
//! A datagram that standard output does not take yet is held, and no other is received: what the
//! system cannot keep meanwhile it drops, as it may with datagrams. Empty ones show nothing.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use mio::{Interest, Waker};

use super::failure::Failure;
use super::post::{Office, Post, SendOutcome};
use super::turns::{NAME_DOOR, SIGNALS, STDIO, Turns, ends_by, token};
use super::watch::{Facts, Watch};
use crate::config::{Address, ConnectPlan};
use crate::core::event::DropReason;
use crate::core::{
    Close, CloseKind, Event, Key, Moment, Observer, Peer, Ready, Reason, Side, SysError, Turn,
};
use crate::net::recv_batch::RecvBatch;
use crate::net::stdio::Stdio;
use crate::net::{Resolver, Signal};

/// So many steps are made each way in one turn.
const BUDGET: usize = 64;

/// So much of the input is read at a time: the longest datagram that UDP carries over IPv4.
const LETTER_BYTES: usize = 65_507;

/// The loop of one socket.
struct DatagramSession<'a> {
    plan: &'a ConnectPlan,
    turns: Turns,
    resolver: Resolver,
    watch: Watch<'a>,
    post: Post,
    stdio: Stdio,
    /// What may be tried at standard input and output.
    ready: Ready,
    /// What was read of the input and not sent yet.
    letter: Option<Vec<u8>>,
    /// When the end of the input was seen.
    ended: Option<Moment>,
    /// When a datagram was last carried.
    active: Moment,
    /// The datagram that is being shown, of so many bytes, and how many of them have been shown.
    room: RecvBatch,
    heard: usize,
    shown: usize,
    /// More could be done at once.
    more: bool,
}

/// Talks until nothing more is to be expected, or a signal has ended it.
pub fn talk(
    plan: &ConnectPlan,
    seen: &mut dyn Observer,
) -> Result<(Option<Signal>, Facts), Failure> {
    let mut datagram_session = DatagramSession::begin(plan, seen)?;
    let (signal, reason) = loop {
        if let Some(signal) = datagram_session.sleep()? {
            break (Some(signal), Reason::Drained);
        }
        if let Err(reason) = datagram_session.carry() {
            break (None, reason);
        }
    };
    datagram_session.close(reason);
    Ok((signal, datagram_session.watch.facts))
}

impl<'a> DatagramSession<'a> {
    fn begin(
        plan: &'a ConnectPlan,
        seen: &'a mut dyn Observer,
    ) -> Result<DatagramSession<'a>, Failure> {
        let turns = Turns::new()?;
        let waker = Waker::new(turns.registry(), token(Key::source(NAME_DOOR)))?;
        let mut stdio = Stdio::open()?.with_cr_lf(plan.crlf);
        if !plan.probe {
            turns.register(&mut stdio, Key::source(STDIO), Interest::READABLE)?;
        }
        // Silence tells a probe nothing, so it asks with an empty datagram, which a refusal
        // answers. A Unix socket that nobody serves cannot even be connected to.
        let asks = plan.probe && matches!(plan.target, Address::Udp(..));
        let mut watch = Watch::new(seen, plan.log.quiet);
        watch.facts.datagrams = true;
        let post = Post::new(&plan.target, asks.then(Vec::new));
        let (service, peer, now) = ("connect", &Peer::Stdio, turns.now());
        watch.on(post.key, &Event::Opened { route: 0, service, listen: "stdio", peer, now });
        Ok(DatagramSession {
            plan,
            turns,
            resolver: Resolver::new(Arc::new(waker)),
            watch,
            post,
            stdio,
            ready: if plan.probe { Ready::NONE } else { Ready::READ.with(Ready::WRITE) },
            letter: None,
            ended: None,
            active: now,
            room: RecvBatch::new(),
            heard: 0,
            shown: 0,
            more: true,
        })
    }

    /// Sleeps until there is something to do, and notes what. Some: a signal ends it all.
    fn sleep(&mut self) -> Result<Option<Signal>, Failure> {
        let now = self.turns.now();
        let limit = match self.more {
            true => Some(Duration::ZERO),
            false => self.due().map(|(due, _)| due.since(now)),
        };
        let now = self.turns.sleep(limit, 0, &mut self.watch)?;
        self.watch.now = now;
        let mut signals = false;
        for (key, ready) in self.turns.named() {
            match key.slot() {
                _ if !key.is_source() => self.post.mark(key, ready, &mut self.watch),
                SIGNALS => signals = true,
                STDIO => self.ready = self.ready.with(ready),
                NAME_DOOR => {
                    self.resolver.collect(&mut Turn::new(now, &mut self.watch));
                }
                _ => {}
            }
        }
        let came = if signals { self.turns.signals(&mut self.watch) } else { Vec::new() };
        Ok(came.into_iter().find(|signal| ends_by(*signal)))
    }

    /// Carries what can be carried. An error is the end, and why.
    fn carry(&mut self) -> Result<(), Reason> {
        let now = self.watch.now;
        let (resolver, registry) = (&mut self.resolver, self.turns.registry());
        let mut office = Office { resolver, registry, now, seen: &mut self.watch };
        self.post.open(&mut office)?;
        self.more = false;
        self.send()?;
        self.receive()?;
        if self.ready.has(Ready::ERROR) {
            self.ready = self.ready.without(Ready::ERROR);
            if let Some(error) = self.stdio.take_error().map_err(|error| ours(&error))? {
                return Err(ours(&error));
            }
        }
        match self.due() {
            Some((due, reason)) if due <= now && !self.more => Err(reason),
            _ => Ok(()),
        }
    }

    /// From the input to the socket.
    fn send(&mut self) -> Result<(), Reason> {
        for _ in 0..BUDGET {
            if !self.post.is_writable() {
                return Ok(());
            }
            if self.all_said() {
                if !self.ready.has(Ready::READ) {
                    return Ok(());
                }
                self.read()?;
                continue;
            }
            match self.post.send(&mut self.letter, &mut self.watch)? {
                SendOutcome::Done(_) => self.active = self.watch.now,
                SendOutcome::Blocked => return Ok(()),
                SendOutcome::Refused => break,
            }
        }
        self.more = true;
        Ok(())
    }

    fn read(&mut self) -> Result<(), Reason> {
        let mut letter = vec![0; LETTER_BYTES];
        match self.stdio.read(&mut letter) {
            Ok(0) => self.ended = Some(self.watch.now),
            Ok(bytes) => {
                letter.truncate(bytes);
                self.letter = Some(letter);
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(ours(&error)),
        }
        self.ready = self.ready.without(Ready::READ);
        Ok(())
    }

    /// From the socket to the output.
    fn receive(&mut self) -> Result<(), Reason> {
        for _ in 0..BUDGET {
            if self.shown < self.heard {
                if !self.ready.has(Ready::WRITE) {
                    return Ok(());
                }
                self.show()?;
            } else if self.post.is_readable() {
                match self.post.receive(&mut self.room, &mut self.watch)? {
                    SendOutcome::Done(bytes) => self.hear(bytes),
                    SendOutcome::Blocked => return Ok(()),
                    SendOutcome::Refused => break,
                }
            } else {
                return Ok(());
            }
        }
        self.more = true;
        Ok(())
    }

    /// A datagram has come. One that the room cannot hold is not shown: a part of it would not be
    /// what was sent.
    fn hear(&mut self, bytes: usize) {
        let whole = self.room.datagram(bytes).is_some();
        if !whole {
            let (key, from) = (self.post.key.at(1), self.post.peer());
            self.watch.on(key, &Event::Dropped { bytes: Some(bytes), from, why: DropReason::Long });
        }
        (self.heard, self.shown) = (if whole && !self.plan.probe { bytes } else { 0 }, 0);
        self.active = self.watch.now;
    }

    fn show(&mut self) -> Result<(), Reason> {
        let rest = self.room.datagram(self.heard).map_or(&[][..], |all| &all[self.shown..]);
        match self.stdio.write(rest) {
            Ok(bytes) => self.shown += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.ready = self.ready.without(Ready::WRITE);
            }
            Err(error) => return Err(ours(&error)),
        }
        Ok(())
    }

    /// When it ends if nothing happens until then, and why.
    fn due(&self) -> Option<(Moment, Reason)> {
        let after = |from: Moment, wait: Option<Duration>, reason: Reason| {
            wait.map(|wait| (from.after(wait), reason))
        };
        if !self.post.is_open() {
            return after(Moment(0), self.plan.wait, Reason::ConnectTimeout);
        }
        let idle = after(self.active, self.plan.idle, Reason::IdleTimeout);
        let all_said = self.all_said();
        let all_shown = self.shown == self.heard;
        let last = match (self.plan.probe, self.ended) {
            (true, _) if self.post.answered || all_said && !self.asks() => {
                Some((Moment(0), Reason::Finished))
            }
            (true, _) if all_said => after(self.active, patience(self.plan), Reason::Served),
            (false, Some(ended)) if all_said && all_shown => {
                after(ended.max(self.active), self.plan.linger, Reason::Finished)
            }
            _ => None,
        };
        [idle, last].into_iter().flatten().min_by_key(|(due, _)| *due)
    }

    fn all_said(&self) -> bool {
        self.post.is_done() && self.letter.is_none()
    }

    /// Whether it is a probe that has to wait for what comes back.
    fn asks(&self) -> bool {
        matches!(self.plan.target, Address::Udp(..))
    }

    fn close(&mut self, reason: Reason) {
        let ending = Close { reason, first: Side::Proxy, by: CloseKind::Fin };
        let (up, down, now) = (self.post.sent_bytes, self.post.received_bytes, self.watch.now);
        let lasted = now.since(Moment(0));
        self.watch.on(self.post.key, &Event::Closed { ending, up, down, lasted, now });
    }
}

/// How long a probe waits for what a datagram brings back.
pub fn patience(plan: &ConnectPlan) -> Option<Duration> {
    let linger = plan.linger.unwrap_or(ConnectPlan::DATAGRAM_LINGER);
    Some(plan.idle.map_or(linger, |idle| idle.min(linger)))
}

/// Our own input or output failed.
fn ours(error: &io::Error) -> Reason {
    Reason::Reset { by: Side::Client, fault: SysError::from(error) }
}
