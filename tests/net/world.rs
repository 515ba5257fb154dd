//! The world: one engine on the simulated network, run as the shell runs it, until all
//! conversations are over.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use oneloop::core::buffers::Buffers;
use oneloop::core::conn::Conn;
use oneloop::core::engine::{Dial, Engine};
use oneloop::core::key::ConnIds;
use oneloop::core::random::mix;
use oneloop::core::{Key, Mail, Moment, Random, Reason, SysError, Turn};

use super::answers::Answers;
use super::books::Books;
use super::faults::{Faults, Mix};
use super::kernel::{Attempt, Kernel};
use super::peer::Saw;
use super::reload::{self, Reloads};
use super::script::Op;
use super::socket::Socket;
use super::talk::{Kind, Talk};
use super::watch::{Closed, Watch};
use super::{Net, audit, books, check};

pub struct World {
    pub mix: Mix,
    pub random: Random,
    pub net: Net,
    pub engine: Engine<Socket>,
    pub watch: Watch,
    pub now: Moment,
    /// The conversations that are not over, by id.
    pub talks: HashMap<u32, Talk>,
    pub begun: usize,
    conn_ids: ConnIds,
    streams: u64,
    /// Faults are off, peers cooperate.
    pub calm: bool,
    pub drained: bool,
    pub cut: bool,
    pub answers: Answers,
    pub books: Books,
    /// Plans are applied in the middle of the run.
    pub reloads: Option<Reloads>,
    /// Consecutive turns without progress.
    idle: usize,
}

/// The result of a run.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub talks: usize,
    pub turns: usize,
    pub calls: u64,
    pub trace: Option<u64>,
}

/// Maximum number of turns without faults until everything is over.
const CALM_TURNS: usize = 20_000;

/// Maximum number of consecutive turns without faults and without progress.
const PATIENCE: usize = 50;

impl World {
    pub fn new(seed: u64, mix_: Mix) -> World {
        let mut random = Random::new(mix(seed));
        let mut kernel = Kernel::new(mix_.model, mix_.faults.clone(), Random::new(random.draw()));
        kernel.splice = mix_.splice;
        let buffers = Buffers::with_scratch(mix_.scratch);
        World {
            engine: Engine::new(mix_.timeouts.clone(), mix_.slots, buffers),
            net: Rc::new(RefCell::new(kernel)),
            watch: Watch::default(),
            now: Moment(random.below(10_000_000)),
            talks: HashMap::new(),
            begun: 0,
            conn_ids: ConnIds::default(),
            streams: seed << 20,
            calm: false,
            drained: false,
            cut: false,
            answers: Answers::default(),
            books: Books::default(),
            reloads: None,
            idle: 0,
            mix: mix_,
            random,
        }
    }

    /// Runs with faults first, then without. At the end nothing is left.
    pub fn run(&mut self) -> Outcome {
        for _ in 0..self.mix.unsafe_turns {
            self.turn();
        }
        self.calm = true;
        let faults =
            Faults { fin_hides_reset: self.mix.faults.fin_hides_reset, ..Faults::default() };
        self.net.borrow_mut().calm(faults);
        let mut turns = 0;
        while self.begun < self.mix.talks || !self.talks.is_empty() {
            self.turn();
            turns += 1;
            assert!(turns < CALM_TURNS, "not over after {turns} turns: {}", self.left());
        }
        audit::nothing_left(self);
        Outcome {
            talks: self.begun,
            turns: self.watch.turn,
            calls: self.net.borrow().calls,
            trace: self.watch.trace,
        }
    }

