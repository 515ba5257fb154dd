//! Hints for names that other tools use (nc, socat, haproxy, nginx, wrk, tcpkali, iperf): the
//! equivalent in oneloop, or that there is none.

use crate::config::Service;

/// Options of other tools with the same meaning.
struct Foreign {
    names: &'static [&'static str],
    on: On,
    hint: &'static str,
}

/// The commands to which a hint applies.
#[derive(Clone, Copy)]
enum On {
    Any,
    /// Commands that serve, and chat.
    Listeners,
    /// Commands that serve.
    Servers,
    Relays,
    /// Commands that log.
    Logged,
    Only(&'static str),
}

/// Returns a hint for an option that this command does not have.
pub fn option(command: &str, args: &str) -> Option<&'static str> {
    let row = OPTIONS.iter().find(|row| row.on.has(command) && row.names.contains(&args));
    row.map(|row| row.hint)
}

/// Returns the oneloop command that does what `args` does in other tools.
pub fn command(args: &str) -> Option<&'static str> {
    let row = COMMANDS.iter().find(|(names, _)| names.contains(&args));
    row.map(|(_, ours)| *ours)
}

impl On {
    fn has(self, command: &str) -> bool {
        let serves = command == "run" || Service::WORDS.contains(&command);
        match self {
            On::Any => true,
            On::Listeners => serves || command == "chat",
            On::Servers => serves,
            On::Logged => !["doctor", "stress"].contains(&command),
            On::Relays => ["relay", "run"].contains(&command),
            On::Only(only) => only == command,
        }
    }
}

const COMMANDS: &[(&[&str], &str)] = &[
    (&["listen", "serve", "server", "daemon", "start"], "run"),
    (&["proxy", "forward", "tunnel", "redirect", "balance", "lb", "bridge"], "relay"),
    (&["nc", "ncat", "netcat", "client", "telnet", "open", "dial"], "connect"),
    (&["bench", "benchmark", "load", "loadtest", "wrk", "perf", "iperf", "test"], "stress"),
    (&["check", "limits", "ulimit", "diagnose", "info", "sysctl"], "doctor"),
    (&["broker", "broadcast", "talk"], "chat"),
    (&["sink", "null", "devnull"], "discard"),
    (&["source", "generate", "zero"], "chargen"),
    (&["version"], "--version"),
];

const fn row(names: &'static [&'static str], on: On, hint: &'static str) -> Foreign {
    Foreign { names, on, hint }
}

const NO_TLS: &str = "TLS is not supported: put a TLS proxy in front";

