//! Whether a stream holds a whole backup: each file from its first byte to its end, and the metadata that every backup has.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::StreamError;
use super::chunks::{Chunk, Kind};
use super::holes::{Part, Zeros};
use crate::model::{Footprint, Tool};
use crate::witness::findings::Findings;
use crate::witness::{CORRUPT_PAGES, Checkpoints, index, metadata, redo, renames, tables, young};

/// The server's options, which every backup has.
const OPTIONS: &str = "backup-my.cnf";
/// The redo log of a backup by mariabackup.
const REDO: &str = "ib_logfile0";
/// What stands before a partition's name in that of a file. The tool has `*` behind it for all of a table.
const PARTITION: &[u8] = b"#P#";
/// How much of a file is kept that is looked into, in bytes: more than any metadata has.
const KEPT: usize = 64 * 1024;

/// Looks at the chunks of a stream, in order.
#[derive(Debug)]
pub struct Inspector {
    tool: &'static Tool,
    files: HashMap<PathBuf, File>,
    /// Whether a definition has come: the tool copies all of them, and then does what DDL asks for.
    has_definitions: bool,
    /// Definitions that were there and were removed.
    gone: BTreeSet<PathBuf>,
    /// Of the payload that came last.
    part: Part,
}

/// What a chunk changes in the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It goes on with one.
    None,
    /// One begins.
    Begins,
    /// One begins anew; what was there under its name, if anything, is no more.
    BeginsAnew,
    /// These are no more, nor is the directory of the chunk's path, if it is one.
    Removed(Vec<PathBuf>),
    /// The file has the other name now.
    Renamed,
}

/// A file of the stream.
#[derive(Debug, Default)]
struct File {
    length: u64,
    has_ended: bool,
    zeros: Zeros,
    /// How much of it is no hole, in bytes.
    data: u64,
    /// How many bytes of holes are filled when it is applied.
    fills: u64,
    /// The beginning of one that is looked into.
    beginning: Vec<u8>,
}

/// What a whole stream held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// How many files.
    pub files: usize,
    /// What the checkpoints say.
    pub checkpoints: Checkpoints,
    /// Whether the tool lists damaged pages in it, which it went on over.
    pub has_corrupt_pages: bool,
    /// Which tables it has not whole.
    pub tables: Findings,
    /// What its files take on a disk.
    pub footprint: Footprint,
}

impl Inspector {
    /// For a stream of this tool.
    pub fn new(tool: &'static Tool) -> Self {
        Self { tool, files: HashMap::new(), has_definitions: false, gone: BTreeSet::new(), part: Part::default() }
    }

    /// Takes the next chunk, which is in `buffer`.
    ///
    /// # Errors
    /// Its file has ended, or this is not what comes next in it.
    pub fn take(&mut self, chunk: &Chunk, buffer: &[u8]) -> Result<Effect, String> {
        let path = &chunk.path;
        match &chunk.kind {
            Kind::Payload { offset, bytes } => {
                let begins = self.begins(chunk)?;
                self.payload(path, *offset, buffer.get(bytes.clone()).unwrap_or_default())?;
                Ok(begins)
            }
            Kind::End => {
                let begins = self.begins(chunk)?;
                let file = self.of(path)?;
                file.has_ended = true;
                if index::is_index(path) {
                    // There may be very many of them.
                    let mark = index::mark(path, &file.beginning, file.length).unwrap_or_default();
                    file.beginning = mark.into_bytes();
                }
                self.has_definitions |= tables::is_definition(path);
                Ok(begins)
            }
            Kind::Removed => self.removed(path),
            Kind::Renamed { to } => {
                let Some(file) = self.files.remove(path) else {
                    // mbstream renames a directory, and the tool asks for that of none.
                    return if self.files.keys().any(|file| file.starts_with(path)) {
                        Err(format!("'{}' is a directory and gets another name", path.display()))
                    } else {
                        Ok(Effect::None)
                    };
                };
                if !file.has_ended {
                    return Err(format!("'{}' gets another name before its end", path.display()));
                }
                if self.files.get(to).is_some_and(|there| !there.has_ended) {
                    return Err(format!("'{}' is another file's name before its end", to.display()));
                }
                self.gone.remove(to);
                self.files.insert(to.clone(), file);
                Ok(Effect::Renamed)
            }
        }
    }