    /// Takes one turn, in the phases of the reactor.
    pub fn turn(&mut self) {
        self.watch.turn += 1;
        self.watch.now = self.now.tick();
        let mut happened = self.peers_act();
        let events = self.net.borrow_mut().poll(self.mix.batch);
        happened |= !events.is_empty();
        self.begin_turn();
        for (key, ready) in events {
            self.engine.mark(key, ready, &mut Turn::new(self.now, &mut self.watch));
        }
        self.mid_turn();
        self.reload();
        happened |= self.accept();
        happened |= self.dial();
        let queued = check::before_run(self);
        let before = self.net.borrow().moved;
        self.engine.run(&mut Turn::new(self.now, &mut self.watch));
        self.update_interest();
        // A connection that is queued and moves nothing would spin.
        happened |= self.net.borrow().moved != before;
        check::after_run(self, &queued);
        happened |= self.serve_locals();
        self.dials();
        self.mid_turn();
        self.stop();
        self.engine.expire(&mut Turn::new(self.now, &mut self.watch));
        happened |= self.serve_locals();
        self.update_interest();
        self.dials();
        happened |= self.closed();
        reload::after_turn(self);
        check::after_turn(self);
        books::check(self);
        self.tick(happened);
    }

    /// Registers the changed interests with the kernel.
    fn update_interest(&mut self) {
        let net = &self.net;
        let turn = &mut Turn::new(self.now, &mut self.watch);
        self.engine.update_interest(turn, |socket, _, read_off| {
            net.borrow_mut().update_interest(socket.id, read_off);
            Ok(())
        });
    }

    fn begin_turn(&mut self) {
        for sock in &mut self.net.borrow_mut().socks {
            (sock.stats.calls, sock.stats.bytes) = (0, 0);
        }
    }

    fn mid_turn(&mut self) {
        let strikes = {
            let mut kernel = self.net.borrow_mut();
            let strength = kernel.faults.mid_turn;
            kernel.hits(strength)
        };
        if strikes {
            self.peers_act();
        }
    }

    /// Lets each peer take a step, in the order of their ids.
    fn peers_act(&mut self) -> bool {
        let mut conn_ids: Vec<u32> = self.talks.keys().copied().collect();
        conn_ids.sort_unstable();
        let mut acted = false;
        for conn_id in conn_ids {
            let Some(talk) = self.talks.get_mut(&conn_id) else { continue };
            for end in 0..talk.peers.len() {
                let before = talk.peers[end].saw;
                let mut kernel = self.net.borrow_mut();
                acted |= talk.peers[end].act(&mut kernel, &mut self.random, self.calm);
                if before.is_none() && talk.peers[end].saw == Some(Saw::Eof) {
                    audit::clean_end(&kernel, talk, end);
                }
            }
            if talk.over() {
                audit::over(&self.net.borrow(), talk);
                self.talks.remove(&conn_id);
                acted = true;
            }
        }
        acted
    }

    /// Applies a random plan now and then. None is applied while the loop is being stopped.
    fn reload(&mut self) {
        if self.reloads.is_some() && !self.drained {
            let is_first = self.watch.turn == 1;
            if is_first || self.random.once_in(if self.calm { 40 } else { 8 }) {
                reload::apply(self);
            }
        }
    }

    /// Whether a plan was applied in this turn. Deadlines that it made earlier fire in the next.
    pub fn reloaded(&self) -> bool {
        self.reloads.as_ref().is_some_and(|reloads| reloads.turn == self.watch.turn)
    }

    /// Opens connections while there are slots and conversations left.
    fn accept(&mut self) -> bool {
        let mut accepted = false;
        while self.begun < self.mix.talks && !self.drained && self.engine.len() < self.mix.slots {
            if !self.calm && self.random.once_in(3) {
                break;
            }
            let route = match &self.reloads {
                None => None,
                Some(reloads) => match reloads.choose(&mut self.random) {
                    Some(route) => Some(route),
                    None => break,
                },
            };
            if let Some((_, kind)) = route {
                self.mix.kinds = vec![kind];
            }
            let conn_id = self.conn_ids.next();
            let key = self.engine.vacant(conn_id);
            let sock = self.socket(Attempt::Done, key);
            let mut talk = Talk::begin(&mut self.random, &self.mix, key, sock, &mut self.streams);
            if let (Some(reloads), Some((route, _))) = (&mut self.reloads, route) {
                talk.route = route;
                reloads.opened(conn_id, route);
            }
            let conn = talk.conn(Socket::new(&self.net, sock), &mut self.engine.buffers.unsent);
            self.watch.opened(key, talk.attempts.is_empty());
            let given = self.engine.insert(
                conn,
                conn_id,
                talk.route,
                &mut Turn::new(self.now, &mut self.watch),
            );
            assert_eq!(given, key, "`vacant` returned another key");
            self.books.accepted(talk.route);
            self.talks.insert(conn_id, talk);
            self.begun += 1;
            accepted = true;
        }
        if self.drained {
            self.mix.talks = self.begun;
        }
        accepted
    }

