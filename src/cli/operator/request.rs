//! One request as its rows tell it: which step it is at, how it ended.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output::{facts, seconds, span, took, unread};
use crate::model::Moment;
use crate::records::reader::{ProcessRow, Reader};

/// A request as JSON has it; docs/reference.md says what the fields are.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "the records call it so")]
pub(super) struct Status {
    pub(super) command_id: String,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) step: usize,
    pub(super) steps: usize,
    pub(super) phase: String,
    /// What the daemon says there of how far it is, while it runs.
    pub(super) progress: Option<String>,
    pub(super) start_time: Option<String>,
    pub(super) end_time: Option<String>,
    pub(super) duration_seconds: Option<f64>,
    pub(super) return_code: Option<i64>,
    pub(super) error: Option<String>,
    /// Where a folder restore has put the data directory.
    pub(super) folder: Option<PathBuf>,
    pub(super) args: Value,
    /// What a success was recorded with.
    #[serde(skip)]
    pub(super) warnings: Vec<String>,
}

impl Status {
    /// Reads the request `command_id`.
    pub(super) fn read(reader: &Reader, command_id: &str) -> Result<(Self, Vec<ProcessRow>), Failure> {
        let rows = reader.request(command_id).map_err(|why| unread(&why))?;
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return Err(Failure::because(
                format!("no command '{command_id}' is recorded"),
                "dbcalm-db-cmd list processes shows all commands",
            )
            .exit(Exit::NotFound));
        };
        let is_over = last.status != "running";
        let now = Moment::now().to_string();
        let end = if is_over { last.end_time.as_deref() } else { Some(now.as_str()) };
        let steps = steps(&first.args).max(rows.len());
        let status = Self {
            command_id: command_id.to_owned(),
            kind: last.kind.clone(),
            status: last.status.clone(),
            step: rows.len(),
            steps,
            phase: phase(&last.command),
            progress: last.output.clone().filter(|said| !is_over && !said.is_empty()),
            start_time: first.start_time.clone(),
            end_time: last.end_time.clone().filter(|_| is_over),
            duration_seconds: took(first.start_time.as_deref(), end).map(seconds),
            return_code: last.return_code,
            error: last.error.clone(),
            folder: folder(&first.args).filter(|_| last.status == "success"),
            args: first.args.clone(),
            warnings: last.output.as_deref().filter(|_| is_over).map(warnings).unwrap_or_default(),
        };
        Ok((status, rows))
    }

    pub(super) fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// What the exit status says of it.
    pub(super) fn exit(&self) -> Exit {
        if self.status == "failed" { Exit::Failed } else { Exit::Done }
    }

    /// What it is about: `backup monday`, `restore monday → tuesday`.
    pub(super) fn subject(&self) -> String {
        let ids = |key: &str| {
            self.args.get(key).and_then(Value::as_array).map(|ids| ids.iter().filter_map(Value::as_str).collect())
        };
        let one = self.args.get("id").and_then(Value::as_str).map(|id| vec![id]);
        let ids: Vec<&str> = one.or_else(|| ids("id_list")).unwrap_or_default();
        format!("{} {}", self.kind, ids.join(" → ")).trim_end().to_owned()
    }

    /// As a person reads it.
    pub(super) fn text(&self) -> String {
        let length =
            self.duration_seconds.and_then(|seconds| std::time::Duration::try_from_secs_f64(seconds).ok()).map(span);
        let is_failed = self.status == "failed";
        let mut text = facts(&[
            ("command", Some(self.command_id.clone())),
            ("what", Some(self.subject())),
            ("status", Some(self.status.clone())),
            (
                "step",
                Some(format!("{} of {}: {}", self.step, self.steps, self.phase))
                    .filter(|_| is_failed || self.is_running()),
            ),
            ("progress", self.progress.clone()),
            ("begun", self.start_time.as_ref().map(|at| format!("{at} UTC"))),
            ("ended", self.end_time.as_ref().map(|at| format!("{at} UTC"))),
            ("took", length),
            ("folder", self.folder.as_ref().map(|folder| folder.display().to_string())),
            ("code", self.return_code.filter(|_| is_failed).map(|code| code.to_string())),
        ]);
        for warning in &self.warnings {
            let _infallible = writeln!(text, "{warning}");
        }
        if let Some(error) = self.error.as_deref().filter(|_| is_failed) {
            let lines: Vec<_> = error.lines().collect();
            // The first line is the reason, the last ones are the tool's.
            let shown: Vec<_> = if lines.len() > 6 {
                lines.iter().take(1).chain(&["…"]).chain(lines.iter().skip(lines.len() - 4)).copied().collect()
            } else {
                lines
            };
            let _infallible = writeln!(text, "error        {}", shown.join("\n             "));
            let _infallible =
                writeln!(text, "hint: dbcalm-db-cmd logs {} shows all that the tool said", self.command_id);
        }
        text
    }
}

