//! Whether the admin tool and the backup tool are led to one server: a ping of one proves nothing of another.
//!
//! In: the credentials file and the settings. Out: nothing, or what leads the tools apart, with what to write. Both tools take host, port, socket
//! and protocol from the clients' sections of the credentials file and from the command line, which the daemon makes alike for both. What
//! leads them apart was seen with 10.11.19 and 11.8: sections that one of them reads alone; `--port` on a command line, which is a word for TCP to the
//! admin tool (from 10.6, MDEV-14974) and none to the backup tool; and protocols that do not fit the host.

use std::path::Path;

use super::Config;
use super::option_files::{Line, lines};
use super::tool_options::server_option;
use crate::model::Flavour;

/// Sections of all clients.
const CLIENTS: [&str; 3] = ["client", "client-mariadb", "client-server"];
/// Those of the admin tool alone.
const ADMIN: [&str; 2] = ["mariadb-admin", "mysqladmin"];
/// Those of the backup tool alone. What sections of the server say of its socket or port it does not take.
const BACKUP: [&str; 3] = ["mariabackup", "mariadb-backup", "xtrabackup"];

/// Where a tool looks for the server: what is said last of each.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Place {
    host: Option<String>,
    port: Option<String>,
    socket: Option<String>,
    protocol: Option<String>,
}

impl Place {
    fn set(&mut self, (name, value): (&str, String)) {
        match name {
            "host" => self.host = Some(value),
            "port" => self.port = Some(value),
            "socket" => self.socket = Some(value),
            _ => self.protocol = Some(value.to_ascii_lowercase()),
        }
    }

    /// Whether the host is one that the tools reach by a socket.
    fn is_local(&self) -> bool {
        self.host.as_deref().is_none_or(|host| host == "localhost")
    }

    fn has_protocol(&self, name: &str) -> bool {
        self.protocol.as_deref() == Some(name)
    }
}

/// What leads the tools to two servers; none, if nothing does. The text goes on after "cannot create backup, ". A credentials file that cannot
/// be read leads nowhere.
pub fn objection(credentials: &Path, config: &Config) -> Option<String> {
    apart(&lines(credentials), config)
}

fn apart(lines: &[Line], config: &Config) -> Option<String> {
    let admin = place(lines, &ADMIN, config);
    let backup = place(lines, &BACKUP, config);
    if admin != backup {
        let is_of_one = |line: &&Line| {
            let section = line.section.as_str();
            (ADMIN.contains(&section) || BACKUP.contains(&section)) && server_option(&line.text).is_some()
        };
        let line = lines.iter().rfind(is_of_one)?;
        return Some(format!("{} is read by one of the tools alone: write it under [client-dbcalm]", line.place()));
    }
    // Of MySQL's tools nothing is known here that would lead them apart.
    if config.flavour == Flavour::MySql {
        return None;
    }
    let told: Vec<_> = config.server_options().filter_map(|option| Some(server_option(option)?.0)).collect();
    let by_command_line = told.last().copied();
    if by_command_line == Some("port") && admin.is_local() && admin.protocol.is_none() {
        return Some(
            "'--port' in backup_options leads the admin tool over TCP and the backup tool to a socket: set 'host: 127.0.0.1' beside it".to_owned(),
        );
    }
    if by_command_line == Some("socket") && admin.is_local() && admin.has_protocol("tcp") {
        return Some(
            "'--socket' in backup_options leads the admin tool to the socket and the backup tool, by 'protocol' in the credentials file, over TCP: remove one of them".to_owned(),
        );
    }
    if !admin.is_local() && admin.has_protocol("socket") {
        let host = admin.host.as_deref().unwrap_or_default().escape_debug().to_string();
        return Some(format!(
            "the protocol is a socket's and the host '{host}', which the admin tool reaches over TCP and the backup tool not at all: remove one of them"
        ));
    }
    None
}

