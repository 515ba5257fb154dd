//! Checks a plan as a whole, after each option has been checked alone.

use std::path::Path;

use super::{Direction, LoadKind, LoadMode, Probe, StressPlan};
use crate::config::{Address, Host, SourceBlock};
use crate::text::escape::escaped;

/// Maximum payload of UDP over IPv4, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_507;

impl StressPlan {
    /// Returns the first conflict, in one line.
    pub fn check(&self) -> Result<(), String> {
        self.check_targets()?;
        self.check_loads()?;
        self.check_sources()?;
        let to_out = |path: &Option<_>| path.as_deref() == Some(Path::new("-"));
        if to_out(&self.json) && to_out(&self.report) {
            return Err("--json - and --report - cannot both go to standard output".to_string());
        }
        Ok(())
    }

    fn check_targets(&self) -> Result<(), String> {
        let datagrams = self.targets.iter().filter(|target| target.is_datagram()).count();
        let only_echo = self.loads.iter().all(|load| load.mode.kind == LoadKind::Echo);
        let wrong = if self.targets.is_empty() && self.sink.is_none() {
            "missing target"
        } else if datagrams != 0 && datagrams != self.targets.len() {
            "stream and datagram targets cannot be combined"
        } else if datagrams != 0 && !(only_echo && self.find_idle_timeout.is_none()) {
            "datagram targets support only --load echo"
        } else if datagrams != 0 && self.size > DATAGRAM_BYTES_MAX {
            return Err(format!("--size is at most {DATAGRAM_BYTES_MAX} for datagrams"));
        } else if self.sink.as_ref().is_some_and(|sink| sink.address.is_datagram()) {
            "--sink needs a stream address"
        } else if self.gso && !self.targets.iter().all(|it| matches!(it, Address::Udp(..))) {
            "--gso applies only to UDP targets"
        } else {
            return Ok(());
        };
        Err(wrong.to_string())
    }

    /// Rejects options without effect: the user would believe that they had one.
    fn check_loads(&self) -> Result<(), String> {
        let untouched = StressPlan::default();
        let any = |fits: fn(&LoadMode) -> bool| self.groups().iter().any(|(mode, _)| fits(mode));
        let has = |kind| self.groups().iter().any(|(mode, _)| mode.kind == kind);
        let bursts = any(|mode| mode.burst);
        let steady_echo = any(|mode| mode.kind == LoadKind::Echo && !mode.burst);
        let sends_probe = match self.probe {
            Probe::Auto => self.find_idle_timeout.is_some(),
            Probe::Echo => true,
            Probe::None => false,
        };
        let sink_only = self.targets.is_empty();
        let wrong = if self.size == 0
            && (has(LoadKind::Echo) || has(LoadKind::Stream) || sends_probe)
        {
            "--size 0 applies only to idle and churn"
        } else if self.find_idle_timeout.is_some()
            && (self.loads != untouched.loads || self.active_conns > 0)
        {
            "--find-idle-timeout opens its own connections and cannot be combined with --load"
        } else if self.probe != untouched.probe && !has(LoadKind::Idle) {
            "--probe needs --load idle or --find-idle-timeout"
        } else if self.rate.is_some() && !steady_echo {
            "--rate needs --load echo without --burst, or --active-conns"
        } else if self.depth != untouched.depth && !steady_echo {
            "--depth needs --load echo without --burst, or --active-conns"
        } else if self.burst && !bursts {
            "--burst needs --load echo or churn: idle connections send nothing, and a stream sends \
             without a pause"
        } else if self.abort && !any(|mode| mode.abort) {
            "--abort needs --load churn: only churn closes a connection after its exchange"
        } else if self.burst_interval.is_some() && !bursts {
            "--burst-interval needs --burst"
        } else if self.direction != Direction::Echo && !has(LoadKind::Stream) && !sink_only {
            "--direction needs --load stream"
        } else if self.no_verify
            && !(has(LoadKind::Stream)
                && matches!(self.direction, Direction::Up | Direction::Discard))
        {
            "--no-verify needs --load stream with --direction up or discard"
        } else {
            return Ok(());
        };
        Err(wrong.to_string())
    }

