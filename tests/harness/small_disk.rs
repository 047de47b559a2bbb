//! A file system of a test's own, as small as the test wants it at any time: a tmpfs, whose size can be changed while it is used.

use std::path::{Path, PathBuf};

use rustix::fs::statvfs;

use super::{not_here, program};

/// The unit in which a tmpfs gives room, in bytes.
pub(crate) const PAGE: u64 = 4096;

/// A file system that is mounted, and taken away when it is dropped, whoever still works in it.
#[derive(Debug)]
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts one at a directory, with room for everything. None, and said: this user may not mount.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        let said = program("mount").args(["-t", "tmpfs", "-o", "mode=0770", "tmpfs"]).arg(at).output().unwrap();
        if !said.status.success() {
            not_here(&format!("the right to mount a tmpfs ({})", String::from_utf8_lossy(&said.stderr).trim()));
            return None;
        }
        Some(Self(at.to_owned()))
    }

    /// How much is used, in bytes.
    pub(crate) fn used(&self) -> u64 {
        let there = statvfs(&self.0).unwrap();
        (there.f_blocks - there.f_bfree) * there.f_frsize
    }

    /// Leaves this much free, in bytes; whole pages.
    pub(crate) fn leave(&self, bytes: u64) {
        // A size of nothing would be one without a limit.
        let size = (self.used() + bytes).max(PAGE);
        let resized = program("mount").args(["-o", &format!("remount,size={size}")]).arg(&self.0).status().unwrap();
        assert!(resized.success(), "remount to {size} bytes");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a daemon may hold a directory of it, whose test ends next.
        let unmounted = program("umount").arg("--lazy").arg(&self.0).status();
        if !std::thread::panicking() {
            assert!(unmounted.unwrap().success(), "'{}' is still mounted", self.0.display());
        }
    }
}
