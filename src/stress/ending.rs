//! What the end of a connection means for its load: as it should be, a failure, or a death.

use crate::core::{Close, Reason, Side};
use crate::plan::LoadKind;

use super::failure::{CLOSED, Failure, NO_ANSWER, NOT_CLOSED, Stage};
use super::load_stats::How;

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Fine,
    Failed(Failure),
    /// It was held, and is gone.
    Died(How),
    /// Its bytes were wrong; the script has told of that.
    Wrong,
}

/// What is known of a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Past {
    pub kind: LoadKind,
    /// It had all the answers it wanted, or wanted none.
    pub satisfied: bool,
    /// We were about to end it.
    pub ours: bool,
}

/// Judges an ending.
pub fn judge(ending: Close, past: Past) -> Outcome {
    let failed = |stage, name: &str| Outcome::Failed(Failure::new(stage, name));
    match ending.reason {
        Reason::Refused { fault } | Reason::Exhausted { fault } | Reason::Abandoned { fault } => {
            Outcome::Failed(Failure::of(Stage::Connect, fault))
        }
        Reason::Finished if ending.first == Side::Target => closed_by_server(past),
        Reason::Finished | Reason::Served | Reason::Drained => Outcome::Fine,
        Reason::Reset { by: Side::Target, fault } => {
            let failure = Failure::of(past.stage(), fault);
            match past.is_held() && !past.ours {
                true if failure.name == "ETIMEDOUT" => Outcome::Died(How::BlackHole),
                true => Outcome::Died(How::Rst),
                false => Outcome::Failed(failure),
            }
        }
        Reason::Reset { .. } => Outcome::Wrong,
        Reason::IdleTimeout if past.is_held() => Outcome::Died(How::BlackHole),
        Reason::IdleTimeout => failed(Stage::Exchange, NO_ANSWER),
        Reason::HalfCloseTimeout => failed(Stage::Close, NOT_CLOSED),
        Reason::Cut if past.kind == LoadKind::Reset => Outcome::Fine,
        Reason::Cut => failed(Stage::Close, NOT_CLOSED),
        Reason::ConnectTimeout => failed(Stage::Connect, NO_ANSWER),
        other => failed(Stage::Exchange, other.name()),
    }
}

fn closed_by_server(past: Past) -> Outcome {
    if past.ours || !past.kind.stays() && past.satisfied {
        return Outcome::Fine;
    }
    match past.is_held() {
        true => Outcome::Died(How::Fin),
        false => Outcome::Failed(Failure::new(Stage::Exchange, CLOSED)),
    }
}

impl Past {
    fn is_held(self) -> bool {
        matches!(self.kind, LoadKind::Idle | LoadKind::Pulse)
    }

    fn stage(self) -> Stage {
        match self.ours {
            true => Stage::Close,
            false => Stage::Exchange,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::core::{CloseKind, SysError};

    fn end(reason: Reason, first: Side) -> Close {
        Close { reason, first, by: CloseKind::Fin }
    }

    fn past(kind: LoadKind, satisfied: bool, ours: bool) -> Past {
        Past { kind, satisfied, ours }
    }

    fn failed(stage: Stage, name: &str) -> Outcome {
        Outcome::Failed(Failure::new(stage, name))
    }

    #[test]
    fn who_ends_in_order_and_when_decides() {
        use LoadKind::{Churn, Echo, Idle, Storm};
        let (client, target) = (Side::Client, Side::Target);
        let closed = || failed(Stage::Exchange, CLOSED);
        let table = [
            (client, Echo, false, false, Outcome::Fine),
            (target, Echo, true, false, closed()),
            (target, Echo, true, true, Outcome::Fine),
            (target, Idle, true, false, Outcome::Died(How::Fin)),
            (target, Idle, true, true, Outcome::Fine),
            (target, Churn, true, false, Outcome::Fine),
            (target, Churn, false, false, closed()),
            (target, Storm, false, false, closed()),
        ];
        for (first, kind, satisfied, ours, expected) in table {
            let judged = judge(end(Reason::Finished, first), past(kind, satisfied, ours));
            assert_eq!(judged, expected, "{first:?} {kind:?} {satisfied} {ours}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_reset_is_a_death_or_a_failure_and_a_timeout_of_the_system_a_black_hole() {
        let reset = |code, by| {
            let fault = SysError::from(&io::Error::from_raw_os_error(code));
            end(Reason::Reset { by, fault }, by)
        };
        let idle = past(LoadKind::Idle, true, false);
        let rst = reset(libc::ECONNRESET, Side::Target);
        assert_eq!(judge(rst, idle), Outcome::Died(How::Rst));
        let gone = reset(libc::ETIMEDOUT, Side::Target);
        assert_eq!(judge(gone, idle), Outcome::Died(How::BlackHole));
        let echo = past(LoadKind::Echo, false, false);
        assert_eq!(judge(rst, echo), failed(Stage::Exchange, "ECONNRESET"));
        assert_eq!(judge(rst, Past { ours: true, ..idle }), failed(Stage::Close, "ECONNRESET"));
        assert_eq!(judge(reset(libc::EINVAL, Side::Client), echo), Outcome::Wrong);
    }

    #[test]
    fn what_takes_too_long_is_told_apart() {
        let judged = |reason, kind| judge(end(reason, Side::Proxy), past(kind, false, false));
        let (echo, idle) = (LoadKind::Echo, LoadKind::Idle);
        assert_eq!(judged(Reason::IdleTimeout, echo), failed(Stage::Exchange, NO_ANSWER));
        assert_eq!(judged(Reason::IdleTimeout, idle), Outcome::Died(How::BlackHole));
        assert_eq!(judged(Reason::HalfCloseTimeout, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(judged(Reason::Cut, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(judged(Reason::Cut, LoadKind::Reset), Outcome::Fine);
        let fault = io::ErrorKind::TimedOut.into();
        assert_eq!(judged(Reason::Refused { fault }, echo), failed(Stage::Connect, NO_ANSWER));
        assert_eq!(judged(Reason::Drained, echo), Outcome::Fine);
    }
}
