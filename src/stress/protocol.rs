//! The protocol between the processes of one run. A worker writes messages to its standard output,
//! each as one line of JSON.

#[cfg(unix)]
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::load_stats::LoadStats;
use super::ramp_curve::RampCurve;
use super::server_usage::LoopUsage;
use super::timeline::Timeline;
#[cfg(unix)]
use crate::text::escape::quoted;

/// A message of a worker.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Message {
    /// All persistent connections are open, as far as possible.
    Ready,
    /// Progress, a few times per second.
    Progress(Snapshot),
    Done(Box<WorkerResult>),
}

/// The progress of a run, or of several processes, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    pub phase: String,
    /// Completed part of the phase, from 0 to 1.
    pub share: f64,
    pub open: u64,
    pub wanted: u64,
    /// Answers, exchanges and bytes per second, in the last complete step.
    pub answered: f64,
    pub exchanged: f64,
    pub bytes: f64,
    pub errors: u64,
    pub p50: Duration,
    pub p99: Duration,
}

/// The result of one worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerResult {
    pub load_stats: Vec<LoadStats>,
    pub timeline: Timeline,
    pub busy: LoopUsage,
    /// Time until all persistent connections were open.
    pub ramp: Duration,
    pub ramp_curve: RampCurve,
    /// Start and end of the measured window.
    pub measured: Option<(Duration, Duration)>,
    pub interrupted: bool,
}

/// The message to a worker to start its loads, as a line of its standard input.
#[cfg(unix)]
pub const GO: &str = "go";

/// Splits the output of a worker into messages.
#[cfg(unix)]
#[derive(Debug, Default)]
pub struct MessageReader {
    /// The line that is not complete yet.
    line: Vec<u8>,
}

/// Maximum length of a message in bytes. A result has five histograms for each load, and each has
/// up to 60,000 buckets of some 20 bytes.
#[cfg(unix)]
const LINE_BYTES: usize = 64 << 20;

/// Maximum columns of an invalid message in an error.
#[cfg(unix)]
const SHOWN_COLUMNS: usize = 60;

#[cfg(unix)]
impl MessageReader {
    /// Adds output, and returns the messages that it completes.
    pub fn read(&mut self, output: &[u8]) -> io::Result<Vec<Message>> {
        let mut messages = Vec::new();
        for part in output.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + part.len() > LINE_BYTES {
                return Err(io::Error::other("message longer than 64 MiB"));
            }
            self.line.extend_from_slice(part);
            if part.ends_with(b"\n") {
                let read = serde_json::from_slice(&self.line);
                messages.push(read.map_err(|error| {
                    let line = quoted(self.line.trim_ascii_end()).within(SHOWN_COLUMNS);
                    io::Error::other(format!("invalid message {line}: {error}"))
                })?);
                self.line.clear();
            }
        }
        Ok(messages)
    }
}

impl Snapshot {
    /// Adds the progress of another process.
    pub fn add(&mut self, other: &Snapshot) {
        self.open += other.open;
        self.wanted += other.wanted;
        self.answered += other.answered;
        self.exchanged += other.exchanged;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.p50 = self.p50.max(other.p50);
        self.p99 = self.p99.max(other.p99);
    }
}

