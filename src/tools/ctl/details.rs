//! Prints one connection: the verdict first, then its state, both ends and both directions.

use super::view::{View, pair, pairs, safe, seconds};
use crate::admin::resources::{
    ConnectionResource, ConnectionRow, EndRow, FlowRow, TcpRow, WhereBytes, WhoIsSlow,
};
use crate::text::count::grouped;
use crate::text::quantity::{bytes, duration, percent};
use crate::text::wrap::fit;

/// Width of a bar that shows a whole.
const BAR_COLUMNS: usize = 20;

/// Formats the report of a connection.
pub fn connection(resource: &ConnectionResource, view: &View) -> String {
    let row = &resource.row;
    let verdict = format!("#{} {}", row.id, safe(&resource.verdict));
    let mut text = fit(&format!("{}\n", view.paint.strong(&verdict)), view.columns);
    text += &pairs(&facts(resource), view);
    for end in &resource.ends {
        text += &heading(&end_title(end), view);
        text += &pairs(&end_facts(end), view);
    }
    for flow in &resource.flows {
        text += &heading(&format!("{} to {}", safe(&flow.from), safe(&flow.to)), view);
        text += &pairs(&flow_facts(flow), view);
        text += &block("where are the bytes", &places(&flow.where_are_the_bytes), view);
        let shares = flow.who_is_slow.as_ref().map(shares).unwrap_or_default();
        text += &block("who is slow", &shares, view);
    }
    text
}

/// Formats rows below a title of their own.
fn block(title: &str, rows: &[(String, String)], view: &View) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let indented = pairs(rows, &View { columns: view.columns - 2, ..*view });
    let lines = indented.lines().map(|line| format!("  {line}\n"));
    format!("  {title}:\n") + &lines.collect::<String>()
}

fn heading(title: &str, view: &View) -> String {
    format!("\n{}\n", view.paint.bold(title))
}

fn facts(resource: &ConnectionResource) -> Vec<(String, String)> {
    let ConnectionRow { route, service, state, peer, target, .. } = &resource.row;
    let row = &resource.row;
    let unknown = || "unknown".to_string();
    let mut facts = vec![
        pair("route", format!("{}, {}", safe(route), safe(service))),
        pair("client", peer.as_deref().map_or_else(unknown, safe)),
    ];
    facts.extend(target.as_ref().map(|target| pair("target", safe(target))));
    let state = match &resource.closed_first {
        Some(side) => format!("{}, closed first by {}", safe(state), safe(side)),
        None => safe(state),
    };
    facts.push(pair("state", state));
    let age = duration(seconds(row.age_seconds));
    facts.push(pair("opened", format!("{}, {age} ago", safe(&resource.opened_at))));
    facts.push(pair("idle", duration(seconds(row.idle_seconds))));
    facts.push(pair("received", size(row.received_bytes)));
    facts.push(pair("sent", size(row.sent_bytes)));
    facts.push(pair("unsent", size(row.unsent_bytes)));
    let timers = resource
        .timers
        .iter()
        .map(|timer| format!("{} in {}", safe(&timer.name), duration(seconds(timer.due_seconds))));
    let timers = timers.collect::<Vec<_>>().join(", ");
    facts.push(pair("timers", if timers.is_empty() { "none".to_string() } else { timers }));
    facts
}

/// Formats both forms of a size: the exact one is needed to compare it with other tools.
pub fn size(value: u64) -> String {
    match value {
        0..1000 => format!("{value} B"),
        value => format!("{} ({} B)", bytes(value as f64), grouped(value)),
    }
}

fn end_title(end: &EndRow) -> String {
    let address = |text: &Option<String>| text.as_deref().map_or("unknown".to_string(), safe);
    let (local, remote) = (address(&end.local), address(&end.address));
    format!("{} {remote}, from {local}, {}", safe(&end.end), safe(&end.transport))
}

fn end_facts(end: &EndRow) -> Vec<(String, String)> {
    let ready = if end.ready.is_empty() { "nothing".to_string() } else { safe(&end.ready) };
    let mut facts = vec![pair("ready", ready)];
    facts.extend(end.receive_queue_bytes.map(|queue| pair("receive queue", size(queue))));
    if let Some(tcp) = &end.tcp {
        facts.extend(tcp_facts(tcp));
    }
    facts
}

