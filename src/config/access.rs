//! Who may give commands, beside the socket's mode: `allowed_users` and `allowed_groups`, held against a peer's credentials.
//!
//! In: names or numbers from the settings, looked up once. Out: whether a user may give commands. Root always may: nothing on the
//! host is closed to it. A directory service that does not answer keeps `MOST` threads at the most, and none of those that work.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use tokio::sync::watch;

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

    /// The id of a name, which may be the id itself; None if the system knows no such name.
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

    /// Whether a process of this user and group may give commands, as far as that is known without the system's list of groups.
    fn without_list(&self, uid: u32, gid: u32) -> Option<bool> {
        if !self.is_limited() || uid == 0 || self.users.as_ref().is_some_and(|users| users.contains_key(&uid)) {
            return Some(true);
        }
        let Some(groups) = self.groups.as_ref().filter(|groups| !groups.is_empty()) else { return Some(false) };
        groups.contains_key(&gid).then_some(true)
    }

    /// Whether a process of this user and group may give commands.
    ///
    /// A user's further groups are those that the system's own list has (getgrouplist(3)): the groups that a process says it has
    /// would have to be read from `/proc`, where another process may have its id by then. That may ask a directory service, so it may
    /// take for ever.
    ///
    /// # Cancel safety
    /// Dropped, it loses nothing: who asks again while the system has not answered hears the same answer.
    pub(crate) async fn allows(&self, uid: u32, gid: u32, lists: &Lists) -> bool {
        if let Some(known) = self.without_list(uid, gid) {
            return known;
        }
        let further = lists.of(uid).await;
        self.groups.as_ref().is_some_and(|groups| further.iter().any(|group| groups.contains_key(group)))
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

/// How many users are looked up at once.
const MOST: usize = 4;

/// What the system has answered; nothing as long as it has not.
type Answer = watch::Receiver<Option<Vec<u32>>>;

/// The system's lists of groups, for many who ask at once: who asks for the same user waits for the same answer. They are looked up on
/// threads of their own, which nobody has to wait for at the end of the daemon either.
pub(crate) struct Lists {
    look_up: fn(u32) -> Vec<u32>,
    asked: Arc<Mutex<Asked>>,
}

/// What is asked for, as long as it has no answer.
#[derive(Debug, Default)]
struct Asked {
    answers: BTreeMap<u32, Answer>,
    waiting: VecDeque<(u32, watch::Sender<Option<Vec<u32>>>)>,
    threads: usize,
}

impl Default for Lists {
    fn default() -> Self {
        Self::by(groups_of)
    }
}

impl Lists {
    fn by(look_up: fn(u32) -> Vec<u32>) -> Self {
        Self { look_up, asked: Arc::default() }
    }

    /// The groups of a user; empty if the system has no answer to give.
    async fn of(&self, uid: u32) -> Vec<u32> {
        let mut answer = self.ask(uid);
        let answered = answer.wait_for(Option::is_some).await;
        answered.ok().and_then(|groups| groups.clone()).unwrap_or_default()
    }

    fn ask(&self, uid: u32) -> Answer {
        let mut asked = lock(&self.asked);
        if let Some(answer) = asked.answers.get(&uid) {
            return answer.clone();
        }
        let (said, answer) = watch::channel(None);
        asked.answers.insert(uid, answer.clone());
        asked.waiting.push_back((uid, said));
        if asked.threads < MOST {
            let (look_up, shared) = (self.look_up, Arc::clone(&self.asked));
            // Where the system has no thread to give, one that looks up already, or the next, does it.
            let started = thread::Builder::new().name("groups".to_owned()).spawn(move || look_all_up(look_up, &shared));
            asked.threads += usize::from(started.is_ok());
        }
        answer
    }
}

/// Looks up all that is asked for.
fn look_all_up(look_up: fn(u32) -> Vec<u32>, shared: &Mutex<Asked>) {
    loop {
        let (uid, said) = {
            let mut asked = lock(shared);
            let Some(next) = asked.waiting.pop_front() else {
                asked.threads -= 1;
                return;
            };
            next
        };
        let groups = look_up(uid);
        lock(shared).answers.remove(&uid);
        // Who asked may have given up.
        let _heard = said.send(Some(groups));
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio::time::timeout;

    use super::{Access, Kind, Lists, MOST};

    fn of(users: &[&str], groups: &[&str]) -> Access {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Access::new(Some(&own(users)), Some(&own(groups))).unwrap()
    }

    async fn allows(access: &Access, uid: u32, gid: u32) -> bool {
        access.allows(uid, gid, &Lists::default()).await
    }

    /// Held by a test as long as the directory service of [`hanging`] does not answer.
    static SERVICE: Mutex<()> = Mutex::new(());
    static LOOKED_UP: AtomicUsize = AtomicUsize::new(0);

    /// Everybody is in the group 7, and a service has to be asked for that.
    fn hanging(_uid: u32) -> Vec<u32> {
        LOOKED_UP.fetch_add(1, Ordering::SeqCst);
        drop(SERVICE.lock());
        vec![7]
    }

    #[test]
    fn a_directory_service_that_does_not_answer_keeps_few_threads_and_nobody_for_long() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        let (access, lists) = (of(&["5"], &["7"]), Lists::by(hanging));
        let told = async |uid, gid| timeout(Duration::from_secs(1), access.allows(uid, gid, &lists)).await;
        let silent = SERVICE.lock().unwrap();
        runtime.block_on(async {
            // A thousand clients of a hundred users.
            let said = join_all((0..1000).map(|client| told(1000 + client % 100, 1))).await;
            assert!(said.iter().all(Result::is_err));
            assert!(LOOKED_UP.load(Ordering::SeqCst) <= MOST, "{LOOKED_UP:?} threads");
            // Who needs no list is told all the same.
            assert_eq!((told(5, 1).await, told(6, 7).await), (Ok(true), Ok(true)));
        });
        drop(silent);
        // Not paused: the threads take the time they take.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let said = runtime.block_on(join_all((0..100).map(|client| access.allows(1000 + client, 1, &lists))));
        assert!(said.iter().all(|is_allowed| *is_allowed), "it answers again");
        let asked = lists.asked.lock().unwrap();
        assert_eq!((asked.answers.len(), asked.waiting.len()), (0, 0));
        let looked_up = LOOKED_UP.load(Ordering::SeqCst);
        assert!((100..=200).contains(&looked_up), "{looked_up}: who asks for the same user hears the same answer");
    }

    #[tokio::test]
    async fn without_the_settings_the_sockets_mode_alone_decides() {
        let open = Access::default();
        assert!(!open.is_limited() && allows(&open, 12_345, 12_345).await);
    }

    #[tokio::test]
    async fn a_user_may_by_name_by_number_or_by_a_group() {
        assert!(allows(&of(&["12345"], &[]), 12_345, 1).await);
        assert!(allows(&of(&[], &["12345"]), 1, 12_345).await);
        assert!(!allows(&of(&["12345"], &["12345"]), 1, 1).await);
        // Debian's base-passwd has these numbers on every machine.
        assert!(allows(&of(&["daemon"], &[]), 1, 1).await);
        assert!(allows(&of(&[], &["daemon"]), 12_345, 1).await);
        // And the system's list of groups has the user daemon in the group daemon, whatever group the process has.
        assert!(allows(&of(&[], &["daemon"]), 1, 12_345).await);
        assert!(!allows(&of(&[], &["daemon"]), 2, 2).await);
    }

    #[tokio::test]
    async fn an_empty_list_is_of_nobody_but_root() {
        let nobody = of(&[], &[]);
        assert!(nobody.is_limited() && allows(&nobody, 0, 0).await);
        assert!(!allows(&nobody, 1, 1).await && !allows(&nobody, 1, 0).await);
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
