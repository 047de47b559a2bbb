//! The plans, held to the commands that the Python daemon built, as they were recorded for five kinds of server and settings.
//! What differs is what the contract changes: incrementals are copied before they are applied, by our own program, and a copy-back
//! always names the data directory.

use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use super::{Destination, Member, Plan, RestoreInputs, Way};
use crate::command::{Backup, Restore};
use crate::config::Config;
use crate::model::{BackupId, Flavour, Stored, Stream, Target, Version};

const RECORDED: &str = include_str!("../../tests/commands.json");

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned()).collect()
}

fn id(text: &str) -> BackupId {
    text.parse().unwrap()
}

/// The settings under which a server's commands were recorded.
fn config(case: &Value) -> Config {
    let family = if text(case, "server").starts_with("mysql") { "mysql" } else { "mariadb" };
    // The Python daemon always said where the server is, and this was its default.
    let mut lines = vec![format!("db_type: {family}"), "backup_dir: /var/backups/dbcalm".to_owned()];
    lines.extend(["host: localhost", "parallel: 1"].map(str::to_owned));
    lines
        .extend(case["config"].as_object().unwrap().keys().map(|key| format!("{key}: {}", text(&case["config"], key))));
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.yml"), lines.join("\n")).unwrap();
    Config::load(&dir.path().join("config.yml")).unwrap()
}

fn destination(target: Target, config: &Config, way: Way) -> Destination {
    match target {
        Target::Folder => Destination::Folder,
        Target::Database => Destination::DataDir { dir: config.data_dir.clone(), outside: Vec::new(), way },
    }
}

fn argvs(plan: &Plan) -> Vec<Vec<String>> {
    let argv = |step: &super::Step| {
        assert_eq!(step.pipeline.rest, []);
        let mut argv = vec![step.pipeline.first.program.clone()];
        argv.extend(step.pipeline.first.args.clone());
        argv
    };
    std::iter::once(&plan.first).chain(&plan.rest).map(argv).collect()
}

/// What the contract makes of the recorded commands of a restore.
fn expected(recorded: &Value, config: &Config) -> Vec<Vec<String>> {
    let tmp_dir = text(recorded, "tmp_dir");
    let copy = |stored: &str| {
        let name = Path::new(stored).file_name().unwrap().to_str().unwrap();
        let (from, into) = (format!("--from={stored}"), format!("--into={tmp_dir}/{name}"));
        ["dbcalm-db-cmd", "copy", &from, &into, "--threads=1"].map(str::to_owned).to_vec()
    };
    let mut expected = Vec::new();
    for argv in recorded["argvs"].as_array().unwrap() {
        let mut argv = texts(argv);
        if argv[0] == "/usr/bin/cp" || argv[0] == "cp" {
            argv = copy(&argv[2]);
        }
        if let Some(at) = argv.iter().position(|arg| arg == "--incremental-dir") {
            let stored = argv[at + 1].clone();
            let name = Path::new(&stored).file_name().unwrap().to_str().unwrap().to_owned();
            argv[at + 1] = format!("{tmp_dir}/{name}");
            expected.push(copy(&stored));
        }
        let data_dir = format!("--datadir={}", config.data_dir.display());
        if argv.contains(&"--copy-back".to_owned()) && !argv.contains(&data_dir) {
            argv.push(data_dir);
        }
        expected.push(argv);
    }
    expected
}

/// The chain, each of it in a directory.
fn members(restore: &Restore, config: &Config) -> Vec<Member> {
    let mut base = None;
    let member = |id: &BackupId| Member {
        id: id.clone(),
        base: base.replace(id.clone()),
        stored: Stored::Directory(config.backup_dir.join(id.as_str())),
    };
    restore.chain().map(member).collect()
}

#[test]
fn the_plans_are_the_recorded_commands() {
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), 5);
    for case in &recorded {
        let (server, config) = (text(case, "server"), config(case));
        let bin = texts(&case["full_backup"]["argv"])[0].clone();
        for kind in ["full_backup", "incremental_backup"] {
            let wanted = &case[kind];
            let base = wanted["from_backup_id"].as_str().map(id);
            let backup = Backup { id: id(text(wanted, "id")), base, schedule_id: None };
            let plan = Plan::backup(&backup, Uuid::nil(), &bin, Flavour::MariaDb.option_names(""), &config);
            assert_eq!(argvs(&plan), [texts(&wanted["argv"])], "{kind} of {server}");
        }
        for kind in ["restore_full_database", "restore_chain_database", "restore_chain_folder"] {
            let wanted = &case[kind];
            let mut chain = texts(&wanted["id_list"]).into_iter().map(|text| id(&text));
            let target = if kind.ends_with("folder") { Target::Folder } else { Target::Database };
            let restore = Restore { full: chain.next().unwrap(), incrementals: chain.collect(), target, until: None };
            let chain = members(&restore, &config);
            let inputs = RestoreInputs {
                full: &chain[0],
                incrementals: &chain[1..],
                destination: &destination(restore.target, &config, Way::Copy),
                memory: None,
                has_room_ahead: true,
                bin: &bin,
                version: Version::parse(server.split('-').nth(1).unwrap()),
                names: Flavour::MariaDb.option_names(""),
                tmp_dir: Path::new(text(wanted, "tmp_dir")),
                timestamp: None,
                marks: &[],
                server: None,
                replay: None,
            };
            let plan = Plan::restore(&restore, inputs, &config);
            assert_eq!(argvs(&plan), expected(wanted, &config), "{kind} of {server}");
        }
    }
}