fn tcp_facts(tcp: &TcpRow) -> Vec<(String, String)> {
    let time = |value: f64| duration(seconds(value));
    let rtt = match tcp.min_rtt_seconds {
        Some(least) => format!("{}, at least {}", time(tcp.rtt_seconds), time(least)),
        None => time(tcp.rtt_seconds),
    };
    let window = |segments: u32| {
        let size = u64::from(segments) * u64::from(tcp.mss_bytes);
        format!("{} ({} of {} B)", bytes(size as f64), grouped(segments.into()), tcp.mss_bytes)
    };
    let mut facts = vec![
        pair("round trip", rtt),
        pair("retransmits", grouped(tcp.retransmits.into())),
        pair("congestion window", window(tcp.cwnd_segments)),
        pair("not acknowledged", window(tcp.unacked_segments)),
    ];
    let sizes = [
        ("not sent", tcp.not_sent_bytes),
        ("peer's window", tcp.peer_window_bytes),
        ("our window", tcp.receive_window_bytes),
    ];
    for (name, value) in sizes {
        facts.extend(value.map(|value| pair(name, size(value))));
    }
    let rate = tcp.delivery_bytes_per_second;
    facts.extend(rate.map(|rate| pair("delivery rate", format!("{}/s", bytes(rate as f64)))));
    facts.extend(tcp.busy_seconds.map(|busy| pair("sending", time(busy))));
    let stalls = [
        ("peer's window closed", tcp.receive_window_limited_seconds),
        ("send buffer full", tcp.send_buffer_limited_seconds),
    ];
    for (name, value) in stalls {
        let share = |value: f64| match tcp.busy_seconds {
            Some(busy) if busy > 0.0 => format!(", {} of it", percent((value / busy).max(0.0))),
            _ => String::new(),
        };
        facts.extend(value.map(|value| pair(name, time(value) + &share(value))));
    }
    facts
}

fn flow_facts(flow: &FlowRow) -> Vec<(String, String)> {
    vec![
        pair("moved", size(flow.moved_bytes)),
        pair("unsent", size(flow.unsent_bytes)),
        pair("end of file", if flow.ended { "propagated" } else { "not yet" }),
    ]
}

/// Formats the places of the bytes, along their path.
fn places(places: &WhereBytes) -> Vec<(String, String)> {
    let rows = [
        ("our receive window", places.receive_window_bytes),
        ("to be read", places.receive_queue_bytes),
        ("read, unsent", Some(places.unsent_bytes)),
        ("send queue, not sent", places.not_sent_bytes),
        ("in flight", places.in_flight_bytes),
        ("peer's window, free", places.peer_window_bytes),
    ];
    let known = rows.into_iter().filter_map(|(name, bytes)| Some(pair(name, size(bytes?))));
    known.collect()
}

/// Formats the shares of what a direction waited for.
fn shares(slow: &WhoIsSlow) -> Vec<(String, String)> {
    vec![
        pair("nothing to send", share(slow.nothing_to_send)),
        pair("peer's window", share(slow.peer_window)),
        pair("send buffer", share(slow.send_buffer)),
        pair("network", share(slow.network)),
    ]
}

