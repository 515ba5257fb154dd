//! Prints the plan of a daemon as a configuration file. Reading it gives the same plan.

use std::fmt::Write;

use super::DaemonConfig;
use super::reader::keys;
use super::value::ValueForm;
use crate::config::options::{ConfigTable, OptionSpec, Settings};
use crate::config::policy::RouteSettings;
use crate::config::service::{Greeting, HubOptions};
use crate::config::{Route, Service, unit};
use crate::text::escape::is_hidden;

/// Prints what differs from the defaults.
pub fn print_config(config: &DaemonConfig) -> String {
    let mut out = String::new();
    let settings = config.settings();
    for table in [ConfigTable::Process, ConfigTable::Log, ConfigTable::Admin] {
        let lines: Vec<String> = changed(table, &settings)
            .map(|(name, option, value)| format!("{name} = {}", shown(option, &value)))
            .collect();
        if !lines.is_empty() {
            section(&mut out, table.name(), &lines);
        }
    }
    let mut routes = config.plan.routes.as_slice();
    while let Some(first) = routes.first() {
        let is_same = |route: &&Route| {
            (&route.name, &route.service, &route.policy)
                == (&first.name, &first.service, &first.policy)
        };
        let count = routes.iter().take_while(is_same).count();
        let (group, rest) = routes.split_at(count);
        section(&mut out, &format!("route.{}", key(&first.name)), &lines_of_route(first, group));
        routes = rest;
    }
    out
}

fn section(out: &mut String, name: &str, lines: &[String]) {
    if !out.is_empty() {
        out.push('\n');
    }
    // Writing into a String does not fail.
    let _ = write!(out, "[{name}]\n{}\n", lines.join("\n"));
}

/// The lines of the routes with one name, which differ in their addresses only.
fn lines_of_route(route: &Route, group: &[Route]) -> Vec<String> {
    let listens: Vec<String> = group.iter().map(|route| route.listen.to_string()).collect();
    let listen = match listens.as_slice() {
        [one] => quoted(one),
        many => list(many),
    };
    let mut settings = RouteSettings { policy: route.policy.clone(), ..Default::default() };
    let service = match &route.service {
        Service::Relay(targets) => {
            list(&targets.iter().map(ToString::to_string).collect::<Vec<_>>())
        }
        Service::Greet { text, read_one } => {
            settings.greeting = Greeting { text: Some(text.clone()), read_one: *read_one };
            inline(ConfigTable::Greet, &settings, None)
        }
        Service::Hub { name, settings: hub } => {
            settings.hub = HubOptions::from(hub);
            inline(ConfigTable::Hub, &settings, Some(name.as_str()).filter(|n| !n.is_empty()))
        }
        Service::Echo
        | Service::Discard
        | Service::Chargen
        | Service::Daytime
        | Service::Time
        | Service::Whoami => "true".to_owned(),
    };
    let name = route.service.name();
    let mut lines = vec![format!("listen = {listen}"), format!("{name} = {service}")];
    let settings = Settings { route: settings, ..Settings::default() };
    let fitting = changed(ConfigTable::Policy, &settings)
        .filter(|(_, option, _)| option.scope.has_route(name) != Some(false));
    lines.extend(fitting.map(|(key, option, value)| format!("{key} = {}", shown(option, &value))));
    lines
}

/// The settings of a service on one line; `true` if all of them are the defaults.
fn inline(table: ConfigTable, route: &RouteSettings, name: Option<&str>) -> String {
    let settings = Settings { route: route.clone(), ..Settings::default() };
    let name = name.map(|name| format!("name = {}", quoted(name)));
    let changed = changed(table, &settings)
        .map(|(key, option, value)| format!("{key} = {}", shown(option, &value)));
    let pairs: Vec<String> = name.into_iter().chain(changed).collect();
    if pairs.is_empty() { "true".to_owned() } else { format!("{{ {} }}", pairs.join(", ")) }
}

/// The options of a table whose values are not the defaults: key, option and value.
fn changed(
    table: ConfigTable,
    settings: &Settings,
) -> impl Iterator<Item = (&'static str, &'static OptionSpec, String)> {
    let untouched = Settings::default();
    keys(table).filter_map(move |(name, option)| {
        let value = option.show(settings)?;
        (Some(&value) != option.show(&untouched).as_ref()).then_some((name, option, value))
    })
}

/// A value as it is written in a file.
fn shown(option: &OptionSpec, value: &str) -> String {
    match ValueForm::of(option) {
        ValueForm::Flag => "true".to_owned(),
        ValueForm::FlagOrText if value.is_empty() => "true".to_owned(),
        ValueForm::Count => value.to_owned(),
        ValueForm::Size => quoted(&unit::with_unit(value.to_owned())),
        ValueForm::List => list(&value.split(',').map(str::to_owned).collect::<Vec<_>>()),
        ValueForm::FlagOrText | ValueForm::Time | ValueForm::Text => quoted(value),
    }
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A key, in quotes unless it is a bare one.
fn key(name: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_bare) {
        true => name.to_owned(),
        false => quoted(name),
    }
}

/// A text in quotes. One with backslashes is easier to read without escapes.
fn quoted(text: &str) -> String {
    if text.contains(['\\', '"']) && !text.contains('\'') && !text.chars().any(is_hidden) {
        return format!("'{text}'");
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if is_hidden(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
