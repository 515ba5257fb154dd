//! Joins the display to the terminal and to the daemon: reads keys, polls, draws, and restores the
//! terminal on every way out.
//!
//! A helper thread polls, so that keys are handled while the daemon does not answer. It ends with
//! the process.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Registry, Token, Waker};

use super::super::ctl::CtlError;
use super::super::ctl::endpoint::Endpoint;
use super::keys::{KeyDecoder, TopKey};
use super::render::{self, FrameSize, Look};
use super::sample::{PollRequest, Sample};
use super::screen::TopScreen;
use super::travel::RECORDING_BYTES;
use crate::admin::resources::NOT_RECORDED;
use crate::config::TopPlan;
use crate::net::Signals;
use crate::net::stdio::Stdio;
use crate::net::terminal::{self, ByteMode};

const KEYS: Token = Token(0);
const SIGNALS: Token = Token(1);
const ANSWER: Token = Token(2);
/// Maximum events of one wait: more kinds do not exist.
const EVENTS: usize = 8;
/// Bytes of one read of the keyboard.
const READ_BYTES: usize = 1024;
/// Time after which an escape without a sequence is the escape key.
const ESCAPE: Duration = Duration::from_millis(50);
/// Time between two frames that only count seconds.
const TICK: Duration = Duration::from_secs(1);
/// The size of a terminal that does not know its own.
const SIZE: FrameSize = FrameSize { columns: 80, rows: 24 };

/// Switches to the other screen. Where the cursor was is saved, so it is sent only once.
const ENTER: &str = "\x1b[?1049h";
/// Hides the cursor, lets long lines not wrap, and erases the screen.
const PREPARE: &str = "\x1b[?25l\x1b[?7l\x1b[2J";
/// Reverts both, and ends a frame that was not complete.
const LEAVE: &str = "\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// Shows the daemon until the user quits. Returns the exit code.
pub fn run(plan: &TopPlan, endpoint: Endpoint, look: Look) -> Result<u8, CtlError> {
    let Some(mode) = ByteMode::open() else {
        let why = "top needs a terminal; --once prints one frame, and --json every poll";
        return Err(CtlError::Usage(why.to_string()));
    };
    let started = Instant::now();
    let mut screen = TopScreen::new(plan, endpoint.address().to_string());
    // Without a first answer, the error is more useful than an empty display.
    let request = screen.poll(0.0);
    screen.on_sample(Sample::take(&endpoint, request, || started.elapsed().as_secs_f64())?);
    Session::new(endpoint, screen, mode, look, started).and_then(Session::run).map_err(failed)
}

fn failed(error: io::Error) -> CtlError {
    CtlError::Failed(format!("terminal: {}", super::super::ctl::error::message(&error)))
}

/// The other screen of the terminal. Dropping it returns to the one before, and to its mode.
struct FullScreen {
    mode: ByteMode,
    is_entered: bool,
    /// Another job had the terminal when it was last drawn, and may have changed it.
    was_background: bool,
    drawn: String,
}

impl FullScreen {
    fn enter(mode: ByteMode) -> io::Result<FullScreen> {
        let drawn = String::new();
        let mut screen = FullScreen { mode, is_entered: false, was_background: true, drawn };
        restore_on_panic();
        screen.resume()?;
        Ok(screen)
    }

    /// Takes the terminal, if no other job has it. All is drawn anew.
    fn resume(&mut self) -> io::Result<()> {
        self.drawn.clear();
        self.was_background = !self.mode.set();
        if self.was_background {
            return Ok(());
        }
        if !self.is_entered {
            terminal::write(ENTER)?;
            self.is_entered = true;
        }
        terminal::write(PREPARE)
    }

    /// Draws a frame, unless it is the one that is displayed.
    fn draw(&mut self, frame: String) -> io::Result<()> {
        if terminal::is_background() {
            self.was_background = true;
            return Ok(());
        }
        if self.was_background {
            self.resume()?;
        }
        if frame != self.drawn {
            terminal::write(&frame)?;
            self.drawn = frame;
        }
        Ok(())
    }

    /// Returns to the shell until the process continues.
    fn suspend(&mut self) -> io::Result<()> {
        terminal::write(LEAVE)?;
        self.is_entered = false;
        self.mode.suspend();
        self.resume()
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        if self.is_entered && !terminal::is_background() {
            // It fails if the terminal hung up, and then there is nothing to restore.
            let _ = terminal::write(LEAVE);
        }
    }
}

/// Lets the message of a panic be printed on the screen that stays.
fn restore_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let _ = terminal::write(LEAVE);
        print(panic);
    }));
}

/// The thread that asks the daemon.
struct Poller {
    requests: Sender<PollerRequest>,
    answers: Receiver<PollerAnswer>,
}

enum PollerRequest {
    Poll(PollRequest),
    Recording,
}

enum PollerAnswer {
    Sample(Box<Result<Sample, CtlError>>),
    /// The recording, or why there is none.
    Recording(Result<Vec<u8>, String>),
}

