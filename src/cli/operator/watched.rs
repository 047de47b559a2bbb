//! Something that takes its time and counts its bytes, watched on a terminal: one line on stderr, rewritten, and gone in the end.

use std::io::{self, IsTerminal, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::output::Output;
use crate::job::progress::{Figures, Meter};

/// How often the line is written: 5 times a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Does `work`, which counts what it reads, of so many bytes as are `expected`. Where no terminal rewrites lines, nothing is said.
pub(super) fn watched<T>(
    what: &str,
    expected: Option<u64>,
    output: Output,
    work: impl FnOnce(Option<&AtomicU64>) -> T,
) -> T {
    if output.quiet || output.json || !io::stderr().is_terminal() {
        return work(None);
    }
    let count = AtomicU64::new(0);
    thread::scope(|scope| {
        let (until_dropped, over) = mpsc::channel::<()>();
        scope.spawn(|| {
            let (begun, mut meter, over) = (Instant::now(), Meter::default(), over);
            while over.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                let written = count.load(Ordering::Relaxed);
                meter.see(begun.elapsed(), written);
                let figures = Figures { written, expected, rate: meter.rate() };
                let _closed = io::stderr().write_all(format!("\r{what} {figures}\x1b[K").as_bytes());
            }
            let _closed = io::stderr().write_all(b"\r\x1b[K");
        });
        let done = work(Some(&count));
        drop(until_dropped);
        done
    })
}
