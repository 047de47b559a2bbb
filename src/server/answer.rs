//! What the admin tool says where it does not get through: whether nobody listens, or what else is the matter, and what helps.
//!
//! In: what it wrote on stderr. Out: its reason, and a hint. Only "nobody listens" is told from all else, since only that means a server that
//! is down; whatever else it says, a server may well run. The words are those of MariaDB's client library (10.5.23, 10.11.19, 11.8.6) and of
//! MySQL's (9.7.4).

/// How much of a reason is told, in characters: a reply has to fit into 4096 bytes.
const LENGTH: usize = 400;

/// The reason in what the tool wrote: the text of `error: '…'`, or else its first line that is no warning.
pub fn reason(stderr: &str) -> String {
    let quoted = |line: &str| {
        let text = line.split_once("error: '")?.1;
        Some(text.strip_suffix('\'').unwrap_or(text).to_owned())
    };
    let told = stderr.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("WARNING:"));
    let reason = stderr.lines().find_map(|line| quoted(line.trim())).or_else(|| told.clone().next().map(without_value));
    reason.unwrap_or_default().chars().take(LENGTH).collect()
}

/// Of `unknown variable 'pasword=x'`, `unknown option '--password x'` and the like the name alone: what is misspelt may be a secret.
fn without_value(line: &str) -> String {
    let quoted = ["variable '", "option '"].into_iter().find_map(|word| {
        let at = line.find(word)? + word.len();
        line.split_at_checked(at)
    });
    let Some((before, text)) = quoted else { return line.to_owned() };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let name = text.split(|c| !is_name(c)).next().unwrap_or_default();
    // A value may follow without anything between.
    let secret = name.find("password").map(|at| at + "password".len());
    format!("{before}{}'", secret.and_then(|end| name.get(..end)).unwrap_or(name))
}

/// Whether this reason says that nobody listens at the place: the client's errors 2002 and 2003, with "no such file" or "connection refused"
/// as the system's number behind it. Over TCP a refused connection is 115 in MariaDB's library (seen with 10.5.23, 10.11.19 and 11.8.6), and 111
/// in MySQL's.
pub fn is_nobody(reason: &str) -> bool {
    let number = || reason.rsplit_once('(')?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse::<u32>().ok();
    let is_socket = reason.contains(" through socket ");
    reason.starts_with("Can't connect to ")
        && number().is_some_and(|number| matches!((is_socket, number), (true, 2 | 111) | (false, 111 | 115)))
}

/// What a server says of a wrong password, an unknown user or a missing privilege.
const DENIED: &str = "Access denied";

/// What helps against a reason, for the operator of the credentials file and the server. By the first row whose words are in it.
const HELP: [(&str, &str); 19] = [
    (
        "server does not support it",
        "the server has no TLS: write skip-ssl under [client-dbcalm] in the credentials file",
    ),
    (
        "ertificate",
        "write ssl-ca=FILE of the authority that signed the server's certificate, and the host that it names, under [client-dbcalm] in the \
         credentials file; or disable-ssl-verify-server-cert",
    ),
    (
        "TLS/SSL error",
        "the ssl-… options of the credentials file, and the files that they name, have to fit the server",
    ),
    (
        "Too many connections",
        "SET GLOBAL max_connections to more, or end connections: a backup needs one of its own, and the admin tool one",
    ),
    ("max_user_connections", "ALTER USER … WITH MAX_USER_CONNECTIONS 0, for the user of the credentials file"),
    ("account is locked", "ALTER USER … ACCOUNT UNLOCK, for the user of the credentials file"),
    (
        "SET PASSWORD before",
        "the password has expired: ALTER USER … IDENTIFIED BY '…' PASSWORD EXPIRE NEVER, and the same password in the credentials file",
    ),
    (
        "password has expired",
        "ALTER USER … IDENTIFIED BY '…' PASSWORD EXPIRE NEVER, and the same password in the credentials file",
    ),
    (
        "is not loaded",
        "the account asks for a plugin that is not there: INSTALL SONAME it in the server, or ALTER USER … IDENTIFIED BY '…'",
    ),
    (
        "cannot be loaded",
        "the account asks for a client plugin that is not installed here: install it, or ALTER USER … IDENTIFIED BY '…'",
    ),
    ("server host '", "the name in host, in the settings or the credentials file, leads nowhere"),
    ("is not allowed to connect", "make the user of the credentials file for this host too: CREATE USER …@'HOST'"),
    ("is blocked because of", "FLUSH HOSTS in the server"),
    ("shutdown in progress", "the server is stopping: wait for its end"),
    ("(13", "the daemon's user may not reach the server's socket: look at the modes of its directory"),
    ("handshake", "what listens there does not answer as a server does: look at its log, and at host and port"),
    ("unknown option", "the admin tool does not know an option of the credentials file: write loose- before its name"),
    (
        "unknown variable",
        "the admin tool does not know an option of the credentials file: write loose- before its name",
    ),
    (DENIED, "GRANT RELOAD, PROCESS, LOCK TABLES, BINLOG MONITOR ON *.* to that user, with the password of the file"),
];

