//! Parses one request. Its framing is unambiguous, or it is refused.
//!
//! The result depends on the bytes alone, not on how they arrive: more bytes never change a request
//! that is complete, and never make a refused one acceptable. What the head decides is decided when
//! the head is complete, before the body.

use httparse::{EMPTY_HEADER, Header};

use super::authority::Authority;
use super::method::Method;
use super::problem::{Problem, Status};
use super::query::{Query, decode};
use super::token::Credentials;

/// Maximum bytes of the request line and the headers, with the line breaks.
pub const HEAD_BYTES: usize = 8 * 1024;
/// Maximum header lines. A browser sends about 20.
pub const HEADERS: usize = 32;
/// Maximum bytes of a body. The largest that any resource reads is a log filter.
pub const BODY_BYTES: usize = 4 * 1024;
/// Maximum bytes of one request. More need not be read before it is answered.
pub const REQUEST_BYTES: usize = LINE_BREAK.len() + HEAD_BYTES + BODY_BYTES;

const LINE_BREAK: &[u8] = b"\r\n";

/// What received bytes begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedRequest {
    /// The beginning of a request.
    Incomplete,
    /// A request, and its length in bytes: the next one begins behind it.
    Complete { request: Box<HttpRequest>, length: usize },
    /// Nothing that follows can be understood: the connection is closed after the answer.
    Invalid(Problem),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpRequest {
    pub method: Method,
    pub version: HttpVersion,
    /// Decoded. `*` for the server as a whole (`OPTIONS` only).
    pub path: String,
    pub query: Query,
    /// What the client asks to reach. None: a client of HTTP/1.0 did not say.
    pub host: Option<Authority>,
    pub keep_alive: bool,
    pub origin: Option<String>,
    pub sec_fetch_site: Option<String>,
    pub authorization: Option<Credentials>,
    pub content_type: Option<String>,
    pub last_event_id: Option<String>,
    pub body: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersion {
    Http10,
    Http11,
}

/// Parses the request that `received` begins with.
///
/// Parsing starts again with each call, which costs no more than reading `HEAD_BYTES`.
pub fn parse(received: &[u8]) -> ParsedRequest {
    match read(received) {
        Ok(Some((request, length))) => {
            ParsedRequest::Complete { request: Box::new(request), length }
        }
        Ok(None) => ParsedRequest::Incomplete,
        Err(problem) => ParsedRequest::Invalid(problem),
    }
}

fn read(received: &[u8]) -> Result<Option<(HttpRequest, usize)>, Problem> {
    // One empty line may precede a request: old clients send it after a body (RFC 9112, 2.2).
    let start = if received.starts_with(LINE_BREAK) { LINE_BREAK.len() } else { 0 };
    let rest = &received[start..];
    match rest.first() {
        None => return Ok(None),
        Some(b'\r') if received.len() == 1 => return Ok(None),
        Some(b'\r' | b'\n') => return Err(Problem::bad_request("a request begins with a method")),
        Some(_) => {}
    }
    let rest = &rest[..rest.len().min(HEAD_BYTES)];
    let end = head_end(rest)?;
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut head = httparse::Request::new(&mut headers);
    let parsed = head.parse(&rest[..end.unwrap_or(rest.len())]).map_err(malformed)?;
    let Some(end) = end else {
        return match rest.len() == HEAD_BYTES {
            true => Err(too_large(format!("the head of a request has at most {HEAD_BYTES} bytes"))),
            false => Ok(None),
        };
    };
    let (Some(method), Some(target)) = (head.method, head.path) else {
        return Err(Problem::bad_request("the request line is malformed"));
    };
    if parsed != httparse::Status::Complete(end) {
        return Err(Problem::bad_request("the head is malformed"));
    }
    let version = if head.version == Some(1) { HttpVersion::Http11 } else { HttpVersion::Http10 };
    let fields = Fields { headers: head.headers, version };
    let (mut request, length) = read_head(Method::of(method), target, &fields)?;
    let body = start + end..start + end + length;
    let Some(content) = received.get(body.clone()) else { return Ok(None) };
    request.body = content.to_vec();
    Ok(Some((request, body.end)))
}

/// Returns the position behind the empty line that ends the head. Lines end with CR LF: programs
/// disagree about everything else. httparse accepts LF alone, but no line that continues the last.
fn head_end(head: &[u8]) -> Result<Option<usize>, Problem> {
    let mut start = 0;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        let end = start + line.len();
        match line {
            LINE_BREAK => return Ok(Some(end)),
            [.., b'\r', b'\n'] => {}
            [.., b'\n'] => {
                return Err(Problem::bad_request("a line of the head ends with LF, not CR LF"));
            }
            _ => {}
        }
        start = end;
    }
    Ok(None)
}

