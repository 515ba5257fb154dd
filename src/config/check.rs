//! Checks of a plan that need no system call: services and targets that do not match their
//! listener, and relay loops.

use super::address::Address;
use super::admin::{self, AdminPlan};
use super::listen::Listen;
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
    fn new(at: Place, wrong: String) -> Misfit {
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
    found.extend(admin(&plan.admin, &plan.routes, typed).err());
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
    for (later, route) in routes.iter().enumerate() {
        let clashes = |earlier: &Route| is_same_place(&earlier.listen, &route.listen);
        let twice = routes[..later].iter().position(clashes);
        if let Some(earlier) = twice.filter(|_| !route.listen.options.reuseport) {
            let wrong = format!("{} is used by two routes", route.listen.address);
            found.push(pair(later, earlier, wrong));
        }
        let Service::Hub { name, settings } = &route.service else { continue };
        let other = |earlier: &Route| differs(&earlier.service, name, settings);
        if let Some(earlier) = routes[..later].iter().position(other) {
            let wrong = match name.as_str() {
                "" => "two routes share the hub without a name, with different options".into(),
                name => format!("two routes share the hub {name}, with different options"),
            };
            found.push(pair(later, earlier, wrong));
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

fn pair(at: usize, also: usize, wrong: String) -> Misfit {
    let also = vec![(Place::Route(also), OTHER_ROUTE)];
    Misfit { also, ..Misfit::new(Place::Route(at), wrong) }
}

/// Whether both listen on one address. Port 0 is another port each time.
fn is_same_place(one: &Listen, other: &Listen) -> bool {
    one.address == other.address && one.address.port() != Some(0)
}

/// Checks that the listeners for operators and scrapers share no address with each other or with a
/// route, that changes from other machines need a token, and that no option is without effect.
fn admin(
    plan: &AdminPlan,
    routes: &[Route],
    typed: fn(&'static str) -> String,
) -> Result<(), Misfit> {
    let Some(admin) = &plan.admin else {
        let unused = match plan {
            AdminPlan { token_file: Some(_), .. } => "admin-token-file",
            AdminPlan { hosts, .. } if !hosts.is_empty() => "admin-host",
            AdminPlan { metrics: Some(metrics), .. } => {
                return free("metrics", metrics, routes, typed);
            }
            AdminPlan { metrics: None, .. } => return Ok(()),
        };
        let wrong = format!("{} has no effect without {}", typed(unused), typed("admin"));
        let remedy = "give an address for the admin endpoint, too";
        return Err(Misfit { remedy, ..Misfit::new(Place::Option(unused), wrong) });
    };
    if !admin::is_local(admin) && plan.token_file.is_none() {
        let wrong = format!(
            "{} {} accepts connections from other machines, so it needs {}",
            typed("admin"),
            admin.address,
            typed("admin-token-file")
        );
        let remedy = "or listen on localhost, 127.0.0.1, [::1] or a Unix socket";
        return Err(Misfit { remedy, ..Misfit::new(Place::Option("admin"), wrong) });
    }
    if plan.metrics.as_ref().is_some_and(|metrics| is_same_place(metrics, admin)) {
        let [one, other] = ["admin", "metrics"].map(typed);
        return Err(Misfit {
            also: vec![(Place::Option("admin"), OTHER_VALUE)],
            remedy: "the admin endpoint alone serves the metrics too",
            ..Misfit::new(
                Place::Option("metrics"),
                format!("{} is used by {one} and by {other}", admin.address),
            )
        });
    }
    plan.metrics.as_ref().map_or(Ok(()), |metrics| free("metrics", metrics, routes, typed))?;
    free("admin", admin, routes, typed)
}

/// Checks that no route listens on the address of this option. Sharing it with `reuseport` would
/// hand connections to one of the two at random.
fn free(
    option: &'static str,
    listen: &Listen,
    routes: &[Route],
    typed: fn(&'static str) -> String,
) -> Result<(), Misfit> {
    match routes.iter().position(|route| is_same_place(&route.listen, listen)) {
        Some(route) => Err(Misfit {
            also: vec![(Place::Route(route), OTHER_ROUTE)],
            remedy: "each needs an address of its own",
            ..Misfit::new(
                Place::Option(option),
                format!("{} is used by a route and by {}", listen.address, typed(option)),
            )
        }),
        None => Ok(()),
    }
}

/// Whether a service is the hub with this name and has other settings.
fn differs(service: &Service, name: &str, settings: &HubSettings) -> bool {
    matches!(service, Service::Hub { name: other, settings: theirs }
        if other == name && theirs != settings)
}

/// Whether what is sent to `target` certainly reaches `listen`. Only names and numbers are
/// compared: whether another address is local is known only to the system.
fn reaches(target: &Address, listen: &Listen) -> bool {
    reach::reaches(target, listen, &Machine::UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

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

    fn relay(listen: &str, targets: &[&str]) -> Route {
        let parse = |text: &&str| Address::parse(text).unwrap_or_else(|error| panic!("{error}"));
        Route::unnamed(
            Listen::parse(listen).unwrap_or_else(|error| panic!("{error}")),
            Service::Relay(targets.iter().map(parse).collect()),
            Policy::default(),
        )
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
    fn one_address_has_one_route() {
        let pair = |first, second| routes(&[relay(first, &["a:1"]), relay(second, &["a:1"])]);
        let [twice] = &pair("7", "*:7,backlog=5")[..] else { panic!("not refused") };
        assert_eq!(
            (twice.at, &twice.also[..]),
            (Place::Route(1), &[(Place::Route(0), OTHER_ROUTE)][..])
        );
        assert_eq!(twice.wrong, "tcp://:7 is used by two routes");
        assert_eq!(pair("7", "127.0.0.1:7"), []);
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
        super::admin(&plan, &[route], |name| format!("--{name}")).map_err(|misfit| misfit.wrong)
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
            assert_eq!(admin_checked(admin, "9", [false, true]), Ok(()), "{admin}");
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
        assert_eq!(admin_checked("127.0.0.1:0", "127.0.0.1:0", plain), Ok(()));
        assert_eq!(admin_checked(other, "127.0.0.1:9", plain), Ok(()));
    }
}
