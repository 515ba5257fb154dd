//! Classifies the end of a connection: as expected, a failure, or a death.

use crate::config::LoadKind;
use crate::core::{Close, Reason, Side};

use super::failure::{CLOSED, LoadFailure, NO_ANSWER, NOT_CLOSED, Stage};
use super::load_stats::DeathCause;

/// The result of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConnResult {
    Fine,
    Failed(LoadFailure),
    /// It ended while it was held.
    Died(DeathCause),
    /// It received wrong bytes, which the script has reported.
    Wrong,
}

/// The history of a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub struct ConnHistory {
    pub kind: LoadKind,
    /// It received all expected answers.
    pub satisfied: bool,
    /// This process was closing it.
    pub closing: bool,
}

/// Classifies the close of a connection.
pub fn classify(close: Close, past: ConnHistory) -> ConnResult {
    let failed = |stage, name: &str| ConnResult::Failed(LoadFailure::new(stage, name));
    match close.reason {
        Reason::Refused { fault } | Reason::Exhausted { fault } | Reason::Abandoned { fault } => {
            ConnResult::Failed(LoadFailure::of(Stage::Connect, fault))
        }
        Reason::Finished if close.first == Side::Target => closed_by_server(past),
        Reason::Finished | Reason::Served | Reason::Drained => ConnResult::Fine,
        Reason::Reset { by: Side::Target, fault } => {
            let failure = LoadFailure::of(past.stage(), fault);
            match past.is_held() && !past.closing {
                true if failure.name == "ETIMEDOUT" => ConnResult::Died(DeathCause::BlackHole),
                true => ConnResult::Died(DeathCause::Rst),
                false => ConnResult::Failed(failure),
            }
        }
        Reason::Reset { .. } => ConnResult::Wrong,
        Reason::IdleTimeout if past.is_held() => ConnResult::Died(DeathCause::BlackHole),
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
        true => ConnResult::Died(DeathCause::Fin),
        false => ConnResult::Failed(LoadFailure::new(Stage::Exchange, CLOSED)),
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
    use crate::core::CloseKind;
    #[cfg(unix)]
    use crate::core::SysError;

    fn end(reason: Reason, first: Side) -> Close {
        Close { reason, first, by: CloseKind::Fin }
    }

    fn past(kind: LoadKind, satisfied: bool, closing: bool) -> ConnHistory {
        ConnHistory { kind, satisfied, closing }
    }

    fn failed(stage: Stage, name: &str) -> ConnResult {
        ConnResult::Failed(LoadFailure::new(stage, name))
    }

    #[test]
    fn a_fin_is_classified_by_its_sender_and_its_time() {
        use LoadKind::{Churn, Echo, Idle, Storm};
        let (client, target) = (Side::Client, Side::Target);
        let closed = || failed(Stage::Exchange, CLOSED);
        let table = [
            (client, Echo, false, false, ConnResult::Fine),
            (target, Echo, true, false, closed()),
            (target, Echo, true, true, ConnResult::Fine),
            (target, Idle, true, false, ConnResult::Died(DeathCause::Fin)),
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
    fn a_reset_is_a_death_or_a_failure_and_etimedout_a_black_hole() {
        let reset = |code, by| {
            let fault = SysError::from(&io::Error::from_raw_os_error(code));
            end(Reason::Reset { by, fault }, by)
        };
        let idle = past(LoadKind::Idle, true, false);
        let rst = reset(libc::ECONNRESET, Side::Target);
        assert_eq!(classify(rst, idle), ConnResult::Died(DeathCause::Rst));
        let gone = reset(libc::ETIMEDOUT, Side::Target);
        assert_eq!(classify(gone, idle), ConnResult::Died(DeathCause::BlackHole));
        let echo = past(LoadKind::Echo, false, false);
        assert_eq!(classify(rst, echo), failed(Stage::Exchange, "ECONNRESET"));
        assert_eq!(
            classify(rst, ConnHistory { closing: true, ..idle }),
            failed(Stage::Close, "ECONNRESET")
        );
        assert_eq!(classify(reset(libc::EINVAL, Side::Client), echo), ConnResult::Wrong);
    }

    #[test]
    fn timeouts_are_classified_by_what_was_awaited() {
        let classified =
            |reason, kind| classify(end(reason, Side::Proxy), past(kind, false, false));
        let (echo, idle) = (LoadKind::Echo, LoadKind::Idle);
        assert_eq!(classified(Reason::IdleTimeout, echo), failed(Stage::Exchange, NO_ANSWER));
        assert_eq!(classified(Reason::IdleTimeout, idle), ConnResult::Died(DeathCause::BlackHole));
        assert_eq!(classified(Reason::HalfCloseTimeout, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, echo), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, LoadKind::Reset), ConnResult::Fine);
        let fault = io::ErrorKind::TimedOut.into();
        assert_eq!(classified(Reason::Refused { fault }, echo), failed(Stage::Connect, NO_ANSWER));
        assert_eq!(classified(Reason::Drained, echo), ConnResult::Fine);
    }
}
