//! An engine on a network without faults, for tests with one example each.

use std::cell::RefCell;
use std::rc::Rc;

use oneloop::core::buffers::Buffers;
use oneloop::core::conn::Conn;
use oneloop::core::engine::{Dial, Engine};
use oneloop::core::event::{Event, Observer, Wants};
use oneloop::core::timers::Timeouts;
use oneloop::core::{Key, Mail, Moment, Random, Tick, Turn};

use crate::net::kernel::Attempt;
use crate::net::remote::Found;
use crate::net::socket::Socket;
use crate::net::{Faults, Kernel, Model, Net};

/// An engine, its network, and the events it reported.
pub struct Bench {
    pub net: Net,
    pub engine: Engine<Socket>,
    pub events: EventLog,
    pub conn_ids: u32,
    pub room: usize,
    /// The route of new connections.
    pub route: u16,
    pub now: Moment,
}

#[derive(Default)]
pub struct EventLog {
    pub lines: Vec<String>,
    /// Stalls are reported.
    pub stalls: bool,
    /// The connection whose payload is reported.
    pub payload: Option<u32>,
    /// What was reported of it: received by each end, and sent without a read.
    pub received: [Vec<u8>; 2],
    pub made: Vec<u8>,
}

impl Observer for EventLog {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        if let Event::Payload { bytes, sent } = *event {
            assert_eq!(self.payload, Some(key.id), "nobody asked for it");
            assert!(bytes.len() <= 16 * 1024);
            let kept = if sent { &mut self.made } else { &mut self.received[key.end()] };
            kept.extend_from_slice(bytes);
            return;
        }
        self.lines.push(format!("#{}.{} {event:?}", key.id, key.end()));
    }

    fn wants_payload(&self, key: Key) -> bool {
        self.payload == Some(key.id)
    }

    fn begin_turn(&mut self, _: Moment) -> Wants {
        Wants { steps: true, stalls: self.stalls }
    }
}

impl Bench {
    pub fn new(timeouts: Timeouts) -> Bench {
        let kernel = Kernel::new(Model::Epoll, Faults::default(), Random::new(1));
        Bench {
            net: Rc::new(RefCell::new(kernel)),
            engine: Engine::new(vec![timeouts], 4, Buffers::default()),
            events: EventLog::default(),
            conn_ids: 0,
            room: 100,
            route: 0,
            now: Moment(0),
        }
    }

    /// Opens a connection of this kind. Returns its key and its socket.
    pub fn open(&mut self, wire: impl FnOnce(Socket) -> Conn<Socket>) -> (Key, usize) {
        let opened = self.insert(wire);
        self.turn();
        opened
    }

    pub fn insert(&mut self, wire: impl FnOnce(Socket) -> Conn<Socket>) -> (Key, usize) {
        self.conn_ids += 1;
        let key = self.engine.vacant(self.conn_ids);
        let (socket, id) = self.socket(key, Attempt::Done);
        self.engine.insert(
            wire(socket),
            self.conn_ids,
            self.route,
            &mut Turn::new(self.now, &mut self.events),
        );
        (key, id)
    }

    /// Opens a relay whose target is connected.
    pub fn relay(&mut self) -> (Key, usize, usize) {
        let (key, client) = self.open(Conn::relay);
        let target = self.dial(key, Attempt::Done);
        self.turn();
        assert!(matches!(self.engine.dials().last(), Some((_, Dial::Over))));
        (key, client, target)
    }

    pub fn dial(&mut self, key: Key, attempt: Attempt) -> usize {
        let (socket, target) = self.socket(key.at(1), attempt);
        self.engine.attach(key.at(1), socket, &mut Turn::new(self.now, &mut self.events));
        target
    }

    pub fn socket(&mut self, key: Key, attempt: Attempt) -> (Socket, usize) {
        let mut kernel = self.net.borrow_mut();
        let id = kernel.open(self.room, false, attempt);
        kernel.register(id, key);
        (Socket::new(&self.net, id), id)
    }

    pub fn turn(&mut self) {
        let ready = self.net.borrow_mut().poll(100);
        let turn = &mut Turn::new(self.now, &mut self.events);
        for (key, bits) in ready {
            self.engine.mark(key, bits, turn);
        }
        self.engine.run(turn);
        for mail in self.engine.mail() {
            if let Mail::Received(key) = mail {
                oneloop::service::receive_one(&mut self.engine, key, turn);
            }
        }
        self.engine.expire(turn);
        let net = &self.net;
        self.engine.update_interest(turn, |socket, _, read_off| {
            net.borrow_mut().update_interest(socket.id, read_off);
            Ok(())
        });
    }

    /// Fires the deadlines at this tick, without polling for events first.
    pub fn expire_at(&mut self, tick: Tick) {
        self.now = Moment(u64::from(tick) * 100_000);
        self.engine.expire(&mut Turn::new(self.now, &mut self.events));
    }

    /// Takes a turn at this tick.
    pub fn turn_at(&mut self, tick: Tick) {
        self.now = Moment(u64::from(tick) * 100_000);
        self.turn();
    }

    pub fn say(&mut self, id: usize, bytes: &[u8]) {
        let said = self.net.borrow_mut().remote_write(id, bytes);
        assert_eq!(said, Some(bytes.len()));
        self.turn();
    }

    pub fn read(&mut self, id: usize) -> Found {
        self.net.borrow_mut().remote_read(id, 1000)
    }

    pub fn fin(&mut self, id: usize) {
        self.net.borrow_mut().remote_fin(id);
        self.turn();
    }

    /// Returns how many reported events contain `like`.
    pub fn count(&self, like: &str) -> usize {
        self.events.lines.iter().filter(|line| line.contains(like)).count()
    }

    /// Whether the connection was closed exactly once, for this reason.
    pub fn ended(&self, key: Key, reason: &str) -> bool {
        let line = format!("#{}.0 Closed {{ ending: Close {{ reason: {reason}", key.id);
        self.count(&line) == 1 && self.count(&format!("#{}.0 Closed", key.id)) == 1
    }
}
