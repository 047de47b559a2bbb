//! GTIDs, and what a server's binary log has had of them at a place: its state.
//!
//! MariaDB's GTIDs have a domain, a server and a number, and its state has the last number of each server in each domain, and which server
//! was the last (mariadb.com, "Global Transaction ID"). MySQL's have a server's UUID and a number, and its state is all that there were
//! (dev.mysql.com, "GTID Format and Storage"). A file begins with the state at the end of the one before, which is how a missing file is known.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::digits;
pub use crate::model::{Gtid, NoGtid};

/// What a binary log has had at a place. As text it is what `@@gtid_binlog_state` or `@@gtid_executed` would say there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum State {
    /// MariaDB's: by domain.
    MariaDb(BTreeMap<u32, Domain>),
    /// MySQL's: by server, ranges from a number to before another, in order and apart.
    MySql(BTreeMap<Uuid, Vec<(u64, u64)>>),
}

/// What there was of a domain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Domain {
    /// The last number of each server.
    numbers: BTreeMap<u32, u64>,
    /// The server of the last transaction.
    last: u32,
}

impl State {
    /// One more transaction has come.
    pub fn add(&mut self, gtid: Gtid) {
        match (self, gtid) {
            (Self::MariaDb(domains), Gtid::MariaDb { domain, server, number }) => {
                let domain = domains.entry(domain).or_default();
                domain.numbers.insert(server, number);
                domain.last = server;
            }
            (Self::MySql(servers), Gtid::MySql { server, number }) => {
                add_range(servers.entry(server).or_default(), (number, number.saturating_add(1)));
            }
            // A log is one server's.
            (Self::MariaDb(_), Gtid::MySql { .. }) | (Self::MySql(_), Gtid::MariaDb { .. }) => {}
        }
    }

    /// Adds what is behind `self` at a file's head, one entry after the other.
    pub(super) fn add_range(&mut self, server: Uuid, range: (u64, u64)) {
        if let Self::MySql(servers) = self
            && range.0 < range.1
        {
            add_range(servers.entry(server).or_default(), range);
        }
    }

    /// Whether a file that begins with `next` goes on from here. `touched` has the domains of which the file that ends here had a transaction:
    /// `FLUSH BINARY LOGS DELETE_DOMAIN_ID` takes away others (mariadb.com, "FLUSH").
    pub fn goes_on_with(&self, next: &Self, touched: impl Fn(u32) -> bool) -> bool {
        match (self, next) {
            (Self::MariaDb(here), Self::MariaDb(next)) => {
                let same = next.iter().all(|(id, domain)| here.get(id) == Some(domain));
                same && here.keys().all(|id| next.contains_key(id) || !touched(*id))
            }
            (one, other) => one == other,
        }
    }

    /// Whether it has had this transaction, or, in MariaDB, a later one of the same server and domain.
    pub fn has(&self, gtid: Gtid) -> bool {
        match (self, gtid) {
            (Self::MariaDb(domains), Gtid::MariaDb { domain, server, number }) => {
                domains.get(&domain).and_then(|domain| domain.numbers.get(&server)).is_some_and(|last| *last >= number)
            }
            (Self::MySql(servers), Gtid::MySql { server, number }) => servers
                .get(&server)
                .is_some_and(|ranges| ranges.iter().any(|(from, to)| (*from..*to).contains(&number))),
            (Self::MariaDb(_), Gtid::MySql { .. }) | (Self::MySql(_), Gtid::MariaDb { .. }) => false,
        }
    }

    /// The last transaction of each of MariaDB's domains, as `@@gtid_slave_pos` has them.
    pub fn last(&self) -> Vec<Gtid> {
        let Self::MariaDb(domains) = self else { return Vec::new() };
        let last = domains.iter().filter_map(|(id, domain)| {
            let number = *domain.numbers.get(&domain.last)?;
            Some(Gtid::MariaDb { domain: *id, server: domain.last, number })
        });
        last.collect()
    }

    /// Whether there was nothing yet.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::MariaDb(domains) => domains.is_empty(),
            Self::MySql(servers) => servers.is_empty(),
        }
    }
}

/// Puts a range where it belongs, and makes one of those that touch.
fn add_range(ranges: &mut Vec<(u64, u64)>, (from, to): (u64, u64)) {
    // Nearly always at the end, or behind it.
    let first = ranges.partition_point(|range| range.1 < from);
    let end = ranges.partition_point(|range| range.0 <= to);
    let merged = ranges.get(first..end).unwrap_or_default();
    let from = merged.first().map_or(from, |range| range.0.min(from));
    let to = merged.last().map_or(to, |range| range.1.max(to));
    ranges.splice(first..end, [(from, to)]);
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut comma = "";
        match self {
            Self::MariaDb(domains) => {
                for (id, domain) in domains {
                    // The last of a domain stands at its end, as in the server's own list.
                    let last = domain.numbers.get_key_value(&domain.last);
                    let others = domain.numbers.iter().filter(|(server, _)| **server != domain.last);
                    for (server, number) in others.chain(last) {
                        write!(f, "{comma}{id}-{server}-{number}")?;
                        comma = ",";
                    }
                }
            }
            Self::MySql(servers) => {
                for (server, ranges) in servers {
                    write!(f, "{comma}{server}")?;
                    for (from, to) in ranges {
                        let last = to.saturating_sub(1);
                        if last == *from { write!(f, ":{from}") } else { write!(f, ":{from}-{last}") }?;
                    }
                    comma = ",";
                }
                // So that an empty one is MySQL's too.
                if servers.is_empty() {
                    write!(f, ":")?;
                }
            }
        }
        Ok(())
    }
}