    /// Joins two peers with the same script.
    pub fn join(&mut self, room: usize, script: VecDeque<Op>) -> u32 {
        let conn_id = self.conn_ids.next();
        let key = self.engine.vacant(conn_id);
        let mut ends = Vec::new();
        for end in 0..2 {
            let id = self.net.borrow_mut().open(room, false, Attempt::Done);
            self.net.borrow_mut().register(id, key.at(end));
            ends.push(id);
        }
        self.watch.opened(key, false);
        let sockets = [0, 1].map(|end| Socket::new(&self.net, ends[end]));
        let [client, target] = sockets;
        self.engine.insert(
            Conn::join(client, target),
            conn_id,
            0,
            &mut Turn::new(self.now, &mut self.watch),
        );
        self.books.accepted(0);
        self.watch.facts.entry(conn_id).and_modify(|facts| facts.connected = true);
        self.talks.insert(conn_id, Talk::joined(key, [ends[0], ends[1]], script));
        self.begun += 1;
        conn_id
    }

    /// Opens and registers a socket of random size and kind.
    fn socket(&mut self, dial: Attempt, key: Key) -> usize {
        let room = self.mix.pipe / 16 + 1 + self.random.below(self.mix.pipe as u64) as usize;
        let unix = self.random.below(100) < self.mix.unix;
        let mut kernel = self.net.borrow_mut();
        let id = kernel.open(room, unix, dial);
        kernel.register(id, key);
        id
    }

    /// Starts the attempts that are due. A name may have to be resolved first.
    fn dial(&mut self) -> bool {
        let mut due: Vec<u32> = Vec::new();
        for (conn_id, talk) in &mut self.talks {
            match &mut talk.pending {
                Some(0) => due.push(*conn_id),
                Some(turns) => *turns -= 1,
                None => {}
            }
        }
        due.sort_unstable();
        let dialed = !due.is_empty();
        for conn_id in due {
            let Some(mut talk) = self.talks.remove(&conn_id) else { continue };
            if talk.ended.is_none() {
                let mut attempt = talk.attempts.pop_front().unwrap_or(Attempt::Done);
                if self.calm && attempt == Attempt::BlackHole {
                    attempt = Attempt::Waiting(0, Some(std::io::ErrorKind::TimedOut));
                }
                let sock = self.socket(attempt, talk.key.at(1));
                talk.dial(&mut self.random, &self.mix, sock, &mut self.streams);
                let socket = Socket::new(&self.net, sock);
                self.engine.attach(
                    talk.key.at(1),
                    socket,
                    &mut Turn::new(self.now, &mut self.watch),
                );
                self.watch.dialed(talk.key);
            }
            talk.pending = None;
            self.talks.insert(conn_id, talk);
        }
        dialed
    }

    /// Handles the results of attempts: tries the next target, or ends the connection.
    fn dials(&mut self) {
        let mut dials = self.engine.dials();
        while let Some((key, dial)) = dials.pop() {
            let Some(talk) = self.talks.get_mut(&key.id) else { continue };
            let Dial::Failed(error) = dial else { continue };
            assert_eq!(talk.key.at(1), key, "the failed attempt belongs to another connection");
            let target = talk.peers.get(1).filter(|_| talk.pending.is_none());
            let took = target.is_some_and(|target| self.net.borrow().socks[target.sock].took);
            let reset = error.kind() == std::io::ErrorKind::ConnectionReset;
            assert!(!(took && reset), "#{}: a target that was connected is given up", key.id);
            // The attempt's peer has no connection.
            self.watch.dialed(key);
            if talk.attempts.is_empty() {
                let reason = Reason::not_connected(SysError::from(&error));
                self.engine.end(key, reason, &mut Turn::new(self.now, &mut self.watch));
                dials.extend(self.engine.dials());
            } else {
                talk.peers.truncate(1);
                talk.pending.get_or_insert(self.random.below(2) * self.random.below(5));
            }
        }
    }

