//! A transaction's name in the binary logs of all servers.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A transaction's GTID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Gtid {
    /// MariaDB's.
    MariaDb {
        /// The domain.
        domain: u32,
        /// The server that it was first committed on.
        server: u32,
        /// Its number in the domain.
        number: u64,
    },
    /// MySQL's.
    MySql {
        /// The server that it was first committed on.
        server: Uuid,
        /// Its number.
        number: u64,
    },
}

impl fmt::Display for Gtid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MariaDb { domain, server, number } => write!(f, "{domain}-{server}-{number}"),
            Self::MySql { server, number } => write!(f, "{server}:{number}"),
        }
    }
}

impl FromStr for Gtid {
    type Err = NoGtid;

    fn from_str(text: &str) -> Result<Self, NoGtid> {
        let mariadb = |text: &str| {
            let mut parts = text.split('-');
            let (domain, server, number) = (parts.next()?, parts.next()?, parts.next()?);
            let (domain, server, number) = (digits(domain)?, digits(server)?, digits(number)?);
            parts.next().is_none().then_some(Self::MariaDb { domain, server, number })
        };
        let mysql = |text: &str| {
            let (server, number) = text.split_once(':')?;
            Some(Self::MySql { server: Uuid::parse_str(server).ok()?, number: digits(number)? })
        };
        mysql(text).or_else(|| mariadb(text)).ok_or(NoGtid)
    }
}

/// A number without a sign.
pub(crate) fn digits<T: FromStr>(text: &str) -> Option<T> {
    text.starts_with(|c: char| c.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A text that is no GTID, or no state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no GTID")]
pub struct NoGtid;
