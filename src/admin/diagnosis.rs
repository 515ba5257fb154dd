//! Where the bytes of one direction of a connection are, and who is slow. Computed from numbers of
//! one moment: it reads no socket and no clock.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::tcp_info::TcpDetails;

/// Who sends or receives the bytes of a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    Client,
    Target,
    /// The daemon itself: echo, greet and others.
    Service,
}

/// The facts of one end. None: it has no socket, or the system does not report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndFacts {
    pub tcp: Option<TcpDetails>,
    /// Bytes in the kernel's receive queue.
    pub receive_queue: Option<u64>,
}

/// The facts of one direction: bytes are read from the end of `from` and written to the end of
/// `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowFacts {
    pub from: Party,
    pub to: Party,
    pub from_end: EndFacts,
    pub to_end: EndFacts,
    /// Bytes that the daemon has read and the kernel has not accepted yet.
    pub unsent: u64,
    /// Time since the connection was opened, and since bytes last moved.
    pub age: Duration,
    pub idle: Duration,
    /// `from` has ended, and its end of file was propagated.
    pub ended: bool,
}

/// The bytes of one direction, in the order in which they travel. The first and the last number are
/// free space, the others are bytes. What waits in the sender's kernel is not visible from here.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhereBytes {
    /// How much the sender may still send: the receive window that the kernel advertises to it.
    pub receive_window_bytes: Option<u64>,
    /// Received by the kernel, not read by the daemon yet.
    pub receive_queue_bytes: Option<u64>,
    /// Held by the daemon: read, and not accepted by the kernel yet.
    pub unsent_bytes: u64,
    /// In the kernel's send queue, not sent yet.
    pub not_sent_bytes: Option<u64>,
    /// Sent, and not acknowledged by the receiver yet.
    pub in_flight_bytes: Option<u64>,
    /// How much the receiver accepts beyond that: the free part of its receive window.
    pub peer_window_bytes: Option<u64>,
}

/// What the sending side of a direction waited for, in shares of the life of the connection, whose
/// sum is 1. The time until a target is connected counts as nothing to send.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WhoIsSlow {
    pub nothing_to_send: f64,
    /// The receiver's window was closed: it does not read.
    pub peer_window: f64,
    /// The send buffer of this kernel was too small for the path.
    pub send_buffer: f64,
    /// Bytes were on their way: round trips, congestion, loss.
    pub network: f64,
}

/// The answers for one direction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub where_are_the_bytes: WhereBytes,
    /// None without the times of TCP_INFO: for other sockets, other systems and older kernels.
    pub who_is_slow: Option<WhoIsSlow>,
    /// What the direction waits for.
    pub sentence: String,
}

/// A direction in which nothing has moved for this long is idle.
const IDLE: Duration = Duration::from_secs(1);

/// Answers both questions for one direction.
pub fn diagnose(facts: &FlowFacts) -> Diagnosis {
    let places = where_are_the_bytes(facts);
    let times = facts.to_end.tcp.as_ref().and_then(|tcp| Times::of(tcp, facts.age));
    Diagnosis {
        where_are_the_bytes: places,
        who_is_slow: times.map(Times::shares),
        sentence: sentence(facts, &places, times),
    }
}

fn where_are_the_bytes(facts: &FlowFacts) -> WhereBytes {
    let (source, sink) = (facts.from_end.tcp, facts.to_end.tcp);
    let in_flight = sink.and_then(|tcp| tcp.in_flight());
    let window = sink.and_then(|tcp| tcp.snd_wnd).map(u64::from);
    WhereBytes {
        receive_window_bytes: source.and_then(|tcp| tcp.rcv_wnd).map(u64::from),
        receive_queue_bytes: facts.from_end.receive_queue,
        unsent_bytes: facts.unsent,
        not_sent_bytes: sink.and_then(|tcp| tcp.notsent).map(u64::from),
        in_flight_bytes: in_flight,
        peer_window_bytes: window.zip(in_flight).map(|(window, sent)| window.saturating_sub(sent)),
    }
}

