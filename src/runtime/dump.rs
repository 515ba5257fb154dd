//! The dump that QUIT requests: the totals of open connections, and the state of the loop.

use crate::core::{Conn, Engine, Event, Key, Moment, Turn};
use crate::net::socket::Socket;
use crate::text::count::Count;

use super::datagrams::Datagrams;
use super::hubs::Hubs;
use super::listeners::Listeners;
use super::routes::Routes;
use super::upstream::dialer::Dialer;

/// Maximum number of connections, and of retired routes, that a dump lists. The other connections
/// are counted.
const DUMP_LINES: usize = 1000;

/// What a dump shows.
pub(super) struct Dump<'a> {
    /// Number of turns so far.
    pub turns: u64,
    /// Number of connections and flows opened so far.
    pub opened: u32,
    pub max_connections: usize,
    pub engine: &'a Engine<Socket>,
    pub dialer: &'a Dialer,
    pub listeners: &'a Listeners,
    pub routes: &'a Routes,
    pub datagrams: &'a Datagrams,
    pub hubs: &'a Hubs,
}

impl Dump<'_> {
    /// Reports the totals of open connections, then the state of the loop.
    pub fn report(&self, turn: &mut Turn<'_>) {
        self.report_in_progress(turn);
        let now = turn.now;
        let mut say = |line: String| turn.on(Key::LOOP, &Event::Dump { line: &line });
        say(format!(
            "loop: turn {}, up {:.1} s, {} of at most {}, {} queued, {} opened",
            self.turns,
            now.0 as f64 / 1e6,
            Count(self.engine.len(), "connection"),
            self.max_connections,
            self.engine.queued(),
            self.opened,
        ));
        let unsent = &self.engine.buffers.unsent;
        say(format!(
            "memory: {}, {}; timers: {}",
            Count(unsent.in_use(), "buffer: in use"),
            Count(unsent.bytes(), "byte: unsent"),
            Count(self.engine.deadlines(), "deadline: set"),
        ));
        say(format!("dialing: {} without a target", Count(self.dialer.len(), "connection")));
        for (_, listener) in self.listeners.iter() {
            say(format!("listener {}: {}", listener.address, listener.state()));
        }
        for line in self.hubs.dump(self.routes) {
            say(line);
        }
        for index in self.routes.retired().take(DUMP_LINES) {
            let config = &self.routes[index].config;
            let open = self.engine.live(index) + self.datagrams.live(index);
            let (listen, service) = (&config.listen.address, config.service.kind());
            say(format!("retired route {listen} {service}: {} open", Count(open, "connection")));
        }
        for (key, conn) in self.engine.iter().take(DUMP_LINES) {
            say(self.describe(key, conn, now));
        }
        if self.engine.len() > DUMP_LINES {
            let more = self.engine.len() - DUMP_LINES;
            say(format!("and {} more", Count(more, "connection")));
        }
        self.datagrams.dump(self.routes, turn);
    }

    /// Reports how many bytes all open connections have moved. The totals count those of closed
    /// ones.
    fn report_in_progress(&self, turn: &mut Turn<'_>) {
        let (mut up, mut down) = self.datagrams.moved();
        for (_, conn) in self.engine.iter() {
            let moved = conn.moved();
            up += moved.0;
            down += moved.1;
        }
        let connections = self.engine.len() + self.datagrams.len();
        turn.on(Key::LOOP, &Event::InProgress { connections, up, down });
    }

    /// Describes a connection in one line: the peers, the age, and the state of both ends.
    fn describe(&self, key: Key, conn: &Conn<Socket>, now: Moment) -> String {
        let age = now.since(conn.born).as_secs_f64();
        // The last activity is stored in tenths of a second.
        let idle = f64::from(now.tick().saturating_sub(conn.active)) / 10.0;
        let client = peer(conn, 0).unwrap_or_else(|| "client gone".to_owned());
        let target = match self.dialer.target(key.id) {
            Some(target) => format!(" dialing {target}"),
            None => peer(conn, 1).map_or(String::new(), |target| format!(" to {target}")),
        };
        format!("#{} {client}{target}: age {age:.1} s, idle {idle:.1} s, {conn}", key.id)
    }
}

/// The peer address of an end, as the system reports it now.
fn peer(conn: &Conn<Socket>, end: usize) -> Option<String> {
    let socket = conn.ends.end(end).as_socket()?;
    socket.peer().ok().map(|peer| peer.to_string())
}
