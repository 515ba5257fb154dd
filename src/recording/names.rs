//! The names under which a recording stores what events choose from, and the values of these names.
//! Names instead of numbers: a name that a reader does not know makes one record unknown, and none
//! wrong.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;

use crate::core::event::{DropReason, PauseCause};
use crate::core::{
    CloseKind, Deadline, Peer, ReadHint, Reason, ServiceKind, Side, Signal, SysError,
};

const SERVICES: [ServiceKind; 13] = [
    ServiceKind::Echo,
    ServiceKind::Discard,
    ServiceKind::Chargen,
    ServiceKind::Daytime,
    ServiceKind::Time,
    ServiceKind::Whoami,
    ServiceKind::Greet,
    ServiceKind::Relay,
    ServiceKind::Hub,
    ServiceKind::Chat,
    ServiceKind::Connect,
    ServiceKind::Admin,
    ServiceKind::Metrics,
];

const SIGNALS: [Signal; 4] = [Signal::Terminate, Signal::Interrupt, Signal::HangUp, Signal::Quit];

const SIDES: [(Side, &str); 3] =
    [(Side::Client, "client"), (Side::Target, "target"), (Side::Proxy, "proxy")];

const CLOSE_KINDS: [(CloseKind, &str); 2] = [(CloseKind::Fin, "fin"), (CloseKind::Rst, "rst")];

/// By their number in the schema.
const HINTS: [ReadHint; 6] = [
    ReadHint::Full,
    ReadHint::Short,
    ReadHint::EndWaits,
    ReadHint::Urgent,
    ReadHint::NoPromise,
    ReadHint::Spliced,
];

/// By their number in the schema.
const DEADLINES: [Deadline; 6] = [
    Deadline::Connect,
    Deadline::Idle,
    Deadline::HalfClose,
    Deadline::Lifetime,
    Deadline::Linger,
    Deadline::Quiet,
];

/// The kinds of errors of the standard library that a program can name. An error of another kind
/// has a code of the system, which implies its kind.
const ERROR_KINDS: [ErrorKind; 39] = [
    ErrorKind::NotFound,
    ErrorKind::PermissionDenied,
    ErrorKind::ConnectionRefused,
    ErrorKind::ConnectionReset,
    ErrorKind::HostUnreachable,
    ErrorKind::NetworkUnreachable,
    ErrorKind::ConnectionAborted,
    ErrorKind::NotConnected,
    ErrorKind::AddrInUse,
    ErrorKind::AddrNotAvailable,
    ErrorKind::NetworkDown,
    ErrorKind::BrokenPipe,
    ErrorKind::AlreadyExists,
    ErrorKind::WouldBlock,
    ErrorKind::NotADirectory,
    ErrorKind::IsADirectory,
    ErrorKind::DirectoryNotEmpty,
    ErrorKind::ReadOnlyFilesystem,
    ErrorKind::StaleNetworkFileHandle,
    ErrorKind::InvalidInput,
    ErrorKind::InvalidData,
    ErrorKind::TimedOut,
    ErrorKind::WriteZero,
    ErrorKind::StorageFull,
    ErrorKind::NotSeekable,
    ErrorKind::QuotaExceeded,
    ErrorKind::FileTooLarge,
    ErrorKind::ResourceBusy,
    ErrorKind::ExecutableFileBusy,
    ErrorKind::Deadlock,
    ErrorKind::CrossesDevices,
    ErrorKind::TooManyLinks,
    ErrorKind::InvalidFilename,
    ErrorKind::ArgumentListTooLong,
    ErrorKind::Interrupted,
    ErrorKind::Unsupported,
    ErrorKind::UnexpectedEof,
    ErrorKind::OutOfMemory,
    ErrorKind::Other,
];

pub fn service(name: &str) -> Option<ServiceKind> {
    SERVICES.into_iter().find(|service| service.name() == name)
}

pub fn signal(name: &str) -> Option<Signal> {
    SIGNALS.into_iter().find(|signal| signal.name() == name)
}

pub fn side_name(side: Side) -> &'static str {
    match side {
        Side::Client => "client",
        Side::Target => "target",
        Side::Proxy => "proxy",
    }
}

pub fn side(name: &str) -> Option<Side> {
    SIDES.into_iter().find(|(_, known)| *known == name).map(|(side, _)| side)
}

