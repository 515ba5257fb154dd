//! Compares two configurations, route by route, as an operator thinks of them: what a reload would
//! add, change and remove, and what it cannot do.

use std::collections::{HashMap, HashSet};

use super::diff::{Change, Diff, diff, is_same_socket};
use super::file::keys_of;
use super::options::{ConfigTable, OptionSpec, Settings, Takes};
use super::overlap::{self, Common};
use super::policy::RouteSettings;
use super::restart::is_set_at_start;
use super::service::HubOptions;
use super::{DaemonConfig, Existing, Listen, Policy, Route, Service, unit};

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanChange {
    Added {
        route: String,
        listens: Vec<String>,
        service: String,
    },
    /// The old file decides what happens to its connections.
    Removed {
        route: String,
        existing: Existing,
    },
    /// Another service, or other targets. The new file decides what happens to its connections.
    Service {
        route: String,
        old: String,
        new: String,
        existing: Existing,
    },
    /// Another policy. `key` is its key in the file.
    Policy {
        route: String,
        key: &'static str,
        old: String,
        new: String,
        policy: Box<Policy>,
    },
    Listens {
        route: String,
        listen: String,
    },
    ListensNoMore {
        route: String,
        listen: String,
    },
    /// The backlog of an open socket is changed.
    Backlog {
        route: String,
        old: String,
        new: String,
    },
    /// Options of the socket differ that can only be set when it is bound.
    Rebound {
        route: String,
        old: String,
        new: String,
        /// An open datagram socket is not bound again: its flows answer through it.
        is_refused: bool,
    },
    /// A new address cannot be bound before one that is removed is closed.
    Overlaps {
        route: String,
        listen: String,
        old_route: String,
        old: String,
    },
    /// A setting of the process, as it is written in a file.
    Setting {
        key: String,
        old: String,
        new: String,
        needs_restart: bool,
    },
}

/// The routes with one name, one for each address, with their positions in the plan.
struct Group<'a> {
    first: &'a Route,
    routes: Vec<(usize, &'a Route)>,
}

/// Both lists of routes, and what a reload does with the sockets of each.
struct Sockets<'a> {
    old: &'a [Route],
    new: &'a [Route],
    diff: Diff,
}

/// Returns what differs: settings first, then the routes in the order of the new file, then the
/// removed ones.
pub fn compare(old: &DaemonConfig, new: &DaemonConfig) -> Vec<PlanChange> {
    let mut changes = settings(old, new);
    let (old, new) = (&old.plan.routes, &new.plan.routes);
    let sockets = Sockets { old, new, diff: diff(old, new) };
    let (before, after) = (groups(old), groups(new));
    for group in &after {
        match before.iter().find(|old| old.first.name == group.first.name) {
            Some(old) => routes(old, group, &sockets, &mut changes),
            None => changes.push(PlanChange::Added {
                route: group.first.name.clone(),
                listens: group.routes.iter().map(|(_, route)| route.listen.to_string()).collect(),
                service: describe(&group.first.service),
            }),
        }
    }
    let is_gone = |old: &&Group<'_>| !after.iter().any(|new| new.first.name == old.first.name);
    changes.extend(before.iter().filter(is_gone).map(|old| PlanChange::Removed {
        route: old.first.name.clone(),
        existing: old.first.policy.existing,
    }));
    changes.extend(sockets.taken_over());
    changes.extend(sockets.overlaps());
    changes
}