impl Poller {
    fn start(endpoint: Endpoint, started: Instant, registry: &Registry) -> io::Result<Poller> {
        let waker = Arc::new(Waker::new(registry, ANSWER)?);
        let (requests, wanted) = channel::<PollerRequest>();
        let (found, answers) = channel();
        thread::Builder::new().name("poll".to_string()).spawn(move || {
            for request in wanted {
                let now = || started.elapsed().as_secs_f64();
                let answer = match request {
                    PollerRequest::Poll(request) => {
                        PollerAnswer::Sample(Box::new(Sample::take(&endpoint, request, now)))
                    }
                    PollerRequest::Recording => PollerAnswer::Recording(download(&endpoint)),
                };
                let is_wanted = found.send(answer).is_ok();
                if !is_wanted || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Poller { requests, answers })
    }
}

/// Downloads the recording, or says why there is none.
fn download(endpoint: &Endpoint) -> Result<Vec<u8>, String> {
    endpoint.recording(RECORDING_BYTES).map_err(|error| match error.to_string() {
        text if text.contains(NOT_RECORDED) => {
            format!("{NOT_RECORDED}; oneloop ctl record 16M starts it")
        }
        text => text,
    })
}

struct Session {
    screen: TopScreen,
    full_screen: FullScreen,
    look: Look,
    poll: Poll,
    poller: Poller,
    stdio: Stdio,
    signals: Signals,
    keys: KeyDecoder,
    started: Instant,
    next_poll: Instant,
    /// Lines of a page, of the last frame.
    page: usize,
}

impl Session {
    fn new(
        endpoint: Endpoint,
        screen: TopScreen,
        mode: ByteMode,
        look: Look,
        started: Instant,
    ) -> io::Result<Session> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        // Before the screen is entered: a signal that came between would leave it as it is.
        let mut signals = Signals::new(registry, SIGNALS)?;
        signals.wake_on_continue(registry, SIGNALS)?;
        signals.wake_on_resize(registry, SIGNALS)?;
        let mut stdio = Stdio::open()?;
        registry.register(&mut stdio, KEYS, Interest::READABLE)?;
        let poller = Poller::start(endpoint, started, registry)?;
        let full_screen = FullScreen::enter(mode)?;
        Ok(Session {
            next_poll: Instant::now() + screen.interval,
            screen,
            full_screen,
            look,
            poll,
            poller,
            stdio,
            signals,
            keys: KeyDecoder::default(),
            started,
            page: 1,
        })
    }

    fn run(mut self) -> io::Result<u8> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.screen.prepare(self.now());
            self.request()?;
            self.draw()?;
            match self.poll.poll(&mut events, Some(self.timeout())) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            if let Some(signal) = self.signals.drain().next() {
                return Ok(signal.status());
            }
            if events.iter().any(|event| event.token() == SIGNALS) {
                // The process was continued, or the terminal has another size.
                self.full_screen.resume()?;
            }
            self.receive()?;
            self.read_keys(events.is_empty())?;
            if self.screen.is_over() {
                return Ok(0);
            }
        }
    }

    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Starts a poll if it is time for one, or the download of a recording.
    fn request(&mut self) -> io::Result<()> {
        if self.screen.download() {
            return self.ask(PollerRequest::Recording);
        }
        let now = Instant::now();
        if self.screen.is_still() || self.screen.is_polling() || now < self.next_poll {
            return Ok(());
        }
        self.next_poll = now + self.screen.interval;
        let request = self.screen.poll(self.now());
        self.ask(PollerRequest::Poll(request))
    }

    fn ask(&self, request: PollerRequest) -> io::Result<()> {
        self.poller.requests.send(request).map_err(|_| poller_ended())
    }

    /// Returns how long to wait for an event.
    fn timeout(&self) -> Duration {
        if self.keys.is_pending() {
            return ESCAPE;
        }
        match self.screen.is_still() || self.screen.is_polling() {
            true => TICK,
            false => self.next_poll.saturating_duration_since(Instant::now()).min(TICK),
        }
    }

    fn receive(&mut self) -> io::Result<()> {
        loop {
            match self.poller.answers.try_recv() {
                Ok(PollerAnswer::Sample(sample)) => match *sample {
                    Ok(sample) => self.screen.on_sample(sample),
                    Err(error) => self.screen.on_error(error.to_string()),
                },
                Ok(PollerAnswer::Recording(recording)) => self.screen.on_recording(recording),
                Err(TryRecvError::Empty) => return Ok(()),
                Err(TryRecvError::Disconnected) => return Err(poller_ended()),
            }
        }
    }

    /// Handles all keys that were typed. `is_quiet`: nothing happened for the time of an escape.
    fn read_keys(&mut self, is_quiet: bool) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            match self.stdio.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    for key in self.keys.push(&buffer[..count]) {
                        self.on_key(key)?;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        match self.keys.is_pending() && is_quiet {
            true => self.keys.flush().map_or(Ok(()), |key| self.on_key(key)),
            false => Ok(()),
        }
    }

    fn on_key(&mut self, key: TopKey) -> io::Result<()> {
        match key {
            TopKey::Redraw => self.full_screen.resume(),
            TopKey::Suspend => self.full_screen.suspend(),
            key => {
                self.screen.on_key(key, self.page);
                Ok(())
            }
        }
    }

    fn draw(&mut self) -> io::Result<()> {
        let size = match terminal::size() {
            (0, _) | (_, 0) => SIZE,
            (columns, rows) => FrameSize { columns, rows },
        };
        let now = self.now();
        let (frame, page) = render::frame(&mut self.screen, size, self.look, now);
        self.page = page;
        self.full_screen.draw(frame)
    }
}

fn poller_ended() -> io::Error {
    io::Error::other("the thread that polls has ended")
}
