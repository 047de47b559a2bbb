//! docs/offsite.md and docs/lost-host.md, whose blocks are typed as they stand, and the rights that the first one lists.
//!
//! The machine is a [`TestEnv`] with nothing but the package's program, and then what the pages put there. Stand-ins are: the names of places
//! and of the bucket; for `systemctl` the harness's daemon and server; and for `aws` a script over what the test's bucket holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::Value;

use super::{keeping_in, restored};
use crate::cli::{run, stdout};
use crate::harness::bucket::Bucket;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::proxy::{Fault, Proxy, Rule};
use crate::harness::{TestEnv, page, program, wait_for};

fn blocks_of(name: &str) -> BTreeMap<&'static str, String> {
    let text = fs::read_to_string(format!("{}/docs/{name}.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    page::blocks(text.leak(), &["sh", "yaml", "json", "ini"])
}

/// `aws s3`, as far as the pages use it, over the files below `$BUCKET`.
const AWS: &str = r#"#!/bin/sh
set -e
[ "$1" = s3 ]; what=$2; shift 2
all=; [ "$1" != --recursive ] || { all=yes; shift; }
key=${1#s3://*/}
case $what$all in
cp) if [ "$2" = - ]; then cat "$BUCKET/$key"; else cp "$BUCKET/$key" "$2"; fi ;;
cpyes) mkdir -p "$2"; cp -r "$BUCKET/$key." "$2" ;;
lsyes) cd "$BUCKET"; find "$key" -type f ;;
*) exit 2 ;;
esac
"#;

struct Machine<'a> {
    env: TestEnv,
    bucket: &'a Bucket,
    /// None over the fakes.
    server: Option<MariaDb>,
}

impl<'a> Machine<'a> {
    /// One with its server, the program, and nothing else.
    fn new(bucket: &'a Bucket, is_real: bool) -> Self {
        let server = is_real.then(MariaDb::start);
        let mut env = server.as_ref().map_or_else(TestEnv::new, TestEnv::real);
        env.set("repository_endpoint", &bucket.login().endpoint);
        let typed = env.path("typed");
        fs::create_dir(&typed).unwrap();
        symlink(env!("CARGO_BIN_EXE_dbcalm-db-cmd"), typed.join("dbcalm-db-cmd")).unwrap();
        fs::write(typed.join("aws"), AWS).unwrap();
        fs::set_permissions(typed.join("aws"), fs::Permissions::from_mode(0o755)).unwrap();
        if server.is_none() {
            // What a package's server has in it.
            fs::create_dir(env.path("data")).unwrap();
            fs::write(env.path("data/ibdata1"), "of a new server").unwrap();
        }
        Self { env, bucket, server }
    }

    /// The page's words, with this machine's names.
    fn here(&self, text: &str) -> String {
        let data = self.server.as_ref().map_or_else(|| self.env.path("data"), MariaDb::data_dir);
        let login = self.bucket.login();
        let home = self.env.path("").display().to_string();
        let names = [
            ("setpriv --reuid=mysql --regid=dbcalm --init-groups ", ""),
            ("-o mysql -g mysql ", ""),
            ("chown -R mysql: ", "chown -R \"$(id -u)\" "),
            ("/etc/dbcalm/", home.as_str()),
            ("/var/lib/mysql", &data.display().to_string()),
            ("/var/tmp/", &home),
            ("example-backups", &login.bucket),
            ("AKIAEXAMPLE", &login.key),
            ("EXAMPLESECRET", &login.secret),
        ]
        .map(|(name, is)| (name.to_owned(), is.to_owned()));
        names.iter().fold(text.to_owned(), |text, (name, is)| text.replace(name, is))
    }

    /// Writes the settings of a block into the file.
    fn settings(&mut self, block: &str) {
        for line in self.here(block).lines() {
            let (key, value) = line.split_once(": ").unwrap();
            self.env.set(key, value.split(" #").next().unwrap().trim());
        }
    }

    /// Types the commands of a block, and gives what they said.
    fn types(&mut self, block: &str) -> String {
        if !block.contains("systemctl ") {
            return self.shell(block);
        }
        let mut said = String::new();
        for command in block.lines().flat_map(|line| line.split(" && ")) {
            match (command, &mut self.server) {
                ("systemctl enable --now dbcalm-db-cmd", _) => self.env.start_daemon(),
                ("systemctl stop mariadb", Some(server)) => server.stop(),
                ("systemctl stop mariadb", None) => self.env.world.stop().unwrap(),
                ("systemctl start mariadb", Some(server)) => server.run(),
                ("systemctl start mariadb", None) => self.env.world.start().unwrap(),
                (command, _) => said += &self.shell(command),
            }
        }
        said
    }

