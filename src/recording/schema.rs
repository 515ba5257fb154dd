//! The record kinds of the format: their numbers, names and fields. Each segment contains this
//! table as text, so that a reader knows what it can decode, and where the rest ends.

/// Version of what a reader must know to skip records: the head of a record and the header of a
/// segment. Kinds and fields are added without changing it.
pub const VERSION: u16 = 1;

/// The first four bytes of a segment. The first byte is no ASCII character, so a recording is not
/// taken for text.
pub const MAGIC: u32 = u32::from_le_bytes(*b"\x89OLR");

/// Length of a record without payload, and of the head of a record with payload.
pub const HEAD_BYTES: usize = 16;

/// Set in the number of a kind whose head is followed by a payload.
pub const LONG: u8 = 0x80;

/// Bits of the flags in a head: the end of the connection, whether a turn begins before the event,
/// four bits for a choice, and one for a yes or no.
pub const END: u8 = 1;
pub const TURN: u8 = 2;
pub const CHOICE_SHIFT: u32 = 2;
pub const CHOICE_MASK: u8 = 15;
pub const FLAG: u8 = 1 << 6;

/// The kind of a segment's header.
pub const SEGMENT: u8 = 0xff;

// The tables of a segment.
pub const SUBJECT: u8 = 0x01;
pub const TIME: u8 = 0x02;
pub const TEXT: u8 = 0x80;
pub const CONNECTION: u8 = 0x81;
pub const LISTENER: u8 = 0x82;

/// The numbers from here on, without the bit of the payload, are those of events.
const FIRST_EVENT: u8 = 0x10;

// Events that fit into a head.
pub const POLLED_AGAIN: u8 = 0x10;
pub const END_OF_FILE: u8 = 0x11;
pub const SHUT_DOWN: u8 = 0x12;
pub const MISSED: u8 = 0x13;
pub const CUT_OFF: u8 = 0x14;
pub const MARKED: u8 = 0x15;
pub const STALE: u8 = 0x16;
pub const READ: u8 = 0x17;
pub const WROTE: u8 = 0x18;
pub const READ_BLOCKED: u8 = 0x19;
pub const WRITE_BLOCKED: u8 = 0x1a;
pub const READ_OFF: u8 = 0x1b;
pub const READ_ON: u8 = 0x1c;
pub const INTERRUPTED: u8 = 0x1d;
pub const YIELDED: u8 = 0x1e;
pub const ARMED: u8 = 0x1f;
pub const FIRED: u8 = 0x20;
pub const RECEIVED: u8 = 0x21;
pub const SENT: u8 = 0x22;

// The same events with values that do not fit.
pub const READ_LONG: u8 = READ | LONG;
pub const WROTE_LONG: u8 = WROTE | LONG;
pub const ARMED_LONG: u8 = ARMED | LONG;
pub const RECEIVED_LONG: u8 = RECEIVED | LONG;
pub const SENT_LONG: u8 = SENT | LONG;

// Events with a payload.
pub const TURN_BEGINS: u8 = 0xa3;
pub const LISTENING: u8 = 0xa4;
pub const ACCEPT_PAUSED: u8 = 0xa5;
pub const ACCEPT_RESUMED: u8 = 0xa6;
pub const ACCEPT_FAILED: u8 = 0xa7;
pub const SIGNAL: u8 = 0xa8;
pub const DRAINING: u8 = 0xa9;
pub const RESOLVED: u8 = 0xaa;
pub const IN_PROGRESS: u8 = 0xab;
pub const DUMP: u8 = 0xac;
pub const ADMIN_REQUEST: u8 = 0xad;
pub const OPENED: u8 = 0xae;
pub const DIALING: u8 = 0xaf;
pub const DIAL_FAILED: u8 = 0xb0;
pub const CONNECTED: u8 = 0xb1;
pub const MESSAGE: u8 = 0xb2;
pub const STALLED: u8 = 0xb3;
pub const RESUMED: u8 = 0xb4;
pub const CLOSED: u8 = 0xb5;
pub const PASSED: u8 = 0xb6;
pub const DROPPED: u8 = 0xb7;
pub const RELOADING: u8 = 0xb8;
pub const RELOADED: u8 = 0xb9;
pub const RELOAD_FAILED: u8 = 0xba;
pub const PAYLOAD: u8 = 0xbb;
pub const SLOW_TURN: u8 = 0xbc;

