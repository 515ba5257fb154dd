//! Compares the routes of two plans. It decides nothing about sockets and connections: the runtime
//! applies the result, and a dry run prints it.

use std::collections::HashMap;
use std::mem::discriminant;

use super::{Address, Listen, ListenOptions, Route};

/// How the routes of a new plan relate to those of an old one. Here a route is one listening
/// address, as it is written in the plan; a route of several addresses is several of these.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// What each route of the new plan is, in its order.
    pub routes: Vec<Change>,
    /// Indices of the old routes whose address the new plan does not have, in order.
    pub removed: Vec<usize>,
}

impl Diff {
    /// The indices of the old routes that are removed, or that differ in anything.
    pub fn touched(&self) -> impl Iterator<Item = usize> {
        let changed = self.routes.iter().filter(|change| !matches!(change, Change::Unchanged(_)));
        let changed = changed.filter_map(|change| change.old());
        changed.chain(self.removed.iter().copied())
    }
}

/// What a new route is. The index is that of the old route with the same address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// No old route has its address.
    Added,
    Unchanged(usize),
    /// The same kind of service: only its policy, targets, text or backlog differ.
    Changed(usize),
    /// Another kind of service, or another name.
    Replaced(usize),
    /// An option differs that can only be set when the socket is bound.
    Rebound(usize),
}

impl Change {
    /// Returns the index of the old route. None: it has none.
    pub fn old(self) -> Option<usize> {
        match self {
            Change::Added => None,
            Change::Unchanged(at)
            | Change::Changed(at)
            | Change::Replaced(at)
            | Change::Rebound(at) => Some(at),
        }
    }
}

/// Compares two lists of routes. If several routes share an address (with `reuseport`, or port 0),
/// each is matched with the old route that is most like it.
pub fn diff<'a>(
    old: impl IntoIterator<Item = &'a Route>,
    new: impl IntoIterator<Item = &'a Route>,
) -> Diff {
    let old: Vec<&Route> = old.into_iter().collect();
    let new: Vec<&Route> = new.into_iter().collect();
    // The old routes of each address that are still to be matched.
    let mut left: HashMap<&Address, Vec<usize>> = HashMap::new();
    for (index, route) in old.iter().enumerate() {
        left.entry(&route.listen.address).or_default().push(index);
    }
    let mut routes = vec![Change::Added; new.len()];
    for likeness in LIKENESSES {
        for (change, route) in routes.iter_mut().zip(&new) {
            if *change != Change::Added {
                continue;
            }
            let Some(left) = left.get_mut(&route.listen.address) else { continue };
            if let Some(at) = left.iter().position(|index| likeness(old[*index], route)) {
                let index = left.remove(at);
                *change = compare(old[index], route, index);
            }
        }
    }
    let mut removed: Vec<usize> = left.into_values().flatten().collect();
    removed.sort_unstable();
    Diff { routes, removed }
}

/// How alike two routes with the same address are, closest first.
const LIKENESSES: [fn(&Route, &Route) -> bool; 5] = [
    |old, new| old == new,
    |old, new| is_same_kind(old, new) && is_same_socket(&old.listen, &new.listen),
    |old, new| old.name == new.name && is_same_socket(&old.listen, &new.listen),
    |old, new| is_same_socket(&old.listen, &new.listen),
    |_, _| true,
];

/// Compares two routes with the same address.
fn compare(old: &Route, new: &Route, index: usize) -> Change {
    if old == new {
        Change::Unchanged(index)
    } else if !is_same_socket(&old.listen, &new.listen) {
        Change::Rebound(index)
    } else if is_same_kind(old, new) {
        Change::Changed(index)
    } else {
        Change::Replaced(index)
    }
}

/// Whether it is the same route by name, and the services differ at most in their parameters.
fn is_same_kind(old: &Route, new: &Route) -> bool {
    old.name == new.name && discriminant(&old.service) == discriminant(&new.service)
}

