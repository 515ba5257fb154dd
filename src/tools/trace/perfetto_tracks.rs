//! The tracks of connections in a Perfetto trace: which connection has which track, and which
//! slices are open on it. Slices of a track must nest, so two connections share one only if the
//! first is closed before the second is opened.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::core::{Deadline, Event, Key, Moment, Observer, ServiceKind, Wants};
use crate::recording::{ReplayObserver, SegmentHead};

use crate::observe::ending;

/// Connections with a track of their own: more could not be surveyed. They are those with the most
/// events.
const OWN_TRACKS: usize = 64;
/// Tracks that the other connections share.
const SHARED_TRACKS: usize = 64;

/// Levels of slices within the life of a connection: its state, and who does not accept bytes.
const LEVELS: usize = 2;

/// A connection of one of the processes of a recording. Numbers begin again in each process.
type RunConnection = (u64, u32);

/// Counts the events of each connection, so that the busiest are known before the first of them is
/// shown.
#[derive(Default)]
pub struct ConnectionSteps {
    run: u64,
    steps: HashMap<RunConnection, u64>,
}

impl Observer for ConnectionSteps {
    fn on(&mut self, key: Key, _: &Event<'_>) {
        if !key.is_source() {
            *self.steps.entry((self.run, key.id)).or_default() += 1;
        }
    }

    fn begin_turn(&mut self, _: Moment) -> Wants {
        Wants { steps: true, stalls: true }
    }
}

impl ReplayObserver for ConnectionSteps {
    fn process(&mut self, _: &SegmentHead) {
        self.run += 1;
    }
}

impl ConnectionSteps {
    /// Returns the ranks of the connections that get tracks of their own.
    fn into_ranks(self) -> HashMap<RunConnection, u64> {
        let mut all: Vec<(RunConnection, u64)> = self.steps.into_iter().collect();
        // Of two that are equally busy, the older one comes first.
        all.sort_unstable_by_key(|(conn, steps)| (Reverse(*steps), *conn));
        all.truncate(OWN_TRACKS);
        all.into_iter().map(|(conn, _)| conn).zip(0..).collect()
    }
}

/// Where a connection is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ConnectionPlace {
    /// A track of its own, with this rank.
    Own(u64),
    /// A shared track.
    Shared(usize),
    /// The track of all connections for which none was left. It has no slices.
    Rest,
}

/// A connection that is open, and its slices.
pub(super) struct TrackedConn {
    pub place: ConnectionPlace,
    pub service: Option<ServiceKind>,
    is_opening: bool,
    is_lingering: bool,
    ended: [bool; 2],
    unsent: [bool; 2],
    /// The slices within that of its life, the outer one first.
    pub levels: [Option<&'static str>; LEVELS],
}

impl TrackedConn {
    /// Records what an event changes.
    pub fn learn(&mut self, key: Key, event: &Event<'_>) {
        let end = key.end();
        match *event {
            Event::Opened { service, .. } => self.is_opening = ending::has_target(service),
            Event::Connected { .. } => self.is_opening = false,
            Event::EndOfFile => self.ended[end] = true,
            Event::Armed { deadline: Deadline::Linger, .. } => self.is_lingering = true,
            Event::Wrote { left, .. } | Event::WriteBlocked { left } => self.unsent[end] = left > 0,
            Event::Turn { .. }
            | Event::SlowTurn { .. }
            | Event::PolledAgain { .. }
            | Event::Listening { .. }
            | Event::AcceptPaused { .. }
            | Event::AcceptResumed { .. }
            | Event::AcceptFailed { .. }
            | Event::Signal { .. }
            | Event::Draining { .. }
            | Event::Resolved { .. }
            | Event::InProgress { .. }
            | Event::Dump { .. }
            | Event::AdminRequest { .. }
            | Event::Reloading { .. }
            | Event::Reloaded { .. }
            | Event::ReloadFailed { .. }
            | Event::Dialing { .. }
            | Event::DialFailed { .. }
            | Event::ShutDown
            | Event::Message { .. }
            | Event::Missed { .. }
            | Event::CutOff { .. }
            | Event::Stalled { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. }
            | Event::Marked { .. }
            | Event::Stale
            | Event::Read { .. }
            | Event::Payload { .. }
            | Event::ReadBlocked
            | Event::ReadOff
            | Event::ReadOn
            | Event::Interrupted
            | Event::Yielded { .. }
            | Event::Armed { .. }
            | Event::Fired { .. }
            | Event::Received { .. }
            | Event::Sent { .. }
            | Event::Passed { .. }
            | Event::Dropped { .. } => {}
        }
    }

    /// Returns the slices that should be open now.
    pub fn wanted(&self) -> [Option<&'static str>; LEVELS] {
        // An echo has one direction only.
        let is_half = self.ended[0] != self.ended[1] && self.service != Some(ServiceKind::Echo);
        let state = match (self.is_opening, self.is_lingering) {
            (true, _) => Some("opening"),
            (false, true) => Some("lingering"),
            (false, false) => is_half.then_some("half-closed"),
        };
        let unsent = match self.unsent {
            [false, false] => None,
            [true, false] => Some("unsent to a"),
            [false, true] => Some("unsent to b"),
            [true, true] => Some("unsent to both"),
        };
        [state, unsent]
    }
}

/// The open connections of the present process.
pub(super) struct ConnectionTracks {
    ranks: HashMap<RunConnection, u64>,
    run: u64,
    conns: HashMap<u32, TrackedConn>,
    /// Shared tracks that no open connection has.
    free: BTreeSet<usize>,
}

impl ConnectionTracks {
    pub fn new(steps: ConnectionSteps) -> ConnectionTracks {
        let (conns, free) = (HashMap::new(), (0..SHARED_TRACKS).collect());
        ConnectionTracks { ranks: steps.into_ranks(), run: 0, conns, free }
    }

    /// Begins the next process. Returns the connections of the last one, in order.
    pub fn next_run(&mut self) -> Vec<(u32, TrackedConn)> {
        self.run += 1;
        self.free = (0..SHARED_TRACKS).collect();
        let mut left: Vec<(u32, TrackedConn)> = self.conns.drain().collect();
        left.sort_unstable_by_key(|(id, _)| *id);
        left
    }

    pub fn len(&self) -> usize {
        self.conns.len()
    }

    pub fn get_mut(&mut self, id: u32) -> Option<&mut TrackedConn> {
        self.conns.get_mut(&id)
    }

    /// Adds a connection, and returns its place.
    pub fn open(&mut self, id: u32, service: Option<ServiceKind>) -> ConnectionPlace {
        let place = match self.ranks.get(&(self.run, id)) {
            Some(rank) => ConnectionPlace::Own(*rank),
            None => self.free.pop_first().map_or(ConnectionPlace::Rest, ConnectionPlace::Shared),
        };
        let conn = TrackedConn {
            place,
            service,
            is_opening: false,
            is_lingering: false,
            ended: [false; 2],
            unsent: [false; 2],
            levels: [None; LEVELS],
        };
        self.conns.insert(id, conn);
        place
    }

    /// Removes a connection, and makes its shared track available.
    pub fn close(&mut self, id: u32) -> Option<TrackedConn> {
        let conn = self.conns.remove(&id)?;
        if let ConnectionPlace::Shared(track) = conn.place {
            self.free.insert(track);
        }
        Some(conn)
    }
}
