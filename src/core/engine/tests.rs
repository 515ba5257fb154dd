//! Tests of the engine with one connection.

use super::*;
use crate::core::pipes::NoPipe;

/// A socket that has `input` to read, then a FIN if `is_closed`.
struct Peer {
    input: Vec<u8>,
    is_closed: bool,
    got_fin: bool,
}

impl Stream for Peer {
    type Pipe = NoPipe;

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.input.len() {
            0 if !self.is_closed => Err(io::ErrorKind::WouldBlock.into()),
            bytes => {
                into[..bytes].copy_from_slice(&std::mem::take(&mut self.input));
                Ok(bytes)
            }
        }
    }

    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        Ok(from.len())
    }

    fn shutdown_write(&mut self) -> io::Result<()> {
        self.got_fin = true;
        Ok(())
    }

    fn is_connected(&mut self) -> io::Result<bool> {
        Ok(true)
    }

    fn take_error(&mut self) -> io::Result<Option<io::Error>> {
        Ok(None)
    }

    fn reset_on_drop(&mut self) {}

    fn short_read_drains(&self) -> bool {
        false
    }
}

#[test]
fn after_a_fin_the_owner_of_a_local_end_still_receives() {
    let mut engine = Engine::new(vec![Timeouts::default()], 1, Buffers::with_scratch(8));
    let (mut observer, both) = ((), Ready::READ.with(Ready::WRITE));
    let turn = &mut Turn::new(Moment(0), &mut observer);
    let peer = Peer { input: Vec::new(), is_closed: false, got_fin: false };
    let key = engine.insert(Conn::local(peer, None), 1, 0, turn);
    engine.mark(key, both, turn);
    engine.run(turn);
    engine.shut_down(key);
    engine.run(turn);
    let peer = engine.get(key).and_then(|conn| conn.ends.socket(0)).expect("it is open");
    assert!(peer.got_fin);
    (peer.input, peer.is_closed) = (b"last".to_vec(), true);
    engine.mark(key, both, turn);
    engine.run(turn);
    assert_eq!(engine.mail(), [Mail::Received(key.at(1))]);
    assert_eq!(engine.message(key.at(1)), Some(Message { bytes: b"last", last: false }));
    engine.consume(key.at(1), 4, 1);
    engine.run(turn);
    let [Mail::Received(_), Mail::Closed(closed)] = &engine.mail()[..] else { panic!("open") };
    assert_eq!((closed.reason, engine.len()), (Reason::Served, 0));
}
