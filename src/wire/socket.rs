//! The Unix socket: bound with the right mode, never over somebody who answers, and found by both clients.
//!
//! The Go API connects to `db-cmd.sock`, the Python API to `mariadb-cmd.sock`: the second is a relative symlink to the first.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use thiserror::Error;

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

/// How often whoever has taken the place is asked whether he still answers: 10 s. A predecessor may mind a client that only looks: the Python
/// daemon spun for ever.
const ASK_AGAIN: Duration = Duration::from_secs(10);

/// A file, whatever its name.
type Identity = (u64, u64);

/// A socket in the file system, removed at the end, if it is still this one.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    identity: Identity,
    /// Whose file was last found to answer in its place, and when.
    taken: Option<(Identity, Instant)>,
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
        let (identity, listener) = listen_at(path)?;
        if let Some(alias) = &alias {
            lay_symlink(path, alias).map_err(at(alias))?;
        }
        Ok((Self { path: path.to_owned(), identity, taken: None }, listener))
    }

    /// Binds the socket again where it is gone, and gives its new listener. None if it is there. The symlink is laid again too.
    ///
    /// Whoever has connected to the old one is still in that one's queue.
    ///
    /// # Errors
    /// Those of [`bind`](Self::bind): the directory is gone, or somebody answers at either name. Nothing of theirs is touched.
    pub fn renew(&mut self) -> Result<Option<UnixListener>, SocketError> {
        let path = self.path.clone();
        let there = identity(&path).map_err(at(&path))?;
        if there == Some(self.identity) {
            self.renew_alias()?;
            return Ok(None);
        }
        self.clear_once(&path, there)?;
        let (identity, listener) = listen_at(&path)?;
        self.identity = identity;
        let _told_at_the_next_look = self.renew_alias();
        Ok(Some(listener))
    }

    fn renew_alias(&mut self) -> Result<(), SocketError> {
        let Some(alias) = alias(&self.path).filter(|alias| !points_to(alias, &self.path)) else { return Ok(()) };
        let there = identity(&alias).map_err(at(&alias))?;
        self.clear_once(&alias, there)?;
        lay_symlink(&self.path, &alias).map_err(at(&alias))
    }

    /// Clears a name, and asks who answers there again only after a while.
    fn clear_once(&mut self, path: &Path, there: Option<Identity>) -> Result<(), SocketError> {
        if let Some((taken, asked)) = self.taken
            && there == Some(taken)
            && asked.elapsed() < ASK_AGAIN
        {
            return Err(SocketError::Taken(path.to_owned()));
        }
        let cleared = clear(path);
        self.taken =
            there.filter(|_| matches!(cleared, Err(SocketError::Taken(_)))).map(|there| (there, Instant::now()));
        cleared
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the socket and its symlink, unless another has taken its place.
    pub fn remove(self) -> io::Result<()> {
        if identity(&self.path)? != Some(self.identity) {
            return Ok(());
        }
        if let Some(alias) = alias(&self.path).filter(|alias| points_to(alias, &self.path)) {
            fs::remove_file(&alias).map_err(crate::model::at(&alias))?;
        }
        fs::remove_file(&self.path).map_err(crate::model::at(&self.path))
    }
}

/// An error of the system's, with its path.
fn at(path: &Path) -> impl FnOnce(io::Error) -> SocketError + use<> {
    let path = path.to_owned();
    move |source| SocketError::Io { path, source }
}

/// Which file is there. None if there is none.
fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match fs::symlink_metadata(path) {
        Ok(there) => Ok(Some((there.dev(), there.ino()))),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(why),
    }
}

/// A listener at a path at which there is nothing, and which file it is.
fn listen_at(path: &Path) -> Result<(Identity, UnixListener), SocketError> {
    let listener = listener(path).map_err(at(path))?;
    let bound = fs::symlink_metadata(path).map_err(at(path))?;
    Ok(((bound.dev(), bound.ino()), listener))
}

/// What lies under the Python API's name for the socket at `path`, where that is no symlink to it: a predecessor's, as a rule.
pub fn anothers_alias(path: &Path) -> Option<PathBuf> {
    alias(path).filter(|alias| fs::symlink_metadata(alias).is_ok() && !points_to(alias, path))
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
mod tests;