/// Returns the request without its body, and the length of that.
fn read_head(
    method: Method,
    target: &str,
    fields: &Fields,
) -> Result<(HttpRequest, usize), Problem> {
    let target = RequestTarget::parse(method, target)?;
    let host = target.host.or(fields.host()?);
    let length = fields.content_length()?;
    if length > 0 && !method.may_have_content() {
        return Err(Problem::bad_request("a request with this method has no body"));
    }
    let content_type = fields.owned("content-type")?;
    let is_json = content_type.as_deref().is_some_and(is_json);
    if length > 0 && method == Method::Post && !is_json {
        let wrong = "a body has the content type application/json";
        return Err(Problem::new(Status::UnsupportedMediaType, wrong));
    }
    if fields.one("expect")?.is_some() && fields.version == HttpVersion::Http11 {
        // The interim answer that the client waits for is not worth a state of its own: a body is
        // at most 4 KiB. A client that is told so sends the request again without (RFC 9110, 10.1).
        let wrong = "send the body without waiting for 100 Continue";
        return Err(Problem::new(Status::ExpectationFailed, wrong));
    }
    let request = HttpRequest {
        method,
        version: fields.version,
        path: target.path,
        query: target.query,
        host,
        keep_alive: fields.keep_alive()?,
        origin: fields.owned("origin")?,
        sec_fetch_site: fields.owned("sec-fetch-site")?,
        authorization: fields.one("authorization")?.map(Credentials::new),
        content_type,
        last_event_id: fields.owned("last-event-id")?,
        body: Vec::new(),
    };
    Ok((request, length))
}

/// Whether a content type is JSON, with or without parameters.
fn is_json(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().eq_ignore_ascii_case("application/json")
}

/// What the request line names.
struct RequestTarget {
    /// Replaces the value of `Host` (RFC 9112, 3.2.2).
    host: Option<Authority>,
    path: String,
    query: Query,
}

impl RequestTarget {
    /// Parses `/path?query`, `http://host/path?query`, or `*`.
    fn parse(method: Method, text: &str) -> Result<RequestTarget, Problem> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
            return Err(Problem::bad_request("the target has a character that must be encoded"));
        }
        if text == "*" && method == Method::Options {
            return Ok(RequestTarget { host: None, path: text.into(), query: Query::default() });
        }
        let (host, text) = match text.split_once("://") {
            Some((scheme, rest)) if !scheme.contains(['/', '?']) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                (Some(absolute(scheme, &rest[..end])?), &rest[end..])
            }
            _ => (None, text),
        };
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let path = if path.is_empty() && host.is_some() { "/" } else { path };
        if !path.starts_with('/') {
            return Err(Problem::bad_request("the target is not a path"));
        }
        Ok(RequestTarget { host, path: decoded_path(path)?, query: Query::parse(query)? })
    }
}

fn absolute(scheme: &str, authority: &str) -> Result<Authority, Problem> {
    if !scheme.eq_ignore_ascii_case("http") {
        let wrong = "only http is served here";
        return Err(Problem::new(Status::MisdirectedRequest, wrong));
    }
    let malformed = || Problem::bad_request("the host of the target is malformed");
    Authority::parse(authority).ok_or_else(malformed)
}

/// Decodes a path. An encoded slash is refused: it would be a separator here and a part of a name
/// to a proxy in front.
fn decoded_path(path: &str) -> Result<String, Problem> {
    let slashes = |path: &str| path.bytes().filter(|byte| *byte == b'/').count();
    match decode(path) {
        Ok(decoded) if slashes(&decoded) == slashes(path) => Ok(decoded),
        Ok(_) => Err(Problem::bad_request("the path has an encoded slash")),
        Err(wrong) => Err(Problem::bad_request(format!("the path: {wrong}"))),
    }
}

