//! The load of a hub: one sender and N members, and what a delivery has cost the server.
//!
//! `fanout tcp://ADDRESS --pid PID --conns N --size BYTES --depth N --warmup MS --duration MS --json
//! FILE`. The sender sends `depth` lines in one write, and the next ones when every member has
//! received these: a server has no reason to skip any. Every byte is compared. The first one that is
//! missing or wrong ends the load, without a report.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The time that a member waits for a batch, and that all attempts to connect it may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server whose accept queue is full drops a SYN, and the kernel repeats it after a second. Another
/// attempt after this time is sooner.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(20);

/// The width of a step in the timeline, in seconds.
const STEP_SECONDS: f64 = 0.1;

/// A line begins with its number in so many digits, and has a line end.
const LINE_MIN: usize = 16 + 1;

struct Settings {
    target: SocketAddr,
    pid: u32,
    members: usize,
    size: usize,
    depth: usize,
    warmup: Duration,
    duration: Duration,
    report: PathBuf,
}

fn main() -> io::Result<()> {
    let began = Instant::now();
    let settings = Settings::from_arguments(std::env::args().skip(1))?;
    let mut load = Load::connect(&settings, began)?;
    load.run(settings.warmup)?;
    let warmup_batches = load.latencies.len();
    let (before, started) = (cpu_seconds(settings.pid)?, Instant::now());
    load.run(settings.duration)?;
    let window = Window {
        seconds: started.elapsed().as_secs_f64(),
        cpu_seconds: cpu_seconds(settings.pid)? - before,
        latencies: load.latencies.split_off(warmup_batches),
    };
    fs::write(&settings.report, window.report(&settings, &load.timeline))
}

impl Settings {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> io::Result<Settings> {
        let target = arguments.next().ok_or_else(|| invalid("a target is missing"))?;
        let target = target.strip_prefix("tcp://").unwrap_or(&target);
        let mut settings = Settings {
            target: target.parse().map_err(|error| invalid(&format!("{target:?}: {error}")))?,
            pid: 0,
            members: 100,
            size: 64,
            depth: 1,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            report: PathBuf::from("/dev/stdout"),
        };
        while let Some(option) = arguments.next() {
            let value = arguments.next().ok_or_else(|| invalid(&format!("{option}: no value")))?;
            let number = || {
                let digits = value.trim_end_matches("ms").parse::<u32>();
                digits.map_err(|error| invalid(&format!("{option} {value:?}: {error}")))
            };
            let milliseconds = || Ok::<_, io::Error>(Duration::from_millis(number()?.into()));
            match option.as_str() {
                "--pid" => settings.pid = number()?,
                "--conns" => settings.members = number()? as usize,
                "--size" => settings.size = number()? as usize,
                "--depth" => settings.depth = number()? as usize,
                "--warmup" => settings.warmup = milliseconds()?,
                "--duration" => settings.duration = milliseconds()?,
                "--json" => settings.report = PathBuf::from(&value),
                _ => return Err(invalid(&format!("{option}: no such option"))),
            }
        }
        let Settings { pid, members, size, depth, .. } = settings;
        if pid == 0 || members == 0 || depth == 0 || size < LINE_MIN {
            let text = format!("--pid, --conns, --depth: at least 1; --size: {LINE_MIN}");
            return Err(invalid(&text));
        }
        Ok(settings)
    }
}

/// The connections, and what they have received.
struct Load {
    sender: TcpStream,
    members: Vec<TcpStream>,
    size: usize,
    depth: usize,
    /// The number of the next line.
    number: u64,
    /// The lines of a batch, and what a member has received.
    sent: Vec<u8>,
    received: Vec<u8>,
    /// From the start of a batch until its last member has received it, in microseconds.
    latencies: Vec<f64>,
    /// Lines received in each step since `began`.
    timeline: Vec<u64>,
    began: Instant,
    random: u64,
}

impl Load {
    /// Opens all connections. The sender is last: a server that has accepted it, has accepted all.
    fn connect(settings: &Settings, began: Instant) -> io::Result<Load> {
        let members =
            (0..settings.members).map(|_| connect(settings.target)).collect::<io::Result<_>>()?;
        Ok(Load {
            sender: connect(settings.target)?,
            members,
            size: settings.size,
            depth: settings.depth,
            number: 0,
            sent: Vec::new(),
            received: vec![0; settings.size * settings.depth],
            latencies: Vec::new(),
            timeline: Vec::new(),
            began,
            random: 0x9E37_79B9_7F4A_7C15,
        })
    }