    fn shell(&self, commands: &str) -> String {
        let commands = self.here(commands);
        let mut shell = program("bash");
        shell.args(["-euo", "pipefail", "-c", &commands]).current_dir(self.env.path(""));
        shell.env("PATH", format!("{}:{}", self.env.path("typed").display(), std::env::var("PATH").unwrap()));
        shell.env("DBCALM_CONFIG", self.env.path("config.yml")).env("DBCALM_SOCKET", self.env.socket());
        shell.env("BUCKET", self.env.path("bucket"));
        let typed = shell.output().unwrap();
        let said = String::from_utf8(typed.stdout).unwrap();
        assert!(typed.status.success(), "{commands}\n{said}{}", String::from_utf8_lossy(&typed.stderr));
        said
    }

    /// Lets the stand-in for `aws` see what the bucket holds.
    fn show_bucket(&self) {
        for key in self.bucket.keys().into_keys() {
            let path = self.env.path("bucket").join(&key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, self.bucket.read(&key).unwrap()).unwrap();
        }
    }

    /// Sets up what docs/offsite.md says.
    fn set_up(&mut self) {
        let page = blocks_of("offsite");
        self.settings(&page["settings"]);
        self.types(&page["credentials"]);
    }

    /// Something that was not there before.
    fn change(&mut self, to: &str) {
        match &self.server {
            Some(server) => {
                server.sql(&format!(
                    "CREATE DATABASE IF NOT EXISTS shop; CREATE TABLE IF NOT EXISTS shop.orders (note TEXT) ENGINE=InnoDB;
                     INSERT INTO shop.orders VALUES ('{to}')"
                ));
            }
            None => drop(self.env.world.put("shop/orders.ibd", to.as_bytes()).unwrap()),
        }
    }

    /// What the server, or over the fakes its data directory, holds.
    fn content(&self) -> String {
        match &self.server {
            Some(server) => server.content().join("\n"),
            None => fs::read_to_string(self.env.path("data/shop/orders.ibd")).unwrap(),
        }
    }
}

/// A machine that has kept a chain of two as docs/offsite.md says, and what it held then.
fn kept(bucket: &Bucket, is_real: bool) -> String {
    let page = blocks_of("offsite");
    let mut machine = Machine::new(bucket, is_real);
    machine.set_up();
    machine.change("one");
    let checked = machine.types(&page["check"]);
    assert!(checked.contains("can be reached, written, listed and read"), "{checked}");
    machine.env.start_daemon();
    let said = machine.types(&page["first"]);
    assert!(said.contains("success"), "{said}");
    machine.change("two");
    stdout(&machine.env, 0, "backup incremental");
    assert_eq!(bucket.keys().keys().filter(|key| key.ends_with("/backup.json")).count(), 2);
    if is_real { machine.content() } else { "two".to_owned() }
}

fn a_lost_host(is_real: bool) {
    let (bucket, page) = (Bucket::start(), blocks_of("lost-host"));
    let held = kept(&bucket, is_real);
    let mut machine = Machine::new(&bucket, is_real);
    machine.set_up();
    assert!(page["again"].lines().count() <= 5, "{}", page["again"]);
    machine.types(&page["again"]);
    assert_eq!(machine.content(), held);
    if is_real {
        let said = machine.types(&page["afterwards"]);
        assert!(said.contains("success"), "{said}");
    }
}

#[test]
fn a_lost_host_is_restored_by_five_commands_of_the_page() {
    a_lost_host(false);
}

#[test]
fn a_lost_host_with_a_real_server_is_restored_by_five_commands_of_the_page() {
    if is_installed() {
        a_lost_host(true);
    }
}

