//! The binary log: read, archived, and proved to be whole.
//!
//! In: the files that a server writes, as they lie on its disk. Out: for each, which transactions it has, and an archive of them below
//! `backup_dir` in which nothing is missing between two places, or it says so. The server is asked nothing here, and nothing of it is changed.
//! mariadb-binlog notices no missing file (seen with 10.11.19): so a file counts as the next one only if it is by its number and by the GTIDs
//! at its head.

pub mod archive;
mod bytes;
pub mod event;
pub mod gtid;
pub mod line;
pub mod reader;
pub mod replay;
pub mod scheduled;
pub mod source;
pub mod statement;
pub mod stretch;
#[cfg(test)]
mod tests;
pub mod transaction;
