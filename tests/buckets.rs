//! The harness's own store: what a test can rely on. What it answers to a client, `contract::store` compares with a real store's.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use crate::harness::bucket::Bucket;

/// What a store answers to a request that nobody signed.
fn unsigned(endpoint: &str, path: &str) -> String {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_bucket_answers_while_it_is_held_and_asks_for_a_signature() {
    let bucket = Bucket::start();
    bucket.write("x/1", b"one");
    bucket.write("x/2", b"second");
    assert_eq!(bucket.read("x/1").unwrap(), b"one");
    assert!(bucket.remove("x/1") && !bucket.remove("x/1"));
    assert_eq!(bucket.read("x/1"), None);
    assert_eq!(bucket.keys().into_iter().collect::<Vec<_>>(), [("x/2".to_owned(), 6)]);
    assert_eq!(bucket.uploads(), []);

    let login = bucket.login().clone();
    let answer = unsigned(&login.endpoint, &format!("/{}/x/2", login.bucket));
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("<Code>AccessDenied</Code>"), "{answer}");
    drop(bucket);
    assert!(TcpStream::connect(login.endpoint.strip_prefix("http://").unwrap()).is_err());
}

#[test]
fn credentials_are_written_for_their_owner_alone() {
    let bucket = Bucket::start();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credentials");
    std::fs::write(&path, "older").unwrap();
    let keeper = bucket.keeper();
    keeper.write_credentials(&path);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let text = std::fs::read_to_string(&path).unwrap();
    let expected =
        format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", keeper.key, keeper.secret);
    assert_eq!(text, expected);
}
