//! Who may ask for what: pages of other origins, names that an attacker has chosen, and clients
//! without the right to write.

use super::authority::Authority;
use super::problem::{Problem, Status};
use super::request::HttpRequest;
use super::token::AdminToken;
use crate::runtime::admin_port::AdminRole;

/// The resources that need no token on any listener.
const OPEN_PATHS: [&str; 3] = ["/livez", "/readyz", "/metrics"];
/// The port of a `Host` without one.
const HTTP_PORT: u16 = 80;

/// The access rules of a listener.
#[derive(Clone, Debug, Default)]
pub struct AccessRules {
    /// Names of `--admin-host` that a client may use beside those of the loopback interface.
    pub hosts: Vec<String>,
    /// The bound port. None: a Unix socket.
    pub port: Option<u16>,
    pub token: Option<AdminToken>,
}

/// How the client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// `loopback`: the listener is bound to a loopback address.
    Tcp { loopback: bool },
    /// `trusted`: the peer is of our user or root.
    Unix { trusted: bool },
}

impl AccessRules {
    /// Checks a request for a resource that `writes` (changes something), or `streams` (occupies a
    /// stream until the client leaves).
    pub fn check(
        &self,
        request: &HttpRequest,
        via: Via,
        role: AdminRole,
        writes: bool,
        streams: bool,
    ) -> Result<(), Problem> {
        if let Via::Tcp { .. } = via {
            // A browser cannot reach a Unix socket.
            match role {
                AdminRole::Metrics => {}
                AdminRole::Admin => self.check_host(request)?,
            }
            check_origin(request, streams)?;
        }
        match role {
            AdminRole::Metrics if writes => Err(forbidden("this listener is for reading only")),
            AdminRole::Metrics => Ok(()),
            AdminRole::Admin if writes => self.check_writer(request, via),
            AdminRole::Admin => self.check_reader(request, via),
        }
    }

    /// Checks the name that the client uses for us. A page whose name resolves to our address (DNS
    /// rebinding) is of the same origin to the browser, but the browser sends its name.
    fn check_host(&self, request: &HttpRequest) -> Result<(), Problem> {
        let Some(host) = &request.host else {
            // No browser leaves it out. `request` refuses it in HTTP/1.1.
            return Ok(());
        };
        let is_given = self.hosts.iter().any(|name| host.has_host(name));
        let is_our_port = host.port.is_some() && host.port == self.port;
        let is_default_port = host.port.is_none() && self.port == Some(HTTP_PORT);
        // A given name may belong to a proxy, which has a port of its own.
        let is_ours = match host.is_loopback() {
            true => is_our_port || is_default_port,
            false => false,
        };
        match is_ours || is_given && (is_our_port || host.port.is_none()) {
            true => Ok(()),
            false => {
                let name = &host.host;
                let hint = "use localhost, 127.0.0.1 or [::1] and the port of this listener";
                let wrong = format!("{host} is not served here: {hint}, or --admin-host {name}");
                Err(Problem::new(Status::MisdirectedRequest, wrong))
            }
        }
    }

    fn check_writer(&self, request: &HttpRequest, via: Via) -> Result<(), Problem> {
        match (via, &self.token) {
            (Via::Unix { trusted: true }, _) => Ok(()),
            (Via::Unix { trusted: false } | Via::Tcp { .. }, Some(token)) => bearer(request, token),
            (Via::Unix { trusted: false }, None) => Err(forbidden(
                "changes are accepted from the user of this process and from root; others need \
                 the token of --admin-token-file, which was not given",
            )),
            (Via::Tcp { .. }, None) => Err(forbidden(
                "this listener is for reading only: start with --admin-token-file FILE, or use \
                 --admin with a Unix socket",
            )),
        }
    }

