//! Scheduled events of the server, by the statements that make and change them: whether each is enabled.
//!
//! A replica disables every event that it makes or changes at its source's word, and does not keep how it was (seen with 10.11.19). So this is
//! told from the statements: CREATE EVENT and ALTER EVENT say ENABLE or DISABLE, or nothing.

use std::collections::BTreeMap;

use super::statement::{Token, Tokens};

/// Whether an event runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It does.
    Enabled,
    /// It does not.
    Disabled,
    /// It does not on this server, which is or was a replica.
    DisabledHere,
    /// Nobody can tell.
    Unknown,
}

/// An event's database and its name, which is one in whatever case.
type Name = (String, String);

/// Events, as they are behind each statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scheduled(BTreeMap<Name, Status>);

fn name(database: &str, name: &str) -> Name {
    (database.to_owned(), name.to_lowercase())
}

impl Scheduled {
    /// There is one of this status.
    pub fn add(&mut self, database: &str, event: &str, status: Status) {
        self.0.insert(name(database, event), status);
    }

    /// What an event is now. Unknown if it was not heard of.
    pub fn status(&self, database: &str, event: &str) -> Status {
        self.0.get(&name(database, event)).copied().unwrap_or(Status::Unknown)
    }

    /// A statement was executed in this database. Of a text that may be cut off less is known.
    pub fn apply(&mut self, database: &str, text: &str, is_whole: bool) {
        let mut words = Words { tokens: Tokens(text), next: None, database };
        let Some(verb) = words.word().filter(|verb| ["CREATE", "ALTER", "DROP"].contains(&verb.as_str())) else {
            return;
        };
        words.step();
        if verb == "DROP" && (words.takes("DATABASE") || words.takes("SCHEMA")) {
            words.condition();
            if let Some(gone) = words.identifier() {
                self.0.retain(|(database, _), _| *database != gone);
            }
            return;
        }
        if !words.comes_to_event() {
            return;
        }
        let has_condition = words.condition();
        let Some(event) = words.event() else { return };
        match verb.as_str() {
            "DROP" => {
                self.0.remove(&event);
            }
            // It was there, and nothing was done.
            "CREATE" if has_condition && self.0.contains_key(&event) => {}
            "CREATE" => {
                let clauses = words.clauses(is_whole);
                self.0.insert(event, clauses.status.unwrap_or(Status::Enabled));
            }
            _ => {
                let before = self.0.remove(&event).unwrap_or(Status::Unknown);
                let Clauses { status, renamed } = words.clauses(is_whole);
                self.0.insert(renamed.unwrap_or(event), status.unwrap_or(before));
            }
        }
    }
}

/// What a statement says of an event.
struct Clauses {
    status: Option<Status>,
    renamed: Option<Name>,
}

/// A statement, word by word.
struct Words<'a> {
    tokens: Tokens<'a>,
    next: Option<Token>,
    database: &'a str,
}

