//! Tests of the listeners, on loopback sockets.

use std::io::Read;
use std::net::TcpStream;

use mio::Poll;

use super::*;
use crate::core::Observer;

#[derive(Default)]
struct Log(Vec<String>);

impl Observer for Log {
    fn on(&mut self, _: Key, event: &Event<'_>) {
        let code = |fault: &SysError| fault.code.unwrap_or(0);
        self.0.push(match event {
            Event::AcceptPaused { cause: PauseCause::System(fault), .. } => {
                format!("paused {}", code(fault))
            }
            Event::AcceptPaused { cause, .. } => format!("paused by {}", cause.name()),
            Event::AcceptFailed { fault, .. } => format!("failed {}", code(fault)),
            Event::AcceptResumed { .. } => "resumed".to_string(),
            other => format!("{other:?}"),
        });
    }
}

const KEY: Key = Key::LOOP;

/// One listener, and clients in its accept queue.
struct Bench {
    poll: Poll,
    listeners: Listeners,
    key: Key,
    clients: Vec<TcpStream>,
    log: Log,
}

impl Bench {
    fn new(clients: usize) -> Bench {
        let (poll, mut listeners) = (Poll::new().unwrap(), Listeners::default());
        let listener = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap().remove(0);
        let at = ("127.0.0.1", listener.at().port().unwrap());
        let key = listeners.open(listener, 0, poll.registry()).unwrap();
        let clients = (0..clients).map(|_| TcpStream::connect(at).unwrap()).collect();
        listeners.set_pending(key);
        Bench { poll, listeners, key, clients, log: Log::default() }
    }

    fn accept(&mut self, now: Moment) -> Option<Accepted> {
        let turn = &mut Turn::new(now, &mut self.log);
        self.listeners.accept(self.key, 9, 0, turn, |_| Ok(KEY))
    }

    fn pause(&mut self) -> bool {
        self.listeners.pause(self.key, 9, &mut Turn::new(Moment(0), &mut self.log))
    }

    fn resume(&mut self) -> bool {
        self.listeners.resume(self.key, 9, &mut Turn::new(Moment(0), &mut self.log))
    }

    fn slot(&self) -> &ListenerSlot {
        self.listeners.get(self.key).unwrap()
    }

    fn close_empty(&mut self) -> bool {
        self.listeners.close_empty(self.poll.registry())
    }
}

#[test]
fn a_client_that_the_poll_refuses_to_watch_is_reset_and_accepting_pauses() {
    for code in [libc::ENOSPC, libc::ENOMEM] {
        let mut bench = Bench::new(4);
        let (slots, log) = (&mut bench.listeners, &mut bench.log);
        let refuse = |_: &mut Socket| Err(io::Error::from_raw_os_error(code));
        let mut now = Moment(0);
        for wait in [100, 200] {
            let turn = &mut Turn::new(now, log);
            assert!(slots.accept(bench.key, 9, 0, turn, refuse).is_none());
            let wait = Duration::from_millis(wait);
            assert_eq!(slots.sleep(now, 9), Some(wait));
            now = now.after(wait);
        }
        // One attempt per pause: the other clients stay in the queue.
        for client in bench.clients.drain(..2) {
            let error = (&client).read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        }
        let accepted = bench.accept(now).unwrap();
        assert_eq!(accepted.peer, Peer::Inet(bench.clients[0].local_addr().unwrap()));
        let log = &bench.log;
        let failed = format!("failed {code}");
        let expected = [&failed, &format!("paused {code}"), &failed, "resumed"];
        assert_eq!(log.0, expected);
    }
}

#[test]
fn an_operator_pauses_a_listener_and_its_clients_wait() {
    let mut bench = Bench::new(2);
    assert!(bench.pause() && !bench.pause(), "paused twice");
    assert_eq!(bench.slot().paused(), Some(PauseCause::Operator));
    assert_eq!(bench.slot().state(), "paused by an operator");
    // Neither an event nor a closed connection starts it, and no timer does.
    bench.listeners.set_pending(bench.key);
    bench.listeners.retry_paused(Moment(0));
    assert!(!bench.listeners.has_pending() && !bench.slot().is_pending());
    assert_eq!(bench.listeners.sleep(Moment(0), 9), None);
    assert!(bench.accept(Moment(0)).is_none());
    assert_eq!(bench.slot().accept_queue().unwrap().waiting, 2);
    assert!(bench.resume() && !bench.resume(), "resumed twice");
    assert_eq!((bench.slot().paused(), bench.slot().is_pending()), (None, true));
    assert_eq!(bench.listeners.sleep(Moment(0), 9), Some(Duration::ZERO));
    assert!(bench.accept(Moment(0)).is_some() && bench.accept(Moment(0)).is_some());
    assert_eq!(bench.log.0, ["paused by operator", "resumed"]);
}