/// Each kind: its number, its name and its fields with their types. docs/recording.md describes the
/// types.
pub const KINDS: [(u8, &str); 55] = [
    (SUBJECT, "subject key:word"),
    (TIME, "time now:word"),
    (TEXT, "text text:raw"),
    (
        CONNECTION,
        "connection opened:unsigned route:unsigned service:text listen:text peer:text target:text",
    ),
    (LISTENER, "listener service:text address:text"),
    (POLLED_AGAIN, "polled-again events:word"),
    (END_OF_FILE, "end-of-file"),
    (SHUT_DOWN, "shut-down"),
    (MISSED, "missed messages:word"),
    (CUT_OFF, "cut-off bytes:word"),
    (MARKED, "marked ready:word"),
    (STALE, "stale"),
    (READ, "read bytes:low room:high hint:choice(full|short|end-waits|urgent|no-promise|spliced)"),
    (WROTE, "wrote bytes:low left:high"),
    (READ_BLOCKED, "read-blocked"),
    (WRITE_BLOCKED, "write-blocked left:word"),
    (READ_OFF, "read-off"),
    (READ_ON, "read-on"),
    (INTERRUPTED, "interrupted"),
    (YIELDED, "yielded steps:word"),
    (
        ARMED,
        "armed due:low ago:high deadline:choice(connect|idle|half-close|lifetime|linger|quiet)",
    ),
    (FIRED, "fired deadline:choice(connect|idle|half-close|lifetime|linger|quiet) again:flag"),
    (RECEIVED, "received bytes:low from:high-text"),
    (SENT, "sent bytes:low to:high-text"),
    (
        READ_LONG,
        "read bytes:unsigned room:unsigned \
         hint:choice(full|short|end-waits|urgent|no-promise|spliced)",
    ),
    (WROTE_LONG, "wrote bytes:unsigned left:unsigned"),
    (
        ARMED_LONG,
        "armed due:unsigned now:unsigned \
         deadline:choice(connect|idle|half-close|lifetime|linger|quiet)",
    ),
    (RECEIVED_LONG, "received bytes:unsigned from:text"),
    (SENT_LONG, "sent bytes:unsigned to:text"),
    (
        TURN_BEGINS,
        "turn number:unsigned slept:time limit:optional-time events:unsigned queued:unsigned",
    ),
    (
        SLOW_TURN,
        "slow-turn number:unsigned took:time mark:unsigned accept:unsigned dial:unsigned \
         run:unsigned expire:unsigned datagrams:unsigned admin:unsigned connection:optional \
         connection-took:unsigned not-scheduled:optional",
    ),
    (LISTENING, "listening address:text service:text"),
    (
        ACCEPT_PAUSED,
        "accept-paused address:text cause:text error:text code:optional connections:unsigned",
    ),
    (
        ACCEPT_RESUMED,
        "accept-resumed address:text cause:text error:text code:optional connections:unsigned",
    ),
    (ACCEPT_FAILED, "accept-failed address:text error:text code:optional"),
    (SIGNAL, "signal signal:text"),
    (DRAINING, "draining connections:unsigned deadline:time"),
    (RESOLVED, "resolved name:text addresses:unsigned error:text"),
    (IN_PROGRESS, "in-progress connections:unsigned up:unsigned down:unsigned"),
    (DUMP, "dump line:bytes"),
    (
        ADMIN_REQUEST,
        "admin-request method:bytes target:bytes status:unsigned peer:text changes:flag",
    ),
    (RELOADING, "reloading file:bytes"),
    (RELOADED, "reloaded added:unsigned changed:unsigned removed:unsigned unchanged:unsigned"),
    (RELOAD_FAILED, "reload-failed error:bytes"),
    (OPENED, "opened route:unsigned service:text listen:text peer:text"),
    (DIALING, "dialing target:text attempt:unsigned"),
    (
        DIAL_FAILED,
        "dial-failed target:text error:text code:optional left:unsigned client:text listen:text",
    ),
    (CONNECTED, "connected after:time"),
    (MESSAGE, "message message:bytes"),
    (STALLED, "stalled unsent:unsigned since:unsigned now:unsigned"),
    (RESUMED, "resumed stalled:time"),
    (
        CLOSED,
        "closed reason:text by:text error:text code:optional first:text how:text up:unsigned \
         down:unsigned lasted:time",
    ),
    (PASSED, "passed received:unsigned received-bytes:unsigned sent:unsigned sent-bytes:unsigned"),
    (PAYLOAD, "payload sent:flag bytes:raw"),
    (DROPPED, "dropped bytes:optional from:text why:text error:text code:optional"),
];

