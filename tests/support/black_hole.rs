//! An address that answers no handshake: a listener whose queue is full.

use std::net::SocketAddr;

use socket2::{Domain, Socket, Type};

pub struct BlackHole {
    listener: Socket,
    waiting: Vec<Socket>,
}

impl BlackHole {
    pub fn new() -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap();
        let mut waiting = Vec::new();
        // The kernel completes one connection beyond the backlog, and leaves the rest unanswered.
        for _ in 0..4 {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&address);
            waiting.push(socket);
        }
        assert!(waiting[3].peer_addr().is_err(), "the queue has no end");
        BlackHole { listener, waiting }
    }

    /// Makes the kernel answer handshakes, repeated ones too.
    #[allow(dead_code)]
    pub fn open(&mut self) -> Socket {
        self.listener.listen(64).unwrap();
        self.waiting.clear();
        // The connection that was in the queue comes first.
        let mut first = std::net::TcpStream::from(self.listener.accept().unwrap().0);
        std::io::Read::read_to_end(&mut first, &mut Vec::new()).unwrap();
        self.listener.try_clone().unwrap()
    }

    pub fn address(&self) -> String {
        format!("tcp://{}", self.listener.local_addr().unwrap().as_socket().unwrap())
    }
}
