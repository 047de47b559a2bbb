//! Failures at the places that no tool's fault reaches: between the program's end and its record, and before its beginning.

use super::*;

/// The newest row's `error`.
fn error(bench: &Bench) -> String {
    let database = Connection::open(bench.dir.path().join("db")).unwrap();
    database.query_row("SELECT error FROM process ORDER BY id DESC LIMIT 1", [], |row| row.get(0)).unwrap()
}

/// A copy and a prepare that are good.
fn copy_and_prepare(root: &Path) -> Vec<Act> {
    let (copy, work) = (good_copy(root), work(root));
    let prepare = move |_: &Pipeline| {
        write_backup(&work, "log-applied");
        Ok(End::Exits(0, DONE))
    };
    vec![Box::new(copy), Box::new(prepare)]
}

#[tokio::test]
async fn a_backup_whose_folder_cannot_be_made_is_told_to_the_client_and_recorded() {
    let bench = Bench::new(|_| Vec::new());
    fs::remove_dir(bench.dir.path().join("backups")).unwrap();
    let refused = bench.backup().await.unwrap_err();
    let dir = bench.dir.path().join("backups/full-1");
    assert_eq!(refused, format!("'{}' cannot be created: No such file or directory (os error 2)", dir.display()));
    assert_eq!((bench.rows().as_str(), error(&bench)), ("failed -1", refused));
}

#[tokio::test]
async fn a_backup_that_cannot_be_sealed_is_none() {
    let shutdown = Arc::new(OnceLock::<CancellationToken>::new());
    let told = Arc::clone(&shutdown);
    let bench = Bench::new(|root| {
        let good = good_backup(root);
        vec![Box::new(move |invocation: &Pipeline| {
            told.get().unwrap().cancel();
            good(invocation)
        })]
    });
    shutdown.set(bench.world.shutdown.clone()).unwrap();
    bench.backup().await.unwrap();
    assert_eq!((bench.rows().as_str(), bench.backups()), ("failed 0", 0));
    assert!(error(&bench).contains("could not be sealed and synced to the disk"), "{}", error(&bench));
}

#[tokio::test]
async fn a_step_that_the_records_refuse_ends_the_restore() {
    let bench = Bench::new(|root| {
        let copy = good_copy(root);
        let root = root.to_owned();
        vec![Box::new(move |invocation: &Pipeline| {
            let trigger = "CREATE TRIGGER t BEFORE INSERT ON process BEGIN SELECT RAISE(ABORT, 'no more rows'); END";
            Connection::open(root.join("db")).unwrap().execute_batch(trigger).unwrap();
            copy(invocation)
        })]
    });
    bench.restore().await.unwrap();
    assert_eq!(bench.rows(), "failed 0");
    assert!(error(&bench).starts_with("the records cannot be written: "), "{}", error(&bench));
    assert_eq!(fs::read_dir(bench.dir.path().join("backups/restores")).unwrap().count(), 0);
}

#[tokio::test]
async fn an_outcome_for_which_the_records_are_closed_is_left_to_the_next_start() {
    let store = Arc::new(OnceLock::<Records>::new());
    let closed = Arc::clone(&store);
    let bench = Bench::new(|root| {
        let good = good_backup(root);
        vec![Box::new(move |invocation: &Pipeline| {
            let store = closed.get().unwrap().clone();
            let close = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(store.close(Duration::from_secs(5)));
            };
            std::thread::spawn(close).join().unwrap();
            good(invocation)
        })]
    });
    assert!(store.set(bench.world.records.clone()).is_ok());
    bench.backup().await.unwrap();
    // The row says what is known, and the backup is there for whoever decides.
    assert_eq!((bench.rows().as_str(), bench.backups()), ("running", 1));
}

#[tokio::test]
async fn a_copy_back_without_a_working_copy_has_nothing_to_undo() {
    let bench = Bench::new(|root| {
        let mut acts = copy_and_prepare(root);
        let (work, data) = (work(root), root.join("data"));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts.push(Box::new(move |_| {
            fs::remove_dir_all(&work).unwrap();
            fs::create_dir(&data).unwrap();
            fs::write(data.join("orders.ibd"), "an order").unwrap();
            Ok(End::Exits(1, "no more of it"))
        }));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts
    });
    bench.restore_to(Target::Database).await.unwrap();
    assert_eq!((bench.rows().as_str(), error(&bench).as_str()), ("success 0, success 0, failed 1", "no more of it"));
    assert_eq!(fs::read_to_string(bench.dir.path().join("data/orders.ibd")).unwrap(), "an order");
}

#[tokio::test]
async fn before_a_copy_back_the_data_directory_is_not_the_jobs_to_undo() {
    let bench = Bench::new(|root| {
        let (copy, work, data) = (good_copy(root), work(root), root.join("data"));
        let prepare = move |_: &Pipeline| {
            // Somebody fills it in the meantime, with a file that the working copy has too.
            fs::create_dir(&data).unwrap();
            fs::write(data.join("orders.ibd"), "an order").unwrap();
            fs::write(work.join("orders.ibd"), "an order").unwrap();
            Ok(End::Exits(1, "the prepare broke off"))
        };
        vec![Box::new(copy), Box::new(prepare)]
    });
    bench.restore_to(Target::Database).await.unwrap();
    assert_eq!((bench.rows().as_str(), error(&bench).as_str()), ("success 0, failed 1", "the prepare broke off"));
    assert_eq!(fs::read_to_string(bench.dir.path().join("data/orders.ibd")).unwrap(), "an order");
}

/// The notes of a move go last: what fails after that takes nothing back.
#[tokio::test]
async fn a_move_that_is_complete_is_not_undone() {
    let bench = Bench::new(|root| {
        let mut acts = copy_and_prepare(root);
        let (work, data) = (work(root), root.join("data"));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts.push(Box::new(move |pipeline| {
            assert!(pipeline.to_string().contains("--move-back"), "{pipeline}");
            fs::create_dir(&data).unwrap();
            for entry in fs::read_dir(&work).unwrap() {
                let path = entry.unwrap().path();
                fs::rename(&path, data.join(path.file_name().unwrap())).unwrap();
            }
            // What was set aside and is a directory cannot be forgotten.
            fs::create_dir(data.join(".ibdata1.dbcalm-aside")).unwrap();
            Ok(End::Exits(0, DONE))
        }));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts
    });
    bench.restore_by(Target::Database, true).await.unwrap();
    assert_eq!(bench.rows(), "success 0, success 0, failed 0");
    assert!(bench.dir.path().join("data/backup-my.cnf").exists(), "{}", error(&bench));
}

#[tokio::test]
async fn a_move_that_fails_is_undone() {
    let bench = Bench::new(|root| {
        let mut acts = copy_and_prepare(root);
        let (work, data) = (work(root), root.join("data"));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts.push(Box::new(move |_| {
            fs::create_dir(&data).unwrap();
            fs::rename(work.join("backup-my.cnf"), data.join("backup-my.cnf")).unwrap();
            Ok(End::Exits(1, "no more of it"))
        }));
        acts.push(Box::new(|_| Ok(End::Exits(1, ""))));
        acts
    });
    bench.restore_by(Target::Database, true).await.unwrap();
    assert_eq!((bench.rows().as_str(), error(&bench).as_str()), ("success 0, success 0, failed 1", "no more of it"));
    assert_eq!(fs::read_dir(bench.dir.path().join("data")).unwrap().count(), 0);
}