#[test]
fn the_arguments_are_recorded_as_python_writes_them() {
    let case: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    let config = config(&case[0]);
    let args = |base: Option<&str>, schedule_id| {
        Plan::backup(
            &Backup { id: id("b"), base: base.map(id), schedule_id },
            Uuid::nil(),
            "/bin/tool",
            Flavour::MariaDb.option_names(""),
            &config,
        )
        .args
    };
    assert_eq!(args(None, None), r#"{"id": "b"}"#);
    assert_eq!(args(Some("a"), Some(7)), r#"{"id": "b", "from_backup_id": "a", "schedule_id": 7}"#);
}

/// The settings of a MariaDB with these lines beside.
fn settings(lines: &str) -> Config {
    Config::parse(&format!("db_type: mariadb\nbackup_dir: /b\ndata_dir: /d\nparallel: 2\n{lines}")).unwrap()
}

fn commands(plan: &Plan) -> Vec<String> {
    std::iter::once(&plan.first).chain(&plan.rest).map(|step| step.pipeline.to_string()).collect()
}

#[test]
fn a_streamed_backup_is_one_pipeline() {
    let incremental = Backup { id: id("b"), base: Some(id("a")), schedule_id: None };
    let plan = |lines: &str| {
        Plan::backup(&incremental, Uuid::nil(), "/bin/tool", Flavour::MariaDb.option_names(""), &settings(lines))
    };
    let login = "--defaults-file=/etc/dbcalm/credentials.cnf --defaults-group-suffix=-dbcalm";
    let tool = format!("/bin/tool {login} --backup --target-dir=/b/b --incremental-basedir=/b/a --parallel=2");
    assert_eq!(commands(&plan("")), [tool.as_str()]);
    let elsewhere = tool.replace(" --incremental", " --host=db.example --incremental");
    assert_eq!(commands(&plan("host: db.example\n")), [elsewhere], "only where the settings say so");
    assert_eq!(
        commands(&plan("backup_options: [--throttle=9, --galera-info]")),
        [format!("{tool} --throttle=9 --galera-info")]
    );

    let stored = format!(
        "{tool} --stream=xbstream --extra-lsndir=/b/b | dbcalm-db-cmd store --into=/b/b --name=backup-b.xbstream.zst --flavour=mariadb --compression=zstd --level=5 --threads=2"
    );
    assert_eq!(
        commands(&plan("stream: true\ncompression_threads: 2\ncompression: zstd\ncompression_level: 5\n")),
        [stored]
    );

    let forwarded = plan("stream: true\ncompression_threads: 2\nforward: ssh host 'cat > $DBCALM_BACKUP_ID'\n");
    assert_eq!(
        commands(&forwarded),
        [format!(
            "{tool} --stream=xbstream --extra-lsndir=/b/b | dbcalm-db-cmd store --into=/b/b --name=backup-b.xbstream --flavour=mariadb --compression=none --threads=2 --forward | /bin/sh -c ssh host 'cat > $DBCALM_BACKUP_ID'"
        )]
    );
    let told = &forwarded.first.pipeline.rest[1].environment;
    let told: Vec<_> = told.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(
        told,
        [("DBCALM_BACKUP_ID", "b"), ("DBCALM_BACKUP_TYPE", "incremental"), ("DBCALM_FROM_BACKUP_ID", "a")]
    );
}

#[test]
fn a_chain_of_a_directory_a_stream_and_a_forwarded_one_is_moved_into_place() {
    let config = settings("fetch: get it\n");
    let restore =
        Restore { full: id("a"), incrementals: vec![id("b"), id("c")], target: Target::Database, until: None };
    let stream = |name: &str, manifest: Option<&str>| Stream {
        path: Path::new("/b").join(name),
        name: name.to_owned(),
        manifest: manifest.map(Into::into),
        copy: None,
    };
    let mut chain = members(&restore, &config);
    chain[1].stored = Stored::Stream(stream("backup-b.xbstream.gz", None));
    chain[2].stored = Stored::Forwarded(stream("backup-c.xbstream", Some("/b/c/dbcalm.sha256")));
    let inputs = RestoreInputs {
        bin: "/bin/tool",
        version: None,
        names: Flavour::MariaDb.option_names(""),
        full: &chain[0],
        incrementals: &chain[1..],
        tmp_dir: Path::new("/b/tmp/t"),
        destination: &destination(
            Target::Database,
            &config,
            Way::Rename { staging: Some("/d/.dbcalm-restore-t".into()) },
        ),
        memory: Some(1 << 30),
        has_room_ahead: true,
        timestamp: None,
        marks: &[],
        server: None,
        replay: None,
    };
    let own = "/d/.dbcalm-restore-t";
    assert_eq!(
        commands(&Plan::restore(&restore, inputs, &config)),
        [
            format!("dbcalm-db-cmd copy --from=/b/a --into={own}/a --threads=2"),
            format!("/bin/tool --prepare --target-dir {own}/a --use-memory=1073741824"),
            format!(
                "dbcalm-db-cmd extract --from=/b/backup-b.xbstream.gz --into={own}/b --name=backup-b.xbstream.gz --flavour=mariadb --threads=2"
            ),
            format!("/bin/tool --prepare --target-dir {own}/a --incremental-dir {own}/b --use-memory=1073741824"),
            format!(
                "/bin/sh -c get it | dbcalm-db-cmd extract --from=- --into={own}/c --name=backup-c.xbstream --flavour=mariadb --manifest=/b/c/dbcalm.sha256 --threads=2"
            ),
            format!("/bin/tool --prepare --target-dir {own}/a --incremental-dir {own}/c --use-memory=1073741824"),
            format!("/bin/tool --move-back --target-dir {own}/a --datadir=/d"),
        ]
    );
}
