//! A client of the admin endpoint that shows what it receives, byte for byte where a test asks.

use std::io::Read;

use serde_json::Value;

use crate::test_daemon::TestDaemon;
use crate::test_stream::TestStream;

/// A connection to the admin endpoint.
pub struct Http {
    pub stream: TestStream,
    host: String,
    /// Received and not yet parsed.
    rest: Vec<u8>,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Http {
    /// Connects to a listener of a daemon.
    pub fn connect(daemon: &TestDaemon, listener: usize) -> Http {
        let address = daemon.address(listener);
        let host = address.strip_prefix("tcp://").unwrap_or("localhost").to_owned();
        Http { stream: daemon.client(listener), host, rest: Vec::new() }
    }

    /// Connects to another server, at `127.0.0.1:80`.
    pub fn connect_to(place: &str) -> Http {
        let stream = TestStream::connect(&format!("tcp://{place}"));
        Http { stream, host: place.to_owned(), rest: Vec::new() }
    }

    /// Sends a request without a body, and returns the answer.
    pub fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, "", "")
    }

    /// Sends a request with these header lines, and returns the answer.
    pub fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> Reply {
        self.send(method, path, headers, body);
        self.reply(method != "HEAD")
    }

    pub fn send(&mut self, method: &str, path: &str, headers: &str, body: &str) {
        let host = &self.host;
        let length = match body {
            "" => String::new(),
            body => format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()),
        };
        let request =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{headers}{length}\r\n{body}");
        self.stream.send(request.as_bytes());
    }

    /// Receives an answer.
    pub fn reply(&mut self, has_body: bool) -> Reply {
        let (status, headers) = self.head();
        let mut reply = Reply { status, headers, body: String::new() };
        if has_body && status != 204 {
            reply.body = self.body(&reply);
        }
        reply
    }

    /// Receives the head of an answer.
    pub fn head(&mut self) -> (u16, Vec<(String, String)>) {
        let end = loop {
            if let Some(at) = find(&self.rest, b"\r\n\r\n") {
                break at + 4;
            }
            self.more();
        };
        let head = String::from_utf8(self.rest.drain(..end).collect()).unwrap();
        let mut lines = head.lines();
        let status = lines.next().unwrap();
        assert!(status.starts_with("HTTP/1.1 "), "{status}");
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let headers = lines.take_while(|line| !line.is_empty()).map(pair).collect();
        (status[9..12].parse().unwrap(), headers)
    }

    fn body(&mut self, reply: &Reply) -> String {
        if reply.header("Transfer-Encoding") == Some("chunked") {
            return self.chunks();
        }
        match reply.header("Content-Length") {
            Some(length) => {
                let length: usize = length.parse().unwrap();
                while self.rest.len() < length {
                    self.more();
                }
                String::from_utf8(self.rest.drain(..length).collect()).unwrap()
            }
            None => {
                let mut rest = std::mem::take(&mut self.rest);
                self.stream.read_to_end(&mut rest).unwrap();
                String::from_utf8(rest).unwrap()
            }
        }
    }

    fn chunks(&mut self) -> String {
        let mut body = String::new();
        loop {
            match self.chunk() {
                chunk if chunk.is_empty() => return body,
                chunk => body.push_str(&chunk),
            }
        }
    }

    /// Receives one chunk. The last one is empty.
    pub fn chunk(&mut self) -> String {
        let line = loop {
            if let Some(at) = find(&self.rest, b"\r\n") {
                break at;
            }
            self.more();
        };
        let length = String::from_utf8(self.rest[..line].to_vec()).unwrap();
        let length = usize::from_str_radix(&length, 16).unwrap();
        while self.rest.len() < line + 2 + length + 2 {
            self.more();
        }
        let chunk = self.rest[line + 2..line + 2 + length].to_vec();
        assert_eq!(&self.rest[line + 2 + length..line + 4 + length], b"\r\n");
        self.rest.drain(..line + 4 + length);
        String::from_utf8(chunk).unwrap()
    }

    fn more(&mut self) {
        let mut buffer = [0; 64 * 1024];
        let read = self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("{error}"));
        assert!(read > 0, "closed after {:?}", String::from_utf8_lossy(&self.rest));
        self.rest.extend_from_slice(&buffer[..read]);
    }
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body, which must be JSON with the status 200.
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        assert_eq!(self.header("Content-Type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }

    /// The detail of a problem, which must have this status.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("Content-Type"), Some("application/problem+json"), "{self:?}");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// Asks a daemon over a new connection.
pub fn get(daemon: &TestDaemon, listener: usize, path: &str) -> Reply {
    Http::connect(daemon, listener).get(path)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
