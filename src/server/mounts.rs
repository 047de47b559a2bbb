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
}

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
            Some(Mount { spot, at: unescaped(at) })
        };
        Self(text.lines().filter_map(mount).collect())
    }

    /// Where a path lies that leads through no symlink. None if nothing is mounted above it.
    pub(super) fn spot(&self, path: &Path) -> Option<Spot> {
        let above = self.0.iter().filter(|mount| path.starts_with(&mount.at));
        // Of several at one place the last hides the others.
        let mount = above.max_by_key(|mount| mount.at.components().count())?;
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