impl WorkerResult {
    /// Adds the result of another process.
    pub fn merge(&mut self, other: &WorkerResult) {
        if self.load_stats.is_empty() {
            self.load_stats.resize(other.load_stats.len(), LoadStats::default());
        }
        for (stats, more) in self.load_stats.iter_mut().zip(&other.load_stats) {
            stats.merge(more);
        }
        self.timeline.merge(&other.timeline);
        self.busy.merge(&other.busy);
        self.ramp = self.ramp.max(other.ramp);
        self.ramp_curve.merge(&other.ramp_curve);
        self.measured = self.measured.or(other.measured);
        self.interrupted |= other.interrupted;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stress::failure::{LoadFailure, Stage};
    use crate::stress::load_stats::{Death, DeathCause};

    /// Not a number that a 64-bit float can hold.
    const MANY: u64 = (1 << 53) + 1;

    fn stats() -> LoadStats {
        let mut stats = LoadStats {
            window: Duration::from_nanos(2_000_000_001),
            answered: MANY,
            bytes_out: u64::MAX / 2,
            lost: 3,
            ..LoadStats::default()
        };
        for histogram in [&mut stats.latency, &mut stats.since_due, &mut stats.life] {
            (0..100).for_each(|step| histogram.record(Duration::from_micros(7 + step * step)));
        }
        stats.connect.record_many(Duration::from_millis(1), MANY);
        stats.fail(LoadFailure::new(Stage::Connect, "ECONNREFUSED"));
        stats.fail(LoadFailure::new(Stage::Close, "no answer"));
        let (at, idle) = (Duration::from_millis(1500), Duration::from_nanos(86_400_123_456_789));
        for how in [DeathCause::Fin, DeathCause::Rst, DeathCause::BlackHole] {
            stats.deaths.add(Death { at, idle, how });
        }
        stats.integrity_errors.add("byte 7 is \"x\"\n".to_string());
        stats.partial.add(63, at);
        stats.partial.add(7, at / 7);
        stats
    }

    fn result() -> WorkerResult {
        let mut timeline = Timeline::new();
        timeline.current().answered = 5;
        timeline.answered(Duration::from_micros(77));
        timeline.advance(Duration::from_millis(250), 9, None);
        let ramp = Duration::from_nanos(123_456_789);
        let mut busy = LoopUsage::default();
        (busy.turns, busy.cpu) = (12, ramp / 2);
        WorkerResult {
            load_stats: vec![stats(), LoadStats::default()],
            timeline,
            busy,
            ramp,
            ramp_curve: RampCurve { step: ramp, open: vec![3, 5] },
            measured: Some((ramp, 2 * ramp)),
            interrupted: true,
        }
    }

    #[test]
    fn a_message_is_read_as_it_was_written_and_is_one_line() {
        let snapshot = Snapshot { phase: "hold".to_string(), open: 7, ..Snapshot::default() };
        let done = Message::Done(Box::new(result()));
        for message in [Message::Ready, Message::Progress(snapshot), done] {
            let line = serde_json::to_string(&message).unwrap();
            assert!(!line.contains('\n'), "{line}");
            assert_eq!(serde_json::from_str::<Message>(&line).unwrap(), message);
        }
    }

    #[cfg(unix)]
    #[test]
    fn messages_are_read_from_pieces_of_any_length() {
        let messages = [Message::Ready, Message::Done(Box::new(result())), Message::Ready];
        let mut output = Vec::new();
        for message in &messages {
            output.extend(serde_json::to_vec(message).unwrap());
            output.push(b'\n');
        }
        for length in [1, 7, 4096, output.len()] {
            let mut reader = MessageReader::default();
            let read = output.chunks(length).flat_map(|piece| reader.read(piece).unwrap());
            assert!(read.eq(messages.iter().cloned()), "{length}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn an_invalid_message_is_an_error_and_an_endless_one_too() {
        let error = |output: &[u8]| MessageReader::default().read(output).unwrap_err().to_string();
        for line in
            ["", "x", "{}", r#"{"done":{}}"#, r#"{"more":1}"#, r#""ready" 1"#, "\u{9b}\u{0}"]
        {
            let error = error(format!("\"ready\"\n{line}\n").as_bytes());
            assert!(error.starts_with("invalid message \"") && error.contains("\": "), "{error}");
            assert!(!error.contains(char::is_control), "{error}");
        }
        let death = r#"{"at_s":-1,"idle_s":0,"how":"FIN"}"#;
        assert!(serde_json::from_str::<Death>(death).is_err());
        let mut reader = MessageReader::default();
        let piece = vec![b'x'; LINE_BYTES / 2];
        assert!(reader.read(&piece).unwrap().is_empty() && reader.read(&piece).unwrap().is_empty());
        assert_eq!(reader.read(b"x").unwrap_err().to_string(), "message longer than 64 MiB");
    }

    #[test]
    fn results_of_two_processes_are_merged() {
        let stats = LoadStats { answered: 7, ..stats() };
        let one = WorkerResult {
            load_stats: vec![stats],
            ramp: Duration::from_secs(2),
            ..WorkerResult::default()
        };
        let mut sum = WorkerResult::default();
        sum.merge(&one);
        sum.merge(&WorkerResult { ramp: Duration::from_secs(1), ..one.clone() });
        assert_eq!(sum.ramp, Duration::from_secs(2));
        assert_eq!(sum.load_stats[0].answered, 14);
        assert_eq!(sum.load_stats[0].latency.count(), 200);
        assert_eq!(sum.load_stats[0].failed(), 4);
    }

    #[test]
    fn snapshots_of_processes_are_added() {
        let mut sum = Snapshot { open: 1, p99: Duration::from_secs(1), ..Snapshot::default() };
        sum.add(&Snapshot { open: 2, errors: 3, ..Snapshot::default() });
        assert_eq!((sum.open, sum.errors, sum.p99), (3, 3, Duration::from_secs(1)));
    }
}