    /// Whether a file begins with this chunk.
    ///
    /// One that is empty has no payload that could say that it is written anew: its end alone comes once more, for a table that was there
    /// and has no rows now (seen with mariadb-backup 10.11.19, by `ALTER TABLE … TRANSACTIONAL=0, ROW_FORMAT=FIXED` of one of Aria).
    fn begins(&mut self, chunk: &Chunk) -> Result<Effect, String> {
        let path = &chunk.path;
        // That is the work of the tool's last phase, on tables alone.
        let may_be_anew = self.has_definitions && tables::is_copied_again(path);
        let effect = match self.files.get(path) {
            Some(file) if !file.has_ended => return Ok(Effect::None),
            _ if chunk.is_anew && !may_be_anew => {
                return Err(format!("'{}' is written a second time", path.display()));
            }
            Some(_) if !(chunk.is_anew || chunk.kind == Kind::End && may_be_anew) => {
                return Err(format!("'{}' goes on after its end", path.display()));
            }
            None if !chunk.is_anew => Effect::Begins,
            Some(_) | None => Effect::BeginsAnew,
        };
        self.gone.remove(path);
        self.files.insert(path.clone(), File::default());
        Ok(effect)
    }

    /// Takes a part of a file.
    fn payload(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let kept = self.kept(path);
        let file = self.of(path)?;
        if offset != file.length {
            return Err(format!(
                "a chunk of '{}' is for byte {offset} where {} comes next",
                path.display(),
                file.length
            ));
        }
        if offset == 0 {
            file.zeros = Zeros::of(path, bytes);
        }
        let part = file.zeros.part(offset, bytes);
        file.data += part.data.iter().map(|data| data.len() as u64).sum::<u64>();
        file.fills += part.fills;
        file.length += bytes.len() as u64;
        let room = kept.saturating_sub(file.beginning.len());
        file.beginning.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        self.part = part;
        Ok(())
    }

    /// What of the payload that was taken last is to be written; the rest is a hole.
    pub(super) fn data(&self) -> &[Range<usize>] {
        &self.part.data
    }

    fn of(&mut self, path: &Path) -> Result<&mut File, String> {
        self.files.get_mut(path).ok_or_else(|| format!("'{}' has not begun", path.display()))
    }

    /// Takes it that files are no more. A definition among them was copied while all DDL waited: its table is lost.
    ///
    /// Of a partitioned table the tool says `t#P#*`. mbstream 10.11.19 takes that for the name of one file and removes nothing, and what is left
    /// keeps a server from dropping the database. What is of `InnoDB` stays: it is of the table that has the name by now, as where
    /// one of Aria was given that engine. A backup as a directory loses it there (10.11.19).
    fn removed(&mut self, path: &Path) -> Result<Effect, String> {
        // Most often it is a file, of which there may be very many.
        let meant = if self.files.contains_key(path) {
            vec![path.to_owned()]
        } else if let Some(begin) =
            path.as_os_str().as_bytes().strip_suffix(b"*").filter(|begin| begin.ends_with(PARTITION))
        {
            let is_meant =
                |file: &&PathBuf| file.as_os_str().as_bytes().starts_with(begin) && tables::is_of_another_engine(file);
            self.files.keys().filter(is_meant).cloned().collect()
        } else {
            self.files.keys().filter(|file| file.starts_with(path)).cloned().collect()
        };
        for file in &meant {
            if self.files.remove(file).is_some_and(|file| !file.has_ended) {
                return Err(format!("'{}' is removed before its end", file.display()));
            }
            if tables::is_definition(file) {
                self.gone.insert(file.clone());
            }
        }
        Ok(Effect::Removed(meant))
    }

    /// How much of a file is kept to be looked into, in bytes.
    fn kept(&self, path: &Path) -> usize {
        if tables::is_definition(path) {
            return tables::HEAD;
        }
        if index::is_index(path) {
            return index::told_by(path);
        }
        if young::is_young(path) {
            return young::HEAD;
        }
        let is_metadata = path.to_str().is_some_and(|name| {
            name == OPTIONS || name == REDO || self.tool.checkpoints.contains(&name) || self.tool.info.contains(&name)
        });
        if is_metadata || tables::is_partition_list(path) || renames::is_note(path) { KEPT } else { 0 }
    }

