//! plan: shows what a reload of a configuration file would change, compared with a running daemon
//! or with another file. With a daemon, the connections that are concerned are counted.

use std::io::{self, Write};
use std::path::Path;

use crate::admin::resources::{ConnectionsResource, RoutesResource};
use crate::config::unit::show_duration;
use crate::config::{Address, ComparePlan, DaemonConfig, Existing, PlanChange, compare};
use crate::text::count::Count;
use crate::text::escape::{Form, Shown, plain};
use crate::text::terminal::Paint;

use super::config_files;
use super::ctl::endpoint::{AdminRequest, Endpoint};
use super::ctl::{CtlError, Environment};

/// Maximum number of connections that are listed to be counted. Beyond it, the count is "at least".
const COUNTED: usize = 1000;

/// Compares, and prints the differences. Returns whether there are any.
pub fn run(
    plan: &ComparePlan,
    environment: &Environment,
    out: &mut dyn Write,
) -> Result<bool, CtlError> {
    let new = read(&plan.file)?;
    let file = plan.against.as_deref().map(Path::new).filter(|path| path.is_file());
    let (old, daemon) = match file {
        Some(file) => (read(file)?, None),
        None => {
            let daemon = daemon(plan, environment)?;
            (config_of(&daemon)?, Some(daemon))
        }
    };
    let changes = compare(&old, &new);
    let counts = Counts::read(daemon.as_ref())?;
    let paint = Paint(plan.color.suits(&io::stdout()));
    let mut text = String::new();
    for change in &changes {
        let (sign, line) = describe(change, &counts)?;
        let sign = match sign {
            '+' => paint.good("+"),
            '-' => paint.bad("-"),
            '!' => paint.bad("!"),
            other => paint.strong(&other.to_string()),
        };
        text += &format!("{sign} {line}\n");
    }
    if changes.is_empty() {
        text += "no changes\n";
    }
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CtlError::Output)?;
    Ok(!changes.is_empty())
}

fn read(path: &Path) -> Result<DaemonConfig, CtlError> {
    config_files::read(path).map_err(|error| CtlError::Failed(error.to_string()))
}

/// Finds the daemon to compare with.
fn daemon(plan: &ComparePlan, environment: &Environment) -> Result<Endpoint, CtlError> {
    let given = plan.against.as_deref().map(|text| {
        Address::parse_stream_target(text).map_err(|_| {
            CtlError::Failed(format!("there is no file {}, and it is no address", plain(text)))
        })
    });
    let address = environment.choose(given.transpose()?.as_ref(), Path::try_exists)?;
    Endpoint::new(address, plan.token_file.as_deref())
}

/// Reads the configuration of a daemon.
fn config_of(daemon: &Endpoint) -> Result<DaemonConfig, CtlError> {
    let text = daemon.fetch(&AdminRequest::get("/config"))?;
    let name = daemon.address().to_string();
    DaemonConfig::parse(&name, text).map_err(|errors| {
        daemon.error(&format!("its configuration has keys of another version\n{errors}"))
    })
}

/// The connections of a daemon. Without one nothing is counted.
struct Counts<'a> {
    daemon: Option<&'a Endpoint>,
    /// Open connections and flows by the name of a route.
    live: Vec<(String, usize)>,
}

