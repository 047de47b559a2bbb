//! What the system says of a file, with the file's path in it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the system's at a path.
#[derive(Debug)]
struct Located {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "'{}': {}", self.path.display(), self.source)
    }
}

// The system's error is part of its text, so it is no cause beside it.
impl std::error::Error for Located {}

/// Gives an error of the system's the path that it is about: `'/b/monday': Permission denied (os error 13)`. Its kind stays. One that has words
/// of its own is left: it names its path already, or is no matter of a path's.
pub fn at(path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    |source| {
        if source.get_ref().is_some() {
            return source;
        }
        io::Error::new(source.kind(), Located { path: path.to_owned(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use super::at;

    #[test]
    fn an_error_names_its_path_once_and_keeps_its_kind() {
        let denied = io::Error::from_raw_os_error(13);
        let named = at(Path::new("/b/monday"))(at(Path::new("/b/monday/dbcalm.sha256"))(denied));
        assert_eq!(named.kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(crate::model::causes(&named), "'/b/monday/dbcalm.sha256': Permission denied (os error 13)");
        assert_eq!(at(Path::new("/x"))(io::ErrorKind::NotFound.into()).to_string(), "'/x': entity not found");
        // What says something else than the system is known by what it carries.
        assert_eq!(
            at(Path::new("/x"))(io::Error::other("the daemon was stopped")).to_string(),
            "the daemon was stopped"
        );
    }
}
