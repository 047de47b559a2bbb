//! Who is at the other end of a connection, as the kernel says it.

use tokio::net::UnixStream;

/// A process that connected: its user, its group and its id at that time (`SO_PEERCRED`, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// The user.
    pub uid: u32,
    /// The group; the further ones are not told.
    pub gid: u32,
    /// The process, which may have ended since.
    pub pid: i32,
}

impl Peer {
    /// Whether it is root or this process's own user: whoever gives the operator's commands.
    pub fn is_operator(&self) -> bool {
        self.uid == 0 || self.uid == rustix::process::geteuid().as_raw()
    }

    /// The peer of a connection; None if the kernel does not say it.
    pub fn of(stream: &UnixStream) -> Option<Self> {
        let credentials = stream.peer_cred().ok()?;
        Some(Self { uid: credentials.uid(), gid: credentials.gid(), pid: credentials.pid().unwrap_or_default() })
    }
}