impl From<State> for String {
    fn from(state: State) -> Self {
        state.to_string()
    }
}

impl TryFrom<String> for State {
    type Error = NoGtid;

    fn try_from(text: String) -> Result<Self, NoGtid> {
        text.parse()
    }
}

impl FromStr for State {
    type Err = NoGtid;

    fn from_str(text: &str) -> Result<Self, NoGtid> {
        let entries = || text.split(',').filter(|entry| !entry.is_empty());
        if !text.contains(':') {
            let mut state = Self::MariaDb(BTreeMap::new());
            for entry in entries() {
                state.add(entry.parse()?);
            }
            return Ok(state);
        }
        let mut state = Self::MySql(BTreeMap::new());
        for entry in entries().filter(|entry| *entry != ":") {
            let mut parts = entry.split(':');
            let server = Uuid::parse_str(parts.next().ok_or(NoGtid)?).map_err(|_no_uuid| NoGtid)?;
            for range in parts {
                let (from, last) = range.split_once('-').unwrap_or((range, range));
                let (from, last): (u64, u64) = (digits(from).ok_or(NoGtid)?, digits(last).ok_or(NoGtid)?);
                state.add_range(server, (from, last.checked_add(1).ok_or(NoGtid)?));
            }
        }
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::{Gtid, State};

    fn state(text: &str) -> State {
        text.parse().unwrap()
    }

    #[test]
    fn a_state_is_what_the_server_says() {
        let mut here = state("");
        for gtid in ["0-7-1", "0-8-2", "3-7-13", "0-7-3"] {
            here.add(gtid.parse().unwrap());
        }
        assert_eq!(here.to_string(), "0-8-2,0-7-3,3-7-13");
        assert_eq!(state("0-8-2,0-7-3,3-7-13"), here);
        assert_ne!(state("0-7-3,0-8-2,3-7-13"), here, "which was the last counts");
        assert!(here.has("0-7-2".parse().unwrap()) && !here.has("0-7-4".parse().unwrap()));
        assert!(!here.has("1-7-1".parse().unwrap()));
        let uuid = "3e11fa47-71ca-11e1-9e33-c80aa9429562";
        let there = state(&format!("{uuid}:1-5:7"));
        assert_eq!(there.to_string(), format!("{uuid}:1-5:7"));
        assert!(there.has(format!("{uuid}:5").parse().unwrap()) && !there.has(format!("{uuid}:6").parse().unwrap()));
        assert_eq!(state(":").to_string(), ":");
        for text in [
            "0-1",
            "0-1-2-3",
            "0-1-x",
            "0-+1-2",
            "x:1",
            &format!("{uuid}:2-"),
            &format!("{uuid}:1-18446744073709551615"),
        ] {
            assert!(text.parse::<State>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_goes_on_from_the_state_before_it() {
        let all = |_: u32| true;
        assert!(state("0-7-3").goes_on_with(&state("0-7-3"), all));
        for other in ["", "0-7-2", "0-7-4", "0-8-3", "0-7-3,1-7-1", "0-8-1,0-7-3"] {
            assert!(!state("0-7-3").goes_on_with(&state(other), all), "{other}");
        }
        // A domain that the operator has deleted, which needs that no file has any of it.
        assert!(state("0-7-3,9-1-1").goes_on_with(&state("0-7-3"), |domain| domain == 0));
        assert!(!state("0-7-3,9-1-1").goes_on_with(&state("0-7-3"), all));
        assert!(state(":").goes_on_with(&state(":"), all));
        assert!(!state(":").goes_on_with(&state(""), all));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

        #[test]
        fn ranges_are_the_numbers_that_came(numbers in prop::collection::vec(1_u64..40, 0..60)) {
            let server = Uuid::from_u128(7);
            let mut state = State::MySql(BTreeMap::new());
            for number in &numbers {
                state.add(Gtid::MySql { server, number: *number });
            }
            let there: BTreeSet<_> = numbers.iter().copied().collect();
            for number in 0..42 {
                prop_assert_eq!(state.has(Gtid::MySql { server, number }), there.contains(&number));
            }
            let State::MySql(servers) = &state else { unreachable!() };
            let ranges = servers.get(&server).cloned().unwrap_or_default();
            prop_assert!(ranges.windows(2).all(|two| two[0].1 < two[1].0), "{:?}", ranges);
            prop_assert_eq!(state.to_string().parse::<State>().unwrap(), state);
        }

        #[test]
        fn a_state_is_read_as_it_is_written(gtids in prop::collection::vec((0_u32..3, 1_u32..4, 0_u64..50), 0..30)) {
            let mut state = State::MariaDb(BTreeMap::new());
            for (domain, server, number) in gtids {
                state.add(Gtid::MariaDb { domain, server, number });
            }
            prop_assert_eq!(state.to_string().parse::<State>().unwrap(), state);
        }
    }
}
