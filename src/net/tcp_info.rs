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

#[cfg(target_os = "linux")]
mod linux {
    use nix::{getsockopt_impl, sockopt_impl};

    use super::TcpInfo;

    /// The first 104 bytes of the kernel's `struct tcp_info`, its whole size in 2008: eight bytes,
    /// then words. Later kernels append fields, and fill as many bytes as requested. The C
    /// library's struct cannot be used, because it is longer than what an older kernel fills.
    pub type Words = [u32; 26];

    sockopt_impl!(Info, GetOnly, libc::IPPROTO_TCP, libc::TCP_INFO, Words);

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

#[cfg(all(test, target_os = "linux"))]
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
