use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

use super::{Socket, SocketError};

fn dir(mode: u32) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(mode)).unwrap();
    dir
}

#[test]
fn the_mode_follows_the_directory() {
    for (parent, socket) in [(0o770, 0o660), (0o2774, 0o664), (0o777, 0o666), (0o700, 0o600)] {
        let dir = dir(parent);
        let path = dir.path().join("db-cmd.sock");
        let _held = Socket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, socket, "parent {parent:o}");
    }
}

#[test]
fn the_python_name_is_a_relative_symlink_and_both_go_at_the_end() {
    let dir = dir(0o770);
    let path = dir.path().join("db-cmd.sock");
    let (socket, _listener) = Socket::bind(&path).unwrap();
    assert_eq!(fs::read_link(dir.path().join("mariadb-cmd.sock")).unwrap(), Path::new("db-cmd.sock"));
    UnixStream::connect(dir.path().join("mariadb-cmd.sock")).unwrap();
    socket.remove().unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_socket_whose_owner_is_gone_is_replaced() {
    let dir = dir(0o770);
    for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
        drop(UnixListener::bind(dir.path().join(name)).unwrap());
    }
    Socket::bind(&dir.path().join("db-cmd.sock")).unwrap();
    // And once more over what that run left: a socket and our own symlink.
    Socket::bind(&dir.path().join("db-cmd.sock")).unwrap();
}

#[test]
fn a_socket_that_answers_is_left_alone() {
    let dir = dir(0o770);
    for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
        let taken = dir.path().join(name);
        let _other = UnixListener::bind(&taken).unwrap();
        let refused = Socket::bind(&dir.path().join("db-cmd.sock")).unwrap_err();
        assert!(matches!(&refused, SocketError::Taken(path) if *path == taken), "{refused:?}");
        UnixStream::connect(&taken).unwrap();
        fs::remove_file(&taken).unwrap();
    }
}

#[test]
fn what_is_no_socket_is_left_alone() {
    let dir = dir(0o770);
    let path = dir.path().join("db-cmd.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", dir.path().join("mariadb-cmd.sock")).unwrap();
    assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
    assert!(fs::symlink_metadata(dir.path().join("mariadb-cmd.sock")).is_ok());
}

#[test]
fn a_socket_of_another_kind_and_a_link_to_nowhere_are_left_alone() {
    let dir = dir(0o770);
    let path = dir.path().join("db-cmd.sock");
    let datagrams = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)));
    drop(datagrams);
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("db-cmd.sock", &path).unwrap();
    assert!(matches!(Socket::bind(&path).unwrap_err(), SocketError::NotASocket(_)), "a loop");
    assert_eq!(fs::read_link(&path).unwrap(), Path::new("db-cmd.sock"));
    fs::remove_file(&path).unwrap();
    let below = path.join("deeper.sock");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(Socket::bind(&below).unwrap_err(), SocketError::Io { path, .. } if path == below));
}

#[test]
fn a_socket_that_cannot_be_looked_for_is_told() {
    let dir = dir(0o770);
    let run = dir.path().join("run");
    fs::create_dir(&run).unwrap();
    let (socket, _listener) = Socket::bind(&run.join("db-cmd.sock")).unwrap();
    fs::remove_dir_all(&run).unwrap();
    fs::write(&run, "a file in the directory's place").unwrap();
    assert!(socket.remove().is_err());
}

/// A socket that cannot be asked whether somebody answers: by a path that is too long for it, it was bound by another one.
#[test]
fn a_socket_that_cannot_be_asked_is_no_reason_to_call_it_something_else() {
    let dir = dir(0o770);
    let long = dir.path().join("x".repeat(100));
    fs::create_dir(&long).unwrap();
    let opened = fs::File::open(&long).unwrap();
    let short = format!("/proc/self/fd/{}/db-cmd.sock", std::os::fd::AsRawFd::as_raw_fd(&opened));
    drop(UnixListener::bind(short).unwrap());
    let path = long.join("db-cmd.sock");
    let refused = Socket::bind(&path).unwrap_err();
    assert!(matches!(&refused, SocketError::Io { path: named, .. } if *named == path), "{refused:?}");
    assert!(fs::symlink_metadata(&path).is_ok());
}

