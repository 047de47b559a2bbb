//! A throw-away server over what was restored: its programs, a directory of its own, and what it is started with: options of its own, and those
//! of the server that was backed up that its files depend on.
//!
//! The latter are in `backup-my.cnf`, which mariadb-backup writes into each backup: the pages' size, and the plugins of encryption and
//! compression with their options (seen with 10.11.19). They are handed on in an option file, since a key may be among them. Who may write to
//! a backup says nothing else by them: no other option, no file outside, and no library that this machine's server would not load itself.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::exec::Finished;
use crate::model::Flavour;

/// How long a server's socket's path may be, in bytes: unix(7), without the zero at its end.
const SOCKET: usize = 107;

/// The option file's name, in the server's own directory.
pub(crate) const FILE: &str = "my.cnf";

/// Options of the server that what was restored depends on, as the backup tool wrote them down.
const DEPENDED_ON: [&str; 3] = ["innodb_page_size", "innodb_data_file_path", "innodb_undo_tablespaces"];

/// Engines and compressions whose tables a server without the plugin cannot read, though all of them is in the backup. Each reads
/// files in the data directory alone: CONNECT, FEDERATED, S3, SPHINX and SPIDER, which read other places, are not among them.
const HELPFUL: [&str; 7] = [
    "ha_archive",
    "ha_blackhole",
    "provider_bzip2",
    "provider_lz4",
    "provider_lzma",
    "provider_lzo",
    "provider_snappy",
];

/// What is in the names of the plugins that the tool writes down, of encryption and of compression (`MariaDB`'s own; 10.11.19).
const KEYS_AND_PROVIDERS: [&str; 2] = ["key_management", "provider_"];

/// `MyRocks`, and its directory in a backup (seen with 10.11.19): it would make that where there is none.
const ROCKSDB: (&str, &str) = ("ha_rocksdb", "#rocksdb");

/// Where the packages of Debian, Fedora and RHEL put a server's plugins.
const PLUGINS: [&str; 4] =
    ["/usr/lib/mysql/plugin", "/usr/lib64/mysql/plugin", "/usr/lib64/mariadb/plugin", "/usr/lib/mariadb/plugin"];

/// The text of the option file, for what was restored to `data`.
pub(crate) fn file(data: &Path, flavour: Flavour) -> String {
    let written = std::fs::read_to_string(data.join("backup-my.cnf")).unwrap_or_default();
    let is_installed = |name: &str| PLUGINS.iter().any(|dir| Path::new(dir).join(format!("{name}.so")).exists());
    let rocksdb = data.join(ROCKSDB.1).is_dir().then_some(ROCKSDB.0);
    let helpful: Vec<_> = HELPFUL.into_iter().chain(rocksdb).filter(|name| is_installed(name)).collect();
    text(&written, flavour, &helpful)
}

fn text(written: &str, flavour: Flavour, helpful: &[&str]) -> String {
    let options = || written.lines().filter_map(|line| line.split_once('=').map(|(name, value)| (name.trim(), value)));
    let mut lines = vec!["[mysqld]".to_owned()];
    lines.extend(
        options()
            .filter(|(name, value)| DEPENDED_ON.contains(name) && !value.contains('/'))
            .map(|(name, value)| format!("loose-{name}={}", value.trim())),
    );
    if flavour == Flavour::MariaDb {
        let named: Vec<_> =
            options().filter(|(name, _)| *name == "plugin_load").flat_map(|(_, list)| plugins(list)).collect();
        lines.extend(named.iter().map(|(name, library)| format!("plugin-load-add={name}={library}")));
        let is_named = |plugin: &&&str| named.iter().any(|(_, library)| library.trim_end_matches(".so") == **plugin);
        lines.extend(
            helpful.iter().filter(|plugin| !is_named(plugin)).map(|plugin| format!("plugin-load-add={plugin}")),
        );
        // As they stand there: what has quotes or blanks means the same to this server.
        let of_plugins = options().filter(|(option, _)| {
            named.iter().any(|(plugin, _)| option.strip_prefix(plugin).is_some_and(|rest| rest.starts_with('_')))
        });
        lines.extend(of_plugins.map(|(name, value)| format!("loose-{name}={value}")));
    }
    lines.join("\n") + "\n"
}

/// The plugins of keys and compressions in a list such as `file_key_management=file_key_management;provider_lz4=provider_lz4`: name and
/// library.
fn plugins(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let list = list.trim().trim_matches(['"', '\'']);
    let all = list.split(';').map(|one| one.split_once('=').unwrap_or((one, one)));
    all.filter(|(name, library)| KEYS_AND_PROVIDERS.iter().any(|kind| name.contains(kind)) && !library.contains('/'))
}

/// Who owns what was restored, and so whom the server runs as.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Owner {
    uid: u32,
    gid: u32,
}

impl Owner {
    /// That of this directory.
    pub(crate) fn of(data: &Path) -> io::Result<Self> {
        let owner = fs::metadata(data)?;
        Ok(Self { uid: owner.uid(), gid: owner.gid() })
    }

    /// Gives it a file, which root has made.
    pub(crate) fn give(self, path: &Path) -> io::Result<()> {
        if rustix::process::getuid().is_root() { chown(path, Some(self.uid), Some(self.gid)) } else { Ok(()) }
    }
}

/// A directory for this owner alone, which goes when it is done with.
pub(crate) struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_dir_all(&self.0);
    }
}