pub fn close_kind_name(kind: CloseKind) -> &'static str {
    match kind {
        CloseKind::Fin => "fin",
        CloseKind::Rst => "rst",
    }
}

pub fn close_kind(name: &str) -> Option<CloseKind> {
    CLOSE_KINDS.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind)
}

pub fn hint_number(hint: ReadHint) -> u8 {
    match hint {
        ReadHint::Full => 0,
        ReadHint::Short => 1,
        ReadHint::EndWaits => 2,
        ReadHint::Urgent => 3,
        ReadHint::NoPromise => 4,
        ReadHint::Spliced => 5,
    }
}

pub fn hint(number: u8) -> Option<ReadHint> {
    HINTS.get(usize::from(number)).copied()
}

pub fn deadline_number(deadline: Deadline) -> u8 {
    match deadline {
        Deadline::Connect => 0,
        Deadline::Idle => 1,
        Deadline::HalfClose => 2,
        Deadline::Lifetime => 3,
        Deadline::Linger => 4,
        Deadline::Quiet => 5,
    }
}

pub fn deadline(number: u8) -> Option<Deadline> {
    DEADLINES.get(usize::from(number)).copied()
}

/// Returns the name of an error's kind.
pub fn fault_name(fault: SysError) -> String {
    format!("{:?}", fault.kind)
}

/// Returns the error of this name and code. Codes differ between systems: a code that has another
/// kind here is dropped.
pub fn fault(name: &str, code: Option<i32>) -> SysError {
    let here = code.map(|code| io::Error::from_raw_os_error(code).kind());
    if let Some(kind) = here.filter(|kind| format!("{kind:?}") == name) {
        return SysError { kind, code };
    }
    let known = ERROR_KINDS.into_iter().find(|kind| format!("{kind:?}") == name);
    known.unwrap_or(ErrorKind::Other).into()
}

/// Returns the error that a cause contains.
pub fn fault_of_cause(cause: PauseCause) -> Option<SysError> {
    match cause {
        PauseCause::System(fault) => Some(fault),
        PauseCause::Limit | PauseCause::Operator => None,
    }
}

pub fn cause(name: &str, fault: Option<SysError>) -> Option<PauseCause> {
    let causes = [PauseCause::Limit, PauseCause::Operator];
    match fault {
        Some(fault) => Some(PauseCause::System(fault)).filter(|cause| cause.name() == name),
        None => causes.into_iter().find(|cause| cause.name() == name),
    }
}

/// Returns the error that a reason for dropping a datagram contains.
pub fn fault_of_drop(why: DropReason) -> Option<SysError> {
    match why {
        DropReason::Refused(fault) | DropReason::Failed(fault) => Some(fault),
        DropReason::Blocked
        | DropReason::Own
        | DropReason::Privileged
        | DropReason::Loop
        | DropReason::NoWay
        | DropReason::Short
        | DropReason::Long => None,
    }
}

pub fn drop_reason(name: &str, fault: Option<SysError>) -> Option<DropReason> {
    let plain = [
        DropReason::Blocked,
        DropReason::Own,
        DropReason::Privileged,
        DropReason::Loop,
        DropReason::NoWay,
        DropReason::Short,
        DropReason::Long,
    ];
    match fault {
        Some(fault) => [DropReason::Refused(fault), DropReason::Failed(fault)]
            .into_iter()
            .find(|why| why.name() == name),
        None => plain.into_iter().find(|why| why.name() == name),
    }
}

/// Returns the side and the error that a reason contains.
pub fn parts_of_reason(reason: Reason) -> (Option<Side>, Option<SysError>) {
    match reason {
        Reason::Reset { by, fault } => (Some(by), Some(fault)),
        Reason::Abandoned { fault }
        | Reason::Refused { fault }
        | Reason::Unreachable { fault }
        | Reason::Exhausted { fault } => (None, Some(fault)),
        Reason::Finished
        | Reason::Served
        | Reason::ConnectTimeout
        | Reason::IdleTimeout
        | Reason::HalfCloseTimeout
        | Reason::Lifetime
        | Reason::Drained
        | Reason::Cut
        | Reason::Evicted
        | Reason::Lagged
        | Reason::TooLong
        | Reason::Admin
        | Reason::Reloaded => (None, None),
    }
}

