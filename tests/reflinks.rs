//! File systems on which two files can share their blocks: a private copy is made without writing, and what is stored stays as it is.

use crate::harness::TestEnv;
use crate::harness::daemon::restore_request;
use crate::harness::device::{Device, Kind};
use crate::harness::mariadb::{self, MariaDb};
use crate::harness::world::content_of;

#[test]
fn a_chain_that_shares_its_blocks_with_its_copies_is_restored_again_and_again() {
    let server = mariadb::is_installed().then(MariaDb::start);
    for kind in [Kind::Xfs, Kind::Btrfs] {
        let env = server.as_ref().map_or_else(TestEnv::new, TestEnv::real);
        let Some(_device) = Device::mount_as(kind, &env.path("backups")) else { return };
        env.start_daemon();
        env.full("full-1");
        env.send(r#"{"cmd":"incremental_backup","args":{"id":"inc-1","from_backup_id":"full-1"}}"#);
        env.settled();
        assert_eq!(env.newest("status"), "success", "{kind:?}: {}", env.newest("error"));
        let stored = || ["full-1", "inc-1"].map(|id| content_of(&env.backup(id)).unwrap());
        let before = stored();
        for times in 1..=2 {
            env.send(&restore_request(&["full-1", "inc-1"], "folder"));
            env.settled();
            assert_eq!(env.newest("status"), "success", "{kind:?}: {}", env.newest("error"));
            assert_eq!(env.count("process", "output LIKE '%by sharing blocks%'"), times * 2, "{kind:?}");
            assert!(stored() == before, "{kind:?}: a restore has changed what is stored");
        }
        env.world.stop().unwrap();
    }
}
