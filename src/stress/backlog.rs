//! Connections that the server has not accepted. They look open to the client, and wait in the
//! accept queue of the listener.

/// The state of the server when all persistent connections were open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Open persistent connections.
    pub conns: u64,
    /// Connections in the accept queues of the listeners. `None`: unknown.
    pub queue: Option<u64>,
    /// Descriptors the server has opened since before the first connection. `None`: unknown, or
    /// another process may accept.
    pub gained: Option<u64>,
}

impl Backlog {
    /// Returns the number of connections not accepted. The queue length is exact. Without it the
    /// number of descriptors is used: an accepted connection takes at least one.
    pub fn waiting(&self) -> u64 {
        match (self.queue, self.gained) {
            (Some(queue), _) => queue.min(self.conns),
            (None, Some(gained)) => self.conns.saturating_sub(gained),
            (None, None) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_connections_are_counted_by_the_queue_or_by_the_descriptors() {
        let waiting = |queue, gained| Backlog { conns: 1000, queue, gained }.waiting();
        let table = [
            // The server has closed something else meanwhile.
            (Some(900), Some(99), 900),
            // A relay has two descriptors for each.
            (Some(400), Some(1200), 400),
            // A server whose sockets are no descriptors of its own.
            (Some(0), Some(0), 0),
            (None, Some(100), 900),
            (None, Some(1003), 0),
            (Some(7), None, 7),
            // Other clients wait there too.
            (Some(5000), None, 1000),
            (None, None, 0),
        ];
        for (queue, gained, expected) in table {
            assert_eq!(waiting(queue, gained), expected, "{queue:?} {gained:?}");
        }
    }
}
