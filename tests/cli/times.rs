//! Times as the Go API's and its daemon's drivers wrote them: each reader takes them for the instants that they are, and not for texts.

use super::{json, stdout};
use crate::harness::TestEnv;

/// Two full backups, the first of which sorts after the second as a text, since it was recorded in the time of a zone: by `text` of that.
fn of_a_zone(text: &str) -> TestEnv {
    let mut env = TestEnv::new();
    let metrics = env.path("lib/dbcalm.prom").display().to_string();
    env.set("metrics_file", &metrics);
    env.start_daemon();
    for (id, ago, hours, tail) in [("zone", 20, 2, text), ("utc", 10, 0, ".5 +0000 UTC m=+51.540198008")] {
        env.full(id);
        let at = |minutes: i32| {
            format!("strftime('%Y-%m-%d %H:%M:%S', 'now', '-{minutes} minutes', '+{hours} hours') || '{tail}'")
        };
        let set = format!("UPDATE backup SET start_time = {}, end_time = {} WHERE id = '{id}'", at(ago), at(ago - 1));
        env.database().execute_batch(&set).unwrap();
    }
    env
}

/// The forms of both drivers: that of mattn/go-sqlite3 and, with and without a reading of the monotonic clock, of modernc.org/sqlite.
const FORMS: [&str; 3] = [".104975789+02:00", ".104975789 +0200 EET m=+2.1", ".104975789 +0200 EET"];

#[test]
fn times_of_a_zone_are_instants_to_every_reader() {
    for form in FORMS {
        let env = of_a_zone(form);
        let by_text = "start_time = (SELECT max(start_time) FROM backup)";
        assert_eq!(env.rows("backup", by_text)[0]["id"], "zone", "{form}: by its text");
        assert_eq!(json(&env, 0, "show latest")["id"], "utc", "{form}");
        for (id, ago) in [("zone", 1200.0), ("utc", 600.0)] {
            let shown = json(&env, 0, &format!("show {id}"));
            let age = shown["age_seconds"].as_f64().unwrap();
            // What SQLite makes of now has no fractions, and the form has.
            assert!((ago - 1.0..ago + 60.0).contains(&age), "{form}: {id} is {age} s old");
            assert!((shown["duration_seconds"].as_f64().unwrap() - 60.0).abs() < 1e-3, "{form}: {shown}");
            let begun = shown["start_time"].as_str().unwrap();
            assert!(begun.len() == 26 && !begun.contains('+'), "{form}: {begun}");
            let text = stdout(&env, 0, &format!("show {id}"));
            assert!(text.contains(&format!("\nbegun        {begun} UTC (")), "{form}: {text}");
        }
        let listed = json(&env, 0, "list --since 15m");
        assert_eq!(listed["backups"].as_array().unwrap().len(), 1, "{form}: {listed}");

        // What they come to in the records is in the daemon's form, which the Python API's ORM reads.
        let restored = json(&env, 0, "restore zone --target folder");
        assert_eq!(restored["status"], "success", "{form}");
        let begun = json(&env, 0, "show zone")["start_time"].clone();
        assert_eq!(env.rows("restore", "1")[0]["backup_timestamp"], begun, "{form}");
        let as_of = begun.as_str().unwrap()[..19].to_owned();
        assert!(stdout(&env, 0, "list restores").contains(&as_of), "{form}");

        // The alert on what is old goes by the last success.
        env.signal(rustix::process::Signal::TERM);
        assert_eq!(env.wait_for_end(), Some(0), "{form}");
        let told = std::fs::read_to_string(env.path("lib/dbcalm.prom")).unwrap();
        let sample = "dbcalm_backup_last_success_timestamp_seconds{type=\"full\"} ";
        let end: f64 = told.lines().find_map(|line| line.strip_prefix(sample)).unwrap().parse().unwrap();
        let query = "SELECT unixepoch('now') - 540";
        let wanted: f64 = env.database().query_row(query, [], |row| row.get(0)).unwrap();
        assert!((wanted - 60.0..=wanted + 2.0).contains(&end), "{form}: {end}, {wanted}");
    }
}

#[test]
fn check_names_what_the_api_takes_for_newer_than_it_is() {
    let env = of_a_zone(FORMS[1]);
    let said = json(&env, 0, "check");
    let warnings: Vec<_> =
        said["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "warning").collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let text = warnings[0]["text"].as_str().unwrap();
    let recorded = env.rows("backup", "id = 'zone'")[0]["start_time"].as_str().unwrap().to_owned();
    let begun = json(&env, 0, "show zone")["start_time"].as_str().unwrap().to_owned();
    let until = &recorded[..19];
    assert_eq!(
        text,
        format!(
            "backup 'zone' was begun at {begun} UTC, is recorded as '{recorded}', and the API sorts by that text: until {until} UTC it takes \
             it for newer than those that are taken now"
        )
    );
}