#[test]
fn what_has_gone_already_and_what_became_anothers_is_not_removed() {
    let dir = dir(0o770);
    let (path, alias) = (dir.path().join("db-cmd.sock"), dir.path().join("mariadb-cmd.sock"));
    let (socket, _listener) = Socket::bind(&path).unwrap();
    fs::remove_file(&alias).unwrap();
    std::os::unix::fs::symlink("another.sock", &alias).unwrap();
    socket.remove().unwrap();
    assert_eq!(fs::read_link(&alias).unwrap(), Path::new("another.sock"));
    fs::remove_file(&alias).unwrap();
    let (socket, _listener) = Socket::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    socket.remove().unwrap();
}

#[test]
fn a_socket_that_took_this_ones_place_is_not_removed() {
    let dir = dir(0o770);
    let path = dir.path().join("db-cmd.sock");
    let (socket, _listener) = Socket::bind(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _other = UnixListener::bind(&path).unwrap();
    socket.remove().unwrap();
    UnixStream::connect(&path).unwrap();
}

#[test]
fn a_socket_that_is_gone_is_bound_again_and_one_that_is_there_is_not() {
    let root = dir(0o770);
    let run = root.path().join("run");
    fs::create_dir(&run).unwrap();
    let path = run.join("db-cmd.sock");
    let (mut socket, first) = Socket::bind(&path).unwrap();
    assert!(socket.renew().unwrap().is_none());
    // With a client that nobody has accepted yet.
    let _client = UnixStream::connect(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let _second = socket.renew().unwrap().unwrap();
    UnixStream::connect(&path).unwrap();
    first.accept().unwrap();
    // All of the directory, made again with other bits.
    fs::remove_dir_all(&run).unwrap();
    assert!(matches!(socket.renew().unwrap_err(), SocketError::Io { .. }));
    fs::create_dir(&run).unwrap();
    fs::set_permissions(&run, fs::Permissions::from_mode(0o2774)).unwrap();
    let _third = socket.renew().unwrap().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o664);
    UnixStream::connect(run.join("mariadb-cmd.sock")).unwrap();
    fs::remove_file(run.join("mariadb-cmd.sock")).unwrap();
    assert!(socket.renew().unwrap().is_none());
    UnixStream::connect(run.join("mariadb-cmd.sock")).unwrap();
    socket.remove().unwrap();
    assert_eq!(fs::read_dir(&run).unwrap().count(), 0);
}

#[test]
fn whoever_has_taken_the_place_keeps_it_and_is_asked_once() {
    let dir = dir(0o770);
    let path = dir.path().join("db-cmd.sock");
    let (mut socket, first) = Socket::bind(&path).unwrap();
    let mut listeners = vec![first];
    for name in ["db-cmd.sock", "mariadb-cmd.sock"] {
        let taken = dir.path().join(name);
        fs::remove_file(&taken).unwrap();
        let other = UnixListener::bind(&taken).unwrap();
        other.set_nonblocking(true).unwrap();
        for _ in 0..3 {
            let refused = socket.renew().unwrap_err();
            assert!(matches!(&refused, SocketError::Taken(path) if *path == taken), "{refused:?}");
        }
        other.accept().unwrap();
        assert_eq!(other.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        drop(other);
        fs::remove_file(&taken).unwrap();
        listeners.extend(socket.renew().unwrap());
    }
    assert_eq!(listeners.len(), 2, "one for the socket, none for the symlink");
    UnixStream::connect(dir.path().join("mariadb-cmd.sock")).unwrap();
}
