//! What is held against the world, over an executor of functions.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use super::{Command, Known, Rejection, Restore, Target, admit, check_chain, on_disk, shortage};
use crate::config::Config;
use crate::exec::scripted::{Act, End, ScriptedExecutor};
use crate::model::Shortage;
use crate::records::Records;
use crate::world::World;

/// A world with a full backup `f` and its incremental `a`, in which these programs run.
fn world(dir: &Path, acts: Vec<Act>) -> World {
    let text = format!(
        "db_type: mariadb\nbackup_dir: {0}/backups\nbackup_bin: /bin/tool\ndatabase_path: {0}/db\n",
        dir.display()
    );
    fs::write(dir.join("config.yml"), text).unwrap();
    let config = Config::load(&dir.join("config.yml")).unwrap();
    let store = Records::open(&config.database_path, None).unwrap();
    let database = rusqlite::Connection::open(&config.database_path).unwrap();
    for (id, from) in [("f", None), ("a", Some("f"))] {
        fs::create_dir_all(config.backup_dir.join(id)).unwrap();
        database.execute("INSERT INTO backup VALUES (?1, ?2, NULL, 'x', 'x', 1)", [Some(id), from]).unwrap();
    }
    World::new(config, store, Arc::new(ScriptedExecutor::new(acts)))
}

fn chain() -> Command {
    let (full, incrementals) = ("f".parse().unwrap(), vec!["a".parse().unwrap()]);
    Command::Restore(Restore { full, incrementals, target: Target::Folder, until: None })
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[tokio::test]
async fn a_restore_is_planned_for_the_version_that_the_tool_names() {
    for (said, needed) in [
        ("/bin/tool based on MariaDB server 10.1.48-MariaDB debian-linux-gnu (x86_64)", 1),
        ("/bin/tool based on MariaDB server 10.11.19-MariaDB debian-linux-gnu (x86_64)", 0),
        ("no version at all", 0),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let world = world(dir.path(), vec![Box::new(move |_| Ok(End::Exits(0, said)))]);
        let admitted = admit(&chain(), &world, &world.config(), soon()).await.unwrap();
        let log_only =
            admitted.plan.rest.iter().filter(|step| step.pipeline.first.args.contains(&"--apply-log-only".to_owned()));
        assert_eq!(log_only.count(), needed, "{said}");
    }
}

#[tokio::test]
async fn nothing_is_admitted_when_the_daemon_stops() {
    let dir = tempfile::tempdir().unwrap();
    let world = world(dir.path(), Vec::new());
    world.shutdown.cancel();
    assert_eq!(admit(&chain(), &world, &world.config(), soon()).await.unwrap_err(), Rejection::ShuttingDown);
    assert!(!dir.path().join("backups/restores").exists());
}

#[tokio::test]
async fn a_dead_disk_takes_nothing_from_a_sound_one() {
    let (answer, disk) = mpsc::channel::<()>();
    let disk = Arc::new(std::sync::Mutex::new(disk));
    let until = Instant::now() + Duration::from_millis(200);
    let looks = (0..200).map(|_| {
        let disk = Arc::clone(&disk);
        tokio::spawn(on_disk(Path::new("/mnt/dead"), until, move || disk.lock().unwrap().recv().is_ok()))
    });
    let looks: Vec<_> = looks.collect();
    for look in looks {
        assert!(look.await.unwrap().unwrap_err().to_string().contains("does not answer"));
    }
    assert_eq!(on_disk(Path::new("/mnt/sound"), soon(), || 7).await, Ok(7));
    drop(answer);
}

#[tokio::test]
async fn a_disk_that_does_not_answer_is_not_waited_for() {
    let (answer, disk) = mpsc::channel::<()>();
    let until = Instant::now() + Duration::from_millis(20);
    let seen = on_disk(Path::new("/mnt/far"), until, move || disk.recv()).await;
    assert_eq!(seen.unwrap_err().to_string(), "'/mnt/far' does not answer: check its file system");
    drop(answer);
    assert_eq!(on_disk(Path::new("/"), soon(), || 7).await, Ok(7));
    let broken = on_disk::<()>(Path::new("/"), soon(), || panic!("of a test's own")).await.unwrap_err();
    assert!(broken.code() == 500 && broken.to_string().starts_with("an internal error: "), "{broken}");
}

#[test]
fn only_a_real_chain_is_one() {
    let known: HashMap<_, _> = [("f", None), ("g", None), ("a", Some("f")), ("b", Some("a")), ("x", Some("f"))]
        .map(|(id, from)| (id.to_owned(), Known { from: from.map(str::to_owned), start_time: None, place: 0 }))
        .into();
    let check = |ids: &[&str]| {
        let mut ids = ids.iter().map(|id| id.parse().unwrap());
        let wanted =
            Restore { full: ids.next().unwrap(), incrementals: ids.collect(), target: Target::Folder, until: None };
        check_chain(&wanted, &known).map_err(|why| format!("{} {why}", why.code()))
    };
    for chain in [&["f"][..], &["f", "a"], &["f", "a", "b"], &["f", "x"], &["g"]] {
        assert_eq!(check(chain), Ok(()), "{chain:?}");
    }
    let cases = [
        (&["n"][..], "404 Backup with id n not found"),
        (&["b", "n"], "404 Backup with id n not found"),
        (&["a"], "400 id_list is not a chain: it begins with a, an incremental from f"),
        (&["f", "b"], "400 id_list is not a chain: b was taken from a, not from f"),
        (&["f", "x", "b"], "400 id_list is not a chain: b was taken from a, not from x"),
        (&["f", "g"], "400 id_list is not a chain: g is a full backup and can only come first"),
        (&["f", "a", "a"], "400 id_list is not a chain: a was taken from f, not from a"),
        (&["f", "f"], "400 id_list is not a chain: f is a full backup and can only come first"),
    ];
    for (chain, said) in cases {
        assert_eq!(check(chain), Err(said.to_owned()), "{chain:?}");
    }
}

/// An estimate is worth little time, and where there is none nobody is refused.
#[tokio::test]
async fn what_cannot_be_measured_is_no_obstacle() {
    let soon = || Instant::now() + Duration::from_secs(5);
    let lacking = Shortage { place: "/b".into(), needed: 2, free: 1 };
    let measured = Some(lacking.clone());
    assert_eq!(shortage(soon(), || Ok(measured)).await, Some(lacking));
    assert_eq!(shortage(soon(), || Ok(None)).await, None);
    assert_eq!(shortage(soon(), || Err(std::io::ErrorKind::PermissionDenied.into())).await, None);
    let (answer, disk) = mpsc::channel::<()>();
    let slow = move || {
        let _answered = disk.recv();
        Ok(Some(Shortage { place: "/b".into(), needed: 2, free: 1 }))
    };
    assert_eq!(shortage(Instant::now() + Duration::from_millis(20), slow).await, None);
    drop(answer);
}
