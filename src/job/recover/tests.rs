//! What a daemon that died may have left, row by row, over an executor of functions and real SQLite.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::remains::{is_restore_name, option};
use super::{REASON, recover};
use crate::config::Config;
use crate::disk::places::Awaited;
use crate::exec::scripted::{Act, End, NOBODY, ScriptedExecutor};
use crate::records::Records;
use crate::server::{Names, Outside};

/// The name of a restore's directory.
const MOMENT: &str = "2026-11-22-09-03-37";

/// The directories and records of a daemon that died.
struct Past {
    dir: tempfile::TempDir,
    config: Config,
    store: Records,
}

impl Past {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("backups")).unwrap();
        let text = format!(
            "db_type: mariadb\nbackup_dir: {0}/backups\ndata_dir: {0}/data\nadmin_bin: /bin/admin\ndatabase_path: {0}/db\n",
            root.display()
        );
        fs::write(root.join("config.yml"), text).unwrap();
        let config = Config::load(&root.join("config.yml")).unwrap();
        let store = Records::open(&config.database_path, None).unwrap();
        Self { dir, config, store }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join(relative)
    }

    fn database(&self) -> Connection {
        Connection::open(self.path("db")).unwrap()
    }

    /// A row that says `running`, of a command that nobody carries out any more.
    fn row(&self, kind: &str, command: &str, args: &str) {
        let query = "INSERT INTO process (command, command_id, pid, status, start_time, type, args)
                     VALUES (?1, 'c', 0, 'running', '2026-11-22 09:03:37.000000', ?2, ?3)";
        self.database().execute(query, params![command, kind, args]).unwrap();
    }

    /// A copy-back that was under way, from `work` in a restore's directory, which is there.
    fn copy_back(&self) -> PathBuf {
        let tmp_dir = self.path("backups/tmp").join(MOMENT);
        fs::create_dir_all(&tmp_dir).unwrap();
        let args = format!(r#"{{"id_list": ["full-1"], "target": "database", "tmp_dir": "{}"}}"#, tmp_dir.display());
        let command = format!(
            "/bin/tool --copy-back --target-dir {0}/full-1 --datadir={1}/data",
            tmp_dir.display(),
            self.dir.path().display()
        );
        self.row("restore", &command, &args);
        tmp_dir
    }

    /// Recovers, over a server that answers a ping with each of these exit statuses; gives what the rows then say.
    async fn recover(&self, pings: &[i32]) -> String {
        let ping = |&status: &i32| -> Act { Box::new(move |_| Ok(End::Exits(status, NOBODY))) };
        let executor = ScriptedExecutor::new(pings.iter().map(ping));
        recover(&self.store, &self.config, &executor).await.unwrap();
        let rows = "SELECT group_concat(status || ' ' || return_code || ' ' || error, char(10)) FROM process";
        let rows: String = self.database().query_row(rows, [], |row| row.get(0)).unwrap();
        rows.replace(&self.dir.path().display().to_string(), "~")
    }
}

