//! docs/admin.md against real answers: each field of an answer has its row, and each row its field.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::http::Http;
use crate::scratch::Scratch;
use crate::target::Target;
use crate::test_daemon::TestDaemon;
use crate::wait::until;

fn page() -> String {
    fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/admin.md")).unwrap()
}

/// The fields in the first columns of the tables in a section that do not list parameters.
fn documented(page: &str, heading: &str) -> BTreeSet<String> {
    let start = page.find(&format!("### {heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = &page[start + 4..];
    let section = &section[..section.find("\n##").unwrap_or(section.len())];
    let mut fields = BTreeSet::new();
    let mut in_fields = false;
    for line in section.lines() {
        in_fields = match line {
            _ if line.starts_with("| field") => true,
            _ if line.starts_with('|') => in_fields,
            _ => false,
        };
        let Some(cell) = line.strip_prefix("| `").filter(|_| in_fields) else { continue };
        let cell = cell.split(" |").next().unwrap();
        fields.extend(cell.split(", ").map(|field| field.trim_matches('`').to_owned()));
    }
    fields
}

/// The fields of an answer, as the page writes them.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                if !value.is_array() {
                    found.insert(path.clone());
                }
                fields(value, &path, found);
            }
        }
        Value::Array(items) => {
            let path = format!("{path}[]");
            for item in items {
                if !item.is_object() {
                    found.insert(path.clone());
                }
                fields(item, &path, found);
            }
        }
        _ => {}
    }
}

/// Fields that only some answers have, so a missing one is no mistake of the page.
fn is_optional(field: &str) -> bool {
    [
        "longest_turn.",
        "drain.",
        "watches[].",
        "where_are_the_bytes.",
        "who_is_slow.",
        "paused[]",
        "changed[]",
    ]
    .iter()
    .any(|part| field.contains(part))
}

#[test]
fn each_resource_has_the_fields_of_its_table() {
    let (page, scratch, target) = (page(), Scratch::new(), Target::tcp());
    let socket = scratch.path("admin.sock");
    let daemon = TestDaemon::start(&format!(
        "relay 127.0.0.1:0 {} --idle-timeout 1h --admin {}",
        target.address(),
        socket.display()
    ));
    let mut clients = [daemon.client(0), daemon.client(0)];
    let mut servers = [target.accept(), target.accept()];
    for (client, server) in clients.iter_mut().zip(&mut servers) {
        client.send(b"question");
        assert_eq!(server.get(8), b"question");
    }
    let mut admin = Http::connect(&daemon, 1);
    until("a turn is over", || {
        (!admin.get("/loop").json()["longest_turn"].is_null()).then_some(())
    });
    let mut wrong = Vec::new();
    for (method, path, heading) in [
        ("GET", "/", "GET /"),
        ("GET", "/livez", "GET /livez"),
        ("GET", "/readyz", "GET /readyz"),
        ("GET", "/version", "GET /version"),
        ("GET", "/routes", "GET /routes"),
        ("GET", "/listeners", "GET /listeners"),
        ("GET", "/connections", "GET /connections"),
        ("GET", "/connections/1", "GET /connections/N"),
        ("GET", "/loop", "GET /loop"),
        ("GET", "/timers", "GET /timers"),
        ("GET", "/limits", "GET /limits"),
        ("GET", "/reasons", "GET /reasons"),
        ("GET", "/log/level", "GET /log/level"),
        ("DELETE", "/connections/2", "DELETE /connections/N"),
        ("POST", "/pause", "POST /pause"),
        ("DELETE", "/record", "POST /record"),
        ("POST", "/watch?connection=1", "POST /watch"),
        ("GET", "/watch", "POST /watch"),
        ("DELETE", "/watch", "POST /watch"),
        ("POST", "/drain", "POST /drain"),
        ("GET", "/timers", "GET /timers"),
    ] {
        let answer = admin.ask(method, path, "", "").json();
        let mut found = BTreeSet::new();
        fields(&answer, "", &mut found);
        let documented = documented(&page, heading);
        for field in found.difference(&documented) {
            wrong.push(format!("{heading}: {field} is not on the page"));
        }
        for field in documented.difference(&found).filter(|field| !is_optional(field)) {
            wrong.push(format!("{heading}: {field} is not in the answer: {answer}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_index_and_the_page_have_the_same_resources() {
    let page = page();
    let daemon = TestDaemon::start("echo 127.0.0.1:0 --admin 127.0.0.1:0");
    let index = Http::connect(&daemon, 1).get("/").json();
    for row in index["resources"].as_array().unwrap() {
        let path = row["path"].as_str().unwrap();
        assert!(page.contains(&format!("`{path}`")), "{path} is not on the page");
    }
}