/// The first matching row is used, so specific rows precede general ones.
#[rustfmt::skip]
const OPTIONS: &[Foreign] = &[
    // ---- addresses -----------------------------------------------------------------------------
    row(&["--port", "-p", "-P", "--listen-port", "--local-port"], On::Listeners,
        "the port is part of the address, as in :7007 or 127.0.0.1:7007"),
    row(&["--port", "-p", "-P", "--remote-port"], On::Any,
        "the port is part of the target, as in 127.0.0.1:7007"),
    row(&["--listen", "-l", "-L", "--bind", "--host", "-H", "--address", "--addr", "--ip", "-a",
          "-s", "--source", "--interface"], On::Listeners,
        "the address to listen on is an argument, as in 127.0.0.1:7007"),
    row(&["--listen", "-l", "-L", "--bind"], On::Only("connect"),
        "connect does not listen: oneloop chat and oneloop echo do"),
    row(&["--host", "-H", "--address", "--addr", "--target", "--url", "-a"], On::Any,
        "the target is an argument, as in 127.0.0.1:7007"),
    row(&["--target", "--to", "--remote", "--upstream", "--backend", "--server", "--forward",
          "--connect", "-t"], On::Relays,
        "targets are arguments: oneloop relay LISTEN TARGET…"),
    row(&["--udp", "-u"], On::Any, "UDP is part of the address: udp://127.0.0.1:7007"),
    row(&["--tcp", "-T"], On::Listeners, "TCP is the default; tcp:// may stand before the address"),
    row(&["--unix", "-U", "--socket", "--unix-socket"], On::Any,
        "a Unix socket is an address: unix:/path or /path"),
    row(&["-4", "--ipv4", "--inet"], On::Listeners, "for IPv4 only, listen on 0.0.0.0:7007"),
    row(&["-6", "--ipv6", "--inet6", "--v6only"], On::Listeners,
        "for IPv6 only, listen on [::]:7007,v6only"),
    row(&["-4", "--ipv4", "-6", "--ipv6"], On::Any,
        "the family follows from the address: 127.0.0.1:7007 or [::1]:7007"),
    row(&["--backlog", "-b", "--queue"], On::Listeners,
        "the backlog is an option of the address: :7007,backlog=N"),
    row(&["--mode", "--chmod", "--perm"], On::Listeners,
        "the mode is an option of the address: /run/x.sock,mode=0660"),
    row(&["--reuseport", "--reuse-port", "--reuse"], On::Listeners,
        "reuseport is an option of the address: :7007,reuseport"),
    row(&["--reuseaddr", "--reuse-addr"], On::Any, "always on, so there is no option"),
    // ---- numbers of connections ----------------------------------------------------------------
    row(&["--max-conn", "--maxconn", "--max-conns", "--maxconns", "--max-connections", "--conns",
          "--connections", "--max", "--limit", "-c", "-n"], On::Only("chat"),
        "use --max-clients (-m)"),
    row(&["--max-conn", "--maxconn", "--max-conns", "--maxconns", "--max-clients", "--conns",
          "--connections", "--clients", "--max-children", "--limit", "--max", "-n"], On::Servers,
        "use --max-connections (-m)"),
    row(&["--connections", "--connection", "--clients", "--concurrency", "--parallel", "--users",
          "--max-connections", "--max-conn", "--maxconn", "-c", "-n", "-P"], On::Only("stress"),
        "use --conns"),
    row(&["--connections", "--connection", "--max-connections", "--max-conn", "--maxconn", "-c",
          "-m"], On::Only("doctor"),
        "use --conns (-n)"),
    row(&["-k", "--keep-open", "--persistent", "fork"], On::Listeners,
        "not needed: connections are accepted until oneloop stops"),
    row(&["-k", "--keep-open"], On::Only("connect"),
        "connect makes one connection; oneloop chat and oneloop echo accept many"),
    // ---- time ----------------------------------------------------------------------------------
    row(&["--connect-timeout", "--timeout", "-G"], On::Only("connect"),
        "use --wait (-w); --idle-timeout (-i) ends a silent connection"),
    row(&["-T", "--timeout-client", "--timeout-server", "--timeout-tunnel", "--inactivity-timeout",
          "--proxy-timeout", "--idle"], On::Servers, "use --idle-timeout"),
    row(&["-T", "--inactivity-timeout", "--idle"], On::Only("connect"),
        "use --idle-timeout (-i)"),
    row(&["-t", "--quit-after"], On::Only("connect"), "use --linger"),
    row(&["--timeout", "-w", "--wait", "--timeouts"], On::Servers,
        "choose one: --idle-timeout, --half-close-timeout, --max-lifetime or --drain-timeout"),
    row(&["--timeout-connect", "--proxy-connect-timeout"], On::Relays,
        "use --connect-timeout"),
    row(&["--lifetime", "--ttl", "--max-age", "--timeout-session"], On::Servers,
        "use --max-lifetime"),
    row(&["--grace", "--grace-period", "--graceful-timeout", "--shutdown-timeout", "--stop-timeout",
          "--hard-stop-after", "--drain"], On::Servers,
        "use --drain-timeout"),
    row(&["--busypoll", "--busy-wait", "--poll"], On::Servers, "use --busy-poll"),
    row(&["-d", "-T", "--time", "-z", "--seconds", "-t"], On::Only("stress"),
        "use --duration, or --hold for idle connections"),
    row(&["-N", "--shutdown", "--half-close"], On::Only("connect"),
        "this is the default; --no-half-close disables it"),
    row(&["-d", "--no-stdin"], On::Only("connect"), "not needed: redirect the input, < /dev/null"),
    // ---- load ----------------------------------------------------------------------------------
    row(&["-t", "--threads", "-w", "--workers"], On::Only("stress"),
        "use --processes"),
    row(&["-R", "-r", "--message-rate", "--qps", "--rps", "-q"], On::Only("stress"),
        "use --rate"),
    row(&["--channel-lifetime", "--requests", "--count"], On::Only("stress"),
        "a run is limited by --duration and not by a number of messages"),
    row(&["-m", "--message", "--payload", "-s", "--length", "--bytes", "--message-size"],
        On::Only("stress"), "messages are generated and verified; use --size"),
    row(&["--pipeline", "--pipelining", "--outstanding"], On::Only("stress"),
        "use --depth"),
    row(&["--latency", "--latency-percentiles"], On::Only("stress"),
        "not needed: latencies are always shown"),
    row(&["-o", "--output", "--html"], On::Only("stress"),
        "use --report FILE (HTML) or --json FILE"),
    row(&["-v", "-vv", "--verbose", "--debug"], On::Only("stress"),
        "stress has no log; use --report or --json"),
    row(&["--format"], On::Only("doctor"), "use --json"),
    // ---- not supported --------------------------------------------------------------------------
    row(&["--tls", "--ssl", "-S", "--starttls", "--cert", "--crt", "--certificate", "--key",
          "--cacert", "--ca", "--ssl-cert", "--ssl-key", "--ssl-verify", "--insecure", "--sni",
          "--openssl", "--https", "--alpn"], On::Any, NO_TLS),
    row(&["--proxy-protocol", "--send-proxy", "--send-proxy-v2", "--accept-proxy"], On::Any,
        "the PROXY protocol is not supported"),
    row(&["--http", "--path", "--header"], On::Any,
        "HTTP is not supported: bytes are relayed unchanged"),
    row(&["--config", "-f", "-c", "--conf", "--config-file"], On::Servers,
        "there is no configuration file: oneloop run takes all routes as arguments"),
    row(&["--check", "--health-check", "--healthcheck", "--retry", "--retries"], On::Servers,
        "not supported: each connection tries every target once"),
    row(&["--balance", "--lb", "--algorithm", "--round-robin", "--weight"], On::Servers,
        "not supported: targets are used round robin"),
    row(&["-e", "--exec", "--sh-exec", "--lua-exec", "-E", "--system"], On::Any,
        "not supported: oneloop starts no programs"),
    row(&["--daemon", "--daemonize", "-D", "-d", "--background", "--pidfile", "--pid-file"],
        On::Servers, "not supported: oneloop stays in the foreground, for systemd or a shell"),
    row(&["--user", "--group", "--uid", "--gid", "--chroot"], On::Servers,
        "not supported: start oneloop as that user"),
    row(&["--threads", "-t", "--nbthread", "--workers", "--processes", "-j"], On::Servers,
        "not supported: one thread; several processes can share a port with ,reuseport"),
    row(&["--keepalive", "--keep-alive", "--tcp-keepalive"], On::Servers,
        "not supported: --idle-timeout ends connections whose peer has gone"),
    row(&["--nodelay", "--tcp-nodelay", "--no-delay"], On::Any, "always on, so there is no option"),
    row(&["--buffer-size", "--bufsize", "--buffer", "-b"], On::Any,
        "not supported: the buffer size is fixed"),
    row(&["--rate", "--rate-limit", "--limit-rate", "--bandwidth"], On::Servers,
        "not supported: backpressure from the receiver is the only limit"),
    row(&["--allow", "--deny", "--acl", "--whitelist", "--range"], On::Listeners,
        "not supported: use the packet filter of the system"),
    row(&["--stats", "--metrics", "--status", "--prometheus", "--admin"], On::Servers,
        "not supported: QUIT logs the state of the event loop"),
    row(&["-x", "-X", "--proxy", "--socks"], On::Only("connect"), "proxies are not supported"),
    row(&["-s", "--source", "--source-port", "--local-port"], On::Only("connect"),
        "not supported: the system chooses the source address"),
    row(&["-n", "--numeric", "--nodns"], On::Only("connect"),
        "not needed: numeric addresses are never looked up"),
    // ---- log -----------------------------------------------------------------------------------
    row(&["--debug", "--trace", "--log-level", "--loglevel", "-d"], On::Logged,
        "use -v or -vv, or RUST_LOG"),
    row(&["--log", "--logfile", "--log-file", "-o", "--output", "--syslog"], On::Logged,
        "the log goes to standard error: 2> FILE"),
    row(&["--accesslog", "--access"], On::Servers, "use --access-log"),
    row(&["--no-color", "--no-colour", "--nocolor", "--colour", "--colors"], On::Any,
        "use --color: auto, always or never"),
];