/// What helps against it.
pub fn hint(reason: &str) -> &'static str {
    row(reason).map_or("dbcalm-db-cmd check asks the same again; the server's own log may say more", |(_, help)| help)
}

/// What helps against it, if anything beside a right password is known to.
pub fn known_hint(reason: &str) -> Option<&'static str> {
    row(reason).filter(|(words, _)| *words != DENIED).map(|(_, help)| *help)
}

fn row(reason: &str) -> Option<&'static (&'static str, &'static str)> {
    HELP.iter().find(|(words, _)| reason.contains(words))
}

#[cfg(test)]
mod tests {
    use super::{LENGTH, hint, is_nobody, reason};

    /// Seen, MySQL's with mysqladmin 9.7.4.
    #[test]
    fn only_nobody_is_nobody() {
        for text in [
            "Can't connect to local server through socket '/run/mysqld/mysqld.sock' (2)",
            "Can't connect to local server through socket '/tmp/s(13)' (111)",
            "Can't connect to local MySQL server through socket '/run/mysqld/mysqld.sock' (2)",
            "Can't connect to MySQL server on '127.0.0.1' (115)",
            "Can't connect to server on '127.0.0.1' (115)",
            "Can't connect to MySQL server on '127.0.0.1:3306' (111)",
        ] {
            assert!(is_nobody(text), "{text}");
        }
        for text in [
            "Can't connect to local server through socket '/root/s' (13)",
            "Can't connect to local server through socket '/tmp/s' (11)",
            "Can't connect to local server through socket '/tmp/file/s' (20)",
            "Can't connect to server on 'db1' (110)",
            "Unknown server host 'db1' (-2)",
            "TLS/SSL error: No such file or directory (2)",
            "TLS/SSL error: SSL is required, but the server does not support it",
            "Lost connection to server at 'handshake: reading initial communication packet', system error: 111",
            "Access denied for user 'x (2)'@'localhost'",
            "",
        ] {
            assert!(!is_nobody(text), "{text}");
        }
    }

    #[test]
    fn the_reason_is_in_the_tools_words() {
        let said = "WARNING: option --ssl-verify-server-cert is disabled, because of an insecure passwordless login.\n\
            mariadb-admin: connect to server at 'localhost' failed\n\
            error: 'Can't connect to local server through socket '/s' (2)'\n\
            Check that mariadbd is running and that the socket: '/s' exists!\n";
        assert_eq!(reason(said), "Can't connect to local server through socket '/s' (2)");
        let expired =
            "mariadb-admin: unable to show variables; error: 'You must SET PASSWORD before executing this statement'\n";
        assert_eq!(reason(expired), "You must SET PASSWORD before executing this statement");
        let misspelt = "mariadb-admin: unknown variable 'pasword=s3cret'\n";
        assert_eq!(reason(misspelt), "mariadb-admin: unknown variable 'pasword'", "what is misspelt may be a secret");
        // Each seen with 10.11.19, of a line that was to be `password=S3cret` or `p=…`.
        for (said, told) in [
            ("unknown option '--password S3cret'", "unknown option '--password'"),
            ("unknown option '--password: S3cret'", "unknown option '--password'"),
            ("unknown option '--passwordS3cret'", "unknown option '--password'"),
            ("ambiguous option '--p=S3cret' (password, plugin_dir)", "ambiguous option '--p'"),
        ] {
            assert_eq!(reason(&format!("mariadb-admin: {said}\n")), format!("mariadb-admin: {told}"));
        }
        assert_eq!(reason("WARNING: x\n\n"), "");
        assert_eq!(reason(&"é".repeat(5000)).chars().count(), LENGTH);
    }

    #[test]
    fn each_reason_has_a_hint_of_its_own() {
        for (text, help) in [
            ("TLS/SSL error: SSL is required, but the server does not support it", "skip-ssl"),
            ("TLS/SSL error: self-signed certificate in certificate chain", "ssl-ca"),
            ("TLS/SSL error: Validation of SSL server certificate failed", "ssl-ca"),
            ("TLS/SSL error: No such file or directory (2)", "the files that they name"),
            (
                "Received error packet before completion of TLS handshake. The authenticity of the following error cannot be verified: 1040 - Too many connections",
                "max_connections",
            ),
            ("User 'mu' has exceeded the 'max_user_connections' resource (current value: 1)", "MAX_USER_CONNECTIONS"),
            ("Unknown MySQL server host 'db1' (-3)", "leads nowhere"),
            ("Access denied, this account is locked", "ACCOUNT UNLOCK"),
            ("You must SET PASSWORD before executing this statement", "PASSWORD EXPIRE"),
            ("Plugin 'no_such_plugin' is not loaded", "INSTALL SONAME"),
            ("Can't connect to local server through socket '/root/s' (13)", "may not reach"),
            ("Access denied for user 'x'@'localhost' (using password: YES)", "GRANT"),
            ("nobody knows", "check"),
        ] {
            assert!(hint(text).contains(help), "{text}: {}", hint(text));
        }
    }
}