impl Scratch {
    /// Makes it.
    pub(crate) fn make(path: PathBuf, owner: Owner) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        let scratch = Self(path);
        owner.give(&scratch.0)?;
        Ok(scratch)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The server's socket in it.
    pub(crate) fn socket(&self) -> PathBuf {
        self.0.join("sock")
    }
}

/// A directory of this name in this one; in `/tmp` where the socket's path would be too long.
pub(crate) fn directory(parent: &Path, name: &str) -> PathBuf {
    let path = parent.join(name);
    if path.join("sock").as_os_str().len() > SOCKET { Path::new("/tmp").join(name) } else { path }
}

/// Where the server's program may be, and the client's.
pub(crate) fn programs(flavour: Flavour) -> (&'static [&'static str], &'static [&'static str]) {
    match flavour {
        Flavour::MariaDb => (
            &["/usr/sbin/mariadbd", "/usr/libexec/mariadbd", "/usr/sbin/mysqld"],
            &["/usr/bin/mariadb", "/usr/bin/mysql"],
        ),
        Flavour::MySql => (&["/usr/sbin/mysqld", "/usr/libexec/mysqld"], &["/usr/bin/mysql"]),
    }
}

/// The arguments of the server, whose own directory is `scratch`: no network, no binary log and no replication of its own accord.
pub(crate) fn arguments(data: &Path, scratch: &Path, owner: Owner, flavour: Flavour) -> Vec<String> {
    let mut args = vec![format!("--defaults-file={}", scratch.join(FILE).display())];
    args.push(format!("--datadir={}", data.display()));
    for (name, file) in [("socket", "sock"), ("pid-file", "pid"), ("tmpdir", "")] {
        args.push(format!("--{name}={}", scratch.join(file).display()));
    }
    args.extend(["--skip-networking", "--skip-slave-start", "--skip-log-bin"].map(str::to_owned));
    if flavour == Flavour::MySql {
        args.push("--loose-mysqlx=OFF".to_owned());
    }
    // As root it would refuse; what was restored is its owner's.
    if rustix::process::getuid().is_root() {
        let uid = owner.uid;
        args.push(if uid == 0 { "--user=root".to_owned() } else { format!("--user={uid}") });
    }
    args
}

/// The server's own words on why it ended: what it calls errors, but for the last of them, which says no more than that it ends.
pub(crate) fn last_words(ended: &Finished) -> String {
    const ERRORS: usize = 3;
    let said = ended.stderr();
    let errors = said.lines().filter_map(|line| line.split_once("[ERROR] ")).map(|(_, error)| error.trim());
    let errors: Vec<_> = errors.filter(|error| *error != "Aborting").take(ERRORS).collect();
    if !errors.is_empty() {
        return errors.join("; ");
    }
    said.lines().next_back().map_or_else(|| ended.outcome().to_string(), |line| line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use insta::assert_snapshot;

    use super::{directory, text};
    use crate::model::Flavour;

    /// As mariadb-backup 10.11.19 writes it.
    const WRITTEN: &str = "# This options file was generated by innobackupex.\n\n# The server\n[mysqld]\ninnodb_checksum_algorithm=crc32\n\
        innodb_data_file_path=ibdata1:12M:autoextend\ninnodb_log_file_size=67108864\ninnodb_page_size=16384\ninnodb_undo_directory=./\n\
        innodb_undo_tablespaces=0\ninnodb_compression_level=6\n\nplugin_dir=\"/elsewhere/\"\n\
        plugin_load=file_key_management=file_key_management;provider_lz4=provider_lz4\n\
        file_key_management_encryption_algorithm=aes_ctr\nfile_key_management_filekey=\nfile_key_management_filename=/keys\n\
        innodb_encrypt_log=0\n";

    #[test]
    fn the_plugins_and_keys_that_a_backup_names_are_handed_on() {
        assert_snapshot!(text(WRITTEN, Flavour::MariaDb, &["ha_archive", "provider_lz4"]), @r"
        [mysqld]
        loose-innodb_data_file_path=ibdata1:12M:autoextend
        loose-innodb_page_size=16384
        loose-innodb_undo_tablespaces=0
        plugin-load-add=file_key_management=file_key_management
        plugin-load-add=provider_lz4=provider_lz4
        plugin-load-add=ha_archive
        loose-file_key_management_encryption_algorithm=aes_ctr
        loose-file_key_management_filekey=
        loose-file_key_management_filename=/keys
        ");
        let evil = "innodb_data_file_path=/etc/ibdata1:12M\nplugin_load=init=init;file_key_management=/tmp/evil\ninit_file=/evil.sql\n";
        assert_eq!(text(evil, Flavour::MariaDb, &[]), "[mysqld]\n");
        assert_eq!(text("", Flavour::MariaDb, &[]), "[mysqld]\n");
        assert!(
            !text(WRITTEN, Flavour::MySql, &["ha_archive"]).contains("plugin"),
            "MariaDB's plugins are not MySQL's"
        );
    }

    #[test]
    fn a_long_path_leaves_room_for_the_socket() {
        let name = "dbcalm-verify-7e0b1b5c-6c1b-4c3e-9a53-0a3f0f4b6a11";
        assert_eq!(directory(Path::new("/var/tmp"), name), Path::new("/var/tmp").join(name));
        assert_eq!(directory(Path::new(&format!("/{}", "x".repeat(60))), name), Path::new("/tmp").join(name));
    }
}
