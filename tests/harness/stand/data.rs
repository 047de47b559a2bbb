//! The data of the real servers: several engines and kinds of things, how they change, and what there is of them.

use super::Content;

/// Whose SQL a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    MariaDb,
    MySql,
}

/// A server that can be asked.
pub(crate) trait Sql {
    /// Runs statements with a semicolon after each; gives the rows, a line each.
    fn sql(&self, statements: &str) -> String;
    /// Runs one statement that has semicolons in it.
    fn statement(&self, statement: &str) -> String;
}

/// The password of the account that the daemon has, which has the privileges of a backup and no more.
pub(crate) const PASSWORD: &str = "s3cret-of-the-test";

/// The first data: `InnoDB` in several shapes, Aria, `MyISAM`, partitions, virtual columns, a view, a trigger, an event, routines, names
/// and texts in utf8mb4, blobs; and what [`write_on`] writes to.
pub(crate) fn seed(server: &dyn Sql, flavour: Flavour) {
    let privileges = match flavour {
        Flavour::MariaDb => "RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR",
        Flavour::MySql => "RELOAD, PROCESS, LOCK TABLES, REPLICATION CLIENT, BACKUP_ADMIN",
    };
    let doubling = (0..11).map(|power| format!("INSERT INTO number SELECT n + {} FROM number;", 1 << power));
    let doubling = doubling.collect::<Vec<_>>().concat();
    server.sql(&format!(
        "CREATE USER dbcalm@localhost IDENTIFIED BY '{PASSWORD}';
        GRANT {privileges} ON *.* TO dbcalm@localhost;
        CREATE DATABASE shop CHARACTER SET utf8mb4;
        USE shop;
        CREATE TABLE number (n INT PRIMARY KEY) ENGINE=InnoDB;
        INSERT INTO number VALUES (1);
        {doubling}
        CREATE TABLE customers (id INT PRIMARY KEY, name VARCHAR(80)) ENGINE=InnoDB;
        INSERT INTO customers SELECT n, concat('Żaneta ☃ 🚚 ', n) FROM number WHERE n <= 50;
        CREATE TABLE orders (id INT PRIMARY KEY AUTO_INCREMENT, customer INT NOT NULL, note VARCHAR(200), data MEDIUMBLOB,
                             length INT AS (char_length(note)) STORED, shout VARCHAR(200) AS (upper(note)) VIRTUAL,
                             KEY (length), FOREIGN KEY (customer) REFERENCES customers (id)) ENGINE=InnoDB;
        INSERT INTO orders (customer, note, data) SELECT 1 + n % 50, concat('ordér ☃ ', n), repeat(char(n % 256), 1500) FROM number;
        INSERT INTO orders (customer, note, data) VALUES (1, 'a large one', repeat('blob', 100000));
        CREATE TABLE parts (id INT, year INT) ENGINE=InnoDB PARTITION BY RANGE (year)
            (PARTITION early VALUES LESS THAN (2000), PARTITION late VALUES LESS THAN MAXVALUE);
        INSERT INTO parts SELECT n, 1900 + n % 200 FROM number;
        CREATE TABLE packed (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB ROW_FORMAT=COMPRESSED;
        INSERT INTO packed SELECT n, repeat('x', 300) FROM number WHERE n <= 400;
        CREATE TABLE old (id INT, text VARCHAR(100), KEY (id)) ENGINE=MyISAM;
        INSERT INTO old SELECT n, concat('old ', n) FROM number;
        CREATE TABLE `naïve table ☃` (id INT PRIMARY KEY) ENGINE=InnoDB;
        CREATE TABLE log (id INT, text VARCHAR(100)) ENGINE={other};
        CREATE VIEW recent AS SELECT id, note FROM orders WHERE id > 10;
        CREATE TRIGGER noted AFTER INSERT ON packed FOR EACH ROW INSERT INTO log VALUES (NEW.id, 'packed');
        CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR STARTS CURRENT_TIMESTAMP + INTERVAL 1 YEAR DO DELETE FROM log;
        CREATE FUNCTION doubled(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
        CREATE TABLE told (stop INT, written INT) ENGINE=InnoDB;
        INSERT INTO told VALUES (0, 0);
        CREATE TABLE noise_a (id INT PRIMARY KEY AUTO_INCREMENT, round INT) ENGINE=InnoDB;
        CREATE TABLE noise_b (id INT PRIMARY KEY AUTO_INCREMENT, round INT) ENGINE=InnoDB;",
        // MySQL lets no trigger go from InnoDB to an engine without transactions.
        other = if flavour == Flavour::MariaDb { "Aria" } else { "InnoDB" },
    ));
    if flavour == Flavour::MariaDb {
        server.sql(
            "USE shop;
            CREATE TABLE squeezed (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB PAGE_COMPRESSED=1;
            INSERT INTO squeezed SELECT n, repeat('y', 500) FROM number;
            CREATE SEQUENCE ticket START WITH 100;",
        );
    }
    // Each round is a transaction over two tables: a backup holds all of it or nothing. The pause leaves the tool some of the disk.
    server.statement(
        "CREATE PROCEDURE shop.write_on()
        BEGIN
            UPDATE shop.told SET stop = 0;
            WHILE (SELECT stop FROM shop.told) = 0 DO
                START TRANSACTION;
                INSERT INTO shop.noise_a (round) VALUES (1), (2), (3);
                INSERT INTO shop.noise_b (round) VALUES (1);
                UPDATE shop.told SET written = written + 1;
                COMMIT;
                DO SLEEP(0.002);
            END WHILE;
        END",
    );
}

/// What changes in a round.
pub(crate) fn change(server: &dyn Sql, round: u32) {
    let before = round.saturating_sub(1);
    server.sql(&format!(
        "USE shop;
        UPDATE orders SET note = concat(note, ' {round}') WHERE id % 7 = {round} % 7;
        INSERT INTO orders (customer, note, data) SELECT 1, concat('round {round} ', n), repeat('r', 900) FROM number WHERE n <= 300;
        DELETE FROM orders WHERE id % 41 = {round};
        DELETE FROM old WHERE id % 6 = {round} % 6;
        INSERT INTO log (id, text) SELECT n, 'round {round}' FROM number WHERE n <= 100;
        INSERT INTO parts SELECT n, 1950 + n FROM number WHERE n <= 100;
        INSERT INTO packed (id, text) SELECT n + {round} * 1000, repeat('p', 200) FROM number WHERE n <= 50;
        ALTER TABLE packed ADD COLUMN more_{round} INT DEFAULT {round};
        CREATE TABLE made_{round} (id INT PRIMARY KEY, text TEXT) ENGINE=InnoDB;
        INSERT INTO made_{round} SELECT n, 'made' FROM number WHERE n <= 200;
        DROP TABLE IF EXISTS made_{before};
        CREATE DATABASE extra_{round};
        CREATE TABLE extra_{round}.t (id INT) ENGINE=InnoDB;
        INSERT INTO extra_{round}.t VALUES ({round});
        DROP DATABASE IF EXISTS extra_{before};"
    ));
}

/// Tells the server to stop what `write_on` does.
pub(crate) const STOP_WRITING: &str = "UPDATE shop.told SET stop = 1";

/// How many rounds have been written.
pub(crate) const WRITTEN: &str = "SELECT written FROM shop.told";

/// Checks that every round is there as a whole.
pub(crate) fn check_written(server: &dyn Sql) {
    let said = server
        .sql("SELECT written, (SELECT count(*) FROM shop.noise_a), (SELECT count(*) FROM shop.noise_b) FROM shop.told");
    let numbers: Vec<u64> = said.split_whitespace().map(|number| number.parse().unwrap()).collect();
    assert_eq!(numbers[1..], [3 * numbers[0], numbers[0]], "rows of what was written during the backups: {numbers:?}");
}

/// Everything that is there, but for what `write_on` writes; and that it is sound.
pub(crate) fn content(server: &dyn Sql, flavour: Flavour) -> Content {
    let own = "('mysql', 'sys', 'information_schema', 'performance_schema')";
    let tables = server.sql(&format!(
        "SELECT concat('`', table_schema, '`.`', table_name, '`') FROM information_schema.tables WHERE table_type = 'BASE TABLE'
         AND table_schema NOT IN {own} AND table_name NOT IN ('noise_a', 'noise_b', 'told') ORDER BY 1"
    ));
    let tables: Vec<&str> = tables.lines().collect();
    let list = tables.join(", ");
    let unsound: Vec<String> = server
        .sql(&format!("CHECK TABLE {list} EXTENDED"))
        .lines()
        .filter(|line| !line.ends_with("\tOK"))
        .map(str::to_owned)
        .collect();
    assert!(unsound.is_empty(), "{unsound:?}");
    let counts = tables.iter().map(|table| format!("SELECT '{table}', count(*) FROM {table};"));
    let counts = counts.collect::<Vec<_>>().concat();
    let ticket =
        if flavour == Flavour::MariaDb { "SELECT 'ticket', next_not_cached_value FROM shop.ticket;" } else { "" };
    let things = format!(
        "USE shop; {counts} CHECKSUM TABLE {list} EXTENDED; {ticket}
        SELECT 'view', table_name, sha2(view_definition, 256) FROM information_schema.views WHERE table_schema = 'shop' ORDER BY 2;
        SELECT 'trigger', trigger_name, sha2(action_statement, 256) FROM information_schema.triggers WHERE trigger_schema = 'shop' ORDER BY 2;
        SELECT 'event', event_name, sha2(event_definition, 256) FROM information_schema.events WHERE event_schema = 'shop' ORDER BY 2;
        SELECT 'routine', routine_name, sha2(routine_definition, 256) FROM information_schema.routines WHERE routine_schema = 'shop' ORDER BY 2;
        SELECT 'through the view', count(*) FROM shop.recent;"
    );
    server.sql(&things).lines().map(str::to_owned).collect()
}
