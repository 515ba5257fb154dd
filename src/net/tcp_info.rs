//! The kernel's statistics of a TCP connection (TCP_INFO): round trips, retransmissions, windows.

use std::fmt;

use super::socket::Socket;

/// Selected fields. Times are in microseconds, windows in segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpInfo {
    pub rtt_us: u32,
    pub rttvar_us: u32,
    /// Retransmissions since the connection began.
    pub retransmits: u32,
    /// Congestion window: the segments that may be in flight.
    pub cwnd: u32,
    /// Segments sent and not yet acknowledged.
    pub unacked: u32,
    /// Maximum segment size in each direction, in bytes.
    pub mss: u32,
    pub received_mss: u32,
    pub path_mtu: u32,
    /// Retransmission timeout.
    pub rto_us: u32,
}

/// Everything that the kernel reports about a connection. Later kernels report more: a field is
/// `None` if this one does not have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpDetails {
    pub info: TcpInfo,
    /// Bytes that the peer has acknowledged. On the end that connected, the SYN counts as one.
    pub bytes_acked: Option<u64>,
    pub bytes_received: Option<u64>,
    /// Bytes in the send queue that were not sent yet: the peer's window or the network is full.
    pub notsent: Option<u32>,
    pub min_rtt_us: Option<u32>,
    /// The most recent estimate, in bytes per second.
    pub delivery_rate: Option<u64>,
    /// Time in which there was something to send or to be acknowledged.
    pub busy_us: Option<u64>,
    /// The part of it in which the peer's receive window was the limit.
    pub rwnd_limited_us: Option<u64>,
    /// The part of it in which this end's send buffer was the limit.
    pub sndbuf_limited_us: Option<u64>,
    /// Bytes sent, retransmitted ones included.
    pub bytes_sent: Option<u64>,
    pub bytes_retrans: Option<u64>,
    /// The receive window that the peer advertises, counted from the last acknowledged byte.
    pub snd_wnd: Option<u32>,
    /// The receive window that this end advertises.
    pub rcv_wnd: Option<u32>,
}

impl TcpDetails {
    /// Bytes sent and not acknowledged yet. On the end that connected it may be one too low,
    /// because its SYN counts as acknowledged.
    pub fn in_flight(&self) -> Option<u64> {
        if self.info.unacked == 0 {
            return Some(0);
        }
        let sent = self.bytes_sent?.saturating_sub(self.bytes_retrans?);
        Some(sent.saturating_sub(self.bytes_acked?))
    }
}

/// The accept queue of a listener: the connections that wait in it, and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptQueue {
    pub waiting: u32,
    pub limit: u32,
}

/// Formats the main fields: `rtt 0.05 ms +- 0.02, 0 retransmits, cwnd 10, mss 32768, pmtu 65535`.
impl fmt::Display for TcpInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |us: u32| us as f64 / 1000.0;
        write!(f, "rtt {:.2} ms +- {:.2}, ", millis(self.rtt_us), millis(self.rttvar_us))?;
        write!(f, "{} retransmits, cwnd {}, ", self.retransmits, self.cwnd)?;
        write!(f, "mss {}, pmtu {}", self.mss, self.path_mtu)
    }
}

/// Reads TCP_INFO. Returns None for other sockets, and where the system does not support it.
#[cfg(target_os = "linux")]
pub fn tcp_info(socket: &Socket) -> Option<TcpInfo> {
    use nix::sys::socket::GetSockOpt;

    let Socket::Tcp(stream) = socket else { return None };
    linux::Info.get(stream).ok().map(|words| linux::select(&words))
}

#[cfg(not(target_os = "linux"))]
pub fn tcp_info(_: &Socket) -> Option<TcpInfo> {
    None
}

/// Reads all of TCP_INFO that this kernel has. Returns None for other sockets, and where the
/// system does not support it.
#[cfg(target_os = "linux")]
pub fn tcp_details(socket: &Socket) -> Option<TcpDetails> {
    let Socket::Tcp(stream) = socket else { return None };
    linux::read(stream, linux::words_of_this_kernel()).map(|words| linux::select_all(&words))
}