    fn check_reader(&self, request: &HttpRequest, via: Via) -> Result<(), Problem> {
        match via {
            Via::Unix { .. } | Via::Tcp { loopback: true } => Ok(()),
            Via::Tcp { loopback: false } if OPEN_PATHS.contains(&request.path.as_str()) => Ok(()),
            Via::Tcp { loopback: false } => match &self.token {
                Some(token) => bearer(request, token),
                None => Err(forbidden(
                    "only /livez, /readyz and /metrics are served to other hosts: start with \
                     --admin-token-file FILE",
                )),
            },
        }
    }
}

/// Refuses what a page of another origin asks for.
///
/// Browsers say who asks in `Sec-Fetch-Site`; they leave it out for plain HTTP to other hosts, and
/// then say it in `Origin` where the request could change something. A client that sends neither is
/// no browser.
fn check_origin(request: &HttpRequest, streams: bool) -> Result<(), Problem> {
    let is_guarded = streams || !request.method.is_safe();
    let is_ours = match (request.sec_fetch_site.as_deref(), request.origin.as_deref()) {
        (Some("same-origin" | "none"), _) => true,
        // The answer cannot be read by the page that asks (CORP), and nothing changes.
        (Some("same-site"), _) => !is_guarded,
        (Some(_), _) => false,
        (None, Some(origin)) => !is_guarded || is_same_origin(origin, request.host.as_ref()),
        (None, None) => true,
    };
    match is_ours {
        true => Ok(()),
        false => Err(forbidden("refused: a page of another origin asks for this")),
    }
}

/// Whether an origin has the host and port that the request is addressed to. The scheme may differ:
/// a proxy may add TLS. The origin `null` is that of a sandboxed page, and never ours.
fn is_same_origin(origin: &str, host: Option<&Authority>) -> bool {
    let Some((scheme, rest)) = origin.split_once("://") else { return false };
    ["http", "https"].contains(&scheme)
        && host.is_some_and(|host| Authority::parse(rest).as_ref() == Some(host))
}

fn bearer(request: &HttpRequest, token: &AdminToken) -> Result<(), Problem> {
    let wrong = match &request.authorization {
        Some(credentials) if token.admits(credentials) => return Ok(()),
        Some(_) => "this is not the token of --admin-token-file",
        None => "send the token of --admin-token-file as Authorization: Bearer TOKEN",
    };
    Err(Problem::new(Status::Unauthorized, wrong))
}

fn forbidden(detail: &str) -> Problem {
    Problem::new(Status::Forbidden, detail)
}

#[cfg(test)]
mod tests {
    use super::super::request::{HttpVersion, ParsedRequest, parse};
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const PORT: u16 = 9900;
    const LOOPBACK: Via = Via::Tcp { loopback: true };
    const PUBLIC: Via = Via::Tcp { loopback: false };
    const OURS: Via = Via::Unix { trusted: true };
    const OTHERS: Via = Via::Unix { trusted: false };

    /// What a resource does.
    #[derive(Clone, Copy, Debug)]
    enum Kind {
        Read,
        Write,
        Stream,
    }

    fn rules(token: bool) -> AccessRules {
        let token = token.then(|| AdminToken::parse(SECRET).unwrap());
        AccessRules { hosts: vec!["Admin.example".into()], port: Some(PORT), token }
    }

    fn request(line: &str, headers: &str) -> HttpRequest {
        let text = format!("{line} HTTP/1.1\r\n{}\r\n", headers.replace('\n', "\r\n"));
        match parse(text.as_bytes()) {
            ParsedRequest::Complete { request, .. } => *request,
            other => panic!("{text:?}: {other:?}"),
        }
    }

    /// Checks a request to the admin listener. Returns the status: 200 if it may pass.
    fn status(rules: &AccessRules, via: Via, kind: Kind, headers: &str) -> u16 {
        let (line, writes, streams) = match kind {
            Kind::Read => ("GET /connections", false, false),
            Kind::Write => ("POST /drain", true, false),
            Kind::Stream => ("GET /events", false, true),
        };
        let request = request(line, headers);
        code(rules.check(&request, via, AdminRole::Admin, writes, streams))
    }

    fn code(checked: Result<(), Problem>) -> u16 {
        checked.map_or_else(|problem| problem.status.code(), |()| 200)
    }

