//! Tablespaces of `InnoDB` that are young: their first page was not in their file yet when the tool began.
//!
//! mariadb-backup takes such a file whole at its end, as `TABLE.new`, and an apply puts it into the base in the place of the file that has its
//! name. Where the base has the tablespace under another name, the base then has two files of one tablespace, and the prepare ends with status 1,
//! each time: `Attempted to open a previously opened tablespace`. The first page must have come to the file while the tool ran; as long as it is
//! empty, the redo log makes the file, and all is well. An incremental that is taken after that has the table as any other (all with 10.11.19).
//!
//! In: what the tool says of DDL since the server's last checkpoint, of the base and of the incremental. Out: the tables that make it so.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use super::hidden;

/// The names of tablespaces, by their ids: relative to the backup, without an ending.
pub type Names = BTreeMap<u32, String>;

/// What the tool says in its log of each creation, renaming and removal: `DDL tracking : create 5 "./shop/t.ibd"` (10.11.19).
const TRACKED: &str = "DDL tracking : ";

/// How much of a file says which tablespace it is, in bytes, and where in it the id stands (`fil0fil.h` of `MariaDB`).
pub(crate) const HEAD: usize = SPACE_AT + 4;
const SPACE_AT: usize = 34;

/// Whether a file is one that the tool took whole at its end.
pub(crate) fn is_young(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "new")
}

/// The part of a line of the tool's log that tells of DDL.
pub(crate) fn told(line: &[u8]) -> Option<&[u8]> {
    let at = line.windows(TRACKED.len()).position(|window| window == TRACKED.as_bytes())?;
    line.get(at..)
}

/// Whether this is such a part.
pub(crate) fn is_told(text: &str) -> bool {
    text.starts_with(TRACKED)
}

/// The names that the tablespaces have in the end. One that is gone, or outside the data directory, has none.
pub(crate) fn names(told: &[String]) -> Names {
    let mut names = Names::new();
    for event in told.iter().filter_map(|line| line.strip_prefix(TRACKED)) {
        let mut words = event.splitn(3, ' ');
        let (Some(what), Some(Ok(id)), Some(paths)) = (words.next(), words.next().map(str::parse), words.next()) else {
            continue;
        };
        // Of a renaming the second one. A quotation mark is in no name as it is in the file system.
        let last = paths.trim().trim_matches('"').rsplit('"').next();
        let name = last.and_then(|path| path.strip_prefix("./")?.strip_suffix(".ibd"));
        match name.filter(|_| what == "create" || what == "rename") {
            Some(name) => names.insert(id, name.to_owned()),
            None => names.remove(&id),
        };
    }
    names
}

/// The names as they are kept beside encrypted data.
pub(crate) fn hide_all(names: Names) -> Names {
    names.into_iter().map(|(id, name)| (id, hidden::hide(name.as_bytes()))).collect()
}

/// The tables that keep an incremental from being applied, each as `'OLD' (now 'NEW')`, or as `'NEW'` if the base hides the old name. `taken`
/// gives the id in the first page of the file that was taken whole under a name; None if none was.
pub(crate) fn clashes(base: &Names, now: &Names, taken: impl Fn(&str) -> Option<u32>) -> Vec<String> {
    let is = |kept: &str, name: &str| hidden::is(kept.as_bytes(), name.as_bytes());
    let renamed = now.iter().filter_map(|(id, new)| Some((*id, base.get(id).filter(|old| !is(old, new))?, new)));
    // Who has a hidden name now, is among those of whom the tool told: a file that it takes whole is of a new table or a renamed one.
    let known = |old: &str| {
        if hidden::is_plain(old) { Some(old.to_owned()) } else { now.values().find(|name| is(old, name)).cloned() }
    };
    let clashing = renamed.map(|(id, old, new)| (id, known(old), new));
    let clashing =
        clashing.filter(|(id, old, new)| taken(new) == Some(*id) && old.as_deref().and_then(&taken).is_none());
    clashing.map(|(_, old, new)| old.map_or(format!("'{new}'"), |old| format!("'{old}' (now '{new}')"))).collect()
}

