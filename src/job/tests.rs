//! Jobs over an executor of functions and real SQLite: what is written when, whatever the tools do.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::Job;
use crate::admit::Admitted;
use crate::command::{Backup, Restore};
use crate::config::Config;
use crate::config::credentials::Secrets;
use crate::disk::NewDir;
use crate::exec::Pipeline;
use crate::exec::scripted::{Act, End, ScriptedExecutor};
use crate::model::{Flavour, Stored, Target};
use crate::plan::{Destination, Member, Plan, RestoreInputs, Way};
use crate::records::Records;
use crate::repository::Origin;
use crate::server::Server;
use crate::world::World;

mod failures;

const DONE: &str =
    "2026-11-22  9:03:37 0 [Note] InnoDB: End of log at LSN=120\n[00] 2026-11-22 09:03:37 completed OK!\n";

struct Bench {
    dir: tempfile::TempDir,
    world: Arc<World>,
    config: Arc<Config>,
}

impl Bench {
    fn new(acts: impl FnOnce(&Path) -> Vec<Act>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("backups")).unwrap();
        let text = format!(
            "db_type: mariadb\nbackup_dir: {0}/backups\ndata_dir: {0}/data\nbackup_bin: /bin/tool\nadmin_bin: /bin/admin\ndatabase_path: {0}/db\n",
            root.display()
        );
        fs::write(root.join("config.yml"), text).unwrap();
        let config = Config::load(&root.join("config.yml")).unwrap();
        let store = Records::open(&config.database_path, None).unwrap();
        let executor = Arc::new(ScriptedExecutor::new(acts(root)));
        let world = Arc::new(World::new(config, store, executor));
        Self { config: world.config(), world, dir }
    }

    /// Begins a full backup and waits for its end.
    async fn backup(&self) -> Result<(), String> {
        let backup = Backup { id: "full-1".parse().unwrap(), base: None, schedule_id: None };
        self.run(Plan::backup(&backup, Uuid::nil(), "/bin/tool", Flavour::MariaDb.option_names(""), &self.config)).await
    }

    /// Begins a folder restore of `full-1` and waits for its end.
    async fn restore(&self) -> Result<(), String> {
        self.restore_to(Target::Folder).await
    }

    async fn restore_to(&self, target: Target) -> Result<(), String> {
        self.restore_by(target, false).await
    }

    async fn restore_by(&self, target: Target, moves: bool) -> Result<(), String> {
        let backups = self.dir.path().join("backups");
        let made = NewDir::make(&backups, &backups.join("restores"), "2026-11-22-09-03-37").unwrap();
        let way = if moves { Way::Rename { staging: None } } else { Way::Copy };
        let destination = match target {
            Target::Folder => Destination::Folder,
            Target::Database => Destination::DataDir { dir: self.config.data_dir.clone(), outside: Vec::new(), way },
        };
        let restore = Restore { full: "full-1".parse().unwrap(), incrementals: Vec::new(), target, until: None };
        let stored = Stored::Directory(self.dir.path().join("backups/full-1"));
        let full = Member { id: "full-1".parse().unwrap(), base: None, stored };
        let inputs = RestoreInputs {
            bin: "/bin/tool",
            version: None,
            names: Flavour::MariaDb.option_names(""),
            full: &full,
            incrementals: &[],
            tmp_dir: made.path(),
            destination: &destination,
            memory: None,
            has_room_ahead: true,
            timestamp: None,
            marks: &[],
            server: None,
            replay: None,
        };
        let plan = Plan::restore(&restore, inputs, &self.config);
        self.run_in(plan, Some(made)).await
    }

    async fn run(&self, plan: Plan) -> Result<(), String> {
        self.run_in(plan, None).await
    }

    async fn run_in(&self, plan: Plan, made: Option<NewDir>) -> Result<(), String> {
        let (claim, secrets) = (self.world.claims.claim_nothing(), Secrets::default());
        let admitted = Admitted { plan, claim, secrets, origin: origin(), made };
        let until = Instant::now() + Duration::from_secs(5);
        let begun = Job::begin(admitted, &self.world, &self.config, until).await;
        self.world.tasks.close();
        self.world.tasks.wait().await;
        begun.map(|_| ()).map_err(|why| why.to_string())
    }

    fn rows(&self) -> String {
        rows(self.dir.path())
    }

    fn backups(&self) -> usize {
        fs::read_dir(self.dir.path().join("backups")).unwrap().count()
    }
}

/// `status` and `return_code` of every command, in order.
fn rows(root: &Path) -> String {
    let database = Connection::open(root.join("db")).unwrap();
    let mut statement =
        database.prepare("SELECT status || coalesce(' ' || return_code, '') FROM process ORDER BY id").unwrap();
    let rows: Vec<String> = statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    rows.join(", ")
}

/// A program that asks the records at the moment it starts, then does its work.
fn seeing(
    root: &Path,
    expected: &'static str,
    work: impl FnOnce(&Pipeline) -> io::Result<End> + Send + 'static,
) -> Act {
    let root = root.to_owned();
    Box::new(move |invocation| {
        assert_eq!(rows(&root), expected, "when {invocation} starts");
        work(invocation)
    })
}

/// A server that has said what it is.
fn origin() -> Origin {
    let server = Server {
        version: "10.11.19".to_owned(),
        uid: None,
        data_dir: "/d".into(),
        places: BTreeMap::new(),
        habits: BTreeMap::new(),
        now: BTreeMap::new(),
    };
    Origin { server: Some(server), ..Origin::default() }
}

