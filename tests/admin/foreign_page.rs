//! A page of another origin, in a real browser, gets nothing from the admin endpoint and changes
//! nothing.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use crate::browser;
use crate::http::{Http, get};
use crate::scratch::Scratch;
use crate::test_daemon::TestDaemon;
use crate::wait::{PATIENCE, until};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Attempts of the script for each name of the endpoint.
const ATTEMPTS: usize = 14;

/// A server of one page, until the process ends. The page is loaded when its script has finished:
/// an image of it is answered only then.
struct PageServer {
    address: SocketAddr,
}

impl PageServer {
    fn start(page: String) -> PageServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let page: Arc<str> = page.into();
        let done = Arc::new((Mutex::new(false), Condvar::new()));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (page, done) = (page.clone(), done.clone());
                thread::spawn(move || serve(stream, &page, &done));
            }
        });
        PageServer { address }
    }
}

/// Answers one request.
fn serve(mut stream: TcpStream, page: &str, done: &(Mutex<bool>, Condvar)) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
    let Some(first) = lines.next() else { return };
    lines.find(String::is_empty);
    let body = match first.split(' ').nth(1).unwrap_or_default() {
        "/" => page,
        "/own" => "own",
        "/done" => {
            *done.0.lock().unwrap() = true;
            done.1.notify_all();
            ""
        }
        "/hold.png" => {
            let is_done = done.0.lock().unwrap();
            drop(done.1.wait_while(is_done, |is_done| !*is_done).unwrap());
            ""
        }
        _ => "",
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n"
    );
    // The browser may be gone.
    let _ = stream.write_all((head + body).as_bytes());
}

fn page(port: u16) -> String {
    let script = include_str!("foreign_page.js");
    // To a browser, another port is the same site, and another name another site.
    format!(
        "<!doctype html><html><body><ul id=\"results\"></ul><img src=\"/hold.png\">\
         <script>const BASES = [\"http://127.0.0.1:{port}\", \"http://localhost:{port}\"];\
         const TOKEN = \"{TOKEN}\";\n{script}</script></body></html>"
    )
}

#[test]
fn a_page_of_another_origin_reads_nothing_and_changes_nothing_in_a_real_browser() {
    let scratch = Scratch::new();
    let token = scratch.path("token");
    fs::write(&token, TOKEN).unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let line =
        format!("echo 127.0.0.1:0 -v --admin 127.0.0.1:0 --admin-token-file {}", token.display());
    let mut daemon = TestDaemon::start(&line);
    let mut client = daemon.client(0);
    client.echo(b"before");
    let server = PageServer::start(page(daemon.at(1).port()));
    let url = format!("http://{}/", server.address);
    let Some(loaded) = browser::load(&url, 1000) else { return };
    let items = loaded.dom.split("<li>").skip(1);
    let items: Vec<&str> = items.filter_map(|rest| rest.split("</li>").next()).collect();
    // A page that can fetch, so that the failures are those of the endpoint.
    assert_eq!(items.first(), Some(&"own page: got 200 own"), "{}", loaded.dom);
    assert_eq!(items.len(), 1 + 2 * ATTEMPTS, "{items:#?}");
    let got: Vec<_> = items[1..].iter().filter(|item| !item.ends_with(": failed")).collect();
    assert!(got.is_empty(), "a page of another origin has {got:#?}");
    let is_framing = |line: &String| line.contains("frame-ancestors");
    assert!(loaded.console.iter().any(is_framing), "{:#?}", loaded.console);
    // Requests were sent, and refused here rather than in the browser.
    let requests = |daemon: &TestDaemon, start: &str| {
        let start = format!("admin: {start}");
        daemon.lines().into_iter().filter(|line| line.contains(&start)).collect::<Vec<_>>()
    };
    until("the form and the beacon are sent", || {
        (requests(&daemon, "POST /drain").len() >= 6).then_some(())
    });
    for start in ["POST ", "DELETE ", "GET /events"] {
        let lines = requests(&daemon, start);
        assert!(lines.iter().all(|line| line.ends_with(": 403")), "{lines:#?}");
    }
    client.echo(b"still here");
    assert_eq!(get(&daemon, 1, "/version").json()["state"], "running");
    assert_eq!(get(&daemon, 1, "/log/level").json()["level"], "debug");
    // One that is no page may do it with the same token.
    let header = format!("Authorization: Bearer {TOKEN}\r\n");
    assert_eq!(Http::connect(&daemon, 1).ask("POST", "/drain", &header, "").status, 200);
    drop(client);
    assert_eq!(daemon.code(), Some(0));
}
