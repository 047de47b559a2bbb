//! How much memory a prepare is given.

use std::fs;

/// What the tools take by themselves: about 100 MB (mariadb.com, "mariadb-backup Options", `--use-memory`).
const OF_ITSELF: u64 = 100 << 20;

/// The memory for a prepare, in bytes: what is wanted, but no more than half of what is free. With more than there is the tool ends with
/// status 1. None if that is no more than it takes by itself, or nobody knows what is free.
pub(super) fn for_prepare(wanted: u64) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    share(&text, wanted)
}

fn share(meminfo: &str, wanted: u64) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    // In whole MiB, for those who read it.
    let given = wanted.min(free / 2) >> 20 << 20;
    (given > OF_ITSELF).then_some(given)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn a_prepare_gets_what_is_wanted_but_no_more_than_half_of_what_is_free() {
        let free = |kib: u64| format!("MemTotal:  32 kB\nMemFree:  1 kB\nMemAvailable:   {kib} kB\nBuffers: 2 kB\n");
        assert_eq!(share(&free(8 << 20), 2 << 30), Some(2 << 30));
        assert_eq!(share(&free(1 << 20), 2 << 30), Some(512 << 20));
        assert_eq!(share(&free(1_000_001), 2 << 30), Some(488 << 20));
        assert_eq!(share(&free(200 << 10), 2 << 30), None, "it takes as much by itself");
        assert_eq!(share("MemTotal: 1 kB\n", 2 << 30), None);
    }
}
