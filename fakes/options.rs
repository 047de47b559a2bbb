//! The command line of the fake tools: which options there are, how they are written, what an unknown one does; and
//! the options file that it names.
//!
//! Option names, messages and exit codes are those of MariaDB 10.11.19's tools; xtrabackup's 255 is by its documentation.

#![allow(dead_code, reason = "shared: each program that includes it uses another part of it")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::player::{Call, Step, Stop, say};

/// What a tool knows, and its exit codes for what it does not.
pub(crate) struct Grammar {
    /// Options without a value.
    pub(crate) flags: &'static [&'static str],
    /// Options with a value, in the same or the next argument.
    pub(crate) values: &'static [&'static str],
    /// Whether `--defaults-file` must be the very first argument.
    pub(crate) defaults_file_first: bool,
    /// Exit code of an unknown option without a value: 2.
    pub(crate) unknown_option: u8,
    /// Exit code of an unknown option with a value: 7.
    pub(crate) unknown_variable: u8,
}

/// A command line that was understood.
#[derive(Debug, Default)]
pub(crate) struct Options {
    flags: BTreeSet<String>,
    values: BTreeMap<String, String>,
    /// What is not an option.
    pub(crate) words: Vec<String>,
}

impl Options {
    /// Understands the arguments of a call, or ends it as the real tool would.
    pub(crate) fn parse(call: &Call, grammar: &Grammar) -> Step<Self> {
        let tool = &call.program;
        let mut options = Self::default();
        let mut only_defaults_so_far = true;
        let mut args = call.args.iter().enumerate();
        while let Some((position, arg)) = args.next() {
            let Some(option) = arg.strip_prefix("--") else {
                only_defaults_so_far = false;
                options.words.push(arg.clone());
                continue;
            };
            let (name, inline) = match option.split_once('=') {
                Some((name, value)) => (name.replace('_', "-"), Some(value.to_owned())),
                None => (option.replace('_', "-"), None),
            };
            if name == "defaults-file" && grammar.defaults_file_first && position > 0 {
                return Err(Stop::because(1, &first_on_line()));
            }
            let is_defaults = name.starts_with("defaults-");
            if is_defaults && !only_defaults_so_far {
                return Err(Stop::because(grammar.unknown_variable, &format!("{tool}: unknown variable '{option}'")));
            }
            only_defaults_so_far &= is_defaults;
            if grammar.flags.contains(&name.as_str()) {
                options.flags.insert(name);
            } else if is_defaults || grammar.values.contains(&name.as_str()) {
                let Some(value) = inline.or_else(|| args.next().map(|(_, next)| next.clone())) else {
                    return Err(Stop::because(5, &format!("{tool}: option '{arg}' requires an argument")));
                };
                options.values.insert(name, value);
            } else if inline.is_some() {
                return Err(Stop::because(grammar.unknown_variable, &format!("{tool}: unknown variable '{option}'")));
            } else {
                return Err(Stop::because(grammar.unknown_option, &format!("{tool}: unknown option '{arg}'")));
            }
        }
        Ok(options)
    }

    /// Lets an option that has a new name be known by its old one, which warns; both together keep the tool from starting.
    pub(crate) fn rename(&mut self, old: &str, new: &str) -> Step<()> {
        let has = |name: &str| self.flags.contains(name) || self.values.contains_key(name);
        match (has(old), has(new)) {
            (true, true) => {
                return Err(Stop::because(
                    1,
                    &format!("Error: --{old} and --{new} are one option: give --{new} alone"),
                ));
            }
            (true, false) => say(format!("Warning: --{old} is deprecated, use --{new} instead").as_bytes()),
            (false, true) => {
                if self.flags.remove(new) {
                    self.flags.insert(old.to_owned());
                }
                if let Some(value) = self.values.remove(new) {
                    self.values.insert(old.to_owned(), value);
                }
            }
            (false, false) => {}
        }
        Ok(())
    }

    /// Whether the flag was given.
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.contains(flag)
    }

    /// The option's value, if it was given.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What the options file says about the connection; command line first.
    pub(crate) fn login(&self) -> Step<Login> {
        let mut values = BTreeMap::new();
        if let Some(file) = self.get("defaults-file") {
            let Ok(text) = fs::read_to_string(file) else {
                say(format!("Could not open required defaults file: {file}").as_bytes());
                return Err(Stop::because(1, "Fatal error in defaults handling. Program aborted"));
            };
            values = read_groups(file, &text, self.get("defaults-group-suffix").unwrap_or_default())?;
        }
        for name in ["user", "password", "socket", "host"] {
            if let Some(value) = self.get(name) {
                values.insert(name.to_owned(), value.to_owned());
            }
        }
        let mut take = |name: &str| values.remove(name).filter(|value| !value.is_empty());
        Ok(Login { user: take("user"), password: take("password"), socket: take("socket"), host: take("host") })
    }
}

fn first_on_line() -> String {
    format!("[00] FATAL ERROR: {} --defaults-file must be specified first on the command line", crate::log::now())
}

/// Who connects where.
#[derive(Debug)]
pub(crate) struct Login {
    user: Option<String>,
    password: Option<String>,
    socket: Option<String>,
    host: Option<String>,
}

impl Login {
    /// The user as the tool names it; without one it is the user it runs as.
    pub(crate) fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("root")
    }

    /// The host as the tool names it.
    pub(crate) fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("localhost")
    }

    /// Whether the host is reached by a socket file.
    pub(crate) fn is_local(&self) -> bool {
        self.host() == "localhost"
    }

    /// The socket file that the options file names.
    pub(crate) fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// The socket file that is used.
    pub(crate) fn socket_or_default(&self) -> &str {
        self.socket().unwrap_or("/run/mysqld/mysqld.sock")
    }

    /// Whether there is a password.
    pub(crate) fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// The fake server's rule: whoever names a user gets in, but not with the password `wrong`.
    pub(crate) fn is_accepted(&self) -> bool {
        self.user.is_some() && self.password.as_deref() != Some("wrong")
    }

    /// The server's refusal.
    pub(crate) fn denial(&self) -> String {
        let with = if self.has_password() { "YES" } else { "NO" };
        format!("Access denied for user '{}'@'localhost' (using password: {with})", self.user())
    }
}

/// Reads the groups `client` and `client<suffix>`; what comes later wins.
fn read_groups(file: &str, text: &str, suffix: &str) -> Step<BTreeMap<String, String>> {
    let wanted = ["client".to_owned(), format!("client{suffix}")];
    let mut group: Option<&str> = None;
    let mut values = BTreeMap::new();
    for (line, number) in text.lines().map(str::trim).zip(1_u32..) {
        if line.is_empty() || line.starts_with(['#', ';', '!']) {
            continue;
        }
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            group = Some(name.trim());
            continue;
        }
        let Some(group) = group else {
            let error = "error: Found option without preceding group in config file";
            say(format!("{error}: {file} at line: {number}").as_bytes());
            return Err(Stop::because(1, "Fatal error in defaults handling. Program aborted"));
        };
        if !wanted.iter().any(|name| name == group) {
            continue;
        }
        if let Some((name, value)) = line.split_once('=') {
            values.insert(name.trim().replace('_', "-"), unquoted(value.trim()).to_owned());
        }
    }
    Ok(values)
}

fn unquoted(value: &str) -> &str {
    ['"', '\'']
        .iter()
        .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote))
        .unwrap_or_else(|| value.split(" #").next().unwrap_or_default().trim_end())
}
