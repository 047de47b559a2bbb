//! Why a step is no success, in words.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use super::MetadataError;
use crate::exec::Outcome;
use crate::model::Lsn;

/// A program that did not end well.
#[derive(Debug, PartialEq, Eq)]
pub struct Failed {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.outcome)
    }
}

/// Why a step is no success.
#[derive(Debug, Error)]
pub enum Doubt {
    /// A program of the pipeline says so itself, or several do.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Outcome(Vec<Failed>),
    /// Status 0, without the tool's last word.
    #[error("{0} ended with status 0 but did not say 'completed OK!'")]
    NotCompleted(String),
    /// The files beside the data cannot be believed.
    #[error("the backup's metadata cannot be trusted")]
    Metadata(#[from] MetadataError),
    /// A stream whose hash is not in the manifest of its folder.
    #[error("'{}' is not in the manifest", .0.display())]
    NotSealed(PathBuf),
    /// The manifest of a backup cannot be read.
    #[error("the manifest of the backup cannot be read")]
    Unreadable(#[from] io::Error),
    /// Not the kind of backup that was asked for.
    #[error("backup_type in '{}' is '{found}' where '{wanted}' was expected", dir.display())]
    Kind {
        /// Where.
        dir: PathBuf,
        /// What is there.
        found: String,
        /// What should be.
        wanted: &'static str,
    },
    /// The LSNs of a chain do not meet.
    #[error("{what} is {found} where {wanted} was expected: the chain does not fit together")]
    Lsn {
        /// Which number.
        what: &'static str,
        /// What it is.
        found: Lsn,
        /// What it should be.
        wanted: Lsn,
    },
    /// Tables that the tool has left out, or taken away again.
    #[error("{} lost by the tool, since the definitions or files changed while it copied: {}; take the backup again", count_tables(.0.len()), some(.0))]
    Lost(Vec<String>),
    /// Tables whose tablespace was imported, which the tool takes for one that was dropped.
    #[error("{} left out by the tool: {}; where it was imported (IMPORT TABLESPACE) no backup has it until the server makes a checkpoint or the table is rebuilt (ALTER TABLE … FORCE): take the backup again then", count_tables(.0.len()), some(.0))]
    Imported(Vec<String>),
    /// Tables that lie where the tool does not follow.
    #[error("{} left out by the tool, which follows no symlink to files of Aria: {}; move them into the data directory", count_tables(.0.len()), some(.0))]
    Elsewhere(Vec<String>),
    /// Tables that took each other's names.
    #[error("{} given the name of another that was renamed while the tool copied: {}; it is not known whose rows it copied: take the backup again", count_tables(.0.len()), some(.0))]
    Crossed(Vec<String>),
    /// Tables that were truncated or made behind the tool's back.
    #[error("{} truncated or made while the tool copied them, or after that: {}; the backup may have their old rows, take it again", count_tables(.0.len()), some(.0))]
    Emptied(Vec<String>),
    /// InnoDB's tables of an incremental that took each other's names.
    #[error("{} with each other while the tool copied: {}; it cannot apply such an incremental, take the backup again", count_swapped(.0.len()), some(.0))]
    Swapped(Vec<String>),
    /// The redo log ended before the backup did: what is restored would be older than it says.
    #[error("the redo log of '{}' ends at LSN {found}, before the backup's own end at {wanted}", dir.display())]
    RedoCut {
        /// Of which backup.
        dir: PathBuf,
        /// Where it ends.
        found: Lsn,
        /// Where the backup ends.
        wanted: Lsn,
    },
    /// The redo log's file is shorter than its LSNs make it.
    #[error("the redo log of '{}' has {found} bytes where its LSNs need {wanted}", dir.display())]
    RedoShort {
        /// Of which backup.
        dir: PathBuf,
        /// Its size, in bytes.
        found: u64,
        /// The size it should have at least, in bytes.
        wanted: u64,
    },
    /// The tool went on over pages that are damaged in the server, and no prepare can use them.
    #[error(
        "the tool found damaged pages in the server and backed them up as they are, listed in '{}': repair the tables, then back up",
        .0.display()
    )]
    CorruptPages(PathBuf),
    /// The tool was told to leave something out.
    #[error(
        "the tool left databases or tables out ('partial = {found}' in its info file in '{}'): look for tables, databases and the like in \
         the option files that it reads",
        dir.display()
    )]
    Partial {
        /// Of which backup.
        dir: PathBuf,
        /// What the info file says.
        found: String,
    },
    /// The tool did not say where the redo log ended.
    #[error("the tool did not say where the redo log of '{}' ends", .0.display())]
    RedoUnknown(PathBuf),
}

/// How many tables a text names at the most.
const NAMED: usize = 5;

fn count_tables(count: usize) -> String {
    if count == 1 { "1 table was".to_owned() } else { format!("{count} tables were") }
}

fn count_swapped(count: usize) -> String {
    format!("{count} tables of InnoDB changed names")
}

/// The first few.
pub(crate) fn some(names: &[String]) -> String {
    let more = names.len().saturating_sub(NAMED);
    let some = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{some} and {more} more") } else { some }
}

#[cfg(test)]
mod tests {
    use super::Doubt;

    #[test]
    fn the_tables_that_are_lost_are_named_and_counted() {
        let lost = |count: usize| Doubt::Lost((1..=count).map(|number| format!("'shop/t{number}.frm'")).collect());
        assert_eq!(
            lost(1).to_string(),
            "1 table was lost by the tool, since the definitions or files changed while it copied: 'shop/t1.frm'; take the backup again"
        );
        assert_eq!(
            lost(7).to_string(),
            "7 tables were lost by the tool, since the definitions or files changed while it copied: 'shop/t1.frm', 'shop/t2.frm', 'shop/t3.frm', 'shop/t4.frm', 'shop/t5.frm' and 2 more; take the backup again"
        );
    }
}