/// Formats a share with a bar.
fn share(value: f64) -> String {
    let filled = (value.clamp(0.0, 1.0) * BAR_COLUMNS as f64).round() as usize;
    let text = format!("{:>5}  {}", percent(value.max(0.0)), "#".repeat(filled));
    text.trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::resources::ConnectionTimer;
    use crate::text::terminal::Paint;
    use crate::text::wrap::width;

    const VIEW: View = View { paint: Paint(false), columns: 80 };

    pub fn example() -> ConnectionResource {
        let row = ConnectionRow {
            id: 7,
            route: "web".to_string(),
            service: "relay".to_string(),
            state: "half-closed".to_string(),
            peer: Some("10.0.0.9:51234".to_string()),
            target: Some("tcp://10.0.0.1:80".to_string()),
            age_seconds: 200.0,
            idle_seconds: 0.3,
            received_bytes: 512,
            sent_bytes: 1_234_567,
            unsent_bytes: 65_536,
            at: "2026-11-20T16:11:58Z".to_string(),
        };
        let tcp = TcpRow {
            rtt_seconds: 0.000_158,
            min_rtt_seconds: Some(0.000_09),
            retransmits: 3,
            cwnd_segments: 10,
            mss_bytes: 1448,
            unacked_segments: 0,
            not_sent_bytes: Some(3_780_000),
            peer_window_bytes: Some(0),
            receive_window_bytes: None,
            delivery_bytes_per_second: Some(12_500_000),
            busy_seconds: Some(0.8),
            receive_window_limited_seconds: Some(0.704),
            send_buffer_limited_seconds: Some(0.0),
        };
        let client = EndRow {
            end: "client".to_string(),
            address: Some("10.0.0.9:51234".to_string()),
            local: Some("10.0.0.5:80".to_string()),
            transport: "tcp".to_string(),
            ready: String::new(),
            receive_queue_bytes: Some(0),
            tcp: Some(tcp),
        };
        let flow = FlowRow {
            from: "target".to_string(),
            to: "client".to_string(),
            moved_bytes: 1_234_567,
            unsent_bytes: 65_536,
            ended: false,
            where_are_the_bytes: WhereBytes {
                receive_window_bytes: Some(40_000),
                receive_queue_bytes: None,
                unsent_bytes: 65_536,
                not_sent_bytes: Some(3_780_000),
                in_flight_bytes: Some(0),
                peer_window_bytes: Some(0),
            },
            who_is_slow: Some(WhoIsSlow {
                nothing_to_send: 0.116,
                peer_window: 0.88,
                send_buffer: 0.0,
                network: 0.004,
            }),
        };
        let verdict = "waits for the client: its receive window was closed 88 % of the busy time";
        ConnectionResource {
            row,
            opened_at: "2026-11-20T16:08:38Z".to_string(),
            closed_first: Some("client".to_string()),
            timers: vec![ConnectionTimer { name: "half-close".to_string(), due_seconds: 99.7 }],
            ends: vec![client],
            flows: vec![flow],
            verdict: verdict.to_string(),
        }
    }

    #[test]
    fn a_connection_is_reported_with_the_verdict_first() {
        let expected = "\
#7 waits for the client: its receive window was closed 88 % of the busy time
  route     web, relay
  client    10.0.0.9:51234
  target    tcp://10.0.0.1:80
  state     half-closed, closed first by client
  opened    2026-11-20T16:08:38Z, 3 min 20 s ago
  idle      300 ms
  received  512 B
  sent      1.23 MB (1,234,567 B)
  unsent    65.5 kB (65,536 B)
  timers    half-close in 99.7 s

client 10.0.0.9:51234, from 10.0.0.5:80, tcp
  ready                 nothing
  receive queue         0 B
  round trip            158 µs, at least 90.0 µs
  retransmits           3
  congestion window     14.5 kB (10 of 1448 B)
  not acknowledged      0 B (0 of 1448 B)
  not sent              3.78 MB (3,780,000 B)
  peer's window         0 B
  delivery rate         12.5 MB/s
  sending               800 ms
  peer's window closed  704 ms, 88 % of it
  send buffer full      0 ns, 0 % of it

target to client
  moved        1.23 MB (1,234,567 B)
  unsent       65.5 kB (65,536 B)
  end of file  not yet
  where are the bytes:
    our receive window    40.0 kB (40,000 B)
    read, unsent          65.5 kB (65,536 B)
    send queue, not sent  3.78 MB (3,780,000 B)
    in flight             0 B
    peer's window, free   0 B
  who is slow:
    nothing to send   12 %  ##
    peer's window     88 %  ##################
    send buffer        0 %
    network          0.4 %
";
        assert_eq!(connection(&example(), &VIEW), expected);
    }

    #[test]
    fn what_a_peer_chose_steers_no_terminal() {
        let mut resource = example();
        resource.row.peer = Some("unix:\x1b[2J\u{202e}".repeat(20));
        resource.verdict = "waits\nERROR".to_string();
        resource.flows[0].from = "\x1b".to_string();
        resource.ends[0].ready = "\u{9b}".to_string();
        let text = connection(&resource, &VIEW);
        assert!(!text.contains(|c: char| c.is_control() && c != '\n' || c == '\u{202e}'), "{text}");
        assert!(text.starts_with("#7 waits\\nERROR\n"));
        assert!(text.lines().all(|line| width(line) <= 80), "{text}");
    }
}
