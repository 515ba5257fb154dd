//! Writes answers: whole ones, and the heads and pieces of streamed ones.

use std::fmt::Display;

use super::method::Method;
use super::problem::{Problem, Status};
use super::request::HttpVersion;
use crate::core::Civil;

/// The content types of answers.
pub mod content_type {
    pub const JSON: &str = "application/json";
    pub const PROBLEM: &str = "application/problem+json";
    /// The text format of Prometheus. Without its version Prometheus 3 refuses the scrape.
    pub const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
    pub const EVENTS: &str = "text/event-stream";
    pub const TOML: &str = "application/toml";
    pub const RECORDING: &str = "application/octet-stream";
    pub const PCAPNG: &str = "application/x-pcapng";
}

/// Headers of every answer. They keep pages of other origins from reading, embedding or framing it,
/// also where the browser does not say who asks. There is never a CORS header.
const HEADERS: [(&str, &str); 6] = [
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Frame-Options", "DENY"),
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
];

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: Status,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// More headers, in order.
    headers: Vec<(&'static str, String)>,
}

/// The head of an answer whose body is produced while it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamHead {
    pub content_type: &'static str,
    pub framing: Framing,
    headers: Vec<(&'static str, String)>,
}

/// How the end of a streamed body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Chunked,
    /// A client of HTTP/1.0 knows no chunks: the body ends with the connection.
    UntilClose,
}

/// What happens to the connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    KeepAlive,
    Close,
}

impl Response {
    pub fn new(status: Status, content_type: &'static str, body: impl Into<Vec<u8>>) -> Response {
        Response { status, content_type, body: body.into(), headers: Vec::new() }
    }

    pub fn no_content() -> Response {
        Response::new(Status::NoContent, content_type::JSON, Vec::new())
    }

    /// Adds a header. A character of the value that could end the line is percent-encoded.
    pub fn with_header(mut self, name: &'static str, value: impl Display) -> Response {
        self.headers.push((name, header_value(value)));
        self
    }
}

impl From<Problem> for Response {
    fn from(problem: Problem) -> Response {
        let body = problem.to_json();
        let response = Response::new(problem.status, content_type::PROBLEM, body);
        match problem.status {
            Status::Unauthorized => response.with_header("WWW-Authenticate", "Bearer"),
            Status::MethodNotAllowed => response.with_header("Allow", Method::list(problem.allow)),
            Status::ServiceUnavailable => response.with_header("Retry-After", problem.retry_after),
            Status::Ok
            | Status::NoContent
            | Status::BadRequest
            | Status::Forbidden
            | Status::NotFound
            | Status::RequestTimeout
            | Status::Conflict
            | Status::ContentTooLarge
            | Status::UnsupportedMediaType
            | Status::ExpectationFailed
            | Status::MisdirectedRequest
            | Status::HeaderFieldsTooLarge
            | Status::UnprocessableContent
            | Status::NotImplemented => response,
        }
    }
}

impl StreamHead {
    /// Returns the head of an answer with status 200 to a request of this version.
    pub fn new(content_type: &'static str, version: HttpVersion) -> StreamHead {
        let framing = match version {
            HttpVersion::Http10 => Framing::UntilClose,
            HttpVersion::Http11 => Framing::Chunked,
        };
        StreamHead { content_type, framing, headers: Vec::new() }
    }

    /// Adds a header. A character of the value that could end the line is percent-encoded.
    pub fn with_header(mut self, name: &'static str, value: impl Display) -> StreamHead {
        self.headers.push((name, header_value(value)));
        self
    }

    /// Returns what happens to the connection after the stream, if the client wants to keep it.
    pub fn persistence(&self, keep_alive: bool) -> Persistence {
        match self.framing {
            Framing::Chunked if keep_alive => Persistence::KeepAlive,
            Framing::Chunked | Framing::UntilClose => Persistence::Close,
        }
    }

    /// Appends the head. The answer to HEAD is this alone.
    pub fn write(&self, out: &mut Vec<u8>, persistence: Persistence, unix_seconds: i64) {
        write_status(out, Status::Ok, unix_seconds);
        header(out, "Content-Type", self.content_type);
        match self.framing {
            Framing::Chunked => header(out, "Transfer-Encoding", "chunked"),
            Framing::UntilClose => {}
        }
        write_rest(out, &self.headers, persistence);
    }
}

impl Framing {
    /// Appends a piece of the body. An empty piece is nothing: as a chunk it would end the body.
    pub fn chunk(self, out: &mut Vec<u8>, bytes: &[u8]) {
        match self {
            Framing::Chunked if bytes.is_empty() => {}
            Framing::Chunked => {
                out.extend_from_slice(format!("{:x}\r\n", bytes.len()).as_bytes());
                out.extend_from_slice(bytes);
                out.extend_from_slice(b"\r\n");
            }
            Framing::UntilClose => out.extend_from_slice(bytes),
        }
    }

