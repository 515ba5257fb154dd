//! Checks of a plan that need no system call: services and targets that do not match their
//! listener, and relay loops.

use std::collections::HashMap;

use super::address::Address;
use super::admin::{self, AdminPlan};
use super::listen::Listen;
use super::overlap::{self, Common};
use super::parse::{SpanError, Spanned};
use super::reach::{self, Machine};
use super::{Plan, Route, Service, ring, unit};
use crate::core::HubSettings;

/// A conflict within a plan: where it is, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    pub at: Place,
    /// The other parts of the plan that are concerned, and how.
    pub also: Vec<(Place, &'static str)>,
    pub wrong: String,
    /// What to do, or why it matters. May be empty.
    pub remedy: &'static str,
}

/// A part of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The route with this index.
    Route(usize),
    /// The option with this name.
    Option(&'static str),
}

/// What another place of a misfit is.
const OTHER_ROUTE: &str = "the other route";
const OTHER_VALUE: &str = "the other value";

impl Misfit {
    pub fn new(at: Place, wrong: String) -> Misfit {
        Misfit { at, also: Vec::new(), wrong, remedy: "" }
    }
}

/// Checks everything about a plan that can be known without the system, and returns what is wrong.
/// `typed` returns the name of an option as it is typed where the plan comes from.
pub fn plan(plan: &Plan, typed: fn(&'static str) -> String) -> Vec<Misfit> {
    let mut found = routes(&plan.routes);
    if plan.record_bytes && plan.record.is_none() {
        let wrong = format!("{} has no effect without {}", typed("record-bytes"), typed("record"));
        let at = Place::Option("record-bytes");
        found.push(Misfit { remedy: "name a size or a file", ..Misfit::new(at, wrong) });
    }
    found.extend(admin(&plan.admin, typed).err());
    found.extend(admin_listeners(&plan.admin, &plan.routes, typed));
    let timeout = plan.drain_timeout;
    if let Some(idle) = plan.drain_idle.filter(|idle| *idle >= timeout && !timeout.is_zero()) {
        let [idle, timeout] = [idle, timeout].map(unit::show_duration);
        let [name, other] = ["drain-idle", "drain-timeout"].map(typed);
        found.push(Misfit {
            also: vec![(Place::Option("drain-timeout"), OTHER_VALUE)],
            remedy: "otherwise connections at rest would be reset instead of closed",
            ..Misfit::new(
                Place::Option("drain-idle"),
                format!("{name} {idle} must be shorter than {other} {timeout}"),
            )
        });
    }
    found
}

/// Checks that the service supports the type of the listener.
pub fn service(listen: &Listen, service: &Service, input: Spanned<'_>) -> Result<(), SpanError> {
    let reason = match service {
        Service::Greet { .. } => "greet needs a stream address",
        Service::Hub { .. } => {
            "hub needs a stream address: its members are connections, and datagrams have none"
        }
        _ => return Ok(()),
    };
    match listen.address.is_datagram() {
        true => Err(input.wrong(reason).or_accepts("tcp://…, unix:… to listen on")),
        false => Ok(()),
    }
}

/// Checks that a relay from this listener to this target is possible.
pub fn target(listen: &Listen, target: &Address, input: Spanned<'_>) -> Result<(), SpanError> {
    if listen.address.is_datagram() != target.is_datagram() {
        return Err(mixed(target, input));
    }
    match reaches(target, listen) {
        true => Err(input
            .wrong(format!(
                "the relay's own listener, {}: the relay would connect to itself",
                listen
            ))
            .or_accepts("a target other than the relay itself")),
        false => Ok(()),
    }
}

fn mixed(target: &Address, input: Spanned<'_>) -> SpanError {
    let (wrong, meant) = match target {
        Address::Tcp(host, port) => ("a stream address", Address::Udp(host.clone(), *port)),
        Address::Unix(name) => ("a stream address", Address::UnixDatagram(name.clone())),
        Address::Udp(host, port) => ("a datagram address", Address::Tcp(host.clone(), *port)),
        Address::UnixDatagram(name) => ("a datagram address", Address::Unix(name.clone())),
    };
    let other = if target.is_datagram() { "on a stream" } else { "for datagrams" };
    input
        .wrong(format!("{wrong}, but the relay listens {other}; did you mean {meant}?"))
        .or_accepts("tcp:// and unix: together, or udp:// and unix-dgram: together")
}

/// Checks that no two routes listen on the same address, that routes which share a hub agree on its
/// settings, and that relays form no loop.
pub fn routes(routes: &[Route]) -> Vec<Misfit> {
    let mut found = Vec::new();
    let mut listeners: HashMap<Common<'_>, Vec<usize>> = HashMap::new();
    let mut hubs: HashMap<&str, (usize, &HubSettings)> = HashMap::new();
    for (later, route) in routes.iter().enumerate() {
        let near = listeners.entry(Common::of(&route.listen)).or_default();
        let excludes =
            |earlier: &&usize| overlap::excludes(&routes[**earlier].listen, &route.listen);
        found.extend(near.iter().find(excludes).map(|earlier| twice(routes, later, *earlier)));
        near.push(later);
        let Service::Hub { name, settings } = &route.service else { continue };
        let (earlier, expected) = hubs.entry(name).or_insert((later, settings));
        if *expected != settings {
            let wrong = match name.as_str() {
                "" => "two routes share the hub without a name, with different options".into(),
                name => format!("two routes share the hub {name}, with different options"),
            };
            let also = vec![(Place::Route(*earlier), OTHER_ROUTE)];
            found.push(Misfit { also, ..Misfit::new(Place::Route(later), wrong) });
        }
    }
    for ring in ring::rings(routes) {
        let [first, others @ ..] = ring.as_slice() else { continue };
        let wrong = format!(
            "the relay at {} would connect to itself through other routes",
            routes[*first].listen.address
        );
        let also = others.iter().map(|next| (Place::Route(*next), "the next relay")).collect();
        found.push(Misfit { also, ..Misfit::new(Place::Route(*first), wrong) });
    }
    found
}

/// Two listeners of routes, or of one route, of which only one can be bound.
fn twice(routes: &[Route], later: usize, earlier: usize) -> Misfit {
    let [one, other] = [later, earlier].map(|route| &routes[route]);
    let (used, how) = match one.name == other.name {
        true => ("twice", "the other address"),
        false => ("by two routes", OTHER_ROUTE),
    };
    let wrong = clash(&one.listen, &other.listen, &format!("is used {used}"));
    let has_reuseport = one.listen.options.reuseport || other.listen.options.reuseport;
    let remedy = if has_reuseport { "reuseport at both, or another address" } else { "" };
    let also = vec![(Place::Route(earlier), how)];
    Misfit { also, remedy, ..Misfit::new(Place::Route(later), wrong) }
}

/// Says of two listeners why only one of them can be bound. `used` is the reason if both have the
/// same address.
fn clash(one: &Listen, other: &Listen, used: &str) -> String {
    let [one, other] = [&one.address, &other.address];
    match one {
        _ if one == other => format!("{one} {used}"),
        Address::Unix(_) | Address::UnixDatagram(_) => format!("{one} is the same file as {other}"),
        Address::Tcp(..) | Address::Udp(..) => {
            format!("{one} overlaps {other}: only one of them can be bound")
        }
    }
}

/// Checks that changes from other machines need a token, and that no option of the listeners for
/// operators and scrapers is without effect.
fn admin(plan: &AdminPlan, typed: fn(&'static str) -> String) -> Result<(), Misfit> {
    let Some(admin) = &plan.admin else {
        let unused = match plan {
            AdminPlan { token_file: Some(_), .. } => "admin-token-file",
            AdminPlan { hosts, .. } if !hosts.is_empty() => "admin-host",
            AdminPlan { .. } => return Ok(()),
        };
        let wrong = format!("{} has no effect without {}", typed(unused), typed("admin"));
        let remedy = "give an address for the admin endpoint, too";
        return Err(Misfit { remedy, ..Misfit::new(Place::Option(unused), wrong) });
    };
    if admin::is_local(admin) || plan.token_file.is_some() {
        return Ok(());
    }
    let wrong = format!(
        "{} {} accepts connections from other machines, so it needs {}",
        typed("admin"),
        admin.address,
        typed("admin-token-file")
    );
    let remedy = "or listen on localhost, 127.0.0.1, [::1] or a Unix socket";
    Err(Misfit { remedy, ..Misfit::new(Place::Option("admin"), wrong) })
}

/// Checks that the listeners for operators and scrapers share no address with each other or with a
/// route. Sharing it with `reuseport` would hand connections to one of the two at random.
fn admin_listeners(
    plan: &AdminPlan,
    routes: &[Route],
    typed: fn(&'static str) -> String,
) -> Vec<Misfit> {
    let is_taken = |one: &Listen, other: &Listen| {
        let is_same = one.address == other.address && one.address.port() != Some(0);
        is_same || overlap::excludes(one, other)
    };
    let mut found = Vec::new();
    if let (Some(admin), Some(metrics)) = (&plan.admin, &plan.metrics)
        && is_taken(metrics, admin)
    {
        let [one, other] = ["admin", "metrics"].map(typed);
        let wrong = clash(metrics, admin, &format!("is used by {one} and by {other}"));
        found.push(Misfit {
            also: vec![(Place::Option("admin"), OTHER_VALUE)],
            remedy: "the admin endpoint alone serves the metrics too",
            ..Misfit::new(Place::Option("metrics"), wrong)
        });
    }
    for (option, listen) in [("metrics", &plan.metrics), ("admin", &plan.admin)] {
        let Some(listen) = listen else { continue };
        let Some(route) = routes.iter().position(|route| is_taken(&route.listen, listen)) else {
            continue;
        };
        let used = format!("is used by a route and by {}", typed(option));
        found.push(Misfit {
            also: vec![(Place::Route(route), OTHER_ROUTE)],
            remedy: "each needs an address of its own",
            ..Misfit::new(Place::Option(option), clash(listen, &routes[route].listen, &used))
        });
    }
    found
}

/// Whether what is sent to `target` certainly reaches `listen`. Only names and numbers are
/// compared: whether another address is local is known only to the system.
fn reaches(target: &Address, listen: &Listen) -> bool {
    reach::reaches(target, listen, &Machine::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::super::ring::tests::relay;
    use super::*;

    fn checked(listen: &str, to: &str) -> Result<(), String> {
        let listen = Listen::parse(listen).unwrap_or_else(|error| panic!("{error}"));
        let address = Address::parse(to).unwrap_or_else(|error| panic!("{error}"));
        target(&listen, &address, Spanned::whole(to)).map_err(|span_error| span_error.wrong)
    }

    #[test]
    fn a_relay_to_its_own_listener_is_refused_however_it_is_written() {
        let own = [
            ("127.0.0.1:7", "127.0.0.1:7"),
            ("127.0.0.1:7", "7"),
            ("127.0.0.1:7", "localhost:7"),
            ("127.0.0.1:7", "0.0.0.0:7"),
            ("127.0.0.1:7", "[::ffff:127.0.0.1]:7"),
            ("7", "7"),
            ("7", "127.0.0.1:7"),
            ("7", "127.8.9.10:7"),
            ("7", "[::1]:7"),
            ("7", "[::]:7"),
            ("7", "localhost.:7"),
            ("7,v6only", "[::1]:7"),
            ("0.0.0.0:7", "127.0.0.2:7"),
            ("[::]:7", "127.0.0.1:7"),
            ("[::1]:7", "localhost:7"),
            ("localhost:7", "127.0.0.1:7"),
            ("localhost:7", "x.localhost:7"),
            ("db:7", "DB:7"),
            ("10.0.0.1:7", "10.0.0.1:7"),
            ("udp://:7", "udp://127.0.0.1:7"),
            ("unix:/run/x", "unix:///run/x"),
            ("unix:x", "./x"),
            ("unix:@x", "unix:@x"),
            ("unix-dgram:@x", "unix-dgram:@x"),
        ];
        for (listen, to) in own {
            let wrong = checked(listen, to).expect_err(to);
            assert!(wrong.contains("own listener"), "{listen} {to}: {wrong}");
        }
    }

    #[test]
    fn a_relay_to_another_place_is_accepted() {
        let other = [
            ("127.0.0.1:7", "127.0.0.1:8"),
            ("127.0.0.1:7", "127.0.0.2:7"),
            ("127.0.0.1:7", "[::1]:7"),
            ("7,v6only", "127.0.0.1:7"),
            ("0.0.0.0:7", "[::1]:7"),
            ("7", "10.0.0.1:7"),
            ("7", "db:7"),
            ("0", "127.0.0.1:1"),
            ("unix:@x", "unix:x"),
            ("unix:/run/x", "unix:x"),
            ("unix:/run/x", "127.0.0.1:7"),
            ("udp://:53", "unix-dgram:/run/dns"),
        ];
        for (listen, to) in other {
            assert_eq!(checked(listen, to), Ok(()), "{listen} {to}");
        }
    }

    #[test]
    fn streams_and_datagrams_are_not_mixed() {
        let cases = [
            ("7", "udp://a:7", "a datagram address, but the relay listens on a stream; tcp://a:7"),
            (
                "7",
                "unix-dgram:/x",
                "a datagram address, but the relay listens on a stream; unix:/x",
            ),
            ("udp://:7", "a:7", "a stream address, but the relay listens for datagrams; udp://a:7"),
            (
                "unix-dgram:/a",
                "/x",
                "a stream address, but the relay listens for datagrams; unix-dgram:/x",
            ),
        ];
        for (listen, to, wrong) in cases {
            let wrong = wrong.replace("; ", "; did you mean ") + "?";
            assert_eq!(checked(listen, to), Err(wrong));
        }
    }

    #[test]
    fn relays_in_a_ring_are_refused_at_each_of_its_places() {
        let into_ring =
            [relay("9", &["1"]), relay("1", &["a:1", "3"]), relay("2", &["1"]), relay("3", &["2"])];
        let [ring] = &routes(&into_ring)[..] else { panic!("no ring, or more than one") };
        let next = |route| (Place::Route(route), "the next relay");
        assert_eq!((ring.at, &ring.also[..]), (Place::Route(1), &[next(3), next(2)][..]));
        let wrong = "the relay at tcp://:1 would connect to itself through other routes";
        assert_eq!(ring.wrong, wrong);
    }

    #[test]
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn all_addresses_and_one_of_them_have_one_listener() {
        let [found] = &routes(&[relay("7", &["a:1"]), relay("127.0.0.1:7", &["a:1"])])[..] else {
            panic!("not refused")
        };
        let both = "overlaps tcp://:7: only one of them can be bound";
        assert_eq!(found.wrong, format!("tcp://127.0.0.1:7 {both}"));
        let checked = admin_checked("", "7", [false, false]);
        let both = "overlaps tcp://127.0.0.1:7: only one of them can be bound";
        assert_eq!(checked, Err(format!("tcp://:7 {both}")));
        let both = "tcp://127.0.0.1:8 overlaps tcp://:8: only one of them can be bound";
        assert_eq!(admin_checked("[::1]:9", "127.0.0.1:8", [false, false]), Ok(()));
        assert_eq!(admin_checked("8", "127.0.0.1:8", [true, false]), Err(both.into()));
    }

    #[test]
    fn one_address_has_one_route() {
        let pair = |first, second| {
            let mut both = [first, second].map(|listen| relay(listen, &["a:1"]));
            crate::config::number_names(&mut both);
            routes(&both)
        };
        let [twice] = &pair("7", "*:7,backlog=5")[..] else { panic!("not refused") };
        assert_eq!(
            (twice.at, &twice.also[..]),
            (Place::Route(1), &[(Place::Route(0), OTHER_ROUTE)][..])
        );
        assert_eq!(twice.wrong, "tcp://:7 is used by two routes");
        let wrong = |first, second| pair(first, second).remove(0).wrong;
        assert_eq!(wrong("7", "7,v6only"), "tcp://:7 is used by two routes");
        assert_eq!(wrong("/x", "unix-dgram:/x"), "unix-dgram:/x is the same file as unix:/x");
        let mixed = pair("7", "7,reuseport");
        assert_eq!(mixed[0].remedy, "reuseport at both, or another address");
        assert_eq!(pair("127.0.0.1:0", "127.0.0.1:0"), []);
        assert_eq!(pair("7,reuseport", "7,reuseport"), []);
    }

    /// Checks `--admin`, `--metrics` and whether a token file and a host are given, beside a route
    /// at port 7.
    fn admin_checked(admin: &str, metrics: &str, more: [bool; 2]) -> Result<(), String> {
        let listen = |text: &str| (!text.is_empty()).then(|| Listen::parse(text).unwrap());
        let [token, host] = more;
        let plan = AdminPlan {
            admin: listen(admin),
            metrics: listen(metrics),
            token_file: token.then(|| "/x".into()),
            hosts: if host { vec!["a".into()] } else { Vec::new() },
        };
        let route = relay("127.0.0.1:7", &["a:1"]);
        let typed = |name| format!("--{name}");
        let [listeners, options] = [
            admin_listeners(&plan, &[route], typed),
            super::admin(&plan, typed).err().into_iter().collect(),
        ];
        let found = options.into_iter().chain(listeners).next();
        found.map_or(Ok(()), |misfit| Err(misfit.wrong))
    }

    #[test]
    fn an_admin_listener_for_other_machines_needs_a_token() {
        let is_open = |address: &str| {
            let reason = "accepts connections from other machines, so it needs --admin-token-file";
            Err(format!("--admin {address} {reason}"))
        };
        for admin in ["9", "0.0.0.0:9", "[::]:9", "10.0.0.1:9", "db:9"] {
            let address = Listen::parse(admin).unwrap().address.to_string();
            assert_eq!(admin_checked(admin, "", [false, false]), is_open(&address));
            assert_eq!(admin_checked(admin, "", [true, true]), Ok(()));
        }
        for admin in ["127.0.0.1:9", "[::1]:9", "localhost:9", "/x", "unix:@x"] {
            assert_eq!(admin_checked(admin, "10", [false, true]), Ok(()), "{admin}");
        }
    }

    #[test]
    fn admin_options_need_the_admin_listener() {
        let unused = |option| Err(format!("{option} has no effect without --admin"));
        assert_eq!(admin_checked("", "", [true, false]), unused("--admin-token-file"));
        assert_eq!(admin_checked("", "9", [false, true]), unused("--admin-host"));
        assert_eq!(admin_checked("", "9", [false, false]), Ok(()));
        assert_eq!(admin_checked("", "", [false, false]), Ok(()));
    }

    #[test]
    fn the_admin_listeners_have_addresses_of_their_own() {
        let [local, other] = ["127.0.0.1:7", "127.0.0.1:8"];
        let plain = [false, false];
        let used = |by| Err(format!("tcp://{local} is used by a route and by {by}"));
        assert_eq!(admin_checked(local, "", plain), used("--admin"));
        assert_eq!(admin_checked("127.0.0.1:7,reuseport", "", plain), used("--admin"));
        assert_eq!(admin_checked("", local, plain), used("--metrics"));
        assert_eq!(admin_checked(other, local, plain), used("--metrics"));
        let both = format!("tcp://{other} is used by --admin and by --metrics");
        assert_eq!(admin_checked(other, other, plain), Err(both));
        assert_eq!(admin_checked("/x", "./x", plain), Ok(()));
        let one_file = "unix:./x is the same file as unix:x";
        assert_eq!(admin_checked("unix:x", "./x", plain), Err(one_file.into()));
        assert_eq!(admin_checked("127.0.0.1:0", "127.0.0.1:0", plain), Ok(()));
        assert_eq!(admin_checked(other, "127.0.0.1:9", plain), Ok(()));
    }
}
