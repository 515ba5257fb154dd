//! Finds the process that listens on a target, if it runs on this machine, and reads the accept
//! queue of its listener.

use super::dial::ResolvedTarget;

/// Returns the process that listens on this target. `None`: not found.
#[cfg(target_os = "linux")]
pub fn find_process(target: &ResolvedTarget) -> Option<u32> {
    linux::find_process(target)
}

#[cfg(not(target_os = "linux"))]
pub fn find_process(_: &ResolvedTarget) -> Option<u32> {
    None
}

/// Returns the number of connections in the accept queues of these targets. `None`: unknown for at
/// least one of them.
#[cfg(target_os = "linux")]
pub fn accept_queue(targets: &[ResolvedTarget]) -> Option<u64> {
    targets.iter().map(linux::accept_queue).sum()
}

#[cfg(not(target_os = "linux"))]
pub fn accept_queue(_: &[ResolvedTarget]) -> Option<u64> {
    None
}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs;
    use std::io::{BufRead, BufReader};
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

    use crate::config::UnixName;
    use crate::net::proc;
    use crate::stress::dial::ResolvedTarget;

    /// States in the socket tables of the kernel: a listener, and a socket that is only bound.
    const LISTENS: &str = "0A";
    const BOUND: &str = "07";

    pub fn find_process(target: &ResolvedTarget) -> Option<u32> {
        let rows = match target {
            ResolvedTarget::Inet(to) if is_local(to.ip()) => {
                inet("tcp", LISTENS, to.ip(), to.port())
            }
            ResolvedTarget::Udp(to) if is_local(to.ip()) => inet("udp", BOUND, to.ip(), to.port()),
            ResolvedTarget::Unix(name) | ResolvedTarget::UnixDatagram(name) => {
                return owner(&unix(name));
            }
            _ => return None,
        };
        owner(&rows.iter().map(|row| row.inode).collect::<Vec<_>>())
    }

    pub fn accept_queue(target: &ResolvedTarget) -> Option<u64> {
        let ResolvedTarget::Inet(to) = target else { return None };
        let rows = inet("tcp", LISTENS, to.ip(), to.port());
        (!rows.is_empty()).then(|| rows.iter().map(|row| row.queued).sum())
    }

    /// A row of a socket table of the kernel.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct SocketRow {
        pub inode: u64,
        /// Of a listener: connections in its accept queue.
        pub queued: u64,
    }

    /// Whether an address belongs to this machine: only then can a socket be bound to it.
    fn is_local(ip: IpAddr) -> bool {
        UdpSocket::bind((ip, 0)).is_ok()
    }

    /// Reads the rows of the IPv4 and IPv6 tables for this address.
    fn inet(table: &str, state: &str, ip: IpAddr, port: u16) -> Vec<SocketRow> {
        let tables = [format!("/proc/net/{table}"), format!("/proc/net/{table}6")];
        let files = tables.iter().filter_map(|path| fs::File::open(path).ok());
        files.flat_map(|file| rows(BufReader::new(file), state, ip, port)).collect()
    }

    /// Returns the rows of a table that serve this address. TCP listeners precede all other
    /// sockets, so reading stops after them: there may be a million others.
    pub fn rows(table: impl BufRead, state: &str, ip: IpAddr, port: u16) -> Vec<SocketRow> {
        let row = |fields: Vec<String>| {
            let (address, number) = fields.get(1)?.split_once(':')?;
            let serves = u16::from_str_radix(number, 16).ok()? == port
                && read_ip(address).is_some_and(|bound| bound.is_unspecified() || bound == ip);
            let (_, queued) = fields.get(4)?.split_once(':')?;
            let queued = u64::from_str_radix(queued, 16).ok()?;
            serves.then(|| Some(SocketRow { inode: fields.get(9)?.parse().ok()?, queued }))?
        };
        let lines = table.lines().skip(1).map_while(Result::ok);
        let fields = lines.map(|line| line.split_whitespace().map(str::to_string).collect());
        let in_state = |fields: &Vec<String>| fields.get(3).is_some_and(|field| field == state);
        match state {
            LISTENS => fields.take_while(in_state).filter_map(row).collect(),
            _ => fields.filter(in_state).filter_map(row).collect(),
        }
    }

    /// Parses an address, which is written as 32-bit words in host byte order.
    fn read_ip(text: &str) -> Option<IpAddr> {
        let word = |at: usize| u32::from_str_radix(text.get(8 * at..8 * at + 8)?, 16).ok();
        match text.len() {
            8 => Some(Ipv4Addr::from(word(0)?.to_ne_bytes()).into()),
            32 => {
                let mut bytes = [0; 16];
                for at in 0..4 {
                    bytes[4 * at..4 * at + 4].copy_from_slice(&word(at)?.to_ne_bytes());
                }
                Some(Ipv6Addr::from(bytes).to_canonical())
            }
            _ => None,
        }
    }

    /// Returns the inodes of the Unix sockets with this name.
    fn unix(name: &UnixName) -> Vec<u64> {
        let text = proc::read("/proc/net/unix").unwrap_or_default();
        let wanted = name.to_string();
        let inode = |line: &str| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let matches = fields.get(7).is_some_and(|path| *path == wanted);
            matches.then(|| fields.get(6)?.parse().ok())?
        };
        text.lines().filter_map(inode).collect()
    }

    /// Returns the process that has one of these sockets open; of several, the one with the lowest
    /// number.
    fn owner(inodes: &[u64]) -> Option<u32> {
        let links: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
        let pids = fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.filter(|pid| holds(*pid, &links)).min()
    }

    /// Whether a process has a descriptor with one of these link targets.
    fn holds(pid: u32, links: &[String]) -> bool {
        let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| links.iter().any(|link| target.as_os_str() == link.as_str()))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::linux::rows;
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind("[::1]:0").unwrap();
        let own = Some(std::process::id());
        assert_eq!(find_process(&ResolvedTarget::Inet(tcp.local_addr().unwrap())), own);
        assert_eq!(find_process(&ResolvedTarget::Udp(udp.local_addr().unwrap())), own);
        let vacant = udp.local_addr().unwrap();
        assert_ne!(find_process(&ResolvedTarget::Inet(vacant)), own);
        assert_eq!(find_process(&ResolvedTarget::Inet("192.0.2.1:80".parse().unwrap())), None);
    }

    #[test]
    fn connections_in_the_accept_queue_are_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let targets = [ResolvedTarget::Inet(address)];
        assert_eq!(accept_queue(&targets), Some(0));
        let clients = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
        assert_eq!(accept_queue(&targets), Some(3));
        drop(listener.accept().unwrap());
        assert_eq!(accept_queue(&targets), Some(2));
        let unix = ResolvedTarget::Unix(crate::config::UnixName::Abstract("x".to_string()));
        assert_eq!(accept_queue(&[targets[0].clone(), unix]), None);
        drop(clients);
    }

    #[test]
    fn a_unix_listener_is_found_by_its_name() {
        let path = std::env::temp_dir().join(format!("oneloop-{}-find", std::process::id()));
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let target = ResolvedTarget::Unix(crate::config::UnixName::Path(path.clone()));
        assert_eq!(find_process(&target), Some(std::process::id()));
        drop(listener);
        std::fs::remove_file(path).unwrap();
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn a_socket_table_is_read() {
        let rows = |text: &str, ip, port| -> Vec<(u64, u64)> {
            let rows = rows(text.as_bytes(), "0A", ip, port);
            rows.iter().map(|row| (row.inode, row.queued)).collect()
        };
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000384 00:00000000 00000000 0 0 11 1\n\
            1: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 12 1\n\
            2: 0100007F:1F90 0100007F:0001 01 00000000:00000000 00:00000000 00000000 0 0 13 1\n";
        let local = "127.0.0.1".parse().unwrap();
        assert_eq!(rows(text, local, 8080), [(11, 900)]);
        assert_eq!(rows(text, local, 8081), [(12, 0)]);
        assert_eq!(rows(text, "127.0.0.2".parse().unwrap(), 8080), []);
        let six = "sl\n0: 0000000000000000FFFF00000100007F:0050 0:0 0A 0:0 0:0 0 0 0 14 1\n\
            1: 00000000000000000000000001000000:0050 0:0 0A 0:0 0:0 0 0 0 15 1\n";
        assert_eq!(rows(six, local, 80), [(14, 0)]);
        assert_eq!(rows(six, "::1".parse().unwrap(), 80), [(15, 0)]);
    }
}
