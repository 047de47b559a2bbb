//! Whether the backup tool may have as many files open as it needs.
//!
//! mariadb-backup opens each file of InnoDB before it copies the first, whatever `--parallel` says, and ends with `Too many open files` where it
//! may not; it goes by the soft limit of the daemon, whose child it is, and raises that only where `--open-files-limit` says so (seen with
//! 10.11.19).

use std::fs;
use std::path::Path;

use super::Findings;
use super::reach;
use crate::config::Config;

/// What the tool opens beside InnoDB's files, and then some.
const OTHERS: u64 = 100;

/// The option by which the tool raises its limit, up to the hard one.
const OPTION: &str = "--open-files-limit=";

/// Says how many it opens and how many it may; nothing where no daemon tells its limit.
pub(super) fn look_at_open_files(config: &Config, socket: &Path, findings: &mut Findings) {
    let Some((pid, (soft, hard))) = reach::daemon(socket).and_then(|pid| Some((pid, limits(pid)?))) else { return };
    let asked = config.backup_options.iter().rev().find_map(|option| option.strip_prefix(OPTION)?.parse().ok());
    let may = asked.map_or(soft, |asked: u64| soft.max(asked.min(hard)));
    let needed = files(&config.data_dir).saturating_add(OTHERS);
    if needed <= may {
        findings.good(format!("the backup tool may open {may} files at once, and these tables need {needed}"));
    } else {
        findings.problem(
            format!("these tables need {needed} open files at once, and the backup tool may open {may}, as may the daemon (process {pid})"),
            format!(
                "write LimitNOFILE={} under [Service] in a drop-in (systemctl edit dbcalm-db-cmd), and restart the daemon",
                needed.saturating_mul(2).next_power_of_two()
            ),
        );
    }
}

/// How many files of `InnoDB` are in the data directory, by their names.
fn files(data_dir: &Path) -> u64 {
    let names = |dir: &Path| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.map(|entry| (entry.path(), entry.file_type().is_ok_and(|kind| kind.is_dir()))).collect::<Vec<_>>()
    };
    let is_table = |path: &Path| path.extension().is_some_and(|ending| ending == "ibd");
    let is_shared = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("ibdata") || name.starts_with("undo")
    };
    let mut count = 0;
    for (path, is_dir) in names(data_dir) {
        let tables = || names(&path).iter().filter(|(path, _)| is_table(path)).count();
        count += if is_dir { tables() } else { usize::from(is_table(&path) || is_shared(&path)) };
    }
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// How many files a process may have open, by its soft limit and its hard one; None if this user may not ask.
fn limits(pid: i32) -> Option<(u64, u64)> {
    parse(&fs::read_to_string(format!("/proc/{pid}/limits")).ok()?)
}

/// The same, of what proc(5) shows.
fn parse(text: &str) -> Option<(u64, u64)> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    let mut numbers =
        line.split_whitespace().map(|word| if word == "unlimited" { Some(u64::MAX) } else { word.parse().ok() });
    Some((numbers.next()??, numbers.next()??))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{files, parse};

    #[test]
    fn the_limit_of_open_files_is_read_from_what_proc_shows() {
        let text = "Limit                     Soft Limit           Hard Limit           Units     \n\
            Max processes             96311                96311                processes \n\
            Max open files            1024                 524288               files     \n";
        assert_eq!(parse(text), Some((1024, 524_288)));
        assert_eq!(
            parse("Max open files            unlimited            unlimited            files\n"),
            Some((u64::MAX, u64::MAX))
        );
        assert_eq!((parse(""), parse("Max open files\n")), (None, None));
    }

    #[test]
    fn files_of_innodb_are_counted_and_no_others() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shop")).unwrap();
        for name in [
            "ibdata1",
            "undo001",
            "ib_logfile0",
            "aria_log.00000001",
            "shop/a.ibd",
            "shop/b#P#p0.ibd",
            "shop/a.frm",
            "shop/c.MYD",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(files(dir.path()), 4);
        assert_eq!(files(&dir.path().join("none")), 0);
    }
}
