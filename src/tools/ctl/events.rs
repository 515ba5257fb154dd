//! Prints a stream of server-sent events, one line each.

use std::io::{self, BufRead, BufReader, Read, Write};

use super::error::CtlError;
use super::view::{View, safe};
use crate::admin::resources::EventResource;
use crate::text::json;

/// Maximum bytes of a line of the stream, and of the data of one event.
const EVENT_BYTES: usize = 64 * 1024;

/// One event of the stream, without its identifier.
#[derive(Debug, Default, PartialEq, Eq)]
struct ServerEvent {
    name: String,
    data: String,
}

/// Reads events from `from` until the stream ends, and prints each as it arrives.
pub fn print(
    from: impl Read,
    as_json: bool,
    view: &View,
    out: &mut dyn Write,
    failed: impl Fn(&io::Error) -> CtlError,
) -> Result<(), CtlError> {
    let mut from = BufReader::new(from);
    while let Some(event) = next(&mut from).map_err(|error| failed(&error))? {
        let line = match as_json {
            // Data that is not JSON could not be told from JSON.
            true => json::line_of(&event.data).unwrap_or_else(|_| json::line(&event.data)),
            false => shown(&event, view),
        };
        let written = writeln!(out, "{line}").and_then(|()| out.flush());
        written.map_err(CtlError::Output)?;
    }
    Ok(())
}

/// Reads the next event that has data. None: the stream ended between two events.
fn next(from: &mut impl BufRead) -> io::Result<Option<ServerEvent>> {
    let mut event = ServerEvent::default();
    let mut line = Vec::new();
    loop {
        line.clear();
        from.by_ref().take(EVENT_BYTES as u64).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let Some(text) = line.strip_suffix(b"\n") else {
            let text = match line.len() < EVENT_BYTES {
                true => "the connection was closed in an event",
                false => "an event is too large",
            };
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        };
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
        // An empty line ends the event. Comments, which begin with a colon, keep the stream alive.
        if text.is_empty() && event.data.is_empty() {
            event = ServerEvent::default();
            continue;
        }
        if text.is_empty() {
            event.data.pop();
            return Ok(Some(event));
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => event.name = value.to_string(),
            "data" => {
                event.data += value;
                event.data.push('\n');
            }
            _ => {}
        }
        if event.data.len() > EVENT_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an event is too large"));
        }
    }
}

/// Formats an event as a line of the log. A notice of the stream itself, such as missed events, has
/// other data, and is shown as it is.
fn shown(event: &ServerEvent, view: &View) -> String {
    let Ok(EventResource { at, level, text, .. }) = serde_json::from_str(&event.data) else {
        let name = if event.name.is_empty() { "message" } else { event.name.as_str() };
        return format!("{}: {}", view.paint.warning(&safe(name)), safe(&event.data));
    };
    let padded = format!("{:<9}", safe(&level));
    let level = match level.as_str() {
        "warning" => view.paint.warning(&padded),
        _ => padded,
    };
    format!("{} {level} {}", view.paint.dim(&safe(&at)), safe(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::terminal::Paint;

    fn printed(stream: &str, as_json: bool) -> (String, Option<String>) {
        let view = View { paint: Paint(false), columns: 80 };
        let mut out = Vec::new();
        let failed = |error: &io::Error| CtlError::Failed(error.to_string());
        let result = print(stream.as_bytes(), as_json, &view, &mut out, failed);
        (String::from_utf8(out).unwrap(), result.err().map(|error| error.to_string()))
    }

    const STREAM: &str = "retry: 2000\n\n: heartbeat\n\nid: 7\nevent: closed\n\
        data: {\"at\":\"T1\",\"event\":\"closed\",\"level\":\"lifecycle\",\ndata: \"connection\":7,\
        \"text\":\"#7 closed\\u001b[2J\"}\n\nevent: missed\r\ndata:{\"missed\": 3}\r\n\r\n\
        data: {\"at\":\"T2\",\"event\":\"paused\",\"level\":\"warning\",\"connection\":null,\
        \"text\":\"accept paused\"}\n\n";

    #[test]
    fn each_event_is_a_line() {
        let lines = "T1 lifecycle #7 closed\\x1b[2J\nmissed: {\"missed\": 3}\n\
                     T2 warning   accept paused\n";
        assert_eq!(printed(STREAM, false), (lines.to_string(), None));
        let (json, error) = printed(STREAM, true);
        assert_eq!(error, None);
        let values = json.lines().map(serde_json::from_str::<serde_json::Value>);
        let values: Vec<_> = values.map(Result::unwrap).collect();
        assert_eq!(
            (values.len(), &values[0]["connection"], &values[1]["missed"]),
            (3, &7.into(), &3.into())
        );
        assert!(json.starts_with("{\"at\":\"T1\",\"event\":\"closed\","), "{json}");
    }

    #[test]
    fn an_event_without_its_end_is_not_printed() {
        assert_eq!(printed("data: {}\n", true), (String::new(), None));
        let error = "the connection was closed in an event".to_string();
        assert_eq!(printed("data: {}\n\ndata: {}", true), ("{}\n".to_string(), Some(error)));
        let error = || Some("an event is too large".to_string());
        let long = format!("data: {}\n\n", "x".repeat(EVENT_BYTES));
        assert_eq!(printed(&long, true), (String::new(), error()));
        let many = format!("data: {}\n", "x".repeat(1000)).repeat(100);
        assert_eq!(printed(&many, true), (String::new(), error()));
        assert_eq!(printed("data: no\x1bjson\n\n", true).0, "\"no\\u001bjson\"\n");
    }
}
