//! An inlet: a socket that datagrams come in at, a door's or a flow's own, and go out from.

use std::io;

use mio::{Interest, Registry, Token};

use crate::core::Key;
use crate::shell::datagram_socket::DatagramSocket;
use crate::shell::remote::Remote;
use crate::shell::room::{Room, Segments, Wanted};

#[derive(Debug)]
pub(super) struct DatagramPort {
    pub socket: DatagramSocket,
    /// It may be readable, and waits for its turn.
    pub queued: bool,
    /// What is wanted to be known of an arrival.
    wanted: Wanted,
    /// It has once looked as if there were trains; from then on they are taken as they are.
    takes_trains: bool,
    /// No train whose datagrams are as long as this is sent as one: such a train was refused.
    refused: usize,
}

/// The longest train that every system with trains takes as one, in datagrams and in bytes.
const TRAIN: usize = 64;
const TRAIN_BYTES: usize = 65_507;

/// A call that brought less than there was room for has seen the socket empty. On poll(2), mio
/// forgets a socket that was named until a call of ours would have blocked.
const SHORT_IS_DRAINED: bool = !cfg!(mio_unsupported_force_poll_poll);

impl DatagramPort {
    pub fn new(socket: DatagramSocket, wanted: Wanted) -> DatagramPort {
        let refused = if socket.is_for_many() { usize::MAX } else { 0 };
        DatagramPort { socket, queued: false, wanted, takes_trains: false, refused }
    }

    /// Another socket, connected, takes the place of this one. If it waits for its turn, it does so
    /// still.
    pub fn renew(&mut self, socket: DatagramSocket) {
        *self = DatagramPort { queued: self.queued, ..DatagramPort::new(socket, Wanted::Nothing) };
    }

    /// For reading alone: a datagram that cannot go out at once is dropped.
    pub fn register(&mut self, key: Key, registry: &Registry) -> io::Result<()> {
        registry.register(self.socket.source(), Token(key.to_token()), Interest::READABLE)
    }

    /// Lets the poll know the socket anew.
    pub fn register_anew(&mut self, key: Key, registry: &Registry) -> io::Result<()> {
        self.hang_up(registry);
        self.register(key, registry)
    }

    /// Tells the poll that the socket goes. That it may not know it is no harm.
    pub fn hang_up(&mut self, registry: &Registry) {
        let _ = registry.deregister(self.socket.source());
    }

    /// Takes what has arrived, as much as one call brings. True: it is drained, and will be named
    /// when more comes.
    pub fn receive(&mut self, room: &mut Room) -> io::Result<bool> {
        let found_no_more = self.socket.receive(self.wanted, room)?;
        // Before, no train would have stayed one; and to ask for them costs something at each call.
        if !self.takes_trains && room.looks_like_a_train() {
            self.takes_trains = true;
            self.wanted = self.socket.take_trains().unwrap_or(self.wanted);
        }
        Ok(found_no_more && SHORT_IS_DRAINED)
    }

    /// Sends the beginning of a train, as much as goes in one call: to this remote, or to the one
    /// that the socket is connected with. Tells which part that was, and what became of it.
    pub fn send<'a>(
        &mut self,
        train: Segments<'a>,
        to: Option<&Remote>,
    ) -> (Segments<'a>, io::Result<()>) {
        self.send_up_to(self.longest(train), train, to)
    }

    /// If these go only one by one, the first one goes, and the others need not be tried again.
    fn send_up_to<'a>(
        &mut self,
        number: usize,
        train: Segments<'a>,
        to: Option<&Remote>,
    ) -> (Segments<'a>, io::Result<()>) {
        let head = train.part(0..number);
        match self.call(head, to) {
            Err(error) if number > 1 && is_about_trains(&error) => {
                self.refused = train.each();
                let first = train.part(0..1);
                (first, self.call(first, to))
            }
            done => (head, done),
        }
    }

    fn call(&self, train: Segments<'_>, to: Option<&Remote>) -> io::Result<()> {
        match to {
            Some(to) => self.socket.send_to(train, to),
            None => self.socket.send_train(train),
        }
    }

    /// How many datagrams of this train may go in one call.
    fn longest(&self, train: Segments<'_>) -> usize {
        match train.len() {
            1 => 1,
            _ if train.each() >= self.refused => 1,
            all if all <= TRAIN && train.bytes().len() <= TRAIN_BYTES => all,
            _ => TRAIN.min(TRAIN_BYTES / train.each()).max(1),
        }
    }
}

