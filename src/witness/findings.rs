//! What is told of a backup's tables beside its files: by the tool's log, by the step that stores a stream, and in the backup's folder.
//!
//! While all DDL waits mariadb-backup copies the definitions and what lies beside them, and names each file in its log. What it takes away
//! again after that is lost (seen with 10.11.19). A stream's files are seen by the step that stores it, which says on its stderr what it found.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::tables::{ENGINES, LEFT_BY_A_CRASH, Lacking};
use super::{hidden, young};

/// What was found of a backup's tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// Those that lack files.
    pub lacking: Vec<Lacking>,
    /// What the tool copied while all DDL waited, and then took away.
    pub gone: Vec<PathBuf>,
    /// InnoDB's tables that took each other's names, which makes an incremental one that cannot be applied.
    pub swapped: Vec<PathBuf>,
    /// The files that tell whether a table was made anew, and what each says.
    pub indexes: Vec<(PathBuf, String)>,
    /// InnoDB's files in a stream that the tool took whole at its end, and the id in the first page of each; none of a folder, where they
    /// are looked at by their names.
    pub young: Vec<(PathBuf, u32)>,
}

/// What a line of [`Findings::lines`] begins with.
const LACKS: &str = "the stream lacks\t";
const LOST: &str = "the stream lost\t";
const INDEX: &str = "the stream has\t";
const SWAPPED: &str = "the stream swaps\t";
const YOUNG: &str = "the stream ends with\t";

/// What a line of a hidden step begins with that is to be told with the job's success.
pub const WARNING: &str = "warning: ";

/// What a hidden step warns of in a line.
pub(crate) fn warning(line: &[u8]) -> Option<&[u8]> {
    line.strip_prefix(WARNING.as_bytes())
}

impl Findings {
    /// As the step that stores a stream says it on its stderr.
    pub fn lines(&self) -> String {
        let gone = self.gone.iter().map(|path| format!("{LOST}{}\n", path.display()));
        let lacking = self.lacking.iter().flat_map(|table| {
            let say = |file: &PathBuf| {
                format!("{LACKS}{}\t{}\t{}\n", file.display(), table.definition.display(), table.engine)
            };
            table.files.iter().map(say)
        });
        let swapped = self.swapped.iter().map(|path| format!("{SWAPPED}{}\n", path.display()));
        let indexes = self.indexes.iter().map(|(path, place)| format!("{INDEX}{place}\t{}\n", path.display()));
        let young = self.young.iter().map(|(path, id)| format!("{YOUNG}{id}\t{}\n", path.display()));
        gone.chain(lacking).chain(swapped).chain(indexes).chain(young).collect()
    }