#[cfg(not(target_os = "linux"))]
pub fn tcp_details(_: &Socket) -> Option<TcpDetails> {
    None
}

/// Reads the accept queue of a listening TCP socket, which TCP_INFO reports in two fields of a
/// connection.
#[cfg(target_os = "linux")]
pub fn accept_queue(listener: &mio::net::TcpListener) -> Option<AcceptQueue> {
    use nix::sys::socket::GetSockOpt;

    linux::Info.get(listener).ok().map(|words| linux::queue(&words))
}

#[cfg(not(target_os = "linux"))]
pub fn accept_queue(_: &mio::net::TcpListener) -> Option<AcceptQueue> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use mio::net::TcpStream;
    use nix::sys::socket::GetSockOpt;
    use nix::{getsockopt_impl, sockopt_impl};

    use super::{AcceptQueue, TcpDetails, TcpInfo};

    /// The first 104 bytes of the kernel's `struct tcp_info`, its whole size in 2008: eight bytes,
    /// then words. Later kernels append fields, and fill as many bytes as requested. The C
    /// library's struct cannot be used, because it is longer than what an older kernel fills.
    pub type Words = [u32; 26];

    sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, Words);

    /// Versions that appended fields, newest first, and the words of the struct since then. What a
    /// distribution has ported back to an older version is not read. A kernel must not be asked for
    /// more than it has: the wrapper of `getsockopt` panics at an answer that is shorter.
    const SIZES: [((u32, u32), usize); 4] =
        [((6, 2), 60), ((5, 4), 58), ((4, 19), 56), ((4, 10), 48)];

    sockopt_impl!(Since4_10, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 48]);
    sockopt_impl!(Since4_19, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 56]);
    sockopt_impl!(Since5_4, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 58]);
    sockopt_impl!(Since6_2, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, [u32; 60]);

    /// Reads this many words, or the first ones if there is no such size.
    pub fn read(stream: &TcpStream, words: usize) -> Option<Vec<u32>> {
        let read = match words {
            48 => Since4_10.get(stream).map(|words| words.to_vec()),
            56 => Since4_19.get(stream).map(|words| words.to_vec()),
            58 => Since5_4.get(stream).map(|words| words.to_vec()),
            60 => Since6_2.get(stream).map(|words| words.to_vec()),
            _ => Info.get(stream).map(|words| words.to_vec()),
        };
        read.ok()
    }

    /// Words of the struct that this kernel certainly has.
    pub fn words_of_this_kernel() -> usize {
        words_of(&rustix::system::uname().release().to_string_lossy())
    }

    /// Words of the struct since this release: `6.1.0-13-amd64`. Unknown ones have the first words.
    pub fn words_of(release: &str) -> usize {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
        let version = numbers.next().and_then(Result::ok).zip(numbers.next().and_then(Result::ok));
        let has = |since: (u32, u32)| version.is_some_and(|version| version >= since);
        SIZES.iter().find(|(since, _)| has(*since)).map_or(size_of::<Words>() / 4, |size| size.1)
    }

    pub fn queue(words: &Words) -> AcceptQueue {
        AcceptQueue { waiting: words[6], limit: words[7] }
    }

    /// Selects each field that the words reach.
    pub fn select_all(words: &[u32]) -> TcpDetails {
        let word = |offset: usize| words.get(offset / 4).copied();
        let long = |offset: usize| {
            let halves = [word(offset)?.to_ne_bytes(), word(offset + 4)?.to_ne_bytes()];
            Some(u64::from_ne_bytes(*halves.as_flattened().first_chunk()?))
        };
        let first: Words = std::array::from_fn(|place| word(place * 4).unwrap_or_default());
        TcpDetails {
            info: select(&first),
            bytes_acked: long(120),
            bytes_received: long(128),
            notsent: word(144),
            // All ones before the first measurement.
            min_rtt_us: word(148).filter(|rtt| *rtt != u32::MAX),
            delivery_rate: long(160),
            busy_us: long(168),
            rwnd_limited_us: long(176),
            sndbuf_limited_us: long(184),
            bytes_sent: long(200),
            bytes_retrans: long(208),
            snd_wnd: word(228),
            rcv_wnd: word(232),
        }
    }

    pub fn select(words: &Words) -> TcpInfo {
        TcpInfo {
            rto_us: words[2],
            mss: words[4],
            received_mss: words[5],
            unacked: words[6],
            path_mtu: words[15],
            rtt_us: words[17],
            rttvar_us: words[18],
            cwnd: words[20],
            retransmits: words[25],
        }
    }
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::mem::offset_of;

    use super::*;

    #[test]
    fn each_word_has_the_offset_of_its_field_in_the_c_library() {
        let words: linux::Words = std::array::from_fn(|place| place as u32 * 4);
        let info = linux::select(&words);
        assert_eq!(info.rto_us as usize, offset_of!(libc::tcp_info, tcpi_rto));
        assert_eq!(info.mss as usize, offset_of!(libc::tcp_info, tcpi_snd_mss));
        assert_eq!(info.received_mss as usize, offset_of!(libc::tcp_info, tcpi_rcv_mss));
        assert_eq!(info.unacked as usize, offset_of!(libc::tcp_info, tcpi_unacked));
        assert_eq!(info.path_mtu as usize, offset_of!(libc::tcp_info, tcpi_pmtu));
        assert_eq!(info.rtt_us as usize, offset_of!(libc::tcp_info, tcpi_rtt));
        assert_eq!(info.rttvar_us as usize, offset_of!(libc::tcp_info, tcpi_rttvar));
        assert_eq!(info.cwnd as usize, offset_of!(libc::tcp_info, tcpi_snd_cwnd));
        assert_eq!(info.retransmits as usize, offset_of!(libc::tcp_info, tcpi_total_retrans));
    }

    #[test]
    fn the_fields_that_a_kernel_does_not_have_are_missing_one_by_one() {
        let all = |words: &[u32]| {
            let details = linux::select_all(words);
            let longs = [
                details.bytes_acked,
                details.bytes_received,
                details.delivery_rate,
                details.busy_us,
                details.rwnd_limited_us,
                details.sndbuf_limited_us,
                details.bytes_sent,
                details.bytes_retrans,
            ];
            let words = [details.notsent, details.min_rtt_us, details.snd_wnd, details.rcv_wnd];
            (longs, words)
        };
        // Each word is its own offset; a field of two words has the lower one first or last.
        let words: Vec<u32> = (0..60).map(|place| place * 4).collect();
        let long = |offset: u32| {
            let halves = [offset.to_ne_bytes(), (offset + 4).to_ne_bytes()].concat();
            Some(u64::from_ne_bytes(halves.try_into().unwrap()))
        };
        let longs = [120, 128, 160, 168, 176, 184, 200, 208].map(long);
        let expected = [144, 148, 228, 232].map(Some);
        assert_eq!(all(&words), (longs, expected));
        for (length, present) in [(58, 3), (57, 2), (38, 2), (37, 1), (36, 0)] {
            let (_, words) = all(&words[..length]);
            assert_eq!(words.iter().flatten().count(), present, "{length}");
        }
        for (length, present) in [(54, 8), (53, 7), (52, 7), (51, 6), (42, 3), (31, 0), (26, 0)] {
            let (longs, _) = all(&words[..length]);
            assert_eq!(longs.iter().flatten().count(), present, "{length}");
        }
    }

    #[test]
    fn the_words_that_are_asked_for_are_those_of_the_kernel_version() {
        let table = [
            ("6.18.44-fc", 60),
            ("6.2.0", 60),
            ("6.1.0-13-amd64", 58),
            ("5.4", 58),
            ("5.3.18-lp152", 56),
            ("4.19.0", 56),
            ("4.18.0-553.el8_10.x86_64", 48),
            ("4.10-rc1", 48),
            ("4.9.337", 26),
            ("3.10.0-1160.el7", 26),
            ("10.0.1", 60),
            ("", 26),
            ("x", 26),
            ("6", 26),
        ];
        for (release, words) in table {
            assert_eq!(linux::words_of(release), words, "{release}");
        }
    }

    #[test]
    fn every_size_that_this_kernel_has_can_be_read() {
        let (client, _server) = pair();
        let Socket::Tcp(stream) = &client else { panic!("not TCP") };
        let has = linux::words_of_this_kernel();
        for words in [26, 48, 56, 58, 60].into_iter().filter(|words| *words <= has) {
            assert_eq!(linux::read(stream, words).unwrap().len(), words);
        }
    }

    fn pair() -> (Socket, std::net::TcpStream) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.set_nonblocking(true).unwrap();
        let (server, _) = listener.accept().unwrap();
        (Socket::Tcp(mio::net::TcpStream::from_std(client)), server)
    }

    /// Waits until the details are as expected. Fails after much longer than that takes.
    fn wait_for(socket: &Socket, expected: impl Fn(&TcpDetails) -> bool) -> TcpDetails {
        let start = std::time::Instant::now();
        loop {
            let details = tcp_details(socket).unwrap();
            match expected(&details) {
                true => return details,
                false => assert!(start.elapsed().as_secs() < 60, "{details:?}"),
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_sender_is_limited_by_the_window_of_a_peer_that_does_not_read() {
        use crate::core::Stream;

        if linux::words_of_this_kernel() < 58 {
            return;
        }
        let (mut client, server) = pair();
        let mut written = 0;
        while let Ok(bytes) = client.write(&[0; 64 * 1024]) {
            written += bytes as u64;
        }
        let limited =
            |details: &TcpDetails| details.rwnd_limited_us > Some(0) && details.notsent > Some(0);
        let details = wait_for(&client, limited);
        assert!(details.busy_us >= details.rwnd_limited_us, "{details:?}");
        let sent = written - u64::from(details.notsent.unwrap());
        let acked = details.bytes_acked.unwrap() + details.in_flight().unwrap();
        assert!([sent, sent + 1].contains(&acked), "{sent} {details:?}");
        let receiver = Socket::Tcp(mio::net::TcpStream::from_std(server));
        let received = tcp_details(&receiver).unwrap();
        assert!(received.bytes_received > Some(0) && received.bytes_sent == Some(0));
        assert_eq!((received.notsent, received.busy_us), (Some(0), Some(0)));
    }

    #[test]
    fn what_was_acknowledged_is_not_in_flight() {
        if linux::words_of_this_kernel() < 58 {
            return;
        }
        let (mut client, mut server) = pair();
        crate::core::Stream::write(&mut client, b"ping").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        let details = wait_for(&client, |details| details.bytes_acked >= Some(4 + 1));
        assert_eq!((details.in_flight(), details.notsent), (Some(0), Some(0)));
        assert!(details.min_rtt_us.is_some() && details.snd_wnd > Some(0), "{details:?}");
    }

    #[test]
    fn a_tcp_connection_has_a_round_trip_time_and_a_unix_socket_has_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"ping").unwrap();
        server.read_exact(&mut [0; 4]).unwrap();
        server.write_all(b"pong").unwrap();
        client.read_exact(&mut [0; 4]).unwrap();
        let info = tcp_info(&Socket::Tcp(mio::net::TcpStream::from_std(client))).unwrap();
        assert!(info.rtt_us > 0 && info.cwnd > 0 && info.mss > 0, "{info:?}");
        let (unix, _other) = mio::net::UnixStream::pair().unwrap();
        assert_eq!(tcp_info(&Socket::Unix(unix)), None);
    }
}