/// The id of the tablespace in what a file begins with: 0 if its first page is still empty. None if that is too short.
pub(crate) fn space(head: &[u8]) -> Option<u32> {
    head.get(SPACE_AT..)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// That of the file which was taken whole under a name, in the backup in `dir`. None if none was.
///
/// # Errors
/// The system's.
pub(crate) fn taken(dir: &Path, name: &str) -> io::Result<Option<u32>> {
    let mut head = Vec::new();
    match File::open(dir.join(format!("{name}.new"))) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?.take(HEAD as u64).read_to_end(&mut head)?,
    };
    Ok(Some(space(&head).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Names, clashes, hide_all, names, space, taken, told};

    /// Lines as mariadb-backup 10.11.19 writes them.
    fn tracked(events: &[&str]) -> Names {
        let line = |event: &&str| format!("[00] 2026-11-30 16:43:52 DDL tracking : {event}");
        let kept = |line: String| String::from_utf8(told(line.as_bytes()).unwrap().to_vec()).unwrap();
        names(&events.iter().map(line).map(kept).collect::<Vec<_>>())
    }

    #[test]
    fn the_names_that_tablespaces_have_in_the_end_are_read_from_the_log() {
        assert_eq!(told(b"[01] 2026-11-30 16:45:32 Streaming ./shop/t.frm to <STDOUT>"), None);
        let found = tracked(&[
            r#"create 5 "./shop/t.ibd""#,
            r#"create 15 "./shop/#sql-alter-6c0b-1d.ibd""#,
            r#"rename 5 "./shop/t.ibd","./shop/#sql-backup-6c0b-1d.ibd""#,
            r#"rename 15 "./shop/#sql-alter-6c0b-1d.ibd","./shop/t.ibd""#,
            r#"delete 5 "./shop/#sql-backup-6c0b-1d.ibd""#,
            r#"create 6 "./shop/a@0020b#P#p0.ibd""#,
            r#"create 7 "/elsewhere/shop/far.ibd""#,
            "create x",
            "what",
        ]);
        assert_eq!(found, Names::from([(15, "shop/t".to_owned()), (6, "shop/a@0020b#P#p0".to_owned())]));
    }

    #[test]
    fn a_young_tablespace_with_another_name_than_in_the_base_keeps_an_incremental_from_being_applied() {
        let base = tracked(&[r#"create 5 "./shop/t.ibd""#, r#"create 6 "./shop/u.ibd""#]);
        let now = tracked(&[
            r#"create 5 "./shop/t.ibd""#,
            r#"rename 5 "./shop/t.ibd","./shop/a.ibd""#,
            r#"create 6 "./shop/u.ibd""#,
            r#"create 7 "./shop/new.ibd""#,
        ]);
        let of = |files: &[(&str, u32)]| {
            let files = files.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect::<Vec<_>>();
            clashes(&base, &now, move |name| Some(files.iter().find(|(file, _)| file == name)?.1))
        };
        let none: [&str; 0] = [];
        assert_eq!(of(&[("shop/a", 5), ("shop/u", 6), ("shop/new", 7)]), ["'shop/t' (now 'shop/a')"]);
        assert_eq!(of(&[("shop/a", 0), ("shop/u", 6)]), none, "its first page is empty yet");
        assert_eq!(of(&[("shop/u", 6)]), none, "it was taken as any other");
        assert_eq!(of(&[("shop/a", 5), ("shop/t", 0)]), none, "another takes the place of the base's file");
        assert!(clashes(&Names::new(), &now, |_| Some(5)).is_empty(), "the base has none of them");
    }

    #[test]
    fn a_base_that_hides_its_names_tells_as_much() {
        let base = hide_all(tracked(&[r#"create 5 "./shop/t.ibd""#, r#"create 6 "./shop/u.ibd""#]));
        assert!(base.values().all(|name| !name.contains("shop")), "{base:?}");
        let now = tracked(&[
            r#"rename 5 "./shop/t.ibd","./shop/a.ibd""#,
            r#"create 6 "./shop/u.ibd""#,
            r#"create 7 "./shop/new.ibd""#,
        ]);
        let mut other = now.clone();
        other.insert(8, "shop/t".to_owned());
        let of = |now: &Names, files: &[(&str, u32)]| {
            let files = files.iter().map(|(name, id)| ((*name).to_owned(), *id)).collect::<Vec<_>>();
            clashes(&base, now, move |name| Some(files.iter().find(|(file, _)| file == name)?.1))
        };
        let none: [&str; 0] = [];
        assert_eq!(of(&now, &[("shop/a", 5), ("shop/u", 6), ("shop/new", 7)]), ["'shop/a'"]);
        assert_eq!(of(&now, &[("shop/a", 0), ("shop/u", 6)]), none, "its first page is empty yet");
        assert_eq!(of(&other, &[("shop/a", 5), ("shop/t", 8)]), none, "another takes the place of the base's file");
        assert_eq!(of(&other, &[("shop/a", 5)]), ["'shop/t' (now 'shop/a')"], "the other is not taken whole");
    }

    #[test]
    fn the_tablespace_of_a_file_is_in_its_first_page() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        let mut page = vec![0; 16 * 1024];
        assert_eq!((space(&page), space(&page[..37])), (Some(0), None));
        page[36..38].copy_from_slice(&[1, 5]);
        fs::write(dir.path().join("shop/t.new"), page).unwrap();
        assert_eq!(taken(dir.path(), "shop/t").unwrap(), Some(261));
        assert_eq!(taken(dir.path(), "shop/u").unwrap(), None);
    }
}
