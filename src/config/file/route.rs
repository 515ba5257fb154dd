//! Reads a route of a configuration file: its addresses, its service and its policy.

use std::ops::Range;

use toml::Spanned as TomlSpanned;
use toml::de::{DeString, DeTable, DeValue};

use super::error::ConfigError;
use super::reader::{Reader, find, keys};
use super::value::{self, Text, Value};
use crate::config::options::{ConfigTable, Settings};
use crate::config::parse::{Spanned, nearest, suggestion};
use crate::config::policy::RouteSettings;
use crate::config::{Listen, Route, Service, address, check, listen, route};
use crate::text::escape::is_hidden;

/// Maximum bytes of a route's name: those of the longest path of a Unix socket, and more.
const NAME_BYTES_MAX: usize = 256;

/// A key with its position.
type TomlKey<'a> = TomlSpanned<DeString<'a>>;

/// What a route is being built of.
struct Parts<'r> {
    key: &'r TomlKey<'r>,
    entries: &'r DeTable<'r>,
    /// The addresses and their positions.
    listens: Vec<(Listen, Range<usize>)>,
    settings: Settings,
}

impl Reader<'_> {
    /// Reads `[route.NAME]`, and adds one route for each of its addresses.
    pub fn route(
        &mut self,
        key: &TomlKey<'_>,
        value: &Value<'_>,
        defaults: &Settings,
        routes: &mut Vec<Route>,
    ) {
        self.check_name(key);
        let Some(entries) = self.entries(value) else { return };
        let policy = defaults.route.policy.clone();
        let route = RouteSettings { policy, ..RouteSettings::default() };
        let settings = Settings { route, ..Settings::default() };
        let listens = self.listens(key, entries);
        let mut parts = Parts { key, entries, listens, settings };
        let named = self.service_key(&parts);
        self.policy(named.map(|(name, _)| name), &mut parts);
        let Some((name, value)) = named else { return };
        let Some(service) = self.service(name, value, &mut parts) else { return };
        for (listen, span) in parts.listens {
            self.places.push(span);
            let name = key.get_ref().to_string();
            let policy = parts.settings.route.policy.clone();
            routes.push(Route { name, listen, service: service.clone(), policy });
        }
    }

    fn check_name(&mut self, key: &TomlKey<'_>) {
        let name: &str = key.get_ref();
        let is_long = name.is_empty() || name.len() > NAME_BYTES_MAX;
        // A parenthesis begins what metrics use for routes without a name of their own.
        if is_long || name.starts_with('(') || name.chars().any(is_hidden) {
            let error = ConfigError::at(key.span(), "not the name of a route");
            self.push(error.accepts("1 to 256 bytes that can be shown, not beginning with '('"));
        }
    }

    fn listens(&mut self, key: &TomlKey<'_>, entries: &DeTable<'_>) -> Vec<(Listen, Range<usize>)> {
        let Some(value) = entries.get("listen") else {
            let error = ConfigError::at(key.span(), "the route has no address to listen on");
            self.push_missing(error.accepts("listen = \":7\", listen = [\":7\", \"udp://:7\"]"));
            return Vec::new();
        };
        let texts = value::texts(self.text, value);
        let Some(texts) = self.keep_all(texts) else { return Vec::new() };
        if texts.is_empty() {
            self.push(ConfigError::at(value.span(), "an empty list of addresses to listen on"));
        }
        let mut listens = Vec::new();
        for text in texts {
            let read = self.keep(text.read(listen::read));
            listens.extend(read.map(|listen| (listen, text.span())));
        }
        listens
    }

    /// Finds the one key that names a service.
    fn service_key<'r>(&mut self, parts: &Parts<'r>) -> Option<(&'static str, &'r Value<'r>)> {
        let mut found: Vec<_> = Service::NAMES
            .into_iter()
            .filter_map(|name| parts.entries.get_key_value(name).map(|(k, v)| (name, k, v)))
            .collect();
        found.sort_by_key(|(_, key, _)| key.span().start);
        let Some(((name, first, value), others)) = found.split_first() else {
            // A misspelled one is reported where it is.
            let is_near = |key: &TomlKey<'_>| nearest(key.get_ref(), Service::NAMES).is_some();
            if !parts.entries.keys().any(is_near) {
                let error = ConfigError::at(parts.key.span(), "the route has no service");
                self.push_missing(error.accepts(services()));
            }
            return None;
        };
        for (other, key, _) in others {
            let wrong = format!("a route has one service, not {name} and {other}");
            let also = vec![(first.span(), "the first service")];
            self.push(ConfigError { also, ..ConfigError::at(key.span(), wrong) });
        }
        Some((name, value))
    }

    /// Reads the keys of the policy.
    fn policy(&mut self, service: Option<&str>, parts: &mut Parts<'_>) {
        for (key, value) in parts.entries {
            let name: &str = key.get_ref();
            if name == "listen" || Service::NAMES.contains(&name) {
                continue;
            }
            let Some(option) = find(ConfigTable::Policy, name) else {
                self.unknown(key, service);
                continue;
            };
            let fits = service.is_none_or(|service| option.scope.has_route(service) != Some(false));
            if !fits {
                let service = service.unwrap_or_default();
                let wrong = format!("{name} does not apply to {service}");
                self.push(ConfigError::at(key.span(), wrong).accepts(accepted(Some(service))));
                continue;
            }
            self.option(option, value, &mut parts.settings);
        }
    }

    fn unknown(&mut self, key: &TomlKey<'_>, service: Option<&str>) {
        let name: &str = key.get_ref();
        let inner = [("greet", ConfigTable::Greet), ("hub", ConfigTable::Hub)];
        if let Some((owner, _)) = inner.iter().find(|(_, table)| find(*table, name).is_some()) {
            let wrong = format!("{name} belongs to {owner}: {owner} = {{{name} = …}}");
            self.push(ConfigError::at(key.span(), wrong));
            return;
        }
        let policy = keys(ConfigTable::Policy).map(|(name, _)| name);
        let known = policy.chain(["listen"]).chain(Service::NAMES);
        let wrong = format!("unknown key{}", suggestion(name, known, str::to_string));
        self.push(ConfigError::at(key.span(), wrong).accepts(accepted(service)));
    }

    /// Reads the value of the service's key.
    fn service(
        &mut self,
        name: &'static str,
        value: &Value<'_>,
        parts: &mut Parts<'_>,
    ) -> Option<Service> {
        let plain = Service::from_name(name)?;
        let mut is_fit = true;
        for (listen, span) in &parts.listens {
            let text = self.text.get(span.clone()).unwrap_or_default();
            let place = Spanned { text, at: span.start };
            let fits = check::service(listen, &plain, place).map_err(ConfigError::from);
            is_fit &= self.keep(fits).is_some();
        }
        let service = match plain {
            Service::Relay(_) => self.targets(value, &parts.listens).map(Service::Relay),
            Service::Greet { .. } => self.greeting(value, &mut parts.settings),
            Service::Hub { .. } => self.hub(value, &mut parts.settings),
            small => match value.get_ref() {
                DeValue::Boolean(true) => Some(small),
                other => {
                    let wrong = format!("expected true, found {}", value::kind(other));
                    self.push(ConfigError::at(value.span(), wrong));
                    None
                }
            },
        };
        service.filter(|_| is_fit)
    }

    fn targets(
        &mut self,
        value: &Value<'_>,
        listens: &[(Listen, Range<usize>)],
    ) -> Option<Vec<address::Address>> {
        let texts: Vec<Text<'_>> = self.keep_all(value::texts(self.text, value))?;
        if texts.is_empty() {
            let error = ConfigError::at(value.span(), "a relay needs a target");
            self.push(error.accepts("relay = [\"10.0.0.1:80\", \"10.0.0.2:80\"]"));
            return None;
        }
        let read = |text: &Text<'_>| {
            text.read(|input| {
                let target = address::read_target(input)?;
                for (listen, _) in listens {
                    check::target(listen, &target, input)?;
                }
                Ok(target)
            })
        };
        let results: Vec<_> = texts.iter().map(read).collect();
        let kept: Vec<_> = results.into_iter().map(|result| self.keep(result)).collect();
        kept.into_iter().collect()
    }

    fn greeting(&mut self, value: &Value<'_>, settings: &mut Settings) -> Option<Service> {
        if self.entries(value)?.get("text").is_none() {
            let error = ConfigError::at(value.span(), "greet needs a text");
            self.push_missing(error.accepts("greet = {text = \"welcome {peer.ip}\\n\"}"));
        }
        self.table(ConfigTable::Greet, value, settings);
        let greeting = &mut settings.route.greeting;
        let text = greeting.text.take()?;
        Some(Service::Greet { text, read_one: greeting.read_one })
    }

    fn hub(&mut self, value: &Value<'_>, settings: &mut Settings) -> Option<Service> {
        let mut name = String::new();
        match value.get_ref() {
            DeValue::Boolean(true) => {}
            DeValue::Table(entries) => {
                for (key, value) in entries {
                    match find(ConfigTable::Hub, key.get_ref()) {
                        Some(option) => self.option(option, value, settings),
                        None if key.get_ref() == "name" => {
                            let text = value::text(self.text, value);
                            let read = text.and_then(|text| text.read(route::read_name_of_hub));
                            name = self.keep(read)?;
                        }
                        None => self.unknown_of_hub(key),
                    }
                }
            }
            other => {
                let wrong = format!("expected true or a table, found {}", value::kind(other));
                self.push(ConfigError::at(value.span(), wrong).accepts(HUB));
                return None;
            }
        }
        let settings = settings.route.hub.settings("buffer");
        let settings = settings.map_err(|wrong| ConfigError::at(value.span(), wrong));
        self.keep(settings).map(|settings| Service::Hub { name, settings })
    }

    fn unknown_of_hub(&mut self, key: &TomlKey<'_>) {
        let known = || keys(ConfigTable::Hub).map(|(name, _)| name).chain(["name"]);
        let hint = suggestion(key.get_ref(), known(), str::to_string);
        let error = ConfigError::at(key.span(), format!("unknown key{hint}"));
        self.push(error.accepts(known().collect::<Vec<_>>().join(", ")));
    }
}

const HUB: &str = "hub = true, hub = {name = \"lobby\", frame = \"len32\"}";

/// The services, as a route names them.
fn services() -> String {
    let of = |name: &str| match name {
        "relay" => "relay = [\"10.0.0.1:80\"]".to_owned(),
        "greet" => "greet = {text = \"hello\\n\"}".to_owned(),
        name => format!("{name} = true"),
    };
    Service::NAMES.map(of).join(", ")
}

/// The keys of a route with this service, for an error message.
fn accepted(service: Option<&str>) -> String {
    let fits = |scope: crate::config::options::Scope| {
        service.is_none_or(|service| scope.has_route(service) != Some(false))
    };
    let policy = keys(ConfigTable::Policy).filter(|(_, option)| fits(option.scope));
    let mut names = vec!["listen", service.unwrap_or("a service")];
    names.extend(policy.map(|(name, _)| name));
    names.join(", ")
}