#[cfg(test)]
mod tests {
    use super::super::command::COMMANDS as OURS;
    use super::super::flag::Flag;
    use super::*;

    #[test]
    fn the_names_of_other_tools_are_known() {
        let cases = [
            ("echo", "--port", "part of the address"),
            ("echo", "-l", "is an argument"),
            ("echo", "-k", "not needed"),
            ("echo", "--tls", "TLS is not supported"),
            ("relay", "--max-conn", "--max-connections"),
            ("run", "--connections", "--max-connections"),
            ("chat", "--max-connections", "--max-clients"),
            ("stress", "--connections", "--conns"),
            ("stress", "-c", "--conns"),
            ("stress", "-d", "--duration"),
            ("doctor", "--connections", "--conns"),
            ("connect", "-l", "chat"),
            ("connect", "--connect-timeout", "--wait"),
            ("echo", "-u", "udp://"),
        ];
        for (command, args, words) in cases {
            let hint = option(command, args).unwrap_or_else(|| panic!("{command} {args}"));
            assert!(hint.contains(words), "{command} {args}: {hint}");
        }
        assert_eq!(option("echo", "--idel-timeout"), None);
        assert_eq!((command("proxy"), command("bench")), (Some("relay"), Some("stress")));
    }

    #[test]
    fn a_hint_names_only_options_that_the_command_has() {
        for command in &OURS {
            for row in OPTIONS.iter().filter(|row| row.on.has(command.name)) {
                let has = |args: &str| {
                    Flag::all().any(|flag| flag.is_on(command.name) && flag.is_called(args))
                };
                if row.names.iter().all(|name| has(name)) {
                    continue;
                }
                for word in row.hint.split([' ', ',', ';', ':', '(', ')']) {
                    let is_option = word.starts_with('-') && word.len() > 1;
                    assert!(
                        !is_option || has(word) || word == "-vv",
                        "{} of {}",
                        row.hint,
                        command.name
                    );
                }
            }
        }
    }

    #[test]
    fn a_command_of_another_tool_leads_to_one_of_oneloop() {
        for (names, ours) in COMMANDS {
            let is_ours = |name: &str| OURS.iter().any(|spec| spec.name == name);
            assert!(is_ours(ours) || *ours == "--version", "{ours}");
            assert!(!names.iter().any(|name| is_ours(name)), "{names:?}");
        }
    }
}
