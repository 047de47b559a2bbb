//! A file system on a device of a test's own, from which the power can be taken: what was not synced is lost then.
//!
//! The device is a file, attached to a loop device. What a program writes is in the memory of the file system until it is synced or
//! written back; only then it reaches the file. So a copy of the file, at any moment, is what a power cut at that moment leaves on
//! the disk. It is mounted in the original's place, and the journal is recovered as after a power cut.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{not_here, program};

/// The device's size, in bytes: room for a real server's backup.
const SIZE: u64 = 1 << 30;

/// What is made on a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// What makes it. Everything is laid out then: a device that is still being initialised in the background writes by itself.
    fn make(self) -> &'static [&'static str] {
        match self {
            Self::Ext4 => &["-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
            Self::Xfs | Self::Btrfs => &["-q", "-f"],
        }
    }

    /// Nothing is committed by the clock: what was not asked for does not happen.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "loop,commit=3600",
            Self::Xfs | Self::Btrfs => "loop",
        }
    }
}

/// A device with a mounted file system.
#[derive(Debug)]
pub(crate) struct Device {
    kind: Kind,
    dir: tempfile::TempDir,
    at: PathBuf,
    /// Which copy of the image is mounted.
    number: u32,
}

impl Device {
    /// Makes one and mounts it at a directory. None, and said: this user may not do that, or not here.
    pub(crate) fn mount(at: &Path) -> Option<Self> {
        Self::mount_as(Kind::Ext4, at)
    }

    /// The same, of a kind.
    pub(crate) fn mount_as(kind: Kind, at: &Path) -> Option<Self> {
        let device = Self { kind, dir: tempfile::tempdir().unwrap(), at: at.to_owned(), number: 0 };
        let image = device.image(0);
        File::create(&image).unwrap().set_len(SIZE).unwrap();
        let made = program(format!("mkfs.{}", kind.name())).args(kind.make()).arg(&image).output();
        let made = made.map_err(|why| why.to_string()).and_then(|said| {
            if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
        });
        if let Err(why) = made.and_then(|()| device.attach()) {
            not_here(&format!("the right to mount {} on a loop device ({})", kind.name(), why.trim()));
            // Nothing is mounted.
            std::mem::forget(device);
            return None;
        }
        Some(device)
    }

    fn image(&self, number: u32) -> PathBuf {
        self.dir.path().join(number.to_string())
    }

    fn attach(&self) -> Result<(), String> {
        let mut mount = program("mount");
        mount.args(["-t", self.kind.name(), "-o", self.kind.options()]).arg(self.image(self.number)).arg(&self.at);
        let said = mount.output().map_err(|why| why.to_string())?;
        if said.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&said.stderr).into_owned()) }
    }

    /// The power is cut: what is on the device now is all that there is. Whoever works on it has been killed before, or is killed by
    /// what becomes of their files.
    pub(crate) fn cut_power(&mut self) {
        let images = [self.image(self.number), self.image(self.number + 1)];
        assert!(program("cp").arg("--sparse=always").args(images).status().unwrap().success());
        self.detach();
        fs::remove_file(self.image(self.number)).unwrap();
        self.number += 1;
        self.attach().unwrap();
    }

    fn detach(&self) {
        let unmounted = program("umount").arg("--lazy").arg(&self.at).status().unwrap();
        assert!(unmounted.success(), "'{}' is unmounted", self.at.display());
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = program("umount").arg("--lazy").arg(&self.at).status();
        } else {
            self.detach();
        }
    }
}
