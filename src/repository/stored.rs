//! Which form a stored backup has on the disk.

use std::fs;
use std::io;
use std::path::Path;

use super::note::Note;
use crate::disk::is_directory;
use crate::model::{BackupId, Packed, RemoteStream, Stored, Stream, stream_name};
use crate::witness::manifest;

/// Looks for the backup `id`; None if nothing of it is in `backup_dir`.
///
/// # Errors
/// Its manifest cannot be read.
pub fn look(backup_dir: &Path, id: &BackupId) -> io::Result<Option<Stored>> {
    let folder = backup_dir.join(id.as_str());
    let names = Packed::ALL.map(|packed| stream_name(id, packed));
    if !is_directory(&folder) {
        // Where the Go daemon put its streams.
        let beside =
            names.into_iter().map(|name| Stream { path: backup_dir.join(&name), name, manifest: None, copy: None });
        return Ok(beside.into_iter().find(|stream| is_file(&stream.path)).map(Stored::Stream));
    }
    let sealed = folder.join(manifest::NAME);
    let inside = |name: &String| Stream {
        path: folder.join(name),
        name: name.clone(),
        manifest: Some(sealed.clone()).filter(|sealed| is_file(sealed)),
        copy: None,
    };
    let sent = |stream: &Stream| {
        let Note { repository, uuid, size, .. } = Note::read(&folder)?;
        let key = repository.file(id, &uuid, &stream.name);
        Some(Box::new(RemoteStream { repository, key, size }))
    };
    if let Some(mut stream) = names.iter().map(inside).find(|stream| is_file(&stream.path)) {
        stream.copy = sent(&stream);
        return Ok(Some(Stored::Stream(stream)));
    }
    // What the manifest names and is not there was forwarded, or is in the repository.
    let listed = manifest::names(&folder)?;
    let Some(elsewhere) = names.iter().find(|name| listed.contains(Path::new(name))).map(inside) else {
        return Ok(Some(Stored::Directory(folder)));
    };
    Ok(Some(match sent(&elsewhere) {
        None => Stored::Forwarded(elsewhere),
        Some(there) => Stored::Remote(elsewhere, there),
    }))
}

/// Whether a backup is lost, by what was found of it: nothing, or the metadata of a stream that was stored here. One that was forwarded is
/// not lost; where the records do not say, what is not here is taken for forwarded.
pub fn is_gone(found: Option<&Stored>, was_forwarded: Option<bool>) -> bool {
    match found {
        None => true,
        Some(Stored::Forwarded(_)) => was_forwarded == Some(false),
        Some(Stored::Directory(_) | Stored::Stream(_) | Stored::Remote(..)) => false,
    }
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|there| there.is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::look;
    use crate::model::{Compression, Stored};

    #[test]
    fn each_form_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let found = |id: &str| look(dir.path(), &id.parse().unwrap()).unwrap();
        assert_eq!(found("a"), None);

        let line = |name: &str| format!("{}  {name}\n", "0".repeat(64));
        for (id, file, sealed) in [
            ("a", Some("ibdata1"), "ibdata1"),
            ("b", Some("backup-b.xbstream.zst"), "backup-b.xbstream.zst"),
            ("c", None, "backup-c.xbstream.gz"),
            ("d", None, "backup-b.xbstream.gz"),
        ] {
            let folder = dir.path().join(id);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("dbcalm.sha256"), line(sealed)).unwrap();
            if let Some(file) = file {
                fs::write(folder.join(file), "x").unwrap();
            }
        }
        assert_eq!(found("a"), Some(Stored::Directory(dir.path().join("a"))));
        let Some(Stored::Stream(stream)) = found("b") else { panic!("{:?}", found("b")) };
        assert_eq!(stream.path, dir.path().join("b/backup-b.xbstream.zst"));
        assert_eq!(stream.manifest, Some(dir.path().join("b/dbcalm.sha256")));
        let Some(Stored::Forwarded(stream)) = found("c") else { panic!("{:?}", found("c")) };
        assert_eq!(stream.name, "backup-c.xbstream.gz");
        assert!(matches!(found("d"), Some(Stored::Directory(_))), "another backup's stream is none of its");
    }

    #[test]
    fn a_stream_in_the_go_daemons_place_is_found_and_a_symlink_is_not() {
        let dir = tempfile::tempdir().unwrap();
        for compression in Compression::ALL {
            let path = dir.path().join(format!("backup-a.xbstream{}", compression.ending()));
            fs::write(&path, "x").unwrap();
            let Some(Stored::Stream(stream)) = look(dir.path(), &"a".parse().unwrap()).unwrap() else { panic!() };
            assert_eq!((&stream.path, stream.manifest), (&path, None));
            fs::rename(&path, dir.path().join("else")).unwrap();
            symlink("else", &path).unwrap();
            assert_eq!(look(dir.path(), &"a".parse().unwrap()).unwrap(), None);
            fs::remove_file(&path).unwrap();
        }
    }
}
