//! The resources of the admin endpoint, and the methods of each.

use super::http::method::Method;
use super::http::query::number;

/// A resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminResource {
    Index,
    Livez,
    Readyz,
    Metrics,
    Version,
    Config,
    Routes,
    Listeners,
    Connections,
    /// One connection, by its number.
    Connection(u32),
    /// The packets of one connection, as they come.
    Tap(u32),
    Loop,
    Timers,
    Limits,
    Reasons,
    LogLevel,
    Events,
    Drain,
    Pause,
    Resume,
    Record,
    Reload,
    Watch,
}

/// The resources without parameters in their paths, in the order in which the index lists them.
pub const PATHS: [(&str, AdminResource); 21] = [
    ("/", AdminResource::Index),
    ("/livez", AdminResource::Livez),
    ("/readyz", AdminResource::Readyz),
    ("/metrics", AdminResource::Metrics),
    ("/version", AdminResource::Version),
    ("/config", AdminResource::Config),
    ("/routes", AdminResource::Routes),
    ("/listeners", AdminResource::Listeners),
    ("/connections", AdminResource::Connections),
    ("/loop", AdminResource::Loop),
    ("/timers", AdminResource::Timers),
    ("/limits", AdminResource::Limits),
    ("/reasons", AdminResource::Reasons),
    ("/log/level", AdminResource::LogLevel),
    ("/events", AdminResource::Events),
    ("/drain", AdminResource::Drain),
    ("/pause", AdminResource::Pause),
    ("/resume", AdminResource::Resume),
    ("/record", AdminResource::Record),
    ("/reload", AdminResource::Reload),
    ("/watch", AdminResource::Watch),
];

/// What the path of a tap has behind that of its connection.
const TAP: &str = "/tap.pcapng";

impl AdminResource {
    /// Finds the resource of a path.
    pub fn find(path: &str) -> Option<AdminResource> {
        if let Some((_, endpoint)) = PATHS.iter().find(|(known, _)| *known == path) {
            return Some(*endpoint);
        }
        let rest = path.strip_prefix("/connections/")?;
        let (digits, resource): (&str, fn(u32) -> AdminResource) = match rest.strip_suffix(TAP) {
            Some(digits) => (digits, AdminResource::Tap),
            None => (rest, AdminResource::Connection),
        };
        u32::try_from(number(digits)?).ok().map(resource)
    }

    /// The methods of the resource. GET includes HEAD.
    pub fn methods(self) -> &'static [Method] {
        match self {
            AdminResource::Index
            | AdminResource::Livez
            | AdminResource::Readyz
            | AdminResource::Metrics
            | AdminResource::Version
            | AdminResource::Config
            | AdminResource::Routes
            | AdminResource::Listeners
            | AdminResource::Connections
            | AdminResource::Loop
            | AdminResource::Timers
            | AdminResource::Limits
            | AdminResource::Reasons
            | AdminResource::Tap(_)
            | AdminResource::Events => &[Method::Get, Method::Head, Method::Options],
            AdminResource::Connection(_) => {
                &[Method::Get, Method::Head, Method::Delete, Method::Options]
            }
            AdminResource::Record | AdminResource::Watch => {
                &[Method::Get, Method::Head, Method::Post, Method::Delete, Method::Options]
            }
            AdminResource::LogLevel => &[Method::Get, Method::Head, Method::Post, Method::Options],
            AdminResource::Drain
            | AdminResource::Pause
            | AdminResource::Resume
            | AdminResource::Reload => &[Method::Post, Method::Options],
        }
    }

    /// Whether its query is more than empty: then whoever answers reads it.
    pub fn has_parameters(self) -> bool {
        matches!(
            self,
            AdminResource::Connections
                | AdminResource::Events
                | AdminResource::Pause
                | AdminResource::Resume
                | AdminResource::Record
                | AdminResource::Watch
        )
    }

    /// Whether a listener for health and metrics has it, too.
    pub fn is_open(self) -> bool {
        matches!(self, AdminResource::Livez | AdminResource::Readyz | AdminResource::Metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_resource_and_no_other_does() {
        for (path, endpoint) in PATHS {
            assert_eq!(AdminResource::find(path), Some(endpoint));
        }
        assert_eq!(AdminResource::find("/connections/7"), Some(AdminResource::Connection(7)));
        assert_eq!(AdminResource::find("/connections/7/tap.pcapng"), Some(AdminResource::Tap(7)));
        for path in [
            "",
            "/connections//tap.pcapng",
            "/connections/7/tap",
            "/connections/7tap.pcapng",
            "//",
            "/livez/",
            "/Livez",
            "/connections/",
            "/connections/x",
            "/connections/+7",
            "/connections/-1",
            "/connections/4294967296",
            "/connections/7/",
            "*",
        ] {
            assert_eq!(AdminResource::find(path), None, "{path}");
        }
    }

    #[test]
    fn what_changes_something_is_never_a_get() {
        for endpoint in [AdminResource::Drain, AdminResource::Pause, AdminResource::Resume] {
            assert!(!endpoint.methods().contains(&Method::Get), "{endpoint:?}");
        }
    }
}
