//! What the daemon knows of a connection that was opened before somebody began to record it.

use crate::recording::KnownConnection;
use crate::runtime::inspect::ConnView;

/// Passes on what is known of an open connection. None: the system does not know its peer, which
/// has reset it, so it is about to close.
pub fn with_known<T>(
    view: &ConnView<'_>,
    receive: impl FnOnce(&KnownConnection<'_>) -> T,
) -> Option<T> {
    let peer = view.peer()?;
    let (listen, target) = (view.listen(), view.dialed());
    let known = KnownConnection {
        opened: view.opened_at(),
        route: view.route_index(),
        service: view.route().config.service.kind(),
        listen: &listen,
        peer,
        target: target.as_deref(),
    };
    Some(receive(&known))
}
