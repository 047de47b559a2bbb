//! What kind of statement a text is, and which tables it names: for a person who looks for one among many.
//!
//! In: the beginning of a statement, as the binary log has it. Out: its first words, and the tables of DDL and of plain INSERT, UPDATE and
//! DELETE. It is no parser of SQL: what it does not know it does not name. No value of the statement is in what comes out.

/// The most tables that are named of a statement.
const MOST: usize = 32;

/// A statement, seen from afar.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statement {
    /// `DROP TABLE`, `INSERT`, …; empty for none.
    pub kind: String,
    /// The tables, each with its database.
    pub tables: Vec<String>,
    /// The database that it makes, changes or drops.
    pub database: Option<String>,
}

/// A word, a name or a sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Word(String),
    /// Quoted: never a keyword.
    Name(String),
    Sign(char),
}

impl Statement {
    /// Looks at a statement that was given in this database.
    pub fn of(database: &str, text: &str) -> Self {
        let mut tokens = Tokens(text);
        let first = loop {
            match tokens.next() {
                Some(Token::Word(word)) => break word.to_ascii_uppercase(),
                Some(Token::Sign('(')) => {}
                Some(Token::Name(_) | Token::Sign(_)) | None => return Self::default(),
            }
        };
        let mut rest = Words { tokens, next: None, database };
        match first.as_str() {
            "CREATE" | "DROP" | "ALTER" => rest.definition(first),
            "RENAME" if rest.is("TABLE") || rest.is("TABLES") => {
                rest.skip(&["IF", "EXISTS"]);
                Self { kind: "RENAME TABLE".to_owned(), tables: rest.list(&["TO", "WAIT", "NOWAIT"]), database: None }
            }
            "TRUNCATE" => {
                rest.skip(&["TABLE"]);
                rest.one("TRUNCATE TABLE")
            }
            "INSERT" | "REPLACE" => {
                rest.skip(&["LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"]);
                rest.one(&first)
            }
            "UPDATE" => {
                rest.skip(&["LOW_PRIORITY", "IGNORE"]);
                rest.one(&first)
            }
            "DELETE" => {
                rest.skip(&["LOW_PRIORITY", "QUICK", "IGNORE"]);
                if rest.is("FROM") { rest.one(&first) } else { Self { kind: first, ..Self::default() } }
            }
            "LOAD" => {
                // Its file's name is a text, and no word.
                while rest.peek().is_some() && !rest.is("INTO") {
                    rest.step();
                }
                rest.skip(&["TABLE"]);
                rest.one("LOAD DATA")
            }
            "ANALYZE" | "OPTIMIZE" | "REPAIR" => {
                rest.skip(&["NO_WRITE_TO_BINLOG", "LOCAL"]);
                rest.skip(&["TABLE", "TABLES"]);
                Self { kind: format!("{first} TABLE"), tables: rest.list(&[]), database: None }
            }
            "XA" => match rest.word() {
                Some(word) => Self { kind: format!("XA {word}"), ..Self::default() },
                None => Self { kind: first, ..Self::default() },
            },
            _ => Self { kind: first, ..Self::default() },
        }
    }
}

