//! Who may give commands, beside the socket's mode: `allowed_users` and `allowed_groups`, held against a peer's credentials.
//!
//! In: names or numbers from the settings, looked up once. Out: whether a user may give commands. Root always may: nothing on the
//! host is closed to it.

use std::collections::BTreeMap;
use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

/// Those who may; with neither setting, everybody who can open the socket.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Access {
    /// Users by their ids, with the names they have in the settings.
    users: Option<BTreeMap<u32, String>>,
    /// Groups likewise.
    groups: Option<BTreeMap<u32, String>>,
}

/// Which of the two settings a name stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `allowed_users`.
    User,
    /// `allowed_groups`.
    Group,
}

impl Kind {
    /// The key in the settings.
    pub fn key(self) -> &'static str {
        match self {
            Self::User => "allowed_users",
            Self::Group => "allowed_groups",
        }
    }

    /// The id of a name, which may be the id itself; none, if the system knows no such name.
    fn look_up(self, name: &str) -> Option<u32> {
        if let Ok(id) = name.parse() {
            return Some(id);
        }
        // A directory service that does not answer knows nobody either.
        match self {
            Self::User => User::from_name(name).ok().flatten().map(|user| user.uid.as_raw()),
            Self::Group => Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw()),
        }
    }
}

impl Access {
    /// Looks the names up; none of a kind is another thing than an empty list of it, which nobody is in.
    ///
    /// # Errors
    /// The first name that the system does not know.
    pub fn new(users: Option<&[String]>, groups: Option<&[String]>) -> Result<Self, (Kind, String)> {
        let ids = |kind: Kind, names: Option<&[String]>| {
            let id = |name: &String| kind.look_up(name).map(|id| (id, name.clone())).ok_or((kind, name.clone()));
            names.map(|names| names.iter().map(id).collect()).transpose()
        };
        Ok(Self { users: ids(Kind::User, users)?, groups: ids(Kind::Group, groups)? })
    }

    /// Whether the settings name anybody, so that a peer has to be looked at.
    pub fn is_limited(&self) -> bool {
        self.users.is_some() || self.groups.is_some()
    }

    /// Whether a process of this user and group may give commands.
    ///
    /// A user's further groups are those that the system's own list has (getgrouplist(3)): the groups that a process says it has
    /// would have to be read from `/proc`, where another process may have its id by then. It may ask a directory service, so it is
    /// called where it blocks nobody.
    pub fn allows(&self, uid: u32, gid: u32) -> bool {
        if !self.is_limited() || uid == 0 || self.users.as_ref().is_some_and(|users| users.contains_key(&uid)) {
            return true;
        }
        let Some(groups) = self.groups.as_ref().filter(|groups| !groups.is_empty()) else { return false };
        groups.contains_key(&gid) || groups_of(uid).iter().any(|further| groups.contains_key(further))
    }

    /// For a person: `users api (998); groups dbcalm (997)`.
    pub fn describe(&self) -> String {
        let list = |what: &str, ids: &Option<BTreeMap<u32, String>>| {
            let name = |(id, name): (&u32, &String)| {
                if *name == id.to_string() { name.clone() } else { format!("{name} ({id})") }
            };
            let ids = ids.as_ref().filter(|ids| !ids.is_empty())?;
            Some(format!("{what} {}", ids.iter().map(name).collect::<Vec<_>>().join(", ")))
        };
        let parts = [list("users", &self.users), list("groups", &self.groups), Some("root".to_owned())];
        parts.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}

/// The groups of a user by the system's own list, its first one among them.
fn groups_of(uid: u32) -> Vec<u32> {
    let Ok(Some(user)) = User::from_uid(Uid::from_raw(uid)) else { return Vec::new() };
    let Ok(name) = CString::new(user.name) else { return Vec::new() };
    let groups = getgrouplist(&name, user.gid).unwrap_or_default();
    groups.into_iter().map(Gid::as_raw).collect()
}

#[cfg(test)]
mod tests {
    use super::{Access, Kind};

    fn of(users: &[&str], groups: &[&str]) -> Access {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Access::new(Some(&own(users)), Some(&own(groups))).unwrap()
    }

    #[test]
    fn without_the_settings_the_sockets_mode_alone_decides() {
        let open = Access::default();
        assert!(!open.is_limited() && open.allows(12_345, 12_345));
    }

    #[test]
    fn a_user_may_by_name_by_number_or_by_a_group() {
        assert!(of(&["12345"], &[]).allows(12_345, 1));
        assert!(of(&[], &["12345"]).allows(1, 12_345));
        assert!(!of(&["12345"], &["12345"]).allows(1, 1));
        // Debian's base-passwd has these numbers on every machine.
        assert!(of(&["daemon"], &[]).allows(1, 1));
        assert!(of(&[], &["daemon"]).allows(12_345, 1));
        // And the system's list of groups has the user daemon in the group daemon, whatever group the process has.
        assert!(of(&[], &["daemon"]).allows(1, 12_345));
        assert!(!of(&[], &["daemon"]).allows(2, 2));
    }

    #[test]
    fn an_empty_list_is_of_nobody_but_root() {
        let nobody = of(&[], &[]);
        assert!(nobody.is_limited() && !nobody.allows(1, 1) && !nobody.allows(1, 0) && nobody.allows(0, 0));
    }

    #[test]
    fn a_name_that_nobody_has_is_told() {
        let unknown = |kind: Kind| (kind, "no such name".to_owned());
        let names = ["no such name".to_owned()];
        assert_eq!(Access::new(Some(&names), None), Err(unknown(Kind::User)));
        assert_eq!(Access::new(None, Some(&names)), Err(unknown(Kind::Group)));
    }

    #[test]
    fn it_is_told_to_a_person() {
        assert_eq!(
            of(&["daemon", "12345"], &["daemon"]).describe(),
            "users daemon (1), 12345; groups daemon (1); root"
        );
        assert_eq!(of(&[], &[]).describe(), "root");
    }
}
