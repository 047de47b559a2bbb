//! The harness's proxy before a store: each fault does what it says, and nothing else does.

use std::net::TcpStream;

use serde_json::{Value, json};

use crate::harness::boto::{Answer, Boto};
use crate::harness::bucket::{Bucket, Login};
use crate::harness::proxy::{Fault, Proxy, Rule};
use crate::harness::radosgw::Radosgw;

/// A store, a proxy before it, and a client of the proxy.
struct Line {
    boto: Boto,
    login: Login,
    proxy: Proxy,
    bucket: Bucket,
}

impl Line {
    /// None, and a skip: there is no boto3.
    fn start() -> Option<Self> {
        let boto = Boto::start()?;
        let bucket = Bucket::start();
        let proxy = Proxy::before(&bucket.login().endpoint);
        let login = bucket.login().by(&proxy.endpoint());
        Some(Self { boto, login, proxy, bucket })
    }

    fn put(&mut self, key: &str, text: &str) -> Answer {
        self.boto.send(&self.login, "put_object", json!({"Key": key}), text, 1)
    }

    fn ask(&mut self, op: &str, args: Value) -> Answer {
        self.boto.ask(&self.login, op, args)
    }

    fn get(&mut self, key: &str) -> Answer {
        self.ask("get_object", json!({"Key": key}))
    }

    /// The requests so far: method, key, query, status.
    fn seen(&self) -> Vec<String> {
        let bucket = format!("/{}/", self.login.bucket);
        let line = |seen: &crate::harness::proxy::Seen| {
            let status = seen.status.map_or_else(|| "none".to_owned(), |status| status.to_string());
            format!("{} {}?{} {status}", seen.method, seen.path.strip_prefix(&bucket).unwrap(), seen.query)
        };
        self.proxy.requests().iter().map(line).collect()
    }
}

#[test]
fn what_no_rule_strikes_passes_as_it_came() {
    let Some(mut line) = Line::start() else { return };
    line.proxy.add(Rule::new(Fault::Answer(500, "InternalError")).method("PUT").key("/other"));
    let args = json!({"Key": "big"});
    assert_eq!(line.boto.send(&line.login, "put_object", args, "0123456789", 1 << 20).status, 200);
    let got = line.get("big");
    assert!(got.said["Body"].as_str().unwrap() == "0123456789".repeat(1 << 20), "{} bytes", got.said["ContentLength"]);
    assert_eq!(line.ask("head_object", json!({"Key": "big"})).said["ContentLength"], 10 << 20);
    assert_eq!(line.get("nothing").code.as_deref(), Some("NoSuchKey"));
    assert_eq!(line.put("other", "x").status, 500);
    assert_eq!(line.put("other", "x").status, 200);
    assert_eq!(line.ask("delete_object", json!({"Key": "other"})).status, 204);
    let seen =
        ["PUT big? 200", "GET big? 200", "HEAD big? 200", "GET nothing? 404", "PUT other? 500", "PUT other? 200"];
    assert_eq!(line.seen()[..6], seen);
}

#[test]
fn a_store_answers_what_the_script_says_as_often_as_it_says() {
    let Some(mut line) = Line::start() else { return };
    line.proxy.add(Rule::new(Fault::Answer(503, "SlowDown")).method("PUT").after(1).times(2));
    line.proxy.add(Rule::new(Fault::Answer(403, "InvalidAccessKeyId")).method("GET").always());
    line.proxy.add(Rule::new(Fault::Answer(404, "NoSuchKey")).method("HEAD"));
    let puts = [1, 2, 3, 4].map(|number| line.put(&format!("{number}"), "x"));
    assert_eq!(
        puts.map(|put| (put.status, put.code.unwrap_or_default())),
        [(200, String::new()), (503, "SlowDown".to_owned()), (503, "SlowDown".to_owned()), (200, String::new())]
    );
    assert_eq!(line.bucket.keys().into_keys().collect::<Vec<_>>(), ["1", "4"]);
    for _ in 0..3 {
        assert_eq!(line.get("1").code.as_deref(), Some("InvalidAccessKeyId"));
    }
    assert_eq!(line.ask("head_object", json!({"Key": "1"})).status, 404);
    assert_eq!(line.ask("head_object", json!({"Key": "1"})).status, 200);
}

