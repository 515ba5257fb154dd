//! The events that viewers of the admin endpoint read: rendered once for all of them, into a ring.
//! Without viewers nothing is rendered.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::core::message_ring::MessageRing;
use crate::core::{Event, EventLevel, Key, Moment};
use crate::text::json;

use super::event_log::LogObserver;
use super::format::Stamp;

/// Memory for events that some viewer has not received yet.
const RING_BYTES: usize = 256 * 1024;

/// Maximum events rendered per turn. A flood of dropped datagrams must not slow down the loop
/// because somebody looks.
const EVENTS_PER_TURN: u32 = 128;

/// How long rendering goes on after the last viewer left, so that one that comes back misses
/// nothing.
const LINGER: Duration = Duration::from_secs(60);

/// Bytes before the text of each message in the ring: level and kind of the event.
const HEADER_BYTES: usize = 2;

/// The ring of rendered events.
#[derive(Default)]
pub struct EventStream {
    /// None before the first viewer.
    ring: Option<MessageRing>,
    /// Identifies the ring in the ids of events: an id of an earlier one is of no use.
    epoch: u64,
    viewers: usize,
    /// When rendering stops, once the last viewer has left.
    until: Option<Moment>,
    now: Moment,
    /// Events of this turn that were rendered, and that were not.
    rendered: u32,
    suppressed: u64,
}

/// One event of the ring.
pub struct StreamEvent<'a> {
    pub number: u64,
    /// The connection it is about, if any.
    pub connection: Option<u32>,
    pub level: EventLevel,
    /// The text in two pieces, of which the second may be empty: the event's name, a newline, and
    /// one line of JSON.
    text: [&'a [u8]; 2],
}

/// The JSON of one event.
#[derive(serde::Serialize)]
struct Rendered<'a> {
    at: String,
    event: &'a str,
    level: &'a str,
    connection: Option<u32>,
    text: String,
}

/// The levels that viewers receive, by their number in the ring.
const LEVELS: [EventLevel; 3] = [EventLevel::Lifecycle, EventLevel::Notice, EventLevel::Warning];

impl EventStream {
    /// Whether events are rendered.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.ring.is_some()
    }

    /// Starts a turn.
    pub fn begin_turn(&mut self, now: Moment) {
        self.now = now;
        self.rendered = 0;
        if self.until.is_some_and(|until| until <= now) {
            (self.ring, self.until) = (None, None);
        }
        if self.suppressed > 0 {
            let events = std::mem::take(&mut self.suppressed);
            let text = format!("{events} events were not shown: too many in one turn");
            self.push(Key::LOOP, "suppressed", EventLevel::Warning, text);
        }
    }

    /// Renders an event, if there are viewers and they receive events of its level.
    pub fn on(&mut self, key: Key, event: &Event<'_>, log: &LogObserver) {
        if self.ring.is_none() {
            return;
        }
        let level = event.level();
        if !LEVELS.contains(&level) {
            return;
        }
        if self.rendered >= EVENTS_PER_TURN {
            self.suppressed += 1;
            return;
        }
        self.rendered += 1;
        self.push(key, event.name(), level, log.line(key, event).to_string());
    }

    fn push(&mut self, key: Key, name: &str, level: EventLevel, text: String) {
        let Some(ring) = &mut self.ring else { return };
        let rendered = Rendered {
            at: Stamp::now().to_string(),
            event: name,
            level: level.name(),
            connection: connection(key),
            text,
        };
        let level = LEVELS.iter().position(|known| *known == level).unwrap_or_default();
        let mut message = vec![level as u8, name.len() as u8];
        message.extend_from_slice(name.as_bytes());
        message.extend_from_slice(json::line(&rendered).as_bytes());
        if message.len() > ring.capacity() / 4 {
            return;
        }
        while !ring.fits(message.len()) {
            ring.remove_oldest();
        }
        ring.push(key, &message);
    }

    /// Adds a viewer, and starts to render.
    pub fn join(&mut self) {
        self.viewers += 1;
        self.until = None;
        if self.ring.is_none() {
            self.ring = Some(MessageRing::new(RING_BYTES));
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.epoch = since.as_millis() as u64;
        }
    }

    /// Removes a viewer.
    pub fn leave(&mut self) {
        self.viewers = self.viewers.saturating_sub(1);
        if self.viewers == 0 {
            self.until = Some(self.now.after(LINGER));
        }
    }

    /// Identifies the present ring.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of the oldest event in the ring, and the one that the next event will have.
    pub fn numbers(&self) -> (u64, u64) {
        self.ring.as_ref().map_or((0, 0), |ring| (ring.oldest(), ring.next_number()))
    }

    /// Returns an event that is in the ring.
    pub fn get(&self, number: u64) -> Option<StreamEvent<'_>> {
        let ring = self.ring.as_ref()?;
        if number < ring.oldest() || number >= ring.next_number() {
            return None;
        }
        let text = ring.tail(number, 0);
        let level = text.iter().copied().flatten().next().copied().unwrap_or_default();
        let level = LEVELS.get(usize::from(level)).copied().unwrap_or(EventLevel::Lifecycle);
        Some(StreamEvent { number, connection: connection(ring.sender(number)), level, text })
    }
}

