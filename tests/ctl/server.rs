//! An HTTP server with one answer per connection, and a run of the binary.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};

use crate::scratch::Scratch;
use crate::wait::{PATIENCE, until};

/// Maximum bytes of a request.
const REQUEST_BYTES: usize = 64 * 1024;

/// Sends its answers to one connection after the other, and keeps what each requested.
pub struct HttpServer {
    pub address: String,
    thread: JoinHandle<Vec<String>>,
    _scratch: Option<Scratch>,
}

/// Output and exit status of the binary.
#[derive(Debug)]
pub struct Finished {
    pub status: i32,
    pub out: String,
    pub err: String,
}

/// Formats an answer with a status, such as `200 OK`, and a body of JSON.
pub fn answer(status: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = "Content-Type: application/json\r\nConnection: close\r\n";
    format!("HTTP/1.1 {status}\r\n{head}Content-Length: {length}\r\n\r\n{body}").into_bytes()
}

pub fn ok(body: &str) -> Vec<u8> {
    answer("200 OK", body)
}

impl HttpServer {
    pub fn tcp(answers: Vec<Vec<u8>>) -> HttpServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let accept = move || listener.accept().map(|(stream, _)| stream);
        let thread = thread::spawn(move || serve(accept, answers));
        HttpServer { address, thread, _scratch: None }
    }

    pub fn unix(answers: Vec<Vec<u8>>) -> HttpServer {
        let scratch = Scratch::new();
        let path = scratch.path("admin.sock");
        HttpServer { _scratch: Some(scratch), ..HttpServer::unix_at(&path, answers) }
    }

    pub fn unix_at(path: &Path, answers: Vec<Vec<u8>>) -> HttpServer {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        let accept = move || listener.accept().map(|(stream, _)| stream);
        let thread = thread::spawn(move || serve(accept, answers));
        HttpServer { address: path.display().to_string(), thread, _scratch: None }
    }

    /// Waits until all answers are sent. Returns the requests.
    pub fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

/// A connection whose reads have a time limit.
trait Stream: Read + Write {
    fn limit(&self) -> io::Result<()>;
}

impl Stream for TcpStream {
    fn limit(&self) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(Some(PATIENCE))
    }
}

impl Stream for std::os::unix::net::UnixStream {
    fn limit(&self) -> io::Result<()> {
        self.set_nonblocking(false)?;
        self.set_read_timeout(Some(PATIENCE))
    }
}

fn serve<S: Stream>(accept: impl Fn() -> io::Result<S>, answers: Vec<Vec<u8>>) -> Vec<String> {
    let mut requests = Vec::new();
    for answer in answers {
        let mut stream = until("a client", || accept().ok());
        stream.limit().unwrap();
        requests.push(request(&mut stream));
        // The client may close without reading all of it.
        let _ = stream.write_all(&answer);
    }
    requests
}

/// Accepts one client, within a time limit.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let stream = until("a client", || listener.accept().ok()).0;
    stream.limit().unwrap();
    stream
}

/// Reads one request with its body.
pub fn request(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0 && bytes.len() < REQUEST_BYTES, "no request: {text:?}");
        bytes.extend_from_slice(&buffer[..count]);
    }
}

/// Returns the command of ctl without variables that choose an address or colors.
pub fn ctl(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oneloop"));
    command.arg("ctl").args(arguments).stdin(Stdio::null());
    for name in ["ONELOOP_ADMIN", "XDG_RUNTIME_DIR", "NO_COLOR", "RUST_LOG"] {
        command.env_remove(name);
    }
    command
}

pub fn finish(mut command: Command) -> Finished {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let (out, err) = (text(output.stdout), text(output.stderr));
    Finished { status: output.status.code().unwrap(), out, err }
}

/// Runs ctl against a server with these answers. Returns the requests too.
pub fn run(arguments: &[&str], answers: Vec<Vec<u8>>) -> (Finished, Vec<String>) {
    let server = HttpServer::tcp(answers);
    let mut command = ctl(&["--admin", &server.address]);
    command.args(arguments);
    (finish(command), server.requests())
}

/// Returns an address of TCP that refuses connections.
pub fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// A file of the test.
pub fn file(scratch: &Scratch, name: &str, content: &str) -> PathBuf {
    let path = scratch.path(name);
    std::fs::write(&path, content).unwrap();
    path
}