/// Whether a socket that is bound for `old` can serve `new`: they differ at most in the backlog.
/// The other options take effect when a socket is bound.
pub fn is_same_socket(old: &Listen, new: &Listen) -> bool {
    let options = ListenOptions { backlog: new.options.backlog, ..old.options.clone() };
    old.address == new.address && options == new.options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policy;

    fn routes(texts: &[&str]) -> Vec<Route> {
        let parse = |text: &&str| {
            Route::parse(text, &Policy::default()).unwrap_or_else(|error| panic!("{error}"))
        };
        texts.iter().map(parse).collect()
    }

    fn compared(old: &[&str], new: &[&str]) -> (Vec<Change>, Vec<usize>) {
        let diff = diff(&routes(old), &routes(new));
        (diff.routes, diff.removed)
    }

    #[test]
    fn everything_is_added_to_an_empty_plan_and_removed_from_a_full_one() {
        use Change::Added;
        let all = [":7=echo", "udp://:7=echo", "/x=discard"];
        assert_eq!(compared(&[], &all), (vec![Added; 3], vec![]));
        assert_eq!(compared(&all, &[]), (vec![], vec![0, 1, 2]));
        assert_eq!(compared(&[], &[]), (vec![], vec![]));
    }

    #[test]
    fn a_route_is_recognised_by_its_address_in_any_order_and_notation() {
        use Change::Unchanged;
        let old = [":7=echo", "[::1]:80=relay:a:1", "/x=discard"];
        let new = ["unix:/x=discard", "*:7=echo", "tcp://[::1]:80=relay:tcp://a:1"];
        assert_eq!(compared(&old, &new), (vec![Unchanged(2), Unchanged(0), Unchanged(1)], vec![]));
        let moved = compared(&[":7=echo"], &[":8=echo"]);
        assert_eq!(moved, (vec![Change::Added], vec![0]), "another address is another route");
        let moved = compared(&["tcp://:7=echo"], &["udp://:7=echo"]);
        assert_eq!(moved, (vec![Change::Added], vec![0]));
    }

    #[test]
    fn parameters_change_a_route_and_another_service_replaces_it() {
        use Change::{Changed, Replaced};
        for (old, new, change) in [
            (":7=echo", ":7=echo,idle-timeout=1h", Changed(0)),
            (":7=relay:a:1", ":7=relay:a:1,b:2", Changed(0)),
            (":7=relay:a:1,b:2", ":7=relay:b:2,a:1", Changed(0)),
            (":7=greet:hi", ":7=greet,read-one:ho", Changed(0)),
            (":7,backlog=5=echo", ":7=echo", Changed(0)),
            (":7=echo", ":7=discard", Replaced(0)),
            (":7,backlog=5=relay:a:1,idle-timeout=1h", ":7=echo", Replaced(0)),
        ] {
            assert_eq!(compared(&[old], &[new]), (vec![change], vec![]), "{old} {new}");
        }
    }

    #[test]
    fn an_option_that_only_bind_can_set_needs_a_new_socket() {
        for (old, new) in [
            (":7=echo", ":7,v6only=echo"),
            (":7,reuseport=echo", ":7=discard"),
            ("/x,mode=0600=echo", "/x,mode=0660=echo"),
            ("/x=echo", "/x,mode=0660=echo"),
        ] {
            assert_eq!(compared(&[old], &[new]).0, [Change::Rebound(0)], "{old} {new}");
        }
    }

    #[test]
    fn routes_with_one_address_are_matched_with_those_most_like_them() {
        use Change::{Added, Changed, Replaced, Unchanged};
        let (echo, sink) = (":7,reuseport=echo", ":7,reuseport=discard");
        assert_eq!(compared(&[echo, sink], &[sink, echo]).0, [Unchanged(1), Unchanged(0)]);
        let timed = ":7,reuseport=echo,idle-timeout=1s";
        assert_eq!(compared(&[echo, sink], &[timed, sink]).0, [Changed(0), Unchanged(1)]);
        assert_eq!(compared(&[sink, echo], &[timed, timed]).0, [Changed(1), Replaced(0)]);
        assert_eq!(compared(&[echo], &[echo, echo]).0, [Unchanged(0), Added]);
        assert_eq!(compared(&[echo, sink, echo], &[echo]), (vec![Unchanged(0)], vec![1, 2]));
        let any = "127.0.0.1:0=echo";
        assert_eq!(compared(&[any], &[any, any]).0, [Unchanged(0), Added]);
    }
}
