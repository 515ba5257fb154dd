//! The resources of the admin endpoint, and the methods of each.

use super::http::query::number;
use super::http::request::Method;

/// A resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
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
    Loop,
    Timers,
    Limits,
    Reasons,
    LogLevel,
    Events,
    Drain,
    Pause,
    Resume,
}

/// The resources without parameters in their paths, in the order in which the index lists them.
pub const PATHS: [(&str, Endpoint); 18] = [
    ("/", Endpoint::Index),
    ("/livez", Endpoint::Livez),
    ("/readyz", Endpoint::Readyz),
    ("/metrics", Endpoint::Metrics),
    ("/version", Endpoint::Version),
    ("/config", Endpoint::Config),
    ("/routes", Endpoint::Routes),
    ("/listeners", Endpoint::Listeners),
    ("/connections", Endpoint::Connections),
    ("/loop", Endpoint::Loop),
    ("/timers", Endpoint::Timers),
    ("/limits", Endpoint::Limits),
    ("/reasons", Endpoint::Reasons),
    ("/log/level", Endpoint::LogLevel),
    ("/events", Endpoint::Events),
    ("/drain", Endpoint::Drain),
    ("/pause", Endpoint::Pause),
    ("/resume", Endpoint::Resume),
];

impl Endpoint {
    /// Finds the resource of a path.
    pub fn find(path: &str) -> Option<Endpoint> {
        if let Some((_, endpoint)) = PATHS.iter().find(|(known, _)| *known == path) {
            return Some(*endpoint);
        }
        let id = number(path.strip_prefix("/connections/")?)?;
        u32::try_from(id).ok().map(Endpoint::Connection)
    }

    /// The methods of the resource. GET includes HEAD.
    pub fn methods(self) -> &'static [Method] {
        match self {
            Endpoint::Index
            | Endpoint::Livez
            | Endpoint::Readyz
            | Endpoint::Metrics
            | Endpoint::Version
            | Endpoint::Config
            | Endpoint::Routes
            | Endpoint::Listeners
            | Endpoint::Connections
            | Endpoint::Loop
            | Endpoint::Timers
            | Endpoint::Limits
            | Endpoint::Reasons
            | Endpoint::Events => &[Method::Get, Method::Head, Method::Options],
            Endpoint::Connection(_) => {
                &[Method::Get, Method::Head, Method::Delete, Method::Options]
            }
            Endpoint::LogLevel => &[Method::Get, Method::Head, Method::Post, Method::Options],
            Endpoint::Drain | Endpoint::Pause | Endpoint::Resume => {
                &[Method::Post, Method::Options]
            }
        }
    }

    /// Whether a listener for health and metrics has it, too.
    pub fn is_open(self) -> bool {
        matches!(self, Endpoint::Livez | Endpoint::Readyz | Endpoint::Metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_resource_and_no_other_does() {
        for (path, endpoint) in PATHS {
            assert_eq!(Endpoint::find(path), Some(endpoint));
        }
        assert_eq!(Endpoint::find("/connections/7"), Some(Endpoint::Connection(7)));
        for path in [
            "",
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
            assert_eq!(Endpoint::find(path), None, "{path}");
        }
    }

    #[test]
    fn what_changes_something_is_never_a_get() {
        for endpoint in [Endpoint::Drain, Endpoint::Pause, Endpoint::Resume] {
            assert!(!endpoint.methods().contains(&Method::Get), "{endpoint:?}");
        }
    }
}
