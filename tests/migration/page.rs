//! docs/migrate.md, and the blocks of commands in it.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../docs/migrate.md");

/// The blocks that are run, by their names.
pub(super) fn blocks() -> BTreeMap<&'static str, String> {
    crate::harness::page::blocks(PAGE, &["sh"])
}