#[test]
fn an_operator_s_pause_replaces_one_at_a_limit_and_outlasts_it() {
    let mut bench = Bench::new(1);
    let turn = &mut Turn::new(Moment(0), &mut bench.log);
    assert!(bench.listeners.accept(bench.key, 0, 9, turn, |_| Ok(KEY)).is_none());
    assert_eq!(bench.slot().paused(), Some(PauseCause::Limit));
    assert!(!bench.resume(), "it is not for the operator to resume");
    assert!(bench.pause());
    assert!(bench.accept(Moment(0)).is_none(), "there is capacity, but it is paused");
    assert!(bench.resume() && bench.accept(Moment(0)).is_some());
    assert_eq!(bench.log.0, ["paused by connection-limit", "paused by operator", "resumed"]);
}

#[test]
fn a_paused_listener_that_closes_accepts_its_queue() {
    let mut bench = Bench::new(2);
    assert!(bench.pause());
    bench.listeners.close_when_empty(bench.key);
    assert!(bench.slot().is_closing() && bench.listeners.has_pending());
    assert_eq!(bench.listeners.sleep(Moment(0), 9), Some(Duration::ZERO));
    assert!(!bench.close_empty(), "its queue is not empty");
    assert!(!bench.pause(), "a closing listener cannot be paused");
    assert!(bench.accept(Moment(0)).is_some() && bench.accept(Moment(0)).is_some());
    assert!(bench.accept(Moment(0)).is_none() && bench.close_empty());
    assert!(bench.listeners.is_empty() && !bench.listeners.has_pending());
}

#[test]
fn a_closing_listener_accepts_its_queue_and_the_others_stay() {
    let mut bench = Bench::new(2);
    let other = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap().remove(0);
    let other = bench.listeners.open(other, 1, bench.poll.registry()).unwrap();
    bench.listeners.close_when_empty(bench.key);
    assert!(!bench.close_empty(), "its queue is not empty");
    assert!(bench.accept(Moment(0)).is_some() && bench.accept(Moment(0)).is_some());
    assert!(!bench.close_empty(), "that is not known yet");
    assert!(bench.accept(Moment(0)).is_none());
    assert!(bench.close_empty() && !bench.listeners.has_closing());
    assert_eq!((bench.listeners.iter().count(), bench.listeners.route(other)), (1, Some(1)));
    bench.listeners.set_pending(bench.key);
    assert!(!bench.listeners.has_pending(), "an event may still be reported");
}

#[test]
fn new_clients_cannot_keep_a_closing_listener_open() {
    let mut bench = Bench::new(3);
    bench.listeners.set_backlog(bench.key, Some(1));
    bench.listeners.close_when_empty(bench.key);
    assert!(bench.accept(Moment(0)).is_some() && bench.accept(Moment(0)).is_some());
    assert!(bench.accept(Moment(0)).is_none(), "one queue of one, and one more");
    assert!(bench.close_empty());
}

#[test]
fn an_event_of_a_closed_listener_never_reaches_the_next_one_in_its_slot() {
    let mut bench = Bench::new(0);
    bench.listeners.close(bench.key, bench.poll.registry());
    assert!(!bench.listeners.has_pending());
    let next = Listener::bind(&"127.0.0.1:0".parse().unwrap()).unwrap().remove(0);
    let next = bench.listeners.open(next, 0, bench.poll.registry()).unwrap();
    assert_eq!(next.source_slot(), bench.key.source_slot());
    bench.listeners.set_pending(bench.key);
    assert!(!bench.listeners.has_pending());
    assert!(bench.accept(Moment(0)).is_none());
    bench.listeners.set_pending(next);
    assert!(bench.listeners.has_pending());
}

#[test]
fn a_closing_listener_that_is_handed_over_stays_open_with_its_queue() {
    let mut bench = Bench::new(1);
    bench.listeners.close_when_empty(bench.key);
    bench.listeners.set_route(bench.key, 7);
    let accepted = bench.accept(Moment(0)).unwrap();
    assert_eq!(accepted.route, 7);
    assert!(bench.accept(Moment(0)).is_none() && !bench.close_empty());
    assert_eq!(bench.listeners.iter().count(), 1);
}

#[test]
fn a_relay_accepts_fewer_clients_per_turn_than_a_service_that_does_not_dial() {
    assert_eq!(Listeners::budget(&Service::Echo), ACCEPT_BUDGET);
    assert_eq!(Listeners::budget(&Service::Relay(Vec::new())), ACCEPT_BUDGET / RELAY_COST);
}
