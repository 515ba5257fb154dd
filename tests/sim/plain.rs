//! Plain tests of the engine on a network without faults: what one example says best.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use oneloop::core::Ready;
use oneloop::core::buffers::Buffers;
use oneloop::core::conn::Conn;
use oneloop::core::engine::{Dial, Engine};
use oneloop::core::event::{Event, Observer};
use oneloop::core::timers::Timeouts;
use oneloop::core::{Key, Moment, Random, Reason, Tick};

use crate::net::kernel::Attempt;
use crate::net::remote::Found;
use crate::net::socket::Socket;
use crate::net::{Faults, Kernel, Model, Net};

/// An engine, its network, and all that was told.
struct Bench {
    net: Net,
    engine: Engine<Socket>,
    told: Told,
    births: u32,
    room: usize,
    now: Moment,
}

#[derive(Default)]
struct Told(Vec<String>);

impl Observer for Told {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        self.0.push(format!("#{}.{} {event:?}", key.birth, key.end()));
    }
}

impl Bench {
    fn new(timeouts: Timeouts) -> Bench {
        let kernel = Kernel::new(Model::Epoll, Faults::default(), Random::new(1));
        Bench {
            net: Rc::new(RefCell::new(kernel)),
            engine: Engine::new(vec![timeouts], 4, Buffers::default()),
            told: Told::default(),
            births: 0,
            room: 100,
            now: Moment(0),
        }
    }

    /// A connection of this wiring, and its socket.
    fn open(&mut self, wire: impl FnOnce(Socket) -> Conn<Socket>) -> (Key, usize) {
        self.births += 1;
        let key = self.engine.vacant(self.births);
        let (socket, id) = self.socket(key, Attempt::Done);
        self.engine.insert(wire(socket), self.births, 0, self.now, &mut self.told);
        self.turn();
        (key, id)
    }

    /// A relay whose target is connected.
    fn relay(&mut self) -> (Key, usize, usize) {
        let (key, client) = self.open(Conn::relay);
        let target = self.dial(key, Attempt::Done);
        self.turn();
        assert!(matches!(self.engine.dials()[..], [(_, Dial::Over)]));
        (key, client, target)
    }

    fn dial(&mut self, key: Key, attempt: Attempt) -> usize {
        let (socket, target) = self.socket(key.at(1), attempt);
        self.engine.attach(key, socket, self.now, &mut self.told);
        target
    }

    fn socket(&mut self, key: Key, attempt: Attempt) -> (Socket, usize) {
        let mut kernel = self.net.borrow_mut();
        let id = kernel.open(self.room, false, attempt);
        kernel.register(id, key);
        (Socket::new(&self.net, id), id)
    }

    fn turn(&mut self) {
        let events = self.net.borrow_mut().poll(100);
        for (key, ready) in events {
            self.engine.mark(key, ready, &mut self.told);
        }
        self.engine.run(self.now, &mut self.told);
        self.engine.expire(self.now, &mut self.told);
    }

    /// A turn at this tick.
    fn turn_at(&mut self, tick: Tick) {
        self.now = Moment(u64::from(tick) * 100_000);
        self.turn();
    }

    fn say(&mut self, id: usize, bytes: &[u8]) {
        let said = self.net.borrow_mut().remote_write(id, bytes);
        assert_eq!(said, Some(bytes.len()));
        self.turn();
    }

    fn hear(&mut self, id: usize) -> Found {
        self.net.borrow_mut().remote_read(id, 1000)
    }

    fn fin(&mut self, id: usize) {
        self.net.borrow_mut().remote_fin(id);
        self.turn();
    }

    /// How often something like this was told.
    fn count(&self, like: &str) -> usize {
        self.told.0.iter().filter(|line| line.contains(like)).count()
    }

    /// Who has ended, and for what reason.
    fn ended(&self, key: Key, reason: &str) -> bool {
        let line = format!("#{}.0 Closed {{ ending: Ending {{ reason: {reason}", key.birth);
        self.count(&line) == 1 && self.count(&format!("#{}.0 Closed", key.birth)) == 1
    }
}

#[test]
fn a_connection_at_rest_is_80_bytes() {
    /// Made like the shell's sockets: a kind and a descriptor, eight bytes.
    enum Eight {
        _Tcp(i32),
        _Unix(i32),
    }
    assert!(size_of::<Conn<Eight>>() <= 80, "{} bytes", size_of::<Conn<Eight>>());
}

