//! Entry points for fuzzers: each parses what comes from outside, and must neither panic nor hang.
//! Not part of the interface of the crate.

use std::ffi::OsString;
use std::io;
use std::time::{Duration, UNIX_EPOCH};

use crate::admin::http::access::{AccessRules, Via};
use crate::admin::http::problem::Problem;
use crate::admin::http::query::Query;
use crate::admin::http::request::{HttpRequest, ParsedRequest, REQUEST_BYTES, parse};
use crate::admin::http::response::{Persistence, Response, write};
use crate::cli;
use crate::config::{Address, Explain, Listen, Policy, Route, Template, unit};
use crate::core::Moment;
use crate::observe::filter::Filter;
use crate::observe::replayed_log;
use crate::recording::{Record, read, replay_files};
use crate::runtime::admin_port::AdminRole;
use crate::stress::protocol::Message;
use crate::tools::trace::{
    ExplainConverter, FlagsConverter, JsonlConverter, PcapngConverter, RecordingGaps,
};

/// A parser and its name.
pub type Parser = (&'static str, fn(&str));

/// A parser of bytes and its name.
pub type ByteParser = (&'static str, fn(&[u8]));

/// The parsers of bytes.
pub const BYTE_PARSERS: [ByteParser; 2] =
    [("http_request", http_request), ("recording", recording)];

/// The parsers of text.
pub const PARSERS: [Parser; 8] = [
    ("arguments", arguments),
    ("listen", listen),
    ("route", route),
    ("template", template),
    ("units", units),
    ("worker_message", worker_message),
    ("log_filter", log_filter),
    ("admin_query", admin_query),
];

/// Parses a command line, one argument per line.
pub fn arguments(text: &str) {
    match cli::parse(text.lines().map(OsString::from)) {
        Ok(command) => drop(command),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a listening address and a target. What is accepted must print back.
pub fn listen(text: &str) {
    match Listen::parse(text) {
        Ok(listen) => assert_eq!(Listen::parse(&listen.to_string()), Ok(listen)),
        Err(error) => drop(error.to_string()),
    }
    match Address::parse_target(text) {
        Ok(address) => assert_eq!(Address::parse(&address.to_string()), Ok(address)),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses an argument of `run`.
pub fn route(text: &str) {
    if let Err(error) = Route::parse(text, &Policy::default()) {
        drop(error.to_string());
    }
}

/// Parses the text of a greeting.
pub fn template(text: &str) {
    match Template::parse(text) {
        Ok(template) => drop(template.render(|placeholder| placeholder.to_string())),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a time, a count, a size and a rate.
pub fn units(text: &str) {
    if let Ok(time) = unit::duration(text) {
        assert_eq!(unit::duration(&unit::show_duration(time)), Ok(time));
    }
    let errors = [
        unit::timeout(text).err(),
        unit::count(text).err(),
        unit::size(text).err(),
        unit::rate(text).err(),
    ];
    errors.into_iter().flatten().for_each(|error| drop(error.to_string()));
}

/// Parses a line that a worker process of `stress` sends.
pub fn worker_message(text: &str) {
    match serde_json::from_str::<Message>(text) {
        Ok(message) => drop(serde_json::to_string(&message)),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses a filter of the log.
pub fn log_filter(text: &str) {
    match Filter::parse(text) {
        Ok(filter) => drop(filter),
        Err(error) => drop(error.to_string()),
    }
}

/// Parses the query of an admin request, and reads its parameters as every type.
pub fn admin_query(text: &str) {
    let query = match Query::parse(text) {
        Ok(query) => query,
        Err(problem) => return check_problem(problem),
    };
    let mut reader = query.reader();
    let errors = [
        reader.choice("sort", &[("age", 1), ("received", 2)]).err(),
        reader.count("limit", 1_000).err(),
        reader.number("id").err(),
        reader.duration("idle_longer").err(),
        reader.opaque("after").err(),
        reader.finish().err(),
    ];
    errors.into_iter().flatten().for_each(check_problem);
}

/// Maximum prefixes of an input that are parsed: all of a short one.
const PREFIXES: usize = 256;

/// Parses a request as its bytes arrive. It is incomplete until it is decided, and then stays what
/// it is.
pub fn http_request(bytes: &[u8]) {
    let step = bytes.len() / PREFIXES + 1;
    let mut last = ParsedRequest::Incomplete;
    for end in (0..bytes.len()).step_by(step).chain([bytes.len()]) {
        let parsed = parse(&bytes[..end]);
        match (&last, &parsed) {
            (ParsedRequest::Incomplete, ParsedRequest::Incomplete) => assert!(end < REQUEST_BYTES),
            (ParsedRequest::Incomplete, ParsedRequest::Complete { length, .. }) => {
                assert!(*length <= end && *length + step > end && *length <= REQUEST_BYTES);
            }
            (ParsedRequest::Incomplete, ParsedRequest::Invalid(_)) => {}
            (ParsedRequest::Complete { .. }, _) => {
                assert_eq!(parsed, last, "changed by more bytes")
            }
            (ParsedRequest::Invalid(_), ParsedRequest::Invalid(_)) => {}
            (ParsedRequest::Invalid(_), _) => panic!("accepted after a refusal: {parsed:?}"),
        }
        last = parsed;
    }
    match last {
        ParsedRequest::Incomplete => {}
        ParsedRequest::Complete { request, .. } => check_access(&request),
        ParsedRequest::Invalid(problem) => check_problem(problem),
    }
}

/// Bytes of a conversion for each byte of the recording. The packets of a large read are the worst:
/// a head of 16 bytes becomes a thousand of them.
const GROWTH: u64 = 16 * 1024;

/// A writer that counts what it receives.
struct CountedOutput {
    left: u64,
}

impl io::Write for CountedOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.left.checked_sub(bytes.len() as u64);
        self.left = left.expect("the output grows faster than the recording");
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a recording, and converts what was read into every form.
pub fn recording(bytes: &[u8]) {
    let mut connection = None;
    let report = read(bytes, &mut |record| match record {
        Record::Event(key, _) if !key.is_source() => connection = Some(key.id),
        _ => {}
    });
    let records = report.records.saturating_add(report.unknown).saturating_mul(16);
    assert!(records <= bytes.len() as u64, "more records than bytes: {report:?}");
    let head = report.head.as_ref();
    let micros = head.map_or(0, |head| head.wall_micros_of(Moment(0)));
    let start = UNIX_EPOCH + Duration::from_micros(micros);
    let output = || CountedOutput { left: 1_000_000 + GROWTH * bytes.len() as u64 };
    let written = "the output takes every byte";

    let log = replayed_log(output(), "trace", Explain::Always, start);
    let mut log = log.unwrap_or_else(|_| panic!("a filter"));
    replay_files(&[bytes], &mut log);
    log.finish().expect(written);

    let mut explain = ExplainConverter::new(connection.unwrap_or_default());
    replay_files(&[bytes], &mut explain);
    explain.finish(&mut output()).expect(written);

    let mut flags = FlagsConverter::default();
    replay_files(&[bytes], &mut flags);
    flags.finish("FILE", &RecordingGaps::default(), &mut output()).expect(written);

    let mut jsonl = JsonlConverter::new(output());
    replay_files(&[bytes], &mut jsonl);
    jsonl.finish().expect(written);

    let mut pcapng = PcapngConverter::new(output(), start);
    replay_files(&[bytes], &mut pcapng);
    pcapng.finish().expect(written);
}

/// Checks a request at every listener. A page of another origin must never pass.
fn check_access(request: &HttpRequest) {
    let rules = AccessRules { hosts: vec!["admin.example".into()], port: Some(80), token: None };
    let tcp = [true, false].map(|loopback| Via::Tcp { loopback });
    let unix = [true, false].map(|trusted| Via::Unix { trusted });
    for via in tcp.into_iter().chain(unix) {
        for role in [AdminRole::Metrics, AdminRole::Admin] {
            let writes = !request.method.is_safe();
            match rules.check(request, via, role, writes, false) {
                Ok(()) => assert!(
                    !tcp.contains(&via) || request.sec_fetch_site.as_deref() != Some("cross-site")
                ),
                Err(problem) => check_problem(problem),
            }
        }
    }
}

/// Writes the answer of a problem, which must be well-formed whatever the client sent.
fn check_problem(problem: Problem) {
    let (code, detail) = (problem.status.code(), problem.detail.clone());
    let mut out = Vec::new();
    write(&Response::from(problem), &mut out, false, Persistence::Close, 0);
    let mut headers = [httparse::EMPTY_HEADER; 16];
    let mut head = httparse::Response::new(&mut headers);
    let Ok(httparse::Status::Complete(end)) = head.parse(&out) else {
        panic!("malformed: {:?}", out.escape_ascii().to_string());
    };
    assert_eq!(head.code, Some(code));
    let body: serde_json::Value = serde_json::from_slice(&out[end..]).unwrap_or_default();
    assert_eq!(body["detail"], detail.as_str());
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::config::tests::Dice;

    /// Texts that the parsers accept, where the mutations start.
    const SEEDS: [&str; 14] = [
        "relay\n:80\n:81\n--idle-timeout\n30s\n--drain-timeout=5s",
        "stress\n:7\n--load\necho=9,idle\n--rate=2k/s",
        "run\n:7=echo,idle-timeout=2s\nudp://:53=relay:udp://10.0.0.1:53",
        "hub\n:7\n--frame=len32\n--max-message\n1k\n--on-lag=close",
        ":7=hub,frame=raw:lobby,hub-buffer=2M",
        ":7=relay:10.0.0.1:80,[::1]:80,connect-timeout=1s",
        "unix:/run/x.sock,mode=0660",
        "welcome {peer.ip}\\r\\n{{}}",
        "1.25h",
        "2k/s",
        r#""ready""#,
        r#"{"progress":{"phase":"r\u00e4\n","share":0.5,"open":12,"wanted":20,"answered":-2.5e3,
            "exchanged":0.0,"bytes":1e300,"errors":0,"p50":{"secs":0,"nanos":7},
            "p99":{"secs":1,"nanos":0}}}"#,
        "info,oneloop::loop=trace",
        "oneloop=debug/x.*y",
    ];

    /// What separates the parts of a request, or makes its end doubtful.
    const PIECES: [&[u8]; 24] = [
        b"\r\n",
        b"\n",
        b"\r",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\xff",
        b"/",
        b"?",
        b"&",
        b"=",
        b"%",
        b"%2f",
        b"http://",
        b"GET / HTTP/1.1\r\n",
        b"HTTP/1.0",
        b"Host: localhost\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"Sec-Fetch-Site: cross-site\r\n",
        b"Content-Type: application/json\r\n",
        b"\r\n\r\n",
    ];

    /// Returns the files of the corpus of a fuzz target.
    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() > 3, "only {} seeds in {folder}", paths.len());
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// Returns the texts of a corpus.
    fn texts(target: &str) -> Vec<String> {
        corpus(target).into_iter().map(|seed| String::from_utf8(seed).unwrap()).collect()
    }

    fn run_text(text: &str) {
        for (name, parse) in PARSERS {
            let parsed = std::panic::catch_unwind(|| parse(text));
            assert!(parsed.is_ok(), "{name} panics at {text:?}");
        }
    }

    fn run_bytes(bytes: &[u8]) {
        for (name, parse) in BYTE_PARSERS {
            let parsed = std::panic::catch_unwind(|| parse(bytes));
            assert!(parsed.is_ok(), "{name} panics at {:?}", bytes.escape_ascii().to_string());
        }
    }

    #[test]
    fn no_text_makes_a_parser_panic() {
        let texts = [texts("text_parsers"), texts("admin_query")].concat();
        let seeds: Vec<&str> = SEEDS.into_iter().chain(texts.iter().map(String::as_str)).collect();
        seeds.iter().for_each(|text| run_text(text));
        let mut dice = Dice::throw();
        for _ in 0..4_000 {
            run_text(&dice.text(&seeds));
        }
    }

    #[test]
    fn no_recording_makes_the_reader_or_a_converter_panic_or_write_without_end() {
        let seeds = corpus("recording");
        seeds.iter().for_each(|bytes| run_bytes(bytes));
        let mut dice = Dice::throw();
        let cases = std::env::var("ONELOOP_CASES").ok().and_then(|cases| cases.parse().ok());
        let mut events = 0;
        for _ in 0..cases.unwrap_or(400) {
            let bytes = match dice.coin() {
                true => dice.overwritten(&seeds),
                false => dice.bytes(&seeds, &[b"\x89OLR\xff", &[0xff; 8], &[0; 16]]),
            };
            run_bytes(&bytes);
            events += read(&bytes, &mut |_| {}).records;
        }
        assert!(events > 4_000, "only {events} events were read: the test has lost its aim");
    }

    #[test]
    fn no_bytes_make_a_parser_panic_or_change_its_mind() {
        let seeds = corpus("http_request");
        seeds.iter().for_each(|bytes| run_bytes(bytes));
        let mut dice = Dice::throw();
        let mut complete = 0;
        for _ in 0..4_000 {
            let bytes = dice.bytes(&seeds, &PIECES);
            run_bytes(&bytes);
            complete += usize::from(matches!(parse(&bytes), ParsedRequest::Complete { .. }));
        }
        assert!(complete > 200, "only {complete} were accepted: the test has lost its aim");
    }
}