/// Whether a train was refused as such: its datagrams are longer than a packet on the way can be,
/// or the way knows no trains.
#[cfg(target_os = "linux")]
fn is_about_trains(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE))
}

#[cfg(not(target_os = "linux"))]
fn is_about_trains(_: &io::Error) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    /// An inlet that is connected with this socket.
    fn port(to: &UdpSocket) -> DatagramPort {
        let to = Remote::Inet(to.local_addr().expect("an address"), None);
        DatagramPort::new(DatagramSocket::connected(&to).expect("a socket"), Wanted::Nothing)
    }

    fn home() -> UdpSocket {
        let home = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let patience = std::time::Duration::from_secs(20);
        home.set_read_timeout(Some(patience)).expect("a limit");
        home
    }

    #[test]
    fn a_train_is_as_long_as_one_call_may_take() {
        let port = port(&home());
        let room = vec![0; 70_000];
        for (bytes, each, longest) in [
            (0, 1, 1),
            (100, 100, 1),
            (101, 100, 2),
            (64, 1, 64),
            (65, 1, 64),
            (70_000, 1_200, 54),
            (70_000, 1_024, 63),
            (70_000, 32_754, 1),
            (70_000, 65_507, 1),
            (65_507, 32_753, 3),
            (65_507, 1_024, 64),
            (65_508, 1_024, 63),
        ] {
            let train = Segments::new(&room[..bytes], each);
            assert_eq!(port.longest(train), longest, "{bytes} bytes, {each} each");
        }
    }

    #[test]
    fn a_refused_train_goes_one_by_one_and_longer_ones_are_not_tried_again() {
        let home = home();
        let mut port = port(&home);
        let bytes: Vec<u8> = (0..=255).collect();
        // No system takes so many as one.
        let (part, sent) = port.send_up_to(256, Segments::new(&bytes, 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), &bytes[..1]);
        let (part, sent) = port.send(Segments::new(&bytes[1..], 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), &bytes[1..2], "it is remembered");
        let mut room = [0; 9];
        for number in 0..2 {
            assert_eq!((home.recv(&mut room).unwrap(), room[0]), (1, number));
        }
    }

    #[test]
    fn each_way_to_refuse_a_train_is_known_as_one() {
        for (number, is_known) in [
            (libc::EINVAL, true),
            (libc::EIO, true),
            (libc::EMSGSIZE, true),
            (libc::EAGAIN, false),
            (libc::ECONNREFUSED, false),
            (libc::ENOBUFS, false),
        ] {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(is_about_trains(&error), is_known, "{error}");
        }
    }

    #[test]
    fn nothing_of_a_train_is_lost_whether_it_goes_in_parts_or_one_by_one() {
        let bytes: Vec<u8> = (0..70_000).map(|at| (at % 251) as u8).collect();
        for (refused, calls) in [(usize::MAX, 2), (1_200, 59)] {
            let home = home();
            let mut port = port(&home);
            port.refused = refused;
            let (mut train, mut made) = (Segments::new(&bytes, 1_200), 0);
            while !train.is_empty() {
                let (part, sent) = port.send(train, None);
                sent.unwrap();
                (train, made) = (train.after(part.len()), made + 1);
            }
            assert_eq!(made, calls);
            let mut room = [0; 2_000];
            for datagram in bytes.chunks(1_200) {
                let length = home.recv(&mut room).unwrap();
                assert_eq!(&room[..length], datagram);
            }
        }
    }

    #[test]
    fn shorter_ones_than_those_refused_go_as_one() {
        let home = home();
        let mut port = port(&home);
        port.refused = 100;
        for (each, number) in [(99, 3), (100, 1), (101, 1)] {
            let (part, sent) = port.send(Segments::new(&[7; 250], each), None);
            sent.unwrap();
            assert_eq!(part.len(), number, "{each} each");
        }
    }

    #[test]
    fn a_unix_socket_takes_no_trains() {
        let (ours, _theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
        let ours = mio::net::UnixDatagram::from_std(ours);
        let mut port = DatagramPort::new(DatagramSocket::Unix(ours), Wanted::Nothing);
        let (part, sent) = port.send(Segments::new(b"abc", 1), None);
        sent.unwrap();
        assert_eq!(part.bytes(), b"a");
    }
}