#[test]
fn an_old_key_finds_nothing() {
    let mut bench = Bench::new(Timeouts::default());
    let (old, _) = bench.open(Conn::echo);
    bench.engine.end(old, Reason::Cut, bench.now, &mut bench.told);
    let (new, id) = bench.open(Conn::echo);
    assert_eq!((old.slot(), old.birth + 1), (new.slot(), new.birth), "the slot is used again");

    let bits = Ready::READ.with(Ready::WRITE).with(Ready::ERROR);
    bench.engine.mark(old, bits, &mut bench.told);
    assert_eq!((bench.count("Stale"), bench.engine.queued()), (1, 0));
    let before = bench.engine.get(new).unwrap().ends.bits(0);
    assert!(bench.engine.get(old).is_none() && !before.has(Ready::READ));
    bench.dial(old, Attempt::Done);
    bench.engine.end(old, Reason::Cut, bench.now, &mut bench.told);
    bench.say(id, b"still here");
    assert_eq!(bench.hear(id), Found::Bytes(b"still here".to_vec()));
}

#[test]
fn a_marked_connection_is_queued_once() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, _) = bench.open(Conn::echo);
    for _ in 0..3 {
        bench.engine.mark(key, Ready::READ, &mut bench.told);
        bench.engine.mark(key, Ready::WRITE, &mut bench.told);
    }
    assert_eq!(bench.engine.queued(), 1);
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::ZERO));
    bench.turn();
    assert_eq!((bench.engine.queued(), bench.engine.sleep(bench.now)), (0, None));
}

#[test]
fn a_superseded_deadline_is_ignored() {
    let timeouts = Timeouts { idle: Some(100), half_close: Some(20), ..Timeouts::default() };
    let mut bench = Bench::new(timeouts);
    let (key, client, target) = bench.relay();
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::from_secs(10)));
    bench.turn_at(50);
    bench.fin(client);
    assert_eq!(bench.hear(target), Found::Eof);
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::from_secs(2)));
    // The half-closed one stays active, past the idle deadline that was set first.
    for tick in [60, 70, 80, 90, 100, 110] {
        bench.turn_at(tick);
        bench.say(target, b"more");
    }
    assert_eq!(bench.count("Idle, again"), 0, "the idle deadline counts no more");
    bench.turn_at(129);
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(130);
    assert!(bench.ended(key, "HalfCloseTimeout"));
}

#[test]
fn a_half_close_is_counted_from_the_end_of_file() {
    let mut bench = Bench::new(Timeouts { half_close: Some(20), ..Timeouts::default() });
    let (key, client, _) = bench.relay();
    bench.turn_at(500);
    bench.fin(client);
    bench.turn_at(519);
    assert_eq!(bench.engine.len(), 1, "it was quiet before, but half-closed only now");
    bench.turn_at(520);
    assert!(bench.ended(key, "HalfCloseTimeout"));
    assert_eq!(bench.hear(client), Found::Reset);
}

#[test]
fn an_event_without_bytes_is_no_activity() {
    let mut bench = Bench::new(Timeouts { idle: Some(50), ..Timeouts::default() });
    let (key, id) = bench.open(Conn::echo);
    bench.turn_at(30);
    bench.say(id, b"x");
    bench.turn_at(50);
    assert_eq!(bench.count("Idle, again: true"), 1, "set anew, as bytes moved at 30");
    bench.engine.mark(key, Ready::READ, &mut bench.told);
    bench.turn_at(79);
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(80);
    assert!(bench.ended(key, "IdleTimeout"));
}

#[test]
fn draining_ends_the_idle_at_once_and_the_cut_ends_the_rest() {
    let mut bench = Bench::new(Timeouts::default());
    let (idle, id) = bench.open(Conn::echo);
    let (relayed, client, target) = bench.relay();
    bench.turn_at(40);
    let (busy, flood) = bench.open(Conn::chargen);
    bench.engine.drain(bench.now, &mut bench.told);
    bench.turn_at(41);
    assert!(bench.ended(idle, "Drained") && bench.ended(relayed, "Drained"));
    for end in [id, client, target] {
        assert_eq!(bench.hear(end), Found::Eof);
    }
    bench.turn_at(400);
    assert_eq!(bench.engine.len(), 1, "it still has something to write");
    bench.engine.cut(bench.now, &mut bench.told);
    assert!(bench.ended(busy, "Cut"));
    bench.net.borrow_mut().socks[flood].tx.bytes.clear();
    assert_eq!(bench.hear(flood), Found::Reset, "it was owed something");
}

#[test]
fn a_drained_relay_looks_once_more_for_bytes_that_no_event_told_of() {
    let mut bench = Bench::new(Timeouts::default());
    let (_, client, target) = bench.relay();
    bench.turn_at(40);
    bench.engine.drain(bench.now, &mut bench.told);
    bench.net.borrow_mut().remote_write(client, b"just now");
    bench.engine.expire(bench.now, &mut bench.told);
    assert_eq!(bench.hear(target), Found::Bytes(b"just now".to_vec()));
    assert_eq!(bench.engine.len(), 1, "it is not idle");
    bench.turn_at(50);
    assert_eq!(bench.hear(client), Found::Eof);
}

