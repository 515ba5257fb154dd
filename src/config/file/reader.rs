//! Reads the tables of a configuration file, and collects the errors.

use std::ops::Range;

use toml::de::{DeTable, DeValue, Error as SyntaxError};

use super::error::ConfigError;
use super::value::{self, Value, ValueForm};
use super::{DaemonConfig, typed_in_file};
use crate::config::check::{self, Misfit, Place};
use crate::config::options::{self, ConfigTable, OptionSpec, Settings};
use crate::config::parse::suggestion;
use crate::config::{Plan, Route, Service};

/// The tables of a file, besides the routes.
const TABLES: [(&str, ConfigTable); 4] = [
    ("policy", ConfigTable::Policy),
    ("process", ConfigTable::Process),
    ("log", ConfigTable::Log),
    ("admin", ConfigTable::Admin),
];

/// An example of a route, for error messages.
const ROUTE: &str = "[route.web]\nlisten = \":80\"\nrelay = [\"10.0.0.1:80\"]";

/// The state of reading one file.
pub struct Reader<'t> {
    pub text: &'t str,
    errors: Vec<ConfigError>,
    /// Where the text is no TOML. What seems to be missing may be in what was not understood.
    damaged: Vec<Range<usize>>,
    /// Where each option was given.
    given: Vec<(&'static str, Range<usize>)>,
    /// Where the address of each route is, in the order of the plan.
    pub places: Vec<Range<usize>>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str, syntax_errors: Vec<SyntaxError>) -> Reader<'t> {
        let errors: Vec<ConfigError> = syntax_errors.iter().map(of_syntax).collect();
        let damaged = errors.iter().map(|error| error.span.clone()).collect();
        Reader { text, errors, damaged, given: Vec::new(), places: Vec::new() }
    }

    /// Reads the whole document.
    pub fn read(&mut self, document: &DeTable<'_>) -> DaemonConfig {
        let mut settings = Settings::default();
        for (name, table) in TABLES {
            if let Some(value) = document.get(name) {
                self.table(table, value, &mut settings);
            }
        }
        for (key, value) in document.iter() {
            let name: &str = key.get_ref();
            if name != "route" && !TABLES.iter().any(|(known, _)| *known == name) {
                let accepted = "[route.NAME], [policy], [process], [log], [admin]";
                let error = ConfigError::at(key.span(), unknown_at_top(name, value));
                self.push(error.accepts(accepted));
            }
        }
        let routes = self.routes(document, &settings);
        let plan = Plan { routes, ..settings.daemon };
        self.check(&plan);
        DaemonConfig { plan, log: settings.log }
    }

    /// Returns the errors in the order of the text, if there are any.
    pub fn finish(mut self) -> Result<(), Vec<ConfigError>> {
        self.errors.sort_by_key(|error| error.span.start);
        self.errors.dedup();
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    /// Adds an error, unless it is about what was not understood.
    pub fn push(&mut self, error: ConfigError) {
        if !self.damaged.contains(&error.span) {
            self.errors.push(error);
        }
    }

    /// Adds an error about what is missing.
    pub fn push_missing(&mut self, error: ConfigError) {
        if self.damaged.is_empty() {
            self.errors.push(error);
        }
    }

    /// Stores a result, or its error.
    pub fn keep<T>(&mut self, result: Result<T, ConfigError>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Stores a result, or its errors.
    pub fn keep_all<T>(&mut self, result: Result<T, Vec<ConfigError>>) -> Option<T> {
        result.map_err(|errors| self.errors.extend(errors)).ok()
    }

    /// Reads a table of options into the settings.
    pub fn table(&mut self, table: ConfigTable, value: &Value<'_>, settings: &mut Settings) {
        let Some(entries) = self.entries(value) else { return };
        for (key, value) in entries {
            let name: &str = key.get_ref();
            match find(table, name) {
                Some(option) => self.option(option, value, settings),
                None => {
                    let known = || keys(table).map(|(name, _)| name);
                    let wrong = format!("unknown key{}", suggestion(name, known(), str::to_string));
                    let accepted = known().collect::<Vec<_>>().join(", ");
                    self.push(ConfigError::at(key.span(), wrong).accepts(accepted));
                }
            }
        }
    }

    /// Returns the entries of a table.
    pub fn entries<'v>(&mut self, value: &'v Value<'_>) -> Option<&'v DeTable<'v>> {
        match value.get_ref() {
            DeValue::Table(entries) => Some(entries),
            other => {
                let wrong = format!("expected a table, found {}", value::kind(other));
                self.push(ConfigError::at(value.span(), wrong));
                None
            }
        }
    }

    /// Reads one option.
    pub fn option(
        &mut self,
        option: &'static OptionSpec,
        value: &Value<'_>,
        settings: &mut Settings,
    ) {
        self.given.push((option.name, value.span()));
        let texts = value::of_option(self.text, option, value);
        for text in self.keep_all(texts).into_iter().flatten() {
            let mut read = text.read(|input| option.set(settings, input));
            if let Err(error) = &mut read
                && ValueForm::of(option) == ValueForm::FlagOrText
            {
                error.accepted.insert_str(0, "true, ");
            }
            self.keep(read);
        }
    }

    fn routes(&mut self, document: &DeTable<'_>, settings: &Settings) -> Vec<Route> {
        let mut routes = Vec::new();
        if let Some(value) = document.get("route")
            && let Some(entries) = self.entries(value)
        {
            // The parser sorts them by name.
            let mut entries: Vec<_> = entries.iter().collect();
            entries.sort_by_key(|(key, value)| key.span().start.min(value.span().start));
            let is_key = |(_, value): &&(_, &Value<'_>)| !value.get_ref().is_table();
            let unnamed = entries.iter().find(is_key).map(|(key, _)| key.span());
            if let Some(span) = unnamed.clone() {
                let error = ConfigError::at(span, "a route has a name: [route.NAME]");
                self.push(error.accepts(ROUTE));
            }
            for (key, value) in entries {
                // The keys of a route without a name are no routes.
                let is_service = Service::NAMES.contains(&key.get_ref().as_ref());
                if !value.get_ref().is_table() || unnamed.is_some() && is_service {
                    continue;
                }
                self.route(key, value, settings, &mut routes);
            }
        }
        if routes.is_empty() && self.errors.is_empty() {
            let end = self.text.len();
            self.push(ConfigError::at(end..end, "no route").accepts(ROUTE));
        }
        routes
    }

    /// Checks the plan as a whole. What depends on options that could not be read is not checked.
    fn check(&mut self, plan: &Plan) {
        let misfits = match self.errors.is_empty() {
            true => check::plan(plan, typed_in_file),
            false => check::routes(&plan.routes),
        };
        for misfit in misfits {
            let error = self.misfit(misfit);
            self.push(error);
        }
    }

    fn misfit(&self, misfit: Misfit) -> ConfigError {
        let Misfit { at, also, wrong, remedy } = misfit;
        let places = also.into_iter();
        let also = places.filter_map(|(place, how)| Some((self.place(place)?, how))).collect();
        let span = self.place(at).unwrap_or_default();
        ConfigError { span, wrong, accepted: remedy.to_owned(), also }
    }

    /// Returns an error at the value of an option.
    pub fn error_of(&self, option: &'static str, wrong: String) -> ConfigError {
        self.misfit(Misfit::new(Place::Option(option), wrong))
    }

    fn place(&self, place: Place) -> Option<Range<usize>> {
        match place {
            Place::Route(route) => self.places.get(route).cloned(),
            Place::Option(name) => {
                let given = self.given.iter().find(|(given, _)| *given == name);
                given.map(|(_, span)| span.clone())
            }
        }
    }
}

/// Says what is wrong with a key outside of all tables, or with a table.
fn unknown_at_top(name: &str, value: &Value<'_>) -> String {
    let is_table = match value.get_ref() {
        DeValue::Table(_) => true,
        DeValue::Array(items) => items.iter().any(|item| item.get_ref().is_table()),
        _ => false,
    };
    let owner = TABLES.iter().find(|(_, table)| find(*table, name).is_some());
    let known = TABLES.iter().map(|(name, _)| *name).chain(["route"]);
    let hint = suggestion(name, known, |known| format!("[{known}]"));
    match owner {
        Some((owner, _)) if !is_table => format!("{name} belongs to a table: [{owner}]"),
        _ if is_table => format!("unknown table{hint}"),
        _ if hint.is_empty() => "unknown key: each key belongs to a table".to_owned(),
        _ => format!("unknown key{hint}"),
    }
}

fn of_syntax(error: &SyntaxError) -> ConfigError {
    let message = error.message();
    // The parser puts what it expected on a line of its own.
    let (wrong, accepted) = message.split_once('\n').unwrap_or((message, ""));
    let accepted = accepted.strip_prefix("expected ").unwrap_or(accepted);
    ConfigError::at(error.span().unwrap_or_default(), wrong).accepts(accepted)
}

/// Returns the options of a table, and their keys.
pub fn keys(table: ConfigTable) -> impl Iterator<Item = (&'static str, &'static OptionSpec)> {
    options::all().filter_map(move |option| {
        let key = option.in_file.filter(|key| key.table == table)?;
        Some((key.name, option))
    })
}

/// Finds an option by its key.
pub fn find(table: ConfigTable, name: &str) -> Option<&'static OptionSpec> {
    keys(table).find(|(key, _)| *key == name).map(|(_, option)| option)
}
