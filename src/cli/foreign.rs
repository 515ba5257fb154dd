//! Hints for names that other tools use (nc, socat, haproxy, nginx, wrk, tcpkali, iperf): the
//! equivalent in oneloop, or that there is none.

use crate::config::options::Scope;

/// Options of other tools with the same meaning.
struct Foreign {
    names: &'static [&'static str],
    scope: Scope,
    hint: &'static str,
}

const ANY: Scope = Scope::All;
/// Commands that serve, and chat.
const LISTENERS: Scope = Scope::Only(&[
    "echo", "discard", "chargen", "daytime", "time", "whoami", "greet", "relay", "hub", "run",
    "chat",
]);
const SERVERS: Scope = Scope::Servers;
const LOGGED: Scope = Scope::Logged;
const RELAYS: Scope = Scope::Only(&["relay", "run"]);
const CONNECT: Scope = Scope::Only(&["connect"]);
const HUB: Scope = Scope::Only(&["hub"]);
const CHAT: Scope = Scope::Only(&["chat"]);
const DOCTOR: Scope = Scope::Only(&["doctor"]);
const STRESS: Scope = Scope::Only(&["stress"]);

/// Returns a hint for an option that this command does not have.
pub fn option(command: &str, args: &str) -> Option<&'static str> {
    let row =
        OPTIONS.iter().find(|row| row.scope.has_command(command) && row.names.contains(&args));
    row.map(|row| row.hint)
}

/// Returns the oneloop command that does what `args` does in other tools.
pub fn command(args: &str) -> Option<&'static str> {
    let row = COMMANDS.iter().find(|(names, _)| names.contains(&args));
    row.map(|(_, ours)| *ours)
}

const COMMANDS: &[(&[&str], &str)] = &[
    (&["listen", "server", "daemon", "start"], "run"),
    (&["proxy", "forward", "tunnel", "redirect", "balance", "lb", "bridge"], "relay"),
    (&["nc", "ncat", "netcat", "client", "telnet", "open", "dial"], "connect"),
    (&["bench", "benchmark", "load", "loadtest", "wrk", "perf", "iperf", "test"], "stress"),
    (&["limits", "ulimit", "diagnose", "info", "sysctl"], "doctor"),
    (&["broker", "broadcast", "fanout", "pubsub", "room"], "hub"),
    (&["talk"], "chat"),
    (&["htop", "monitor", "watch", "stats"], "top"),
    (&["sink", "null", "devnull"], "discard"),
    (&["source", "generate", "zero"], "chargen"),
    (&["version"], "--version"),
];

const fn row(names: &'static [&'static str], scope: Scope, hint: &'static str) -> Foreign {
    Foreign { names, scope, hint }
}

const NO_TLS: &str = "TLS is not supported: put a TLS proxy in front";