/// What the daemon put before the tool's own words.
fn warnings(output: &str) -> Vec<String> {
    output.lines().take_while(|line| line.starts_with("warning: ")).map(str::to_owned).collect()
}

/// How many external commands a request takes: one a backup; a copy and a prepare for each member, and the filling.
fn steps(args: &Value) -> usize {
    let members = args.get("id_list").and_then(Value::as_array).map_or(0, Vec::len);
    let fills = args.get("target").and_then(Value::as_str) == Some("database");
    if members == 0 { 1 } else { members * 2 + usize::from(fills) }
}

/// Where a folder restore leaves the data directory: under the full backup's id in the request's own directory.
fn folder(args: &Value) -> Option<PathBuf> {
    let word = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let full = word(args.get("id_list").and_then(|ids| ids.get(0)))?;
    let dir = word(args.get("tmp_dir"))?;
    (word(args.get("target"))? == "folder").then(|| PathBuf::from(dir).join(full))
}

/// What a command does, for people.
fn phase(command: &str) -> String {
    let words: Vec<_> = command.split(' ').collect();
    let has = |option: &str| words.contains(&option);
    // A path may hold spaces; no id holds what ends it here.
    let name = |option: &str| {
        let (_, rest) = command.split_once(&format!(" {option}"))?;
        let path = rest.strip_prefix(['=', ' '])?.split(" --").next()?.split(" | ").next()?;
        path.rsplit('/').next().map(str::to_owned)
    };
    let of = |verb: &str, option: &str| format!("{verb} {}", name(option).unwrap_or_default()).trim_end().to_owned();
    if has("--backup") {
        of("backing up", "--target-dir")
    } else if has("--prepare") && words.iter().any(|word| word.starts_with("--incremental-dir")) {
        of("applying", "--incremental-dir")
    } else if has("--prepare") && has("--prepare-incremental-from-dir") {
        of("applying", "--prepare-incremental-from-dir")
    } else if has("--prepare") {
        of("preparing", "--target-dir")
    } else if has("--move-back") || has("--copy-back") {
        "filling the data directory".to_owned()
    } else if has("extract") {
        of("extracting", "--into")
    } else if has("copy") {
        of("copying", "--into")
    } else {
        words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{phase, steps};

    #[test]
    fn a_command_tells_its_phase() {
        for (command, text) in [
            ("/usr/bin/mariabackup --defaults-file=x --backup --target-dir=/b/monday --host=h", "backing up monday"),
            ("dbcalm-db-cmd copy --from=/b/monday --into=/t/1/monday --threads=2", "copying monday"),
            ("sh -c fetch | dbcalm-db-cmd extract --from=- --into=/t/1/monday", "extracting monday"),
            ("mariabackup --prepare --target-dir /t/1/monday --use-memory=1", "preparing monday"),
            ("mariabackup --prepare --target-dir /t/monday --incremental-dir /t/tuesday", "applying tuesday"),
            (
                "xtrabackup --prepare --target-dir /t/monday --prepare-incremental-from-dir /t/tuesday",
                "applying tuesday",
            ),
            ("mariabackup --move-back --target-dir /t/monday --datadir=/d", "filling the data directory"),
            ("mariabackup --prepare --target-dir /t/my backup --incremental-dir /t/full:1", "applying full:1"),
            ("dbcalm-db-cmd copy --from=/b/my backup --into=/t/1/my backup --threads=2", "copying my backup"),
            ("/bin/rsync -a /x /y", "rsync"),
            ("", ""),
        ] {
            assert_eq!(phase(command), text, "{command}");
        }
    }

    #[test]
    fn a_restore_has_two_steps_a_member_and_one_to_fill() {
        assert_eq!(steps(&json!({"id": "a"})), 1);
        assert_eq!(steps(&json!({"id_list": ["a", "b"], "target": "folder"})), 4);
        assert_eq!(steps(&json!({"id_list": ["a", "b"], "target": "database"})), 5);
    }
}
