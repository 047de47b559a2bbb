//! Whether there plainly is no room: what a backup or a restore takes at least, held against what is free.
//!
//! In: sizes of what will be copied, and where to. Out: the first place that is too small, with figures for a person. An estimate
//! errs on the side of going on: what cannot be measured is no obstacle, and a disk that fills up all the same ends the job as any
//! other failure does.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::fills::fills;
use crate::model::{Footprint, Shortage};
use rustix::fs::{AtFlags, CWD, StatxFlags, statfs, statvfs, statx};
use tracing::debug;

/// Finds out what a full backup of the server in `data_dir` lacks in `backup_dir`: it takes every table's file. A stream has zeros for holes.
///
/// # Errors
/// Something cannot be measured.
pub fn for_backup(data_dir: &Path, backup_dir: &Path, is_stream: bool) -> io::Result<Option<Shortage>> {
    let of = if is_stream { Metadata::len } else { taken };
    lack(backup_dir, size(data_dir, &is_copied, of)?)
}

/// Where the working copy of a database restore is made, and so how the data directory is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Staging {
    /// In `backup_dir`, from where it can be renamed into the data directory.
    Beside,
    /// In a directory of its own in the data directory, since `backup_dir` is on another file system.
    Inside,
    /// In `backup_dir`, from where it has to be copied.
    Apart,
}

/// What room there is for a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Space {
    /// Where it is best prepared.
    pub staging: Staging,
    /// What it lacks there.
    pub shortage: Option<Shortage>,
    /// How large the data may be that it restores, in bytes.
    pub size: u64,
    /// Whether there is room to copy an incremental while the one before it is applied. Twice what that may take has to be free: what does
    /// not fit then would have fitted one after the other.
    pub has_room_ahead: bool,
}

/// A stored backup that is to be restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its folder or its stream.
    pub path: PathBuf,
    /// What the files of its stream take. None if it is a directory, or that is not known: then it is what it takes as it is stored.
    pub footprint: Option<Footprint>,
}

/// Finds out where a restore of these stored backups, the full one first, is best prepared, and what it lacks: in `work`'s file system,
/// and in `data_dir`'s, if it is to fill that.
///
/// # Errors
/// Something cannot be measured.
pub fn for_restore(chain: &[Member], work: &Path, data_dir: Option<&Path>) -> io::Result<Space> {
    let Needs { full, most, ahead } = Needs::of(chain)?;
    let size = expected(chain, most);
    let ahead = expected(chain, ahead).saturating_mul(2);
    let space = |place: &Path, staging, shortage| {
        Ok(Space { staging, shortage, size, has_room_ahead: free(place).is_ok_and(|free| free >= ahead) })
    };
    let work = existing(work);
    let Some(data_dir) = data_dir else {
        return space(&work, Staging::Apart, lack_for_copies(&work, most)?);
    };
    let above = existing(data_dir);
    if is_one_mount(&work, &above)? {
        return space(&work, Staging::Beside, lack_for_copies(&work, most)?);
    }
    let is_one = fs::metadata(&work)?.dev() == fs::metadata(&above)?.dev();
    // A directory that is not there the tool makes itself.
    if above == data_dir && free(&above)? >= size {
        return space(&above, Staging::Inside, None);
    }
    let filled = if is_one { full } else { 0 };
    let shortage = match lack_for_copies(&work, most.max(full.saturating_add(filled)))? {
        None if !is_one => lack(&above, full)?,
        shortage => shortage,
    };
    space(&work, Staging::Apart, shortage)
}

/// Finds out what binary logs of this length lack in `work`'s file system, beside a working copy of this size; 0 if that lies elsewhere.
///
/// # Errors
/// Something cannot be measured.
pub fn for_replay(work: &Path, logs: u64, copy: u64) -> io::Result<Option<Shortage>> {
    let work = existing(work);
    let copy = if shares_blocks(&work)? { 0 } else { copy };
    lack(&work, logs.saturating_add(copy))
}

/// What the working copy of a restore takes.
struct Needs {
    /// That of the full backup, before anything is applied to it, in bytes.
    full: u64,
    /// It at the restore's worst moment, in bytes.
    most: u64,
    /// The same with each incremental copied while the one before it is applied.
    ahead: u64,
}

impl Needs {
    /// One incremental at a time is there beside the full backup. An apply fills holes; those that another has filled are counted once at the
    /// least, so only the largest of such figures counts.
    fn of(chain: &[Member]) -> io::Result<Self> {
        let Some((first, incrementals)) = chain.split_first() else { return Ok(Self { full: 0, most: 0, ahead: 0 }) };
        let full = first.size()?;
        let (mut most, mut ahead, mut filled, mut before) = (full, full, 0, 0);
        for incremental in incrementals {
            let size = incremental.size()?;
            most = most.max(full.saturating_add(filled).saturating_add(size));
            ahead = ahead.max(most.saturating_add(before));
            before = size;
            filled = filled.max(match incremental.footprint {
                Some(footprint) => footprint.fills,
                None if first.path.is_dir() && incremental.path.is_dir() => fills(&first.path, &incremental.path)
                    .unwrap_or_else(|why| {
                        debug!(reason = %why, "what an apply fills cannot be measured");
                        0
                    }),
                None => 0,
            });
        }
        let most = most.max(full.saturating_add(filled));
        Ok(Self { full, most, ahead: ahead.max(most) })
    }
}

