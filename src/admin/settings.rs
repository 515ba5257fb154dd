//! What the admin endpoint needs to know from the plan: who may use it, and what it shows of the
//! configuration. Whoever answers needs it too, so it is not a part of the server.

use crate::config::{Plan, options};
use crate::net::token_file;
use crate::text::escape::escaped;

use super::http::token::AdminToken;
use super::resources::{ConfigResource, OptionRow};

/// What the server needs to know at the start.
pub struct ServerSettings {
    /// Names of this host that clients may use.
    pub hosts: Vec<String>,
    pub token: Option<AdminToken>,
    /// What `GET /config` shows.
    pub config: ConfigResource,
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
        let options = options::changed_of_daemon(plan).into_iter();
        let options = options.map(|(name, value)| OptionRow { name: name.to_owned(), value });
        let routes = plan.routes.iter().map(ToString::to_string).collect();
        Ok(ServerSettings {
            hosts: plan.admin.hosts.clone(),
            token: token.transpose()?,
            config: ConfigResource { options: options.collect(), routes },
        })
    }
}