#[tokio::test]
async fn what_a_row_does_not_tell_is_not_taken_away() {
    let elsewhere = tempfile::tempdir().unwrap();
    let args = |key: &str, dir: &Path| format!(r#"{{"{key}": "{}"}}"#, dir.display());
    let cases = [
        ("backup", "{}".to_owned(), "its id is not known, so nothing was removed"),
        ("backup", r#"{"id": "../data"}"#.to_owned(), "its id is not known, so nothing was removed"),
        ("backup", r#"{"id": "mine"}"#.to_owned(), "'~/backups/mine' was left as it is"),
        ("restore", "not JSON".to_owned(), "its directory is not known, so nothing was removed"),
        ("restore", args("tmp_dir", &elsewhere.path().join(MOMENT)), "' was left as it is"),
    ];
    for (kind, args, said) in cases {
        let past = Past::new();
        fs::create_dir_all(past.path("backups/mine")).unwrap();
        fs::create_dir_all(elsewhere.path().join(MOMENT)).unwrap();
        past.row(kind, "/bin/tool --backup --target-dir=/somewhere/mine", &args);
        let rows = past.recover(&[]).await;
        assert!(rows.starts_with("failed -1 the daemon was gone before this command ended; "), "{args}: {rows}");
        assert!(rows.ends_with(said), "{args}: {rows}");
        assert!(past.path("backups/mine").exists() && elsewhere.path().join(MOMENT).exists(), "{args}");
    }
}

#[tokio::test]
async fn a_stream_in_the_go_daemons_place_is_left_and_named() {
    let past = Past::new();
    let (folder, stream) = (past.path("backups/mine"), past.path("backups/backup-mine.xbstream.gz"));
    fs::create_dir(&folder).unwrap();
    fs::write(&stream, "half").unwrap();
    let command = format!("/bin/tool --backup --target-dir={} --stream=xbstream | gzip > x", folder.display());
    past.row("backup", &command, r#"{"id": "mine"}"#);
    let rows = past.recover(&[]).await;
    assert!(rows.ends_with("; '~/backups/backup-mine.xbstream.gz' was left as it is"), "{rows}");
    assert!(!folder.exists() && stream.exists());
}

#[tokio::test]
async fn a_directory_that_no_restore_gives_is_left_in_its_place() {
    let past = Past::new();
    let mine = past.path("backups/restores/my-own-copy-of-all-that");
    fs::create_dir_all(&mine).unwrap();
    past.row("restore", "/usr/bin/cp -r a b", &format!(r#"{{"tmp_dir": "{}"}}"#, mine.display()));
    assert!(past.recover(&[]).await.ends_with("my-own-copy-of-all-that' was left as it is"));
    assert!(mine.exists());
}

#[tokio::test]
async fn a_copy_back_whose_working_copy_is_gone_is_left_alone_or_was_never_begun() {
    let past = Past::new();
    let tmp_dir = past.copy_back();
    assert_eq!(past.recover(&[]).await, format!("failed -1 {REASON}"), "the data directory is empty");
    assert!(!tmp_dir.exists());

    let past = Past::new();
    past.copy_back();
    fs::create_dir(past.path("data")).unwrap();
    fs::write(past.path("data/orders.ibd"), "an order").unwrap();
    let rows = past.recover(&[]).await;
    assert!(rows.ends_with("'~/data' was left as it is: its working copy is gone, as after a complete restore whose record alone is missing"), "{rows}");
    assert_eq!(fs::read_to_string(past.path("data/orders.ibd")).unwrap(), "an order");
}

#[tokio::test]
async fn a_data_directory_is_not_emptied_under_a_server_and_what_shows_its_state_stays() {
    let past = Past::new();
    let work = past.copy_back().join("full-1");
    for dir in [&work, &past.path("data")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("orders.ibd"), "an order").unwrap();
    }
    let rows = past.recover(&[0]).await;
    assert!(
        rows.ends_with("'~/data' was left as it is: it may be half filled, but its server may still run (it answers)"),
        "{rows}"
    );
    assert!(past.path("data/orders.ibd").exists() && work.join("orders.ibd").exists());
}

#[tokio::test]
async fn no_row_names_another_data_directory_than_the_settings() {
    let past = Past::new();
    let work = past.copy_back().join("full-1");
    let named = "UPDATE process SET command = replace(command, '/data', '/backups/mine')";
    past.database().execute(named, []).unwrap();
    for dir in [&work, &past.path("backups/mine")] {
        fs::create_dir(dir).unwrap();
        fs::write(dir.join("orders.ibd"), "an order").unwrap();
    }
    // No server answers.
    let rows = past.recover(&[1]).await;
    assert!(
        rows.ends_with("the data directory '~/backups/mine' was left as it is: it is not the one in the settings"),
        "{rows}"
    );
    assert!(past.path("backups/mine/orders.ibd").exists());
    assert!(work.exists(), "what shows its state stays");
}

#[tokio::test]
async fn what_cannot_be_swept_keeps_no_daemon_from_its_start() {
    let past = Past::new();
    fs::write(past.path("backups/tmp"), "somebody's own").unwrap();
    past.row("backup", "/bin/tool --backup", "{}");
    assert!(past.recover(&[]).await.starts_with("failed -1"));
    assert_eq!(fs::read_to_string(past.path("backups/tmp")).unwrap(), "somebody's own");
}

#[test]
fn the_options_of_a_recorded_command_are_found() {
    let command = "/usr/bin/mariabackup --copy-back --target-dir /b/tmp/x/full --datadir=/srv/my sql --force-non-empty-directories";
    assert_eq!(option(command, "--datadir="), Some("/srv/my sql"));
    assert_eq!(option(command, "--target-dir="), None);
    assert_eq!(option("x --backup --target-dir=/b/f --host=h", "--target-dir="), Some("/b/f"));
    assert_eq!(option("x --backup --target-dir=/b/f", "--target-dir="), Some("/b/f"));
}

#[test]
fn restores_are_known_by_their_names() {
    assert!(is_restore_name("2026-11-22-09-03-37") && is_restore_name("2026-11-22-09-03-37-2"));
    for name in ["2026-11-22-09-03-", "2026-11-22-09-03-3x", "a-b-c-d-e-f", "2026-11-22-09-03-37-2-1", "------"] {
        assert!(!is_restore_name(name), "{name}");
    }
    assert!(!is_restore_name("my-notes") && !is_restore_name("") && !is_restore_name("2026-11-22"));
}

/// A copy-back into the data directory, a directory of the server's own below it, and one elsewhere; the note says what came where, if it
/// is the daemon's own word.
#[tokio::test]
async fn what_came_outside_is_taken_back_on_a_note_of_the_daemons_own_alone() {
    for (mode, is_believed) in [(0o700, true), (0o770, false), (0o702, false)] {
        let past = Past::new();
        let tmp_dir = past.copy_back();
        let work = tmp_dir.join("full-1");
        for dir in [work.clone(), past.path("data/redo"), past.path("far")] {
            fs::create_dir_all(dir).unwrap();
        }
        for (name, place) in [("ibdata1", "data"), ("ib_logfile0", "data/redo"), ("aria_log_control", "far")] {
            fs::write(work.join(name), format!("{name} of the restore")).unwrap();
            fs::copy(work.join(name), past.path(place).join(name)).unwrap();
        }
        fs::write(past.path("far/aria_log.00000001"), "another's").unwrap();
        let outside = [("data/redo", Names::Redo, true), ("far", Names::Aria, false)].map(|(dir, names, is_made)| {
            Outside { option: "an_option".to_owned(), dir: past.path(dir), names, is_made }
        });
        fs::set_permissions(&tmp_dir, fs::Permissions::from_mode(mode)).unwrap();
        Awaited::of(&work, &outside, &[]).unwrap().write(&tmp_dir).unwrap();
        let rows = past.recover(&[1]).await;
        assert!(past.path("far/aria_log.00000001").exists(), "{rows}");
        assert_eq!(past.path("far/aria_log_control").exists(), !is_believed, "{rows}");
        assert_eq!(past.path("data/redo").exists(), !is_believed, "{rows}");
        if is_believed {
            assert_eq!(rows, format!("failed -1 {REASON}"));
            assert_eq!(fs::read_dir(past.path("data")).unwrap().count(), 0);
        } else {
            assert!(rows.contains("the data directory '~/data' was left as it is: "), "{rows}");
        }
    }
}