pub fn reason(name: &str, by: Option<Side>, fault: Option<SysError>) -> Option<Reason> {
    let plain = [
        Reason::Finished,
        Reason::Served,
        Reason::ConnectTimeout,
        Reason::IdleTimeout,
        Reason::HalfCloseTimeout,
        Reason::Lifetime,
        Reason::Drained,
        Reason::Cut,
        Reason::Evicted,
        Reason::Lagged,
        Reason::TooLong,
        Reason::Admin,
        Reason::Reloaded,
    ];
    let with_fault = |fault| {
        [
            Reason::Abandoned { fault },
            Reason::Refused { fault },
            Reason::Unreachable { fault },
            Reason::Exhausted { fault },
        ]
    };
    match (by, fault) {
        (Some(by), Some(fault)) => Some(Reason::Reset { by, fault }).filter(|r| r.name() == name),
        (None, Some(fault)) => with_fault(fault).into_iter().find(|r| r.name() == name),
        (_, None) => plain.into_iter().find(|r| r.name() == name),
    }
}

/// Returns the text of a peer: `inet:127.0.0.1:7`, `unix:/run/x`, `unix` without a name, `stdio`.
pub fn peer_text(peer: &Peer) -> String {
    match peer {
        Peer::Inet(address) => format!("inet:{address}"),
        Peer::Unix(Some(name)) => format!("unix:{name}"),
        Peer::Unix(None) => "unix".to_owned(),
        Peer::Stdio => "stdio".to_owned(),
    }
}

pub fn peer(text: &str) -> Option<Peer> {
    match text.split_once(':') {
        Some(("inet", address)) => Some(Peer::Inet(address.parse::<SocketAddr>().ok()?)),
        Some(("unix", name)) => Some(Peer::Unix(Some(name.to_owned()))),
        None if text == "unix" => Some(Peer::Unix(None)),
        None if text == "stdio" => Some(Peer::Stdio),
        Some(_) | None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_and_signal_has_its_name() {
        // The matches fail to compile when a variant is added that the lists lack.
        for (at, kind) in SERVICES.into_iter().enumerate() {
            let expected = match kind {
                ServiceKind::Echo => 0,
                ServiceKind::Discard => 1,
                ServiceKind::Chargen => 2,
                ServiceKind::Daytime => 3,
                ServiceKind::Time => 4,
                ServiceKind::Whoami => 5,
                ServiceKind::Greet => 6,
                ServiceKind::Relay => 7,
                ServiceKind::Hub => 8,
                ServiceKind::Chat => 9,
                ServiceKind::Connect => 10,
                ServiceKind::Admin => 11,
                ServiceKind::Metrics => 12,
            };
            assert_eq!((expected, service(kind.name())), (at, Some(kind)));
        }
        for (at, kind) in SIGNALS.into_iter().enumerate() {
            let expected = match kind {
                Signal::Terminate => 0,
                Signal::Interrupt => 1,
                Signal::HangUp => 2,
                Signal::Quit => 3,
            };
            assert_eq!((expected, signal(kind.name())), (at, Some(kind)));
        }
        assert_eq!((service("x"), signal("x")), (None, None));
    }

    #[test]
    fn numbers_and_names_of_choices_agree() {
        for (number, known) in (0..).zip(HINTS) {
            assert_eq!((hint_number(known), hint(number)), (number, Some(known)));
        }
        for (number, known) in (0..).zip(DEADLINES) {
            assert_eq!((deadline_number(known), deadline(number)), (number, Some(known)));
        }
        assert_eq!((hint(6), deadline(6)), (None, None));
        let names: Vec<&str> = DEADLINES.iter().map(|deadline| deadline.name()).collect();
        let listed = format!("choice({})", names.join("|"));
        let row = super::super::schema::text();
        assert!(row.contains(&listed), "{listed} in {row}");
        assert!(SIDES.iter().all(|(known, name)| side_name(*known) == *name));
        assert!(CLOSE_KINDS.iter().all(|(known, name)| close_kind_name(*known) == *name));
    }

    #[test]
    fn an_error_of_any_code_keeps_its_kind_and_text() {
        for code in 0..200 {
            let known = SysError::from(&io::Error::from_raw_os_error(code));
            assert_eq!(fault(&fault_name(known), known.code), known, "{code}");
        }
        for kind in ERROR_KINDS {
            let known = SysError { kind, code: None };
            assert_eq!(fault(&fault_name(known), None), known);
        }
        let foreign = fault("ConnectionRefused", Some(1));
        assert_eq!(foreign, ErrorKind::ConnectionRefused.into(), "a code of another system");
    }
}
