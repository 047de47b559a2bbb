//! Where clients come in: the listener, and those that were in its place before, until nobody waits in their queues.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::unix::net::{UnixListener as StdListener, UnixStream as StdStream};

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::net::{UnixListener, UnixStream};

use super::watch::Listeners;

/// The listener of now and those of before.
#[derive(Debug)]
pub(super) struct Listening {
    now: UnixListener,
    /// One that has come and has not taken its place.
    arrived: Option<StdListener>,
    before: VecDeque<UnixListener>,
    listeners: Listeners,
}

impl Listening {
    pub(super) fn new(first: StdListener, listeners: Listeners) -> io::Result<Self> {
        first.set_nonblocking(true)?;
        Ok(Self { now: UnixListener::from_std(first)?, arrived: None, before: VecDeque::new(), listeners })
    }

    /// The next client, wherever he has connected.
    ///
    /// # Cancel safety
    /// Dropped, it loses nobody.
    pub(super) async fn accept(&mut self) -> io::Result<UnixStream> {
        loop {
            self.turn()?;
            while let Some(old) = self.before.front() {
                match waiting(old)? {
                    Some(client) => return Ok(client),
                    None => drop(self.before.pop_front()),
                }
            }
            tokio::select! {
                biased;
                Some(listener) = self.listeners.recv() => self.arrived = Some(listener),
                accepted = self.now.accept() => return accepted.map(|(client, _)| client),
            }
        }
    }

    /// Lets the one that has come take its place. Where the system has nothing left for that it is tried again.
    fn turn(&mut self) -> io::Result<()> {
        let Some(arrived) = &self.arrived else { return Ok(()) };
        let next = UnixListener::from_std(arrived.try_clone()?)?;
        self.arrived = None;
        self.before.push_back(mem::replace(&mut self.now, next));
        Ok(())
    }
}

/// A client who waits in the queue now. Asked of the system and not of the runtime, which may not have heard of him yet.
fn waiting(listener: &UnixListener) -> io::Result<Option<UnixStream>> {
    match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(client) => UnixStream::from_std(StdStream::from(client)).map(Some),
        Err(Errno::AGAIN) => Ok(None),
        Err(why) => Err(why.into()),
    }
}
