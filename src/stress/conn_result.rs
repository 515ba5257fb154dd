//! Classifies the end of a connection: as expected, a failure, or a death.

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
    /// It was idle most of the time.
    pub held: bool,
    /// It was short, and received its answer.
    pub exchanged: bool,
    /// This process was closing it.
    pub closing: bool,
    /// This process resets it after its exchange.
    pub aborted: bool,
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
            match past.held && !past.closing {
                true if failure.name == "ETIMEDOUT" => ConnResult::Died(DeathCause::BlackHole),
                true => ConnResult::Died(DeathCause::Rst),
                false => ConnResult::Failed(failure),
            }
        }
        Reason::Reset { .. } => ConnResult::Wrong,
        Reason::IdleTimeout if past.held => ConnResult::Died(DeathCause::BlackHole),
        Reason::IdleTimeout => failed(Stage::Exchange, NO_ANSWER),
        Reason::HalfCloseTimeout => failed(Stage::Close, NOT_CLOSED),
        Reason::Cut if past.aborted && past.exchanged => ConnResult::Fine,
        Reason::Cut => failed(Stage::Close, NOT_CLOSED),
        Reason::ConnectTimeout => failed(Stage::Connect, NO_ANSWER),
        other => failed(Stage::Exchange, other.name()),
    }
}

fn closed_by_server(past: ConnHistory) -> ConnResult {
    if past.closing || past.exchanged {
        return ConnResult::Fine;
    }
    match past.held {
        true => ConnResult::Died(DeathCause::Fin),
        false => ConnResult::Failed(LoadFailure::new(Stage::Exchange, CLOSED)),
    }
}

impl ConnHistory {
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

    const STEADY: ConnHistory =
        ConnHistory { held: false, exchanged: false, closing: false, aborted: false };
    const HELD: ConnHistory = ConnHistory { held: true, ..STEADY };
    const EXCHANGED: ConnHistory = ConnHistory { exchanged: true, ..STEADY };
    const ABORTED: ConnHistory = ConnHistory { aborted: true, ..EXCHANGED };

    fn failed(stage: Stage, name: &str) -> ConnResult {
        ConnResult::Failed(LoadFailure::new(stage, name))
    }

    #[test]
    fn a_fin_is_classified_by_its_sender_and_its_time() {
        let (client, target) = (Side::Client, Side::Target);
        let closing = |past| ConnHistory { closing: true, ..past };
        let table = [
            (client, STEADY, ConnResult::Fine),
            (target, STEADY, failed(Stage::Exchange, CLOSED)),
            (target, closing(STEADY), ConnResult::Fine),
            (target, HELD, ConnResult::Died(DeathCause::Fin)),
            (target, closing(HELD), ConnResult::Fine),
            (target, EXCHANGED, ConnResult::Fine),
        ];
        for (first, past, expected) in table {
            let classified = classify(end(Reason::Finished, first), past);
            assert_eq!(classified, expected, "{first:?} {past:?}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_reset_is_a_death_or_a_failure_and_etimedout_a_black_hole() {
        let reset = |code, by| {
            let fault = SysError::from(&io::Error::from_raw_os_error(code));
            end(Reason::Reset { by, fault }, by)
        };
        let rst = reset(libc::ECONNRESET, Side::Target);
        assert_eq!(classify(rst, HELD), ConnResult::Died(DeathCause::Rst));
        let gone = reset(libc::ETIMEDOUT, Side::Target);
        assert_eq!(classify(gone, HELD), ConnResult::Died(DeathCause::BlackHole));
        assert_eq!(classify(rst, STEADY), failed(Stage::Exchange, "ECONNRESET"));
        assert_eq!(
            classify(rst, ConnHistory { closing: true, ..HELD }),
            failed(Stage::Close, "ECONNRESET")
        );
        assert_eq!(classify(reset(libc::EINVAL, Side::Client), STEADY), ConnResult::Wrong);
    }

    #[test]
    fn timeouts_are_classified_by_what_was_awaited() {
        let classified = |reason, past| classify(end(reason, Side::Proxy), past);
        assert_eq!(classified(Reason::IdleTimeout, STEADY), failed(Stage::Exchange, NO_ANSWER));
        assert_eq!(classified(Reason::IdleTimeout, HELD), ConnResult::Died(DeathCause::BlackHole));
        assert_eq!(classified(Reason::HalfCloseTimeout, STEADY), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, STEADY), failed(Stage::Close, NOT_CLOSED));
        assert_eq!(classified(Reason::Cut, ABORTED), ConnResult::Fine);
        let unanswered = ConnHistory { exchanged: false, ..ABORTED };
        assert_eq!(classified(Reason::Cut, unanswered), failed(Stage::Close, NOT_CLOSED));
        let fault = io::ErrorKind::TimedOut.into();
        assert_eq!(
            classified(Reason::Refused { fault }, STEADY),
            failed(Stage::Connect, NO_ANSWER)
        );
        assert_eq!(classified(Reason::Drained, STEADY), ConnResult::Fine);
    }
}
