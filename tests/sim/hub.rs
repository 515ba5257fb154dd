//! Hubs on the simulated network: members come and go, read slowly, and are reset. Whoever stays
//! receives each message of the others whole, in order and once, or knows how many it missed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io::ErrorKind;
use std::rc::Rc;

use oneloop::core::{
    Buffers, Conn, Engine, Event, Frame, Hub, HubSettings, Key, Moment, Observer, OnLag, Random,
    Reason, Timeouts, Turn,
};
use oneloop::service::hub::HubOwner;

use crate::net::kernel::Attempt;
use crate::net::remote::Found;
use crate::net::socket::Socket;
use crate::net::{Faults, Kernel, Mix, Model, Net, payload};
use crate::or_name_the_seed;

/// Number of seeds per model, each with about thirty members.
const SEEDS: u64 = 150;

/// Maximum number of turns without faults until all is delivered.
const CALM_TURNS: usize = 50_000;

/// Ticks of the drain's idle time.
const DRAIN_IDLE: u32 = 10;

const MAX_MESSAGE: usize = 120;

#[test]
fn each_member_receives_whole_messages_in_order_or_knows_what_it_missed() {
    if let Ok(seed) = std::env::var("ONELOOP_SEED") {
        let seed = seed.parse().expect("ONELOOP_SEED is a number");
        let runs = [Model::Bare, Model::Epoll].map(|model| World::new(seed, model).run());
        println!("{runs:?}");
        return;
    }
    let mut sums = Sums::default();
    for model in [Model::Bare, Model::Epoll] {
        for seed in 0..SEEDS {
            let replay = format!("ONELOOP_SEED={seed} cargo test --test sim hub -- --nocapture");
            let run = or_name_the_seed(&replay, || World::new(seed, model).run());
            sums.complete += run.complete;
            sums.missed += run.missed;
            sums.lagged += run.lagged;
        }
    }
    println!("{sums:?}");
    assert!(sums.complete > 1000 && sums.missed > 1000 && sums.lagged > 50, "{sums:?}");
}

/// What happened in a run.
#[derive(Debug, Default)]
struct Sums {
    /// Members that stayed to the end.
    complete: u64,
    missed: u64,
    lagged: u64,
}

/// A client of the hub.
struct Member {
    key: Key,
    sock: usize,
    /// Messages it still sends.
    left: u64,
    sent: u64,
    /// Bytes of messages that it has begun to send.
    out: Vec<u8>,
    /// It resets or closes the connection in the middle.
    rude: bool,
    /// It reads in one of so many turns.
    pace: u64,
    ended: bool,
    /// Received and not parsed.
    input: Vec<u8>,
    received: u64,
    noticed: u64,
    /// By sender: the number of the last message.
    last: HashMap<u32, u64>,
    /// The messages published before it joined.
    joined: u64,
    over: bool,
}

/// Counts the messages that were missed, from the events.
#[derive(Default)]
struct Missed(HashMap<u32, u64>, u64);

impl Observer for Missed {
    fn on(&mut self, key: Key, event: &Event<'_>) {
        match event {
            Event::Missed { messages } => *self.0.entry(key.id).or_default() += messages,
            Event::Closed { ending, .. } if ending.reason == Reason::Lagged => self.1 += 1,
            Event::Closed { ending, .. } => {
                assert_ne!(ending.reason, Reason::TooLong, "#{} sent no long message", key.id);
            }
            _ => {}
        }
    }
}

struct World {
    random: Random,
    net: Net,
    engine: Engine<Socket>,
    owner: HubOwner,
    members: Vec<Member>,
    missed: Missed,
    ids: u32,
    joins: usize,
    mix: Mix,
    now: Moment,
    has_work: bool,
}

impl World {
    fn new(seed: u64, model: Model) -> World {
        let mut random = Random::new(seed ^ 0x6875_6221);
        let mix = Mix::draw(seed, model);
        let kernel = Kernel::new(model, mix.faults.clone(), Random::new(random.draw()));
        let frame = if random.once_in(2) { Frame::Line } else { Frame::Len32 };
        let least = HubSettings::buffer_min(frame, MAX_MESSAGE);
        let settings = HubSettings {
            frame,
            max_message: MAX_MESSAGE,
            buffer: least + random.below(8) as usize * random.below(600) as usize,
            on_lag: if random.once_in(3) { OnLag::Close } else { OnLag::Skip },
        };
        World {
            net: Rc::new(RefCell::new(kernel)),
            engine: Engine::new(vec![Timeouts::default()], 4, Buffers::with_scratch(mix.scratch)),
            owner: HubOwner::new(settings),
            members: Vec::new(),
            missed: Missed::default(),
            ids: 0,
            joins: 10 + random.below(40) as usize,
            now: Moment(0),
            has_work: false,
            random,
            mix,
        }
    }