    /// Rejects a target whose address family no source has.
    fn check_sources(&self) -> Result<(), String> {
        let fits = |v4: bool| {
            let mut all = self.sources.iter().flat_map(SourceBlock::addresses);
            self.sources.is_empty() || all.any(|source| source.is_ipv4() == v4)
        };
        for target in &self.targets {
            let is_v4 = match target {
                Address::Tcp(Host::Ip(ip), _) | Address::Udp(Host::Ip(ip), _) => ip.is_ipv4(),
                // The IPv4 address is used.
                Address::Tcp(Host::Any, _) | Address::Udp(Host::Any, _) => true,
                _ => continue,
            };
            if !fits(is_v4) {
                let family = if is_v4 { "IPv4" } else { "IPv6" };
                let target = escaped(target);
                return Err(format!("no --source address for {target} ({family})"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::read;

    #[test]
    fn options_that_do_not_fit_together_are_named() {
        let cases = [
            ("", "missing target"),
            ("127.0.0.1:7 udp://127.0.0.1:7", "cannot be combined"),
            ("udp://127.0.0.1:7 --load idle", "only --load echo"),
            ("udp://127.0.0.1:7 --size 65508", "at most 65507"),
            ("127.0.0.1:7 --sink udp://127.0.0.1:8", "--sink needs a stream"),
            ("127.0.0.1:7 --gso", "--gso"),
            ("127.0.0.1:7 --size 0", "--size 0"),
            ("127.0.0.1:7 --load idle --size 0 --probe echo", "--size 0"),
            ("127.0.0.1:7 --find-idle-timeout 5s --size 0", "--size 0"),
            ("127.0.0.1:7 --find-idle-timeout 5s --load idle", "--find-idle-timeout"),
            ("127.0.0.1:7 --find-idle-timeout 5s --active-conns 1", "--find-idle-timeout"),
            ("127.0.0.1:7 --probe echo", "--load idle"),
            ("127.0.0.1:7 --probe none", "--find-idle-timeout"),
            ("127.0.0.1:7 --load churn --rate 5", "--rate"),
            ("127.0.0.1:7 --load echo+burst --rate 5", "--rate"),
            ("127.0.0.1:7 --load churn --depth 4", "--depth"),
            ("127.0.0.1:7 --load idle,stream --burst", "idle connections send nothing"),
            ("127.0.0.1:7 --load idle,echo --abort", "only churn closes"),
            ("127.0.0.1:7 --load churn --burst-interval 2s", "needs --burst"),
            ("127.0.0.1:7 --direction up", "--load stream"),
            ("127.0.0.1:7 --no-verify --direction up", "--load stream"),
            ("127.0.0.1:7 --load stream --no-verify", "--direction up"),
            ("127.0.0.1:7 --load stream --direction both --no-verify --sink :0", "--direction up"),
            ("127.0.0.1:7 --source ::1", "IPv4"),
            ("[::1]:7 --source 127.0.0.2", "IPv6"),
            ("127.0.0.1:7 --json - --report -", "standard output"),
        ];
        for (line, words) in cases {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            let wrong = read(&arguments).check().expect_err(line);
            assert!(wrong.contains(words), "{line}: {wrong}");
        }
    }

    #[test]
    fn what_fits_together_is_let_through() {
        let lines = [
            "127.0.0.1:7 --load idle=5,churn --size 0",
            "127.0.0.1:7 --load idle --active-conns 3 --rate 5 --probe echo",
            "127.0.0.1:7 --find-idle-timeout 5s",
            "127.0.0.1:7 --find-idle-timeout 5s --probe none --size 0",
            "127.0.0.1:7 --load stream,echo --burst --direction both --burst-interval 2s --sink :0",
            "127.0.0.1:7 --load echo+burst --active-conns 2 --rate 5 --depth 4",
            "127.0.0.1:7 --load idle,echo,churn --abort --size 9",
            "127.0.0.1:7 --load stream,echo --direction up --no-verify",
            "127.0.0.1:7 --load stream --direction discard --no-verify",
            "--sink :0 --direction up",
            "[::1]:7 unix:/x --source 127.0.0.2,::1",
            "udp://127.0.0.1:7 --gso --json -",
        ];
        for line in lines {
            let arguments: Vec<&str> = line.split_whitespace().collect();
            assert_eq!(read(&arguments).check(), Ok(()), "{line}");
        }
    }
}
