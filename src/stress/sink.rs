//! The far end of streams: a door whose guests say in a header what they will send and want.

use mio::{Interest, Token};

use crate::core::{Conn, Key, Ready};
use crate::plan::Listen;
use crate::shell::doors::{ACCEPT_BUDGET, Guest};
use crate::shell::listener::Listener;
use crate::shell::{CannotListen, Socket, interests};

use super::line::Line;
use super::loader::Loader;
use super::script::{Script, Talk};

/// The first key of a listener; those before it are other doors of the loop.
const FIRST_DOOR: usize = 8;

impl Loader {
    /// From now on streams may end here. The group of the sink must be the last.
    pub fn open_sink(&mut self, listen: &Listen) -> Result<(), CannotListen> {
        let address = || listen.address.clone();
        let group = self.groups.len() - 1;
        for (index, mut listener) in Listener::bind(listen)?.into_iter().enumerate() {
            let key = Key::door(FIRST_DOOR + index);
            let token = Token(key.to_word());
            self.poll
                .registry()
                .register(listener.source(), token, Interest::READABLE)
                .map_err(|error| CannotListen { address: address(), error })?;
            self.sink_addresses.push(listener.address().to_string());
            self.doors.add(listener, group as u16, key);
        }
        Ok(())
    }

    /// Lets in those who wait, as far as one turn allows.
    pub(super) fn accept(&mut self) {
        for door in 0..self.doors.len() {
            for _ in 0..ACCEPT_BUDGET {
                let (now, count, mut fault) = (self.moment(), self.engine.len(), None);
                let (engine, births, poll) = (&self.engine, &mut self.births, &self.poll);
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(births.give());
                    let (token, interests) = (Token(key.at(1).to_word()), interests(socket));
                    let registered = poll.registry().register(socket.source(), token, interests);
                    registered.map(|()| key).inspect_err(|error| fault = Some(error.into()))
                };
                let watch = &mut self.watch;
                match self.doors.accept(door, usize::MAX, (count, now), watch, register) {
                    Some(guest) => self.welcome(guest),
                    None => {
                        if let Some(fault) = fault {
                            self.refused(usize::from(self.doors.route(door)), fault);
                        }
                        break;
                    }
                }
            }
        }
    }

    fn welcome(&mut self, guest: Guest) {
        let (group, key) = (usize::from(guest.route), guest.key);
        let script = Script::new(&self.groups[group].load, key, Talk::Far(Vec::new()));
        self.watch.assign(key, group);
        let of = &mut self.groups[group];
        of.open += 1;
        of.tally.opened += 1;
        let (now, watch) = (self.moment(), &mut self.watch);
        let conn = Conn::join(Line::Script(Box::new(script)), guest.socket.into());
        self.engine.insert(conn, key.birth, group as u16, now, watch);
        self.engine.mark(key.at(0), Ready::READ.with(Ready::WRITE), watch);
    }
}
