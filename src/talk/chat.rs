//! `oneloop chat`: the server's side of a conversation. What is typed goes to every client,
//! unasked; what clients say is shown, with who said it.
//!
//! A `^D` typed at a terminal, SIGINT and SIGTERM end the chat: what was typed is sent to all who
//! take it within a bounded time, and then each client is told the end. An input that is no
//! terminal may end and the chat stays; and it is read only while somebody is there to hear it,
//! and no faster than the quickest client takes it.

use std::io::{self, IsTerminal};
use std::time::Duration;

use mio::Interest;

use super::failure::Failure;
use super::members::{ChatCx, Members};
use super::notice::StatusLines;
use super::ring::{RING_BYTES, Ring};
use super::screen::{Screen, Shown};
use super::turns::{SIGNALS, STDIO, Turns, ends_by};
use crate::config::ChatPlan;
use crate::core::{Event, Key, Moment, Observer, Ready, SysError, Turn};
use crate::net::limits::{self, Descriptors};
use crate::net::stdio::Stdio;
use crate::net::{Listener, Signal, Socket, interests};
use crate::runtime::listeners::{ACCEPT_BUDGET, Accepted, Listeners};
use crate::text::count::Count;
use crate::text::escape::plain;

/// So long those who are slow to take the last words are waited for.
const FAREWELL: Duration = Duration::from_secs(2);

/// When all have taken the last words, so long for theirs: to close at once would cut them off.
const GOODBYE: Duration = Duration::from_millis(500);

/// So much of the input is read at a time. The quickest client may be behind by as much when more
/// is read; all others by the rest of the ring.
const TYPED_BYTES: usize = 64 * 1024;

/// So many reads of the input are made in one turn.
const BUDGET: usize = 4;

/// The doors behind the two that every talk has.
const FIRST_LISTENER: usize = STDIO + 1;

/// The loop of a chat.
struct Chat<'a> {
    turns: Turns,
    seen: &'a mut dyn Observer,
    listeners: Listeners,
    max_clients: usize,
    members: Members,
    ring: Ring,
    stdio: Stdio,
    /// What may be tried at standard input and output.
    ready: Ready,
    screen: Screen,
    notices: StatusLines,
    typed: Box<[u8]>,
    /// A human types.
    terminal: bool,
    /// When the end of the chat began.
    farewell: Option<Moment>,
    /// Why the screen is lost, if it is.
    blind: Option<SysError>,
    now: Moment,
}

/// Talks until it is told to stop. What is returned is the exit status.
pub fn run(plan: &ChatPlan, seen: &mut dyn Observer) -> Result<u8, Failure> {
    let mut chat = Chat::begin(plan, seen)?;
    let signal = loop {
        if let Some(signal) = chat.turn()? {
            break Some(signal);
        }
        if chat.is_over() {
            break None;
        }
    };
    let (members, mut cx) = chat.cx();
    members.cut(&mut cx);
    chat.show();
    chat.screen.forget();
    chat.tell();
    match (signal, chat.blind) {
        (Some(signal), _) => Ok(signal.status()),
        (None, Some(fault)) if fault.kind != io::ErrorKind::BrokenPipe => {
            Err(Failure::Stdio(fault))
        }
        _ => Ok(0),
    }
}

