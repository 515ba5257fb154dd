//! The sink: accepts streams as their far end. A header at the start of each stream describes it.

use crate::config::Listen;
use crate::core::{Conn, Ready, Turn};
use crate::net::listener::Listener;
use crate::net::{CannotListen, Socket, interests};
use crate::runtime::event_loop::Source;
use crate::runtime::listeners::{ACCEPT_BUDGET, Accepted};

use super::endpoint::Endpoint;
use super::runner::Runner;
use super::script::{Script, ScriptKind};

impl Runner {
    /// Listens for streams. The load of the sink must be the last group.
    pub fn open_sink(&mut self, listen: &Listen) -> Result<(), CannotListen> {
        let address = || listen.address.clone();
        let group = self.groups.len() - 1;
        for listener in Listener::bind(listen)? {
            self.sink_addresses.push(listener.address().to_string());
            self.listeners
                .open(listener, group as u16, self.event_loop.registry())
                .map_err(|error| CannotListen { address: address(), error })?;
        }
        Ok(())
    }

    /// Accepts pending connections, as far as the budget of one turn allows.
    pub(super) fn accept(&mut self) {
        let mut cursor = 0;
        while let Some(listener) = self.listeners.next_pending(&mut cursor) {
            for _ in 0..ACCEPT_BUDGET {
                let (now, count, mut fault) = (self.moment(), self.engine.len(), None);
                let (engine, conn_ids) = (&self.engine, &mut self.conn_ids);
                let event_loop = &self.event_loop;
                let register = |socket: &mut Socket| {
                    let key = engine.vacant(conn_ids.next());
                    let (source, interests) = (Source::Conn(key.at(1)), interests(socket));
                    let registered = event_loop.register(socket.source(), source, interests);
                    registered.map(|()| key).inspect_err(|error| fault = Some(error.into()))
                };
                let turn = &mut Turn::new(now, &mut self.watch);
                match self.listeners.accept(listener, usize::MAX, count, turn, register) {
                    Some(accepted) => self.open_connection(accepted),
                    None => {
                        if let (Some(fault), Some(group)) = (fault, self.listeners.route(listener))
                        {
                            self.connect_failed(usize::from(group), fault);
                        }
                        break;
                    }
                }
            }
        }
    }

    fn open_connection(&mut self, accepted: Accepted) {
        let (group, key) = (usize::from(accepted.route), accepted.key);
        let script = Script::new(&self.groups[group].load, key, ScriptKind::Far(Vec::new()));
        self.watch.assign(key, group);
        let of = &mut self.groups[group];
        of.open += 1;
        of.stats.opened += 1;
        let turn = &mut Turn::new(self.moment(), &mut self.watch);
        let conn = Conn::join(Endpoint::Script(Box::new(script)), accepted.socket.into());
        self.engine.insert(conn, key.id, group as u16, turn);
        self.engine.mark(key.at(0), Ready::READ.with(Ready::WRITE), turn);
    }
}