/// How long the sending side had something to send, and what it waited for meanwhile.
#[derive(Clone, Copy)]
struct Times {
    age: f64,
    busy: f64,
    peer_window: f64,
    send_buffer: f64,
    network: f64,
}

impl Times {
    /// Returns the times in seconds. The kernel's clock and ours are read at different moments, so
    /// a part may exceed the whole by a little, and is cut.
    fn of(tcp: &TcpDetails, age: Duration) -> Option<Times> {
        let age = age.as_secs_f64();
        let seconds = |us: Option<u64>| us.map(|us| Duration::from_micros(us).as_secs_f64());
        let busy = seconds(tcp.busy_us)?.min(age);
        let peer_window = seconds(tcp.rwnd_limited_us)?.min(busy);
        let send_buffer = seconds(tcp.sndbuf_limited_us)?.min(busy - peer_window);
        let network = busy - peer_window - send_buffer;
        Some(Times { age, busy, peer_window, send_buffer, network })
    }

    fn shares(self) -> WhoIsSlow {
        if self.age == 0.0 {
            let (peer_window, send_buffer, network) = (0.0, 0.0, 0.0);
            return WhoIsSlow { nothing_to_send: 1.0, peer_window, send_buffer, network };
        }
        WhoIsSlow {
            nothing_to_send: (self.age - self.busy) / self.age,
            peer_window: self.peer_window / self.age,
            send_buffer: self.send_buffer / self.age,
            network: self.network / self.age,
        }
    }

    /// A part of the busy time: `88 % of the busy time`. None if there was none yet.
    fn of_busy(self, part: f64) -> Option<String> {
        let percent = (self.busy > 0.0).then(|| (100.0 * part / self.busy).round())?;
        Some(format!("{percent} % of the busy time"))
    }
}

/// Says what the direction waits for now; the times say how long that has been so.
fn sentence(facts: &FlowFacts, places: &WhereBytes, times: Option<Times>) -> String {
    let FlowFacts { from, to, unsent, .. } = *facts;
    let Some(tcp) = &facts.to_end.tcp else {
        return match unsent {
            0 => nothing_to_send(facts),
            held => format!("waits for {to}: it accepts no more bytes, {held} B are held"),
        };
    };
    let (Some(not_sent), Some(in_flight), Some(times)) =
        (places.not_sent_bytes, places.in_flight_bytes, times)
    else {
        return match (unsent, tcp.info.unacked) {
            (0, 0) => nothing_to_send(facts),
            (0, segments) => {
                format!("waits for {to} or the network: {segments} segments are unacknowledged")
            }
            (held, _) => format!("waits for {to}: it accepts no more bytes, {held} B are held"),
        };
    };
    match (unsent, not_sent + in_flight) {
        (0, 0) => return nothing_to_send(facts),
        (held, 0) => {
            return format!("waits for the event loop: {held} B from {from} are to be written");
        }
        (_, _) => {}
    }
    let is_closed = not_sent > 0 && places.peer_window_bytes == Some(0);
    if is_closed || times.peer_window > times.send_buffer.max(times.network) {
        return match times.of_busy(times.peer_window) {
            Some(share) => format!("waits for {to}: its receive window was closed {share}"),
            None => format!("waits for {to}: its receive window is closed"),
        };
    }
    if times.send_buffer > times.network {
        let share = times.of_busy(times.send_buffer).unwrap_or_default();
        return format!("limited by our send buffer: it was too small {share}");
    }
    let rtt = f64::from(tcp.info.rtt_us) / 1000.0;
    format!(
        "limited by the network: {in_flight} B are in flight to {to}, rtt {rtt:.2} ms, {} \
         retransmits",
        tcp.info.retransmits
    )
}

/// Says why there is nothing to send.
fn nothing_to_send(facts: &FlowFacts) -> String {
    let FlowFacts { from, to, idle, ended, .. } = *facts;
    match facts.from_end.receive_queue {
        Some(bytes @ 1..) => {
            format!("waits for the event loop: {bytes} B from {from} are to be read")
        }
        Some(0) | None if ended => format!("{from} has ended, and {to} has received everything"),
        Some(0) | None if idle >= IDLE => "idle".to_string(),
        Some(0) | None => format!("waits for {from}: nothing to send"),
    }
}

