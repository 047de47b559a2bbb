//! The two API processes that read the records.

/// Which of them: each lays the tables out, and spells some words in them, in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Api {
    /// The Python API, through SQLAlchemy.
    Python,
    /// The Go API.
    Go,
}

impl Api {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Python, Self::Go];

    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Go => "go",
        }
    }

    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::Go => "Go",
        }
    }
}