impl<'a> Chat<'a> {
    /// Every address is bound before anybody is let in.
    fn begin(plan: &ChatPlan, seen: &'a mut dyn Observer) -> Result<Chat<'a>, Failure> {
        let max_clients = room(plan)?;
        let turns = Turns::new()?;
        let mut stdio = Stdio::open()?.with_cr_lf(plan.crlf);
        turns.register(&mut stdio, Key::source(STDIO), Interest::READABLE)?;
        let mut notices = if plan.log.quiet { StatusLines::silent() } else { StatusLines::new() };
        let listeners = open(plan, &turns, &mut notices, seen)?;
        Ok(Chat {
            turns,
            seen,
            listeners,
            max_clients,
            members: Members::new(plan.idle),
            ring: Ring::new(RING_BYTES),
            stdio,
            ready: Ready::READ.with(Ready::WRITE),
            screen: Screen::default(),
            notices,
            typed: vec![0; TYPED_BYTES].into_boxed_slice(),
            terminal: io::stdin().is_terminal(),
            farewell: None,
            blind: None,
            now: Moment(0),
        })
    }

    /// One turn. Some: a signal cuts the farewell short.
    fn turn(&mut self) -> Result<Option<Signal>, Failure> {
        let (limit, queued) = (self.sleep_limit(), self.members.queued());
        self.now = self.turns.sleep(limit, queued, self.seen)?;
        if self.mark() {
            for signal in self.turns.signals(self.seen) {
                match signal {
                    Signal::Quit => self.dump(),
                    signal if !ends_by(signal) => {}
                    signal if self.farewell.is_some() => return Ok(Some(signal)),
                    _ => self.say_farewell(),
                }
            }
        }
        self.accept();
        self.hear();
        let (members, mut cx) = self.cx();
        let left = members.run(&mut cx);
        members.expire(&mut cx);
        if left {
            self.listeners.retry_paused(self.now);
        }
        self.show();
        self.tell();
        Ok(None)
    }

    fn sleep_limit(&self) -> Option<Duration> {
        let now = self.turns.now();
        let farewell = self.farewell.map(|began| {
            let next = [began.after(GOODBYE), began.after(FAREWELL)];
            next.into_iter().find(|end| *end > now).unwrap_or(now).since(now)
        });
        let busy = self.may_hear() || self.may_show();
        let limits = [
            busy.then_some(Duration::ZERO),
            self.members.sleep(now),
            self.listeners.sleep(now, self.room()),
            farewell,
        ];
        limits.into_iter().flatten().min()
    }

    /// Notes what the system named. True: there are signals.
    fn mark(&mut self) -> bool {
        let mut signals = false;
        for (key, ready) in self.turns.named() {
            match key.slot() {
                _ if !key.is_source() => self.members.mark(key, ready, self.seen),
                SIGNALS => signals = true,
                STDIO => self.ready = self.ready.with(ready),
                _ => {
                    self.listeners.set_pending(key);
                }
            }
        }
        signals
    }

    /// Lets in those who wait at the doors, as far as there is room.
    fn accept(&mut self) {
        for listener in 0..self.listeners.len() {
            for _ in 0..ACCEPT_BUDGET {
                if self.members.len() >= self.max_clients && self.somebody_waits() {
                    let (members, mut cx) = self.cx();
                    members.make_room(&mut cx);
                }
                let there = self.members.len();
                let room = self.max_clients.saturating_sub(there);
                let (turns, members) = (&self.turns, &mut self.members);
                let register = |socket: &mut Socket| {
                    let (key, interests) = (members.vacant(), interests(socket));
                    turns.register(socket.source(), key, interests).map(|()| key)
                };
                let turn = &mut Turn::new(self.now, self.seen);
                match self.listeners.accept(listener, room, there, turn, register) {
                    Some(accepted) => self.open_connection(accepted),
                    None => break,
                }
            }
        }
    }

    /// How many more may come in. Who has left holds no place for long if somebody wants it.
    fn room(&self) -> usize {
        let free = self.max_clients.saturating_sub(self.members.len());
        free.max(self.members.iter().any(|member| member.has_left).into())
    }

    fn somebody_waits(&self) -> bool {
        self.listeners.sleep(self.now, 1) == Some(Duration::ZERO)
    }

    fn open_connection(&mut self, accepted: Accepted) {
        let (key, listen, peer, now) = (accepted.key, &*accepted.address, &accepted.peer, self.now);
        let opened = Event::Opened { route: accepted.route, service: "chat", listen, peer, now };
        self.seen.on(key, &opened);
        let (members, mut cx) = self.cx();
        members.join(key, accepted.socket, peer, &mut cx);
    }

    /// Whether the input is to be read now.
    fn may_hear(&self) -> bool {
        let somebody_hears = match self.members.quickest_behind(&self.ring) {
            Some(behind) => behind <= TYPED_BYTES as u64,
            // At a terminal an end may be typed, and what is said to nobody is told as such.
            None => self.terminal,
        };
        self.farewell.is_none() && self.ready.has(Ready::READ) && somebody_hears
    }

    /// What is typed goes to all.
    fn hear(&mut self) {
        for _ in 0..BUDGET {
            if !self.may_hear() {
                return;
            }
            match self.stdio.read(&mut self.typed) {
                Ok(0) => {
                    self.ready = self.ready.without(Ready::READ);
                    if self.terminal {
                        self.say_farewell();
                    }
                }
                Ok(_) if self.members.is_empty() => self.notices.say("* no clients, line not sent"),
                Ok(bytes) => {
                    self.ring.push(&self.typed[..bytes]);
                    self.members.queue_all();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ready = self.ready.without(Ready::READ);
                    if error.kind() != io::ErrorKind::WouldBlock {
                        let fault = SysError::from(&error);
                        self.notices.say(format_args!("* standard input failed: {fault}"));
                    }
                }
            }
        }
    }

    fn may_show(&self) -> bool {
        !self.screen.is_empty() && self.ready.has(Ready::WRITE)
    }

    /// Shows what was said. If nobody can see it any more, the chat ends.
    fn show(&mut self) {
        if self.blind.is_some() {
            return self.screen.forget();
        }
        let had_room = self.screen.has_room();
        let shown = match (self.ready.has(Ready::ERROR), self.may_show()) {
            (_, true) => self.screen.show(|bytes| self.stdio.write(bytes)),
            (true, false) => match self.stdio.take_error() {
                Ok(Some(error)) | Err(error) => Err(error),
                Ok(None) => Ok(Shown::All),
            },
            (false, false) => return,
        };
        self.ready = self.ready.without(Ready::ERROR);
        match shown {
            Ok(Shown::Blocked) => self.ready = self.ready.without(Ready::WRITE),
            Ok(Shown::All | Shown::More) => {}
            Err(error) => {
                self.screen.forget();
                self.ready = self.ready.without(Ready::WRITE);
                self.blind.get_or_insert(SysError::from(&error));
                self.say_farewell();
            }
        }
        if !had_room && self.screen.has_room() {
            self.members.queue_speakers();
        }
    }

    /// Tells of those who have left, behind what they said.
    fn tell(&mut self) {
        while let Some(note) = self.screen.due() {
            self.notices.say(note);
        }
    }

    /// Nobody is let in any more, and nothing more is typed.
    fn say_farewell(&mut self) {
        if self.farewell.is_none() {
            self.farewell = Some(self.now);
            let draining = Event::Draining { connections: self.members.len(), deadline: FAREWELL };
            self.seen.on(Key::LOOP, &draining);
            self.listeners.close_now();
            self.members.queue_all();
        }
    }

    /// Whether all that could be said and shown has been, or the time for it is up.
    fn is_over(&self) -> bool {
        let Some(began) = self.farewell else { return false };
        let all_told = self.members.iter().all(|member| member.told_end);
        let all_shown = self.screen.is_empty();
        let gone = self.members.is_empty() || began.after(GOODBYE) <= self.now;
        (all_told && all_shown && gone) || began.after(FAREWELL) <= self.now
    }

    /// The members, and what is around them.
    fn cx(&mut self) -> (&mut Members, ChatCx<'_>) {
        let cx = ChatCx {
            ring: &self.ring,
            screen: &mut self.screen,
            notices: &mut self.notices,
            farewell: self.farewell.is_some(),
            now: self.now,
            seen: self.seen,
        };
        (&mut self.members, cx)
    }

    /// Tells the log who is there, and how far behind.
    fn dump(&mut self) {
        let (connections, (up, down)) = (self.members.len(), self.members.moved());
        self.seen.on(Key::LOOP, &Event::InProgress { connections, up, down });
        let mut say = |line: &str| self.seen.on(Key::LOOP, &Event::Dump { line });
        let clients = Count(connections, "client");
        say(&format!("chat: {clients} of at most {}", self.max_clients));
        for listener in self.listeners.iter() {
            say(&format!("listener {}: {}", listener.address, listener.state()));
        }
        for member in self.members.iter() {
            let left = if member.has_left { ", left" } else { "" };
            say(&format!("{}: {} B behind{left}", member.name, member.behind(&self.ring)));
        }
    }
}

/// As many as the plan wants, if there are files for them. What nobody asked for is simply less.
fn room(plan: &ChatPlan) -> Result<usize, Failure> {
    let files = limits::raise_files().files;
    let descriptors = Descriptors { listeners: plan.listens.len(), ..Descriptors::default() };
    match limits::max_connections(Some(plan.max_clients), files, descriptors) {
        Err(error) if plan.max_clients == ChatPlan::MAX_CLIENTS && error.possible > 0 => {
            Ok(error.possible)
        }
        done => done.map_err(Failure::Limit),
    }
}

fn open(
    plan: &ChatPlan,
    turns: &Turns,
    notices: &mut StatusLines,
    seen: &mut dyn Observer,
) -> Result<Listeners, Failure> {
    let (mut listeners, mut bound) = (Listeners::default(), Vec::new());
    for (route, listen) in plan.listens.iter().enumerate() {
        for mut listener in Listener::bind(listen)? {
            let key = Key::source(FIRST_LISTENER + bound.len());
            bound.push((key, listener.address().to_string()));
            turns.register(listener.source(), key, Interest::READABLE)?;
            if let Some(warning) = listener.warning() {
                notices.say(format_args!("* {}", plain(warning)));
            }
            listeners.add(listener, route as u16, key);
        }
    }
    for (key, address) in &bound {
        seen.on(*key, &Event::Listening { address, service: "chat" });
    }
    Ok(listeners)
}
