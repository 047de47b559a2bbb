//! The harness's own store: what a test can rely on. What it answers to a client, `contract::store` compares with a real store's.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

use dbcalm_db_cmd::bucket::Patience;
use dbcalm_db_cmd::model::Remote;

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

/// Our own client, which asks for a thousand at once.
#[test]
fn uploads_are_found_and_aborted_however_many_are_open() {
    let bucket = Bucket::start();
    let dir = tempfile::tempdir().unwrap();
    let login = bucket.login();
    login.write_credentials(&dir.path().join("credentials"));
    for number in 0..2_500 {
        bucket.begin(&format!("db1/v1/full-{}/x", number / 3));
        bucket.begin(&format!("db2/v1/full-{number}/x"));
    }
    let remote = Remote {
        bucket: login.bucket.clone(),
        prefix: "db1".to_owned(),
        endpoint: Some(login.endpoint.clone()),
        region: None,
        path_style: true,
        ca: None,
        credentials: Some(dir.path().join("credentials")),
    };
    let client = dbcalm_db_cmd::bucket::Bucket::open(&remote, Patience::SHORT).unwrap();
    let found = client.uploads("db1/v1/").unwrap();
    let each: BTreeSet<_> = found.iter().map(|upload| &upload.id).collect();
    assert_eq!((found.len(), each.len()), (2_500, 2_500));
    let of_one = client.uploads("db1/v1/full-832/").unwrap();
    assert_eq!(of_one.len(), 3);
    for upload in of_one.iter().chain(&of_one) {
        client.abort(upload).unwrap();
    }
    assert_eq!(bucket.uploads().len(), 4_997);
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
