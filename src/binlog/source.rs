//! Where a server's binary log is, by what the server says of itself; and why it cannot be archived.

use std::path::PathBuf;

use crate::server::{BINLOG_ENCRYPTED, BINLOG_ENGINE, BINLOG_INDEX, LOG_BIN, Server};

/// Where a server's binary log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its list of the files.
    pub index: PathBuf,
    /// The data directory, from which that names them.
    pub data_dir: PathBuf,
    /// What the server calls itself.
    pub server_uid: Option<String>,
}

impl Source {
    /// That of this server.
    ///
    /// # Errors
    /// Why its binary log cannot be archived, and what can be done about it.
    pub fn of(server: &Server) -> Result<Self, (String, String)> {
        let says = |name: &str, value: &str| server.says(name).is_some_and(|said| said.eq_ignore_ascii_case(value));
        let refused = |text: &str, hint: &str| Err((text.to_owned(), hint.to_owned()));
        // Before the others: with InnoDB's own there is no list of files.
        if says(BINLOG_ENGINE, "innodb") {
            return refused(
                "binlog_storage_engine is innodb in the server: such a binary log is not archived",
                "take binlog_storage_engine out of the server's option file and restart it, or remove binlog_archive",
            );
        }
        if !says(LOG_BIN, "on") {
            return refused(
                "log_bin is off in the server: there is no binary log to archive",
                "put log_bin into the server's option file and restart it, or remove binlog_archive",
            );
        }
        if let Some(name) = BINLOG_ENCRYPTED.into_iter().find(|name| says(name, "on")) {
            let hint = format!("SET GLOBAL {name} = OFF and FLUSH BINARY LOGS, or remove binlog_archive");
            return Err((format!("{name} is on in the server: what is in its files cannot be checked"), hint));
        }
        let Some(index) = server.says(BINLOG_INDEX) else {
            return refused("the server does not say where its binary log is", "look at @@log_bin_index in the server");
        };
        // By itself it is a path; what is none is below the data directory.
        let index = server.data_dir.join(index).components().collect();
        Ok(Self { index, data_dir: server.data_dir.clone(), server_uid: server.uid.clone() })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Source;
    use crate::server::Server;

    #[test]
    fn a_server_says_where_its_binary_log_is_or_why_it_cannot_be_archived() {
        let source = |lines: &[&str]| {
            let text = lines.iter().flat_map(|line| ["| ", *line, " |\n"]).collect::<String>();
            Source::of(&Server::parse(&format!("| version | 10.11.19 |\n| datadir | /srv/ |\n{text}")).unwrap())
        };
        let on = ["log_bin | ON", "log_bin_index | /srv/bin.index", "encrypt_binlog | OFF"];
        assert_eq!(source(&on).unwrap().index, Path::new("/srv/bin.index"));
        assert_eq!(
            source(&["log_bin | ON", "log_bin_index | ./bin.index"]).unwrap().index,
            Path::new("/srv/bin.index")
        );
        for (more, why) in [
            ("log_bin | OFF", "log_bin is off in the server"),
            ("encrypt_binlog | ON", "encrypt_binlog is on in the server"),
            ("binlog_encryption | ON", "binlog_encryption is on in the server"),
            ("binlog_storage_engine | innodb", "binlog_storage_engine is innodb in the server"),
        ] {
            let mut lines = on.to_vec();
            lines.push(more);
            assert!(source(&lines).unwrap_err().0.starts_with(why), "{more}");
        }
        assert!(source(&[]).unwrap_err().0.starts_with("log_bin is off"));
        assert!(source(&["log_bin | ON"]).unwrap_err().0.starts_with("the server does not say"));
    }
}
