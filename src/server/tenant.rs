//! Which process works in a data directory, or may: a ping knows one socket only, and a server may listen at another, or at none.
//!
//! In: the directory, and `/proc`. Out: a [`Tenant`], or none. A server's working directory is its data directory while it runs (MariaDB and
//! MySQL). One that root has started hides that, and its open files, even from its own user; then it is told by what everybody may read: its
//! arguments, the option file that they name, what it has mounted, and the files that it has locked (`/proc/locks`): each server has a lock
//! on `ibdata1` and MariaDB's on `aria_log_control` (seen with 10.11.19). What nothing tells surely counts as one that works there.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::Mounts;
use crate::config::option_files::server_data_dir;

/// Files that a server keeps locked in its data directory.
const LOCKED: [&str; 2] = ["ibdata1", "aria_log_control"];

/// A server's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pid: String,
    name: String,
    dir: PathBuf,
    /// Whether it works there, and not only may.
    is_sure: bool,
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pid, name, dir, is_sure } = self;
        let dir = dir.display();
        if *is_sure {
            return write!(f, "process {pid} ({name}) works in '{dir}'");
        }
        write!(
            f,
            "process {pid} ({name}) hides where it works, and nothing shows that it is not '{dir}': stop it, or start it with --datadir on its \
             command line"
        )
    }
}

/// A device and a number in it.
type Identity = (u64, u64);

/// The process with one of these names that works in `data_dir`; or else one that may.
pub fn tenant(data_dir: &Path, names: &[&str]) -> Option<Tenant> {
    // A directory that is not there is nobody's, whatever a server calls its own.
    let wanted = Wanted::look(data_dir)?;
    let Ok(entries) = fs::read_dir("/proc") else {
        let (pid, name) = ("?".to_owned(), "?".to_owned());
        return Some(Tenant { pid, name, dir: data_dir.to_owned(), is_sure: false });
    };
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    let mut found: Option<Tenant> = None;
    for entry in entries.flatten() {
        let process = entry.path();
        let name = fs::read_to_string(process.join("comm")).unwrap_or_default().trim_end().to_owned();
        if !names.contains(&name.as_str()) {
            continue;
        }
        let pid = entry.file_name().to_string_lossy().into_owned();
        let is_sure = match wanted.verdict(&Seen::look(&process, locked_by(&locks, &pid))) {
            Verdict::Elsewhere => continue,
            Verdict::There => true,
            Verdict::Unknown => false,
        };
        let is_first = found.is_none();
        if is_sure || is_first {
            found = Some(Tenant { pid, name, dir: data_dir.to_owned(), is_sure });
        }
        if is_sure {
            break;
        }
    }
    found
}

/// The data directory that is asked about.
struct Wanted {
    dir: PathBuf,
    identity: Identity,
    /// What the daemon has mounted.
    mounts: Mounts,
    text: String,
}

/// What can be seen of a process.
struct Seen {
    cwd: io::Result<Identity>,
    arguments: Vec<u8>,
    mounts: Option<String>,
    locked: Vec<String>,
}

/// Whether a process works in the directory that is asked about.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    There,
    Elsewhere,
    Unknown,
}

impl Seen {
    fn look(process: &Path, locked: Vec<String>) -> Self {
        Self {
            cwd: identity(&process.join("cwd")),
            arguments: fs::read(process.join("cmdline")).unwrap_or_default(),
            mounts: fs::read_to_string(process.join("mountinfo")).ok(),
            locked,
        }
    }

    fn argument(&self, name: &[u8]) -> Option<PathBuf> {
        let arguments = self.arguments.split(|&byte| byte == 0);
        let value = arguments.filter_map(|argument| argument.strip_prefix(name)).next_back()?;
        Some(PathBuf::from(OsStr::from_bytes(value)))
    }

    /// Whether it has a lock on a server's file in this directory.
    fn locks_in(&self, dir: &Path) -> bool {
        LOCKED.iter().filter_map(|name| as_locked(&dir.join(name))).any(|file| self.locked.contains(&file))
    }
}

impl Wanted {
    fn look(dir: &Path) -> Option<Self> {
        let text = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let dir = fs::canonicalize(dir).ok()?;
        Some(Self { identity: identity(&dir).ok()?, dir, mounts: Mounts::parse(&text), text })
    }