/// The words behind the first.
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
    fn is(&mut self, wanted: &str) -> bool {
        let is_next = self.word().is_some_and(|word| word == wanted);
        if is_next {
            self.step();
        }
        is_next
    }

    fn skip(&mut self, words: &[&str]) {
        while words.iter().any(|word| self.is(word)) {}
    }

    /// A table's name with its database.
    fn table(&mut self) -> Option<String> {
        let name = |token: Option<Token>| match token? {
            Token::Word(text) | Token::Name(text) => Some(text),
            Token::Sign(_) => None,
        };
        let first = name(self.step())?;
        if self.peek() == Some(&Token::Sign('.')) {
            self.step();
            return Some(format!("{first}.{}", name(self.step())?));
        }
        Some(if self.database.is_empty() { first } else { format!("{}.{first}", self.database) })
    }

    /// A statement about the table that comes next.
    fn one(&mut self, kind: &str) -> Statement {
        Statement { kind: kind.to_owned(), tables: self.table().into_iter().collect(), database: None }
    }

    /// The tables of a list with commas, or these words, between them.
    fn list(&mut self, between: &[&str]) -> Vec<String> {
        let mut tables = Vec::new();
        while tables.len() < MOST {
            let Some(table) = self.table() else { break };
            tables.push(table);
            if self.peek() == Some(&Token::Sign(',')) {
                self.step();
            } else if !between.iter().any(|word| self.is(word)) {
                break;
            }
        }
        tables
    }

    /// CREATE, DROP or ALTER, and of what.
    fn definition(&mut self, verb: String) -> Statement {
        const QUALIFIERS: [&str; 11] = [
            "OR",
            "REPLACE",
            "TEMPORARY",
            "ONLINE",
            "OFFLINE",
            "IGNORE",
            "UNIQUE",
            "FULLTEXT",
            "SPATIAL",
            "AGGREGATE",
            "UNDO",
        ];
        let is_temporary = {
            let mut found = false;
            while let Some(word) = self.word().filter(|word| QUALIFIERS.contains(&word.as_str())) {
                found |= word == "TEMPORARY";
                self.step();
            }
            found
        };
        let Some(mut what) = self.word() else { return Statement { kind: verb, ..Statement::default() } };
        // A view may say by whom and how before it says what it is.
        while !OBJECTS.contains(&what.as_str()) {
            self.step();
            match self.peek() {
                None => return Statement { kind: verb, ..Statement::default() },
                Some(_) => what = self.word().unwrap_or_default(),
            }
        }
        self.step();
        self.skip(&["IF", "NOT", "EXISTS"]);
        let temporary = if is_temporary { "TEMPORARY " } else { "" };
        let (mut tables, mut database) = (Vec::new(), None);
        match what.as_str() {
            "TABLE" | "TABLES" | "VIEW" | "SEQUENCE" if verb == "DROP" => tables = self.list(&[]),
            "TABLE" | "VIEW" | "SEQUENCE" => tables.extend(self.table()),
            "DATABASE" | "SCHEMA" => match self.step() {
                Some(Token::Word(name) | Token::Name(name)) => database = Some(name),
                Some(Token::Sign(_)) | None => {}
            },
            "INDEX" | "TRIGGER" => {
                while self.peek().is_some() && !self.is("ON") {
                    self.step();
                }
                tables.extend(self.table());
            }
            _ => {}
        }
        Statement { kind: format!("{verb} {temporary}{what}"), tables, database }
    }
}

/// What can be made, changed and dropped.
const OBJECTS: [&str; 16] = [
    "TABLE",
    "TABLES",
    "VIEW",
    "SEQUENCE",
    "DATABASE",
    "SCHEMA",
    "INDEX",
    "TRIGGER",
    "PROCEDURE",
    "FUNCTION",
    "PACKAGE",
    "EVENT",
    "USER",
    "ROLE",
    "SERVER",
    "TABLESPACE",
];

/// Cuts a text into tokens; comments and texts are none.
pub(super) struct Tokens<'a>(pub(super) &'a str);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        loop {
            self.0 = self.0.trim_start();
            let first = self.0.chars().next()?;
            let rest = self.0.get(first.len_utf8()..)?;
            if let Some(comment) = self.0.strip_prefix("/*") {
                // What such a comment holds is run: `/*!40000 …*/`, `/*M!…*/`.
                if let Some(run) = comment.strip_prefix("M!").or_else(|| comment.strip_prefix('!')) {
                    self.0 = run.trim_start_matches(|c: char| c.is_ascii_digit());
                } else {
                    self.0 = comment.split_once("*/")?.1;
                }
                continue;
            }
            if let Some(behind) = self.0.strip_prefix("*/") {
                self.0 = behind;
                continue;
            }
            let is_dashed = self.0.strip_prefix("--").is_some_and(|rest| rest.starts_with(char::is_whitespace));
            if first == '#' || is_dashed {
                self.0 = self.0.split_once('\n')?.1;
                continue;
            }
            return match first {
                '`' => {
                    let (name, rest) = quoted(rest, '`')?;
                    self.0 = rest;
                    Some(Token::Name(name))
                }
                '\'' | '"' => {
                    // A text; with ANSI_QUOTES a name in double ones.
                    let (name, rest) = quoted(rest, first)?;
                    self.0 = rest;
                    Some(if first == '"' { Token::Name(name) } else { Token::Sign('\'') })
                }
                first if is_of_word(first) => {
                    let end = self.0.find(|c: char| !is_of_word(c)).unwrap_or(self.0.len());
                    let (word, rest) = self.0.split_at_checked(end)?;
                    self.0 = rest;
                    Some(Token::Word(word.to_owned()))
                }
                sign => {
                    self.0 = rest;
                    Some(Token::Sign(sign))
                }
            };
        }
    }
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '@')
}