#[test]
fn a_greeting_hears_a_line_in_pieces_and_ends() {
    let mut bench = Bench::new(Timeouts::default());
    let text = bench.engine.buffers.shelf.keep(b"who is there?");
    let (key, id) = bench.open(|socket| Conn::greet(socket, Some(text)));
    assert_eq!(bench.hear(id), Found::Bytes(b"who is there?".to_vec()));
    for piece in ["a ", "friend", "\nand ", "more"] {
        bench.say(id, piece.as_bytes());
    }
    assert_eq!(bench.count(&format!("Heard {{ message: {:?}", b"a friend\n")), 1);
    assert_eq!(bench.hear(id), Found::Eof);
    assert_eq!(bench.engine.len(), 1, "it waits for the peer's end");
    bench.fin(id);
    assert!(bench.ended(key, "Served"));
    assert_eq!(bench.engine.buffers.shelf.lent(), 0);
}

#[test]
fn a_service_that_has_said_its_last_word_waits_two_seconds_whatever_comes() {
    let mut bench = Bench::new(Timeouts::default());
    let text = bench.engine.buffers.shelf.keep(b"bye");
    let (key, id) = bench.open(|socket| Conn::say(socket, Some(text)));
    for tick in [5, 10, 15, 19] {
        bench.turn_at(tick);
        bench.say(id, b"wait");
    }
    assert_eq!(bench.engine.len(), 1);
    bench.turn_at(20);
    assert!(bench.ended(key, "Served"));
}

#[test]
fn characters_go_on_where_the_peer_stopped_reading() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 7;
    let (_, id) = bench.open(Conn::chargen);
    let mut heard = Vec::new();
    while heard.len() < 1000 {
        if let Found::Bytes(bytes) = bench.hear(id) {
            heard.extend(bytes);
        }
        bench.turn();
    }
    let lines: Vec<&[u8]> = heard.split(|byte| *byte == b'\n').collect();
    assert!(lines[0].starts_with(b" !\"#") && lines[1].starts_with(b"!\"#$"));
    assert!(lines[..12].iter().all(|line| line.len() == 73));
}

#[test]
fn a_flood_yields_and_others_are_served_in_the_same_turn() {
    let mut bench = Bench::new(Timeouts::default());
    bench.room = 10_000_000;
    let (flood, loud) = bench.open(Conn::discard);
    let (_, quiet) = bench.open(Conn::echo);
    bench.net.borrow_mut().remote_write(loud, &vec![0; 9_000_000]);
    bench.net.borrow_mut().remote_write(quiet, b"hello");
    bench.turn();
    assert_eq!(bench.hear(quiet), Found::Bytes(b"hello".to_vec()));
    assert_eq!(bench.count(&format!("#{}.0 Yielded", flood.birth)), 1);
    let taken = bench.net.borrow().socks[loud].rx.taken;
    assert_eq!(taken, 16 * 64 * 1024, "a mebibyte is a share");
    assert_eq!(bench.engine.sleep(bench.now), Some(Duration::ZERO), "the rest waits");
}

#[test]
fn what_the_client_says_waits_for_a_target_and_a_stale_event_is_no_target() {
    let mut bench = Bench::new(Timeouts { connect: Some(50), ..Timeouts::default() });
    let (key, client) = bench.open(Conn::relay);
    let first = bench.dial(key, Attempt::BlackHole);
    bench.say(client, b"early");
    bench.turn_at(50);
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Failed(_))]));
    assert!(bench.net.borrow().socks[first].closed);

    // The name is the same for each attempt of a connection.
    let bits = Ready::READ.with(Ready::WRITE).with(Ready::LAST).with(Ready::ERROR);
    bench.engine.mark(key.at(1), bits, &mut bench.told);
    bench.turn();
    let second = bench.dial(key, Attempt::Done);
    bench.turn();
    assert_eq!(bench.hear(second), Found::Bytes(b"early".to_vec()));
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Over)]));
}

#[test]
fn a_client_that_is_gone_before_a_target_is_found_is_abandoned() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client) = bench.open(Conn::relay);
    bench.dial(key, Attempt::BlackHole);
    bench.net.borrow_mut().kill(client, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Abandoned"));
    assert!(matches!(bench.engine.dials()[..], [(_, Dial::Over)]));
}

#[test]
fn what_came_before_a_reset_is_passed_on_and_then_the_reset() {
    let mut bench = Bench::new(Timeouts::default());
    let (key, client, target) = bench.relay();
    bench.net.borrow_mut().remote_write(target, b"last words");
    bench.net.borrow_mut().kill(target, std::io::ErrorKind::ConnectionReset);
    bench.turn();
    assert!(bench.ended(key, "Reset { by: Target"));
    assert_eq!(bench.net.borrow().socks[client].tx.put, 10);
    bench.net.borrow_mut().socks[client].tx.bytes.clear();
    assert_eq!(bench.hear(client), Found::Reset);
}
