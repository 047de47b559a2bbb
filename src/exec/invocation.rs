//! One call of an external program, as a value: tests compare it, records store it, errors print it.

use std::fmt;

/// A program and its arguments; no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invocation {
    /// The program, by its path.
    pub program: String,
    /// Its arguments, without the program's own name.
    pub args: Vec<String>,
}

impl Invocation {
    /// A call of `program` with `args`.
    pub fn new(program: impl Into<String>, args: impl Into<Vec<String>>) -> Self {
        Self { program: program.into(), args: args.into() }
    }

    /// The program's bare name, for people.
    pub fn name(&self) -> &str {
        self.program.rsplit('/').next().unwrap_or(&self.program)
    }
}

impl fmt::Display for Invocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        self.args.iter().try_for_each(|arg| write!(f, " {arg}"))
    }
}
