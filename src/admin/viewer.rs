//! A viewer of the events: where it is in the ring, and the text of what it receives next
//! (server-sent events).

use crate::core::EventLevel;
use crate::observe::event_stream::EventStream;

/// What a viewer wants to see.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EventSelection {
    /// Names of events. Empty: all.
    pub names: Vec<String>,
    /// The lowest level.
    pub level: Option<EventLevel>,
    pub connection: Option<u32>,
}

/// A client that reads the stream of events.
pub struct Viewer {
    filter: EventSelection,
    /// The number of the next event.
    next: u64,
    epoch: u64,
    /// Events that it cannot receive any more. Some(None): an unknown number.
    missed: Option<Option<u64>>,
}

/// Maximum number of viewers of events.
pub const STREAMS: usize = 16;

/// Maximum bytes appended at once; the others follow when the socket has accepted them.
const PART_BYTES: usize = 16 * 1024;

/// Maximum events looked at at once: most may not match the filter.
const EVENTS_PER_PART: usize = 1024;

/// The first bytes of the stream: how long a browser waits before it connects again, in
/// milliseconds.
pub const STREAM_START: &str = "retry: 2000\n\n";

/// What a viewer receives while nothing happens, so that nothing in between closes the connection.
pub const HEARTBEAT: &str = ": nothing happened\n\n";

impl Viewer {
    /// Starts after the event with this id if it is known, else with the next event. `stream` has
    /// been joined.
    pub fn new(filter: EventSelection, last_id: Option<&str>, stream: &EventStream) -> Viewer {
        let (oldest, newest) = stream.numbers();
        let epoch = stream.epoch();
        let (next, missed) = match last_id.map(read_id) {
            None => (newest, None),
            Some(Some((of, number))) if of == epoch && number < newest => {
                let next = number + 1;
                (next.max(oldest), (next < oldest).then(|| Some(oldest - next)))
            }
            Some(_) => (newest, Some(None)),
        };
        Viewer { filter, next, epoch, missed }
    }

    /// Whether there is something to append.
    pub fn has_news(&self, stream: &EventStream) -> bool {
        self.missed.is_some() || self.next < stream.numbers().1
    }

    /// Appends what the viewer receives next, as far as one part goes.
    pub fn part(&mut self, stream: &EventStream, out: &mut Vec<u8>) {
        let (oldest, newest) = stream.numbers();
        if self.next < oldest {
            self.missed = Some(Some(oldest - self.next));
            self.next = oldest;
        }
        if let Some(missed) = self.missed.take() {
            let missed = missed.map_or_else(|| "null".to_owned(), |events| events.to_string());
            let text = format!("event: missed\ndata: {{\"missed\":{missed}}}\n\n");
            out.extend_from_slice(text.as_bytes());
        }
        let start = out.len();
        for _ in 0..EVENTS_PER_PART {
            if self.next >= newest || out.len() - start >= PART_BYTES {
                return;
            }
            let number = self.next;
            self.next += 1;
            let Some(event) = stream.get(number) else { continue };
            let filter = &self.filter;
            if filter.level.is_some_and(|least| event.level < least)
                || filter.connection.is_some_and(|only| event.connection != Some(only))
            {
                continue;
            }
            let (name, json) = event.name_and_json();
            if filter.names.is_empty() || filter.names.contains(&name) {
                let epoch = self.epoch;
                let text = format!("id: {epoch:x}-{number:x}\nevent: {name}\ndata: {json}\n\n");
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
}

/// Reads the id of an event: the epoch of its ring, and its number.
fn read_id(id: &str) -> Option<(u64, u64)> {
    let (epoch, number) = id.split_once('-')?;
    let hex = |text: &str| {
        let is_hex = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        is_hex.then(|| u64::from_str_radix(text, 16).ok())?
    };
    Some((hex(epoch)?, hex(number)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Explain;
    use crate::core::{Event, Key, Moment};
    use crate::observe::LogObserver;

    /// A stream with viewers, and the events of connections 1 to `events`.
    fn stream(events: u32) -> EventStream {
        let (mut stream, log) = (EventStream::default(), LogObserver::new(Explain::Off));
        stream.join();
        for id in 1..=events {
            stream.begin_turn(Moment(u64::from(id)));
            stream.on(Key::new(id, 0), &Event::EndOfFile, &log);
        }
        stream
    }

    fn text(viewer: &mut Viewer, stream: &EventStream) -> String {
        let mut out = Vec::new();
        while viewer.has_news(stream) {
            viewer.part(stream, &mut out);
        }
        String::from_utf8(out).unwrap()
    }

    fn viewer(last_id: &str, stream: &EventStream) -> Viewer {
        Viewer::new(EventSelection::default(), Some(last_id), stream)
    }

    #[test]
    fn a_viewer_goes_on_after_the_last_event_that_it_has_received() {
        let stream = stream(5);
        let id = format!("{:x}-2", stream.epoch());
        let text = text(&mut viewer(&id, &stream), &stream);
        assert_eq!(text.matches("event: end-of-file").count(), 2, "{text}");
        assert!(text.contains("\"connection\":4,") && text.contains("\"connection\":5,"), "{text}");
        assert!(text.starts_with(&format!("id: {:x}-3\nevent: ", stream.epoch())), "{text}");
    }

    #[test]
    fn a_viewer_is_told_what_it_has_missed() {
        let stream = stream(5000);
        let (oldest, _) = stream.numbers();
        assert!(oldest > 10);
        let id = format!("{:x}-2", stream.epoch());
        let text = text(&mut viewer(&id, &stream), &stream);
        let expected = format!("event: missed\ndata: {{\"missed\":{}}}\n\nid: ", oldest - 3);
        assert!(text.starts_with(&expected), "{}", &text[..100]);
    }

    #[test]
    fn an_id_of_another_time_says_that_something_is_missing() {
        let stream = stream(3);
        for id in ["1-1", "x", "", "-", "ffffffffffffffffff-1", &format!("{:x}-9", stream.epoch())]
        {
            let text = text(&mut viewer(id, &stream), &stream);
            assert_eq!(text, "event: missed\ndata: {\"missed\":null}\n\n", "{id}");
        }
        let mut fresh = Viewer::new(EventSelection::default(), None, &stream);
        assert_eq!(text(&mut fresh, &stream), "");
    }

    #[test]
    fn a_filter_selects_by_name_level_and_connection() {
        let stream = stream(3);
        let id = format!("{:x}-0", stream.epoch());
        let count = |filter: EventSelection| {
            let mut viewer = Viewer::new(filter, Some(&id), &stream);
            text(&mut viewer, &stream).matches("data: ").count()
        };
        let names = |name: &str| EventSelection { names: vec![name.into()], ..Default::default() };
        assert_eq!((count(names("end-of-file")), count(names("closed"))), (2, 0));
        let level = |level| EventSelection { level: Some(level), ..Default::default() };
        assert_eq!((count(level(EventLevel::Lifecycle)), count(level(EventLevel::Notice))), (2, 0));
        let connection = EventSelection { connection: Some(3), ..Default::default() };
        assert_eq!(count(connection), 1);
    }
}
