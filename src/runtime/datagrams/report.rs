//! Reports what happens to datagrams. Received and sent ones are reported one by one if the
//! observer wants steps, else as the totals of each turn; dropped ones always one by one.

use std::io;
use std::mem;

use crate::core::event::DropReason;
use crate::core::{Event, Key, Peer, SysError, Turn};
use crate::net::recv_batch::Segments;
use crate::net::remote::Remote;

/// The totals of one turn.
#[derive(Debug, Default)]
pub(super) struct TurnCounts {
    received: Count,
    sent: Count,
}

#[derive(Debug, Default)]
struct Count {
    datagrams: u64,
    bytes: u64,
}

impl TurnCounts {
    /// Counts received datagrams. `from` is called only if they are reported one by one.
    pub fn received(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        from: impl FnOnce() -> Peer,
        turn: &mut Turn<'_>,
    ) {
        self.received.add(segments);
        if turn.steps {
            let from = &from();
            for datagram in segments.datagrams() {
                turn.payload(key, datagram, false);
                turn.step(key, || Event::Received { bytes: datagram.len(), from });
            }
        }
    }

    /// Counts sent datagrams. `to` is called only if they are reported one by one.
    pub fn sent(
        &mut self,
        key: Key,
        segments: Segments<'_>,
        to: impl FnOnce() -> Peer,
        turn: &mut Turn<'_>,
    ) {
        self.sent.add(segments);
        if turn.steps {
            let to = &to();
            for datagram in segments.datagrams() {
                turn.payload(key, datagram, true);
                turn.step(key, || Event::Sent { bytes: datagram.len(), to });
            }
        }
    }

    /// Reports the totals of the turn, unless its datagrams were reported one by one.
    pub fn report(&mut self, turn: &mut Turn<'_>) {
        let (received, sent) = (mem::take(&mut self.received), mem::take(&mut self.sent));
        if !turn.steps && received.datagrams + sent.datagrams > 0 {
            turn.on(
                Key::LOOP,
                &Event::Passed {
                    received: received.datagrams,
                    received_bytes: received.bytes,
                    sent: sent.datagrams,
                    sent_bytes: sent.bytes,
                },
            );
        }
    }
}

impl Count {
    fn add(&mut self, segments: Segments<'_>) {
        self.datagrams += segments.len() as u64;
        self.bytes += segments.bytes().len() as u64;
    }
}

/// Reports datagrams as dropped.
pub(super) fn log_dropped(
    key: Key,
    segments: Segments<'_>,
    from: Option<&Remote>,
    why: DropReason,
    turn: &mut Turn<'_>,
) {
    let from = from.map(Remote::peer);
    for datagram in segments.datagrams() {
        let (bytes, from) = (Some(datagram.len()), from.as_ref());
        turn.on(key, &Event::Dropped { bytes, from, why });
    }
}

/// The reason why a send call failed.
pub(super) fn why(error: &io::Error) -> DropReason {
    use io::ErrorKind::*;
    match error.kind() {
        WouldBlock => DropReason::Blocked,
        _ if error.raw_os_error() == Some(NO_BUFFERS) || is_deregistered(error) => {
            DropReason::Blocked
        }
        // A Unix socket whose remote is gone returns "not connected".
        ConnectionRefused | ConnectionReset | NotConnected | HostUnreachable
        | NetworkUnreachable => DropReason::Refused(SysError::from(error)),
        _ => DropReason::Failed(SysError::from(error)),
    }
}

/// Whether mio has deregistered the socket. With poll(2) it does so after an error, which ends a
/// stream but not a datagram socket. A call that would block then fails with an error of mio's own.
pub(super) fn is_deregistered(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound && error.raw_os_error().is_none()
}

#[cfg(unix)]
const NO_BUFFERS: i32 = libc::ENOBUFS;
#[cfg(windows)]
const NO_BUFFERS: i32 = 10_055;
