//! The Unix socket: bound with the right mode, never over somebody who answers, and found by both clients.
//!
//! The Go API connects to `db-cmd.sock`, the Python API to `mariadb-cmd.sock`: the second is a relative symlink to the first.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use thiserror::Error;

use crate::model::at;

/// The name under which the Python API looks for the daemon, beside the socket itself.
pub const PYTHON_NAME: &str = "mariadb-cmd.sock";

/// Clients that may wait to be accepted: the most Linux takes without a change of `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Why there is no socket.
#[derive(Debug, Error)]
pub enum SocketError {
    /// A daemon, ours or a predecessor, is there already.
    #[error("another daemon answers at '{}'", .0.display())]
    Taken(PathBuf),
    /// Whatever is there, it is not ours to remove.
    #[error("'{}' exists and is not a socket", .0.display())]
    NotASocket(PathBuf),
    /// The system's own error.
    #[error("no socket can be created at '{}'", path.display())]
    Io {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl SocketError {
    /// What the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Taken(_) => "stop the other daemon first, or give this one another --socket",
            Self::NotASocket(_) => "move that file away, or give another --socket",
            Self::Io { .. } => {
                "the directory must exist and be writable by this user, and the path must be shorter than 108 bytes"
            }
        }
    }
}

/// A socket in the file system, removed at the end, if it is still this one.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    identity: (u64, u64),
}

impl Socket {
    /// Binds and listens at `path`, and lays the symlink for the Python API beside it.
    ///
    /// The mode is `0666` masked by the permission bits of the parent directory, and set before the first client can connect.
    pub fn bind(path: &Path) -> Result<(Self, UnixListener), SocketError> {
        let alias = alias(path);
        clear(path)?;
        if let Some(alias) = &alias {
            clear(alias)?;
        }
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source: io::Error| SocketError::Io { path, source }
        };
        let listener = listener(path).map_err(at(path))?;
        if let Some(alias) = &alias {
            lay_symlink(path, alias).map_err(at(alias))?;
        }
        let bound = fs::symlink_metadata(path).map_err(at(path))?;
        Ok((Self { path: path.to_owned(), identity: (bound.dev(), bound.ino()) }, listener))
    }

    /// Removes the socket and its symlink, unless another has taken its place.
    pub fn remove(self) -> io::Result<()> {
        let there = match fs::symlink_metadata(&self.path) {
            Ok(there) => there,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(why) => return Err(why),
        };
        if (there.dev(), there.ino()) != self.identity {
            return Ok(());
        }
        if let Some(alias) = alias(&self.path).filter(|alias| points_to(alias, &self.path)) {
            fs::remove_file(&alias).map_err(at(&alias))?;
        }
        fs::remove_file(&self.path).map_err(at(&self.path))
    }
}

fn alias(path: &Path) -> Option<PathBuf> {
    (path.file_name()? != PYTHON_NAME).then(|| path.with_file_name(PYTHON_NAME))
}

fn points_to(alias: &Path, path: &Path) -> bool {
    fs::read_link(alias).is_ok_and(|target| path.file_name().is_some_and(|name| target == Path::new(name)))
}

/// Removes a socket that nobody answers at, or a symlink to one; refuses everything else that is there.
fn clear(path: &Path) -> Result<(), SocketError> {
    let failed = |source| SocketError::Io { path: path.to_owned(), source };
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(failed(why)),
    };
    if !there.file_type().is_socket() && !there.file_type().is_symlink() {
        return Err(SocketError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        // Refused: a socket whose owner is gone. Not found: a symlink to one that is gone.
        Err(why) if matches!(why.kind(), io::ErrorKind::ConnectionRefused | io::ErrorKind::NotFound) => {
            let ours = there.file_type().is_socket() || is_symlink_beside(path);
            if !ours {
                return Err(SocketError::NotASocket(path.to_owned()));
            }
            fs::remove_file(path).map_err(failed)
        }
        // A queue that is full has somebody at its other end.
        Ok(_) => Err(SocketError::Taken(path.to_owned())),
        Err(why) if why.kind() == io::ErrorKind::WouldBlock => Err(SocketError::Taken(path.to_owned())),
        Err(why)
            if !there.file_type().is_socket()
                || why.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error()) =>
        {
            Err(SocketError::NotASocket(path.to_owned()))
        }
        Err(why) => Err(failed(why)),
    }
}

/// Whether a symlink names a file of its own directory, as those do that this daemon lays.
fn is_symlink_beside(path: &Path) -> bool {
    fs::read_link(path).is_ok_and(|target| target.components().count() == 1 && target.file_name().is_some())
}

fn listener(path: &Path) -> io::Result<UnixListener> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mode = 0o666 & fs::metadata(parent)?.permissions().mode();
    let socket: OwnedFd =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Nobody can connect before `listen`, so there is no moment at which the mode is the umask's.
    fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    listen(&socket, BACKLOG)?;
    Ok(UnixListener::from(socket))
}