    /// Runs the owners of local ends.
    fn serve_locals(&mut self) -> bool {
        let before = self.net.borrow().moved;
        let turn = &mut Turn::new(self.now, &mut self.watch);
        while self.engine.has_mail() {
            for mail in self.engine.mail() {
                match mail {
                    Mail::Received(key) if self.talks[&key.id].kind == Kind::Greet => {
                        oneloop::service::receive_one(&mut self.engine, key, turn);
                    }
                    Mail::Received(key) | Mail::Drained(key) => {
                        self.answers.serve(&mut self.engine, key, turn);
                    }
                    Mail::Closed(closed) => self.answers.forget(closed.key),
                }
            }
        }
        self.net.borrow().moved != before
    }

    /// Starts the drain and the cut, in their turns.
    fn stop(&mut self) {
        let reached = |at: Option<usize>, turn| at.is_some_and(|at| turn >= at);
        if !self.drained && reached(self.mix.drain, self.watch.turn) {
            self.drained = true;
            self.engine.drain(check::DRAIN_IDLE, &mut Turn::new(self.now, &mut self.watch));
        }
        if self.drained && !self.cut && reached(self.mix.cut, self.watch.turn) {
            self.cut = true;
            self.engine.cut(&mut Turn::new(self.now, &mut self.watch));
            assert!(self.engine.is_empty(), "connections are left after the cut: {}", self.left());
        }
    }

    /// Checks the connections that ended in this turn.
    fn closed(&mut self) -> bool {
        let closed: Vec<Closed> = self.watch.closed.drain(..).collect();
        for one in &closed {
            let talk = self.talks.get_mut(&one.key.id);
            let Some(talk) = talk else { panic!("#{} is unknown", one.key.id) };
            talk.ended = Some((one.ending, self.now.tick()));
            talk.pending = None;
            self.books.closed(&self.net.borrow(), talk, one);
            self.watch.facts.remove(&one.key.id);
        }
        for one in &closed {
            audit::ending(self, one);
        }
        for (key, deadline, facts) in std::mem::take(&mut self.watch.fired) {
            audit::struck(self, key, deadline, &facts);
        }
        for (key, message) in std::mem::take(&mut self.watch.received) {
            audit::message(self, key, &message);
        }
        !closed.is_empty()
    }

    /// Advances the clock: not at all, a little, or to the next deadline.
    fn tick(&mut self, happened: bool) {
        let sleep = self.engine.sleep(self.now);
        check::sleep(self, sleep);
        let strikes = {
            let mut kernel = self.net.borrow_mut();
            let strength = kernel.faults.leap;
            kernel.hits(strength)
        };
        let busy = sleep == Some(Duration::ZERO) || self.net.borrow().owes_anything();
        let mut step = self.random.below(self.mix.pace + 1);
        if strikes {
            step += self.random.below(5 * 3_600_000_000);
        } else if self.calm && !busy && !happened {
            // All connections wait. If one has a deadline, advance to it.
            self.idle += 1;
            step = step.max(sleep.map_or(0, |sleep| sleep.as_micros() as u64));
        }
        if happened {
            self.idle = 0;
        }
        assert!(self.idle < PATIENCE, "no progress: {}", self.left());
        self.now = Moment(self.now.0 + step);
    }

    /// Lists the remaining conversations, for the message of a failure.
    pub fn left(&self) -> String {
        let mut lines = String::new();
        for (key, conn) in self.engine.iter() {
            lines += &format!("\n  #{}: {conn}", key.id);
        }
        for talk in self.talks.values() {
            let scripts: Vec<_> = talk.peers.iter().map(|peer| &peer.script).collect();
            lines += &format!("\n  #{} {:?} {:?} {scripts:?}", talk.key.id, talk.kind, talk.ended);
        }
        lines
    }
}
