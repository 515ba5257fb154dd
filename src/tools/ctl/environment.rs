//! Chooses the address of the admin endpoint.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use super::error::{CtlError, message};
use crate::config::{Address, UnixName};

/// The socket of a daemon of the system.
const SYSTEM_SOCKET: &str = "/run/oneloop/admin.sock";
/// The socket of a daemon of the user, in `$XDG_RUNTIME_DIR`.
const USER_SOCKET: &str = "oneloop/admin.sock";

/// The environment variables that choose the address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// `ONELOOP_ADMIN`: an address.
    pub admin: Option<String>,
    /// `XDG_RUNTIME_DIR`
    pub runtime_dir: Option<PathBuf>,
}

impl Environment {
    /// Reads the variables. An empty one counts as not set.
    pub fn read(variable: impl Fn(&str) -> Option<OsString>) -> Environment {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        Environment {
            admin: set("ONELOOP_ADMIN").map(|value| value.to_string_lossy().into_owned()),
            runtime_dir: set("XDG_RUNTIME_DIR").map(PathBuf::from),
        }
    }

    /// Returns the address: the given one, or that of the environment, or the first usual socket
    /// that exists.
    pub fn choose(
        &self,
        given: Option<&Address>,
        exists: impl Fn(&Path) -> io::Result<bool>,
    ) -> Result<Address, CtlError> {
        if let Some(address) = given {
            return Ok(address.clone());
        }
        if let Some(text) = &self.admin {
            return Address::parse_stream_target(text)
                .map_err(|error| CtlError::Usage(format!("ONELOOP_ADMIN: {error}")));
        }
        let user = self.runtime_dir.as_ref().map(|dir| dir.join(USER_SOCKET));
        let mut tried = String::new();
        for path in [Some(PathBuf::from(SYSTEM_SOCKET)), user].into_iter().flatten() {
            let why = match exists(&path) {
                Ok(true) => return Ok(Address::Unix(UnixName::Path(path))),
                Ok(false) => "does not exist".to_string(),
                Err(error) => message(&error),
            };
            tried += &format!("\n  {}: {why}", path.display());
        }
        if self.runtime_dir.is_none() {
            tried += &format!("\n  $XDG_RUNTIME_DIR/{USER_SOCKET}: XDG_RUNTIME_DIR is not set");
        }
        Err(CtlError::Failed(format!(
            "no admin endpoint found\n  --admin: not given\n  ONELOOP_ADMIN: not set{tried}\n  \
             start a daemon with one: oneloop echo --admin {SYSTEM_SOCKET}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(admin: &str, runtime_dir: &str) -> Environment {
        Environment::read(|name| match name {
            "ONELOOP_ADMIN" => Some(admin.into()),
            "XDG_RUNTIME_DIR" => Some(runtime_dir.into()),
            _ => None,
        })
    }

    /// Returns the choice if only these paths exist.
    fn chosen(environment: &Environment, given: Option<&str>, paths: &[&str]) -> String {
        let given = given.map(|text| Address::parse(text).unwrap());
        let exists = |path: &Path| Ok(paths.iter().any(|known| Path::new(known) == path));
        match environment.choose(given.as_ref(), exists) {
            Ok(address) => address.to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn the_first_known_address_is_used() {
        let both = ["/run/oneloop/admin.sock", "/run/user/7/oneloop/admin.sock"];
        let full = environment("127.0.0.1:9900", "/run/user/7");
        assert_eq!(chosen(&full, Some(":1"), &both), "tcp://:1");
        assert_eq!(chosen(&full, None, &both), "tcp://127.0.0.1:9900");
        let empty = environment("", "/run/user/7");
        assert_eq!(chosen(&empty, None, &both), "unix:/run/oneloop/admin.sock");
        assert_eq!(chosen(&empty, None, &both[1..]), "unix:/run/user/7/oneloop/admin.sock");
        assert_eq!(chosen(&environment("/x.sock", ""), None, &both), "unix:/x.sock");
    }

    #[test]
    fn without_an_address_the_error_lists_what_was_tried() {
        let expected = "no admin endpoint found\n  \
            --admin: not given\n  \
            ONELOOP_ADMIN: not set\n  \
            /run/oneloop/admin.sock: does not exist\n  \
            /run/user/7/oneloop/admin.sock: does not exist\n  \
            start a daemon with one: oneloop echo --admin /run/oneloop/admin.sock";
        assert_eq!(chosen(&environment("", "/run/user/7"), None, &[]), expected);
        let text = chosen(&environment("", ""), None, &[]);
        assert!(text.contains("admin.sock: XDG_RUNTIME_DIR is not set\n"), "{text}");
        let denied = |_: &Path| Err(io::ErrorKind::PermissionDenied.into());
        let error = environment("", "").choose(None, denied).unwrap_err();
        assert!(error.to_string().contains("/run/oneloop/admin.sock: permission denied\n"));
    }

    #[test]
    fn a_bad_address_in_the_environment_is_a_usage_error() {
        for text in ["udp://:7", "nonsense", "127.0.0.1:0"] {
            let error = environment(text, "").choose(None, |_| Ok(true)).unwrap_err();
            assert!(matches!(error, CtlError::Usage(_)), "{error}");
            assert!(error.to_string().starts_with("ONELOOP_ADMIN: bad address: "), "{error}");
        }
    }
}