impl Words<'_> {
    fn peek(&mut self) -> Option<&Token> {
        if self.next.is_none() {
            self.next = self.tokens.next();
        }
        self.next.as_ref()
    }

    fn step(&mut self) -> Option<Token> {
        self.peek();
        self.next.take()
    }

    /// The next word, if it is one, in capitals.
    fn word(&mut self) -> Option<String> {
        match self.peek() {
            Some(Token::Word(word)) => Some(word.to_ascii_uppercase()),
            Some(Token::Name(_) | Token::Sign(_)) | None => None,
        }
    }

    /// Takes this word, if it is the next.
    fn takes(&mut self, wanted: &str) -> bool {
        let is_next = self.word().is_some_and(|word| word == wanted);
        if is_next {
            self.step();
        }
        is_next
    }

    /// Takes `IF EXISTS` or `IF NOT EXISTS`.
    fn condition(&mut self) -> bool {
        let has = self.takes("IF");
        if has {
            self.takes("NOT");
            self.takes("EXISTS");
        }
        has
    }

    /// Goes behind `EVENT`, if the statement is about one: before it may stand who defines it.
    fn comes_to_event(&mut self) -> bool {
        loop {
            match self.step() {
                Some(Token::Word(word)) => match word.to_ascii_uppercase().as_str() {
                    "EVENT" => return true,
                    "OR" | "REPLACE" | "DEFINER" | "CURRENT_USER" | "CURRENT_ROLE" => {}
                    // An account's, behind DEFINER; or another kind of thing.
                    _ if word.contains('@') => {}
                    _ => return false,
                },
                Some(Token::Name(_) | Token::Sign('=' | '(' | ')')) => {}
                Some(Token::Sign(_)) | None => return false,
            }
        }
    }

    fn identifier(&mut self) -> Option<String> {
        match self.step()? {
            Token::Word(text) | Token::Name(text) => Some(text),
            Token::Sign(_) => None,
        }
    }

    fn event(&mut self) -> Option<Name> {
        let first = self.identifier()?;
        if self.peek() == Some(&Token::Sign('.')) {
            self.step();
            return Some(name(&first, &self.identifier()?));
        }
        Some(name(self.database, &first))
    }

    /// What stands between an event's name and what it does.
    fn clauses(&mut self, is_whole: bool) -> Clauses {
        let mut clauses = Clauses { status: None, renamed: None };
        loop {
            let Some(token) = self.step() else {
                if !is_whole {
                    clauses.status = Some(Status::Unknown);
                }
                return clauses;
            };
            let Token::Word(word) = token else { continue };
            match word.to_ascii_uppercase().as_str() {
                "DO" => return clauses,
                "ENABLE" => clauses.status = Some(Status::Enabled),
                "DISABLE" if self.takes("ON") => clauses.status = Some(Status::DisabledHere),
                "DISABLE" => clauses.status = Some(Status::Disabled),
                "RENAME" if self.takes("TO") => clauses.renamed = self.event(),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Scheduled;
    use super::Status::{Disabled, DisabledHere, Enabled, Unknown};

    #[test]
    fn an_event_is_as_the_last_statement_has_left_it() {
        let mut events = Scheduled::default();
        events.add("shop", "Old", Disabled);
        for text in [
            "CREATE DEFINER=`root`@`localhost` EVENT often ON SCHEDULE EVERY 1 SECOND DO INSERT INTO t VALUES ('DISABLE')",
            "CREATE OR REPLACE DEFINER=root@localhost EVENT IF NOT EXISTS `shop`.`off` ON SCHEDULE AT '2030-01-01' ON COMPLETION PRESERVE DISABLE DO SELECT 1",
            "CREATE EVENT there ON SCHEDULE EVERY 1 DAY DISABLE ON SLAVE COMMENT 'ENABLE' DO SELECT 1",
            "ALTER DEFINER=`a`@`%` EVENT old ON COMPLETION NOT PRESERVE RENAME TO other.`new`",
            "CREATE EVENT IF NOT EXISTS often ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
            "CREATE TABLE event (i INT)",
            "ALTER TABLE `event` DISABLE KEYS",
            "CREATE EVENT gone ON SCHEDULE EVERY 1 DAY DO SELECT 1",
            "DROP EVENT IF EXISTS gone",
        ] {
            events.apply("shop", text, true);
        }
        let all = [
            ("shop", "often"),
            ("shop", "off"),
            ("shop", "there"),
            ("shop", "old"),
            ("other", "New"),
            ("shop", "gone"),
        ];
        let statuses = all.map(|(database, event)| events.status(database, event));
        assert_eq!(statuses, [Enabled, Disabled, DisabledHere, Unknown, Disabled, Unknown]);
        events.apply("other", "ALTER EVENT new ENABLE", true);
        events.apply("shop", "ALTER EVENT off DO SELECT 2", true);
        events.apply("shop", "ALTER EVENT often ON SCHEDULE EVERY 1 DAY COMMENT 'long", false);
        let statuses = [("other", "new"), ("shop", "off"), ("shop", "often")];
        let statuses = statuses.map(|(database, event)| events.status(database, event));
        assert_eq!(statuses, [Enabled, Disabled, Unknown]);
        events.apply("", "DROP DATABASE IF EXISTS `other`", true);
        assert_eq!(events.status("other", "new"), Unknown);
    }
}
