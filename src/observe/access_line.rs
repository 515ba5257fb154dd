//! Formats access lines: logfmt, JSON and HAProxy's tcplog.

use std::fmt::{self, Display, Formatter, Write};
use std::time::Duration;

use serde::Serialize;

use crate::config::AccessFormat;
use crate::core::{Close, Peer, ServiceKind};

use super::format::Stamp;
use super::line::PeerName;
use crate::text::escape::{plain, quoted};
use crate::text::json;

/// The access line of one connection.
pub struct AccessLine<'a> {
    pub entry: &'a Entry<'a>,
    pub format: AccessFormat,
}

/// A closed connection.
pub struct Entry<'a> {
    pub conn: u32,
    pub ended: Stamp,
    pub opened: Stamp,
    pub peer: &'a Peer,
    pub listener: &'a Frontend,
    pub target: Option<&'a str>,
    /// Live connections to the target.
    pub target_live: usize,
    /// All live connections.
    pub live: usize,
    pub tries: u32,
    pub connect: Option<Duration>,
    pub life: Duration,
    pub up: u64,
    pub down: u64,
    pub ending: Close,
}

/// A listener and its service.
pub struct Frontend {
    pub route: u16,
    pub service: ServiceKind,
    pub listen: String,
    pub live: usize,
}

impl Display for AccessLine<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.format {
            AccessFormat::Logfmt => logfmt(f, self.entry),
            AccessFormat::Json => json_object(f, self.entry),
            AccessFormat::Haproxy => haproxy(f, self.entry),
        }
    }
}

fn logfmt(f: &mut Formatter<'_>, entry: &Entry<'_>) -> fmt::Result {
    let peer = peer_text(entry.peer);
    let (service, listen) = (entry.listener.service, Value(&entry.listener.listen));
    write!(f, "ts={} conn={} route={} ", entry.ended, entry.conn, entry.listener.route)?;
    write!(f, "service={service} listen={listen} peer={} ", Value(&peer))?;
    write!(f, "target={} tries={} connect=", Value(entry.target.unwrap_or("-")), entry.tries)?;
    match entry.connect {
        Some(connect) => write!(f, "{}ms ", Millis(connect))?,
        None => f.write_str("- ")?,
    }
    let (life, reason) = (Millis(entry.life), entry.ending.reason);
    write!(f, "life={life}ms up={} down={} ", entry.up, entry.down)?;
    write!(f, "end={} reason={} ", reason.code(), reason.name())?;
    write!(f, "first={} by={}", entry.ending.first, entry.ending.by)
}

/// The fields of the JSON form.
#[derive(Serialize)]
struct JsonFields<'a> {
    ts: String,
    conn: u32,
    route: u16,
    service: String,
    listen: &'a str,
    peer: &'a str,
    target: Option<&'a str>,
    tries: u32,
    connect_ms: Option<f64>,
    life_ms: f64,
    up: u64,
    down: u64,
    end: &'a str,
    reason: &'a str,
    first: String,
    by: String,
}

fn json_object(f: &mut Formatter<'_>, entry: &Entry<'_>) -> fmt::Result {
    let millis = |time: Duration| time.as_micros() as f64 / 1000.0;
    let Close { reason, first, by } = entry.ending;
    f.write_str(&json::line(&JsonFields {
        ts: entry.ended.to_string(),
        conn: entry.conn,
        route: entry.listener.route,
        service: entry.listener.service.to_string(),
        listen: &entry.listener.listen,
        peer: &peer_text(entry.peer),
        target: entry.target,
        tries: entry.tries,
        connect_ms: entry.connect.map(millis),
        life_ms: millis(entry.life),
        up: entry.up,
        down: entry.down,
        end: reason.code(),
        reason: reason.name(),
        first: first.to_string(),
        by: by.to_string(),
    }))
}

