//! The sink: accepts streams as their far end. A header at the start of each stream describes it.

use std::io;
use std::time::Duration;

use mio::Registry;

use crate::config::Listen;
use crate::core::{Key, Moment, SysError, Turn};
use crate::net::listener::Listener;
use crate::net::{CannotListen, Socket};
use crate::runtime::listeners::{Accepted, Listeners};

/// The listeners of the sink.
#[derive(Default)]
pub struct Sink {
    listeners: Listeners,
    addresses: Vec<String>,
}

impl Sink {
    /// Listens for streams, which belong to this load.
    pub fn open(
        &mut self,
        listen: &Listen,
        group: usize,
        registry: &Registry,
    ) -> Result<(), CannotListen> {
        for listener in Listener::bind(listen)? {
            self.addresses.push(listener.address().to_string());
            self.listeners
                .open(listener, group as u16, registry)
                .map_err(|error| CannotListen { address: listen.address.clone(), error })?;
        }
        Ok(())
    }

    /// Returns the addresses of the listeners.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Closes the listeners.
    pub fn close(&mut self) {
        self.listeners.close_now();
    }

    /// Marks a listener that epoll has reported.
    pub fn set_pending(&mut self, listener: Key) {
        self.listeners.set_pending(listener);
    }

    /// Returns the next listener that may have pending connections.
    pub fn next_pending(&self, cursor: &mut usize) -> Option<Key> {
        self.listeners.next_pending(cursor)
    }

    /// Returns how long the loop may sleep until a listener is to be tried.
    pub fn sleep(&self, now: Moment) -> Option<Duration> {
        self.listeners.sleep(now, usize::MAX)
    }

    /// Accepts a connection, which `register` registers with the loop. `live`: connections so far.
    /// `None`: no connection is pending. An error is returned with the load of the listener.
    pub fn accept(
        &mut self,
        listener: Key,
        live: usize,
        turn: &mut Turn<'_>,
        mut register: impl FnMut(&mut Socket) -> io::Result<Key>,
    ) -> Result<Option<Accepted>, (usize, SysError)> {
        let mut fault = None;
        let register = |socket: &mut Socket| {
            register(socket).inspect_err(|error| fault = Some(SysError::from(error)))
        };
        let accepted = self.listeners.accept(listener, usize::MAX, live, turn, register);
        match (accepted, fault, self.listeners.route(listener)) {
            (None, Some(fault), Some(group)) => Err((usize::from(group), fault)),
            (accepted, ..) => Ok(accepted),
        }
    }
}