    fn verdict(&self, seen: &Seen) -> Verdict {
        match &seen.cwd {
            Ok(cwd) if *cwd == self.identity => return Verdict::There,
            Ok(_) => return Verdict::Elsewhere,
            // It has ended.
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Verdict::Elsewhere,
            Err(_hidden) => {}
        }
        if seen.locks_in(&self.dir) {
            return Verdict::There;
        }
        // What it has mounted cannot be seen: no path of it says anything here.
        let Some(mounts) = &seen.mounts else { return Verdict::Unknown };
        let theirs = (*mounts != self.text).then(|| Mounts::parse(mounts));
        if let (Some(theirs), Some(spot)) = (&theirs, self.mounts.spot(&self.dir))
            // In a chroot the list lacks what lies above; and a remote file system has another device for each of its mounts.
            && theirs.has_root()
            && !self.mounts.is_remote(&self.dir)
            && !theirs.reach(&spot)
        {
            return Verdict::Elsewhere;
        }
        // A path is what it is here only if its file system is mounted there as here.
        let as_here = |path: PathBuf| {
            let real = fs::canonicalize(&path).unwrap_or(path);
            theirs.as_ref().is_none_or(|theirs| theirs.spot(&real) == self.mounts.spot(&real)).then_some(real)
        };
        if let Some(named) = seen.argument(b"--datadir=") {
            return match as_here(named).map(|named| identity(&named)) {
                Some(Ok(named)) if named == self.identity => Verdict::There,
                Some(Ok(_)) => Verdict::Elsewhere,
                // A path from its own working directory, or one that the daemon may not follow.
                Some(Err(_)) | None => Verdict::Unknown,
            };
        }
        // An option file may have been changed since the server read it; a lock shows that it is still what it was.
        let file = seen.argument(b"--defaults-file=").and_then(as_here);
        let named = file.and_then(|file| server_data_dir(&file)).and_then(as_here);
        match named {
            Some(named) if identity(&named).is_ok_and(|named| named == self.identity) => Verdict::There,
            Some(named) if seen.locks_in(&named) => Verdict::Elsewhere,
            Some(_) | None => Verdict::Unknown,
        }
    }
}

fn identity(path: &Path) -> io::Result<Identity> {
    fs::metadata(path).map(|there| (there.dev(), there.ino()))
}

/// The files that a process has locked, as `/proc/locks` names them: `fe:00:10011059` (proc(5): device in hexadecimal digits, inode).
fn locked_by(locks: &str, pid: &str) -> Vec<String> {
    let file = |line: &str| {
        let mut fields = line.split_whitespace().skip_while(|field| !matches!(*field, "READ" | "WRITE")).skip(1);
        (fields.next()? == pid).then(|| fields.next().map(str::to_owned))?
    };
    locks.lines().filter_map(file).collect()
}

