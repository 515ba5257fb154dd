//! One connection in full: both ends, what the kernel knows of them, and what it waits for.

use crate::core::{Conn, End, Peer, Side, State};
use crate::net::inspect::receive_queue;
use crate::net::socket::Socket;
use crate::net::tcp_info::{TcpDetails, tcp_details};
use crate::observe::line::PeerName;
use crate::runtime::inspect::ConnView;

use super::diagnosis::{Diagnosis, EndFacts, FlowFacts, Party, diagnose};
use super::resources::{ConnectionResource, ConnectionTimer, EndRow, FlowRow, TcpRow};
use super::rows::{connection_row, seconds, time_of_day};

/// Builds the report of a connection. Asks the system a handful of questions for each end.
pub fn connection_resource(view: &ConnView<'_>) -> ConnectionResource {
    let row = connection_row(view);
    let timers = view
        .deadline()
        .map(|(name, due)| ConnectionTimer { name: name.to_owned(), due_seconds: seconds(due) });
    let opened_at = time_of_day(view.age());
    let Some(conn) = view.conn() else {
        let verdict = "a datagram flow: it has no end, and nothing waits".to_owned();
        let (closed_first, timers) = (None, Vec::new());
        let (ends, flows) = (Vec::new(), Vec::new());
        return ConnectionResource { row, opened_at, closed_first, timers, ends, flows, verdict };
    };
    let directions = directions(view, conn);
    ConnectionResource {
        row,
        opened_at,
        closed_first: conn.closed_first().map(|side: Side| side.to_string()),
        timers: timers.into_iter().collect(),
        ends: (0..2).filter_map(|end| end_row(conn, end)).collect(),
        verdict: verdict(view, conn, &directions),
        flows: directions.into_iter().map(flow_row).collect(),
    }
}

/// One direction of a connection.
struct Direction {
    facts: FlowFacts,
    moved: u64,
    diagnosis: Diagnosis,
}

fn directions(view: &ConnView<'_>, conn: &Conn<Socket>) -> Vec<Direction> {
    let ends = [0, 1].map(|end| {
        conn.ends.end(end).as_socket().map_or_else(EndFacts::default, |socket| {
            let receive_queue = receive_queue(socket).map(|bytes| bytes as u64);
            EndFacts { tcp: tcp_details(socket), receive_queue }
        })
    });
    let unsent = view.unsent();
    let flows = conn.flows.iter().zip(unsent).filter(|(flow, _)| !flow.is_absent());
    let direction = |(flow, unsent): (&crate::core::Flow, u64)| {
        let (from, to) = flow.route();
        let facts = FlowFacts {
            from: party(conn, from),
            to: party(conn, to),
            from_end: ends[from],
            to_end: ends[to],
            unsent,
            age: view.age(),
            idle: view.idle(),
            ended: flow.done,
        };
        Direction { facts, moved: flow.moved, diagnosis: diagnose(&facts) }
    };
    flows.map(direction).collect()
}

fn party(conn: &Conn<Socket>, end: usize) -> Party {
    match (end, conn.ends.end(end)) {
        (0, _) => Party::Client,
        (_, End::Socket(_) | End::Unconnected) => Party::Target,
        (_, End::Local(_) | End::Void | End::Chargen) => Party::Service,
    }
}

/// What the connection waits for: that of the direction in which bytes wait, if there is one.
fn verdict(view: &ConnView<'_>, conn: &Conn<Socket>, directions: &[Direction]) -> String {
    match conn.state() {
        State::Opening => match view.target() {
            Some(target) => format!("waits for the target: connecting to {target}"),
            None => "waits for the target: its name is being resolved".to_owned(),
        },
        State::Lingering => "has sent everything, and waits for the client to close".to_owned(),
        State::Streaming | State::HalfClosed => {
            let waiting = |direction: &&Direction| {
                let places = &direction.diagnosis.where_are_the_bytes;
                let queued = [places.not_sent_bytes, places.in_flight_bytes];
                places.unsent_bytes + queued.iter().flatten().sum::<u64>()
            };
            let most = directions.iter().max_by_key(waiting).filter(|most| waiting(most) > 0);
            // Without bytes that wait, the direction that may still move some says why not.
            let open = || directions.iter().find(|direction| !direction.facts.ended);
            let chosen = most.or_else(open).or(directions.first());
            chosen.map_or_else(String::new, |chosen| chosen.diagnosis.sentence.clone())
        }
    }
}

fn flow_row(direction: Direction) -> FlowRow {
    let Direction { facts, moved, diagnosis } = direction;
    FlowRow {
        from: facts.from.name().to_owned(),
        to: facts.to.name().to_owned(),
        moved_bytes: moved,
        unsent_bytes: facts.unsent,
        ended: facts.ended,
        where_are_the_bytes: diagnosis.where_are_the_bytes,
        who_is_slow: diagnosis.who_is_slow,
    }
}

/// The names of both ends, from the client's point of view.
const ENDS: [&str; 2] = ["client", "target"];

fn end_row(conn: &Conn<Socket>, end: usize) -> Option<EndRow> {
    let socket = conn.ends.end(end).as_socket()?;
    let name = |peer: Peer| PeerName(&peer).to_string();
    Some(EndRow {
        end: ENDS[end].to_owned(),
        address: socket.peer().ok().map(name),
        local: socket.local().ok().map(name),
        transport: socket.transport().to_owned(),
        ready: conn.ends.bits(end).to_string(),
        receive_queue_bytes: receive_queue(socket).map(|bytes| bytes as u64),
        tcp: tcp_details(socket).map(tcp_row),
    })
}

fn tcp_row(details: TcpDetails) -> TcpRow {
    let TcpDetails { info, .. } = details;
    let micros = |micros: u64| micros as f64 / 1e6;
    TcpRow {
        rtt_seconds: micros(info.rtt_us.into()),
        min_rtt_seconds: details.min_rtt_us.map(|us| micros(us.into())),
        retransmits: info.retransmits,
        cwnd_segments: info.cwnd,
        mss_bytes: info.mss,
        unacked_segments: info.unacked,
        not_sent_bytes: details.notsent.map(u64::from),
        peer_window_bytes: details.snd_wnd.map(u64::from),
        receive_window_bytes: details.rcv_wnd.map(u64::from),
        delivery_bytes_per_second: details.delivery_rate,
        busy_seconds: details.busy_us.map(micros),
        receive_window_limited_seconds: details.rwnd_limited_us.map(micros),
        send_buffer_limited_seconds: details.sndbuf_limited_us.map(micros),
    }
}