/// Whether a record of this kind is an event. The other kinds are the tables of a segment, and its
/// time.
pub fn is_event(kind: u8) -> bool {
    kind & !LONG >= FIRST_EVENT
}

/// Returns the table as text, one line for each kind: `23 read bytes:low room:high …`.
pub fn text() -> String {
    KINDS.iter().map(|(number, row)| format!("{number} {row}\n")).collect()
}

/// The kinds of a segment, and which of them this reader can decode.
pub struct Known([Kind; 256]);

/// What is known of a kind.
#[derive(Clone, Copy)]
enum Kind {
    /// The segment does not list it, so it has no record of this kind.
    Unlisted,
    /// This reader cannot decode it.
    Unknown,
    /// It has this number here.
    Ours(u8),
}

impl Known {
    /// Reads the table of a segment. A kind is found by its name and form, whatever its number. It
    /// can be decoded if its fields begin with those of our table: a later version may have added
    /// more.
    pub fn parse(text: &str) -> Known {
        let mut known = Known([Kind::Unlisted; 256]);
        for line in text.lines() {
            let Some((number, row)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse::<u8>() else { continue };
            let same_form = |ours: u8| ours & LONG == number & LONG;
            let ours = KINDS.iter().find(|(ours, own)| same_form(*ours) && extends(row, own));
            known.0[usize::from(number)] =
                ours.map_or(Kind::Unknown, |(ours, _)| Kind::Ours(*ours));
        }
        known
    }

    /// Returns our number of a kind of the segment.
    pub fn kind(&self, number: u8) -> Option<u8> {
        match self.0[usize::from(number)] {
            Kind::Ours(ours) => Some(ours),
            Kind::Unlisted | Kind::Unknown => None,
        }
    }

    /// Whether the segment lists a kind.
    pub fn is_listed(&self, number: u8) -> bool {
        !matches!(self.0[usize::from(number)], Kind::Unlisted)
    }
}

/// Whether a row begins with ours. The list of a choice may have become longer too.
fn extends(row: &str, own: &str) -> bool {
    let mut fields = row.split(' ');
    own.split(' ').all(|own| {
        let Some(field) = fields.next() else { return false };
        field == own || own.strip_suffix(')').is_some_and(|choices| is_longer(field, choices))
    })
}

fn is_longer(field: &str, choices: &str) -> bool {
    field.strip_prefix(choices).is_some_and(|rest| rest.starts_with('|'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_number_and_a_form_of_its_own() {
        for (at, (number, row)) in KINDS.iter().enumerate() {
            let name = |row: &'static str| row.split(' ').next().unwrap_or_default();
            for (other, other_row) in &KINDS[..at] {
                assert_ne!(number, other, "{row}");
                let same_form = number & LONG == other & LONG;
                assert!(!same_form || name(row) != name(other_row), "{row}");
            }
            assert_eq!(Known::parse(&text()).kind(*number), Some(*number), "{row}");
        }
    }

    #[test]
    fn a_kind_with_more_fields_or_choices_or_another_number_is_known() {
        let known = Known::parse(
            "40 wrote bytes:low left:high why:flag\n\
             41 fired deadline:choice(connect|idle|half-close|lifetime|linger|quiet|new) \
             again:flag\n\
             42 end-of-file\n43 stale-connection\n44 read bytes:low\n200 shut-down\n\
             900 stale\nx stale\n\n",
        );
        let kinds = [40, 41, 42, 43, 44, 200, 45].map(|number| known.kind(number));
        assert_eq!(kinds, [Some(WROTE), Some(FIRED), Some(END_OF_FILE), None, None, None, None]);
        let listed = [43, 44, 200, 45].map(|number| known.is_listed(number));
        assert_eq!(listed, [true, true, true, false]);
    }
}
