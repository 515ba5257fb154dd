//! Reads an HTTP/1.1 reply: the head, and a body that is delimited by its length, by chunks or by
//! the end of the connection. Every part has a maximum size.

use std::io::{self, BufRead, BufReader, Read};

/// Maximum bytes of a head, and of the trailers of a chunked body.
const HEAD_BYTES: usize = 16 * 1024;
/// Maximum header lines.
const HEADERS: usize = 64;
/// Maximum interim replies (1xx) before the final one.
const INTERIM: usize = 8;
/// Maximum bytes of the line that gives the size of a chunk.
const CHUNK_LINE_BYTES: usize = 256;
/// Maximum bytes of a body that is kept in memory.
pub const BODY_BYTES: u64 = 64 << 20;

/// The head of a reply, and its body to be read.
pub struct HttpReply<R> {
    pub status: u16,
    /// The words after the status: chosen by the server, maybe empty.
    pub phrase: String,
    /// Without parameters, in lower case.
    pub content_type: String,
    pub body: ReplyBody<R>,
}

/// Reads the bytes of a body. An end that comes too early is an error.
pub struct ReplyBody<R> {
    from: BufReader<R>,
    framing: Framing,
}

enum Framing {
    /// This many bytes are left.
    Length(u64),
    /// This many bytes of the current chunk are left.
    Chunk(u64),
    /// The size of the next chunk follows. Every chunk but the first begins after a line break.
    ChunkSize {
        is_first: bool,
    },
    UntilClose,
    Ended,
}

struct Head {
    status: u16,
    phrase: String,
    content_type: String,
    framing: Framing,
}

/// Reads the head of the reply to a request that is not HEAD.
pub fn read<R: Read>(from: R) -> io::Result<HttpReply<R>> {
    let mut from = BufReader::new(from);
    for _ in 0..INTERIM {
        let Head { status, phrase, content_type, framing } = head(&mut from)?;
        if !(100..200).contains(&status) {
            let body = ReplyBody { from, framing };
            return Ok(HttpReply { status, phrase, content_type, body });
        }
    }
    Err(malformed("too many interim replies"))
}

fn head(from: &mut impl BufRead) -> io::Result<Head> {
    let mut bytes = Vec::new();
    loop {
        let more = from.fill_buf()?;
        if more.is_empty() {
            let text = match bytes.is_empty() {
                true => "the connection was closed without an answer",
                false => "the connection was closed in the head of the answer",
            };
            return Err(early(text));
        }
        let (before, added) = (bytes.len(), more.len());
        bytes.extend_from_slice(more);
        let mut headers = [httparse::EMPTY_HEADER; HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(&bytes) {
            Ok(httparse::Status::Complete(length)) => {
                let head = interpret(&parsed)?;
                from.consume(length - before);
                return Ok(head);
            }
            Ok(httparse::Status::Partial) => from.consume(added),
            Err(error) => return Err(malformed(&format!("not an HTTP answer ({error})"))),
        }
        if bytes.len() >= HEAD_BYTES {
            return Err(malformed("the head of the answer is too large"));
        }
    }
}

fn interpret(parsed: &httparse::Response<'_, '_>) -> io::Result<Head> {
    let status = parsed.code.unwrap_or_default();
    if !(100..600).contains(&status) {
        return Err(malformed(&format!("not an HTTP answer (status {status})")));
    }
    let values = |name: &'static str| {
        let named =
            parsed.headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).trim().to_ascii_lowercase())
    };
    let content_type = values("content-type").next().unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim().to_string();
    let codings: Vec<String> = values("transfer-encoding").collect();
    let lengths: Vec<String> = values("content-length").collect();
    let framing = match (codings.as_slice(), lengths.as_slice()) {
        _ if status < 200 || [204, 304].contains(&status) => Framing::Ended,
        ([], []) => Framing::UntilClose,
        ([], [length]) => Framing::Length(content_length(length)?),
        ([coding], []) if coding == "chunked" => Framing::ChunkSize { is_first: true },
        ([_], []) => return Err(malformed("unknown transfer coding")),
        _ => return Err(malformed("the length of the answer is ambiguous")),
    };
    let phrase = parsed.reason.unwrap_or_default().trim().to_string();
    Ok(Head { status, phrase, content_type, framing })
}

/// Parses digits only: `+5` or an empty value is not a length.
fn content_length(text: &str) -> io::Result<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let length = is_number.then(|| text.parse().ok()).flatten();
    length.ok_or_else(|| malformed("bad Content-Length"))
}

