//! What the end of a connection means for its load: as it should be, a failure, or a death.

use crate::config::LoadKind;
use crate::core::{Close, Reason, Side};

use super::failure::{CLOSED, Failure, NO_ANSWER, NOT_CLOSED, Stage};
use super::load_stats::How;

/// What became of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnResult {
    Fine,
    Failed(Failure),
    /// It was held, and is gone.
    Died(How),
    /// Its bytes were wrong; the script has told of that.
    Wrong,
}

/// What is known of a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub struct ConnHistory {
    pub kind: LoadKind,
    /// It had all the answers it wanted, or wanted none.
    pub satisfied: bool,
    /// We were about to end it.
    pub closing: bool,
}

/// Judges an ending.
pub fn classify(ending: Close, past: ConnHistory) -> ConnResult {
    let failed = |stage, name: &str| ConnResult::Failed(Failure::new(stage, name));
    match ending.reason {
        Reason::Refused { fault } | Reason::Exhausted { fault } | Reason::Abandoned { fault } => {
            ConnResult::Failed(Failure::of(Stage::Connect, fault))
        }
        Reason::Finished if ending.first == Side::Target => closed_by_server(past),
        Reason::Finished | Reason::Served | Reason::Drained => ConnResult::Fine,
        Reason::Reset { by: Side::Target, fault } => {
            let failure = Failure::of(past.stage(), fault);
            match past.is_held() && !past.closing {
                true if failure.name == "ETIMEDOUT" => ConnResult::Died(How::BlackHole),
                true => ConnResult::Died(How::Rst),
                false => ConnResult::Failed(failure),
            }
        }
        Reason::Reset { .. } => ConnResult::Wrong,
        Reason::IdleTimeout if past.is_held() => ConnResult::Died(How::BlackHole),
        Reason::IdleTimeout => failed(Stage::Exchange, NO_ANSWER),
        Reason::HalfCloseTimeout => failed(Stage::Close, NOT_CLOSED),
        Reason::Cut if past.kind == LoadKind::Reset => ConnResult::Fine,
        Reason::Cut => failed(Stage::Close, NOT_CLOSED),
        Reason::ConnectTimeout => failed(Stage::Connect, NO_ANSWER),
        other => failed(Stage::Exchange, other.name()),
    }
}

fn closed_by_server(past: ConnHistory) -> ConnResult {
    if past.closing || !past.kind.stays() && past.satisfied {
        return ConnResult::Fine;
    }
    match past.is_held() {
        true => ConnResult::Died(How::Fin),
        false => ConnResult::Failed(Failure::new(Stage::Exchange, CLOSED)),
    }
}

impl ConnHistory {
    fn is_held(self) -> bool {
        matches!(self.kind, LoadKind::Idle | LoadKind::Pulse)
    }

    fn stage(self) -> Stage {
        match self.closing {
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

    fn past(kind: LoadKind, satisfied: bool, closing: bool) -> ConnHistory {
        ConnHistory { kind, satisfied, closing }
    }

    fn failed(stage: Stage, name: &str) -> ConnResult {
        ConnResult::Failed(Failure::new(stage, name))
    }

    #[test]
    fn who_ends_in_order_and_when_decides() {
        use LoadKind::{Churn, Echo, Idle, Storm};
        let (client, target) = (Side::Client, Side::Target);
        let closed = || failed(Stage::Exchange, CLOSED);
        let table = [
            (client, Echo, false, false, ConnResult::Fine),
            (target, Echo, true, false, closed()),
            (target, Echo, true, true, ConnResult::Fine),
            (target, Idle, true, false, ConnResult::Died(How::Fin)),
            (target, Idle, true, true, ConnResult::Fine),
            (target, Churn, true, false, ConnResult::Fine),
            (target, Churn, false, false, closed()),
            (target, Storm, false, false, closed()),
        ];
        for (first, kind, satisfied, closing, expected) in table {
            let classified = classify(end(Reason::Finished, first), past(kind, satisfied, closing));
            assert_eq!(classified, expected, "{first:?} {kind:?} {satisfied} {closing}");
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
        assert_eq!(classify(rst, idle), ConnResult::Died(How::Rst));
        let gone = reset(libc::ETIMEDOUT, Side::Target);
        assert_eq!(classify(gone, idle), ConnResult::Died(How::BlackHole));
        let echo = past(LoadKind::Echo, false, false);
        assert_eq!(classify(rst, echo), failed(Stage::Exchange, "ECONNRESET"));
        assert_eq!(
            classify(rst, ConnHistory { closing: true, ..idle }),
            failed(Stage::Close, "ECONNRESET")
        );
        assert_eq!(classify(reset(libc::EINVAL, Side::Client), echo), ConnResult::Wrong);
    }

    #[test]
    fn what_takes_too_long_is_told_apart() {
        let classified =
            |reason, kind| classify(end(reason, Side::Proxy), past(kind, false, false));
        let (echo, idle) = (LoadKind::Echo, LoadKind::Idle);
        assert_eq!(classified(Reason::IdleTimeout, echo), failed(Stage::Exchange, NO_ANSWER));
        assert_eq!(classified(Reason::IdleTimeout, idle), ConnResult::Died(How::BlackHole));
        assert_eq!(classified(Reason::HalfCloseTimeout, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, LoadKind::Reset), ConnResult::Fine);
        let fault = io::ErrorKind::TimedOut.into();
        assert_eq!(classified(Reason::Refused { fault }, echo), failed(Stage::Connect, NO_ANSWER));
        assert_eq!(classified(Reason::Drained, echo), ConnResult::Fine);
    }
}
