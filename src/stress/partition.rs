//! Divides the work of a run among worker processes.

use std::net::IpAddr;
use std::time::Duration;

use crate::config::unit::Rate;
use crate::config::{LoadPlan, SourceBlock, StressPlan, Worker};
use crate::net::limits::Descriptors;

/// Returns the number of processes a run needs, if each may have `files` open files.
pub fn processes(plan: &StressPlan, files: usize) -> usize {
    let groups = plan.groups();
    let conns: usize = groups.iter().map(|(_, conns)| conns).sum();
    let capacity = Descriptors::CLIENT.capacity(files).max(1);
    let wanted = plan.processes.unwrap_or(conns.div_ceil(capacity));
    // Each process has at least one connection of each load.
    let most = groups.iter().map(|(_, conns)| *conns).min().unwrap_or(1);
    wanted.clamp(1, StressPlan::PROCESSES_MAX.min(most.max(1)))
}

/// Returns the plan of one worker process.
pub fn partition(plan: &StressPlan, worker: Worker) -> StressPlan {
    let Worker { index, count } = worker;
    let part = |whole: usize| whole / count + usize::from(index < whole % count);
    let load =
        |load: &LoadPlan| LoadPlan { conns: Some(part(load.conns.unwrap_or(plan.conns))), ..*load };
    StressPlan {
        loads: plan.loads.iter().map(load).collect(),
        active_conns: part(plan.active_conns),
        connect_rate: Some(divide_rate(
            plan.connect_rate.unwrap_or(StressPlan::CONNECT_RATE),
            count,
        ))
        .filter(|_| plan.connect_rate.is_some() || plan.keeps_connections()),
        rate: plan.rate.map(|rate| divide_rate(rate, count)),
        sources: sources(plan, worker),
        processes: Some(1),
        worker: Some(worker),
        // The coordinator measures the server and reports.
        pid: None,
        json: None,
        report: None,
        ..plan.clone()
    }
}

/// Divides a rate by the number of processes.
fn divide_rate(rate: Rate, count: usize) -> Rate {
    const HOUR: Duration = Duration::from_secs(3600);
    let per_hour = rate.per_second() * HOUR.as_secs_f64() / count as f64;
    Rate { count: (per_hour.round() as u64).max(1), per: HOUR }
}

/// Divides the given source addresses. Without any, each process uses its own.
fn sources(plan: &StressPlan, worker: Worker) -> Vec<SourceBlock> {
    let all: Vec<IpAddr> = plan.sources.iter().flat_map(SourceBlock::addresses).collect();
    let own = all.iter().skip(worker.index).step_by(worker.count);
    let part: Vec<SourceBlock> = own.copied().map(SourceBlock::from).collect();
    if part.is_empty() { plan.sources.clone() } else { part }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LoadKind;
    use crate::config::options::stress_arguments;

    fn plan() -> StressPlan {
        let load = |kind: LoadKind, conns| LoadPlan { mode: kind.into(), conns };
        let loads = vec![load(LoadKind::Idle, Some(1000)), load(LoadKind::Echo, None)];
        StressPlan {
            targets: vec![crate::config::Address::parse("127.0.0.1:7").unwrap()],
            loads,
            conns: 10,
            active_conns: 7,
            rate: Some(Rate { count: 100, per: Duration::from_secs(1) }),
            ..StressPlan::default()
        }
    }

    #[test]
    fn parts_add_up_to_the_plan() {
        let whole = plan();
        let parts: Vec<StressPlan> =
            (0..3).map(|index| partition(&whole, Worker { index, count: 3 })).collect();
        for group in 0..3 {
            let sum: usize = parts.iter().map(|part| part.groups()[group].1).sum();
            assert_eq!(sum, whole.groups()[group].1);
        }
        let rate: f64 = parts.iter().filter_map(|part| part.rate).map(Rate::per_second).sum();
        assert!((rate - 100.0).abs() < 0.01, "{rate}");
        let connect = parts.iter().filter_map(|part| part.connect_rate).map(Rate::per_second);
        assert!((connect.sum::<f64>() - 10_000.0).abs() < 0.01);
        assert!(parts.iter().all(|part| part.sources.is_empty()));
    }

    #[test]
    fn a_part_can_be_written_as_arguments() {
        let part = partition(&plan(), Worker { index: 1, count: 3 });
        let arguments = stress_arguments(&part).join(" ");
        assert!(arguments.contains("--load idle=333,echo=3"), "{arguments}");
        assert!(arguments.contains("--worker 1/3") && arguments.contains("--active-conns 2"));
        assert!(arguments.contains("--rate 120000/h"), "{arguments}");
    }

    #[test]
    fn the_number_of_processes_follows_from_files_and_connections() {
        let with = |processes, conns, files| {
            let loads = vec![LoadPlan { mode: LoadKind::Idle.into(), conns: Some(conns) }];
            super::processes(&StressPlan { processes, loads, active_conns: 0, ..plan() }, files)
        };
        assert_eq!(with(None, 1000, 20_000), 1);
        assert_eq!(with(None, 100_000, 20_000), 6);
        assert_eq!(with(Some(4), 1000, 20_000), 4);
        assert_eq!(with(Some(4), 2, 20_000), 2);
        assert_eq!(with(None, 1_000_000, 1), StressPlan::PROCESSES_MAX);
    }

    #[test]
    fn given_sources_are_divided() {
        let given = crate::config::source::read_sources(crate::config::parse::Spanned::whole(
            "127.0.0.8/30,127.0.1.1",
        ));
        let plan = StressPlan { sources: given.unwrap(), ..plan() };
        let part = |index, count| {
            let sources = sources(&plan, Worker { index, count });
            sources.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(part(0, 2), "127.0.0.9 127.0.1.1");
        assert_eq!(part(1, 2), "127.0.0.10");
        assert_eq!(part(7, 8), "127.0.0.8/30 127.0.1.1");
    }
}