impl<R: Read> ReplyBody<R> {
    /// Reads the whole body as text, of at most `max` bytes.
    pub fn text(self, max: u64) -> io::Result<String> {
        if matches!(self.framing, Framing::Length(length) if length > max) {
            return Err(too_large(max));
        }
        let mut bytes = Vec::new();
        self.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max {
            return Err(too_large(max));
        }
        String::from_utf8(bytes).map_err(|_| malformed("the answer is not UTF-8"))
    }

    /// Reads a line that ends in CR LF, without that end.
    fn line(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        self.from.by_ref().take(max as u64).read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(text) => Ok(text.to_vec()),
            None if line.len() < max && !line.ends_with(b"\n") => Err(early(IN_BODY)),
            None => Err(malformed("bad chunk")),
        }
    }

    /// Reads the size of the next chunk; after the last one, the trailers too.
    fn next_chunk(&mut self, is_first: bool) -> io::Result<Framing> {
        if !is_first && !self.line(CHUNK_LINE_BYTES)?.is_empty() {
            return Err(malformed("bad chunk"));
        }
        let line = self.line(CHUNK_LINE_BYTES)?;
        match chunk_size(&line).ok_or_else(|| malformed("bad chunk"))? {
            0 => self.trailers().map(|()| Framing::Ended),
            size => Ok(Framing::Chunk(size)),
        }
    }

    fn trailers(&mut self) -> io::Result<()> {
        let mut left = HEAD_BYTES;
        loop {
            let line = self.line(left)?;
            if line.is_empty() {
                return Ok(());
            }
            left = left.saturating_sub(line.len() + 2);
        }
    }

    /// Reads from the connection at most `left` bytes, of which at least one must come.
    fn part(&mut self, into: &mut [u8], left: u64) -> io::Result<usize> {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(into.len());
        match self.from.read(&mut into[..most])? {
            0 if most > 0 => Err(early(IN_BODY)),
            count => Ok(count),
        }
    }
}

/// Parses `1a0` or `1a0;extension`.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line.split(|byte| *byte == b';').next()?;
    let digits = std::str::from_utf8(digits).ok()?.trim_end_matches([' ', '\t']);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_number.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

impl<R: Read> Read for ReplyBody<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.framing {
                Framing::Ended | Framing::Length(0) => return Ok(0),
                Framing::UntilClose => return self.from.read(into),
                Framing::Chunk(0) => self.framing = Framing::ChunkSize { is_first: false },
                Framing::ChunkSize { is_first } => self.framing = self.next_chunk(is_first)?,
                Framing::Length(left) => {
                    let count = self.part(into, left)?;
                    self.framing = Framing::Length(left - count as u64);
                    return Ok(count);
                }
                Framing::Chunk(left) => {
                    let count = self.part(into, left)?;
                    self.framing = Framing::Chunk(left - count as u64);
                    return Ok(count);
                }
            }
        }
    }
}

const IN_BODY: &str = "the connection was closed before the end of the answer";

fn early(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, text)
}

