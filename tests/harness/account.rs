//! What a [`TestEnv`] accounts for when its test ends: a WARN or ERROR in the log that the test did not claim, a script that was not
//! used up, or a daemon that does not end well fails the test.
//!
//! A failure prints a case file: replies, rows, files, calls, log.

use std::fs;

use super::{TestEnv, daemon, wait_for, world};

/// How many lines of its log, and how many rows, replies and calls, a failed test shows.
const LINES: usize = 40;

impl TestEnv {
    /// Says that a WARN or ERROR with this text is expected, and waits until it is there. Each time that a text is expected it has to be in one
    /// line more: a job's end is logged after its row is written, so the line of a job before says nothing of this one.
    pub(crate) fn expect_log(&self, text: &str) {
        let before = self.claimed.borrow().iter().filter(|claim| *claim == text).count();
        wait_for(&format!("line {} in the log with '{text}'", before + 1), || {
            (self.log().lines().filter(|line| line.contains(text)).count() > before).then_some(())
        });
        self.claimed.borrow_mut().push(text.to_owned());
    }

    /// Says that a WARN or ERROR with this text may come.
    pub(crate) fn may_log(&self, text: &str) {
        self.claimed.borrow_mut().push(text.to_owned());
    }

    /// The first line in the log that nobody claimed.
    pub(crate) fn unclaimed(&self) -> Option<String> {
        let claimed = self.claimed.borrow();
        let is_loud = |line: &&str| line.contains(" WARN ") || line.contains("ERROR ");
        let is_claimed = |line: &str| claimed.iter().any(|claim| line.contains(claim));
        self.log().lines().filter(is_loud).find(|line| !is_claimed(line)).map(str::to_owned)
    }

    /// The log so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("stderr")).unwrap_or_default()
    }

    /// The fakes beside which there is a file of this kind.
    fn tools_with(&self, kind: &str) -> Vec<String> {
        let names = world::files(&self.path("bin")).unwrap_or_default().into_iter();
        names.filter_map(|name| name.strip_suffix(&format!(".{kind}")).map(str::to_owned)).collect()
    }

    fn account(&self) -> Result<(), String> {
        if let Some(line) = self.unclaimed() {
            return Err(format!("a line in the log that nobody claimed: {line}"));
        }
        for tool in self.tools_with("script") {
            let left = fs::read_to_string(self.path("bin").join(format!("{tool}.script"))).unwrap_or_default();
            if !left.trim().is_empty() {
                return Err(format!("the script of {tool} was not used up: {left}"));
            }
        }
        Ok(())
    }

    fn print_case_file(&self) {
        if self.keeps.get() {
            eprintln!("--- kept {}", self.root.path().display());
        } else {
            eprintln!("--- set DBCALM_KEEP to keep the directories and containers of a failed test");
        }
        eprint!("{}", self.case_file());
    }

    /// Everything that tells how a test failed: the end of each list, since that is what the failure is about.
    pub(crate) fn case_file(&self) -> String {
        let mut text = String::new();
        let mut part = |title: &str, lines: &[String]| {
            let end = &lines[lines.len().saturating_sub(LINES)..];
            let count = if end.len() < lines.len() { format!(", the last of {}", lines.len()) } else { String::new() };
            for line in [&format!("--- {title}{count}"), &end.join("\n")] {
                text.push_str(line);
                text.push('\n');
            }
        };
        part("replies", &self.replies.borrow());
        part("rows", &self.process_rows());
        part("files", &[self.listing("backups")]);
        for tool in self.tools_with("calls") {
            let calls = self.calls(&tool);
            if !calls.is_empty() {
                part(&format!("calls of {tool}"), &calls);
            }
        }
        part("log", &self.log().lines().map(str::to_owned).collect::<Vec<_>>());
        text
    }
}

impl Drop for TestEnv {
    fn drop(&mut self) {
        let ended = self.daemon.borrow_mut().take().map(daemon::end_well);
        let accounted = ended.unwrap_or(Ok(())).and_then(|()| self.account());
        if std::thread::panicking() || accounted.is_err() {
            self.print_case_file();
            self.root.disable_cleanup(self.keeps.get());
        }
        if let Err(why) = accounted
            && !std::thread::panicking()
        {
            panic!("{why}");
        }
    }
}