/// The header lines of a request.
struct Fields<'a> {
    headers: &'a [Header<'a>],
    version: HttpVersion,
}

impl<'a> Fields<'a> {
    /// Returns the values of all lines with this name.
    fn all(&self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        let named = move |header: &&Header| header.name.eq_ignore_ascii_case(name);
        self.headers.iter().filter(named).map(|header| header.value)
    }

    /// Returns the value of the only line with this name.
    fn one(&self, name: &'static str) -> Result<Option<&'a str>, Problem> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => text(name, value).map(Some),
            (Some(_), Some(_)) => {
                Err(Problem::bad_request(format!("the header {name} is there twice")))
            }
        }
    }

    fn owned(&self, name: &'static str) -> Result<Option<String>, Problem> {
        Ok(self.one(name)?.map(str::to_string))
    }

    fn host(&self) -> Result<Option<Authority>, Problem> {
        match (self.one("host")?, self.version) {
            (Some(value), _) => match Authority::parse(value) {
                Some(host) => Ok(Some(host)),
                None => Err(Problem::bad_request("the header host is malformed")),
            },
            (None, HttpVersion::Http10) => Ok(None),
            (None, HttpVersion::Http11) => {
                Err(Problem::bad_request("a request of HTTP/1.1 has the header host"))
            }
        }
    }

    /// Returns the bytes of the body. A transfer coding is never accepted, so there is one way to
    /// say where a request ends.
    fn content_length(&self) -> Result<usize, Problem> {
        let length = self.one("content-length")?;
        if self.all("transfer-encoding").next().is_some() {
            return Err(match (length, self.version) {
                // The answer of RFC 9112, 6.1 to a coding that a server does not have.
                (None, HttpVersion::Http11) => {
                    let wrong = "send the body with content-length, not with transfer-encoding";
                    Problem::new(Status::NotImplemented, wrong)
                }
                // Faulty framing (RFC 9112, 6.1): somebody may be smuggling a request.
                (Some(_), _) | (None, HttpVersion::Http10) => {
                    Problem::bad_request("transfer-encoding with content-length or in HTTP/1.0")
                }
            });
        }
        let Some(digits) = length else { return Ok(0) };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(Problem::bad_request("the header content-length is not a number"));
        }
        // Digits that do not fit are a number that is too large.
        match digits.parse() {
            Ok(length) if length <= BODY_BYTES => Ok(length),
            _ => {
                let wrong = format!("a body has at most {BODY_BYTES} bytes");
                Err(Problem::new(Status::ContentTooLarge, wrong))
            }
        }
    }

    fn keep_alive(&self) -> Result<bool, Problem> {
        let (mut close, mut keep) = (false, false);
        for value in self.all("connection") {
            for option in text("connection", value)?.split(',').map(str::trim) {
                close |= option.eq_ignore_ascii_case("close");
                keep |= option.eq_ignore_ascii_case("keep-alive");
            }
        }
        Ok(match self.version {
            HttpVersion::Http11 => !close,
            HttpVersion::Http10 => keep && !close,
        })
    }
}

fn text<'a>(name: &str, value: &'a [u8]) -> Result<&'a str, Problem> {
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    let text = std::str::from_utf8(value).ok().filter(|_| value.iter().all(is_text));
    text.ok_or_else(|| Problem::bad_request(format!("the header {name} is not ASCII text")))
}

fn too_large(detail: String) -> Problem {
    Problem::new(Status::HeaderFieldsTooLarge, detail)
}

fn malformed(error: httparse::Error) -> Problem {
    use httparse::Error;
    Problem::bad_request(match error {
        Error::HeaderName => "the name of a header is malformed",
        Error::HeaderValue => "the value of a header has a control character",
        Error::NewLine => "a line break is malformed",
        Error::Token | Error::Status => "the request line is malformed",
        Error::Version => "the version is neither HTTP/1.0 nor HTTP/1.1",
        Error::TooManyHeaders => {
            return too_large(format!("a request has at most {HEADERS} headers"));
        }
    })
}

#[cfg(test)]
mod tests;
