//! Sends requests to the admin endpoint, one connection each, and returns its answers. Errors name
//! the address.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use socket2::Socket;

use super::error::{CtlError, message};
use super::reply::{self, BODY_BYTES, HttpReply};
use crate::admin::resources::{HealthResource, ProblemResource};
use crate::config::{Address, Host};
use crate::net::blocking;
use crate::text::escape::{self, plain};

/// Maximum time to connect.
const CONNECT: Duration = Duration::from_secs(5);
/// Maximum time without a byte of the answer, and for sending the request.
const READ: Duration = Duration::from_secs(30);
/// The same for the start of a recording: the daemon visits all connections before it answers.
const START: Duration = Duration::from_secs(600);
/// Maximum bytes of a token and its line end.
const TOKEN_BYTES: u64 = 4096;
/// Maximum columns of an answer that is no problem document, in an error.
const SHOWN_COLUMNS: usize = 160;

/// A request, without the headers that all have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminRequest {
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// JSON.
    pub body: Option<String>,
}

/// The address of the admin endpoint, and the token to send.
pub struct Endpoint {
    address: Address,
    token: Option<String>,
}

impl AdminRequest {
    pub fn get(target: impl Into<String>) -> AdminRequest {
        AdminRequest { method: "GET", target: target.into(), body: None }
    }

    pub fn post(target: impl Into<String>, body: Option<String>) -> AdminRequest {
        AdminRequest { method: "POST", target: target.into(), body }
    }

    pub fn delete(target: impl Into<String>) -> AdminRequest {
        AdminRequest { method: "DELETE", target: target.into(), body: None }
    }

    /// Adds a parameter to the query.
    pub fn with(mut self, name: &str, value: Option<&str>) -> AdminRequest {
        if let Some(value) = value {
            self.target.push(if self.target.contains('?') { '&' } else { '?' });
            self.target += &format!("{name}={}", percent_encoded(value));
        }
        self
    }

    /// Formats the request as it is sent.
    fn text(&self, host: &str, token: Option<&str>) -> String {
        let AdminRequest { method, target, body } = self;
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "{method} {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: oneloop/{version}\r\n\
             Accept: */*\r\nConnection: close\r\n"
        );
        if let Some(token) = token {
            text += &format!("Authorization: Bearer {token}\r\n");
        }
        if *method == "POST" {
            let length = body.as_ref().map_or(0, String::len);
            text += "Content-Type: application/json\r\n";
            text += &format!("Content-Length: {length}\r\n");
        }
        text + "\r\n" + body.as_deref().unwrap_or_default()
    }
}

impl Endpoint {
    /// Reads the token, if there is a file of one.
    pub fn new(address: Address, token_file: Option<&Path>) -> Result<Endpoint, CtlError> {
        let token = token_file.map(read_token).transpose()?;
        Ok(Endpoint { address, token })
    }

    /// Returns the body of an answer that is not an error.
    pub fn fetch(&self, request: &AdminRequest) -> Result<String, CtlError> {
        self.fetch_within(READ, request)
    }

    /// Starts a recording, or changes it.
    pub fn start_recording(&self, request: &AdminRequest) -> Result<String, CtlError> {
        self.fetch_within(START, request)
    }

    fn fetch_within(&self, limit: Duration, request: &AdminRequest) -> Result<String, CtlError> {
        let reply = self.open(request, Some(limit))?;
        reply.body.text(BODY_BYTES).map_err(|error| self.failed(&error))
    }

    /// Returns the same, or None if there is no such resource.
    pub fn find(&self, request: &AdminRequest) -> Result<Option<String>, CtlError> {
        let reply = self.exchange(request, Some(READ))?;
        if reply.status == 404 {
            return Ok(None);
        }
        let body = self.accepted(reply)?.body;
        body.text(BODY_BYTES).map(Some).map_err(|error| self.failed(&error))
    }

    /// Sends a request and returns the answer, with its body to be read.
    pub fn stream(&self, request: &AdminRequest) -> Result<impl Read, CtlError> {
        self.open(request, Some(READ)).map(|reply| reply.body)
    }

