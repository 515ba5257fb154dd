//! Events of every variant, with random contents.

use std::time::Duration;

use crate::core::event::{Client, DropReason, PauseCause};
use crate::core::{
    Close, CloseKind, Deadline, Event, Moment, Peer, Random, ReadHint, Ready, Reason, ServiceKind,
    Side, Signal, SysError, TurnDetail,
};

/// The number of variants: `sample` takes an index below it.
pub const SAMPLES: u64 = 45;

fn pick<T: Clone>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize].clone()
}

/// A number that is often small, and sometimes too large for the short form.
fn number(random: &mut Random) -> u64 {
    let bits = pick(random, &[0, 3, 7, 8, 16, 31, 32, 33, 63, 64]);
    random.draw().checked_shr(64 - bits).unwrap_or(0)
}

fn size(random: &mut Random) -> usize {
    number(random) as usize
}

fn span(random: &mut Random) -> Duration {
    let nanos = random.below(1_000_000_000) as u32;
    pick(random, &[Duration::ZERO, Duration::MAX, Duration::new(3, nanos)])
}

fn text(random: &mut Random) -> String {
    let long = "x".repeat(random.below(300) as usize);
    pick(random, &["", "tcp://127.0.0.1:7", "é\n\u{1b}[1m", "unix:/run/x"].map(str::to_owned))
        + &long
}

fn peer(random: &mut Random) -> Peer {
    let port = random.below(100);
    let peers = [
        Peer::Inet(format!("127.0.0.1:{port}").parse().unwrap()),
        Peer::Inet(format!("[fe80::{port}%7]:1").parse().unwrap()),
        Peer::Unix(None),
        Peer::Unix(Some(text(random))),
        Peer::Stdio,
    ];
    pick(random, &peers)
}

fn fault(random: &mut Random) -> SysError {
    let code = random.below(140) as i32;
    let faults = [
        SysError::UNRESOLVED,
        SysError::ITSELF,
        SysError::SELF_CONNECT,
        SysError::from(&std::io::Error::from_raw_os_error(code)),
        SysError::from(&std::io::Error::from_raw_os_error(-code)),
    ];
    pick(random, &faults)
}

fn cause(random: &mut Random) -> PauseCause {
    let fault = fault(random);
    pick(random, &[PauseCause::Limit, PauseCause::System(fault), PauseCause::Operator])
}

fn service(random: &mut Random) -> ServiceKind {
    use ServiceKind::*;
    pick(random, &[Echo, Discard, Chargen, Daytime, Time, Whoami, Greet, Relay, Hub, Chat, Admin])
}

fn reason(random: &mut Random) -> Reason {
    let fault = fault(random);
    let by = pick(random, &[Side::Client, Side::Target, Side::Proxy]);
    let reasons = [
        Reason::Finished,
        Reason::Served,
        Reason::Reset { by, fault },
        Reason::Abandoned { fault },
        Reason::Refused { fault },
        Reason::Unreachable { fault },
        Reason::ConnectTimeout,
        Reason::IdleTimeout,
        Reason::HalfCloseTimeout,
        Reason::Lifetime,
        Reason::Drained,
        Reason::Cut,
        Reason::Exhausted { fault },
        Reason::Evicted,
        Reason::Lagged,
        Reason::TooLong,
        Reason::Admin,
        Reason::Reloaded,
    ];
    // Its length is checked against that of all names.
    let all: [Reason; Reason::NAMES.len()] = reasons;
    pick(random, &all)
}

fn why(random: &mut Random) -> DropReason {
    let fault = fault(random);
    let all: [DropReason; DropReason::NAMES.len()] = [
        DropReason::Blocked,
        DropReason::Own,
        DropReason::Privileged,
        DropReason::Loop,
        DropReason::Refused(fault),
        DropReason::Failed(fault),
        DropReason::NoWay,
        DropReason::Short,
        DropReason::Long,
    ];
    pick(random, &all)
}

fn hint(random: &mut Random) -> ReadHint {
    use ReadHint::*;
    pick(random, &[Full, Short, EndWaits, Urgent, NoPromise, Spliced])
}

fn deadline(random: &mut Random) -> Deadline {
    use Deadline::*;
    pick(random, &[Connect, Idle, HalfClose, Lifetime, Linger, Quiet])
}