    /// What a watch for [`kept_line`] kept of that step.
    pub(crate) fn read(told: &[String]) -> Self {
        let paths = |prefix| told.iter().filter_map(move |line| line.strip_prefix(prefix)).map(PathBuf::from).collect();
        let mut found = Self { gone: paths(LOST), swapped: paths(SWAPPED), ..Self::default() };
        let indexes = told.iter().filter_map(|line| line.strip_prefix(INDEX)?.split_once('\t'));
        found.indexes = indexes.map(|(place, path)| (path.into(), place.to_owned())).collect();
        let young = told.iter().filter_map(|line| line.strip_prefix(YOUNG)?.split_once('\t'));
        found.young = young.filter_map(|(id, path)| Some((path.into(), id.parse().ok()?))).collect();
        for line in told.iter().filter_map(|line| line.strip_prefix(LACKS)) {
            let mut fields = line.split('\t');
            let (Some(file), Some(definition), Some(name)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let Some(engine) = ENGINES.iter().find(|engine| engine.name == name) else { continue };
            let is_same = |last: &&mut Lacking| last.definition == Path::new(definition);
            match found.lacking.last_mut().filter(is_same) {
                Some(last) => last.files.push(file.into()),
                None => found.lacking.push(Lacking {
                    definition: definition.into(),
                    engine: engine.name,
                    files: vec![file.into()],
                }),
            }
        }
        found
    }
}

/// The list of tables that lacked files on the server already, in the backup's folder: a definition on each line, hidden beside encrypted data.
pub const BARE: &str = "dbcalm.bare";

/// Notes them beside the backup, if there are any, `is_hidden` if nobody may read them there; it is the caller's to sync.
///
/// # Errors
/// The system's.
pub(crate) fn note_bare(dir: &Path, bare: &[Lacking], is_hidden: bool) -> io::Result<()> {
    if bare.is_empty() {
        return Ok(());
    }
    let line = |table: &Lacking| {
        let name = table.definition.as_os_str().as_bytes();
        if is_hidden { (hidden::hide(name) + "\n").into_bytes() } else { [name, b"\n"].concat() }
    };
    fs::write(dir.join(BARE), bare.iter().flat_map(line).collect::<Vec<_>>())
}

/// Those that are not noted in the folder `dir` as bare on the server.
pub(crate) fn unless_noted(dir: &Path, mut lacking: Vec<Lacking>) -> Vec<Lacking> {
    if !lacking.is_empty() {
        let noted = fs::read(dir.join(BARE)).unwrap_or_default();
        let noted = noted.split(|byte| *byte == b'\n').collect::<Vec<_>>();
        lacking.retain(|table| {
            let name = table.definition.as_os_str().as_bytes();
            !noted.iter().any(|kept| hidden::is(kept, name))
        });
    }
    lacking
}

/// What is kept of the log of a tool, or of the step that stores its stream.
pub(crate) fn kept_line(line: &[u8]) -> Option<&[u8]> {
    let is_found = [LACKS, LOST, SWAPPED, INDEX, YOUNG].iter().any(|prefix| line.starts_with(prefix.as_bytes()));
    if is_found { Some(line) } else { copied(line).or_else(|| young::told(line)) }
}

/// The file that a line of the tool's log says it copies, if it is one of those which are copied while all DDL waits: it must be in the
/// backup when the tool ends.
fn copied(line: &[u8]) -> Option<&[u8]> {
    // `Copying ./shop/orders.frm to /backups/full-1/shop/orders.frm`, and `Streaming ./shop/orders.frm to <STDOUT>`.
    let rest = behind(line, b"ing ./")?;
    let path = rest.get(..position(rest, b" to ")?)?;
    let is_kept = [&b".frm"[..], b".par", b".opt", b".TRG", b".TRN"].iter().any(|ending| path.ends_with(ending));
    let name = path.rsplit(|byte| *byte == b'/').next()?;
    (is_kept && !name.starts_with(LEFT_BY_A_CRASH)).then_some(path)
}

fn behind<'a>(line: &'a [u8], text: &[u8]) -> Option<&'a [u8]> {
    line.get(position(line, text)? + text.len()..)
}

fn position(line: &[u8], text: &[u8]) -> Option<usize> {
    line.windows(text.len()).position(|window| window == text)
}