#[test]
fn parts_and_uploads_are_struck_by_their_queries() {
    let Some(mut line) = Line::start() else { return };
    line.proxy.add(Rule::new(Fault::Answer(500, "InternalError")).query("partNumber=2"));
    line.proxy.add(Rule::new(Fault::Answer(200, "InternalError")).method("POST").query("uploadId="));
    let id = line.ask("create_multipart_upload", json!({"Key": "x"})).said["UploadId"].clone();
    let mut part = |number| {
        let args = json!({"Key": "x", "UploadId": id, "PartNumber": number});
        line.boto.send(&line.login, "upload_part", args, "a", 5 << 20)
    };
    let first = part(1);
    assert_eq!([first.status, part(2).status, part(2).status], [200, 500, 200]);
    let parts = json!({"Parts": [{"PartNumber": 1, "ETag": first.said["ETag"]}]});
    let args = json!({"Key": "x", "UploadId": id, "MultipartUpload": parts});
    assert_eq!(line.ask("complete_multipart_upload", args.clone()).code.as_deref(), Some("InternalError"));
    assert_eq!(line.seen().last().unwrap().rsplit(' ').next(), Some("200"));
    assert_eq!(line.bucket.read("x"), None);
    assert_eq!(line.ask("complete_multipart_upload", args).code, None);
    assert_eq!(line.bucket.read("x").unwrap().len(), 5 << 20);
}

#[test]
fn bodies_are_cut_and_changed() {
    let Some(mut line) = Line::start() else { return };
    line.bucket.write("x", &b"0123456789".repeat(1 << 15));
    for cut in [0, 1, 70_000] {
        line.proxy.add(Rule::new(Fault::CutAnswer(cut)).method("GET"));
        let got = line.get("x");
        assert_eq!((got.status, got.code.is_some()), (0, true), "cut at {cut}: {got:?}");
    }
    line.proxy.add(Rule::new(Fault::WrongByte(70_001)).method("GET"));
    let got = line.get("x");
    let differ = |got: &Answer| {
        let body = got.said["Body"].as_str().unwrap().as_bytes();
        assert_eq!(body.len(), 10 << 15);
        (0..body.len()).filter(|at| body[*at] != b"0123456789"[at % 10]).collect::<Vec<_>>()
    };
    assert_eq!(differ(&got), [70_001]);
    assert_eq!(differ(&line.get("x")), [0; 0]);
    line.proxy.add(Rule::new(Fault::ETag("another")).method("HEAD"));
    assert_eq!(line.ask("head_object", json!({"Key": "x"})).said["ETag"], "\"another\"");

    line.proxy.add(Rule::new(Fault::CutRequest(100)).method("PUT").key("/y"));
    let cut = line.boto.send(&line.login, "put_object", json!({"Key": "y"}), "y", 1 << 20);
    assert_eq!((cut.status, cut.code.is_some(), line.bucket.read("y")), (0, true, None), "{cut:?}");
    line.proxy.add(Rule::new(Fault::LoseAnswer).method("PUT").key("/z"));
    let lost = line.put("z", "zz");
    assert_eq!((lost.status, lost.code.is_some()), (0, true), "{lost:?}");
    assert_eq!(line.bucket.read("z").unwrap(), b"zz");
    assert_eq!(line.seen()[6..], ["PUT y? none", "PUT z? none"]);
}