/// The first matching row is used, so specific rows precede general ones.
#[rustfmt::skip]
const OPTIONS: &[Foreign] = &[
    // ---- addresses -----------------------------------------------------------------------------
    row(&["--port", "-p", "-P", "--listen-port", "--local-port"], LISTENERS,
        "the port is part of the address, as in :7007 or 127.0.0.1:7007"),
    row(&["--port", "-p", "-P", "--remote-port"], ANY,
        "the port is part of the target, as in 127.0.0.1:7007"),
    row(&["--listen", "-l", "-L", "--bind", "--host", "-H", "--address", "--addr", "--ip", "-a",
          "-s", "--source", "--interface"], LISTENERS,
        "the address to listen on is an argument, as in 127.0.0.1:7007"),
    row(&["--listen", "-l", "-L", "--bind"], CONNECT,
        "connect does not listen: oneloop chat and oneloop echo do"),
    row(&["--host", "-H", "--address", "--addr", "--target", "--url", "-a"], ANY,
        "the target is an argument, as in 127.0.0.1:7007"),
    row(&["--target", "--to", "--remote", "--upstream", "--backend", "--server", "--forward",
          "--connect", "-t"], RELAYS,
        "targets are arguments: oneloop relay LISTEN TARGET…"),
    row(&["--udp", "-u"], ANY, "UDP is part of the address: udp://127.0.0.1:7007"),
    row(&["--tcp", "-T"], LISTENERS, "TCP is the default; tcp:// may stand before the address"),
    row(&["--unix", "-U", "--socket", "--unix-socket"], ANY,
        "a Unix socket is an address: unix:/path or /path"),
    row(&["-4", "--ipv4", "--inet"], LISTENERS, "for IPv4 only, listen on 0.0.0.0:7007"),
    row(&["-6", "--ipv6", "--inet6", "--v6only"], LISTENERS,
        "for IPv6 only, listen on [::]:7007,v6only"),
    row(&["-4", "--ipv4", "-6", "--ipv6"], ANY,
        "the family follows from the address: 127.0.0.1:7007 or [::1]:7007"),
    row(&["--backlog", "-b", "--queue"], LISTENERS,
        "the backlog is an option of the address: :7007,backlog=N"),
    row(&["--mode", "--chmod", "--perm"], LISTENERS,
        "the mode is an option of the address: /run/x.sock,mode=0660"),
    row(&["--reuseport", "--reuse-port", "--reuse"], LISTENERS,
        "reuseport is an option of the address: :7007,reuseport"),
    row(&["--reuseaddr", "--reuse-addr"], ANY, "always on, so there is no option"),
    // ---- numbers of connections ----------------------------------------------------------------
    row(&["--max-conn", "--maxconn", "--max-conns", "--maxconns", "--max-connections", "--conns",
          "--connections", "--max", "--limit", "-c", "-n"], CHAT,
        "use --max-clients (-m)"),
    row(&["--max-conn", "--maxconn", "--max-conns", "--maxconns", "--max-clients", "--conns",
          "--connections", "--clients", "--max-children", "--limit", "--max", "-n"], SERVERS,
        "use --max-connections (-m)"),
    row(&["--connections", "--connection", "--clients", "--concurrency", "--parallel", "--users",
          "--max-connections", "--max-conn", "--maxconn", "-c", "-n", "-P"], STRESS,
        "use --conns"),
    row(&["--connections", "--connection", "--max-connections", "--max-conn", "--maxconn", "-c",
          "-m"], DOCTOR,
        "use --conns (-n)"),
    row(&["-k", "--keep-open", "--persistent", "fork"], LISTENERS,
        "not needed: connections are accepted until oneloop stops"),
    row(&["-k", "--keep-open"], CONNECT,
        "connect makes one connection; oneloop chat and oneloop echo accept many"),
    // ---- time ----------------------------------------------------------------------------------
    row(&["--connect-timeout", "--timeout", "-G"], CONNECT,
        "use --wait (-w); --idle-timeout (-i) ends a silent connection"),
    row(&["-T", "--timeout-client", "--timeout-server", "--timeout-tunnel", "--inactivity-timeout",
          "--proxy-timeout", "--idle"], SERVERS, "use --idle-timeout"),
    row(&["-T", "--inactivity-timeout", "--idle"], CONNECT,
        "use --idle-timeout (-i)"),
    row(&["-t", "--quit-after"], CONNECT, "use --linger"),
    row(&["--timeout", "-w", "--wait", "--timeouts"], SERVERS,
        "choose one: --idle-timeout, --half-close-timeout, --max-lifetime or --drain-timeout"),
    row(&["--timeout-connect", "--proxy-connect-timeout"], RELAYS,
        "use --connect-timeout"),
    row(&["--lifetime", "--ttl", "--max-age", "--timeout-session"], SERVERS,
        "use --max-lifetime"),
    row(&["--grace", "--grace-period", "--graceful-timeout", "--shutdown-timeout", "--stop-timeout",
          "--hard-stop-after", "--drain"], SERVERS,
        "use --drain-timeout"),
    row(&["--busypoll", "--busy-wait", "--poll"], SERVERS, "use --busy-poll"),
    row(&["-d", "-T", "--time", "-z", "--seconds", "-t"], STRESS,
        "use --duration, or --hold for idle connections"),
    row(&["-N", "--shutdown", "--half-close"], CONNECT,
        "this is the default; --no-half-close disables it"),
    row(&["-d", "--no-stdin"], CONNECT, "not needed: redirect the input, < /dev/null"),
    // ---- hub -----------------------------------------------------------------------------------
    row(&["--broker", "--chat"], LISTENERS, "use the hub command"),
    row(&["--delimiter", "--framing", "--separator"], HUB, "use --frame: line, len32 or raw"),
    row(&["--max-line", "--max-length", "--message-size", "--size"], HUB, "use --max-message"),
    row(&["--buffer-size", "--bufsize", "--buffer", "--ring"], HUB, "use --hub-buffer"),
    row(&["--slow", "--overflow", "--drop"], HUB, "use --on-lag: skip or close"),
    // ---- load ----------------------------------------------------------------------------------
    row(&["-t", "--threads", "-w", "--workers"], STRESS,
        "use --processes"),
    row(&["-R", "-r", "--message-rate", "--qps", "--rps", "-q"], STRESS,
        "use --rate"),
    row(&["--channel-lifetime", "--requests", "--count"], STRESS,
        "a run is limited by --duration and not by a number of messages"),
    row(&["-m", "--message", "--payload", "-s", "--length", "--bytes", "--message-size"],
        STRESS, "messages are generated and verified; use --size"),
    row(&["--pipeline", "--pipelining", "--outstanding"], STRESS,
        "use --depth"),
    row(&["--latency", "--latency-percentiles"], STRESS,
        "not needed: latencies are always shown"),
    row(&["-o", "--output", "--html"], STRESS,
        "use --report FILE (HTML) or --json FILE"),
    row(&["-v", "-vv", "--verbose", "--debug"], STRESS,
        "stress has no log; use --report or --json"),
    row(&["--format"], DOCTOR, "use --json"),
    // ---- not supported --------------------------------------------------------------------------
    row(&["--tls", "--ssl", "-S", "--starttls", "--cert", "--crt", "--certificate", "--key",
          "--cacert", "--ca", "--ssl-cert", "--ssl-key", "--ssl-verify", "--insecure", "--sni",
          "--openssl", "--https", "--alpn"], ANY, NO_TLS),
    row(&["--proxy-protocol", "--send-proxy", "--send-proxy-v2", "--accept-proxy"], ANY,
        "the PROXY protocol is not supported"),
    row(&["--http", "--path", "--header"], ANY,
        "HTTP is not supported: bytes are relayed unchanged"),
    row(&["--config", "-f", "-c", "--conf", "--config-file"], SERVERS,
        "there is no configuration file: oneloop run takes all routes as arguments"),
    row(&["--check", "--health-check", "--healthcheck", "--retry", "--retries"], SERVERS,
        "not supported: each connection tries every target once"),
    row(&["--balance", "--lb", "--algorithm", "--round-robin", "--weight"], SERVERS,
        "not supported: targets are used round robin"),
    row(&["-e", "--exec", "--sh-exec", "--lua-exec", "-E", "--system"], ANY,
        "not supported: oneloop starts no programs"),
    row(&["--daemon", "--daemonize", "-D", "-d", "--background", "--pidfile", "--pid-file"],
        SERVERS, "not supported: oneloop stays in the foreground, for systemd or a shell"),
    row(&["--user", "--group", "--uid", "--gid", "--chroot"], SERVERS,
        "not supported: start oneloop as that user"),
    row(&["--threads", "-t", "--nbthread", "--workers", "--processes", "-j"], SERVERS,
        "not supported: one thread; several processes can share a port with ,reuseport"),
    row(&["--keepalive", "--keep-alive", "--tcp-keepalive"], SERVERS,
        "not supported: --idle-timeout ends connections whose peer has gone"),
    row(&["--nodelay", "--tcp-nodelay", "--no-delay"], ANY, "always on, so there is no option"),
    row(&["--buffer-size", "--bufsize", "--buffer", "-b"], ANY,
        "not supported: the buffer size is fixed"),
    row(&["--rate", "--rate-limit", "--limit-rate", "--bandwidth"], SERVERS,
        "not supported: backpressure from the receiver is the only limit"),
    row(&["--allow", "--deny", "--acl", "--whitelist", "--range"], LISTENERS,
        "not supported: use the packet filter of the system"),
    row(&["--stats", "--metrics", "--status", "--prometheus", "--admin"], SERVERS,
        "not supported: QUIT logs the state of the event loop"),
    row(&["-x", "-X", "--proxy", "--socks"], CONNECT, "proxies are not supported"),
    row(&["-s", "--source", "--source-port", "--local-port"], CONNECT,
        "not supported: the system chooses the source address"),
    row(&["-n", "--numeric", "--nodns"], CONNECT,
        "not needed: numeric addresses are never looked up"),
    // ---- log -----------------------------------------------------------------------------------
    row(&["--debug", "--trace", "--log-level", "--loglevel", "-d"], LOGGED,
        "use -v or -vv, or RUST_LOG"),
    row(&["--log", "--logfile", "--log-file", "-o", "--output", "--syslog"], LOGGED,
        "the log goes to standard error: 2> FILE"),
    row(&["--accesslog", "--access"], SERVERS, "use --access-log"),
    row(&["--no-color", "--no-colour", "--nocolor", "--colour", "--colors"], ANY,
        "use --color: auto, always or never"),
];

#[cfg(test)]
mod tests {
    use super::super::args::is_called;
    use super::super::command::COMMANDS as OURS;
    use super::*;
    use crate::config::options;

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
            ("hub", "--buffer", "--hub-buffer"),
            ("echo", "--broker", "hub command"),
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
            for row in OPTIONS.iter().filter(|row| row.scope.has_command(command.name)) {
                let has = |args: &str| {
                    options::all().any(|o| o.scope.has_command(command.name) && is_called(o, args))
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
