//! Moments, held against the archive of a server that has written three files.

use std::fs;

use super::{Standing, find};
use crate::binlog::archive::{Archive, Pass};
use crate::binlog::line::Place;
use crate::binlog::tests::files::Writer;
use crate::model::{Moment, Until};
use crate::witness::Binlog;

/// When the first file is begun; each transaction is a second later than the one before it, and so is each file.
const BEGUN: u32 = 1_700_000_001;

/// An archive, and where a backup stands in it.
struct Archived {
    _root: tempfile::TempDir,
    standing: Standing,
    archive: Archive,
    /// Where the backup ended.
    from: u64,
}

/// A server that has written transactions 1 to 3, 4 and 5, and 6 to a file each; the backup has the first two. `more` writes on.
fn archived(more: impl FnOnce(&mut Writer)) -> Archived {
    let root = tempfile::tempdir().unwrap();
    let (data, backup_dir) = (root.path().join("data"), root.path().join("backups"));
    fs::create_dir(&data).unwrap();
    fs::create_dir(&backup_dir).unwrap();
    let mut server = Writer::new(&data, 7);
    server.begin();
    server.commit(2);
    let from = fs::metadata(server.path()).unwrap().len();
    server.commit(1);
    server.flush();
    server.commit(2);
    server.flush();
    server.commit(1);
    more(&mut server);
    Pass { backup_dir: &backup_dir, index: &server.index(), data_dir: &data, server_uid: None, recipients: &[] }
        .run()
        .unwrap();
    let archive = Archive::of(&backup_dir);
    let binlog = Binlog { file: "bin.000001".to_owned(), position: from, gtid: Some("0-7-2".to_owned()) };
    let place = Place { binlog, end: f64::from(BEGUN + 2) };
    let standing = Standing { id: "full-1".to_owned(), place, timeline: 1, is_newest: true, archive: archive.clone() };
    Archived { _root: root, standing, archive, from }
}

impl Archived {
    /// Where a replay to this moment ends, and the GTIDs of its last transaction and of the one behind it.
    fn end(&self, until: &Until) -> Result<(String, String), String> {
        let replay = find(&self.standing, until).map_err(|why| crate::model::causes(&why))?;
        assert_eq!(replay.begin().to_string(), format!("bin.000001:{}", self.from));
        let lengths = replay.files.iter().map(|file| self.archive.entry(1, file).unwrap().unwrap().length);
        let whole: u64 = lengths.take(replay.files.len() - 1).sum();
        assert_eq!((replay.room, replay.bytes), (whole + replay.to, whole + replay.to - self.from));
        let gtid = |seen: &Option<super::Seen>| {
            let gtid = seen.as_ref().and_then(|seen| seen.transaction.gtid);
            gtid.map_or_else(|| "-".to_owned(), |gtid| gtid.to_string())
        };
        let again = find(&self.standing, &Until::Place(replay.place())).unwrap();
        assert_eq!(again, super::Replay { last: None, next: None, ..replay.clone() });
        let last = gtid(&replay.last);
        assert!(last == "-" || replay.after.to_string() == last, "{last}: {}", replay.after);
        let file = replay.end().file;
        Ok((format!("{last} {}", gtid(&replay.next)), file))
    }

    fn at(&self, seconds: u32) -> Result<(String, String), String> {
        self.end(&Until::Time(Moment::of_seconds(BEGUN + seconds).unwrap()))
    }
}

fn through(gtid: &str) -> Until {
    Until::Through(gtid.parse().unwrap())
}

fn before(gtid: &str) -> Until {
    Until::Before(gtid.parse().unwrap())
}

#[test]
fn a_moment_is_a_place_between_two_transactions() {
    let archived = archived(|_server| {});
    for (until, wanted, file) in [
        (Until::End, "0-7-6 -", 3),
        (through("0-7-2"), "- 0-7-3", 1),
        (through("0-7-3"), "0-7-3 0-7-4", 1),
        (through("0-7-5"), "0-7-5 0-7-6", 2),
        (through("0-7-6"), "0-7-6 -", 3),
        (before("0-7-3"), "- 0-7-3", 1),
        (before("0-7-4"), "0-7-3 0-7-4", 2),
        (before("0-7-6"), "0-7-5 0-7-6", 3),
    ] {
        assert_eq!(archived.end(&until), Ok((wanted.to_owned(), Writer::name(file))), "{until}");
    }
    // The seconds of the files' beginnings have no transaction.
    for (seconds, wanted) in
        [(2, "- 0-7-3"), (3, "0-7-3 0-7-4"), (4, "0-7-3 0-7-4"), (5, "0-7-4 0-7-5"), (7, "0-7-5 0-7-6"), (8, "0-7-6 -")]
    {
        assert_eq!(archived.at(seconds).unwrap().0, wanted, "{seconds}");
    }
    let half = Until::Time(Moment::read("2023-11-14 22:13:24.5").unwrap());
    assert_eq!(archived.end(&half).unwrap().0, "0-7-3 0-7-4", "a second's events are not later than what is within it");
}

#[test]
fn what_cannot_be_come_to_is_told() {
    let archived = archived(|_server| {});
    let early = "lies before the end of backup 'full-1'";
    for (until, why) in [
        (through("0-7-1"), format!("0-7-1 {early}")),
        (before("0-7-2"), format!("the transaction before 0-7-2 {early}")),
        (through("0-7-9"), "0-7-9 is not on timeline 1 of the archive, behind backup 'full-1'".to_owned()),
        (through("1-7-3"), "1-7-3 is not on timeline 1 of the archive, behind backup 'full-1'".to_owned()),
    ] {
        assert_eq!(archived.end(&until), Err(why));
    }
    for place in
        ["1 bin.000001:4 0-7-2", "1 bin.000002:9999 0-7-5", "2 bin.000002:600 0-7-5", "1 bin.000009:4 0-7-9", "x", ""]
    {
        let why = format!("'{place}' is no place of the archive behind the chain");
        assert_eq!(archived.end(&Until::Place(place.to_owned())), Err(why));
    }
    assert_eq!(archived.at(1), Err(format!("2023-11-14 22:13:22 UTC {early}")));
    let late = archived.at(3_000_000_000 - BEGUN).unwrap_err();
    assert!(late.ends_with("and not 2065-01-24 05:20:00 UTC; 'end' takes all that there is"), "{late}");
    let data = archived.archive.data(1, "bin.000002");
    let mut bytes = fs::read(&data).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&data, bytes).unwrap();
    let damaged = archived.end(&through("0-7-5")).unwrap_err();
    assert!(damaged.starts_with("what is archived of 'bin.000002' cannot be read"), "{damaged}");
    assert_eq!(archived.end(&through("0-7-3")).unwrap().0, "0-7-3 -", "what comes behind it is not told");
}

#[test]
fn times_are_those_of_the_beginnings_and_the_order_is_that_of_the_commits() {
    let archived = archived(|server| {
        server.time = BEGUN + 100;
        server.commit(1);
        // It was begun before, and committed later.
        server.time = BEGUN + 50;
        server.commit(1);
    });
    assert_eq!(archived.at(70).unwrap().0, "0-7-6 0-7-7");
    assert_eq!(archived.at(101).unwrap().0, "0-7-8 -");
}