fn malformed(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn too_large(max: u64) -> io::Error {
    malformed(&format!("the answer is larger than {max} bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns pieces of at most `size` bytes: a reply arrives in any pieces.
    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let size = self.1.min(into.len());
            self.0.read(&mut into[..size])
        }
    }

    const MAX: u64 = 32;

    /// Returns status and body, or the error. It must not depend on the pieces.
    fn answer(bytes: &[u8]) -> Result<(u16, String), String> {
        let once = |size| {
            let reply = read(Pieces(bytes, size)).map_err(|error| error.to_string())?;
            let status = reply.status;
            let body = reply.body.text(MAX).map_err(|error| error.to_string())?;
            Ok((status, body))
        };
        let whole = once(usize::MAX);
        for size in [1, 2, 3, 7] {
            assert_eq!(once(size), whole, "{:?}", String::from_utf8_lossy(bytes));
        }
        whole
    }

    fn with_head(headers: &str, body: &str) -> Result<(u16, String), String> {
        answer(format!("HTTP/1.1 200 OK\r\n{headers}\r\n{body}").as_bytes())
    }

    fn ok(body: &str) -> Result<(u16, String), String> {
        Ok((200, body.to_string()))
    }

    #[test]
    fn a_body_ends_by_length_by_chunks_or_with_the_connection() {
        assert_eq!(with_head("Content-Length: 5\r\n", "hello and more"), ok("hello"));
        assert_eq!(with_head("content-length: 0\r\n", "x"), ok(""));
        assert_eq!(with_head("", "hello"), ok("hello"));
        let chunked = "Transfer-Encoding: Chunked\r\n";
        assert_eq!(with_head(chunked, "3\r\nhel\r\n2;a=b\r\nlo\r\n0\r\n\r\nmore"), ok("hello"));
        assert_eq!(
            with_head(chunked, "0A \r\n0123456789\r\n000\r\nX: y\r\n\r\n"),
            ok("0123456789")
        );
        assert_eq!(answer(b"HTTP/1.1 204 No Content\r\n\r\nx"), Ok((204, String::new())));
        let interim = b"HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\nHTTP/1.0 404 \r\n\r\nx";
        assert_eq!(answer(interim), Ok((404, "x".to_string())));
    }

    #[test]
    fn the_head_is_read() {
        let bytes = b"HTTP/1.1 503 Service Unavailable\r\n\
            Content-Type: Application/Problem+JSON; charset=utf-8\r\nContent-Length: 0\r\n\r\n";
        let reply = read(&bytes[..]).unwrap();
        assert_eq!((reply.status, reply.phrase.as_str()), (503, "Service Unavailable"));
        assert_eq!(reply.content_type, "application/problem+json");
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let lines = ["SSH-2.0-x\r\n", "HTTP/3.0 200 OK\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "\0\0"];
        for line in lines {
            let error = answer(line.as_bytes()).unwrap_err();
            assert!(error.starts_with("not an HTTP answer"), "{line}: {error}");
        }
        assert_eq!(
            answer(b"HTTP/1.1 999 x\r\n\r\n").unwrap_err(),
            "not an HTTP answer (status 999)"
        );
        let error = answer(b"HTTP/1.1 200 OK\r\nA b\r\n\r\n").unwrap_err();
        assert_eq!(error, "not an HTTP answer (invalid header name)");
        let cases = [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", "the length of the answer is ambiguous"),
            (
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
                "the length of the answer is ambiguous",
            ),
            ("Transfer-Encoding: gzip, chunked\r\n", "unknown transfer coding"),
            ("Content-Length: +5\r\n", "bad Content-Length"),
            ("Content-Length: 5, 5\r\n", "bad Content-Length"),
            ("Content-Length: 99999999999999999999\r\n", "bad Content-Length"),
        ];
        for (headers, error) in cases {
            assert_eq!(with_head(headers, "hello"), Err(error.to_string()), "{headers}");
        }
    }

    #[test]
    fn a_bad_chunk_is_refused() {
        let chunked = "Transfer-Encoding: chunked\r\n";
        let bodies = [
            "x\r\n",
            "\r\n",
            "-3\r\nhel\r\n",
            "+3\r\nhel\r\n",
            "3\nhel\r\n0\r\n\r\n",
            "3\r\nhelx\r\n0\r\n\r\n",
            "3\r\nhello\r\n",
            "fffffffffffffffff\r\n",
            "0\r\nX: y\n\r\n",
        ];
        for body in bodies {
            assert_eq!(with_head(chunked, body), Err("bad chunk".to_string()), "{body:?}");
        }
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(CHUNK_LINE_BYTES));
        assert_eq!(with_head(chunked, &long), Err("bad chunk".to_string()));
        let long = format!("0\r\n{}\r\n", "X: y\r\n".repeat(HEAD_BYTES / 6 + 1));
        assert_eq!(with_head(chunked, &long), Err("bad chunk".to_string()));
    }

    #[test]
    fn a_reply_that_ends_too_early_is_an_error() {
        let cases: [(&str, &str); 8] = [
            ("", "the connection was closed without an answer"),
            ("HTTP/1.1 200 OK\r\nA: b\r\n", "the connection was closed in the head of the answer"),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", IN_BODY),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", IN_BODY),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhell", IN_BODY),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r", IN_BODY),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", IN_BODY),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", IN_BODY),
        ];
        for (bytes, error) in cases {
            assert_eq!(answer(bytes.as_bytes()), Err(error.to_string()), "{bytes:?}");
        }
    }

    #[test]
    fn a_reply_that_is_too_large_is_an_error() {
        let (fits, large) = ("x".repeat(MAX as usize), "x".repeat(MAX as usize + 1));
        assert_eq!(with_head("", &fits), ok(&fits));
        let error = || Err(format!("the answer is larger than {MAX} bytes"));
        assert_eq!(with_head("", &large), error());
        assert_eq!(with_head("Content-Length: 18446744073709551615\r\n", &large), error());
        let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
        assert_eq!(with_head("Transfer-Encoding: chunked\r\n", &chunks), error());
        let error = with_head(&format!("A: {}\r\n", "x".repeat(3 * HEAD_BYTES)), "").unwrap_err();
        assert_eq!(error, "the head of the answer is too large");
        let error = with_head(&"A: b\r\n".repeat(HEADERS + 1), "").unwrap_err();
        assert_eq!(error, "not an HTTP answer (too many headers)");
        assert_eq!(answer(b"HTTP/1.1 200 OK\r\n\r\n\xff").unwrap_err(), "the answer is not UTF-8");
    }
}
