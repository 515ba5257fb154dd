//! Checks of a plan that need no system call: services and targets that do not match their
//! listener, and relay loops.

use super::address::Address;
use super::admin::{self, AdminPlan};
use super::listen::Listen;
use super::parse::{SpanError, Spanned};
use super::reach::{self, Machine};
use super::{Route, Service};
use crate::core::HubSettings;

/// A conflict between two routes: the index of the later one, and the reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clash {
    pub route: usize,
    pub wrong: String,
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
pub fn routes(routes: &[Route]) -> Result<(), Clash> {
    for (later, route) in routes.iter().enumerate() {
        let clashes = |earlier: &Route| is_same_place(&earlier.listen, &route.listen);
        if !route.listen.options.reuseport && routes[..later].iter().any(clashes) {
            let wrong = format!("{} is used by two routes", route.listen.address);
            return Err(Clash { route: later, wrong });
        }
        if let Service::Hub { name, settings } = &route.service
            && routes[..later].iter().any(|earlier| differs(&earlier.service, name, settings))
        {
            let wrong = match name.as_str() {
                "" => "two routes share the hub without a name, with different options".into(),
                name => format!("two routes share the hub {name}, with different options"),
            };
            return Err(Clash { route: later, wrong });
        }
    }
    match ring(routes) {
        Some(route) => {
            let wrong =
                format!("the relay at {} would connect to itself", routes[route].listen.address);
            Err(Clash { route, wrong: format!("{wrong} through other routes") })
        }
        None => Ok(()),
    }
}

/// Whether both listen on one address. Port 0 is another port each time.
fn is_same_place(one: &Listen, other: &Listen) -> bool {
    one.address == other.address && one.address.port() != Some(0)
}

/// An error of the listeners for operators and scrapers: the reason, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminMisfit {
    pub wrong: String,
    pub remedy: &'static str,
}

/// Checks that the listeners for operators and scrapers share no address with each other or with a
/// route, that changes from other machines need a token, and that no option is without effect.
pub fn admin(plan: &AdminPlan, routes: &[Route]) -> Result<(), AdminMisfit> {
    let misfit = |wrong: String, remedy| Err(AdminMisfit { wrong, remedy });
    let Some(admin) = &plan.admin else {
        let unused = match plan {
            AdminPlan { token_file: Some(_), .. } => "--admin-token-file",
            AdminPlan { hosts, .. } if !hosts.is_empty() => "--admin-host",
            AdminPlan { metrics: Some(metrics), .. } => return free("--metrics", metrics, routes),
            AdminPlan { metrics: None, .. } => return Ok(()),
        };
        return misfit(
            format!("{unused} has no effect without --admin"),
            "give --admin LISTEN too",
        );
    };
    if !admin::is_local(admin) && plan.token_file.is_none() {
        let wrong = format!(
            "--admin {} accepts connections from other machines, so it needs --admin-token-file",
            admin.address
        );
        return misfit(wrong, "or listen on localhost, 127.0.0.1, [::1] or a Unix socket");
    }
    if plan.metrics.as_ref().is_some_and(|metrics| is_same_place(metrics, admin)) {
        let wrong = format!("{} is used by --admin and by --metrics", admin.address);
        return misfit(wrong, "--admin alone serves the metrics too");
    }
    plan.metrics.as_ref().map_or(Ok(()), |metrics| free("--metrics", metrics, routes))?;
    free("--admin", admin, routes)
}

/// Checks that no route listens on the address of this option. Sharing it with `reuseport` would
/// hand connections to one of the two at random.
fn free(option: &str, listen: &Listen, routes: &[Route]) -> Result<(), AdminMisfit> {
    match routes.iter().any(|route| is_same_place(&route.listen, listen)) {
        true => Err(AdminMisfit {
            wrong: format!("{} is used by a route and by {option}", listen.address),
            remedy: "each needs an address of its own",
        }),
        false => Ok(()),
    }
}

/// Whether a service is the hub with this name and has other settings.
fn differs(service: &Service, name: &str, settings: &HubSettings) -> bool {
    matches!(service, Service::Hub { name: other, settings: theirs }
        if other == name && theirs != settings)
}

/// Returns a route whose connections come back to it. Routes that lead out of the plan are removed
/// until none is left, or only routes of a loop.
fn ring(routes: &[Route]) -> Option<usize> {
    let mut left: Vec<usize> = (0..routes.len()).collect();
    let next = |from: usize, left: &[usize]| {
        let Service::Relay(targets) = &routes[from].service else { return None };
        let meets = |to: &usize| targets.iter().any(|t| reaches(t, &routes[*to].listen));
        left.iter().copied().find(meets)
    };
    loop {
        let leads_on = |from: &usize| next(*from, &left).is_some();
        let kept: Vec<usize> = left.iter().copied().filter(leads_on).collect();
        if kept.len() == left.len() {
            // The loop is reached after at most as many steps as there are routes.
            return left.iter().try_fold(*left.first()?, |from, _| next(from, &left));
        }
        left = kept;
    }
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
        Route {
            listen: Listen::parse(listen).unwrap_or_else(|error| panic!("{error}")),
            service: Service::Relay(targets.iter().map(parse).collect()),
            policy: Policy::default(),
        }
    }

    #[test]
    fn relays_in_a_ring_are_refused_and_in_a_row_accepted() {
        let row = [relay("1", &["[::1]:2", "a:1"]), relay("2", &["/x"]), relay("/x", &["a:3"])];
        assert_eq!(routes(&row), Ok(()));
        let into_ring = [relay("9", &["1"]), relay("1", &["a:1", "2"]), relay("2", &["1"])];
        let clash = routes(&into_ring).expect_err("a ring");
        assert!(clash.route > 0, "{clash:?}");
        assert!(clash.wrong.ends_with("would connect to itself through other routes"), "{clash:?}");
    }

    #[test]
    fn one_address_has_one_route() {
        let pair = |first, second| routes(&[relay(first, &["a:1"]), relay(second, &["a:1"])]);
        let clash = pair("7", "*:7,backlog=5").expect_err("twice");
        assert_eq!((clash.route, clash.wrong.as_str()), (1, "tcp://:7 is used by two routes"));
        assert_eq!(pair("7", "127.0.0.1:7"), Ok(()));
        assert_eq!(pair("127.0.0.1:0", "127.0.0.1:0"), Ok(()));
        assert_eq!(pair("7,reuseport", "7,reuseport"), Ok(()));
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
        super::admin(&plan, &[route]).map_err(|misfit| misfit.wrong)
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
