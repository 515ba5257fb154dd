//! The hubs of all routes. Routes of a plan with the same hub name share one.

use slab::Slab;

use crate::config::Service;
use crate::core::{Engine, HubCounts, HubSettings, Key, Mail, State, Turn};
use crate::net::socket::Socket;
use crate::service::hub::HubOwner;
use crate::text::count::Count;

use super::routes::Routes;

/// All hubs, and which route has which.
#[derive(Default)]
pub struct Hubs {
    hubs: Slab<NamedHub>,
    /// The hub of each route that has one.
    of_route: Vec<Option<u32>>,
    /// A hub has work that did not fit into a turn.
    has_work: bool,
    /// Counted by hubs that were removed.
    removed: HubCounts,
}

/// The sums of all hubs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubSums {
    pub members: usize,
    /// Since the loop was created.
    pub counts: HubCounts,
    /// Messages that the slowest member has not received.
    pub lag: u64,
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
        let is_it = |hub: &NamedHub| hub.name == *name && hub.settings == *settings;
        let known = self.hubs.iter().find(|(_, hub)| is_it(hub)).map(|(index, _)| index);
        let index = known.unwrap_or_else(|| {
            let owner = HubOwner::new(*settings);
            let (name, settings) = (name.clone(), *settings);
            self.hubs.insert(NamedHub { name, settings, owner, routes: Vec::new() })
        });
        self.hubs[index].routes.push(route);
        let route = usize::from(route);
        if self.of_route.len() <= route {
            self.of_route.resize(route + 1, None);
        }
        self.of_route[route] = Some(index as u32);
    }

    /// Removes a route that was freed, and its hub if it was the last one.
    pub fn free(&mut self, route: u16) {
        let Some(index) = self.of_route.get_mut(usize::from(route)).and_then(Option::take) else {
            return;
        };
        let index = index as usize;
        self.hubs[index].routes.retain(|own| *own != route);
        if self.hubs[index].routes.is_empty() {
            let hub = self.hubs.remove(index);
            self.removed = self.removed.and(hub.owner.hub().counts());
        }
    }

    /// Adds a connection to the hub of its route, if it has one.
    pub fn join(&mut self, route: u16, key: Key) {
        if let Some(hub) = self.of(route) {
            hub.owner.join(key);
        }
    }

    /// Passes on what happened at a local end of this route. Returns it if the route has no hub.
    pub fn handle(&mut self, route: u16, mail: Mail, engine: &mut Engine<Socket>) -> Option<Mail> {
        let Some(hub) = self.of(route) else { return Some(mail) };
        // A member that has sent a FIN may be gone.
        if let Mail::Received(key) = mail
            && let Some(conn) = engine.get(key)
            && conn.state() == State::HalfClosed
            && let Some(socket) = conn.ends.socket(0)
        {
            socket.probe_after_fin();
        }
        hub.owner.handle(mail);
        self.has_work = true;
        None
    }

    /// Whether a hub has work.
    #[inline]
    pub fn has_work(&self) -> bool {
        self.has_work
    }

    /// Publishes and delivers messages, as far as one turn allows.
    pub fn serve(&mut self, engine: &mut Engine<Socket>, turn: &mut Turn<'_>) {
        if std::mem::take(&mut self.has_work) {
            for (_, hub) in &mut self.hubs {
                self.has_work |= hub.owner.serve(engine, turn);
            }
        }
    }

    /// Returns the sums of all hubs. It looks at each member.
    pub fn sums(&self) -> HubSums {
        let mut sums = HubSums { counts: self.removed, ..HubSums::default() };
        for hub in self.hubs.iter().map(|(_, hub)| hub.owner.hub()) {
            sums.members += hub.len();
            sums.counts = sums.counts.and(hub.counts());
            sums.lag = sums.lag.max(hub.most_behind());
        }
        sums
    }

    /// Describes each hub in one line of a dump.
    pub fn dump(&self, routes: &Routes) -> impl Iterator<Item = String> {
        self.hubs.iter().map(|(_, hub)| {
            let listens = hub.routes.iter().map(|route| routes[*route].config.listen.to_string());
            let listens = listens.collect::<Vec<_>>().join(" ");
            let hub = hub.owner.hub();
            let (members, messages) =
                (Count(hub.len(), "member"), Count(hub.messages(), "message"));
            format!("hub {listens}: {members}, {messages} in the buffer")
        })
    }

    fn of(&mut self, route: u16) -> Option<&mut NamedHub> {
        let index = (*self.of_route.get(usize::from(route))?)?;
        self.hubs.get_mut(index as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(name: &str, max_message: usize) -> Service {
        let settings = HubSettings { max_message, ..HubSettings::default() };
        Service::Hub { name: name.to_owned(), settings }
    }

    #[test]
    fn routes_share_a_hub_of_the_same_name_and_settings_until_the_last_is_freed() {
        let mut hubs = Hubs::default();
        let services = [hub("a", 10), Service::Echo, hub("b", 10), hub("a", 10), hub("a", 20)];
        for (route, service) in (0..).zip(&services) {
            hubs.assign(route, service);
        }
        let index = |hubs: &Hubs, route: usize| hubs.of_route[route];
        assert_eq!(index(&hubs, 0), index(&hubs, 3), "the same hub");
        assert!(index(&hubs, 0) != index(&hubs, 2) && index(&hubs, 0) != index(&hubs, 4));
        assert_eq!(index(&hubs, 1), None);
        hubs.join(3, Key::new(7, 0));
        hubs.free(0);
        hubs.free(1);
        assert_eq!(hubs.of(3).map(|hub| hub.owner.hub().len()), Some(1), "its member stays");
        hubs.free(3);
        assert!(hubs.of(3).is_none() && hubs.hubs.len() == 2);
        // The route is used again, for something else.
        hubs.assign(3, &Service::Echo);
        assert!(hubs.of(3).is_none());
    }
}
