//! The daemon as a process, and a client of it.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, Signal, kill_process};

use super::container::WHOLE;
use super::{PATIENCE, TestEnv, program, wait_for, wait_within};

/// A daemon that was started.
#[derive(Debug)]
pub(crate) enum Daemon {
    /// On this machine.
    Here(Child),
    /// In a container: its process id as this machine has it, once it has listened, and the file that will hold its exit status.
    Contained { pid: Option<Pid>, status: PathBuf },
}

/// How a daemon ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ended {
    /// With this status.
    Status(i32),
    /// By a signal.
    Killed,
}

impl Daemon {
    fn pid(&self) -> Pid {
        match self {
            Self::Here(child) => Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(),
            Self::Contained { pid, .. } => pid.unwrap(),
        }
    }

    fn try_wait(&mut self) -> Option<Ended> {
        match self {
            Self::Here(child) => {
                child.try_wait().unwrap().map(|status| status.code().map_or(Ended::Killed, Ended::Status))
            }
            Self::Contained { status, .. } => {
                let status: i32 = fs::read_to_string(status).ok()?.trim().parse().ok()?;
                // A shell says it so.
                Some(if status > 128 { Ended::Killed } else { Ended::Status(status) })
            }
        }
    }
}

impl TestEnv {
    /// Starts the daemon and waits until it is ready: it accepts before that, while it still clears the past away.
    pub(crate) fn start_daemon(&self) {
        let before = self.log().len();
        self.spawn_daemon();
        self.wait_until_ready(before);
    }

    fn wait_until_ready(&self, before: usize) {
        wait_for("the daemon to be ready", || {
            if let Some(ended) = self.daemon.borrow_mut().as_mut().unwrap().try_wait() {
                panic!("the daemon ended at once, {ended:?}: {}", self.log());
            }
            self.log().get(before..).filter(|log| log.contains(" ready version=")).map(|_| ())
        });
        if let Some(Daemon::Contained { pid, .. }) = self.daemon.borrow_mut().as_mut() {
            // Who listens at the socket, told in terms of this machine's process ids.
            *pid = Some(socket_peercred(self.connect().unwrap()).unwrap().pid);
        }
    }

    /// Starts the daemon.
    pub(crate) fn spawn_daemon(&self) {
        if let Some(vessel) = &self.vessel {
            let _ = fs::remove_file(self.path("status"));
            vessel.launch(&[
                "sh",
                "-c",
                &format!("as-unit dbcalm-db-cmd serve >/dev/null 2>>{WHOLE}/stderr; echo $? >{WHOLE}/status"),
            ]);
            let status = self.path("status");
            *self.daemon.borrow_mut() = Some(Daemon::Contained { pid: None, status });
            return;
        }
        let log: File = OpenOptions::new().create(true).append(true).open(self.path("stderr")).unwrap();
        let child = self.command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        *self.daemon.borrow_mut() = Some(Daemon::Here(child));
    }

    /// Starts the daemon by another command, which becomes it, and waits until it is ready.
    pub(crate) fn start_as(&self, mut command: std::process::Command) {
        let log: File = OpenOptions::new().create(true).append(true).open(self.path("stderr")).unwrap();
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        *self.daemon.borrow_mut() = Some(Daemon::Here(child));
        self.wait_until_ready(0);
    }

