//! The deterministic core: connections, flows, deadlines and the engine that drives them. Every
//! connection is a relay between two ends.
//!
//! Nothing here polls, reads a clock, opens a socket or logs. Sockets are passed in as `Stream`,
//! time as `Moment`, and what happens is reported as `Event`. So the same code runs under a
//! simulated network.

pub mod buffers;
pub(crate) mod calendar;
pub(crate) mod chargen;
pub mod conn;
pub mod counters;
mod deadlines;
pub(crate) mod drive;
pub mod end;
pub mod engine;
pub mod event;
mod event_fields;
pub mod flow;
pub mod frame;
pub mod hub;
mod interest_changes;
pub mod key;
pub mod local;
pub(crate) mod message_ring;
mod phases;
pub(crate) mod pipes;
pub mod pump;
pub mod random;
pub(crate) mod ready;
pub mod reason;
pub(crate) mod stalls;
pub(crate) mod time;
pub mod timers;
pub(crate) mod turn;

pub use buffers::{Buffers, UnsentId};
pub use calendar::Civil;
pub use conn::{Conn, Driven, State};
pub use counters::{DurationHistogram, EngineCounts, PumpCounts, RouteCounts};
pub use drive::DriveCx;
pub use end::{End, Ends, Io, Stream};
pub use engine::{Dial, Engine};
pub use event::{Event, EventLevel, Observer, Peer, ReadHint, ServiceKind, Signal, Wants};
pub use flow::{Flow, Step};
pub use frame::{Frame, LastMessage, Split};
pub use hub::{Delivery, Hub, HubCounts, HubSettings, OnLag};
pub use key::{ConnIds, Key, SourceKind};
pub use local::{ClosedLocal, Mail, Message};
pub use phases::{Phase, TurnDetail};
pub use pipes::{NoPipe, Pipe};
pub use random::Random;
pub use ready::Ready;
pub use reason::{Close, CloseKind, Reason, Side, SysError};
pub use time::{Moment, Tick};
pub use timers::{Deadline, Timeouts, Timers};
pub use turn::Turn;