/// Delivers a random event of the variant with this index.
pub fn sample(index: u64, r: &mut Random, turn: Moment, deliver: &mut dyn FnMut(&Event<'_>)) {
    let (some, yes) = (r.below(2) == 0, r.below(2) == 0);
    let (address, other, peer) = (&text(r)[..], &text(r)[..], &peer(r));
    let (a, b, c, d) = (number(r), number(r), number(r), number(r));
    let (bytes, rest) = (size(r), size(r));
    let event = match index {
        0 => Event::Turn {
            number: a,
            slept: span(r),
            limit: some.then(|| span(r)),
            events: bytes,
            queued: rest,
        },
        1 => Event::PolledAgain { events: bytes },
        2 => Event::Listening { address, service: service(r) },
        3 => Event::AcceptPaused { address, cause: cause(r), connections: bytes },
        4 => Event::AcceptResumed { address, cause: cause(r), connections: bytes },
        5 => Event::AcceptFailed { address, fault: fault(r) },
        6 => {
            use Signal::*;
            Event::Signal { signal: pick(r, &[Terminate, Interrupt, HangUp, Quit]) }
        }
        7 => Event::Draining { connections: bytes, deadline: span(r) },
        8 => Event::Resolved { name: address, addresses: bytes, error: some.then_some(other) },
        9 => Event::InProgress { connections: bytes, up: a, down: b },
        10 => Event::Dump { line: address },
        11 => {
            let status = a as u16;
            Event::AdminRequest { method: "GET", target: address, status, peer, changes: yes }
        }
        12 => Event::Opened { route: a as u16, service: service(r), listen: address, peer },
        13 => Event::Dialing { target: address, attempt: a as u32 },
        14 => {
            let client = some.then_some(Client { peer, listen: other });
            Event::DialFailed { target: address, fault: fault(r), left: bytes, client }
        }
        15 => Event::Connected { after: span(r) },
        16 => Event::EndOfFile,
        17 => Event::ShutDown,
        18 => Event::Message { message: address.as_bytes() },
        19 => Event::Missed { messages: a },
        20 => Event::CutOff { bytes },
        21 => Event::Stalled { unsent: bytes, since: Moment(a), now: Moment(b) },
        22 => Event::Resumed { stalled: span(r) },
        23 => {
            let first = pick(r, &[Side::Client, Side::Target, Side::Proxy]);
            let by = pick(r, &[CloseKind::Fin, CloseKind::Rst]);
            let ending = Close { reason: reason(r), first, by };
            Event::Closed { ending, up: a, down: b, lasted: span(r) }
        }
        24 => Event::Marked { ready: Ready::from_bits(a as u8) },
        25 => Event::Stale,
        26 => Event::Read { bytes, room: rest, hint: hint(r) },
        27 => Event::Wrote { bytes, left: rest },
        28 => Event::ReadBlocked,
        29 => Event::WriteBlocked { left: bytes },
        30 => Event::ReadOff,
        31 => Event::ReadOn,
        32 => Event::Interrupted,
        33 => Event::Yielded { steps: a as u32 },
        34 => {
            let now = if some { turn } else { Moment(b) };
            Event::Armed { deadline: deadline(r), due: a as u32, now }
        }
        35 => Event::Fired { deadline: deadline(r), again: yes },
        36 => Event::Received { bytes, from: peer },
        37 => Event::Sent { bytes, to: peer },
        38 => Event::Passed { received: a, received_bytes: b, sent: c, sent_bytes: d },
        39 => Event::Reloading { file: address },
        40 => {
            let (added, changed, removed, unchanged) = (bytes, rest, size(r), size(r));
            Event::Reloaded { added, changed, removed, unchanged }
        }
        41 => Event::ReloadFailed { error: address },
        43 => {
            let micros = |number: u64| Duration::from_micros(number);
            let detail = TurnDetail {
                phases: std::array::from_fn(|_| micros(number(r))),
                connection: some.then(|| (a as u32, micros(b))),
                not_scheduled: yes.then(|| micros(c)),
            };
            let event = Event::SlowTurn { number: d, took: span(r), detail: &detail };
            return deliver(&event);
        }
        42 => Event::Payload { bytes: other.as_bytes(), sent: yes },
        _ => {
            let from = yes.then_some(peer);
            Event::Dropped { bytes: some.then_some(bytes), from, why: why(r) }
        }
    };
    deliver(&event);
}
