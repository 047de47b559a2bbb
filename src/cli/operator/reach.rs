//! Whether clients find the daemon that works on a `backup_dir`, or nobody, or another one.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use rustix::net::sockopt::socket_peercred;

use crate::disk;
use crate::wire::socket::anothers_alias;

/// What is wrong, and what mends it.
pub(super) type Trouble = (String, String);

/// Looks. None where no daemon works there, or this user may not ask.
pub(super) fn look(backup_dir: &Path, socket: &Path) -> Option<Result<(), Trouble>> {
    if !disk::is_locked(backup_dir) {
        return None;
    }
    let path = socket.display();
    let stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(why) if matches!(why.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Some(Err((
                format!("a daemon works in backup_dir, and nobody answers at its socket '{path}'"),
                "journalctl -u dbcalm-db-cmd says why it does not bind it again; systemctl restart dbcalm-db-cmd makes \
                 the directory; or give the daemon's --socket"
                    .to_owned(),
            )));
        }
        Err(_) => return None,
    };
    let holders = locks(&fs::read_to_string("/proc/locks").unwrap_or_default(), fs::metadata(backup_dir).ok()?.ino());
    let peer = socket_peercred(&stream).ok()?.pid.as_raw_nonzero().get();
    if let Some(holder) = holders.first()
        && !holders.contains(&peer)
    {
        return Some(Err((
            format!(
                "process {peer} answers at '{path}', and not process {holder}, the daemon that works in backup_dir"
            ),
            format!("systemctl status {peer} says whose it is: stop it, and the daemon takes its place again"),
        )));
    }
    if let Some(alias) = anothers_alias(socket) {
        return Some(Err((
            format!("'{}', where the Python API looks, is another daemon's", alias.display()),
            "stop the other one, and the daemon takes its place again".to_owned(),
        )));
    }
    Some(Ok(()))
}

/// The process that answers at a socket. None if nobody does, or this user may not ask.
pub(super) fn daemon(socket: &Path) -> Option<i32> {
    let stream = UnixStream::connect(socket).ok()?;
    Some(socket_peercred(&stream).ok()?.pid.as_raw_nonzero().get())
}

/// Who holds a lock of `flock` for himself on the file of this number, by /proc/locks (proc(5)): process ids of this namespace.
fn locks(text: &str, inode: u64) -> Vec<i32> {
    let of = |line: &str| {
        let words: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words[..] else { return None };
        (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| pid.parse().ok()).flatten()
    };
    text.lines().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::locks;

    #[test]
    fn the_holder_of_a_lock_is_read() {
        let text = "\
1: FLOCK  ADVISORY  WRITE 708 00:2d:1234 0 EOF
1: -> FLOCK  ADVISORY  WRITE 709 00:2d:1234 0 EOF
2: POSIX  ADVISORY  WRITE 710 fe:01:1234 0 EOF
3: FLOCK  ADVISORY  READ 711 fe:01:1234 0 EOF
4: FLOCK  ADVISORY  WRITE 712 fe:01:12345 0 EOF
";
        assert_eq!(locks(text, 1234), [708]);
        assert_eq!(locks(text, 12345), [712]);
        assert_eq!(locks("", 1), [0; 0]);
    }
}