impl Counts<'_> {
    fn read(daemon: Option<&Endpoint>) -> Result<Counts<'_>, CtlError> {
        let mut live = Vec::new();
        if let Some(daemon) = daemon {
            let routes: RoutesResource = json(daemon, &AdminRequest::get("/routes"))?;
            live.extend(routes.routes.into_iter().map(|row| (row.name, row.active + row.flows)));
        }
        Ok(Counts { daemon, live })
    }

    /// The open connections and flows of a route. None: nobody was asked.
    fn of(&self, route: &str) -> Option<usize> {
        let rows = self.live.iter().filter(|(name, _)| name == route);
        self.daemon.map(|_| rows.map(|(_, live)| live).sum())
    }

    /// What happens to the connections of a route.
    fn fate(&self, route: &str, existing: Existing) -> String {
        let connections = match self.of(route) {
            Some(live) => Count(live, "connection").to_string(),
            None => "connections".to_owned(),
        };
        match existing {
            Existing::Keep => format!("keeps {connections}"),
            Existing::Cut => format!("cuts {connections}"),
            Existing::After(delay) => format!("cuts {connections} after {}", show_duration(delay)),
        }
    }

    /// The connections of a route, and how many would be closed by a shorter limit.
    fn closed_by(&self, route: &str, change: &PlanChange) -> Result<String, CtlError> {
        let (Some(daemon), PlanChange::Policy { key, policy, .. }) = (self.daemon, change) else {
            return Ok(String::new());
        };
        let request = AdminRequest::get("/connections").with("route", Some(route));
        let limit = COUNTED.to_string();
        let request = request.with("limit", Some(&limit));
        let (time, request) = match *key {
            "idle-timeout" => (policy.idle_timeout, request),
            "half-close-timeout" => {
                (policy.half_close_timeout, request.with("state", Some("half-closed")))
            }
            "udp-timeout" => (Some(policy.udp_timeout), request.with("state", Some("flow"))),
            "max-lifetime" => (policy.max_lifetime, request.with("sort", Some("age"))),
            _ => return Ok(String::new()),
        };
        let live = Count(self.of(route).unwrap_or(0), "connection");
        let Some(time) = time else { return Ok(format!(" ({live})")) };
        let by_age = *key == "max-lifetime";
        let idle = show_duration(time);
        let request = match by_age {
            true => request,
            false => request.with("idle_longer", Some(&idle)),
        };
        let list: ConnectionsResource = json(daemon, &request)?;
        let is_due = |row: &&crate::admin::resources::ConnectionRow| {
            !by_age || row.age_seconds >= time.as_secs_f64()
        };
        let due = list.connections.iter().filter(is_due).count();
        let at_least = if due == COUNTED { "at least " } else { "" };
        Ok(match due {
            0 => format!(" ({live}, none of them would be closed now)"),
            due => format!(" ({live}, {at_least}{due} of them would be closed now)"),
        })
    }
}

fn json<T: serde::de::DeserializeOwned>(
    daemon: &Endpoint,
    request: &AdminRequest,
) -> Result<T, CtlError> {
    let body = daemon.fetch(request)?;
    serde_json::from_str(&body).map_err(|error| daemon.error(&format!("not understood: {error}")))
}

/// Describes a change: its sign, and a line.
fn describe(change: &PlanChange, counts: &Counts<'_>) -> Result<(char, String), CtlError> {
    let line = match change {
        PlanChange::Added { route, listens, service } => {
            let line = format!("route {}: {}, {}", plain(route), listens.join(", "), service);
            ('+', line)
        }
        PlanChange::Removed { route, existing } => {
            ('-', format!("route {} ({})", plain(route), counts.fate(route, *existing)))
        }
        PlanChange::Service { route, old, new, existing } => {
            let fate = counts.fate(route, *existing);
            ('~', format!("route {}: {old} → {new} ({fate})", plain(route)))
        }
        PlanChange::Policy { route, key, old, new, .. } => {
            let closed = counts.closed_by(route, change)?;
            ('~', format!("route {}: {key} {old} → {new}{closed}", plain(route)))
        }
        PlanChange::Listens { route, listen } => {
            ('+', format!("route {}: listens on {listen}", plain(route)))
        }
        PlanChange::ListensNoMore { route, listen } => (
            '-',
            format!("route {}: no longer listens on {listen} (its connections stay)", plain(route)),
        ),
        PlanChange::Backlog { route, old, new } => {
            ('~', format!("route {}: {old} → {new}", plain(route)))
        }
        PlanChange::Rebound { route, old, new, is_refused } => {
            let effect = match is_refused {
                true => "the reload is refused: an open datagram socket keeps its options",
                false => "closed and bound again: a gap",
            };
            ('!', format!("route {}: {old} → {new}: {effect}", plain(route)))
        }
        PlanChange::Overlaps { route, listen, old_route, old } => {
            let (route, holder) = (plain(route), plain(old_route));
            let line = format!(
                "route {route}: the reload is refused: {listen} cannot be bound before {old} of \
                 route {holder} is closed; remove that one in a reload of its own first"
            );
            ('!', line)
        }
        PlanChange::Setting { key, old, new, needs_restart: true } => {
            ('!', format!("{key} {old} → {new}: needs a restart"))
        }
        PlanChange::Setting { key, old, new, needs_restart: false } => {
            ('~', format!("{key} {old} → {new}"))
        }
    };
    let (sign, line) = line;
    // Foreign names in it are escaped, and so are the texts of greet.
    Ok((sign, Shown::new(line.as_bytes(), Form::Ours).within(usize::MAX).to_string()))
}
