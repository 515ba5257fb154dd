//! Builds the plans of doctor and stress.

use super::Command;
use super::args::ParsedArgs;
use super::error::UsageError;
use crate::config::DoctorPlan;
use crate::config::parse::shown;

pub fn doctor(args: ParsedArgs) -> Result<Command, UsageError> {
    let target = match args.words.as_slice() {
        [] => None,
        [word] => Some(word.target()?),
        [.., last] => {
            let wrong = format!("unexpected argument: {}", shown(&last.text));
            return Err(UsageError::at(last.at, wrong).detail("doctor takes at most one target"));
        }
    };
    let values = args.values;
    let (conns, json, color) = (values.conns, values.json, values.log.color);
    Ok(Command::Doctor(DoctorPlan { conns, target, json, color }))
}

pub fn stress(args: ParsedArgs) -> Result<Command, UsageError> {
    let mut plan = args.values.stress;
    plan.color = args.values.log.color;
    for word in &args.words {
        plan.targets.push(word.target()?);
    }
    plan.check().map_err(UsageError::missing)?;
    Ok(Command::Stress(Box::new(plan)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::super::{UsageError, parse};
    use super::*;
    use crate::config::{Address, Color, Probe};

    fn parsed(line: &str) -> Result<Command, UsageError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_doctor_has_a_plan_with_or_without_a_number_and_a_target() {
        let planned = |line| match parsed(line) {
            Ok(Command::Doctor(plan)) => plan,
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(planned("doctor"), DoctorPlan::default());
        let expected = DoctorPlan {
            conns: Some(100_000),
            target: Some(Address::parse("10.0.0.1:80").unwrap()),
            json: true,
            color: Color::Never,
        };
        assert_eq!(planned("doctor --conns 100k 10.0.0.1:80 --json --color never"), expected);
        assert_eq!(planned("doctor -n 5").conns, Some(5));
        assert_eq!(planned("doctor --color always").color, Color::Always);
    }

    #[test]
    fn a_stress_run_has_targets_and_options() {
        let line =
            "stress --load idle=10k,echo :7 unix:/x --conns 2k --rate 50k/s --json - --probe echo";
        let Ok(Command::Stress(plan)) = parsed(line) else { panic!("{line}") };
        assert_eq!((plan.targets.len(), plan.loads.len(), plan.conns), (2, 2, 2000));
        assert_eq!(plan.probe, Probe::Echo);
        assert!(plan.rate.is_some() && plan.json.is_some());
    }

    #[test]
    fn a_stress_run_that_makes_no_sense_is_refused() {
        let cases = [
            ("stress", None, "missing target"),
            ("stress :7 --load ehco", Some(4), "bad value for --load: ehco"),
            ("stress :7 udp://:7", None, "stream and datagram targets cannot be combined"),
            ("stress :7 -v", Some(3), "unknown option: -v"),
        ];
        for (line, argument, wrong) in cases {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
        }
    }

    #[test]
    fn what_the_doctor_does_not_understand_is_refused() {
        let cases = [
            ("doctor a:1 b:2", Some(3), "unexpected argument: b:2"),
            ("doctor a:0", Some(2), "bad address: a:0"),
            ("doctor --conns many", Some(3), "bad value for --conns: many"),
            ("doctor --conns 0", Some(3), "bad value for --conns: 0"),
            ("doctor -v", Some(2), "unknown option: -v"),
            ("echo --json", Some(2), "unknown option: --json"),
        ];
        for (line, argument, wrong) in cases {
            let error = parsed(line).unwrap_err();
            assert_eq!((error.argument, error.wrong.as_str()), (argument, wrong), "{line}");
        }
    }
}
