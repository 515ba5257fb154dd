//! The options for operators: the listeners for them and for scrapers, and the recording.

use super::file::{ADMIN_TABLE, LOG_TABLE};
use super::{Field, FileKey, OptionSpec, PLAIN, Scope, Section, Takes};
use crate::config::admin::{read_admin, read_hosts, read_metrics, read_token_file};
use crate::config::parse::put;
use crate::config::record::read_record;

const ADMIN: OptionSpec = OptionSpec { section: Section::Admin, scope: Scope::Servers, ..PLAIN };

pub(super) const OPTIONS: [OptionSpec; 6] = [
    OptionSpec {
        name: "metrics",
        in_file: Some(FileKey { name: "metrics", ..ADMIN_TABLE }),
        takes: Takes::Value("LISTEN"),
        default: "off",
        help: "serve /metrics, /livez and /readyz over HTTP; may be a public address",
        field: Field::Daemon(
            |plan, value| read_metrics(&mut plan.admin.metrics, value),
            |plan| plan.admin.metrics.as_ref().map(ToString::to_string),
        ),
        ..ADMIN
    },
    OptionSpec {
        name: "admin",
        in_file: Some(FileKey { name: "listen", ..ADMIN_TABLE }),
        takes: Takes::Value("LISTEN"),
        default: "off",
        help: "serve them and the admin endpoint: a loopback address or a Unix socket (mode 0600 \
               unless given); others need a token",
        field: Field::Daemon(
            |plan, value| read_admin(&mut plan.admin.admin, value),
            |plan| plan.admin.admin.as_ref().map(ToString::to_string),
        ),
        ..ADMIN
    },
    OptionSpec {
        name: "admin-token-file",
        in_file: Some(FileKey { name: "token-file", ..ADMIN_TABLE }),
        takes: Takes::Value("FILE"),
        default: "none",
        help: "file with the token for changes (drain, pause, close); on a Unix socket the same \
               user and root need none",
        field: Field::Daemon(
            |plan, value| read_token_file(&mut plan.admin.token_file, value),
            |plan| plan.admin.token_file.as_ref().map(|file| file.display().to_string()),
        ),
        ..ADMIN
    },
    OptionSpec {
        name: "admin-host",
        in_file: Some(FileKey { name: "hosts", is_list: true, ..ADMIN_TABLE }),
        takes: Takes::Value("NAME"),
        default: "loopback names",
        help: "also answer requests for this host name or IP address; repeatable",
        field: Field::Daemon(
            |plan, value| read_hosts(&mut plan.admin.hosts, value),
            |plan| Some(plan.admin.hosts.join(",")).filter(|hosts| !hosts.is_empty()),
        ),
        ..ADMIN
    },
    OptionSpec {
        name: "record",
        in_file: Some(FileKey { name: "record", ..LOG_TABLE }),
        takes: Takes::Value("SIZE|FILE,limit=SIZE"),
        default: "off",
        help: "record every event: the newest in memory (16M), or in files FILE.000001 and so on \
               (FILE,limit=256M)",
        section: Section::Log,
        field: Field::Daemon(
            |plan, value| put(&mut plan.record, read_record(value).map(Some)),
            |plan| plan.record.as_ref().map(ToString::to_string),
        ),
        ..ADMIN
    },
    OptionSpec {
        name: "record-bytes",
        in_file: Some(FileKey { name: "record-bytes", ..LOG_TABLE }),
        help: "record what connections carry, too: it may be secret",
        section: Section::Log,
        field: Field::Daemon(
            |plan, value| put(&mut plan.record_bytes, Ok(value.text != "false")),
            |plan| plan.record_bytes.then(String::new),
        ),
        ..ADMIN
    },
];