/// The last resort: the store's client and MariaDB's own tools, without a program of ours.
#[test]
fn a_chain_in_the_bucket_is_restored_by_hand_as_the_page_says() {
    if !is_installed() {
        return;
    }
    let (bucket, page) = (Bucket::start(), blocks_of("lost-host"));
    let held = kept(&bucket, true);
    let mut machine = Machine::new(&bucket, true);
    machine.show_bucket();
    machine.types(&page["emptied by hand"]);
    let listed = machine.types(&page["listed by hand"]);
    let mut streams = listed.lines().filter(|key| key.ends_with(".xbstream.zst"));
    let mut found = [streams.next().unwrap(), streams.next().unwrap()];
    // The full backup is the one whose backup.json says so.
    let is_full = |key: &str| {
        let id = key.split('/').nth(2).unwrap();
        let card: Value = serde_json::from_slice(&bucket.read(&format!("db1/v1/{id}/backup.json")).unwrap()).unwrap();
        card["type"] == "full"
    };
    found.sort_by_key(|key| !is_full(key));
    let mut commands = page["by hand"].clone();
    for (key, id, uuid) in [(found[0], "FULL", "FULL_UUID"), (found[1], "INC", "INC_UUID")] {
        let parts = key.split('/').collect::<Vec<_>>();
        commands = commands.replace(uuid, parts[3]).replace(id, parts[2]);
    }
    machine.types(&commands);
    machine.types(&page["started by hand"]);
    assert_eq!(machine.content(), held);
    let one = blocks_of("offsite")["by hand"].replace("UUID", found[0].split('/').nth(3).unwrap());
    machine.shell(&one.replace("ID", found[0].split('/').nth(2).unwrap()));
    assert!(machine.env.path("look/xtrabackup_checkpoints").exists());
}

/// The action of a policy that a request needs (Amazon S3 API Reference, "Required permissions").
fn action(method: &str, path: &str, query: &str) -> &'static str {
    let is_bucket = path.trim_matches('/').split('/').count() == 1;
    let has = |name: &str| query.split('&').any(|each| each == name || each.starts_with(&format!("{name}=")));
    match method {
        "PUT" | "POST" => "s3:PutObject",
        "GET" if is_bucket && has("uploads") => "s3:ListBucketMultipartUploads",
        "GET" if is_bucket => "s3:ListBucket",
        "GET" | "HEAD" => "s3:GetObject",
        "DELETE" if has("uploadId") => "s3:AbortMultipartUpload",
        "DELETE" => "s3:DeleteObject",
        _ => panic!("{method} {path}?{query}"),
    }
}

/// The actions of the policy in docs/offsite.md.
fn granted() -> BTreeSet<String> {
    let policy: Value = serde_json::from_str(&blocks_of("offsite")["policy"]).unwrap();
    let statements = policy["Statement"].as_array().unwrap().iter();
    let names = statements.flat_map(|statement| statement["Action"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// Everything that a daemon and its operator do with a repository needs what the page lists and nothing else; to remove needs one right more.
#[test]
fn the_policy_of_the_page_has_the_rights_that_are_used_and_no_other() {
    let bucket = Bucket::start();
    for (login, removes) in [(bucket.keeper(), false), (bucket.login().clone(), true)] {
        let proxy = Proxy::before(&bucket.login().endpoint);
        let mut env = TestEnv::new();
        keeping_in(&mut env, &login.by(&proxy.endpoint()), false);
        env.set("repository", &format!("s3://{}/{removes}", login.bucket));
        env.start_daemon();
        // What was begun of it is aborted.
        proxy.add(Rule::new(Fault::Answer(403, "AccessDenied")).method("POST").query("uploadId").always());
        env.full("full-0");
        env.expect_log("backup failed");
        wait_for("the upload to be aborted", || bucket.uploads().is_empty().then_some(()));
        proxy.clear();
        env.full("full-1");
        env.world.put("shop/orders.ibd", b"order 1\norder 2\n").unwrap();
        env.incremental("inc-1", "full-1");
        assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
        run(&env, "check");
        stdout(&env, 0, "verify --all");
        assert_eq!(restored(&env, &["full-1", "inc-1"]), "order 1\norder 2\n");
        env.database().execute("DELETE FROM backup", []).unwrap();
        fs::remove_dir_all(env.backup("full-1")).unwrap();
        stdout(&env, 0, "adopt --all --yes");
        if removes {
            stdout(&env, 0, "remove full-1 --chain --yes");
        }
        let mut used: BTreeSet<_> =
            proxy.requests().iter().map(|seen| action(&seen.method, &seen.path, &seen.query).to_owned()).collect();
        // `check` tries it.
        assert!(used.remove("s3:DeleteObject"));
        assert_eq!(used, granted());
    }
}