/// `%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq`. The frontend is the
/// address of the listener, the backend the service. The queues are always empty.
fn haproxy(f: &mut Formatter<'_>, entry: &Entry<'_>) -> fmt::Result {
    match entry.peer {
        Peer::Inet(address) => write!(f, "{}:{}", address.ip(), address.port())?,
        // For a Unix client, which has no port, HAProxy writes the number of the listener.
        Peer::Unix(_) | Peer::Stdio => write!(f, "unix:{}", entry.listener.route)?,
    }
    let frontend = Token(&entry.listener.listen);
    write!(f, " [{}] {frontend} {}/", HaproxyDate(entry.opened), entry.listener.service)?;
    match entry.target {
        Some(target) => write!(f, "{} 0/", Token(target))?,
        None => f.write_str("<NOSRV> -1/")?,
    }
    match entry.connect {
        Some(connect) => write!(f, "{}", connect.as_millis())?,
        None => f.write_str("-1")?,
    }
    write!(f, "/{} {} ", entry.life.as_millis(), entry.down)?;
    let frontend_live = entry.listener.live;
    let backend_live = if entry.target.is_some() { frontend_live } else { 0 };
    write!(f, "{} {}/{frontend_live}/{backend_live}", entry.ending.reason.code(), entry.live)?;
    write!(f, "/{}/{} 0/0", entry.target_live, entry.tries.saturating_sub(1))
}

fn peer_text(peer: &Peer) -> String {
    match peer {
        // The name is escaped when it is written.
        Peer::Unix(Some(name)) => format!("unix:{name}"),
        Peer::Inet(_) | Peer::Unix(None) | Peer::Stdio => PeerName(peer).to_string(),
    }
}

/// A logfmt value, quoted if necessary.
struct Value<'a>(&'a str);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_bare = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        if !self.0.is_empty() && self.0.bytes().all(is_bare) {
            plain(self.0).fmt(f)
        } else {
            quoted(self.0.as_bytes()).fmt(f)
        }
    }
}

/// A name as HAProxy allows it: letters, digits, and `-_.:`. Parsers split at other characters.
struct Token<'a>(&'a str);

impl Display for Token<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.0.split_once("://").map_or(self.0, |(_, name)| name);
        for c in name.chars().take(crate::text::escape::COLUMNS) {
            match c {
                '[' | ']' => {}
                '-' | '_' | '.' | ':' => f.write_char(c)?,
                _ if c.is_ascii_alphanumeric() => f.write_char(c)?,
                _ => f.write_char('_')?,
            }
        }
        Ok(())
    }
}

/// Milliseconds with three decimals.
struct Millis(Duration);

impl Display for Millis {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let micros = self.0.as_micros();
        write!(f, "{}.{:03}", micros / 1000, micros % 1000)
    }
}

/// A date as in `20/Nov/2026:16:11:56.640`, in UTC.
struct HaproxyDate(Stamp);

