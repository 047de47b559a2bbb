//! Where the server is, and what it says: every tool is led to one, and what it or the admin tool says besides "nobody is there" is told.

use std::fs;
use std::net::TcpListener;

use insta::assert_snapshot;

use crate::cli::run;
use crate::harness::daemon::restore_request;
use crate::harness::mariadb::{MariaDb, is_installed};
use crate::harness::stand::is_wanted;
use crate::harness::{TestEnv, not_here, wait_for};

const FULL: &str = r#"{"cmd":"full_backup","args":{"id":"full-1"}}"#;

/// What the admin tools of 10.11.19 and 11.8.6 say with exit status 1 though a server runs.
const NO_TLS: &str = "TLS/SSL error: SSL is required, but the server does not support it";
const TOO_MANY: &str = "Received error packet before completion of TLS handshake. The authenticity of the following error cannot be verified: 1040 - Too many connections";

#[test]
fn what_the_admin_tool_says_is_told_and_no_server_is_called_stopped_for_it() {
    let env = TestEnv::start();
    env.full("full-0");
    env.world.stop().unwrap();
    let rows = env.count("process", "1");
    let says = |reason: &str| env.script("mariadb-admin", &format!(r#"{{"fault":{{"says":"{reason}"}}}}"#));
    says(NO_TLS);
    assert_snapshot!(env.send(FULL), @r#"{"code": 503, "status": "cannot create backup, the admin tool says 'TLS/SSL error: SSL is required, but the server does not support it': the server has no TLS: write skip-ssl under [client-dbcalm] in the credentials file"}"#);
    says(NO_TLS);
    assert_snapshot!(env.send(&restore_request(&["full-0"], "database")), @r#"{"code": 503, "status": "cannot restore to database, whether the server is stopped is not known: the admin tool says 'TLS/SSL error: SSL is required, but the server does not support it': the server has no TLS: write skip-ssl under [client-dbcalm] in the credentials file"}"#);
    for (reason, hint) in [
        (TOO_MANY, "max_connections"),
        ("TLS/SSL error: Validation of SSL server certificate failed", "ssl-ca=FILE"),
        ("Can't connect to local server through socket '/run/s' (13)", "look at the modes of its directory"),
        ("Unknown server host 'db1' (-2)", "leads nowhere"),
    ] {
        for request in [FULL, &restore_request(&["full-0"], "database")] {
            says(reason);
            let said = env.send(request);
            assert!(said.contains(reason) && said.contains(hint) && said.contains("503"), "{said}");
        }
        says(reason);
        let said = run(&env, "check");
        let told = format!("problem  whether a server runs is not known: the admin tool says '{reason}'");
        assert!(said.status == 1 && said.stdout.contains(&told) && said.stdout.contains(hint), "{}", said.stdout);
    }
    assert_eq!(env.count("process", "1"), rows, "nothing has run");
    // Nobody at all is what it was.
    assert_snapshot!(env.send(FULL), @r#"{"code": 503, "status": "cannot create backup, MySQL/MariaDB server is not running"}"#);
}

/// mariadb-backup copies the files here of a directory that the server elsewhere has by the same name, and may say success of it.
#[test]
fn a_server_on_another_host_whose_directory_has_the_same_name_is_not_backed_up() {
    if !is_installed() {
        return;
    }
    if !rustix::process::getuid().is_root() {
        return not_here("root");
    }
    let (mut own, mut far) = (MariaDb::start(), MariaDb::start());
    for (server, rows) in [(&own, 1000), (&far, 3000)] {
        server.sql(&format!(
            "CREATE DATABASE shop; USE shop; CREATE TABLE orders (a INT) ENGINE=InnoDB; INSERT INTO orders SELECT seq FROM seq_1_to_{rows}"
        ));
    }
    let env = TestEnv::real(&own);
    let lead_to = |server: &MariaDb| {
        env.credentials(&format!("[client-dbcalm]\nuser=root\nsocket={}\n", server.socket().display()));
    };
    far.stop();
    far.run_elsewhere(&own.data_dir());
    lead_to(&far);
    env.start_daemon();
    let said = env.send(FULL);
    let told = "the server that answers runs on host 'elsewhere', and '";
    assert!(said.contains("503") && said.contains(told) && said.contains("' here has other data"), "{said}");
    let checked = run(&env, "check").stdout;
    assert!(
        checked.contains("problem  the server that answers runs on host 'elsewhere', with other files"),
        "{checked}"
    );
    // A container has a name of its own too, and its files may be those here.
    own.stop();
    own.run_elsewhere(&own.data_dir());
    lead_to(&own);
    let checked = run(&env, "check").stdout;
    assert!(
        checked.contains("ok       the server that answers runs on host 'elsewhere', with the files here"),
        "{checked}"
    );
    env.full("full-1");
    assert_eq!(env.newest("status"), "success", "{}", env.newest("error"));
}

/// A server that listens at a port of this machine too, and its port.
fn listening() -> (MariaDb, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let options = format!("skip-networking=0\nbind-address=127.0.0.1\nport={port}\nmax-connections=10\n");
    (MariaDb::with(|_root| options), port)
}

#[test]
fn a_real_server_is_found_by_the_credentials_file_alone_and_both_tools_go_there() {
    if !is_installed() {
        return;
    }
    let (server, port) = listening();
    let other = MariaDb::start();
    let mut env = TestEnv::real(&server);
    env.start_daemon();
    let login = |text: &str| env.credentials(&format!("[client-dbcalm]\nuser=root\n{text}"));
    let (own, others) = (server.socket().display().to_string(), other.socket().display().to_string());
    for (id, text) in [
        ("a", format!("host=127.0.0.1\nport={port}\n")),
        ("b", format!("host=localhost\nport={port}\nprotocol=tcp\nsocket={others}\n")),
        ("c", format!("port={port}\nsocket={own}\n")),
    ] {
        login(&text);
        let said = run(&env, "check");
        assert_eq!(said.status, 0, "{text}: {}", said.stdout);
        env.full(id);
        assert_eq!(env.count("backup", &format!("id = '{id}'")), 1, "{text}: {}", env.newest("error"));
    }
    // Who is led apart is told before anything runs.
    login(&format!("socket={own}\n[mariabackup-dbcalm]\nsocket={others}\n"));
    let told = "'socket' in section [mariabackup-dbcalm] of '~/credentials.cnf' is read by one of the tools alone: write it under [client-dbcalm]";
    assert_eq!(env.send(FULL), format!(r#"{{"code": 503, "status": "cannot create backup, {told}"}}"#));
    assert!(env.redact(&run(&env, "check").stdout).contains(told));
    login(&format!("socket={others}\n"));
    env.set("backup_options", &format!("[--port={port}]"));
    env.signal(rustix::process::Signal::HUP);
    env.expect_log("settings were read again");
    let said = env.send(FULL);
    assert!(said.contains("'--port' in backup_options leads the admin tool over TCP"), "{said}");
    assert_eq!(env.listing("backups"), "a/ b/ c/");
}

#[test]
fn a_real_server_that_is_full_locks_out_or_expires_is_told_in_its_own_words() {
    if !is_installed() {
        return;
    }
    let (server, _) = listening();
    server.sql(
        "CREATE USER locked@localhost IDENTIFIED BY 'x' ACCOUNT LOCK; CREATE USER expired@localhost IDENTIFIED BY 'x' PASSWORD EXPIRE;
         CREATE USER full@localhost IDENTIFIED BY 'x'; GRANT ALL ON *.* TO expired@localhost, full@localhost",
    );
    let env = TestEnv::real(&server);
    env.start_daemon();
    let login = |user: &str| {
        env.credentials(&format!("[client-dbcalm]\nuser={user}\npassword=x\nsocket={}\n", server.socket().display()));
    };
    for (user, words) in [
        (
            "locked",
            "the server does not accept the credentials: Access denied, this account is locked\n         hint: ALTER USER … ACCOUNT UNLOCK",
        ),
        (
            "expired",
            "the server does not accept the credentials: You must SET PASSWORD before executing this statement\n         hint: the password has expired",
        ),
    ] {
        login(user);
        let said = run(&env, "check");
        assert!(said.status == 1 && said.stdout.contains(words), "{user}: {}", said.stdout);
        let said = env.send(&restore_request(&["x"], "database"));
        assert!(said.contains("404"), "{said}");
    }
    // All connections are taken, the one that is kept for an administrator too.
    login("full");
    let mut taken: Vec<_> = (0..20).map(|_| server.session("SELECT sleep(60)")).collect();
    wait_for("the server to be full", || {
        server.ask(&[], "SELECT 1").is_err_and(|why| why.contains("Too many connections")).then_some(())
    });
    let said = env.send(FULL);
    assert!(
        said.contains("503") && said.contains("the admin tool says '") && said.contains("max_connections"),
        "{said}"
    );
    assert!(run(&env, "check").stdout.contains("whether a server runs is not known: the admin tool says '"));
    for session in &mut taken {
        session.kill().unwrap();
        session.wait().unwrap();
    }
}

/// A server that a ping does not find, since it listens elsewhere.
#[test]
fn a_real_server_that_works_in_the_data_directory_is_named_by_its_process() {
    if !is_installed() {
        return;
    }
    let mut server = MariaDb::start();
    let env = TestEnv::real(&server);
    env.start_daemon();
    env.full("full-1");
    env.credentials("[client-dbcalm]\nuser=root\nsocket=/nowhere/db.sock\n");
    let said = env.send(&restore_request(&["full-1"], "database"));
    let (begin, end) = (
        r#"{"code": 503, "status": "cannot restore to database, MySQL/MariaDb server is not stopped: process "#,
        format!(" (mariadbd) works in '{}'\"}}", server.data_dir().display()),
    );
    let pid = said.strip_prefix(begin).and_then(|rest| rest.strip_suffix(&end)).unwrap_or_else(|| panic!("{said}"));
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert!(arguments.contains(&server.socket().display().to_string()), "{arguments}");
    server.stop();
}

#[test]
fn what_helps_stands_before_the_words_of_a_tool_that_gave_up() {
    let env = TestEnv::start();
    env.script("mariabackup", r#"{"fault":{"says":"[00] Unable to obtain lock. Please try again later.\nmariabackup: Stopping log copying thread."}}"#);
    env.full("full-1");
    env.expect_log("backup failed");
    let error = env.newest("error");
    assert!(
        error.starts_with("mariabackup ended with status 1: --ftwrl-wait-timeout gives up at any query that runs"),
        "{error}"
    );
    assert!(error.ends_with("\nmariabackup: Stopping log copying thread."), "{error}");
}

#[test]
fn a_real_tool_that_waits_for_no_query_is_told_what_it_is() {
    if !is_installed() {
        return;
    }
    let server = MariaDb::start();
    let mut env = TestEnv::real(&server);
    env.set("backup_options", "[--ftwrl-wait-timeout=1]");
    env.start_daemon();
    let mut query = server.session("SELECT sleep(60)");
    wait_for("the query to run", || {
        server
            .sql("SELECT count(*) FROM information_schema.processlist WHERE info LIKE 'SELECT sleep%'")
            .starts_with('1')
            .then_some(())
    });
    env.full("full-1");
    env.expect_log("backup failed");
    let error = env.newest("error");
    assert!(error.contains(" ended with status 1: --ftwrl-wait-timeout gives up at any query that runs"), "{error}");
    query.kill().unwrap();
    query.wait().unwrap();
}

#[test]
fn rows_that_no_backup_has_are_told_with_its_success() {
    let env = TestEnv::start();
    let mut definition = vec![0; 150];
    definition[..4].copy_from_slice(&[0xfe, 0x01, 0x0a, 47]);
    definition.extend(b"\x07\0CONNECT");
    fs::create_dir_all(env.path("data/shop")).unwrap();
    fs::write(env.path("data/shop/ext.frm"), definition).unwrap();
    let told = "warning: the rows of CONNECT's tables are in files that no backup has: 'shop/ext.frm'";
    let said = run(&env, "backup full full-1");
    env.expect_log("the rows of CONNECT's tables are in files that no backup has");
    assert!(said.status == 0 && said.stdout.contains(&format!("\n{told}\n")), "{}{}", said.stdout, said.stderr);
    assert!(env.newest("output").starts_with(&format!("{told}\n")), "{}", env.newest("output"));
}

/// A server of 11.8 without TLS, which its own tools refuse to speak to; seen with 11.8.6.
#[test]
fn a_real_server_without_tls_is_told_and_what_is_told_mends_it() {
    let image = "mariadb-11.8";
    if !is_wanted(image) {
        return;
    }
    let Some((env, vessel)) = TestEnv::contained(image) else { return };
    vessel.run(&["server", "fresh"]);
    vessel.run(&["server", "start"]);
    let grants = "CREATE USER dbcalm@localhost IDENTIFIED BY 'x'; GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* TO dbcalm@localhost";
    vessel.run(&["mariadb", "--no-defaults", "--user=root", "--execute", grants]);
    vessel.run(&["server", "stop"]);
    vessel.launch(&[
        "setpriv",
        "--reuid=mysql",
        "--regid=mysql",
        "--init-groups",
        "mariadbd",
        "--no-defaults",
        "--datadir=/var/lib/mysql",
        "--socket=/run/mysqld/mysqld.sock",
        "--pid-file=/run/mysqld/plain.pid",
        "--skip-networking",
        "--innodb-log-file-size=64M",
        "--skip-ssl",
    ]);
    let ping = ["mariadb-admin", "--no-defaults", "--skip-ssl", "--user=root", "ping"];
    wait_for("the server to answer", || vessel.try_run(&ping).ok());
    env.credentials("[client-dbcalm]\nuser=dbcalm\npassword=x\n");
    env.start_daemon();
    assert_eq!(
        env.send(FULL),
        format!(
            r#"{{"code": 503, "status": "cannot create backup, the admin tool says '{NO_TLS}': the server has no TLS: write skip-ssl under [client-dbcalm] in the credentials file"}}"#
        )
    );
    env.credentials("[client-dbcalm]\nuser=dbcalm\npassword=x\nskip-ssl\n");
    env.full("full-1");
    assert_eq!(env.count("backup", "1"), 1, "{}", env.newest("error"));
    env.credentials("[client-dbcalm]\nuser=dbcalm\npassword=x\n");
    let said = env.send(&restore_request(&["full-1"], "database"));
    assert!(said.contains("whether the server is stopped is not known: the admin tool says 'TLS/SSL error"), "{said}");
}
