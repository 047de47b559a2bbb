//! Calls of external programs, as values: tests compare them, records store them, errors print them.

use std::fmt;

/// What our own program is called where it stands in a pipeline.
const OWN: &str = "dbcalm-db-cmd";

/// A program and its arguments; no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program, by its path.
    pub program: String,
    /// Its arguments, without the program's own name.
    pub args: Vec<String>,
    /// What it finds in its environment beside what every child does.
    pub environment: Vec<(&'static str, String)>,
    /// What of our own environment it is given, by name.
    pub inherited: &'static [&'static str],
    /// Whether it is the program that runs already: the very file that this process was started from, whatever has its path by now.
    pub is_own: bool,
}

impl Invocation {
    /// A call of `program` with `args`.
    pub fn new(program: impl Into<String>, args: impl Into<Vec<String>>) -> Self {
        Self { program: program.into(), args: args.into(), environment: Vec::new(), inherited: &[], is_own: false }
    }

    /// A call of one of our own subcommands.
    pub fn own(args: impl Into<Vec<String>>) -> Self {
        Self { is_own: true, ..Self::new(OWN, args) }
    }

    /// The same, given what of our own environment has these names.
    #[must_use]
    pub fn inheriting(self, names: &'static [&'static str]) -> Self {
        Self { inherited: names, ..self }
    }

    /// A shell that runs the operator's own command, with these variables. The one shell there is: no text of a client's is in it.
    pub fn shell(command: &str, environment: Vec<(&'static str, String)>) -> Self {
        Self { environment, ..Self::new("/bin/sh", ["-c".to_owned(), command.to_owned()]) }
    }

    /// The program's bare name, for people; of our own, what it does.
    pub fn name(&self) -> &str {
        let name = self.program.rsplit('/').next().unwrap_or(&self.program);
        if self.is_own { self.args.first().map_or(name, String::as_str) } else { name }
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}

/// Programs that run at once, the output of each the input of the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pipeline {
    /// The first, whose input is empty.
    pub first: Invocation,
    /// Those after it, in order.
    pub rest: Vec<Invocation>,
}

impl Pipeline {
    /// All of them, in order.
    pub fn stages(&self) -> impl Iterator<Item = &Invocation> {
        std::iter::once(&self.first).chain(&self.rest)
    }
}

impl From<Invocation> for Pipeline {
    fn from(first: Invocation) -> Self {
        Self { first, rest: Vec::new() }
    }
}

impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.fmt(f)?;
        self.rest.iter().try_for_each(|stage| write!(f, " | {stage}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Invocation, Pipeline};

    #[test]
    fn a_pipeline_is_recorded_with_bars_between() {
        let tool = Invocation::new("/usr/bin/mariabackup", ["--backup".to_owned()]);
        let own = Invocation::own(["store".to_owned(), "--threads=2".to_owned()]);
        let shell = Invocation::shell("ssh host 'cat > x'", vec![("DBCALM_BACKUP_ID", "a".to_owned())]);
        assert_eq!([tool.name(), own.name(), shell.name()], ["mariabackup", "store", "sh"]);
        let pipeline = Pipeline { first: tool, rest: vec![own, shell] };
        let text = "/usr/bin/mariabackup --backup | dbcalm-db-cmd store --threads=2 | /bin/sh -c ssh host 'cat > x'";
        assert_eq!(pipeline.to_string(), text);
    }
}
