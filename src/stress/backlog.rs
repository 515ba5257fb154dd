//! Connections that the server has not accepted: to us they look open, and they wait in the accept
//! queue of its listener.

/// How far the server had come when all connections that stay were open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Open connections that stay.
    pub conns: u64,
    /// Connections in the accept queues of the listeners. None: the system does not tell.
    pub queue: Option<u64>,
    /// Descriptors that the server has more than before the first connection. None: not known, or
    /// it need not be this process that accepts.
    pub gained: Option<u64>,
}

impl Backlog {
    /// Connections that are not accepted. The queue tells it exactly. Where it is not known, the
    /// descriptors do: the server has at least one for each connection that it has accepted.
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
    fn what_waits_is_told_by_the_queue_and_by_the_descriptors() {
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
            // Others than we wait there too.
            (Some(5000), None, 1000),
            (None, None, 0),
        ];
        for (queue, gained, expected) in table {
            assert_eq!(waiting(queue, gained), expected, "{queue:?} {gained:?}");
        }
    }
}