    #[test]
    fn the_host_is_a_loopback_name_with_our_port_or_a_given_one() {
        let cases = [
            ("localhost:9900", 200),
            ("LOCALHOST:9900", 200),
            ("127.0.0.1:9900", 200),
            ("127.0.0.53:9900", 200),
            ("[::1]:9900", 200),
            ("[::ffff:127.0.0.1]:9900", 200),
            ("localhost", 421),
            ("localhost:", 421),
            ("localhost:80", 421),
            ("127.0.0.1:9901", 421),
            ("admin.example", 200),
            ("ADMIN.example:9900", 200),
            ("admin.example:443", 421),
            ("admin.example.evil.example:9900", 421),
            ("evil.example:9900", 421),
            ("localhost.evil.example:9900", 421),
            ("10.0.0.1:9900", 421),
            ("0.0.0.0:9900", 421),
            ("[::]:9900", 421),
        ];
        for (host, expected) in cases {
            let headers = format!("Host: {host}\n");
            assert_eq!(status(&rules(false), LOOPBACK, Kind::Read, &headers), expected, "{host}");
            assert_eq!(status(&rules(false), OURS, Kind::Read, &headers), 200, "{host}");
            let asked = request("GET /metrics", &headers);
            let open = rules(false).check(&asked, PUBLIC, AdminRole::Metrics, false, false);
            assert_eq!(code(open), 200, "{host}");
        }
        let on_80 = AccessRules { port: Some(80), ..rules(false) };
        let at_80 = |headers| status(&on_80, LOOPBACK, Kind::Read, headers);
        assert_eq!(at_80("Host: localhost\n"), 200);
        assert_eq!(at_80("Host: localhost:80\n"), 200);
        assert_eq!(at_80("Host: localhost:9900\n"), 421);
    }

    #[test]
    fn a_host_that_is_missing_is_no_browser_s() {
        let ParsedRequest::Complete { request, .. } = parse(b"GET /loop HTTP/1.0\r\n\r\n") else {
            panic!("is a request");
        };
        let checked = rules(false).check(&request, LOOPBACK, AdminRole::Admin, false, false);
        assert_eq!((request.version, checked), (HttpVersion::Http10, Ok(())));
    }

    /// Headers after a good `Host`, and the status of a read, a write and a stream.
    #[test]
    fn a_page_of_another_origin_is_refused() {
        let cases = [
            ("", [200, 200, 200]),
            ("Sec-Fetch-Site: same-origin\n", [200, 200, 200]),
            ("Sec-Fetch-Site: none\n", [200, 200, 200]),
            ("Sec-Fetch-Site: same-site\n", [200, 403, 403]),
            ("Sec-Fetch-Site: cross-site\n", [403, 403, 403]),
            ("Sec-Fetch-Site: \n", [403, 403, 403]),
            ("Sec-Fetch-Site: Same-Origin\n", [403, 403, 403]),
            ("Origin: http://localhost:9900\n", [200, 200, 200]),
            ("Origin: https://localhost:9900\n", [200, 200, 200]),
            ("Origin: http://LOCALHOST:9900\n", [200, 200, 200]),
            ("Origin: http://127.0.0.1:9900\n", [200, 403, 403]),
            ("Origin: http://localhost\n", [200, 403, 403]),
            ("Origin: http://localhost:8000\n", [200, 403, 403]),
            ("Origin: http://localhost:9900.evil.example\n", [200, 403, 403]),
            ("Origin: http://localhost:9900@evil.example\n", [200, 403, 403]),
            ("Origin: http://localhost:9900/\n", [200, 403, 403]),
            ("Origin: http://evil.example\n", [200, 403, 403]),
            ("Origin: file://localhost:9900\n", [200, 403, 403]),
            ("Origin: localhost:9900\n", [200, 403, 403]),
            ("Origin: null\n", [200, 403, 403]),
            ("Origin: \n", [200, 403, 403]),
            ("Sec-Fetch-Site: same-origin\nOrigin: null\n", [200, 200, 200]),
            ("Sec-Fetch-Site: cross-site\nOrigin: http://localhost:9900\n", [403, 403, 403]),
        ];
        for (more, expected) in cases {
            let headers = format!("Host: localhost:9900\nAuthorization: Bearer {SECRET}\n{more}");
            let kinds = [Kind::Read, Kind::Write, Kind::Stream];
            let found = kinds.map(|kind| status(&rules(true), LOOPBACK, kind, &headers));
            assert_eq!(found, expected, "{more:?}");
            let found = kinds.map(|kind| status(&rules(true), OURS, kind, &headers));
            assert_eq!(found, [200; 3], "over a Unix socket: {more:?}");
            let asked = request("GET /metrics", &headers);
            let open = rules(false).check(&asked, PUBLIC, AdminRole::Metrics, false, false);
            assert_eq!(code(open), expected[0], "metrics: {more:?}");
        }
    }