fn as_locked(path: &Path) -> Option<String> {
    let there = fs::metadata(path).ok()?;
    let (major, minor) = (rustix::fs::major(there.dev()), rustix::fs::minor(there.dev()));
    Some(format!("{major:02x}:{minor:02x}:{}", there.ino()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::Path;

    use super::{Seen, Tenant, Verdict, Wanted, as_locked, identity, locked_by};

    /// A server whose working directory is hidden, with these arguments.
    fn hidden(arguments: &str) -> Seen {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok();
        let cwd = Err(io::ErrorKind::PermissionDenied.into());
        Seen { cwd, arguments: arguments.as_bytes().to_vec(), mounts, locked: Vec::new() }
    }

    #[test]
    fn a_server_that_hides_its_directory_is_not_taken_for_stopped() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = Wanted::look(dir.path()).unwrap();
        let at = |dir: &Path| format!("/usr/sbin/mariadbd\0--datadir={}\0--user=mysql", dir.display());
        let seen = |cwd| Seen { cwd, ..hidden("") };
        assert_eq!(wanted.verdict(&seen(identity(dir.path()))), Verdict::There);
        assert_eq!(wanted.verdict(&seen(identity(other.path()))), Verdict::Elsewhere);
        assert_eq!(wanted.verdict(&seen(Err(io::ErrorKind::NotFound.into()))), Verdict::Elsewhere, "it has ended");
        assert_eq!(wanted.verdict(&hidden("/usr/sbin/mariadbd\0--user=mysql")), Verdict::Unknown, "it may be there");
        assert_eq!(wanted.verdict(&hidden(&at(dir.path()))), Verdict::There);
        assert_eq!(wanted.verdict(&hidden(&at(other.path()))), Verdict::Elsewhere);
        let unseen = Seen { mounts: None, ..hidden(&at(other.path())) };
        assert_eq!(wanted.verdict(&unseen), Verdict::Unknown, "that may be a path of a container's");
        assert!(Wanted::look(&dir.path().join("nowhere")).is_none());
    }

    #[test]
    fn an_option_file_is_believed_with_a_lock_on_the_directory_that_it_names() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let wanted = Wanted::look(dir.path()).unwrap();
        let file = other.path().join("my.cnf");
        let arguments = format!("mariadbd\0--defaults-file={}\0", file.display());
        let say = |datadir: &Path| fs::write(&file, format!("[mysqld]\ndatadir = {}\n", datadir.display())).unwrap();
        say(other.path());
        assert_eq!(wanted.verdict(&hidden(&arguments)), Verdict::Unknown, "it may have been changed since");
        fs::write(other.path().join("ibdata1"), "").unwrap();
        let locked = vec![as_locked(&other.path().join("ibdata1")).unwrap()];
        assert_eq!(wanted.verdict(&Seen { locked: locked.clone(), ..hidden(&arguments) }), Verdict::Elsewhere);
        assert_eq!(
            wanted.verdict(&Seen { locked, ..hidden("mariadbd") }),
            Verdict::Unknown,
            "of which directory nobody says"
        );
        say(dir.path());
        assert_eq!(wanted.verdict(&hidden(&arguments)), Verdict::There);
        // A lock says it whatever the arguments say.
        fs::write(dir.path().join("aria_log_control"), "").unwrap();
        let locked = vec![as_locked(&dir.path().join("aria_log_control")).unwrap()];
        let named = format!("mariadbd\0--datadir={}\0", other.path().display());
        assert_eq!(wanted.verdict(&Seen { locked, ..hidden(&named) }), Verdict::There);
    }

    #[test]
    fn a_container_that_has_not_mounted_the_directory_is_elsewhere_and_one_that_has_may_be_there() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = Wanted::look(dir.path()).unwrap();
        let own = fs::read_to_string("/proc/self/mountinfo").unwrap();
        // What is mounted at the directory's place there is a file system of its own.
        let apart = "500 400 0:6000 / / rw - overlay overlay rw\n".to_owned();
        let in_container =
            |mounts: &str, arguments: &str| Seen { mounts: Some(mounts.to_owned()), ..hidden(arguments) };
        let same_name = format!("mariadbd\0--datadir={}\0", dir.path().display());
        assert_eq!(wanted.verdict(&in_container(&apart, &same_name)), Verdict::Elsewhere);
        assert_eq!(wanted.verdict(&in_container(&apart, "mariadbd")), Verdict::Elsewhere);
        // All file systems of this host, at other places: whatever it calls its directory may be this one.
        let moved = own.replace(" / / ", " / /host ") + &apart;
        if moved.contains(" / /host ") {
            assert_eq!(wanted.verdict(&in_container(&moved, "mariadbd\0--datadir=/host/data")), Verdict::Unknown);
        }
        assert_eq!(wanted.verdict(&in_container(&format!("{own}\n"), &same_name)), Verdict::There, "mounted as here");
    }

    #[test]
    fn locks_are_read_by_their_process() {
        let text = "1: POSIX  ADVISORY  WRITE 6787 fe:00:10011059 0 EOF\n1: -> POSIX  ADVISORY  WRITE 6788 fe:00:10011059 0 EOF\n\
            2: FLOCK  ADVISORY  READ 1441 fe:00:753934 0 EOF\n17: OFDLCK ADVISORY  READ -1 00:06:3 0 EOF\n";
        assert_eq!(locked_by(text, "6787"), ["fe:00:10011059"]);
        assert_eq!(locked_by(text, "1441"), ["fe:00:753934"]);
        assert_eq!(locked_by(text, "678"), Vec::<String>::new());
    }

    #[test]
    fn a_tenant_is_named_with_what_to_do() {
        let tenant =
            |is_sure| Tenant { pid: "7".into(), name: "mariadbd".into(), dir: "/d".into(), is_sure }.to_string();
        assert_eq!(tenant(true), "process 7 (mariadbd) works in '/d'");
        assert!(tenant(false).ends_with("stop it, or start it with --datadir on its command line"));
    }
}