/// Lays the symlink in one step, so that the name is never absent for a client.
fn lay_symlink(path: &Path, alias: &Path) -> io::Result<()> {
    let Some(name) = path.file_name() else { return Ok(()) };
    let new = alias.with_extension(format!("{}.new", std::process::id()));
    std::os::unix::fs::symlink(name, &new)?;
    fs::rename(&new, alias)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::path::Path;

    use super::{Socket, SocketError};

    fn dir(mode: u32) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
        dir
    }

    #[test]
    fn the_mode_follows_the_directory() {
        for (parent, socket) in [(0o770, 0o660), (0o2774, 0o664), (0o777, 0o666), (0o700, 0o600)] {
            let dir = dir(parent);
            let path = dir.path().join("db-cmd.sock");
            let _held = Socket::bind(&path).unwrap();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, socket, "parent {parent:o}");
        }
    }

    #[test]
    fn the_python_name_is_a_relative_symlink_and_both_go_at_the_end() {
        let dir = dir(0o770);
        let path = dir.path().join("db-cmd.sock");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        assert_eq!(fs::read_link(dir.path().join("mariadb-cmd.sock")).unwrap(), Path::new("db-cmd.sock"));
        UnixStream::connect(dir.path().join("mariadb-cmd.sock")).unwrap();
        socket.remove().unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_socket_whose_owner_is_gone_is_replaced() {
        let dir = dir(0o770);
        for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
            drop(UnixListener::bind(dir.path().join(name)).unwrap());
        }
        Socket::bind(&dir.path().join("db-cmd.sock")).unwrap();
        // And once more over what that run left: a socket and our own symlink.
        Socket::bind(&dir.path().join("db-cmd.sock")).unwrap();
    }

    #[test]
    fn a_socket_that_answers_is_left_alone() {
        let dir = dir(0o770);
        for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
            let taken = dir.path().join(name);
            let _other = UnixListener::bind(&taken).unwrap();
            let refused = Socket::bind(&dir.path().join("db-cmd.sock")).unwrap_err();
            assert!(matches!(&refused, SocketError::Taken(path) if *path == taken), "{refused:?}");
            UnixStream::connect(&taken).unwrap();
            fs::remove_file(&taken).unwrap();
        }
    }

    #[test]
    fn what_is_no_socket_is_left_alone() {
        let dir = dir(0o770);
        let path = dir.path().join("db-cmd.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.path().join("mariadb-cmd.sock")).unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
        assert!(fs::symlink_metadata(dir.path().join("mariadb-cmd.sock")).is_ok());
    }

    #[test]
    fn a_socket_of_another_kind_and_a_link_to_nowhere_are_left_alone() {
        let dir = dir(0o770);
        let path = dir.path().join("db-cmd.sock");
        let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
        drop(datagrams);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("db-cmd.sock", &path).unwrap();
        assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)), "a loop");
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("db-cmd.sock"));
        fs::remove_file(&path).unwrap();
        let below = path.join("deeper.sock");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&below).unwrap_err(), SocketError::Io { path, .. } if path == below));
    }

    #[test]
    fn a_socket_that_cannot_be_looked_for_is_told() {
        let dir = dir(0o770);
        let run = dir.path().join("run");
        fs::create_dir(&run).unwrap();
        let (socket, _listener) = Socket::bind(&run.join("db-cmd.sock")).unwrap();
        fs::remove_dir_all(&run).unwrap();
        fs::write(&run, "a file in the directory's place").unwrap();
        assert!(socket.remove().is_err());
    }

    /// A socket that cannot be asked whether somebody answers: by a path that is too long for it, it was bound by another one.
    #[test]
    fn a_socket_that_cannot_be_asked_is_no_reason_to_call_it_something_else() {
        let dir = dir(0o770);
        let long = dir.path().join("x".repeat(100));
        fs::create_dir(&long).unwrap();
        let opened = fs::File::open(&long).unwrap();
        let short = format!("/proc/self/fd/{}/db-cmd.sock", std::os::fd::AsRawFd::as_raw_fd(&opened));
        drop(UnixListener::bind(short).unwrap());
        let path = long.join("db-cmd.sock");
        let refused = Socket::bind(&path).unwrap_err();
        assert!(matches!(&refused, SocketError::Io { path: named, .. } if *named == path), "{refused:?}");
        assert!(fs::symlink_metadata(&path).is_ok());
    }

    #[test]
    fn what_has_gone_already_and_what_became_anothers_is_not_removed() {
        let dir = dir(0o770);
        let (path, alias) = (dir.path().join("db-cmd.sock"), dir.path().join("mariadb-cmd.sock"));
        let (socket, _listener) = Socket::bind(&path).unwrap();
        fs::remove_file(&alias).unwrap();
        std::os::unix::fs::symlink("another.sock", &alias).unwrap();
        socket.remove().unwrap();
        assert_eq!(fs::read_link(&alias).unwrap(), Path::new("another.sock"));
        fs::remove_file(&alias).unwrap();
        let (socket, _listener) = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        socket.remove().unwrap();
    }

    #[test]
    fn a_socket_that_took_this_ones_place_is_not_removed() {
        let dir = dir(0o770);
        let path = dir.path().join("db-cmd.sock");
        let (socket, _listener) = Socket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        socket.remove().unwrap();
        UnixStream::connect(&path).unwrap();
    }
}
