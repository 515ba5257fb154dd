//! top: watches a running daemon in a terminal, by polling its admin endpoint.
//!
//! `sample` polls, `screen` is the state that keys and polls change, `render` draws it, and
//! `session` joins them to the terminal. `travel` leads to an earlier time, and `past` finds in a
//! recording what was so then. The state and the drawing know neither polls nor the terminal.

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::ctl::endpoint::Endpoint;
use super::ctl::{CtlError, Environment};
use crate::config::TopPlan;
use crate::text::json;
use crate::text::terminal::{Paint, stdout_table_columns};

mod head;
// Without a terminal, as on Windows, only a part is used.
#[cfg_attr(not(unix), allow(dead_code))]
mod keys;
mod past;
mod past_view;
#[cfg_attr(not(unix), allow(dead_code))]
mod render;
mod rows;
mod sample;
#[cfg_attr(not(unix), allow(dead_code))]
mod screen;
#[cfg(unix)]
mod session;
#[cfg_attr(not(unix), allow(dead_code))]
mod travel;

use render::Look;
use rows::Filter;
use sample::{PollRequest, Rates, Sample};
use screen::TopScreen;

/// Shows the daemon until the user quits. Returns the exit code.
pub fn run(plan: &TopPlan, environment: &Environment, out: &mut dyn Write) -> Result<u8, CtlError> {
    let address = environment.choose(plan.admin.as_ref(), Path::try_exists)?;
    let shown_address = address.to_string();
    let endpoint = Endpoint::new(address, plan.token_file.as_deref())?;
    let look = Look { paint: Paint(plan.color.suits(&io::stdout())), is_ascii: is_ascii() };
    let mut watch = PlainWatch { plan, endpoint, started: Instant::now(), out };
    match (plan.json, plan.once) {
        (true, true) => watch.print_json_once(),
        (true, false) => watch.print_json(),
        (false, true) => watch.print_frame(shown_address, look),
        (false, false) => session(plan, watch.endpoint, look),
    }
}

#[cfg(unix)]
fn session(plan: &TopPlan, endpoint: Endpoint, look: Look) -> Result<u8, CtlError> {
    session::run(plan, endpoint, look)
}

#[cfg(not(unix))]
fn session(_plan: &TopPlan, _endpoint: Endpoint, _look: Look) -> Result<u8, CtlError> {
    Err(CtlError::Usage("top needs a Unix terminal; --once and --json work".to_string()))
}

/// Whether the locale has only ASCII. The first variable that is set decides, and none means ASCII.
fn is_ascii() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
    let locale = locale.to_ascii_lowercase();
    !(locale.contains("utf-8") || locale.contains("utf8"))
}

/// Prints polls without a terminal.
struct PlainWatch<'a> {
    plan: &'a TopPlan,
    endpoint: Endpoint,
    started: Instant,
    out: &'a mut dyn Write,
}

/// A line of JSON.
#[derive(Serialize)]
struct JsonSample {
    #[serde(flatten)]
    sample: Sample,
    /// None after the first poll, and after a restart of the daemon.
    rates: Option<Rates>,
}

/// A line of JSON for a poll without an answer.
#[derive(Serialize)]
struct JsonGone {
    gone_seconds: f64,
    error: String,
}

impl PlainWatch<'_> {
    fn poll(&self) -> Result<Sample, CtlError> {
        let request = PollRequest { sort: self.plan.sort, connection: None };
        Sample::take(&self.endpoint, request, || self.started.elapsed().as_secs_f64())
    }

    /// Polls twice, since rates need two polls.
    fn poll_twice(&self) -> Result<(Sample, Sample), CtlError> {
        let first = self.poll()?;
        thread::sleep(self.plan.interval);
        Ok((first, self.poll()?))
    }

    fn print_frame(&mut self, address: String, look: Look) -> Result<u8, CtlError> {
        let (first, second) = self.poll_twice()?;
        let mut screen = TopScreen::new(self.plan, address);
        let now = second.taken_at;
        screen.on_sample(first);
        screen.on_sample(second);
        let text = match io::stdout().is_terminal() {
            true => render::text(&screen, stdout_table_columns(), look, now),
            false => render::whole_text(&screen, look, now),
        };
        self.write(&text)
    }

    fn print_json_once(&mut self) -> Result<u8, CtlError> {
        let (first, second) = self.poll_twice()?;
        let rates = Rates::between(&first, &second);
        let line = self.line(second, rates);
        self.write(&line)
    }

    /// Prints a line for each poll until the reader of the output is gone.
    fn print_json(&mut self) -> Result<u8, CtlError> {
        let mut before = self.poll()?;
        let mut rates = None;
        loop {
            let line = self.line(before.clone(), rates);
            self.write(&line)?;
            loop {
                thread::sleep(self.plan.interval);
                match self.poll() {
                    Ok(sample) => {
                        rates = Rates::between(&before, &sample);
                        before = sample;
                        break;
                    }
                    Err(error) => {
                        let gone_seconds = self.started.elapsed().as_secs_f64() - before.taken_at;
                        let gone = JsonGone { gone_seconds, error: error.to_string() };
                        self.write(&(json::line(&gone) + "\n"))?;
                    }
                }
            }
        }
    }

    fn line(&self, sample: Sample, rates: Option<Rates>) -> String {
        let sample = sample.filtered(&Filter::new(&self.plan.filter), self.plan.sort);
        json::line(&JsonSample { sample, rates }) + "\n"
    }

    fn write(&mut self, text: &str) -> Result<u8, CtlError> {
        let written = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        written.map(|()| 0).map_err(CtlError::Output)
    }
}