impl Display for HaproxyDate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (date, millis) = self.0.parts();
        write!(f, "{:02}/{}/{:04}:", date.day, &date.month_name()[..3], date.year)?;
        write!(f, "{:02}:{:02}:{:02}.{millis:03}", date.hour, date.minute, date.second)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::core::{CloseKind, Reason, Side};

    fn listener() -> Frontend {
        let (service, listen) = (ServiceKind::Relay, "tcp://[::1]:5432".to_string());
        Frontend { route: 1, service, listen, live: 3 }
    }

    fn entry<'a>(peer: &'a Peer, listener: &'a Frontend) -> Entry<'a> {
        let ended = UNIX_EPOCH + Duration::from_millis(1_795_191_118_641);
        Entry {
            conn: 1207,
            ended: Stamp(ended),
            opened: Stamp(ended - Duration::from_millis(2_001)),
            peer,
            listener,
            target: Some("tcp://10.0.0.7:5432"),
            target_live: 2,
            live: 4,
            tries: 2,
            connect: Some(Duration::from_micros(410)),
            life: Duration::from_micros(2_001_004),
            up: 18233,
            down: 9_921_833,
            ending: Close { reason: Reason::IdleTimeout, first: Side::Proxy, by: CloseKind::Rst },
        }
    }

    fn line(format: AccessFormat, change: impl FnOnce(&mut Entry<'_>)) -> String {
        let peer = Peer::Inet("10.2.3.4:51332".parse().expect("an address"));
        let listener = listener();
        let mut entry = entry(&peer, &listener);
        change(&mut entry);
        AccessLine { entry: &entry, format }.to_string()
    }

    #[test]
    fn logfmt_has_every_field_as_a_pair() {
        assert_eq!(
            line(AccessFormat::Logfmt, |_| {}),
            "ts=2026-11-20T16:11:58.641Z conn=1207 route=1 service=relay \
             listen=tcp://[::1]:5432 peer=10.2.3.4:51332 target=tcp://10.0.0.7:5432 tries=2 \
             connect=0.410ms life=2001.004ms up=18233 down=9921833 end=cD reason=idle-timeout \
             first=proxy by=RST"
        );
    }

    #[test]
    fn json_has_the_same_fields_as_one_object() {
        assert_eq!(
            line(AccessFormat::Json, |_| {}),
            "{\"ts\":\"2026-11-20T16:11:58.641Z\",\"conn\":1207,\"route\":1,\
             \"service\":\"relay\",\"listen\":\"tcp://[::1]:5432\",\"peer\":\"10.2.3.4:51332\",\
             \"target\":\"tcp://10.0.0.7:5432\",\"tries\":2,\"connect_ms\":0.41,\
             \"life_ms\":2001.004,\"up\":18233,\"down\":9921833,\"end\":\"cD\",\
             \"reason\":\"idle-timeout\",\"first\":\"proxy\",\"by\":\"RST\"}"
        );
    }

    #[test]
    fn haproxy_lines_are_those_of_tcplog() {
        assert_eq!(
            line(AccessFormat::Haproxy, |_| {}),
            "10.2.3.4:51332 [20/Nov/2026:16:11:56.640] ::1:5432 relay/10.0.0.7:5432 0/0/2001 \
             9921833 cD 4/3/3/2/1 0/0"
        );
    }

    #[test]
    fn the_page_on_events_shows_these_lines() {
        let page = include_str!("../../docs/events.md");
        for format in [AccessFormat::Logfmt, AccessFormat::Haproxy] {
            let text = line(format, |_| {});
            assert!(page.lines().any(|on_page| on_page == text), "{text}");
        }
    }

    #[test]
    fn a_connection_without_a_target_has_empty_fields() {
        let echo = |entry: &mut Entry<'_>| {
            (entry.target, entry.target_live) = (None, 0);
            (entry.tries, entry.connect) = (0, None);
        };
        let text = line(AccessFormat::Logfmt, echo);
        assert!(text.contains(" target=- tries=0 connect=- "), "{text}");
        let text = line(AccessFormat::Json, echo);
        assert!(text.contains("\"target\":null,\"tries\":0,\"connect_ms\":null,"), "{text}");
        let text = line(AccessFormat::Haproxy, echo);
        assert!(text.contains(" relay/<NOSRV> -1/-1/2001 "), "{text}");
        assert!(text.ends_with(" 4/3/0/0/0 0/0"), "{text}");
    }

    #[test]
    fn a_peer_cannot_forge_a_field_by_its_name() {
        let peer = Peer::Unix(Some("/x y=\"1\"\n\x1b".to_string()));
        let listener = listener();
        let line = |format| AccessLine { entry: &entry(&peer, &listener), format }.to_string();
        let logfmt = line(AccessFormat::Logfmt);
        assert!(logfmt.contains(r#" peer="unix:/x y=\"1\"\n\x1b" "#), "{logfmt}");
        let json = line(AccessFormat::Json);
        assert!(json.contains(r#""peer":"unix:/x y=\"1\"\n\u001b","#), "{json}");
        assert!(line(AccessFormat::Haproxy).starts_with("unix:1 ["));
    }
}
