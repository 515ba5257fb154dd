//! What the admin endpoint needs to know from the plan: who may use it. Whoever answers needs it
//! too, so it is not a part of the server.

use crate::config::Plan;
use crate::net::token_file;
use crate::text::escape::escaped;

use super::http::token::AdminToken;

/// Maximum number of clients. Those beyond it are told so, and closed.
pub const CLIENTS: usize = 64;

/// Maximum number of clients on the listener for metrics, which may be public: an operator always
/// gets in.
pub const METRICS_CLIENTS: usize = 48;

/// What the server needs to know at the start.
pub struct ServerSettings {
    /// Names of this host that clients may use.
    pub hosts: Vec<String>,
    pub token: Option<AdminToken>,
}

impl ServerSettings {
    /// Reads what a plan names.
    pub fn of(plan: &Plan) -> Result<ServerSettings, String> {
        let file = plan.admin.token_file.as_deref();
        let token = file.map(|path| {
            let text = token_file::read(path).map_err(|error| error.to_string())?;
            let shown = escaped(&path.display());
            AdminToken::parse(&text).map_err(|wrong| format!("token file {shown}: {wrong}"))
        });
        Ok(ServerSettings { hosts: plan.admin.hosts.clone(), token: token.transpose()? })
    }
}
