//! The backups that the cases share: a chain of three, taken once a stand, and one of another time.
//!
//! | | shop.orders | shop.quiet | shop.doomed | shop.late | shop.log (not InnoDB) | extra.notes |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `full` | one | still | gone | | first | |
//! | `inc-1` | one, two | still | | new | first, second | kept |
//! | `inc-2` | one, two, three | still | | new | first, second | |
//!
//! And `busy`, another full backup, during which rows were added: its redo log is a long one.
//!
//! There is a checkpoint right before each of them.

use std::path::PathBuf;

use super::stand::{Bench, Content, Stand, target};

/// Takes them; gives their directory.
pub(super) fn make(stand: &dyn Stand) -> PathBuf {
    let bench = Bench::new(stand);
    let server = bench.server();
    server.create_database("shop");
    for table in ["orders", "quiet", "doomed"] {
        server.create_table(&format!("shop.{table}"));
    }
    server.create_plain_table("shop.log");
    for (table, row) in
        [("shop.orders", "one"), ("shop.quiet", "still"), ("shop.doomed", "gone"), ("shop.log", "first")]
    {
        server.insert(table, row);
    }
    server.checkpoint();
    let full = bench.full("full");

    server.insert("shop.orders", "two");
    server.insert("shop.log", "second");
    server.drop_table("shop.doomed");
    server.create_table("shop.late");
    server.insert("shop.late", "new");
    server.create_database("extra");
    server.create_table("extra.notes");
    server.insert("extra.notes", "kept");
    server.checkpoint();
    let first = bench.incremental("inc-1", &full);

    server.insert("shop.orders", "three");
    server.drop_database("extra");
    server.checkpoint();
    bench.incremental("inc-2", &first);
    bench.during(&[&target(&bench.path("busy"))], || {
        for letter in ["a", "b", "c"] {
            server.insert("shop.orders", &letter.repeat(3000));
        }
    });
    server.drop_database("shop");
    bench.keep()
}

/// What was in the server at a member of the chain: 0 is the full backup.
pub(super) fn content(member: usize) -> Content {
    let tables: &[(&str, &[&str])] = match member {
        0 => &[
            ("shop.doomed", &["gone"]),
            ("shop.log", &["first"]),
            ("shop.orders", &["one"]),
            ("shop.quiet", &["still"]),
        ],
        1 => &[
            ("extra.notes", &["kept"]),
            ("shop.late", &["new"]),
            ("shop.log", &["first", "second"]),
            ("shop.orders", &["one", "two"]),
            ("shop.quiet", &["still"]),
        ],
        _ => &[
            ("shop.late", &["new"]),
            ("shop.log", &["first", "second"]),
            ("shop.orders", &["one", "two", "three"]),
            ("shop.quiet", &["still"]),
        ],
    };
    let rows = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect();
    tables.iter().map(|(name, of)| ((*name).to_owned(), rows(of))).collect()
}
