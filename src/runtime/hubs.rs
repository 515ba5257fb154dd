//! The hubs of all routes. Routes of a plan with the same hub name share one.

use crate::config::Service;
use crate::core::{Engine, HubSettings, Key, Mail, Turn};
use crate::net::socket::Socket;
use crate::service::hub::HubOwner;
use crate::text::count::Count;

use super::routes::Routes;

/// All hubs, and which route has which.
#[derive(Default)]
pub struct Hubs {
    hubs: Vec<NamedHub>,
    /// A hub has work that did not fit into a turn.
    has_work: bool,
}

struct NamedHub {
    name: String,
    settings: HubSettings,
    owner: HubOwner,
    /// The routes whose connections are its members.
    routes: Vec<u16>,
}

impl Hubs {
    /// Gives a route that was added its hub, if its service is one. A hub with other settings is
    /// another hub: its members stay together until they leave.
    pub fn assign(&mut self, route: u16, service: &Service) {
        let Service::Hub { name, settings } = service else { return };
        let is_it = |hub: &&mut NamedHub| hub.name == *name && hub.settings == *settings;
        match self.hubs.iter_mut().find(is_it) {
            Some(hub) => hub.routes.push(route),
            None => self.hubs.push(NamedHub {
                name: name.clone(),
                settings: *settings,
                owner: HubOwner::new(*settings),
                routes: vec![route],
            }),
        }
    }

    /// Removes a route that was freed, and its hub if it was the last one.
    pub fn free(&mut self, route: u16) {
        for hub in &mut self.hubs {
            hub.routes.retain(|own| *own != route);
        }
        self.hubs.retain(|hub| !hub.routes.is_empty());
    }

    /// Adds a connection to the hub of its route, if it has one.
    pub fn join(&mut self, route: u16, key: Key) {
        if let Some(hub) = self.of(route) {
            hub.owner.join(key);
        }
    }

    /// Passes on what happened at a local end of this route. Returns it if the route has no hub.
    pub fn handle(&mut self, route: u16, mail: Mail) -> Option<Mail> {
        match self.of(route) {
            Some(hub) => {
                hub.owner.handle(mail);
                self.has_work = true;
                None
            }
            None => Some(mail),
        }
    }

    /// Whether a hub has work.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.has_work
    }

    /// Publishes and delivers messages, as far as one turn allows.
    pub fn serve(&mut self, engine: &mut Engine<Socket>, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.has_work) {
            for hub in &mut self.hubs {
                self.has_work |= hub.owner.serve(engine, turn);
            }
        }
    }

    /// Describes each hub in one line of a dump.
    pub fn dump(&self, routes: &Routes) -> impl Iterator<Item = String> {
        self.hubs.iter().map(|hub| {
            let listens = hub.routes.iter().map(|route| routes[*route].config.listen.to_string());
            let listens = listens.collect::<Vec<_>>().join(" ");
            let hub = hub.owner.hub();
            let (members, messages) =
                (Count(hub.len(), "member"), Count(hub.messages(), "message"));
            format!("hub {listens}: {members}, {messages} in the buffer")
        })
    }

    fn of(&mut self, route: u16) -> Option<&mut NamedHub> {
        self.hubs.iter_mut().find(|hub| hub.routes.contains(&route))
    }
}