/// Those of the `copied` that are not among the files, in order and each once.
pub(crate) fn taken_away<'a>(copied: impl IntoIterator<Item = &'a String>, files: &HashSet<PathBuf>) -> Vec<PathBuf> {
    let mut gone = copied.into_iter().map(PathBuf::from).filter(|path| !files.contains(path)).collect::<Vec<_>>();
    gone.sort();
    gone.dedup();
    gone
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::fs;
    use std::path::PathBuf;

    use super::{BARE, Findings, copied, kept_line, note_bare, taken_away, unless_noted};
    use crate::witness::tables::Lacking;

    /// Lines of mariadb-backup 10.11.19.
    #[test]
    fn what_is_copied_while_all_ddl_waits_is_read_from_the_tools_log() {
        let read = |line: &str| copied(line.as_bytes()).map(|path| String::from_utf8_lossy(path).into_owned());
        let some = |path: &str| Some(path.to_owned());
        assert_eq!(read("[01] 2026-11-28 14:35:13 Copying ./r/a1.frm to /b/full-1/r/a1.frm"), some("r/a1.frm"));
        assert_eq!(read("[01] 2026-11-28 14:36:12 Streaming ./r/a1.frm to <STDOUT>\n"), some("r/a1.frm"));
        assert_eq!(read("[01] 2026-11-28 14:33:27 Copying ./d2/db.opt to /b/b1/d2/db.opt"), some("d2/db.opt"));
        for other in [
            "[00] 2026-11-28 14:33:27 Copying ./t/i_.ibd to /b/b1/t/i_.new",
            "[00] 2026-11-28 14:33:27 Copying /data//aria_log_control to /b/b1/aria_log_control",
            "[01] 2026-11-28 14:33:27 Copying ./r/#sql-alter-3091-3c.frm to /b/b1/r/#sql-alter-3091-3c.frm",
            "[00] 2026-11-28 14:33:27 aria table file ./t/a_.MAI is copied successfully.",
            "[01] 2026-11-28 14:33:27         ...done",
            "Copying ./",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_said_of_a_stream_is_read_again() {
        let lacking = |definition: &str, files: &[&str]| Lacking {
            definition: definition.into(),
            engine: "Aria",
            files: files.iter().map(PathBuf::from).collect(),
        };
        let found = Findings {
            lacking: vec![lacking("r/a.frm", &["r/a.MAD", "r/a.MAI"]), lacking("r/b.frm", &["r/b.MAI"])],
            gone: vec!["r/c.frm".into(), "r/d.frm".into()],
            swapped: vec!["r/e".into(), "r/f#P#p0".into()],
            indexes: vec![("r/a.MAI".into(), "0000010000609a".to_owned()), ("r/b\tc.MAI".into(), "00".to_owned())],
            young: vec![("r/g.new".into(), 5), ("r/h#P#p0.new".into(), 0)],
        };
        let lines = found.lines();
        let heard: Vec<_> = lines.lines().map(|line| kept_line(line.as_bytes()).unwrap()).collect();
        let heard: Vec<_> = heard.into_iter().map(|line| String::from_utf8(line.to_vec()).unwrap()).collect();
        assert_eq!(Findings::read(&heard), found);
        assert_eq!(Findings::read(&["r/a.frm".to_owned()]), Findings::default());
    }

    #[test]
    fn what_was_bare_on_the_server_is_noted() {
        let dir = tempfile::tempdir().unwrap();
        let bare = |name: &str| Lacking { definition: name.into(), engine: "CSV", files: Vec::new() };
        note_bare(dir.path(), &[], false).unwrap();
        assert!(!dir.path().join(BARE).exists());
        for is_hidden in [false, true] {
            note_bare(dir.path(), &[bare("r/a.frm"), bare("r/b.frm")], is_hidden).unwrap();
            let text = fs::read_to_string(dir.path().join(BARE)).unwrap();
            assert_eq!(text == "r/a.frm\nr/b.frm\n", !is_hidden, "{text}");
            assert_eq!(text.contains(".frm"), !is_hidden, "{text}");
            assert_eq!(unless_noted(dir.path(), vec![bare("r/a.frm"), bare("r/c.frm")]), [bare("r/c.frm")]);
        }
        assert_eq!(unless_noted(&dir.path().join("none"), vec![bare("r/a.frm")]), [bare("r/a.frm")]);
    }

    #[test]
    fn what_was_copied_and_is_not_there_was_taken_away() {
        let files = HashSet::from([PathBuf::from("r/a.frm")]);
        let copied = ["r/z.frm", "r/a.frm", "r/b.frm", "r/z.frm"].map(str::to_owned);
        assert_eq!(taken_away(&copied, &files), ["r/b.frm", "r/z.frm"].map(PathBuf::from));
    }
}