    /// Downloads what was recorded so far, if it has at most this many bytes.
    pub fn recording(&self, max: u64) -> Result<Vec<u8>, CtlError> {
        let mut bytes = Vec::new();
        let request = AdminRequest::get("/record");
        let body = self.stream(&request)?;
        let read = body.take(max.saturating_add(1)).read_to_end(&mut bytes);
        read.map_err(|error| self.failed(&error))?;
        match bytes.len() as u64 <= max {
            true => Ok(bytes),
            false => Err(self.error(&format!("the recording has more than {} MiB", max >> 20))),
        }
    }

    /// Returns the answer to a request without a time limit between its parts.
    pub fn stream_of_events(&self, request: &AdminRequest) -> Result<impl Read, CtlError> {
        let reply = self.open(request, None)?;
        match reply.content_type.as_str() {
            "text/event-stream" => Ok(reply.body),
            _ => Err(self.error("the answer is not a stream of events")),
        }
    }

    /// Checks whether the daemon is ready. The error says why not.
    pub fn ready(&self) -> Result<(), CtlError> {
        let reply = self.exchange(&AdminRequest::get("/readyz"), Some(READ))?;
        if reply.status == 200 {
            return Ok(());
        }
        let (status, phrase) = (reply.status, reply.phrase);
        let text = reply.body.text(BODY_BYTES).unwrap_or_default();
        let why = match serde_json::from_str::<HealthResource>(&text) {
            Ok(health) => plain(&health.status).to_string(),
            Err(_) => problem(status, &phrase, &text),
        };
        // One line: probes log it.
        Err(self.error(&format!("not ready: {}", why.replace('\n', " "))))
    }

    /// Returns the address of the endpoint.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns the error of an answer that cannot be used.
    pub fn error(&self, text: &str) -> CtlError {
        CtlError::Failed(format!("{}: {text}", plain(&self.address.to_string())))
    }

    /// Returns the error of an answer that cannot be read.
    pub fn failed(&self, error: &io::Error) -> CtlError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => self.error("no answer in time"),
            _ => self.error(&plain(&message(error)).to_string()),
        }
    }

    /// Sends a request. An answer with an error status becomes an error.
    fn open(
        &self,
        request: &AdminRequest,
        limit: Option<Duration>,
    ) -> Result<HttpReply<Socket>, CtlError> {
        self.accepted(self.exchange(request, limit)?)
    }

    /// Returns an answer that is not an error.
    fn accepted(&self, reply: HttpReply<Socket>) -> Result<HttpReply<Socket>, CtlError> {
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        let (status, phrase) = (reply.status, reply.phrase);
        // Without its body the status is still known.
        let text = reply.body.text(BODY_BYTES).unwrap_or_default();
        let hint = match (status, &self.token) {
            (401, None) => "\n  give the token of the daemon with --token-file FILE",
            _ => "",
        };
        Err(self.error(&format!("{}{hint}", problem(status, &phrase, &text))))
    }

    /// Connects, sends a request and reads the head of the answer.
    fn exchange(
        &self,
        request: &AdminRequest,
        limit: Option<Duration>,
    ) -> Result<HttpReply<Socket>, CtlError> {
        let mut socket = blocking::connect(&self.address, CONNECT).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::TimedOut => format!("no answer within {} s", CONNECT.as_secs()),
                _ => plain(&message(&error)).to_string(),
            };
            self.error(&format!("cannot connect: {why}"))
        })?;
        let text = request.text(&host(&self.address), self.token.as_deref());
        let sent = socket
            .set_write_timeout(Some(READ))
            .and_then(|()| socket.set_read_timeout(limit))
            .and_then(|()| socket.write_all(text.as_bytes()));
        match sent {
            // A server that refuses early may have answered before it closed.
            Err(error) if !is_closed(&error) => return Err(self.failed(&error)),
            _ => {}
        }
        reply::read(socket).map_err(|error| self.failed(&error))
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// Describes an error answer: title and detail, or the status and the begin of its text.
fn problem(status: u16, phrase: &str, text: &str) -> String {
    if let Ok(ProblemResource { title, detail, .. }) = serde_json::from_str(text) {
        return match detail.is_empty() || detail == title {
            true => plain(&title).to_string(),
            // The errors of a configuration file have lines of their own.
            false if status == 422 => format!("{}: {}", plain(&title), escape::message(&detail)),
            false => format!("{}: {}", plain(&title), plain(&detail)),
        };
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty());
    let head = format!("{status} {phrase}");
    let head = plain(head.trim_end());
    match first {
        Some(line) => format!("{head}: {}", plain(line).within(SHOWN_COLUMNS)),
        None => head.to_string(),
    }
}

