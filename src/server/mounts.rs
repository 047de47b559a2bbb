//! Where a path lies, as a process sees the file systems: what `/proc/PID/mountinfo` says, which everybody may read.
//!
//! In: that text, and a path. Out: the [`Spot`]: a file system's device and the path inside of it, which is the same for whoever looks, in a
//! container or not (proc(5), "/proc/pid/mountinfo").

use std::path::{Path, PathBuf};

/// A place inside a file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    /// `8:1`.
    device: String,
    /// From the file system's own root on.
    path: PathBuf,
}

/// One mount.
#[derive(Debug)]
struct Mount {
    /// What of the file system is mounted.
    spot: Spot,
    /// Where.
    at: PathBuf,
    /// Whether its files are kept by something else than a device of this machine.
    is_remote: bool,
}

/// What the names of file systems begin with that others may mount too, each time as another device.
const REMOTE: [&str; 9] = ["nfs", "fuse", "ceph", "9p", "cifs", "smb", "gluster", "lustre", "ocfs"];

/// What a process has mounted, in the order in which it came.
#[derive(Debug)]
pub(super) struct Mounts(Vec<Mount>);

impl Mounts {
    /// Reads the text of a `mountinfo`; a line that is none is passed over.
    pub(super) fn parse(text: &str) -> Self {
        let mount = |line: &str| {
            let mut fields = line.split(' ').skip(2);
            let (device, root, at) = (fields.next()?, fields.next()?, fields.next()?);
            let spot = Spot { device: device.to_owned(), path: unescaped(root) };
            // The options end with a dash; then comes the type.
            let kind = fields.skip_while(|field| *field != "-").nth(1)?;
            let is_remote = REMOTE.iter().any(|remote| kind.starts_with(remote));
            Some(Mount { spot, at: unescaped(at), is_remote })
        };
        Self(text.lines().filter_map(mount).collect())
    }

    /// The mount that a path lies in, which leads through no symlink.
    fn above(&self, path: &Path) -> Option<&Mount> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.at));
        // Of several at one place the last hides the others.
        above.max_by_key(|mount| mount.at.components().count())
    }

    /// Whether a path lies on a file system that is kept elsewhere.
    pub(super) fn is_remote(&self, path: &Path) -> bool {
        self.above(path).is_none_or(|mount| mount.is_remote)
    }

    /// Whether something is mounted at the root.
    pub(super) fn has_root(&self) -> bool {
        self.0.iter().any(|mount| mount.at == Path::new("/"))
    }

    /// Where a path lies that leads through no symlink. None if nothing is mounted above it.
    pub(super) fn spot(&self, path: &Path) -> Option<Spot> {
        let mount = self.above(path)?;
        let below = path.strip_prefix(&mount.at).ok()?;
        Some(Spot { device: mount.spot.device.clone(), path: mount.spot.path.join(below) })
    }

    /// Whether what lies there, or something above or below it, can be reached at all.
    pub(super) fn reach(&self, spot: &Spot) -> bool {
        let is_near =
            |mount: &Mount| spot.path.starts_with(&mount.spot.path) || mount.spot.path.starts_with(&spot.path);
        self.0.iter().any(|mount| mount.spot.device == spot.device && is_near(mount))
    }
}

/// Blanks, tabs, line breaks and backslashes stand there as `\040` and the like.
fn unescaped(text: &str) -> PathBuf {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    PathBuf::from(escapes.iter().fold(text.to_owned(), |text, (escape, meant)| text.replace(escape, meant)))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::Mounts;

    const HERE: &str = "\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
40 27 8:16 / /srv/my\\040data rw,relatime - xfs /dev/sdb rw
";

    /// As Docker makes one: a root of its own, and two directories of the host.
    const CONTAINER: &str = "\
500 400 0:60 / / rw,relatime - overlay overlay rw
501 500 254:0 /var/lib/docker/volumes/db/_data /var/lib/mysql rw,relatime - ext4 /dev/vda rw
502 500 254:0 /var/lib/docker/containers/1/hosts /etc/hosts rw,relatime - ext4 /dev/vda rw
";

    #[test]
    fn a_path_is_found_wherever_it_is_mounted() {
        let (here, container) = (Mounts::parse(HERE), Mounts::parse(CONTAINER));
        let volume = here.spot(Path::new("/var/lib/docker/volumes/db/_data")).unwrap();
        assert_eq!(container.spot(Path::new("/var/lib/mysql")), Some(volume.clone()));
        assert_ne!(here.spot(Path::new("/var/lib/mysql")), Some(volume.clone()));
        assert!(container.has_root() && !here.is_remote(Path::new("/srv/my data")));
        let chroot = Mounts::parse("600 500 254:0 /jail/var /var rw - ext4 /dev/vda rw\n");
        assert!(!chroot.has_root() && !Mounts::parse("").has_root());
        let nfs =
            Mounts::parse("27 1 254:0 / / rw - ext4 /dev/vda rw\n41 27 0:55 / /srv rw shared:1 - nfs4 host:/x rw\n");
        assert!(nfs.is_remote(Path::new("/srv/db")) && !nfs.is_remote(Path::new("/var")));
        assert!(container.reach(&volume) && here.reach(&volume));
        for other in ["/var/lib/mysql", "/srv/my data/mysql"] {
            let spot = here.spot(Path::new(other)).unwrap();
            assert!(!container.reach(&spot) && here.reach(&spot), "{other}");
        }
        // What is below a mount, and what a mount is below of.
        assert!(container.reach(&here.spot(Path::new("/var/lib/docker/volumes/db/_data/x")).unwrap()));
        assert!(container.reach(&here.spot(Path::new("/var/lib/docker/volumes/db")).unwrap()));
        assert_eq!(here.spot(Path::new("/srv/my data/x")).unwrap().device, "8:16");
    }

    #[test]
    fn what_is_no_mountinfo_leads_nowhere() {
        let nothing = Mounts::parse("\n1 2\nx\n");
        assert_eq!(nothing.spot(Path::new("/")), None);
    }
}