/// A name up to its end; a quote in it is doubled. None where it has no end.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut name = String::new();
    let mut rest = text;
    loop {
        let (part, behind) = rest.split_once(quote)?;
        name.push_str(part);
        match behind.strip_prefix(quote) {
            Some(more) => {
                name.push(quote);
                rest = more;
            }
            None => return Some((name, behind)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Statement;

    #[test]
    fn a_statement_is_known_by_its_first_words_and_its_tables() {
        for (text, kind, tables) in [
            ("DROP TABLE `orders` /* generated by server */", "DROP TABLE", "shop.orders"),
            ("drop table if exists a, other.`b c`, d", "DROP TABLE", "shop.a other.b c shop.d"),
            ("DROP TEMPORARY TABLE IF EXISTS `t`", "DROP TEMPORARY TABLE", "shop.t"),
            ("CREATE OR REPLACE TABLE x.y (i int)", "CREATE TABLE", "x.y"),
            ("create table if not exists t as select 1", "CREATE TABLE", "shop.t"),
            ("CREATE DATABASE IF NOT EXISTS `a``b`", "CREATE DATABASE", ""),
            ("ALTER ONLINE TABLE t ADD c int", "ALTER TABLE", "shop.t"),
            ("RENAME TABLE a TO b, c.d TO c.e", "RENAME TABLE", "shop.a shop.b c.d c.e"),
            ("TRUNCATE t", "TRUNCATE TABLE", "shop.t"),
            ("truncate table other.t", "TRUNCATE TABLE", "other.t"),
            ("CREATE UNIQUE INDEX i ON t (c)", "CREATE INDEX", "shop.t"),
            ("DROP INDEX `on` ON `t`", "DROP INDEX", "shop.t"),
            ("CREATE DEFINER=`root`@`localhost` VIEW v AS SELECT 1", "CREATE VIEW", "shop.v"),
            ("CREATE ALGORITHM=UNDEFINED SQL SECURITY DEFINER VIEW v AS SELECT 1", "CREATE VIEW", "shop.v"),
            ("CREATE DEFINER=`a`@`%` TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a = 1", "CREATE TRIGGER", "shop.t"),
            ("CREATE USER 'a'@'b' IDENTIFIED BY PASSWORD 'x'", "CREATE USER", ""),
            ("INSERT IGNORE INTO t VALUES ('drop table x')", "INSERT", "shop.t"),
            ("replace t values (1)", "REPLACE", "shop.t"),
            ("/* a comment */ -- another\n UPDATE `shop`.`t` SET a=1", "UPDATE", "shop.t"),
            ("DELETE FROM t WHERE 1", "DELETE", "shop.t"),
            ("DELETE a, b FROM a JOIN b", "DELETE", ""),
            ("LOAD DATA LOCAL INFILE 'x into y' INTO TABLE t", "LOAD DATA", "shop.t"),
            ("/*!40000 DROP TABLE t */", "DROP TABLE", "shop.t"),
            ("XA START X'71',X'',1", "XA START", ""),
            ("COMMIT", "COMMIT", ""),
            ("optimize local table t, u", "OPTIMIZE TABLE", "shop.t shop.u"),
            ("", "", ""),
            ("'", "", ""),
            ("INSERT INTO `t", "INSERT", ""),
            ("CREATE", "CREATE", ""),
        ] {
            let said = Statement::of("shop", text);
            assert_eq!((said.kind.as_str(), said.tables.join(" ").as_str()), (kind, tables), "{text}");
        }
        assert_eq!(Statement::of("", "DROP DATABASE `a``b`").database.as_deref(), Some("a`b"));
        assert_eq!(Statement::of("", "TRUNCATE t").tables, ["t"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1024) })]

        #[test]
        fn no_text_is_too_strange(text in "(CREATE|DROP|ALTER|RENAME TABLE|INSERT|LOAD|XA|/\\*!|[`'\"a-z.,() *@#-]|\\PC){0,20}") {
            let said = Statement::of("d", &text);
            prop_assert!(said.tables.len() <= super::MOST);
        }

        /// A value, wherever it stands behind the table, is not in what is said.
        #[test]
        fn no_value_is_told(value in "[a-zA-Z]{8,12}") {
            for text in [format!("INSERT INTO t VALUES ('{value}')"), format!("UPDATE t SET a='{value}' WHERE b=\"{value}\""),
                         format!("CREATE USER a IDENTIFIED BY '{value}'"), format!("SET PASSWORD = '{value}'")] {
                let said = Statement::of("d", &text);
                let told = format!("{said:?}");
                prop_assert!(!told.contains(&value), "{}", told);
            }
        }
    }
}
