//! `mariadb-admin`: is a server there?

use super::stand::{Bench, Login, Outcome, Series, Tool};

on_every_bench![
    a_ping_is_answered,
    a_ping_with_a_wrong_password_is_answered_too,
    a_ping_of_a_stopped_server_fails,
    the_version_is_told_on_stdout,
    a_wrong_call_of_the_admin_tool_is_refused,
];

/// Calls it as the daemon does.
fn admin(bench: &Bench<'_>, login: Login, command: &str) -> Outcome {
    let file = format!("--defaults-file={}", bench.credentials(login));
    bench.run(Tool::Admin, &[&file, "--defaults-group-suffix=-dbcalm", command])
}

/// tools.md, "Behaviour".
fn a_ping_is_answered(bench: &Bench<'_>) {
    let _server = bench.server();
    let said = admin(bench, Login::Good, "ping");
    assert_eq!((said.code, said.stdout.trim(), said.stderr.as_str()), (Some(0), "mysqld is alive", ""), "{said}");
    let said = admin(bench, Login::Good, "status");
    assert_eq!(said.code, Some(0), "{said}");
    assert!(said.stdout.starts_with("Uptime: "), "{said}");
}

/// tools.md, "Behaviour": exit 0. Other commands fail.
fn a_ping_with_a_wrong_password_is_answered_too(bench: &Bench<'_>) {
    let _server = bench.server();
    for (command, code) in [("ping", 0), ("status", 1)] {
        let said = admin(bench, Login::WrongPassword, command);
        assert_eq!((said.code, said.stdout.as_str()), (Some(code), ""), "{said}");
        said.says("connect to server at 'localhost' failed").says("Access denied for user ");
    }
}

/// tools.md, "Behaviour": exit 1.
fn a_ping_of_a_stopped_server_fails(bench: &Bench<'_>) {
    let server = bench.server();
    server.stop();
    for command in ["ping", "status"] {
        let said = admin(bench, Login::Good, command).failed_with(1);
        said.says("connect to server at 'localhost' failed").says("Can't connect to local").says("Check that m");
    }
    server.start();
    assert_eq!(admin(bench, Login::Good, "ping").code, Some(0));
}

/// tools.md, "Behaviour": another line in each series.
fn the_version_is_told_on_stdout(bench: &Bench<'_>) {
    let said = bench.run(Tool::Admin, &["--version"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said}");
    let line = match bench.series() {
        Series(10, 5) => " Ver 9.1 Distrib 10.5.".to_owned(),
        series if series < Series(11, 0) => format!(" Ver 10.0 Distrib {series}."),
        series => format!("mariadb-admin from {series}."),
    };
    assert!(said.stdout.contains(&line), "{line:?} is not in {said}");
}

/// Exit codes as those of the backup tool. Seen.
fn a_wrong_call_of_the_admin_tool_is_refused(bench: &Bench<'_>) {
    let run = |args: &[&str]| bench.run(Tool::Admin, args);
    run(&["--nonsense", "ping"]).failed_with(2).says("unknown option '--nonsense'");
    run(&["--nonsense=1", "ping"]).failed_with(7).says("unknown variable 'nonsense=1'");
    run(&["--socket"]).failed_with(5).says("option '--socket' requires an argument");
    let missing = format!("--defaults-file={}", bench.path("nowhere").display());
    run(&[&missing, "ping"]).failed_with(1).says("Could not open required defaults file");
    let said = run(&[]).failed_with(1);
    assert!(said.stdout.contains("Usage: "), "{said}");
    let _server = bench.server();
    admin(bench, Login::Good, "nonsense").failed_with(1).says("Unknown command: 'nonsense'");
}
