//! Whether a stream holds a whole backup: each file from its first byte to its end, and the metadata that every backup has.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::StreamError;
use crate::plan::tool::Tool;
use crate::witness::{CORRUPT_PAGES, Checkpoints, metadata, redo};

/// The server's options, which every backup has.
const OPTIONS: &str = "backup-my.cnf";
/// The redo log of a backup by mariabackup.
const REDO: &str = "ib_logfile0";
/// How much of a file is kept that is looked into, in bytes: more than any metadata has.
const KEPT: usize = 64 * 1024;

/// Looks at the chunks of a stream, in order.
#[derive(Debug)]
pub struct Inspector {
    tool: &'static Tool,
    files: HashMap<PathBuf, File>,
    open: usize,
}

/// A file of the stream.
#[derive(Debug, Default)]
struct File {
    length: u64,
    has_ended: bool,
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
}

impl Inspector {
    /// For a stream of this tool.
    pub fn new(tool: &'static Tool) -> Self {
        Self { tool, files: HashMap::new(), open: 0 }
    }

    /// Whether nothing was seen yet of this file.
    pub fn is_new(&self, path: &Path) -> bool {
        !self.files.contains_key(path)
    }

    /// Takes a part of a file.
    ///
    /// # Errors
    /// The file has ended, or this is not what comes next in it.
    pub fn payload(&mut self, path: &Path, offset: u64, bytes: &[u8]) -> Result<(), String> {
        let is_kept = self.is_looked_into(path);
        let file = self.of(path)?;
        if offset != file.length {
            return Err(format!(
                "a chunk of '{}' is for byte {offset} where {} comes next",
                path.display(),
                file.length
            ));
        }
        file.length += bytes.len() as u64;
        if is_kept {
            let room = KEPT - file.beginning.len();
            file.beginning.extend_from_slice(bytes.get(..room.min(bytes.len())).unwrap_or_default());
        }
        Ok(())
    }

    /// Takes the end of a file; one that is empty has nothing else.
    ///
    /// # Errors
    /// It has ended before.
    pub fn end(&mut self, path: &Path) -> Result<(), String> {
        self.of(path)?.has_ended = true;
        self.open -= 1;
        Ok(())
    }

    fn of(&mut self, path: &Path) -> Result<&mut File, String> {
        if !self.files.contains_key(path) {
            self.open += 1;
        }
        let file = self.files.entry(path.to_owned()).or_default();
        if file.has_ended { Err(format!("'{}' goes on after its end", path.display())) } else { Ok(file) }
    }

    fn is_looked_into(&self, path: &Path) -> bool {
        let Some(name) = path.to_str() else { return false };
        name == OPTIONS || name == REDO || self.tool.checkpoints.contains(&name) || self.tool.info.contains(&name)
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
        let has_corrupt_pages = self.files.contains_key(Path::new(CORRUPT_PAGES));
        Ok(Whole { files: self.files.len(), checkpoints, has_corrupt_pages })
    }

    fn text(&self, names: &[&'static str]) -> Result<(&'static str, String), String> {
        let found = names.iter().find_map(|name| Some((*name, self.files.get(Path::new(name))?)));
        let (name, file) = found.ok_or_else(|| format!("it has no {}", names.last().copied().unwrap_or_default()))?;
        Ok((name, String::from_utf8_lossy(&file.beginning).into_owned()))
    }
}