    /// Sends batches for so long, at least one. After the last one nothing is on the way.
    fn run(&mut self, duration: Duration) -> io::Result<()> {
        let until = Instant::now() + duration;
        loop {
            self.batch()?;
            if Instant::now() >= until {
                return Ok(());
            }
        }
    }

    fn batch(&mut self) -> io::Result<()> {
        self.shuffle();
        self.write_lines();
        let start = Instant::now();
        self.sender.write_all(&self.sent)?;
        for at in 0..self.members.len() {
            self.members[at].read_exact(&mut self.received).map_err(|error| {
                let text = format!("a member did not receive line {}: {error}", self.number);
                io::Error::new(error.kind(), text)
            })?;
            if self.received != self.sent {
                return Err(invalid(&format!(
                    "a member received other lines than sent: {}",
                    String::from_utf8_lossy(&self.received).escape_debug()
                )));
            }
            self.count();
        }
        self.latencies.push(start.elapsed().as_secs_f64() * 1e6);
        Ok(())
    }

    /// Draws the order in which members are read. A member is waited for until it has its lines, so
    /// the server wakes this process each time it serves one that is waited for. In a random order
    /// that is some ln N times a batch, in whatever order it serves them.
    fn shuffle(&mut self) {
        for at in (1..self.members.len()).rev() {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.members.swap(at, (self.random % (at as u64 + 1)) as usize);
        }
    }

    /// Writes the lines of the next batch: no two lines of a run are equal.
    fn write_lines(&mut self) {
        self.sent.clear();
        for _ in 0..self.depth {
            let line = format!("{:016}", self.number);
            self.sent.extend_from_slice(line.as_bytes());
            self.sent
                .resize(self.sent.len() + self.size - LINE_MIN, b'a' + (self.number % 26) as u8);
            self.sent.push(b'\n');
            self.number += 1;
        }
    }

    fn count(&mut self) {
        let step = (self.began.elapsed().as_secs_f64() / STEP_SECONDS) as usize;
        if step >= self.timeline.len() {
            self.timeline.resize(step + 1, 0);
        }
        self.timeline[step] += self.depth as u64;
    }
}

fn connect(target: SocketAddr) -> io::Result<TcpStream> {
    let until = Instant::now() + TIMEOUT;
    let stream = loop {
        match TcpStream::connect_timeout(&target, CONNECT_TIMEOUT) {
            Err(error) if error.kind() == io::ErrorKind::TimedOut && Instant::now() < until => {}
            connected => break connected?,
        }
    };
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    Ok(stream)
}

/// What was measured between the warm-up and the end.
struct Window {
    seconds: f64,
    cpu_seconds: f64,
    latencies: Vec<f64>,
}

impl Window {
    /// Returns the report, with the names of that of `oneloop stress`.
    fn report(mut self, settings: &Settings, timeline: &[u64]) -> String {
        self.latencies.sort_by(f64::total_cmp);
        let Window { seconds, cpu_seconds, latencies } = &self;
        let deliveries = latencies.len() * settings.members * settings.depth;
        let percentile = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
        let mut text = String::from("{\n");
        let _ = writeln!(
            text,
            " \"loads\": [{{\"load\": \"fanout\", \"deliveries\": {deliveries}, \
             \"deliveries_per_second\": {:.1}, \
             \"latency_us\": {{\"p50\": {:.1}, \"p99\": {:.1}}}}}],",
            deliveries as f64 / seconds,
            percentile(0.5),
            percentile(0.99),
        );
        let _ = writeln!(
            text,
            " \"server\": {{\"cpu_us_per_delivery\": {:.6}, \"cpu_share\": {:.4}}},",
            cpu_seconds * 1e6 / deliveries as f64,
            cpu_seconds / seconds,
        );
        let _ = writeln!(
            text,
            " \"timeline\": {{\"step_s\": {STEP_SECONDS}, \"delivered\": {timeline:?}}}\n}}"
        );
        text
    }
}

/// Returns the processor time of all threads of a process.
fn cpu_seconds(pid: u32) -> io::Result<f64> {
    let mut nanoseconds = 0.0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat"))?;
        let first = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
        nanoseconds += first.ok_or_else(|| invalid(&format!("schedstat of {pid}: {text:?}")))?;
    }
    Ok(nanoseconds / 1e9)
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, text)
}