/// Where the tool looks that reads these sections beside those of all clients.
fn place(lines: &[Line], own: &[&str], config: &Config) -> Place {
    let mut place = Place::default();
    let is_read = |line: &&Line| CLIENTS.contains(&line.section.as_str()) || own.contains(&line.section.as_str());
    lines.iter().filter(is_read).filter_map(|line| server_option(&line.text)).for_each(|option| place.set(option));
    if let Some(host) = &config.host {
        place.host = Some(host.clone());
    }
    config.server_options().filter_map(server_option).for_each(|option| place.set(option));
    place
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::objection;
    use crate::config::Config;

    fn said(file: &str, settings: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credentials.cnf");
        fs::write(&path, format!("[client-dbcalm]\nuser=backup\n{file}")).unwrap();
        let flavour = if settings.starts_with("db_type") { "" } else { "db_type: mariadb\n" };
        let config = Config::parse(&format!("{flavour}backup_dir: /b\n{settings}")).unwrap();
        objection(&path, &config).map(|said| said.replace(&dir.path().display().to_string(), "~"))
    }

    /// Each of these led both tools of 10.11.19 to the same server.
    #[test]
    fn what_leads_both_tools_to_one_server_is_taken() {
        for (file, settings) in [
            ("", ""),
            ("host=127.0.0.1\nport=3317\n", ""),
            ("port=3317\n", ""),
            ("host=localhost\nport=3317\nprotocol=TCP\nsocket=/run/two.sock\n", ""),
            ("port=3317\nprotocol=tcp\nsocket=/run/two.sock\n", ""),
            ("host=127.0.0.1\nport=3317\nsocket=/run/two.sock\n", "host: localhost"),
            ("socket=/run/two.sock\n", "host: 127.0.0.1\nbackup_options: [--port=3317]"),
            ("host=127.0.0.1\nport=3318\n", "backup_options: [--port=3317]"),
            ("socket=/run/two.sock\n", "backup_options: [--protocol=tcp, --port=3317]"),
            ("host=127.0.0.1\nport=3317\n", "backup_options: [--socket=/run/two.sock]"),
            ("", "backup_options: [--port=3317, --socket=/run/two.sock]"),
            ("socket=/run/two.sock\n[mysqld]\nsocket=/run/one.sock\n[mariadb]\nport=1\n", ""),
            ("socket=/run/two.sock\n[mariabackup]\nsocket = \"/run/two.sock\" # the same\n", ""),
            ("[mariabackup]\nsocket=/run/one.sock\n[client-dbcalm]\nsocket=/run/two.sock\n", ""),
            ("[mysqldump]\nsocket=/run/one.sock\n", ""),
            ("", "db_type: mysql\nbackup_options: [--port=3317]"),
        ] {
            assert_eq!(said(file, settings), None, "{file:?} {settings:?}");
        }
    }

    #[test]
    fn what_leads_the_tools_apart_is_named() {
        for section in ["mariabackup", "mariadb-backup-dbcalm", "xtrabackup", "mariadb-admin", "mysqladmin-dbcalm"] {
            let text = format!("socket=/run/two.sock\n[{section}]\nloose_socket=/run/one.sock\n");
            let told = format!(
                "'loose_socket' in section [{section}] of '~/credentials.cnf' is read by one of the tools alone: write it under [client-dbcalm]"
            );
            assert_eq!(said(&text, ""), Some(told));
        }
        for (file, settings, told) in [
            ("[mariabackup]\nhost=127.0.0.1\n", "", "'host' in section [mariabackup]"),
            ("socket=/run/two.sock\n", "backup_options: [--port=3317]", "'--port' in backup_options"),
            ("", "host: localhost\nbackup_options: [--socket=/s, --port=3317]", "'--port' in backup_options"),
            ("protocol=tcp\n", "backup_options: [--socket=/run/two.sock]", "'--socket' in backup_options"),
            ("host=127.0.0.1\nprotocol=socket\n", "", "the protocol is a socket's and the host '127.0.0.1'"),
        ] {
            let found = said(file, settings).unwrap_or_else(|| panic!("{file:?} {settings:?}"));
            assert!(found.starts_with(told), "{found}");
        }
    }
}
