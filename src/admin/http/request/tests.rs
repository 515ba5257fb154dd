//! Tests of the parser: requests that are accepted, and tables of those that are refused.

use super::*;

/// Returns the request and its length.
fn complete(bytes: &[u8]) -> (HttpRequest, usize) {
    match parse(bytes) {
        ParsedRequest::Complete { request, length } => (*request, length),
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

fn problem(bytes: &[u8]) -> Problem {
    match parse(bytes) {
        ParsedRequest::Invalid(problem) => problem,
        other => panic!("{:?}: {other:?}", bytes.escape_ascii().to_string()),
    }
}

/// The status of a refusal; 0: incomplete, 200: a request that is as long as the bytes.
fn status(bytes: &[u8]) -> u16 {
    match parse(bytes) {
        ParsedRequest::Invalid(problem) => problem.status.code(),
        ParsedRequest::Incomplete => 0,
        ParsedRequest::Complete { length, .. } if length == bytes.len() => 200,
        ParsedRequest::Complete { length, .. } => panic!("{length} of {} bytes", bytes.len()),
    }
}

/// A request with a good `Host`, this line, these headers (one per line), and this body.
fn with(line: &str, headers: &str, body: &str) -> Vec<u8> {
    let headers = headers.replace('\n', "\r\n");
    format!("{line} HTTP/1.1\r\nHost: h:1\r\n{headers}\r\n{body}").into()
}

#[test]
fn a_request_of_curl_is_understood() {
    let bytes = b"GET /connections?route=a%2Cb&limit=5 HTTP/1.1\r\nHost: localhost:9900\r\n\
        User-Agent: curl/8.14.1\r\nAccept: */*\r\n\r\n";
    let (request, length) = complete(bytes);
    assert_eq!(length, bytes.len());
    let expected = HttpRequest {
        method: Method::Get,
        version: HttpVersion::Http11,
        path: "/connections".into(),
        query: Query::parse("route=a%2Cb&limit=5").unwrap(),
        host: Some(Authority { host: "localhost".into(), port: Some(9900) }),
        keep_alive: true,
        origin: None,
        sec_fetch_site: None,
        authorization: None,
        content_type: None,
        last_event_id: None,
        body: Vec::new(),
    };
    assert_eq!(request, expected);
}

#[test]
fn the_headers_that_matter_are_kept_whatever_their_case() {
    let headers = "ORIGIN: null\nsec-fetch-site:cross-site\nauthorization:  Bearer x \n\
        Content-Type: application/json; charset=utf-8\nLast-Event-ID: 7-12\nContent-Length: 2\n";
    let (request, _) = complete(&with("POST /log/level", headers, "{}"));
    assert_eq!(request.origin.as_deref(), Some("null"));
    assert_eq!(request.sec_fetch_site.as_deref(), Some("cross-site"));
    assert_eq!(request.authorization, Some(Credentials::new("Bearer x")));
    assert_eq!(request.content_type.as_deref(), Some("application/json; charset=utf-8"));
    assert_eq!(request.last_event_id.as_deref(), Some("7-12"));
    assert_eq!(request.body, b"{}");
}

#[test]
fn pipelined_requests_are_taken_one_by_one() {
    let first = with("POST /pause", "Content-Type: application/json\nContent-Length: 2\n", "{}");
    let second = with("DELETE /connections/7", "", "");
    let third = with("HEAD /livez", "", "");
    let all = [first, second, b"\r\n".to_vec(), third].concat();
    let (mut at, mut paths) = (0, Vec::new());
    while at < all.len() {
        let (request, length) = complete(&all[at..]);
        paths.push((request.method, request.path));
        at += length;
    }
    let expected = [
        (Method::Post, "/pause".to_string()),
        (Method::Delete, "/connections/7".to_string()),
        (Method::Head, "/livez".to_string()),
    ];
    assert_eq!(paths, expected);
}

/// What arrives byte by byte is incomplete until its last byte, and then does not change.
#[test]
fn every_beginning_of_a_request_is_incomplete_and_more_bytes_do_not_change_it() {
    let json = "Content-Type: application/json\nContent-Length: 3\n";
    let requests = [
        with("GET /a%20b?x=%41&y", "Connection: close\n", ""),
        with("POST /x", json, "abc"),
        b"\r\nGET / HTTP/1.0\r\n\r\n".to_vec(),
        with("OPTIONS *", "", ""),
        with("BREW http://pot:1/?a", "", ""),
    ];
    for bytes in requests {
        for end in 0..bytes.len() {
            assert_eq!(status(&bytes[..end]), 0, "{end}: {:?}", bytes.escape_ascii().to_string());
        }
        let alone = complete(&bytes);
        assert_eq!(alone.1, bytes.len());
        for more in ["\0", "\n", "\r\n\r\n", " ", "GET / HTTP/9"] {
            assert_eq!(complete(&[bytes.as_slice(), more.as_bytes()].concat()), alone);
        }
    }
}

#[test]
fn a_target_is_a_path_an_address_or_a_star() {
    let target = |line: &str| {
        let (request, _) = complete(&with(line, "", ""));
        (request.host.unwrap().to_string(), request.path)
    };
    let cases = [
        ("GET /", "h:1", "/"),
        ("GET /a/b.c~d", "h:1", "/a/b.c~d"),
        ("GET /%61%C3%A4+", "h:1", "/aä+"),
        ("GET //x", "h:1", "//x"),
        ("GET /..", "h:1", "/.."),
        ("GET /x?a=http://b/", "h:1", "/x"),
        ("GET /http://b/", "h:1", "/http://b/"),
        ("GET http://other:8/x?a=1", "other:8", "/x"),
        ("GET HTTP://other", "other", "/"),
        ("GET http://[::1]:9?a=1", "[::1]:9", "/"),
        ("OPTIONS *", "h:1", "*"),
    ];
    for (line, host, path) in cases {
        assert_eq!(target(line), (host.to_string(), path.to_string()), "{line}");
    }
    let cases = [
        ("GET *", 400),
        ("GET x", 400),
        ("GET ?a", 400),
        ("GET h:1", 400),
        ("CONNECT h:1", 400),
        ("GET /a#b", 400),
        ("GET /ä", 400),
        ("GET /%", 400),
        ("GET /%4", 400),
        ("GET /%zz", 400),
        ("GET /%00", 400),
        ("GET /a%0d%0aX:%20y", 400),
        ("GET /%1b[31m", 400),
        ("GET /%7f", 400),
        ("GET /%ff", 400),
        ("GET /a%2Fb", 400),
        ("GET /a%2fb", 400),
        ("GET /?a=%", 400),
        ("GET /?a=1&a=2", 400),
        ("GET http:///x", 400),
        ("GET http://u@h/x", 400),
        ("GET http://h:x/", 400),
        ("GET https://h/x", 421),
        ("GET ftp://h/x", 421),
        ("GET  /", 400),
        ("GET / ", 400),
        ("GET /a b", 400),
        (" GET /", 400),
        ("G\tT /", 400),
        ("", 400),
    ];
    for (line, expected) in cases {
        assert_eq!(status(&with(line, "", "")), expected, "{line}");
    }
}

#[test]
fn a_method_is_one_of_the_standard_or_another() {
    let cases = [
        ("GET", Method::Get, true),
        ("HEAD", Method::Head, true),
        ("OPTIONS", Method::Options, true),
        ("POST", Method::Post, false),
        ("PUT", Method::Put, false),
        ("PATCH", Method::Patch, false),
        ("DELETE", Method::Delete, false),
        ("get", Method::Other, false),
        ("TRACE", Method::Other, false),
        ("M-SEARCH", Method::Other, false),
    ];
    for (name, method, is_safe) in cases {
        let (request, _) = complete(&with(&format!("{name} /"), "", ""));
        assert_eq!((request.method, method.is_safe()), (method, is_safe), "{name}");
    }
}

#[test]
fn a_host_is_required_once_and_well_formed() {
    let cases = [
        ("1.1", "Host: a\n", 200),
        ("1.1", "HOST:a:1\n", 200),
        ("1.1", "", 400),
        ("1.1", "Host:\n", 400),
        ("1.1", "Host: a\nHost: a\n", 400),
        ("1.1", "Host: a\nhost: b\n", 400),
        ("1.1", "Host: a b\n", 400),
        ("1.1", "Host: a,b\n", 400),
        ("1.1", "Host: [::1\n", 400),
        ("1.1", "Host: http://a\n", 400),
        ("1.1", "Host: a:b\n", 400),
        ("1.1", "Host: %61\n", 400),
        ("1.1", "Host: \u{e4}\n", 400),
        ("1.0", "", 200),
        ("1.0", "Host: a\n", 200),
        ("1.0", "Host: a\nHost: a\n", 400),
        ("1.0", "Host: /\n", 400),
    ];
    for (version, headers, expected) in cases {
        let headers = headers.replace('\n', "\r\n");
        for target in ["/", "http://good/"] {
            let text = format!("GET {target} HTTP/{version}\r\n{headers}\r\n");
            assert_eq!(status(text.as_bytes()), expected, "{text:?}");
        }
    }
    let (request, _) = complete(b"GET / HTTP/1.0\r\n\r\n");
    assert_eq!((request.host, request.version), (None, HttpVersion::Http10));
}

#[test]
fn a_connection_is_kept_by_default_in_1_1_and_on_request_in_1_0() {
    let cases = [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: keep-alive, Close\r\n", false),
        ("1.1", "Connection: TE\r\nConnection: x,close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ];
    for (version, header, kept) in cases {
        let text = format!("GET / HTTP/{version}\r\nHost: h\r\n{header}\r\n");
        assert_eq!(complete(text.as_bytes()).0.keep_alive, kept, "{text:?}");
    }
}

/// Requests of which two programs could see different ends.
#[test]
fn no_request_is_smuggled() {
    let json = "Content-Type: application/json\n";
    let cases = [
        ("POST", "Content-Length: 3\n", "abc", 200),
        ("POST", "Content-Length: 003\n", "abc", 200),
        ("POST", "Content-Length:\t3 \n", "abc", 200),
        ("POST", "Content-Length: 3\nContent-Length: 3\n", "abc", 400),
        ("POST", "Content-Length: 3\ncontent-length: 4\n", "abcd", 400),
        ("POST", "Content-Length: 3, 3\n", "abc", 400),
        ("POST", "Content-Length: +3\n", "abc", 400),
        ("POST", "Content-Length: -0\n", "", 400),
        ("POST", "Content-Length: 3 3\n", "abc", 400),
        ("POST", "Content-Length: 0x3\n", "abc", 400),
        ("POST", "Content-Length: 3.0\n", "abc", 400),
        ("POST", "Content-Length: 1e1\n", "abc", 400),
        ("POST", "Content-Length: \n", "", 400),
        ("POST", "Content-Length: \u{661}\n", "a", 400),
        ("POST", "Content-Length : 3\n", "abc", 400),
        ("POST", "Content-Length\t: 3\n", "abc", 400),
        ("POST", " Content-Length: 3\n", "abc", 400),
        ("POST", "X: y\n Content-Length: 3\n", "abc", 400),
        ("POST", "X: y\n\tz\n", "", 400),
        ("POST", "Content-Length: 3\n 4\n", "abc", 400),
        ("POST", "Content-Length: 18446744073709551619\n", "abc", 413),
        ("POST", "Transfer-Encoding: chunked\n", "0\r\n\r\n", 501),
        ("POST", "Transfer-Encoding: identity\n", "", 501),
        ("POST", "Transfer-Encoding: \n", "", 501),
        ("POST", "Transfer-Encoding: x\nTransfer-Encoding: chunked\n", "0\r\n\r\n", 501),
        ("GET", "Transfer-Encoding: chunked\n", "0\r\n\r\n", 501),
        ("POST", "Content-Length: 3\nTransfer-Encoding: chunked\n", "0\r\n\r\n", 400),
        ("POST", "tRANSFER-eNCODING: x\nContent-Length: 0\n", "", 400),
        ("POST", "Transfer-Encoding : chunked\n", "0\r\n\r\n", 400),
        ("POST", "Transfer-Encoding\u{b}: chunked\n", "", 400),
        ("POST", "X: a\rTransfer-Encoding: chunked\n", "", 400),
        ("POST", "X: a\0b\n", "", 400),
        ("POST", "X: a\u{7f}b\n", "", 400),
        ("POST", ": x\n", "", 400),
        ("POST", "X\n", "", 400),
        ("POST", "X Y: z\n", "", 400),
        ("POST", "(x): z\n", "", 400),
        ("GET", "Content-Length: 3\n", "abc", 400),
        ("HEAD", "Content-Length: 3\n", "abc", 400),
        ("DELETE", "Content-Length: 3\n", "abc", 400),
        ("GET", "Content-Length: 0\n", "", 200),
        ("PUT", "Content-Length: 3\n", "abc", 200),
    ];
    for (method, headers, body, expected) in cases {
        let bytes = with(&format!("{method} /"), &format!("{headers}{json}"), body);
        assert_eq!(status(&bytes), expected, "{method} {headers:?}");
    }
    let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(old), 400, "HTTP/1.0 has no transfer codings");
}

#[test]
fn only_cr_lf_ends_a_line() {
    let cases: [(&[u8], u16); 14] = [
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\n\n", 400),
        (b"GET / HTTP/1.1\rHost: h\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\rx", 400),
        (b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 200),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        (b"\r", 0),
        (b"\r\n", 0),
        (b"\r\n\r", 400),
    ];
    for (bytes, expected) in cases {
        assert_eq!(status(bytes), expected, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn what_is_not_http_is_refused_before_the_head_could_end() {
    let cases: [&[u8]; 8] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0",
        b"GET /\r\n",
        b"GET / HTTP/2",
        b"GET / HTTP/1.2\r\n",
        b"GET / http/1.1\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"hello there\r\n",
    ];
    for bytes in cases {
        assert_eq!(status(bytes), 400, "{:?}", bytes.escape_ascii().to_string());
    }
}

#[test]
fn the_head_has_limits() {
    // The line, the other header and the empty line around the padding.
    let around = "GET / HTTP/1.1\r\nHost: h\r\nX: \r\n\r\n".len();
    let sized = |bytes: usize| {
        let padding = "x".repeat(bytes - around);
        format!("GET / HTTP/1.1\r\nHost: h\r\nX: {padding}\r\n\r\n")
    };
    assert_eq!(status(sized(HEAD_BYTES).as_bytes()), 200);
    assert_eq!(status(sized(HEAD_BYTES + 1).as_bytes()), 431);
    assert_eq!(status(&sized(HEAD_BYTES + 1).as_bytes()[..HEAD_BYTES - 1]), 0);
    assert_eq!(status(&sized(HEAD_BYTES + 1).as_bytes()[..HEAD_BYTES]), 431);
    assert_eq!(status(format!("\r\n{}", sized(HEAD_BYTES)).as_bytes()), 200, "the empty line");
    assert_eq!(status(format!("GET /{}", "x".repeat(HEAD_BYTES)).as_bytes()), 431);
    let counted = |headers: usize| with("GET /", &"X: y\n".repeat(headers - 1), "");
    assert_eq!(status(&counted(HEADERS)), 200);
    assert_eq!(status(&counted(HEADERS + 1)), 431);
    assert_eq!(problem(&counted(HEADERS + 1)).detail, "a request has at most 32 headers");
}

#[test]
fn a_body_has_a_limit_and_a_type() {
    let post = |headers: &str, body: &str| status(&with("POST /", headers, body));
    let sized = |type_line: &str, length: usize, body: &str| {
        post(&format!("{type_line}Content-Length: {length}\n"), body)
    };
    let json = "Content-Type: application/json\n";
    assert_eq!(sized(json, BODY_BYTES, &"x".repeat(BODY_BYTES)), 200);
    assert_eq!(sized(json, BODY_BYTES + 1, ""), 413, "before the body has arrived");
    assert_eq!(sized(json, 5, "1234"), 0);
    assert_eq!(post("", ""), 200, "without a body no type is needed");
    assert_eq!(sized("", 0, ""), 200);
    assert_eq!(sized("Content-Type: text/plain\n", 0, ""), 200);
    let cases = [
        ("", 415),
        ("Content-Type: \n", 415),
        ("Content-Type: text/plain\n", 415),
        ("Content-Type: application/jsonp\n", 415),
        ("Content-Type: text/plain; x=application/json\n", 415),
        ("Content-Type: application/x-www-form-urlencoded\n", 415),
        ("Content-Type: application/json, text/plain\n", 415),
        ("Content-Type: Application/JSON\n", 200),
        ("Content-Type: application/json ;charset=utf-8\n", 200),
        ("Content-Type: application/json\nContent-Type: text/plain\n", 400),
    ];
    for (type_line, expected) in cases {
        assert_eq!(sized(type_line, 2, "{}"), expected, "{type_line:?}");
    }
    let put = with("PUT /", "Content-Type: text/plain\nContent-Length: 2\n", "{}");
    assert_eq!(status(&put), 200, "for 405, the answer of every resource");
}

#[test]
fn a_client_that_waits_for_permission_is_told_to_send_at_once() {
    let json = "Content-Type: application/json\nContent-Length: 2\nExpect: 100-continue\n";
    assert_eq!(status(&with("POST /", json, "")), 417);
    assert_eq!(status(&with("POST /", json, "{}")), 417);
    let old = "POST / HTTP/1.0\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
        Expect: 100-continue\r\n\r\n{}";
    assert_eq!(status(old.as_bytes()), 200, "HTTP/1.0 has no expectations");
}

#[test]
fn headers_that_decide_are_there_once_and_are_text() {
    let names = ["Origin", "Sec-Fetch-Site", "Authorization", "Content-Type", "Last-Event-ID"];
    for name in names {
        let one = format!("{name}: x\n");
        assert_eq!(status(&with("GET /", &one, "")), 200, "{name}");
        assert_eq!(status(&with("GET /", &format!("{one}{one}"), "")), 400, "{name}");
        assert_eq!(status(&with("GET /", &format!("{name}: \u{e4}\n"), "")), 400, "{name}");
    }
    assert_eq!(status(&with("GET /", "X: \u{e4}\nX: y\n", "")), 200, "others do not matter");
}

#[test]
fn a_secret_is_not_printed_with_its_request() {
    let (request, _) = complete(&with("GET /", "Authorization: Bearer s3cr3t\n", ""));
    assert!(!format!("{request:?}").contains("s3cr3t"));
}