impl Member {
    fn size(&self) -> io::Result<u64> {
        self.footprint.map_or_else(|| size(&self.path, &|_| true, taken), |footprint| Ok(footprint.size))
    }
}

/// What copies of stored backups lack where they are made.
fn lack_for_copies(work: &Path, needed: u64) -> io::Result<Option<Shortage>> {
    if shares_blocks(work)? { Ok(None) } else { lack(work, needed) }
}

/// Whether a file can be renamed from one place to the other. Two mounts of one file system are none: a service manager makes such of
/// every path that it lets a daemon write to (systemd.exec(5), `ReadWritePaths=`). A kernel before 5.8 does not tell (statx(2)).
fn is_one_mount(one: &Path, other: &Path) -> io::Result<bool> {
    let mount = |path: &Path| -> io::Result<Option<(u32, u32, u64)>> {
        let there = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)?;
        let is_told = there.stx_mask & StatxFlags::MNT_ID.bits() != 0;
        Ok(is_told.then_some((there.stx_dev_major, there.stx_dev_minor, there.stx_mnt_id)))
    };
    Ok(mount(one)?.is_some_and(|one| mount(other).is_ok_and(|other| other == Some(one))))
}

/// How much the files of a chain may take that has this size as it is stored: a compressed one more, by a factor that few data reach.
fn expected(chain: &[Member], stored: u64) -> u64 {
    let is_compressed = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "gz" || ending == "zst");
    if chain.iter().any(|member| member.footprint.is_none() && is_compressed(&member.path)) {
        stored.saturating_mul(8)
    } else {
        stored
    }
}

fn lack(place: &Path, needed: u64) -> io::Result<Option<Shortage>> {
    if !PLAIN.contains(&kind(place)?) {
        return Ok(None);
    }
    let free = free(place)?;
    Ok((needed > free).then(|| Shortage { place: place.to_owned(), needed, free }))
}

/// How much is free for this user, in bytes.
fn free(place: &Path) -> io::Result<u64> {
    let there = statvfs(place)?;
    // What is kept back for root is root's alone.
    let blocks = if rustix::process::geteuid().is_root() { there.f_bfree } else { there.f_bavail };
    Ok(blocks.saturating_mul(there.f_frsize))
}

/// What a file takes on the disk, in bytes; holes take nothing.
fn taken(there: &Metadata) -> u64 {
    // A block is of 512 bytes here, whatever the file system's are (stat(2)).
    there.len().min(there.blocks() * 512)
}

/// The size, as `of` has it, of the file `dir`, or of the files below it that `counts` counts, by their names. None of what is not there.
fn size(dir: &Path, counts: &dyn Fn(&OsStr) -> bool, of: fn(&Metadata) -> u64) -> io::Result<u64> {
    if let Ok(file) = fs::symlink_metadata(dir)
        && file.is_file()
    {
        return Ok(of(&file));
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        // A server drops tables and databases meanwhile.
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(why) => return Err(why),
    };
    let mut sum = 0;
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sum += size(&entry.path(), counts, of)?;
        } else if kind.is_file() && counts(&entry.file_name()) {
            match entry.metadata() {
                Ok(there) => sum += of(&there),
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(why),
            }
        }
    }
    Ok(sum)
}

/// Whether a full backup copies a file of the data directory: tables, of whichever engine, and what they share. Redo and binary logs,
/// temporary tablespaces and sockets it does not, or not as they are.
fn is_copied(name: &OsStr) -> bool {
    const TABLES: [&str; 11] = ["ibd", "frm", "MYD", "MYI", "MAD", "MAI", "ARZ", "ARM", "CSV", "CSM", "sdi"];
    let extension = Path::new(name).extension().and_then(OsStr::to_str).unwrap_or_default();
    let name = name.to_str().unwrap_or_default();
    TABLES.contains(&extension) || name.starts_with("ibdata") || name.starts_with("undo")
}

/// The path itself, or the nearest directory above it that is there.
fn existing(path: &Path) -> PathBuf {
    path.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned()
}

/// The file systems of which a file takes at least its own size, by the magic numbers of statfs(2): ext2 to ext4, tmpfs, XFS. Others
/// may compress, or pass the file on to one that does: what is refused must not fit whatever they make of it.
const PLAIN: [i64; 3] = [0xEF53, 0x0102_1994, XFS];
const XFS: i64 = 0x5846_5342;

