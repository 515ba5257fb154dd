//! The script of a peer, drawn from the seed: in which order it sends, reads, and ends.

use std::collections::VecDeque;

use oneloop::core::Random;

use super::faults::Mix;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Say(u64),
    /// Read until this many more bytes have arrived, or the end.
    Hear(u64),
    /// Do nothing for this many turns.
    Nap(u64),
    Urgent,
    Fin,
    /// Read until the end of file.
    HearEnd,
    Reset,
    /// Close both directions, whatever is unread.
    Close,
    /// Send no bytes and no packets from now on.
    Vanish,
}

/// The role that the script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ends of its own accord.
    First,
    /// Sends (in part) only after the end of file, so that a FIN that is not propagated is noticed.
    Last,
    /// Reads until it aborts.
    Endless,
}

pub fn draw(random: &mut Random, mix: &Mix, role: Role) -> VecDeque<Op> {
    let mut script = VecDeque::new();
    if random.once_in(3) {
        script.push_back(Op::Nap(random.below(20)));
    }
    for _ in 0..random.below(4) {
        chat(random, mix, &mut script);
    }
    if role == Role::Endless {
        script.extend([Op::Hear(1 + random.below(mix.say * 3)), ending(random)]);
        return script;
    }
    if random.below(100) < mix.rude {
        script.push_back([Op::Reset, Op::Close, Op::Vanish][random.below(3) as usize]);
        return script;
    }
    if role == Role::Last {
        script.extend([Op::HearEnd, Op::Nap(random.below(2) * random.below(60))]);
        chat(random, mix, &mut script);
    }
    script.extend([Op::Fin, Op::HearEnd, Op::Close]);
    script
}

fn chat(random: &mut Random, mix: &Mix, script: &mut VecDeque<Op>) {
    script.push_back(Op::Say(1 + random.below(mix.say)));
    match random.below(8) {
        0 => script.push_back(Op::Nap(random.below(20))),
        1 => script.push_back(Op::Hear(1 + random.below(mix.say))),
        2 => script.extend([Op::Urgent, Op::Say(1 + random.below(mix.say))]),
        _ => {}
    }
}

fn ending(random: &mut Random) -> Op {
    if random.once_in(2) { Op::Reset } else { Op::Close }
}