    fn tables(&self) -> Findings {
        let renames = self.files.iter().filter(|(path, _)| renames::is_note(path));
        let renames = renames.map(|(path, file)| (path.with_extension(""), renames::new_name(&file.beginning)));
        let renames = renames.collect::<Vec<_>>();
        let moved_to = renames.iter().map(|(_, new)| tables::tablespace_of(new)).collect::<HashSet<_>>();
        let is_there = |path: &Path| self.files.contains_key(path) || moved_to.contains(path);
        let read = |path: &Path| Some(self.files.get(path)?.beginning.clone());
        let definitions = self.files.iter().filter(|(path, _)| tables::is_definition(path));
        let lacking = definitions.filter_map(|(path, file)| tables::lacking(path, &file.beginning, read, is_there));
        let mut lacking = lacking.collect::<Vec<_>>();
        lacking.sort();
        let indexes = self.files.iter().filter(|(path, _)| index::is_index(path));
        let indexes = indexes.filter(|(_, file)| !file.beginning.is_empty());
        let mark = |file: &File| String::from_utf8_lossy(&file.beginning).into_owned();
        let indexes = indexes.map(|(path, file)| (path.clone(), mark(file))).collect();
        let young = self.files.iter().filter(|(path, _)| young::is_young(path));
        let young =
            young.map(|(path, file)| (path.clone(), young::space(&file.beginning).unwrap_or_default())).collect();
        let gone = self.gone.iter().cloned().collect();
        Findings { lacking, gone, swapped: renames::circles(renames), indexes, young }
    }

    /// Says whether the stream may end here.
    ///
    /// # Errors
    /// It may not: what is missing, or wrong in the metadata. The byte is where it ends.
    pub fn finish(self, at: u64) -> Result<Whole, StreamError> {
        self.whole().map_err(|what| StreamError::Broken { at, what })
    }

    fn whole(&self) -> Result<Whole, String> {
        if self.files.is_empty() {
            return Err("it is empty".to_owned());
        }
        if let Some((path, _)) = self.files.iter().filter(|(_, file)| !file.has_ended).min_by_key(|(path, _)| *path) {
            return Err(format!("it ends before the end of '{}'", path.display()));
        }
        let (name, text) = self.text(self.tool.checkpoints)?;
        let checkpoints = Checkpoints::parse(&text).map_err(|field| format!("'{name}' has no valid {field}"))?;
        checkpoints.check_order(Path::new(name)).map_err(|why| why.to_string())?;
        let (name, text) = self.text(self.tool.info)?;
        metadata::check_info(&text).map_err(|field| format!("'{name}' has no valid {field}"))?;
        let (name, text) = self.text(&[OPTIONS])?;
        metadata::check_options(&text).map_err(|field| format!("'{name}' has no valid {field}"))?;
        if let Some(log) = self.files.get(Path::new(REDO))
            && let Some(head) = log.beginning.first_chunk()
            && let Some(needed) = redo::needed(*head, checkpoints.last_lsn)
            && log.length < needed
        {
            return Err(format!("the redo log has {} bytes where its LSNs need {needed}", log.length));
        }
        let sum = |of: fn(&File) -> u64| self.files.values().map(of).sum();
        let footprint = Footprint { size: sum(|file| file.data), fills: sum(|file| file.fills) };
        let has_corrupt_pages = self.files.contains_key(Path::new(CORRUPT_PAGES));
        Ok(Whole { files: self.files.len(), checkpoints, has_corrupt_pages, tables: self.tables(), footprint })
    }

    fn text(&self, names: &[&'static str]) -> Result<(&'static str, String), String> {
        let found = names.iter().find_map(|name| Some((*name, self.files.get(Path::new(name))?)));
        let (name, file) = found.ok_or_else(|| format!("it has no {}", names.last().copied().unwrap_or_default()))?;
        Ok((name, String::from_utf8_lossy(&file.beginning).into_owned()))
    }
}
