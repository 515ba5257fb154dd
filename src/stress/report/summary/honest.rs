//! Tests what a summary must not claim: rates of an aborted run, success despite losses, memory of
//! connections that were never accepted.

use super::*;
use crate::stress::backlog::Backlog;
use crate::stress::failure::{LoadFailure, NO_ANSWER, Stage};
use crate::stress::report::example::example;

#[test]
fn an_aborted_run_has_no_rate_and_shows_how_short_it_was() {
    let mut outcome = example();
    let stats = &mut outcome.loads[1].stats;
    (stats.window, stats.answered, stats.bytes_in) = (Duration::from_millis(7), 152, 19_500);
    outcome.ramp = Duration::from_millis(2);
    if let Some(server) = &mut outcome.server {
        server.end = server.begin;
    }
    let text = summary(&outcome, Paint(false), 120);
    for words in [
        "measured 7.00 ms of 10.0 s",
        "152 messages, 19.5 kB in both directions; too short for a rate",
        "1,016 of 1,016 in 2.00 ms\n",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    for words in ["/s", " 0 ns", "per message", "of a core"] {
        assert!(!text.contains(words), "{words} in {text}");
    }
}

#[test]
fn lost_datagrams_are_in_the_verdict_without_a_tick() {
    let mut outcome = example();
    outcome.loads.remove(0);
    let stats = &mut outcome.loads[0].stats;
    (stats.failures, stats.unanswered) = Default::default();
    (stats.lost, stats.answered) = (300, 700);
    let verdict = |outcome: &Outcome| summary(outcome, Paint(false), 120);
    let text = verdict(&outcome);
    assert!(text.contains("  ! no errors, but 300 datagrams lost (30 %)  2.40 s"), "{text}");
    assert!(!text.contains('✔') && !text.contains("failed") && outcome.is_ok());
    outcome.plan.warmup = Duration::from_secs(1);
    outcome.interrupted = true;
    let words = "! no errors until interrupted, but 300 datagrams lost  after 2.40 s";
    assert!(verdict(&outcome).contains(words), "{}", verdict(&outcome));
    outcome.loads[0].stats.fail(LoadFailure::new(Stage::Exchange, NO_ANSWER));
    assert!(verdict(&outcome).contains("echo       300 datagrams lost\n"));
}

#[test]
fn of_an_incomplete_answer_the_received_bytes_are_shown() {
    let mut outcome = example();
    outcome.loads[1].stats.partial.add(63, Duration::from_secs(5));
    let text = summary(&outcome, Paint(false), 120);
    let words = "1 answer incomplete: 63 of 64 bytes arrived, then nothing for 5.00 s\n";
    assert!(text.contains(words), "{text}");
    outcome.loads[1].stats.partial.add(7, Duration::from_secs(4));
    let text = summary(&outcome, Paint(false), 120);
    let words =
        "2 answers incomplete: 7 to 63 of 64 bytes arrived, then nothing for 4.00 s to 5.00 s";
    assert!(text.contains(words), "{text}");
}

#[test]
fn memory_per_connection_is_not_shown_while_connections_are_not_accepted() {
    let mut outcome = example();
    outcome.loads[0].stats.deaths = Default::default();
    outcome.loads.truncate(1);
    let summary_of = |outcome: &mut Outcome, queue, queue_at_close| {
        let server = outcome.server.as_mut().unwrap();
        server.backlog = Backlog { conns: 1000, queue, gained: Some(100) };
        server.queue_at_close = queue_at_close;
        summary(outcome, Paint(false), 120)
    };
    let text = summary_of(&mut outcome, Some(900), Some(900));
    let accepted =
        "900 of 1,000 connections are waiting in the accept queue; 100 descriptors opened\n";
    for words in [
        accepted,
        "✘ failed: 900 connections never accepted  ",
        "server     900 connections never accepted",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("memory per connection") && !text.contains('✔'), "{text}");
    // Slow, but in the end all were accepted.
    let text = summary_of(&mut outcome, Some(900), Some(0));
    assert!(text.contains("✔ no errors") && !text.contains("memory per conn"), "{text}");
    let text = summary_of(&mut outcome, Some(0), Some(0));
    assert!(text.contains("memory per connection") && !text.contains("accept queue"), "{text}");
}
