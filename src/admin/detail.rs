//! One connection in full: both ends, what the kernel knows of them, and what it waits for.

use crate::core::{Conn, Peer, Side};
use crate::net::inspect::receive_queue;
use crate::net::socket::Socket;
use crate::net::tcp_info::{TcpDetails, tcp_details};
use crate::observe::line::PeerName;
use crate::runtime::inspect::ConnView;

use super::resources::{ConnectionResource, ConnectionTimer, EndRow, TcpRow};
use super::rows::{connection_row, seconds, time_of_day};

/// Builds the report of a connection. Asks the system a handful of questions for each end.
pub fn connection_resource(view: &ConnView<'_>) -> ConnectionResource {
    let row = connection_row(view);
    let timers = view
        .deadline()
        .map(|(name, due)| ConnectionTimer { name: name.to_owned(), due_seconds: seconds(due) });
    let opened_at = time_of_day(view.age());
    let Some(conn) = view.conn() else {
        return ConnectionResource {
            row,
            opened_at,
            closed_first: None,
            timers: Vec::new(),
            ends: Vec::new(),
            flows: Vec::new(),
            verdict: String::new(),
        };
    };
    ConnectionResource {
        row,
        opened_at,
        closed_first: conn.closed_first().map(|side: Side| side.to_string()),
        timers: timers.into_iter().collect(),
        ends: (0..2).filter_map(|end| end_row(conn, end)).collect(),
        flows: Vec::new(),
        verdict: String::new(),
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
