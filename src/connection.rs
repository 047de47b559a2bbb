//! One client: whether it is heard at all, then the data-flow line of the crate, once, top to bottom.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use crate::admit::admit;
use crate::command::{Command, Order};
use crate::housekeeping;
use crate::job::Job;
use crate::model::{CommandId, Rejection};
use crate::wire::{self, Framed, Peer, Request, Response};
use crate::world::World;

/// When a request that is whole has to have its answer: a client waits 5 s.
const ANSWER_WITHIN: Duration = Duration::from_millis(4500);

/// How long it may take to tell whether a client may give commands: 1 s, since a directory service that does not answer must not
/// take the time that its answer has.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// What a request came to.
enum Answer {
    /// A job runs, with this id.
    Accepted(CommandId),
    /// It is done, and what came of it.
    Done(String),
}

/// Serves one client, from its first byte to the end of its reply.
pub async fn serve(mut stream: UnixStream, world: Arc<World>) {
    if let Err(why) = exchange(&mut stream, &world).await {
        // The client went away; there is nobody to tell, and a job that it asked for goes on.
        debug!(reason = %why, "the client was gone before its reply");
    }
}

async fn exchange(stream: &mut UnixStream, world: &Arc<World>) -> io::Result<()> {
    let peer = Peer::of(stream);
    let framed = tokio::select! {
        framed = hear(stream, peer, world) => framed?,
        () = world.shutdown.cancelled() => Framed::Cut(Rejection::ShuttingDown),
    };
    let bytes = match framed {
        Framed::Nothing => return Ok(()),
        Framed::Whole(bytes) => bytes,
        Framed::Cut(rejection) => return refuse(stream, peer, &rejection).await,
        Framed::Bad(rejection) => {
            refuse(stream, peer, &rejection).await?;
            wire::drain(stream).await;
            return Ok(());
        }
    };
    let begun = Instant::now();
    let is_operator = peer.is_some_and(|peer| peer.is_operator());
    let parsed = Request::parse(&bytes).and_then(|request| Order::parse(&request, is_operator));
    drop(bytes);
    let outcome = match &parsed {
        // On the heap, so that a client who says nothing costs no more than its own waiting.
        Ok(Order::Job(command)) => Box::pin(run(command, world, begun + ANSWER_WITHIN)).await.map(Answer::Accepted),
        // The operator's command line waits for it, however long a client of the APIs would.
        Ok(Order::Housekeeping(wanted)) => Box::pin(housekeeping::run(wanted, world, begun)).await.map(Answer::Done),
        Err(rejection) => Err(rejection.clone()),
    };
    let response = match &outcome {
        Ok(Answer::Accepted(id)) => Response::accepted(*id),
        Ok(Answer::Done(text)) => Response::done(text),
        Err(rejection) => Response::rejected(rejection),
    };
    let sent = reply(stream, &response).await;
    log(peer, parsed.as_ref().ok(), outcome.as_ref(), begun);
    sent
}

/// Reads the request of a client that may give commands; of another one, nothing.
async fn hear(stream: &mut UnixStream, peer: Option<Peer>, world: &World) -> io::Result<Framed> {
    let config = world.config();
    if !config.access.is_limited() {
        return wire::read(stream, &world.budget).await;
    }
    // Who cannot be told, because the kernel or a directory service does not say it, is not one of those who may.
    let (uid, gid) = peer.map_or((u32::MAX, u32::MAX), |peer| (peer.uid, peer.gid));
    let told = timeout(TOLD_WITHIN, config.access.allows(uid, gid, &world.lists)).await;
    if told == Ok(true) {
        return wire::read(stream, &world.budget).await;
    }
    wire::turn_away(stream, Rejection::Forbidden(uid)).await
}

async fn run(command: &Command, world: &Arc<World>, until: Instant) -> Result<CommandId, Rejection> {
    let config = world.config();
    let admitted = admit(command, world, &config, until).await?;
    Job::begin(admitted, world, &config, until).await
}

/// Refuses what was no request.
async fn refuse(stream: &mut UnixStream, peer: Option<Peer>, rejection: &Rejection) -> io::Result<()> {
    log(peer, None, Err(rejection), Instant::now());
    reply(stream, &Response::rejected(rejection)).await
}

/// One write, then the end: the Go client reads once.
async fn reply(stream: &mut UnixStream, response: &Response) -> io::Result<()> {
    stream.write_all(&response.to_bytes()).await?;
    stream.shutdown().await
}

fn log(peer: Option<Peer>, order: Option<&Order>, outcome: Result<&Answer, &Rejection>, begun: Instant) {
    let (uid, gid, pid) = peer.map_or((None, None, None), |peer| (Some(peer.uid), Some(peer.gid), Some(peer.pid)));
    let cmd = order.map(Order::name);
    let backup_id = order.map(|order| order.subject().as_str());
    let ms = begun.elapsed().as_secs_f64() * 1000.0;
    match outcome {
        Ok(Answer::Accepted(command_id)) => {
            info!(uid, gid, pid, cmd, backup_id, %command_id, code = 202, ms, "accepted");
        }
        Ok(Answer::Done(text)) => info!(uid, gid, pid, cmd, backup_id, code = 200, ms, "{text}"),
        Err(rejection) if rejection.code() == 500 => {
            warn!(uid, gid, pid, cmd, backup_id, code = 500, ms, reason = %rejection, "refused");
        }
        Err(rejection) => {
            info!(uid, gid, pid, cmd, backup_id, code = rejection.code(), ms, reason = %rejection, "refused");
        }
    }
}
