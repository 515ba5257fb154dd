//! The methods of requests, and what follows from each.

/// The methods of the standard that a resource may or may not have. `Other`: one that no resource
/// has, to be answered with 501.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    Other,
}

impl Method {
    const NAMES: [(&'static str, Method); 7] = [
        ("GET", Method::Get),
        ("HEAD", Method::Head),
        ("POST", Method::Post),
        ("PUT", Method::Put),
        ("PATCH", Method::Patch),
        ("DELETE", Method::Delete),
        ("OPTIONS", Method::Options),
    ];

    /// Returns the name of the method.
    pub fn name(self) -> &'static str {
        let found = Method::NAMES.iter().find(|(_, method)| *method == self);
        found.map_or("?", |(name, _)| name)
    }

    /// Whether the method asks for no change (RFC 9110, 9.2.1).
    pub fn is_safe(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Options => true,
            Method::Post | Method::Put | Method::Patch | Method::Delete | Method::Other => false,
        }
    }

    /// Returns the names of these methods, as `Allow` lists them.
    pub fn list(methods: &[Method]) -> String {
        let names = Method::NAMES.iter().filter(|(_, method)| methods.contains(method));
        names.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
    }

    /// Names are case-sensitive.
    pub fn of(name: &str) -> Method {
        let found = Method::NAMES.iter().find(|(known, _)| *known == name);
        found.map_or(Method::Other, |(_, method)| *method)
    }

    /// Whether content has a meaning. Where it has none, one of two programs may skip it and the
    /// other may take it for the next request.
    pub fn may_have_content(self) -> bool {
        match self {
            Method::Get | Method::Head | Method::Delete => false,
            Method::Post | Method::Put | Method::Patch | Method::Options | Method::Other => true,
        }
    }
}