impl<'a> Sockets<'a> {
    /// The old route whose socket this new route gets or replaces.
    fn before(&self, new: usize) -> Option<&'a Route> {
        self.diff.routes[new].old().map(|at| &self.old[at])
    }

    /// Compares the addresses of the routes with one name.
    fn listens(&self, old: &Group<'_>, new: &Group<'_>, changes: &mut Vec<PlanChange>) {
        let name = &new.first.name;
        let mut left: HashSet<usize> = old.routes.iter().map(|(index, _)| *index).collect();
        for (index, route) in &new.routes {
            let own = self.diff.routes[*index].old().filter(|at| left.remove(at));
            changes.extend(match own.map(|at| &self.old[at].listen) {
                None => {
                    let (route, listen) = (name.clone(), route.listen.to_string());
                    Some(PlanChange::Listens { route, listen })
                }
                Some(before) if *before == route.listen => None,
                Some(before) if is_same_socket(before, &route.listen) => {
                    let (old, new) = (before.to_string(), route.listen.to_string());
                    Some(PlanChange::Backlog { route: name.clone(), old, new })
                }
                Some(before) => Some(rebound(name, before, &route.listen)),
            });
        }
        let gone = old.routes.iter().filter(|(index, _)| left.contains(index));
        changes.extend(gone.map(|(_, route)| PlanChange::ListensNoMore {
            route: name.clone(),
            listen: route.listen.to_string(),
        }));
    }

    /// Returns the sockets that a route takes over from one of another name, and that have to be
    /// bound again.
    fn taken_over(&self) -> impl Iterator<Item = PlanChange> {
        self.new.iter().enumerate().filter_map(|(index, route)| {
            let old = self.before(index).filter(|old| old.name != route.name)?;
            let has_same = is_same_socket(&old.listen, &route.listen);
            (!has_same).then(|| rebound(&route.name, &old.listen, &route.listen))
        })
    }

    /// Returns the new addresses that exclude an old one. A reload binds the new ones first, and
    /// those that are bound again last, together.
    fn overlaps(&self) -> Vec<PlanChange> {
        // The old sockets that are closed, and whether they are bound again.
        let mut closed: HashMap<Common<'_>, Vec<(&Route, bool)>> = HashMap::new();
        let mut add = |old: usize, is_rebound| {
            let route = &self.old[old];
            closed.entry(Common::of(&route.listen)).or_default().push((route, is_rebound));
        };
        self.diff.removed.iter().for_each(|old| add(*old, false));
        let is_rebound = |change: &Change| matches!(change, Change::Rebound(_));
        for change in self.diff.routes.iter().filter(|change| is_rebound(change)) {
            change.old().into_iter().for_each(|old| add(old, true));
        }
        let new = self.new.iter().zip(&self.diff.routes);
        new.filter(|(_, change)| **change == Change::Added || is_rebound(change))
            .filter_map(|(route, change)| {
                let mut near = closed.get(&Common::of(&route.listen)).into_iter().flatten();
                let (old, _) = near.find(|(old, is_old_rebound)| {
                    !(*is_old_rebound && is_rebound(change))
                        && overlap::excludes(&old.listen, &route.listen)
                })?;
                Some(PlanChange::Overlaps {
                    route: route.name.clone(),
                    listen: route.listen.to_string(),
                    old_route: old.name.clone(),
                    old: old.listen.to_string(),
                })
            })
            .collect()
    }
}

fn rebound(route: &str, old: &Listen, new: &Listen) -> PlanChange {
    let is_refused = new.address.is_datagram();
    let (route, old, new) = (route.to_owned(), old.to_string(), new.to_string());
    PlanChange::Rebound { route, old, new, is_refused }
}

/// Returns the settings that differ and need a restart, as they are written in a file:
/// `admin.listen`.
pub fn needs_restart(old: &DaemonConfig, new: &DaemonConfig) -> Vec<String> {
    let changes = settings(old, new).into_iter();
    let keys = changes.filter_map(|change| match change {
        PlanChange::Setting { key, needs_restart: true, .. } => Some(key),
        _ => None,
    });
    keys.collect()
}

/// Joins the routes with one name.
fn groups(routes: &[Route]) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        // The routes of a name follow one another.
        match groups.last_mut().filter(|group| group.first.name == route.name) {
            Some(group) => group.routes.push((index, route)),
            None => groups.push(Group { first: route, routes: vec![(index, route)] }),
        }
    }
    groups
}

