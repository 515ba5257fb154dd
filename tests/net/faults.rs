//! The parameters of a run, drawn from a seed: the kernel's model, a subset of the faults with
//! their probabilities, and all sizes. Not all faults at once: one fault can hide another.

use oneloop::core::Random;
use oneloop::core::timers::Timeouts;

/// What the kernel guarantees about its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Model {
    /// One edge for each call that would have blocked, and no more; a short read proves nothing.
    Bare,
    /// An edge for each arrival. A short read has drained a TCP socket, except at an urgent mark.
    Epoll,
}

/// The probability of each fault, in a thousand.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    pub short_read: u64,
    pub short_write: u64,
    pub would_block: u64,
    pub interrupted: u64,
    pub reset: u64,
    pub spurious: u64,
    pub stale: u64,
    /// The event of one socket is split into two events, or into two batches.
    pub split: u64,
    /// Events report only the direction that was owed.
    pub minimal: bool,
    pub hint_absent: u64,
    pub hint_false: u64,
    /// A reset discards what was received and not read yet.
    pub reset_purges: u64,
    /// A reset after a FIN is reported to writers only: readers get the end of file first.
    pub fin_hides_reset: bool,
    /// A splice moves nothing although bytes are waiting.
    pub splice_nothing: u64,
    /// Peers act between the phases of a turn too.
    pub mid_turn: u64,
    /// The clock jumps by hours.
    pub leap: u64,
}

/// All parameters of one run.
#[derive(Clone, Debug)]
pub struct Mix {
    pub model: Model,
    pub faults: Faults,
    pub talks: usize,
    /// Maximum concurrent connections: slots are few, and reused at once.
    pub slots: usize,
    /// Maximum number of events per batch.
    pub batch: usize,
    pub scratch: usize,
    /// Maximum bytes per splice.
    pub splice: usize,
    /// Maximum capacity of a pipe, in bytes.
    pub pipe: usize,
    /// Maximum bytes that a peer sends at once.
    pub say: u64,
    /// Share of Unix sockets, in percent.
    pub unix: u64,
    /// The kinds of conversation that occur.
    pub kinds: Vec<u8>,
    pub timeouts: Vec<Timeouts>,
    /// The turn in which draining begins, and the turn in which all connections are cut.
    pub drain: Option<usize>,
    pub cut: Option<usize>,
    /// Number of turns with faults.
    pub unsafe_turns: usize,
    /// Share of peers that abort (reset, vanish, close early), in percent.
    pub rude: u64,
    /// Share of connection attempts that fail, in percent.
    pub refuse: u64,
    /// Maximum advance of the clock per turn, in microseconds.
    pub pace: u64,
}

impl Faults {
    fn draw(random: &mut Random) -> Faults {
        let often = [20, 100, 400];
        let rare = [2, 10, 40];
        Faults {
            short_read: some(random, &often),
            short_write: some(random, &often),
            would_block: some(random, &often),
            interrupted: some(random, &often),
            reset: some(random, &rare) / 2,
            spurious: some(random, &[20, 200, 800]),
            stale: some(random, &[20, 200]),
            split: some(random, &[100, 500]),
            minimal: random.once_in(2),
            hint_absent: some(random, &[100, 500, 1000]),
            hint_false: some(random, &[20, 200]),
            reset_purges: some(random, &[500, 1000]),
            fin_hides_reset: random.once_in(2),
            splice_nothing: some(random, &[100, 500]),
            mid_turn: some(random, &[100, 500]),
            leap: some(random, &[1, 5]),
        }
    }
}

impl Mix {
    pub fn draw(seed: u64, model: Model) -> Mix {
        let mut random = Random::new(seed);
        let random = &mut random;
        let scratch = pick(random, &[1, 2, 7, 64, 500, 4096, 65536]);
        let pipe = pick(random, &[1, 3, 16, 64, 300, 4096, 65536]);
        let drain = random.once_in(4).then(|| 20 + random.below(300) as usize);
        Mix {
            model,
            faults: Faults::draw(random),
            talks: 20 + random.below(60) as usize,
            slots: pick(random, &[1, 4, 8, 16, 32]),
            batch: pick(random, &[1, 2, 8, 1024]),
            scratch,
            splice: pick(random, &[1, 160, 20_000, 1 << 20]),
            pipe,
            say: 1 + random.below((40 * scratch.min(pipe)).clamp(8, 200_000) as u64),
            unix: pick(random, &[0, 0, 30, 100]),
            kinds: (0..8).filter(|_| !random.once_in(3)).collect(),
            timeouts: (0..4).map(|_| draw_timeouts(random)).collect(),
            drain,
            cut: drain.filter(|_| random.once_in(2)).map(|turn| turn + random.below(60) as usize),
            unsafe_turns: 100 + random.below(500) as usize,
            rude: pick(random, &[0, 0, 5, 30]),
            refuse: pick(random, &[0, 0, 20, 60]),
            pace: pick(random, &[0, 1000, 50_000, 100_000, 400_000]),
        }
    }
}

/// Draws a timeout: often none, otherwise small enough to fire.
fn draw_timeouts(random: &mut Random) -> Timeouts {
    let mut one = || random.once_in(3).then(|| 2 + random.below(60) as u32);
    Timeouts { connect: one(), idle: one(), half_close: one(), lifetime: one() }
}

/// Draws one of them.
pub fn pick<T: Copy>(random: &mut Random, choices: &[T]) -> T {
    choices[random.below(choices.len() as u64) as usize]
}

/// Draws none with probability one half, otherwise one of them.
fn some(random: &mut Random, choices: &[u64]) -> u64 {
    if random.once_in(2) { 0 } else { pick(random, choices) }
}
