//! What a peer is going to do, drawn from the seed: in which order it speaks, listens, and ends.

use std::collections::VecDeque;

use oneloop::core::Random;

use super::faults::Mix;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Say(u64),
    /// Listen until so many bytes more have come, or the end.
    Hear(u64),
    /// Do nothing for so many turns.
    Nap(u64),
    Urgent,
    Fin,
    /// Listen until the end of file.
    HearEnd,
    Reset,
    /// Close both ways, whatever is unread.
    Close,
    /// Neither a word nor a packet from now on.
    Vanish,
}

/// Whom the script is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Ends of its own accord.
    First,
    /// Speaks (some of it) only once it has heard the end of file: so a FIN that is not passed on
    /// is noticed.
    Last,
    /// Hears without an end until it breaks off.
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
