//! Reads files of /proc, and finds the values in them that more than one tool needs. On other
//! systems the files do not exist.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Maximum bytes read from one file. The longest is the list of Unix sockets: 64 MiB hold half a
/// million.
const READ_BYTES: u64 = 64 << 20;

/// Reads a file as text. Names in it come from other programs and may not be UTF-8: invalid bytes
/// become U+FFFD.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(READ_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Returns the word in a column, counted from 0, after a label at the start of a line.
pub fn word<'a>(text: &'a str, label: &str, column: usize) -> Option<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(label))?;
    line.split_whitespace().nth(column)
}

/// Returns the pages of memory of all TCP sockets, from the text of sockstat:
/// `TCP: inuse 2 orphan 0 tw 0 alloc 2 mem 223`.
pub fn tcp_pages(sockstat: &str) -> Option<&str> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    line.split_whitespace().skip_while(|word| *word != "mem").nth(1)
}

/// How long a thread has run, and how long it was runnable and waited for a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedstat {
    pub ran: Duration,
    pub waited: Duration,
}

/// Reads the times of the main thread of this process. `None` where the system does not record
/// them.
pub fn schedstat() -> Option<Schedstat> {
    parse_schedstat(&read("/proc/self/schedstat").ok()?)
}

/// Parses the text of a schedstat file: nanoseconds on a CPU, nanoseconds of waiting, time slices.
fn parse_schedstat(text: &str) -> Option<Schedstat> {
    let mut times = text.split_whitespace().map(|word| word.parse().ok().map(Duration::from_nanos));
    Some(Schedstat { ran: times.next()??, waited: times.next()?? })
}

/// The first and last port that the system assigns to outgoing connections.
pub const PORT_RANGE: &str = "proc/sys/net/ipv4/ip_local_port_range";

/// Parses the text of `PORT_RANGE`.
pub fn port_range(text: &str) -> Option<(u16, u16)> {
    let mut ports = text.split_whitespace().map(|word| word.parse().ok());
    ports.next().flatten().zip(ports.next().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_label_and_column() {
        let text = "MemTotal:  1000 kB\nMax open files  20 30\nTCP: inuse 2 mem 223 x\n";
        assert_eq!(word(text, "MemTotal:", 0), Some("1000"));
        assert_eq!(word(text, "Max open files", 1), Some("30"));
        assert_eq!((word(text, "open", 0), word(text, "MemTotal:", 2)), (None, None));
        assert_eq!((tcp_pages(text), tcp_pages("UDP: mem 1")), (Some("223"), None));
        assert_eq!(port_range("32768\t60999\n"), Some((32_768, 60_999)));
        let (ran, waited) = (Duration::from_nanos(2_000_000_001), Duration::from_nanos(3));
        assert_eq!(parse_schedstat("2000000001 3 17\n"), Some(Schedstat { ran, waited }));
        assert_eq!((parse_schedstat("1"), parse_schedstat("1 x 3")), (None, None));
        assert_eq!((port_range("1"), port_range("1 99999")), (None, None));
    }
}