/// Writes what a tool leaves beside the data.
fn write_backup(dir: &Path, kind: &str) {
    fs::create_dir_all(dir).unwrap();
    let checkpoints = format!("backup_type = {kind}\nfrom_lsn = 0\nto_lsn = 100\nlast_lsn = 120\n");
    let info = "tool_name = t\ntool_version = 10.11\nserver_version = 10.11\n";
    for (name, text) in
        [("xtrabackup_checkpoints", checkpoints.as_str()), ("xtrabackup_info", info), ("backup-my.cnf", "[mysqld]\n")]
    {
        fs::write(dir.join(name), text).unwrap();
    }
}

fn good_backup(root: &Path) -> impl FnOnce(&Pipeline) -> io::Result<End> + Send + 'static {
    let dir = root.join("backups/full-1");
    move |_| {
        write_backup(&dir, "full-backuped");
        Ok(End::Exits(0, DONE))
    }
}

#[tokio::test]
async fn a_row_is_written_before_its_program_starts() {
    let bench = Bench::new(|root| vec![seeing(root, "running", good_backup(root))]);
    bench.backup().await.unwrap();
    assert_eq!(bench.rows(), "success 0");
}

/// The working copy of `full-1`.
fn work(root: &Path) -> PathBuf {
    root.join("backups/restores/2026-11-22-09-03-37/full-1")
}

/// A copying program, over a stored backup that is there.
fn good_copy(root: &Path) -> impl FnOnce(&Pipeline) -> io::Result<End> + Send + 'static {
    write_backup(&root.join("backups/full-1"), "full-backuped");
    let work = work(root);
    move |_| {
        write_backup(&work, "full-backuped");
        Ok(End::Exits(0, DONE))
    }
}

#[tokio::test]
async fn a_success_and_the_next_beginning_are_one() {
    let bench = Bench::new(|root| {
        let copy = seeing(root, "running", good_copy(root));
        let work = work(root);
        let prepare = seeing(root, "success 0, running", move |_| {
            write_backup(&work, "log-applied");
            Ok(End::Exits(0, DONE))
        });
        vec![copy, prepare]
    });
    bench.restore().await.unwrap();
    assert_eq!(bench.rows(), "success 0, success 0");
}

#[tokio::test]
async fn a_tree_that_was_never_prepared_is_not_restored() {
    // The tool says that all is well, and has done nothing: a copy-back of such a tree would say so too.
    let bench = Bench::new(|root| vec![Box::new(good_copy(root)), Box::new(|_| Ok(End::Exits(0, DONE)))]);
    bench.restore().await.unwrap();
    assert_eq!(bench.rows(), "success 0, failed 0");
    assert_eq!(fs::read_dir(bench.dir.path().join("backups/restores")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_told_to_the_client_and_recorded() {
    let bench = Bench::new(|_| vec![Box::new(|_| Err(io::ErrorKind::PermissionDenied.into()))]);
    assert_eq!(bench.backup().await, Err("'/bin/tool' could not be started: permission denied".to_owned()));
    assert_eq!(bench.rows(), "failed -1");
}

#[tokio::test]
async fn a_success_that_the_records_refuse_is_a_failure_that_leaves_nothing() {
    let bench = Bench::new(|root| {
        let good = good_backup(root);
        let root = root.to_owned();
        vec![Box::new(move |invocation: &Pipeline| {
            // Somebody else records the same id while the backup is taken.
            let database = Connection::open(root.join("db")).unwrap();
            database.execute("INSERT INTO backup VALUES ('full-1', NULL, NULL, 'x', 'x', 1)", []).unwrap();
            good(invocation)
        })]
    });
    bench.backup().await.unwrap();
    assert_eq!(bench.rows(), "failed 0");
    assert_eq!(bench.backups(), 0);
}

#[tokio::test]
async fn a_daemon_that_stops_starts_no_further_step() {
    let shutdown = Arc::new(OnceLock::<CancellationToken>::new());
    let told = Arc::clone(&shutdown);
    let bench = Bench::new(|root| {
        let copy = good_copy(root);
        vec![Box::new(move |invocation: &Pipeline| {
            told.get().unwrap().cancel();
            copy(invocation)
        })]
    });
    shutdown.set(bench.world.shutdown.clone()).unwrap();
    bench.restore().await.unwrap();
    assert_eq!(bench.rows(), "success 0, failed -1");
    assert_eq!(fs::read_dir(bench.dir.path().join("backups/restores")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_daemon_that_has_stopped_begins_nothing() {
    let bench = Bench::new(|_| Vec::new());
    bench.world.shutdown.cancel();
    assert_eq!(bench.restore().await, Err("the daemon is shutting down".to_owned()));
    assert_eq!(bench.rows(), "");
    assert_eq!(fs::read_dir(bench.dir.path().join("backups/restores")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_cancelled_step_is_recorded_with_its_signal() {
    let shutdown = Arc::new(OnceLock::<CancellationToken>::new());
    let told = Arc::clone(&shutdown);
    let bench = Bench::new(|_| {
        vec![Box::new(move |_| {
            told.get().unwrap().cancel();
            Ok(End::WhenCancelled)
        })]
    });
    shutdown.set(bench.world.shutdown.clone()).unwrap();
    bench.backup().await.unwrap();
    assert_eq!(bench.rows(), "failed -2");
}