    fn hub(&self) -> &Hub {
        self.owner.hub()
    }

    fn run(mut self) -> Sums {
        for _ in 0..200 {
            self.turn(false);
        }
        self.net.borrow_mut().calm(Faults::default());
        let mut quiet = 0;
        for turn in 0.. {
            assert!(turn < CALM_TURNS, "{} members are not done", self.members.len());
            let acted = self.turn(true);
            quiet = if acted || self.joins > 0 { 0 } else { quiet + 1 };
            if quiet > 20 {
                break;
            }
        }
        let turn = &mut Turn::new(self.now, &mut self.missed);
        self.engine.drain(DRAIN_IDLE, turn);
        self.now = Moment(self.now.0 + 100_000 * u64::from(DRAIN_IDLE + 1));
        for _ in 0..20 {
            self.turn(true);
        }
        assert!(self.engine.is_empty() && self.hub().is_empty(), "members are left");
        let buffers = &self.engine.buffers;
        assert_eq!((buffers.locals.in_use(), buffers.locals.bytes()), (0, 0));
        assert_eq!(buffers.unsent.in_use(), 0);
        let mut sums = Sums { lagged: self.missed.1, ..Sums::default() };
        for member in &self.members {
            self.check_complete(member, &mut sums);
        }
        sums
    }

    /// Checks that a member that stayed to the end knows of every message of the others.
    fn check_complete(&self, member: &Member, sums: &mut Sums) {
        if member.over || member.rude {
            return;
        }
        assert!(member.input.is_empty(), "#{}: a part of a message", member.key.id);
        let missed = self.missed.0.get(&member.key.id).copied().unwrap_or_default();
        if self.hub().settings().frame == Frame::Line {
            assert_eq!(missed, member.noticed, "#{}: wrong notices", member.key.id);
        }
        let others = self.hub().published() - member.joined - member.sent;
        assert_eq!(member.received + missed, others, "#{} lost messages", member.key.id);
        sums.complete += 1;
        sums.missed += missed;
    }

    /// Takes one turn. Returns whether anything happened.
    fn turn(&mut self, calm: bool) -> bool {
        let mut acted = false;
        // Few slots are reused at once.
        while self.joins > 0 && (calm || self.engine.len() < 12 && self.random.once_in(3)) {
            self.join();
        }
        for at in 0..self.members.len() {
            acted |= self.act(at, calm);
        }
        let events = self.net.borrow_mut().poll(self.mix.batch);
        acted |= !events.is_empty();
        let turn = &mut Turn::new(self.now, &mut self.missed);
        for (key, ready) in events {
            self.engine.mark(key, ready, turn);
        }
        self.engine.run(turn);
        acted |= self.has_work || self.engine.has_mail();
        for mail in self.engine.mail() {
            self.owner.handle(mail);
        }
        self.has_work = self.owner.serve(&mut self.engine, turn);
        self.engine.expire(turn);
        let net = &self.net;
        self.engine.update_interest(turn, |socket, _, read_off| {
            net.borrow_mut().update_interest(socket.id, read_off);
            Ok(())
        });
        let inbox = (MAX_MESSAGE + 4 + self.mix.scratch) * self.engine.len();
        assert!(self.engine.buffers.locals.bytes() <= inbox, "an endless inbox");
        acted
    }

    fn join(&mut self) {
        self.joins -= 1;
        self.ids += 1;
        let key = self.engine.vacant(self.ids);
        let room = 1 + self.random.below(self.mix.pipe as u64) as usize;
        let unix = self.random.below(100) < self.mix.unix;
        let sock = self.net.borrow_mut().open(room, unix, Attempt::Done);
        self.net.borrow_mut().register(sock, key);
        let conn = Conn::local(Socket::new(&self.net, sock), None);
        let turn = &mut Turn::new(self.now, &mut self.missed);
        self.engine.insert(conn, self.ids, 0, turn);
        self.owner.join(key);
        self.members.push(Member {
            key,
            sock,
            left: self.random.below(4) * self.random.below(30),
            sent: 0,
            out: Vec::new(),
            rude: self.random.once_in(4),
            pace: 1 + self.random.below(3) * self.random.below(40),
            ended: false,
            input: Vec::new(),
            received: 0,
            noticed: 0,
            last: HashMap::new(),
            joined: self.owner.hub().published(),
            over: false,
        });
    }