impl StreamEvent<'_> {
    /// The name of the event and its JSON.
    pub fn name_and_json(&self) -> (String, String) {
        let bytes: Vec<u8> = self.text.iter().copied().flatten().copied().collect();
        let length = bytes.get(1).copied().map_or(0, usize::from);
        let text = String::from_utf8_lossy(bytes.get(HEADER_BYTES..).unwrap_or_default());
        let (name, json) = text.split_at_checked(length).unwrap_or((&text, ""));
        (name.to_owned(), json.to_owned())
    }
}

/// The number of the connection that a key is about.
fn connection(key: Key) -> Option<u32> {
    (!key.is_source()).then_some(key.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Explain;

    const PAUSED: Event<'_> = Event::EndOfFile;

    fn stream() -> (EventStream, LogObserver) {
        (EventStream::default(), LogObserver::new(Explain::Off))
    }

    #[test]
    fn nothing_is_rendered_without_viewers_and_for_a_while_after_the_last_one() {
        let (mut stream, log) = stream();
        stream.begin_turn(Moment(1));
        stream.on(Key::new(7, 0), &PAUSED, &log);
        assert_eq!(stream.numbers(), (0, 0));
        stream.join();
        stream.on(Key::new(7, 0), &PAUSED, &log);
        stream.leave();
        stream.begin_turn(Moment(2));
        stream.on(Key::new(7, 0), &PAUSED, &log);
        assert_eq!(stream.numbers(), (0, 2));
        stream.begin_turn(Moment(1).after(LINGER));
        stream.on(Key::new(7, 0), &PAUSED, &log);
        assert_eq!(stream.numbers(), (0, 0));
    }

    #[test]
    fn an_event_has_its_name_its_connection_and_its_line() {
        let (mut stream, log) = stream();
        stream.join();
        stream.on(Key::new(7, 0).at(1), &PAUSED, &log);
        stream.on(Key::new(7, 0), &Event::ReadBlocked, &log);
        let event = stream.get(0).unwrap();
        assert_eq!((event.connection, event.level), (Some(7), EventLevel::Lifecycle));
        let (name, json) = event.name_and_json();
        assert_eq!(name, "end-of-file");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            (&json["text"], &json["level"]),
            (&"#7.b end of file".into(), &"lifecycle".into())
        );
        assert!(stream.get(1).is_none(), "steps are not shown");
    }

    #[test]
    fn a_flood_is_cut_off_in_each_turn_and_announced() {
        let (mut stream, log) = stream();
        stream.join();
        stream.begin_turn(Moment(1));
        for _ in 0..EVENTS_PER_TURN + 9 {
            stream.on(Key::LOOP, &PAUSED, &log);
        }
        stream.begin_turn(Moment(2));
        let (_, next) = stream.numbers();
        assert_eq!(next, u64::from(EVENTS_PER_TURN) + 1);
        let (name, json) = stream.get(next - 1).unwrap().name_and_json();
        assert!(name == "suppressed" && json.contains("9 events were not shown"), "{json}");
    }

    #[test]
    fn old_events_make_room_for_new_ones() {
        let (mut stream, log) = stream();
        stream.join();
        for turn in 0..100 {
            stream.begin_turn(Moment(turn));
            (0..EVENTS_PER_TURN).for_each(|_| stream.on(Key::LOOP, &PAUSED, &log));
        }
        let (oldest, next) = stream.numbers();
        assert!(oldest > 0 && next == 100 * u64::from(EVENTS_PER_TURN), "{oldest} {next}");
        assert!(stream.get(oldest - 1).is_none() && stream.get(next - 1).is_some());
    }
}