impl Party {
    pub fn name(self) -> &'static str {
        match self {
            Party::Client => "client",
            Party::Target => "target",
            Party::Service => "service",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {}", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tcp_info::TcpInfo;

    /// The direction from the target to the client, 10 s old, in which nothing waits.
    fn quiet() -> FlowFacts {
        let info = TcpInfo {
            rtt_us: 12_300,
            rttvar_us: 0,
            retransmits: 3,
            cwnd: 10,
            unacked: 0,
            mss: 1460,
            received_mss: 1460,
            path_mtu: 1500,
            rto_us: 200_000,
        };
        let tcp = TcpDetails {
            info,
            bytes_acked: Some(1000),
            bytes_received: Some(0),
            notsent: Some(0),
            min_rtt_us: Some(10_000),
            delivery_rate: Some(0),
            busy_us: Some(0),
            rwnd_limited_us: Some(0),
            sndbuf_limited_us: Some(0),
            bytes_sent: Some(1000),
            bytes_retrans: Some(0),
            snd_wnd: Some(65_535),
            rcv_wnd: Some(40_000),
        };
        let end = EndFacts { tcp: Some(tcp), receive_queue: Some(0) };
        FlowFacts {
            from: Party::Target,
            to: Party::Client,
            from_end: end,
            to_end: end,
            unsent: 0,
            age: Duration::from_secs(10),
            idle: Duration::from_millis(10),
            ended: false,
        }
    }

    /// The quiet direction with these bytes: unsent, not sent, in flight.
    fn with_bytes(unsent: u64, not_sent: u32, in_flight: u64) -> FlowFacts {
        let mut facts = FlowFacts { unsent, ..quiet() };
        let tcp = facts.to_end.tcp.as_mut().unwrap();
        tcp.notsent = Some(not_sent);
        tcp.bytes_sent = Some(1000 + in_flight);
        tcp.info.unacked = in_flight.div_ceil(1460) as u32;
        facts
    }

    /// Sets the milliseconds that the sender was busy, and limited by window and send buffer.
    fn with_times(mut facts: FlowFacts, [busy, window, buffer]: [u64; 3]) -> FlowFacts {
        let tcp = facts.to_end.tcp.as_mut().unwrap();
        tcp.busy_us = Some(busy * 1000);
        tcp.rwnd_limited_us = Some(window * 1000);
        tcp.sndbuf_limited_us = Some(buffer * 1000);
        facts
    }

    fn with_window(mut facts: FlowFacts, window: u32) -> FlowFacts {
        facts.to_end.tcp.as_mut().unwrap().snd_wnd = Some(window);
        facts
    }

    #[test]
    fn the_sentence_names_who_is_waited_for() {
        let received = |bytes| {
            let from_end = EndFacts { receive_queue: Some(bytes), ..quiet().from_end };
            FlowFacts { from_end, ..quiet() }
        };
        let held = with_bytes(70_000, 90_000, 5000);
        let is_idle = FlowFacts { idle: Duration::from_secs(3), ..quiet() };
        let network = "limited by the network: 5000 B are in flight to the client, rtt 12.30 ms, \
                       3 retransmits";
        let table = [
            (quiet(), "waits for the target: nothing to send"),
            (is_idle, "idle"),
            (
                FlowFacts { ended: true, ..is_idle },
                "the target has ended, and the client has received everything",
            ),
            (received(7), "waits for the event loop: 7 B from the target are to be read"),
            (
                FlowFacts { ended: true, ..received(7) },
                "waits for the event loop: 7 B from the target are to be read",
            ),
            (
                with_bytes(9, 0, 0),
                "waits for the event loop: 9 B from the target are to be written",
            ),
            (
                with_times(with_window(held, 0), [9000, 7920, 0]),
                "waits for the client: its receive window was closed 88 % of the busy time",
            ),
            (
                with_times(held, [9000, 7920, 0]),
                "waits for the client: its receive window was closed 88 % of the busy time",
            ),
            (with_window(held, 5000), "waits for the client: its receive window is closed"),
            (
                with_times(with_window(held, 5000), [1000, 30, 900]),
                "waits for the client: its receive window was closed 3 % of the busy time",
            ),
            (
                with_times(held, [1000, 100, 600]),
                "limited by our send buffer: it was too small 60 % of the busy time",
            ),
            (with_times(held, [1000, 300, 200]), network),
            (with_times(with_bytes(0, 0, 5000), [1000, 300, 200]), network),
            (with_bytes(0, 0, 5000), network),
            (with_times(with_window(with_bytes(0, 0, 5000), 5000), [1000, 0, 0]), network),
        ];
        for (facts, expected) in table {
            assert_eq!(diagnose(&facts).sentence, expected, "{facts:?}");
        }
    }

    #[test]
    fn an_end_without_tcp_info_is_diagnosed_by_the_bytes_that_are_held() {
        let plain = FlowFacts { to_end: EndFacts::default(), to: Party::Service, ..quiet() };
        let held = FlowFacts { unsent: 9, ..plain };
        let old = |mut facts: FlowFacts| {
            facts.to_end.tcp.as_mut().unwrap().busy_us = None;
            diagnose(&facts).sentence
        };
        assert_eq!(diagnose(&plain).sentence, "waits for the target: nothing to send");
        let waits = "waits for the service: it accepts no more bytes, 9 B are held";
        assert_eq!(diagnose(&held).sentence, waits);
        assert_eq!(old(quiet()), "waits for the target: nothing to send");
        let waits = "waits for the client or the network: 4 segments are unacknowledged";
        assert_eq!(old(with_bytes(0, 5, 5000)), waits);
        let waits = "waits for the client: it accepts no more bytes, 9 B are held";
        assert_eq!(old(with_bytes(9, 5, 5000)), waits);
        assert_eq!(diagnose(&held).who_is_slow, None);
    }

    #[test]
    fn the_six_numbers_follow_the_path() {
        let mut facts = with_window(with_bytes(7, 90_000, 5000), 6000);
        facts.from_end.receive_queue = Some(11);
        let places = diagnose(&facts).where_are_the_bytes;
        let expected = WhereBytes {
            receive_window_bytes: Some(40_000),
            receive_queue_bytes: Some(11),
            unsent_bytes: 7,
            not_sent_bytes: Some(90_000),
            in_flight_bytes: Some(5000),
            peer_window_bytes: Some(1000),
        };
        assert_eq!(places, expected);
        let closed = with_window(facts, 0);
        assert_eq!(diagnose(&closed).where_are_the_bytes.peer_window_bytes, Some(0));
        facts.to_end.tcp = None;
        let places = diagnose(&facts).where_are_the_bytes;
        assert_eq!((places.not_sent_bytes, places.peer_window_bytes), (None, None));
    }

    #[test]
    fn the_shares_are_those_of_the_life_and_add_up_to_one() {
        let shares = |times, age| {
            let facts = FlowFacts { age, ..with_times(quiet(), times) };
            let WhoIsSlow { nothing_to_send, peer_window, send_buffer, network } =
                diagnose(&facts).who_is_slow.unwrap();
            let shares = [nothing_to_send, peer_window, send_buffer, network];
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
            shares.map(|share| (share * 1000.0).round() as u32)
        };
        let age = Duration::from_secs(10);
        assert_eq!(shares([8000, 5000, 1000], age), [200, 500, 100, 200]);
        assert_eq!(shares([0, 0, 0], age), [1000, 0, 0, 0]);
        // The kernel counted a little longer than the connection is old for us.
        assert_eq!(shares([11_000, 10_500, 500], age), [0, 1000, 0, 0]);
        assert_eq!(shares([1, 1, 0], Duration::ZERO), [1000, 0, 0, 0]);
    }

    #[test]
    fn an_answer_can_be_read_back() {
        let diagnosis = diagnose(&with_times(with_bytes(7, 8, 9), [8000, 5000, 1000]));
        let json = serde_json::to_string(&diagnosis).unwrap();
        assert!(json.contains("\"in_flight_bytes\":9") && json.contains("\"peer_window\":0.5"));
        assert_eq!(serde_json::from_str::<Diagnosis>(&json).unwrap(), diagnosis);
    }
}