/// Compares two routes with one name.
fn routes(old: &Group<'_>, new: &Group<'_>, sockets: &Sockets<'_>, changes: &mut Vec<PlanChange>) {
    let route = || new.first.name.clone();
    sockets.listens(old, new, changes);
    if old.first.service != new.first.service {
        let [before, after] = describe_both(&old.first.service, &new.first.service);
        let existing = new.first.policy.existing;
        changes.push(PlanChange::Service { route: route(), old: before, new: after, existing });
    }
    let service = new.first.service.name();
    let [before, after] = [old, new].map(|group| of_route(&group.first.policy));
    let policy = differing(ConfigTable::Policy, before, after)
        .filter(|(_, option, ..)| option.scope.has_route(service) != Some(false));
    changes.extend(policy.map(|(key, _, old, new_value)| PlanChange::Policy {
        route: route(),
        key,
        old,
        new: new_value,
        policy: Box::new(new.first.policy.clone()),
    }));
}

/// Compares the settings of the process.
fn settings(old: &DaemonConfig, new: &DaemonConfig) -> Vec<PlanChange> {
    let mut changes = Vec::new();
    for table in [ConfigTable::Process, ConfigTable::Log, ConfigTable::Admin] {
        changes.extend(differing(table, old.settings(), new.settings()).map(
            |(key, option, old, new)| {
                let needs_restart = is_set_at_start(option);
                PlanChange::Setting {
                    key: format!("{}.{key}", table.name()),
                    old,
                    new,
                    needs_restart,
                }
            },
        ));
    }
    changes
}

fn of_route(policy: &Policy) -> Settings {
    let route = RouteSettings { policy: policy.clone(), ..RouteSettings::default() };
    Settings { route, ..Settings::default() }
}

/// The options of a table that differ: key, option, old and new value.
fn differing(
    table: ConfigTable,
    old: Settings,
    new: Settings,
) -> impl Iterator<Item = (&'static str, &'static OptionSpec, String, String)> {
    keys_of(table).filter_map(move |(key, option)| {
        let (before, after) = (option.show(&old), option.show(&new));
        let text = |value: Option<String>| match value {
            // A file has no dashes before the names of options.
            None => {
                option.default_text().map_or("false".to_owned(), |text| text.replace(" --", " "))
            }
            Some(value) if value.is_empty() => "true".to_owned(),
            Some(value) if option.takes == Takes::Value("SIZE") => unit::with_unit(value),
            Some(value) => value,
        };
        (before != after).then(|| (key, option, text(before), text(after)))
    })
}

/// Describes two different services. Two hubs have the options that differ besides their names.
fn describe_both(old: &Service, new: &Service) -> [String; 2] {
    let mut both = [old, new].map(describe);
    if let (Service::Hub { settings: old, .. }, Service::Hub { settings: new, .. }) = (old, new) {
        let [old, new] = [old, new].map(|settings| {
            let route = RouteSettings { hub: HubOptions::from(settings), ..Default::default() };
            Settings { route, ..Settings::default() }
        });
        for (key, _, old, new) in differing(ConfigTable::Hub, old, new) {
            for (text, value) in both.iter_mut().zip([old, new]) {
                *text += &format!(", {key} {value}");
            }
        }
    }
    both
}