/// Returns the value of the Host header. A Unix socket has no name: any will do.
fn host(address: &Address) -> String {
    match address {
        Address::Tcp(Host::Any, port) => format!("localhost:{port}"),
        Address::Tcp(Host::Name(name), port) => match name.split_once('%') {
            // A zone is local to this machine, and no part of a name in HTTP.
            Some((ip, _)) => format!("[{ip}]:{port}"),
            None => format!("{name}:{port}"),
        },
        Address::Tcp(host @ Host::Ip(_), port) => format!("{host}:{port}"),
        Address::Unix(_) | Address::Udp(..) | Address::UnixDatagram(_) => "localhost".to_string(),
    }
}

/// Reads a token: one line of visible ASCII, since it becomes a part of a header.
fn read_token(path: &Path) -> Result<String, CtlError> {
    let wrong = |why: &str| {
        CtlError::Usage(format!("token file {}: {why}", plain(&path.display().to_string())))
    };
    let mut text = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(TOKEN_BYTES).read_to_end(&mut text));
    opened.map_err(|error| wrong(&message(&error)))?;
    let token = text.trim_ascii();
    let is_token = !token.is_empty() && token.iter().all(u8::is_ascii_graphic);
    match std::str::from_utf8(token) {
        Ok(token) if is_token => Ok(token.to_string()),
        _ => Err(wrong("must contain one line of visible ASCII characters")),
    }
}

/// Encodes a value of a query.
fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' | b'/' => {
                encoded.push(char::from(byte));
            }
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_form() {
        let request = AdminRequest::get("/connections").with("route", Some("a b&c=é#"));
        let request = request.with("peer", None).with("limit", Some("5"));
        let expected = format!(
            "GET /connections?route=a%20b%26c%3D%C3%A9%23&limit=5 HTTP/1.1\r\nHost: h:1\r\n\
             User-Agent: oneloop/{}\r\nAccept: */*\r\nConnection: close\r\n\
             Authorization: Bearer t\r\n\r\n",
            env!("CARGO_PKG_VERSION")
        );
        assert_eq!(request.text("h:1", Some("t")), expected);
        let text = AdminRequest::post("/log/level", Some("{}".to_string())).text("h:1", None);
        let end = "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        assert!(text.starts_with("POST /log/level HTTP/1.1\r\n") && text.ends_with(end), "{text}");
        let text = AdminRequest::post("/drain", None).text("h:1", None);
        assert!(text.ends_with("Content-Length: 0\r\n\r\n"), "{text}");
    }

    #[test]
    fn the_host_is_the_one_that_the_endpoint_expects() {
        let cases = [
            ("127.0.0.1:9900", "127.0.0.1:9900"),
            ("[::1]:9900", "[::1]:9900"),
            ("[fe80::1%eth0]:9900", "[fe80::1]:9900"),
            (":9900", "localhost:9900"),
            ("name:9900", "name:9900"),
            ("/run/x.sock", "localhost"),
        ];
        for (address, expected) in cases {
            assert_eq!(host(&Address::parse(address).unwrap()), expected);
        }
    }

    #[test]
    fn a_problem_has_a_title_and_a_detail() {
        let json = r#"{"title":"not found","status":404,"detail":"no connection 7"}"#;
        assert_eq!(problem(404, "Not Found", json), "not found: no connection 7");
        let json = r#"{"title":"x\u001b[2J","status":404,"detail":""}"#;
        assert_eq!(problem(404, "Not Found", json), "x\\x1b[2J");
        assert_eq!(
            problem(502, "Bad Gateway", "\n <h1>\x1b no\n"),
            "502 Bad Gateway: <h1>\\x1b no"
        );
        assert_eq!(problem(502, "", ""), "502");
    }
}
