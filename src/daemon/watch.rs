//! The watch over the socket: a thread that looks whether clients still find it, and binds it again where they do not.
//!
//! In: the [`Socket`]. Out: each new listener, and why there is none, in the log and in systemd's status line. Units that share
//! `RuntimeDirectory=dbcalm`, as the API's do, remove that directory with all that is in it whenever one of them stops
//! (systemd.exec(5), `RuntimeDirectory=`). A file system that does not answer keeps nobody waiting but this thread.

use std::io;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::model::causes;
use crate::wire::socket::Socket;
use crate::world::Jobs;

/// How often it looks: 250 ms. For so long at the most no client finds a daemon whose socket was taken away.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How long the removal of the socket at the end may take: 2 s.
const REMOVED_WITHIN: Duration = Duration::from_secs(2);

/// The watch, for as long as the daemon takes clients. Dropped, it ends too, and removes the socket.
#[derive(Debug)]
pub struct Watch {
    stop: Sender<()>,
    ended: oneshot::Receiver<()>,
}

/// The listeners that take the place of the first one, in their order.
pub type Listeners = UnboundedReceiver<UnixListener>;

impl Watch {
    /// Begins to look after the socket.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn begin(socket: Socket, jobs: Arc<Jobs>) -> io::Result<(Self, Listeners)> {
        let (stop, stopped) = mpsc::channel();
        let (end, ended) = oneshot::channel();
        let (found, listeners) = unbounded_channel();
        thread::Builder::new().name("socket".to_owned()).spawn(move || {
            watch(socket, &stopped, &found, &jobs);
            drop(end);
        })?;
        Ok((Self { stop, ended }, listeners))
    }

    /// Ends it, and removes the socket, if it is still this daemon's.
    pub async fn end(self) {
        let Self { stop, ended } = self;
        drop(stop);
        if timeout(REMOVED_WITHIN, ended).await.is_err() {
            warn!("the socket could not be removed: its directory does not answer");
        }
    }
}

fn watch(mut socket: Socket, stopped: &Receiver<()>, listeners: &UnboundedSender<UnixListener>, jobs: &Jobs) {
    let mut told: Option<String> = None;
    while stopped.recv_timeout(LOOK_AGAIN) == Err(RecvTimeoutError::Timeout) {
        let trouble = match socket.renew() {
            Ok(None) => None,
            Ok(Some(listener)) => {
                // Nobody takes it any more: the daemon is ending.
                let _ended = listeners.send(listener);
                warn!(socket = %socket.path().display(), "the socket was taken away and is bound again");
                None
            }
            Err(why) => Some((causes(&why), why.hint())),
        };
        let text = trouble.as_ref().map(|(text, _)| text.clone());
        if text == told {
            continue;
        }
        if let Some((reason, hint)) = trouble {
            warn!(reason, hint, "clients do not find this daemon");
        } else {
            info!(socket = %socket.path().display(), "clients find this daemon again");
        }
        jobs.set_unreachable(text.clone());
        told = text;
    }
    if let Err(why) = socket.remove() {
        warn!(reason = %why, "the socket could not be removed");
    }
}