    #[test]
    fn a_change_by_any_unsafe_method_is_guarded_whatever_the_resource_says() {
        for line in ["DELETE /connections/1", "PUT /x", "PATCH /x", "BREW /x"] {
            let asked = request(line, "Host: localhost:9900\nOrigin: null\n");
            let checked = rules(false).check(&asked, LOOPBACK, AdminRole::Admin, false, false);
            assert_eq!(code(checked), 403, "{line}");
        }
    }

    /// The status of a read and a write without credentials, with wrong ones, with the right ones.
    #[test]
    fn writing_needs_a_trusted_peer_or_the_token_and_so_does_reading_from_other_hosts() {
        let cases = [
            (LOOPBACK, false, [200, 403, 200, 403, 200, 403]),
            (LOOPBACK, true, [200, 401, 200, 401, 200, 200]),
            (PUBLIC, false, [403, 403, 403, 403, 403, 403]),
            (PUBLIC, true, [401, 401, 401, 401, 200, 200]),
            (OURS, false, [200, 200, 200, 200, 200, 200]),
            (OURS, true, [200, 200, 200, 200, 200, 200]),
            (OTHERS, false, [200, 403, 200, 403, 200, 403]),
            (OTHERS, true, [200, 401, 200, 401, 200, 200]),
        ];
        let sent = ["", "Authorization: Bearer wrong\n", "Authorization: Bearer SECRET\n"];
        for (via, token, expected) in cases {
            let mut found = Vec::new();
            for credentials in sent.map(|text| text.replace("SECRET", SECRET)) {
                let headers = format!("Host: localhost:9900\n{credentials}");
                found.extend(
                    [Kind::Read, Kind::Write]
                        .map(|kind| status(&rules(token), via, kind, &headers)),
                );
            }
            assert_eq!(found, expected, "{via:?}, token: {token}");
        }
    }

    #[test]
    fn probes_and_metrics_are_open_to_other_hosts_and_a_listener_of_metrics_changes_nothing() {
        for path in OPEN_PATHS {
            let asked = request(&format!("GET {path}"), "Host: admin.example:9900\n");
            let checked = rules(true).check(&asked, PUBLIC, AdminRole::Admin, false, false);
            assert_eq!(code(checked), 200, "{path}");
        }
        let headers = format!("Host: x\nAuthorization: Bearer {SECRET}\n");
        let asked = request("POST /drain", &headers);
        for via in [LOOPBACK, PUBLIC, OURS] {
            let checked = rules(true).check(&asked, via, AdminRole::Metrics, true, false);
            assert_eq!(code(checked), 403, "{via:?}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let rules = rules(false);
        let asked = request("POST /drain", "Host: evil.example\n");
        let problem = rules.check(&asked, LOOPBACK, AdminRole::Admin, true, false).unwrap_err();
        assert!(problem.detail.contains("--admin-host evil.example"), "{}", problem.detail);
        let asked = request("POST /drain", "Host: localhost:9900\n");
        let problem = rules.check(&asked, LOOPBACK, AdminRole::Admin, true, false).unwrap_err();
        assert!(problem.detail.contains("--admin-token-file"), "{}", problem.detail);
    }
}