    /// Lets a member send, read and end. Returns whether it did.
    fn act(&mut self, at: usize, calm: bool) -> bool {
        let frame = self.owner.hub().settings().frame;
        let (member, random, kernel) =
            (&mut self.members[at], &mut self.random, &mut *self.net.borrow_mut());
        if member.over {
            return false;
        }
        let mut acted = member.send(frame, kernel, random);
        if calm || random.once_in(member.pace) {
            match kernel.remote_read(member.sock, 1 + random.below(3000) as usize) {
                Found::Nothing => {}
                Found::Bytes(bytes) => {
                    acted = true;
                    member.receive(&bytes, frame);
                }
                Found::Eof => {}
                Found::Reset => (member.over, acted) = (true, true),
            }
        }
        acted
    }
}

impl Member {
    /// Sends some bytes of its messages, and at their end a FIN or, if it is rude, anything.
    fn send(&mut self, frame: Frame, kernel: &mut Kernel, random: &mut Random) -> bool {
        if self.rude && random.once_in(60) {
            self.over = true;
            // A FIN would complete a line.
            match !self.out.is_empty() || random.once_in(2) {
                true => kernel.kill(self.sock, ErrorKind::ConnectionReset),
                false => drop(kernel.remote_close(self.sock)),
            }
            return true;
        }
        if self.out.is_empty() && self.left > 0 {
            self.left -= 1;
            self.sent += 1;
            self.out = message(frame, self.key.id, self.sent);
        }
        if self.out.is_empty() {
            let ends = !self.ended && random.once_in(3);
            self.ended |= ends;
            if ends && !self.rude {
                kernel.remote_fin(self.sock);
            }
            return ends;
        }
        let bytes = kernel.remote_room(self.sock).min(1 + random.below(200) as usize);
        let sent = kernel.remote_write(self.sock, &self.out[..bytes.min(self.out.len())]);
        let Some(sent) = sent else {
            self.over = true;
            return true;
        };
        self.out.drain(..sent);
        sent > 0
    }

    /// Checks what it receives, message by message.
    fn receive(&mut self, bytes: &[u8], frame: Frame) {
        self.input.extend_from_slice(bytes);
        while let Some((length, text)) = front(frame, &self.input) {
            let text = text.to_vec();
            self.input.drain(..length);
            let text = String::from_utf8(text).expect("a whole message is text");
            let mut words = text.split(' ');
            let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
            if text.starts_with("* ") {
                number();
                self.noticed += number().expect("a number of messages");
                continue;
            }
            let (Some(sender), Some(seq)) = (number(), number()) else { panic!("torn: {text:?}") };
            let sender = sender as u32;
            assert_ne!(sender, self.key.id, "its own message came back");
            let whole = message(frame, sender, seq);
            assert_eq!(front(frame, &whole).map(|(_, text)| text), Some(text.as_bytes()));
            let last = self.last.insert(sender, seq);
            assert!(
                last.is_none_or(|last| last < seq),
                "message {seq} of #{sender} after {last:?}"
            );
            self.received += 1;
        }
    }
}

/// The bytes of a message: who sent it, its number, and padding that follows from both.
fn message(frame: Frame, sender: u32, seq: u64) -> Vec<u8> {
    let padding = payload(u64::from(sender), seq * 8, 8);
    let length = usize::from(padding[0]) % 90;
    let padding: String = (0..length).map(|at| char::from(b'a' + padding[at % 8] % 26)).collect();
    let text = format!("{sender} {seq} {padding}");
    match frame {
        Frame::Line => format!("{text}\n").into_bytes(),
        Frame::Len32 => [&(text.len() as u32).to_be_bytes(), text.as_bytes()].concat(),
        Frame::Raw => text.into_bytes(),
    }
}

/// Returns the length of the message at the front, and its text.
fn front(frame: Frame, input: &[u8]) -> Option<(usize, &[u8])> {
    match frame {
        Frame::Line => {
            let end = input.iter().position(|byte| *byte == b'\n')?;
            Some((end + 1, &input[..end]))
        }
        Frame::Len32 | Frame::Raw => {
            let length = u32::from_be_bytes(*input.first_chunk()?) as usize;
            Some((4 + length, input.get(4..4 + length)?))
        }
    }
}