    /// Appends the end of the body.
    pub fn last_chunk(self, out: &mut Vec<u8>) {
        match self {
            Framing::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
            Framing::UntilClose => {}
        }
    }
}

/// Appends an answer; `head_only` is the answer to HEAD, which has the length of the body but not
/// the body.
pub fn write(
    response: &Response,
    out: &mut Vec<u8>,
    head_only: bool,
    persistence: Persistence,
    unix_seconds: i64,
) {
    write_status(out, response.status, unix_seconds);
    // An answer without content has neither a type nor a length (RFC 9110, 8.6).
    let has_content = response.status != Status::NoContent;
    if has_content {
        header(out, "Content-Type", response.content_type);
        header(out, "Content-Length", &response.body.len().to_string());
    }
    write_rest(out, &response.headers, persistence);
    if has_content && !head_only {
        out.extend_from_slice(&response.body);
    }
}

fn write_status(out: &mut Vec<u8>, status: Status, unix_seconds: i64) {
    let line = format!("HTTP/1.1 {} {}\r\n", status.code(), status.phrase());
    out.extend_from_slice(line.as_bytes());
    header(out, "Date", &date(unix_seconds));
}

fn write_rest(out: &mut Vec<u8>, more: &[(&'static str, String)], persistence: Persistence) {
    HEADERS.iter().for_each(|(name, value)| header(out, name, value));
    more.iter().for_each(|(name, value)| header(out, name, value));
    // A client of HTTP/1.0 that asked to keep the connection waits for this word.
    let connection = match persistence {
        Persistence::KeepAlive => "keep-alive",
        Persistence::Close => "close",
    };
    header(out, "Connection", connection);
    out.extend_from_slice(b"\r\n");
}

fn header(out: &mut Vec<u8>, name: &str, value: &str) {
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

/// Formats a time as headers have it: `Fri, 20 Nov 2026 18:17:05 GMT`.
fn date(unix_seconds: i64) -> String {
    let at = Civil::at(unix_seconds);
    let (weekday, month) = (&at.weekday_name()[..3], &at.month_name()[..3]);
    let (day, year, hour, minute, second) = (at.day, at.year, at.hour, at.minute, at.second);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} GMT")
}

/// Percent-encodes what is not visible ASCII.
fn header_value(value: impl Display) -> String {
    let mut encoded = String::new();
    for byte in value.to_string().bytes() {
        match byte {
            b' '..=b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 November 2026, 18:17:05 UTC.
    const NOW: i64 = 1_795_198_625;

    fn written(response: &Response, head_only: bool, persistence: Persistence) -> String {
        let mut out = Vec::new();
        write(response, &mut out, head_only, persistence, NOW);
        String::from_utf8(out).unwrap()
    }

    fn streamed(head: &StreamHead, persistence: Persistence) -> String {
        let mut out = Vec::new();
        head.write(&mut out, persistence, NOW);
        String::from_utf8(out).unwrap()
    }

    /// Splits an answer into its status line, headers and body.
    fn parts(text: &str) -> (&str, Vec<(&str, &str)>, &str) {
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap();
        (status, lines.map(|line| line.split_once(": ").unwrap()).collect(), body)
    }

    fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        let (_, headers, _) = parts(text);
        let found: Vec<_> = headers.iter().filter(|(known, _)| *known == name).collect();
        assert!(found.len() <= 1, "{name} is there twice: {text}");
        found.first().map(|(_, value)| *value)
    }

    #[test]
    fn an_answer_is_exactly_this() {
        let response = Response::new(Status::Ok, content_type::JSON, "{}\n");
        let expected = "HTTP/1.1 200 OK\r\n\
            Date: Fri, 20 Nov 2026 18:17:05 GMT\r\n\
            Content-Type: application/json\r\n\
            Content-Length: 3\r\n\
            Cache-Control: no-store\r\n\
            X-Content-Type-Options: nosniff\r\n\
            Cross-Origin-Resource-Policy: same-origin\r\n\
            Referrer-Policy: no-referrer\r\n\
            X-Frame-Options: DENY\r\n\
            Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; \
            connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
            frame-ancestors 'none'\r\n\
            Connection: keep-alive\r\n\r\n";
        let text = written(&response, false, Persistence::KeepAlive);
        assert_eq!(text, format!("{expected}{{}}\n"));
        assert_eq!(written(&response, true, Persistence::KeepAlive), expected, "to HEAD");
        let closing = expected.replace("keep-alive", "close");
        assert_eq!(written(&response, true, Persistence::Close), closing);
    }

    #[test]
    fn every_answer_protects_itself_from_pages_of_other_origins() {
        let problem = Response::from(Problem::bad_request("x"));
        let stream = StreamHead::new(content_type::EVENTS, HttpVersion::Http11);
        let answers = [
            written(&Response::no_content(), false, Persistence::Close),
            written(&problem, false, Persistence::Close),
            streamed(&stream, Persistence::KeepAlive),
        ];
        for text in answers {
            for (name, expected) in HEADERS {
                assert_eq!(value(&text, name), Some(expected), "{text}");
            }
            assert!(value(&text, "Date").is_some() && !text.contains("Access-Control"), "{text}");
        }
    }

    #[test]
    fn an_answer_without_content_has_no_type_and_no_length() {
        let text = written(&Response::no_content(), false, Persistence::KeepAlive);
        let (status, _, body) = parts(&text);
        assert_eq!((status, body), ("HTTP/1.1 204 No Content", ""));
        assert_eq!((value(&text, "Content-Type"), value(&text, "Content-Length")), (None, None));
    }

    #[test]
    fn each_problem_has_the_headers_that_its_status_requires() {
        const METHODS: &[Method] = &[Method::Head, Method::Get, Method::Delete];
        let cases = [
            (Problem::bad_request("x"), [None, None, None]),
            (Problem::new(Status::Unauthorized, "x"), [Some("Bearer"), None, None]),
            (Problem::method_not_allowed(METHODS), [None, Some("GET, HEAD, DELETE"), None]),
            (Problem::new(Status::ServiceUnavailable, "x"), [None, None, Some("1")]),
            (Problem::unavailable("x", 30), [None, None, Some("30")]),
        ];
        for (problem, expected) in cases {
            let text = written(&Response::from(problem.clone()), false, Persistence::KeepAlive);
            let names = ["WWW-Authenticate", "Allow", "Retry-After"];
            assert_eq!(names.map(|name| value(&text, name)), expected, "{text}");
            assert_eq!(value(&text, "Content-Type"), Some("application/problem+json"));
            let (status, _, body) = parts(&text);
            assert_eq!(body, problem.to_json());
            assert_eq!(value(&text, "Content-Length"), Some(body.len().to_string().as_str()));
            let code = format!("HTTP/1.1 {} ", problem.status.code());
            assert!(status.starts_with(&code), "{status}");
        }
    }

    #[test]
    fn a_value_from_outside_adds_no_line() {
        let value_text = "a\r\nSet-Cookie: x=1\r\n\r\n<script>\0é";
        let encoded = "a%0D%0ASet-Cookie: x=1%0D%0A%0D%0A<script>%00%C3%A9";
        let response =
            Response::new(Status::Ok, content_type::JSON, "").with_header("Location", value_text);
        let text = written(&response, false, Persistence::Close);
        assert_eq!(value(&text, "Location"), Some(encoded));
        let head = StreamHead::new(content_type::JSON, HttpVersion::Http10);
        let text = streamed(&head.with_header("Location", value_text), Persistence::Close);
        assert_eq!((value(&text, "Location"), parts(&text).2), (Some(encoded), ""));
    }

    #[test]
    fn a_stream_is_chunked_or_ends_with_the_connection() {
        let head = StreamHead::new(content_type::EVENTS, HttpVersion::Http11)
            .with_header("X-Accel-Buffering", "no");
        let text = streamed(&head, head.persistence(true));
        let names = ["Content-Type", "Transfer-Encoding", "Connection", "X-Accel-Buffering"];
        let values = ["text/event-stream", "chunked", "keep-alive", "no"].map(Some);
        assert_eq!(names.map(|name| value(&text, name)), values);
        assert_eq!(value(&text, "Content-Length"), None);
        assert_eq!(head.persistence(false), Persistence::Close);

        let head = StreamHead::new(content_type::JSON, HttpVersion::Http10);
        let text = streamed(&head, head.persistence(true));
        let values = [Some("application/json"), None, Some("close"), None];
        assert_eq!(names.map(|name| value(&text, name)), values);
    }

    #[test]
    fn pieces_are_framed_and_an_empty_one_does_not_end_the_body() {
        let framed = |framing: Framing| {
            let mut out = Vec::new();
            framing.chunk(&mut out, b"hello");
            framing.chunk(&mut out, b"");
            framing.chunk(&mut out, &[b'x'; 26]);
            framing.last_chunk(&mut out);
            String::from_utf8(out).unwrap()
        };
        let many = "x".repeat(26);
        assert_eq!(framed(Framing::Chunked), format!("5\r\nhello\r\n1a\r\n{many}\r\n0\r\n\r\n"));
        assert_eq!(framed(Framing::UntilClose), format!("hello{many}"));
    }

    #[test]
    fn a_date_is_in_the_format_of_the_standard() {
        // The example of RFC 9110, 5.6.7.
        assert_eq!(date(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