#[test]
fn a_request_or_its_answer_is_held_until_the_test_says_so() {
    let Some(line) = Line::start() else { return };
    let Line { mut boto, login, proxy, bucket } = line;
    proxy.add(Rule::new(Fault::HoldRequest).method("PUT").key("/asked"));
    proxy.add(Rule::new(Fault::HoldAnswer).method("PUT").key("/done"));
    std::thread::scope(|scope| {
        let both = scope
            .spawn(|| ["asked", "done"].map(|key| boto.send(&login, "put_object", json!({"Key": key}), "x", 1).status));
        assert_eq!(proxy.arrived("PUT", "/asked", "").status, None);
        assert!(bucket.keys().is_empty());
        proxy.release();
        proxy.arrived("PUT", "/done", "");
        crate::harness::wait_for("the store to have it", || bucket.read("done"));
        assert_eq!(proxy.requests()[1].status, None);
        proxy.release();
        assert_eq!(both.join().unwrap(), [200, 200]);
    });
}

/// Its answers have no length at times, and it checks that the host is the one that was signed.
#[test]
fn faults_strike_before_a_real_store_too() {
    let Some(store) = Radosgw::shared() else { return };
    let Some(mut boto) = Boto::start() else { return };
    let bucket = store.bucket();
    let proxy = Proxy::before(&bucket.login().endpoint);
    let login = bucket.login().by(&proxy.endpoint());
    proxy.add(Rule::new(Fault::LoseAnswer).method("PUT").key("/lost"));
    proxy.add(Rule::new(Fault::CutRequest(10)).method("PUT").key("/cut"));
    let put = |boto: &mut Boto, key| boto.send(&login, "put_object", json!({"Key": key}), "0123456789", 1000).status;
    assert_eq!(["kept", "lost", "cut"].map(|key| put(&mut boto, key)), [200, 0, 0]);
    assert_eq!(put(&mut boto, "with a space+and more/ü"), 200);
    let keys = [("kept", 10_000), ("lost", 10_000), ("with a space+and more/ü", 10_000)];
    assert_eq!(boto.keys(&login), keys.map(|(key, size)| (key.to_owned(), size)).into());
    assert_eq!(boto.read(&login, "lost").unwrap(), b"0123456789".repeat(1000));
    assert_eq!(boto.read(&login, "cut"), None);
    proxy.add(Rule::new(Fault::CutAnswer(9_999)).method("GET").key("/kept"));
    assert_eq!(boto.ask(&login, "get_object", json!({"Key": "kept"})).status, 0);
    // A listing comes in chunks.
    proxy.add(Rule::new(Fault::CutAnswer(100)).method("GET").query("list-type=2"));
    assert_eq!(boto.ask(&login, "list_objects_v2", json!({})).status, 0);
    assert_eq!(boto.keys(&login).len(), 3);
}

#[test]
fn a_client_that_leaves_is_not_held() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(&bucket.login().endpoint);
    proxy.add(Rule::new(Fault::HoldRequest));
    let mut client = TcpStream::connect(proxy.endpoint().strip_prefix("http://").unwrap()).unwrap();
    std::io::Write::write_all(&mut client, b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    proxy.arrived("GET", "/x", "");
    drop(client);
    crate::harness::wait_for("the connection to be closed", || (proxy.connections() == 0).then_some(()));
}

#[test]
fn a_store_is_down_and_comes_back_at_its_address() {
    let Some(mut line) = Line::start() else { return };
    assert_eq!(line.put("x", "1").status, 200);
    line.proxy.down();
    assert_eq!((line.get("x").status, line.seen().len()), (0, 1));
    line.proxy.up();
    assert_eq!(line.get("x").said["Body"], "1");
}

#[test]
fn a_client_is_sent_elsewhere() {
    let Some(mut line) = Line::start() else { return };
    line.proxy.add(Rule::new(Fault::Redirect(307, "http://127.0.0.1:9".to_owned())).key("/x").always());
    let sent = line.get("x");
    assert_eq!((sent.status, sent.code.as_deref()), (307, Some("TemporaryRedirect")), "{sent:?}");
}

#[test]
#[should_panic(expected = "no such request came, or not as often: LoseAnswer for PUT …/x…?……")]
fn a_rule_that_is_not_used_up_fails_its_test() {
    let bucket = Bucket::start();
    let proxy = Proxy::before(&bucket.login().endpoint);
    proxy.add(Rule::new(Fault::LoseAnswer).method("PUT").key("/x"));
}
