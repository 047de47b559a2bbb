//! A directory that is made for a request, before it is known whether anything comes of it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio::time::timeout_at;

use super::below;

/// A directory that goes again, empty as it is, unless it is [kept](NewDir::keep).
#[derive(Debug)]
pub struct NewDir(Option<PathBuf>);

impl NewDir {
    /// Makes one below `parent`, which is below `root` and made too if need be, with a name that begins like this.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn make(root: &Path, parent: &Path, name: &str) -> io::Result<Self> {
        Ok(Self(Some(below::make_unique(root, parent, name)?)))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// It stays, whatever becomes of this.
    pub fn keep(mut self) {
        self.0 = None;
    }

    /// Removes it, and waits for that as long as anybody does: a disk may not answer.
    pub async fn discard(mut self, until: Instant) {
        if let Some(path) = self.0.take() {
            let _what_stays_the_next_start_finds =
                timeout_at(until.into(), spawn_blocking(move || fs::remove_dir(path))).await;
        }
    }
}

impl Drop for NewDir {
    fn drop(&mut self) {
        let Some(path) = self.0.take() else { return };
        // What cannot be removed the next start finds.
        let remove = move || drop(fs::remove_dir(path));
        match Handle::try_current() {
            // The disk may not answer.
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_no_runtime) => remove(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::NewDir;

    #[test]
    fn what_is_not_kept_goes_again_and_what_holds_something_stays() {
        let root = tempfile::tempdir().unwrap();
        let parent = root.path().join("tmp");
        let make = || NewDir::make(root.path(), &parent, "2026-11-28-12-00-00").unwrap();
        let (gone, kept, filled) = (make(), make(), make());
        let paths = [&gone, &kept, &filled].map(|dir| dir.path().to_owned());
        std::fs::write(filled.path().join("ibdata1"), "").unwrap();
        drop(gone);
        kept.keep();
        drop(filled);
        assert_eq!(paths.map(|path| path.exists()), [false, true, true]);
    }
}