/// Whether a copy on this file system may share its blocks with the original, and so take no room: `cp` asks for that by itself
/// (coreutils 9.0, NEWS).
fn shares_blocks(place: &Path) -> io::Result<bool> {
    Ok(kind(place)? == XFS)
}

/// The magic number of a place's file system.
fn kind(place: &Path) -> io::Result<i64> {
    #[allow(clippy::useless_conversion, reason = "its type is another one on other systems")]
    let kind = i64::from(statfs(place)?.f_type);
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;

    use super::{Member, Needs, Space, Staging, for_backup, for_restore, is_copied, size, taken};
    use crate::model::Footprint;

    #[test]
    fn tables_count_and_logs_do_not() {
        for name in ["orders.ibd", "ibdata1", "undo001", "a.MYD", "b.MAI", "c.frm"] {
            assert!(is_copied(name.as_ref()), "{name}");
        }
        for name in ["ib_logfile0", "ibtmp1", "mysql-bin.000001", "aria_log.00000001", "x.sock", "host.err"] {
            assert!(!is_copied(name.as_ref()), "{name}");
        }
    }

    #[test]
    fn holes_take_no_room() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        fs::write(dir.path().join("shop/orders.ibd"), [1; 5000]).unwrap();
        fs::write(dir.path().join("ib_logfile0"), [1; 5000]).unwrap();
        File::create(dir.path().join("shop/sparse.ibd")).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(size(dir.path(), &is_copied, taken).unwrap(), 5000);
        assert_eq!(size(&dir.path().join("none"), &is_copied, taken).unwrap(), 0);
        assert_eq!(for_backup(dir.path(), dir.path(), false).unwrap(), None);
        // But in a stream.
        assert_eq!(size(dir.path(), &is_copied, fs::Metadata::len).unwrap(), 5000 + (1 << 40));
    }

    #[test]
    fn what_is_there_is_enough_for_little() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), [1; 5000]).unwrap();
        let chain = ["", "none"].map(|name| Member { path: dir.path().join(name), footprint: None });
        let (work, data_dir) = (dir.path().join("tmp/2026"), dir.path().join("data"));
        let space = |staging| Space { staging, shortage: None, size: 5000, has_room_ahead: true };
        assert_eq!(for_restore(&chain, &work, Some(&data_dir)).unwrap(), space(Staging::Beside));
        assert_eq!(for_restore(&chain, &work, None).unwrap(), space(Staging::Apart));
        // No byte is free there; but who knows what such a file system makes of a file.
        assert_eq!(for_restore(&chain, &work, Some(Path::new("/proc"))).unwrap(), space(Staging::Apart));
        let vast = Member { path: work.clone(), footprint: Some(Footprint { size: u64::MAX / 4, fills: 0 }) };
        let space = for_restore(&[chain[0].clone(), vast], Path::new("/proc"), None).unwrap();
        assert!(space.shortage.is_none() && !space.has_room_ahead, "{space:?}");
        let space = |staging| Space { staging, shortage: None, size: 5000, has_room_ahead: true };
        // Here there is plenty, and it is another file system.
        let inside = for_restore(&chain, &work, Some(Path::new("/dev/shm"))).unwrap();
        let other = std::os::unix::fs::MetadataExt::dev(&fs::metadata("/dev/shm").unwrap());
        let own = std::os::unix::fs::MetadataExt::dev(&fs::metadata(dir.path()).unwrap());
        assert_eq!(inside, space(if other == own { Staging::Beside } else { Staging::Inside }));
    }

    /// A stream of tables with page compression is longer than what comes out of it, and what is applied to that fills its holes.
    #[test]
    fn a_restore_takes_what_its_files_take_and_what_is_filled() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("backup-a.xbstream");
        fs::write(&path, vec![1; 9000]).unwrap();
        let member = |size, fills| Member { path: path.clone(), footprint: Some(Footprint { size, fills }) };
        let bare = Member { path: path.clone(), footprint: None };
        let needs = |chain: &[Member]| Needs::of(chain).map(|needs| (needs.full, needs.most)).unwrap();
        let ahead = |chain: &[Member]| Needs::of(chain).unwrap().ahead;
        assert_eq!(ahead(&[member(2000, 0), member(100, 0), member(50, 0), member(300, 0)]), 2350);
        assert_eq!((ahead(&[member(2000, 0), member(100, 0)]), ahead(&[member(2000, 9)]), ahead(&[])), (2100, 2000, 0));
        assert_eq!(needs(std::slice::from_ref(&bare)), (9000, 9000));
        assert_eq!(needs(&[member(2000, 0)]), (2000, 2000));
        assert_eq!(needs(&[member(2000, 0), member(100, 700)]), (2000, 2700));
        assert_eq!(needs(&[member(2000, 0), member(100, 700), member(50, 300), member(300, 0)]), (2000, 3000));
        assert_eq!(needs(&[member(u64::MAX, 0), member(1, 1)]), (u64::MAX, u64::MAX));
        assert_eq!(needs(&[]), (0, 0));
    }
}
