//! A removal, and what is left then.

use super::{CHAIN, chain, same};
use crate::harness::stand::Stand;

pub(crate) fn by_rule_the_older_chain_goes_and_the_newest_restores(stand: &mut dyn Stand) {
    stand.env().start_daemon();
    chain(stand, 3);
    stand.change(3);
    stand.full("full-2");
    stand.change(4);
    let wanted = stand.content();
    stand.incremental("inc-3", "full-2");
    let run = |args: &[&str]| {
        let said = stand.env().command().args(args).output().unwrap();
        assert!(said.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    };
    run(&["verify", "--all"]);
    let said = run(&["remove", "--keep-full", "1", "--yes"]);
    assert!(said.contains(&format!("removed {}, {}, {}: ", CHAIN[2], CHAIN[1], CHAIN[0])), "{said}");
    assert_eq!(stand.env().listing("backups"), "full-2/ inc-3/");
    assert_eq!(stand.env().count("backup", "1"), 2);
    stand.lose_everything();
    stand.env().restore(&["full-2", "inc-3"], "database");
    same("the chain that was kept", &stand.restored(), &wanted);
    stand.start_server();
    // The incrementals go on, on the chain that was restored.
    stand.incremental("inc-4", "inc-3");
    assert_eq!(stand.env().count("backup", "1"), 3, "{}", stand.env().newest("error"));
}