/// Describes a service in a few words.
fn describe(service: &Service) -> String {
    match service {
        Service::Relay(targets) => {
            let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
            format!("relay to {}", targets.join(", "))
        }
        Service::Greet { text, read_one: false } => format!("greet {text}"),
        Service::Greet { text, read_one: true } => format!("greet {text}, read one message"),
        Service::Hub { name, .. } if name.is_empty() => "hub".to_owned(),
        Service::Hub { name, .. } => format!("hub {name}"),
        Service::Echo
        | Service::Discard
        | Service::Chargen
        | Service::Daytime
        | Service::Time
        | Service::Whoami => service.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn changes(old: &str, new: &str) -> Vec<PlanChange> {
        let [old, new] = [old, new].map(|text| {
            DaemonConfig::parse("x", text.to_owned()).unwrap_or_else(|errors| panic!("{errors}"))
        });
        compare(&old, &new)
    }

    const OLD: &str = "[route.a]\nlisten = \":1\"\nrelay = \"x:1\"\nidle-timeout = \"1h\"\n\
                       [route.b]\nlisten = [\":2\", \":3\"]\necho = true\nexisting = \"cut\"\n";

    #[test]
    fn equal_files_differ_in_nothing_whatever_their_order_of_keys() {
        assert_eq!(changes(OLD, OLD), []);
        let other = "[policy]\nidle-timeout = \"off\"\n[route.b]\nexisting = \"cut\"\necho = true\n\
                     listen = [\"*:3\", \"tcp://:2\"]\n\
                     [route.a]\nidle-timeout = \"60m\"\nrelay = [\"tcp://x:1\"]\nlisten = \":1\"\n";
        assert_eq!(changes(OLD, other), []);
    }

    #[test]
    fn a_route_is_added_changed_and_removed() {
        let new = "[process]\nmax-connections = 9\n[admin]\nlisten = \"/x\"\n\
                   [route.a]\nlisten = [\":1,backlog=5\", \":4\"]\nrelay = \"y:1\"\n\
                   idle-timeout = \"5m\"\nexisting = \"after 5m\"\n\
                   [route.c]\nlisten = \":2\"\ngreet = {text = \"hi\"}\n";
        let route = || "a".to_owned();
        let [max, admin, backlog, listens, service, existing, idle, added, removed] =
            &changes(OLD, new)[..]
        else {
            panic!("{:#?}", changes(OLD, new))
        };
        let setting = |key: &str, old: &str, new: &str, needs_restart| PlanChange::Setting {
            key: key.into(),
            old: old.into(),
            new: new.into(),
            needs_restart,
        };
        let default = "from the open-file limit";
        assert_eq!(*max, setting("process.max-connections", default, "9", false));
        assert_eq!(*admin, setting("admin.listen", "off", "unix:/x,mode=0600", true));
        let (old, new) = ("tcp://:1".to_owned(), "tcp://:1,backlog=5".to_owned());
        assert_eq!(*backlog, PlanChange::Backlog { route: route(), old, new });
        assert_eq!(*listens, PlanChange::Listens { route: route(), listen: "tcp://:4".into() });
        let after = Existing::After(Duration::from_secs(300));
        let (old, new) = ("relay to tcp://x:1".to_owned(), "relay to tcp://y:1".to_owned());
        assert_eq!(*service, PlanChange::Service { route: route(), old, new, existing: after });
        assert!(matches!(existing, PlanChange::Policy { key: "existing", .. }), "{existing:?}");
        let PlanChange::Policy { key, old, new, .. } = idle else { panic!("{idle:?}") };
        assert_eq!((*key, old.as_str(), new.as_str()), ("idle-timeout", "1h", "5m"));
        let (listens, service) = (vec!["tcp://:2".to_owned()], "greet hi".to_owned());
        assert_eq!(*added, PlanChange::Added { route: "c".into(), listens, service });
        let existing = Existing::Cut;
        assert_eq!(*removed, PlanChange::Removed { route: "b".into(), existing });
    }

    #[test]
    fn values_are_shown_as_a_file_has_them() {
        let hub = |options: &str| format!("[route.a]\nlisten = \":1\"\nhub = {options}\n");
        let services = |old: &str, new: &str| match &changes(&hub(old), &hub(new))[..] {
            [PlanChange::Service { old, new, .. }] => [old.clone(), new.clone()],
            other => panic!("{other:?}"),
        };
        let differing = services("true", "{buffer = \"2M\", max-message = \"1000b\"}");
        let expected = ["hub, max-message 64k, buffer 1M", "hub, max-message 1000b, buffer 2M"];
        assert_eq!(differing, expected);
        let differing = services("{frame = \"raw\"}", "{on-lag = \"close\", name = \"x\"}");
        assert_eq!(differing[0], "hub, frame raw, on-lag skip; close if raw");
        assert_eq!(differing[1], "hub x, frame line, on-lag close");
        let new = format!("{OLD}[process]\ndrain-idle = \"2s\"\n");
        let [PlanChange::Setting { old, .. }] = &changes(OLD, &new)[..] else { panic!() };
        assert_eq!(old, "1s, at most half of drain-timeout");
    }

    #[test]
    fn what_only_bind_can_set_is_bound_again() {
        let new = OLD.replace("\":1\"", "\":1,v6only\"");
        let [change] = &changes(OLD, &new)[..] else { panic!("not one change") };
        let (old, new) = ("tcp://:1".to_owned(), "tcp://:1,v6only".to_owned());
        let rebound = |old, new, is_refused| {
            let route = "a".to_owned();
            PlanChange::Rebound { route, old, new, is_refused }
        };
        assert_eq!(*change, rebound(old, new, false));
        let (old, new) = ("udp://:1".to_owned(), "udp://:1,reuseport".to_owned());
        let text = |listen| format!("[route.a]\nlisten = \"{listen}\"\necho = true\n");
        assert_eq!(changes(&text(&old), &text(&new)), [rebound(old, new, true)]);
        // A route of another name takes the socket over, and needs it with another option.
        let new = "[route.c]\nlisten = \":1,reuseport\"\nrelay = \"x:1\"\n";
        let found = changes("[route.a]\nlisten = \":1\"\nrelay = \"x:1\"\n", new);
        let (route, old, new) = ("c".to_owned(), "tcp://:1".into(), "tcp://:1,reuseport".into());
        assert_eq!(found.last(), Some(&PlanChange::Rebound { route, old, new, is_refused: false }));
        assert_eq!(found.len(), 3);
        let both = "[route.a]\nlisten = \":1,reuseport\"\necho = true\n\
                    [route.b]\nlisten = \":1,reuseport,backlog=9\"\necho = true\n";
        assert_eq!(changes(both, both), [], "each route keeps its own socket");
        let two = both.replace("\":1,reuseport\"", "[\":1,reuseport\", \":1,reuseport\"]");
        let (route, listen) = ("a".to_owned(), "tcp://:1,reuseport".to_owned());
        assert_eq!(changes(both, &two), [PlanChange::Listens { route, listen }]);
        let new = OLD.replace(", \":3\"", "");
        let [change] = &changes(OLD, &new)[..] else { panic!("not one change") };
        let listen = "tcp://:3".to_owned();
        assert_eq!(*change, PlanChange::ListensNoMore { route: "b".into(), listen });
    }

    #[test]
    fn an_address_that_excludes_an_old_one_is_refused_before_the_reload() {
        let text = |listens: &str| format!("[route.a]\nlisten = [{listens}]\necho = true\n");
        let refused = |old: &str, new: &str| {
            let found = changes(&text(old), &text(new)).into_iter().rev();
            let mut refused = found.filter_map(|change| match change {
                PlanChange::Overlaps { listen, old, .. } => Some((listen, old)),
                _ => None,
            });
            refused.next()
        };
        let pair = |new: &str, old: &str| Some((new.to_owned(), old.to_owned()));
        assert_eq!(refused("'unix:x'", "'unix-dgram:x'"), pair("unix-dgram:x", "unix:x"));
        assert_eq!(refused("'[::1]:1'", "'127.0.0.1:1'"), None);
        // One that is bound again is closed last, unless both are.
        let (plain, shared) = ("127.0.0.1:1", "127.0.0.1:1,reuseport");
        let [old, new] = [plain, shared].map(|listen| format!("'{listen}'"));
        assert_eq!(refused(&old, &new), None);
        if cfg!(target_os = "linux") {
            assert_eq!(refused("':1'", &old), pair("tcp://127.0.0.1:1", "tcp://:1"));
            let both = format!("':1,reuseport', {new}");
            assert_eq!(refused(&old, &both), pair("tcp://:1,reuseport", "tcp://127.0.0.1:1"));
        }
    }
}
