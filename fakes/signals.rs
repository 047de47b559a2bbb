//! The signals that the backup tools do not end by.
//!
//! mariadb-backup 10.11.19 has HUP, QUIT, PIPE, ALRM and TERM blocked from its beginning to its end, in every mode (`SigBlk` of a
//! backup, an apply and a copy-back); INT and KILL end it. Here a handler that does nothing comes to the same.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Lets them pass from now on.
pub(crate) fn block() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _inside = runtime.enter();
    for kind in [SignalKind::hangup(), SignalKind::quit(), SignalKind::alarm(), SignalKind::terminate()] {
        // What is dropped here is who listens; the handler stays for as long as the process lives (tokio's documentation).
        drop(signal(kind)?);
    }
    // Rust itself ignores PIPE.
    Ok(())
}