    /// How many descriptors the daemon has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.daemon_pid().as_raw_nonzero())).unwrap().count()
    }

    /// Starts the daemon under a tracer, which writes to `output`. False, and a skip: there is none here.
    pub(crate) fn start_traced(&self, tracer: &str, options: &[&str], output: &std::path::Path) -> bool {
        if !std::path::Path::new(tracer).exists() {
            super::skip(&format!("no {tracer} here"));
            return false;
        }
        let daemon = self.command();
        let mut command = program(tracer);
        command.args(options).arg(output).arg(daemon.get_program()).args(daemon.get_args());
        // With -D it is the daemon that is the child here, and the tracer somebody else's.
        self.start_as(command);
        true
    }

    /// The daemon's command line, with this test's settings and socket.
    pub(crate) fn command(&self) -> std::process::Command {
        let mut command = program(env!("CARGO_BIN_EXE_dbcalm-db-cmd"));
        command.arg("--config").arg(self.path("config.yml")).arg("--socket").arg(self.socket());
        command
    }

    /// The socket's path.
    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.path("run/db-cmd.sock")
    }

    /// The daemon's process id.
    pub(crate) fn daemon_pid(&self) -> Pid {
        self.daemon.borrow().as_ref().unwrap().pid()
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.daemon_pid(), signal).unwrap();
    }

    /// Waits until the daemon has ended, whatever ended it; gives its exit status, none if a signal ended it.
    pub(crate) fn wait_for_end(&self) -> Option<i32> {
        self.wait_for_end_within(PATIENCE)
    }

    /// The same, for as long as it may take.
    pub(crate) fn wait_for_end_within(&self, patience: Duration) -> Option<i32> {
        let mut daemon = self.daemon.borrow_mut().take().unwrap();
        match wait_within(patience, "the daemon to end", || daemon.try_wait()) {
            Ended::Status(status) => Some(status),
            Ended::Killed => None,
        }
    }

    /// Kills the daemon as a power cut would, and starts another.
    pub(crate) fn kill_and_restart(&self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait_for_end(), None);
        self.start_daemon();
    }

    /// A connection.
    pub(crate) fn connect(&self) -> std::io::Result<UnixStream> {
        let stream = UnixStream::connect(self.socket())?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    }

    /// Sends a request and gives the whole reply, with ids taken out.
    pub(crate) fn send(&self, request: &str) -> String {
        self.redact(&self.send_raw(request.as_bytes()))
    }

    /// Sends bytes and gives the whole reply as it is.
    pub(crate) fn send_raw(&self, request: &[u8]) -> String {
        let mut stream = self.connect().unwrap();
        stream.write_all(request).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let shown = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        self.replies.borrow_mut().push(format!("{shown} -> {reply}"));
        reply
    }

    /// Sends a request from a thread of its own; the reply comes when it comes, as it is.
    pub(crate) fn send_aside(&self, request: &'static str) -> std::thread::JoinHandle<String> {
        let mut stream = self.connect().unwrap();
        std::thread::spawn(move || {
            stream.write_all(request.as_bytes()).unwrap();
            std::io::read_to_string(stream).unwrap()
        })
    }

    /// The same, where the daemon may die before it has answered: then the reply is empty, or an error.
    pub(crate) fn try_send_aside(&self, request: String) -> std::thread::JoinHandle<std::io::Result<String>> {
        let stream = self.connect();
        std::thread::spawn(move || {
            let mut stream = stream?;
            stream.write_all(request.as_bytes())?;
            std::io::read_to_string(stream)
        })
    }

    /// Sends a command that must be accepted, and waits until its job is over; gives its id.
    pub(crate) fn done(&self, request: &str) -> String {
        let id = self.accepted(request);
        self.settled();
        id
    }

    /// Sends a command that must be accepted; gives its id.
    pub(crate) fn accepted(&self, request: &str) -> String {
        let reply = self.send_raw(request.as_bytes());
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["code"], 202, "{request} -> {reply}");
        reply["id"].as_str().unwrap().to_owned()
    }

    /// Takes a full backup.
    pub(crate) fn full(&self, id: &str) -> String {
        self.done(&format!(r#"{{"cmd":"full_backup","args":{{"id":"{id}"}}}}"#))
    }

    /// Takes an incremental backup.
    pub(crate) fn incremental(&self, id: &str, base: &str) -> String {
        self.done(&format!(r#"{{"cmd":"incremental_backup","args":{{"id":"{id}","from_backup_id":"{base}"}}}}"#))
    }

    /// Restores a chain.
    pub(crate) fn restore(&self, ids: &[&str], target: &str) -> String {
        self.done(&restore_request(ids, target))
    }
}

/// The request of a restore.
pub(crate) fn restore_request(ids: &[&str], target: &str) -> String {
    serde_json::json!({"cmd": "restore_backup", "args": {"id_list": ids, "target": target}}).to_string()
}

/// Ends a daemon at the end of its test: by TERM, with status 0.
pub(super) fn end_well(mut daemon: Daemon) -> Result<(), String> {
    if let Some(ended) = daemon.try_wait() {
        return Err(format!("the daemon ended before its test: {ended:?}"));
    }
    if let Daemon::Contained { pid: None, .. } = daemon {
        return Err("the daemon was never ready; its container ends it".to_owned());
    }
    let pid = daemon.pid();
    kill_process(pid, Signal::TERM).unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed() < PATIENCE {
        match daemon.try_wait() {
            Some(Ended::Status(0)) => return Ok(()),
            Some(ended) => return Err(format!("the daemon was told to stop, and ended so: {ended:?}")),
            None => std::thread::sleep(std::time::Duration::from_millis(2)),
        }
    }
    let _ = kill_process(pid, Signal::KILL);
    if let Daemon::Here(child) = &mut daemon {
        let _ = child.wait();
    }
    Err("the daemon did not end".to_owned())
}
