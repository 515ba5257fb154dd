//! Names that other tools use (nc, socat, haproxy, nginx, wrk, tcpkali, iperf): what the thing is
//! called here, or that it does not exist.

use crate::plan::Service;

/// Options of other tools that mean the same.
struct Foreign {
    names: &'static [&'static str],
    on: On,
    hint: &'static str,
}

/// The commands for which a hint is right.
#[derive(Clone, Copy)]
enum On {
    Any,
    /// Commands that serve, and chat.
    Listeners,
    /// Commands that serve.
    Servers,
    Relays,
    /// Commands that write a log.
    Logged,
    Only(&'static str),
}

/// What to say about an option that this command does not have.
pub fn option(command: &str, args: &str) -> Option<&'static str> {
    let row = OPTIONS.iter().find(|row| row.on.has(command) && row.names.contains(&args));
    row.map(|row| row.hint)
}

/// The command of ours that does what a command of this name does elsewhere.
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

const NO_TLS: &str = "TLS does not exist here: put a TLS proxy in front";

/// The first row that fits counts, so a narrower one stands before a wider one.
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
    row(&["-4", "--ipv4", "--inet"], On::Listeners, "IPv4 only: listen on 0.0.0.0:7007"),
    row(&["-6", "--ipv6", "--inet6", "--v6only"], On::Listeners,
        "IPv6 only: listen on [::]:7007,v6only"),
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
        "it is called --max-clients (-m) here"),
    row(&["--max-conn", "--maxconn", "--max-conns", "--maxconns", "--max-clients", "--conns",
          "--connections", "--clients", "--max-children", "--limit", "--max", "-n"], On::Servers,
        "it is called --max-connections (-m) here"),
    row(&["--connections", "--connection", "--clients", "--concurrency", "--parallel", "--users",
          "--max-connections", "--max-conn", "--maxconn", "-c", "-n", "-P"], On::Only("stress"),
        "it is called --conns here"),
    row(&["--connections", "--connection", "--max-connections", "--max-conn", "--maxconn", "-c",
          "-m"], On::Only("doctor"),
        "it is called --conns (-n) here"),
    row(&["-k", "--keep-open", "--persistent", "fork"], On::Listeners,
        "not needed: it accepts connections until it is stopped"),
    row(&["-k", "--keep-open"], On::Only("connect"),
        "connect makes one connection; oneloop chat and oneloop echo accept many"),
    // ---- time ----------------------------------------------------------------------------------
    row(&["--connect-timeout", "--timeout", "-G"], On::Only("connect"),
        "it is called --wait (-w) here; --idle-timeout (-i) ends a silent connection"),
    row(&["-T", "--timeout-client", "--timeout-server", "--timeout-tunnel", "--inactivity-timeout",
          "--proxy-timeout", "--idle"], On::Servers, "it is called --idle-timeout here"),
    row(&["-T", "--inactivity-timeout", "--idle"], On::Only("connect"),
        "it is called --idle-timeout (-i) here"),
    row(&["-t", "--quit-after"], On::Only("connect"), "it is called --linger here"),
    row(&["--timeout", "-w", "--wait", "--timeouts"], On::Servers,
        "say which: --idle-timeout, --half-close-timeout, --max-lifetime or --drain-timeout"),
    row(&["--timeout-connect", "--proxy-connect-timeout"], On::Relays,
        "it is called --connect-timeout here"),
    row(&["--lifetime", "--ttl", "--max-age", "--timeout-session"], On::Servers,
        "it is called --max-lifetime here"),
    row(&["--grace", "--grace-period", "--graceful-timeout", "--shutdown-timeout", "--stop-timeout",
          "--hard-stop-after", "--drain"], On::Servers,
        "it is called --drain-timeout here"),
    row(&["--busypoll", "--busy-wait", "--poll"], On::Servers, "it is called --busy-poll here"),
    row(&["-d", "-T", "--time", "-z", "--seconds", "-t"], On::Only("stress"),
        "it is called --duration here, or --hold for idle connections"),
    row(&["-N", "--shutdown", "--half-close"], On::Only("connect"),
        "not needed: our side is closed when the input ends (--no-half-close: not)"),
    row(&["-d", "--no-stdin"], On::Only("connect"), "not needed: redirect the input, < /dev/null"),
    // ---- load ----------------------------------------------------------------------------------
    row(&["-t", "--threads", "-w", "--workers"], On::Only("stress"),
        "it is called --processes here"),
    row(&["-R", "-r", "--message-rate", "--qps", "--rps", "-q"], On::Only("stress"),
        "it is called --rate here"),
    row(&["--channel-lifetime", "--requests", "--count"], On::Only("stress"),
        "a run is limited by --duration and not by a number of messages"),
    row(&["-m", "--message", "--payload", "-s", "--length", "--bytes", "--message-size"],
        On::Only("stress"), "the bytes are made and verified here; --size says how many"),
    row(&["--pipeline", "--pipelining", "--outstanding"], On::Only("stress"),
        "it is called --depth here"),
    row(&["--latency", "--latency-percentiles"], On::Only("stress"),
        "not needed: latencies are always shown"),
    row(&["-o", "--output", "--html"], On::Only("stress"),
        "it is called --report FILE (HTML) or --json FILE here"),
    row(&["-v", "-vv", "--verbose", "--debug"], On::Only("stress"),
        "stress has no log; --report and --json tell more"),
    row(&["--format"], On::Only("doctor"), "it is called --json here"),
    // ---- what does not exist -------------------------------------------------------------------
    row(&["--tls", "--ssl", "-S", "--starttls", "--cert", "--crt", "--certificate", "--key",
          "--cacert", "--ca", "--ssl-cert", "--ssl-key", "--ssl-verify", "--insecure", "--sni",
          "--openssl", "--https", "--alpn"], On::Any, NO_TLS),
    row(&["--proxy-protocol", "--send-proxy", "--send-proxy-v2", "--accept-proxy"], On::Any,
        "the PROXY protocol does not exist here"),
    row(&["--http", "--path", "--header"], On::Any,
        "HTTP does not exist here: bytes pass as they are"),
    row(&["--config", "-f", "-c", "--conf", "--config-file"], On::Servers,
        "there is no configuration file: oneloop run takes all routes as arguments"),
    row(&["--check", "--health-check", "--healthcheck", "--retry", "--retries"], On::Servers,
        "does not exist: each client tries every target once, in turn"),
    row(&["--balance", "--lb", "--algorithm", "--round-robin", "--weight"], On::Servers,
        "does not exist: targets are taken in turn"),
    row(&["-e", "--exec", "--sh-exec", "--lua-exec", "-E", "--system"], On::Any,
        "does not exist: no programs are started"),
    row(&["--daemon", "--daemonize", "-D", "-d", "--background", "--pidfile", "--pid-file"],
        On::Servers, "does not exist: it stays in the foreground, for systemd or a shell"),
    row(&["--user", "--group", "--uid", "--gid", "--chroot"], On::Servers,
        "does not exist: start it as that user"),
    row(&["--threads", "-t", "--nbthread", "--workers", "--processes", "-j"], On::Servers,
        "does not exist: one thread; several processes share a port with ,reuseport"),
    row(&["--keepalive", "--keep-alive", "--tcp-keepalive"], On::Servers,
        "does not exist: --idle-timeout ends connections whose peer has gone"),
    row(&["--nodelay", "--tcp-nodelay", "--no-delay"], On::Any, "always on, so there is no option"),
    row(&["--buffer-size", "--bufsize", "--buffer", "-b"], On::Any,
        "does not exist: buffers have one size"),
    row(&["--rate", "--rate-limit", "--limit-rate", "--bandwidth"], On::Servers,
        "does not exist: reading stops while the other side does not read"),
    row(&["--allow", "--deny", "--acl", "--whitelist", "--range"], On::Listeners,
        "does not exist: use the packet filter of the system"),
    row(&["--stats", "--metrics", "--status", "--prometheus", "--admin"], On::Servers,
        "does not exist: the signal QUIT writes the state to the log"),
    row(&["-x", "-X", "--proxy", "--socks"], On::Only("connect"), "proxies do not exist here"),
    row(&["-s", "--source", "--source-port", "--local-port"], On::Only("connect"),
        "does not exist: the system chooses the source address"),
    row(&["-n", "--numeric", "--nodns"], On::Only("connect"),
        "not needed: an address that is a number is not looked up"),
    // ---- log -----------------------------------------------------------------------------------
    row(&["--debug", "--trace", "--log-level", "--loglevel", "-d"], On::Logged,
        "it is called -v or -vv here, or RUST_LOG"),
    row(&["--log", "--logfile", "--log-file", "-o", "--output", "--syslog"], On::Logged,
        "the log goes to standard error: 2> FILE"),
    row(&["--accesslog", "--access"], On::Servers, "it is called --access-log here"),
    row(&["--no-color", "--no-colour", "--nocolor", "--colour", "--colors"], On::Any,
        "it is called --color here: auto, always or never"),
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
            ("echo", "--tls", "TLS does not exist"),
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
    fn a_command_of_another_tool_is_none_of_ours_and_leads_to_one() {
        for (names, ours) in COMMANDS {
            let is_ours = |name: &str| OURS.iter().any(|spec| spec.name == name);
            assert!(is_ours(ours) || *ours == "--version", "{ours}");
            assert!(!names.iter().any(|name| is_ours(name)), "{names:?}");
        }
    }
}
