//! What a store of S3 answers: the same cases for the tests' own (`harness::bucket`) and for a real one, Ceph's radosgw.
//!
//! The client is boto3, which shares nothing with ours. A case states a fact that a backup in a bucket relies on. Where the two differ, the case
//! says how, and the tests' own does as AWS documents it. Seen with radosgw 18.2.7:
//!
//! | request | the tests' own | radosgw |
//! | --- | --- | --- |
//! | PUT with `If-None-Match: *` in a bucket with versions, where the key is taken | (has no versions) | 200, a new version |
//! | PUT with `If-Match` and the object's `ETag` in its quotes | 200 | 412; 200 without them |
//! | PUT with `If-Match`, and there is no such key | 404 `NoSuchKey` | 412 |
//! | `CompleteMultipartUpload` with `If-None-Match: *`, where the key is taken | 412 | 200, the object is replaced |
//! | `CompleteMultipartUpload`: the `ETag` in its answer | in quotes, as in HEAD | without them |
//! | the same again | the same answer | 200, and an empty `ETag`; once the object is another one, 500 |
//! | the same for an upload that was aborted, or never was | 404 `NoSuchUpload` | 500 `InternalError` |
//! | the same with its parts in another order than their numbers' | 400 `InvalidPartOrder` | 200, in the order of their numbers |
//! | a wrong `x-amz-checksum-sha256` | 400 `BadDigest` | 200; no checksum is looked at, kept or told |

/// Makes a test of each case on each store.
macro_rules! on_both_stores {
    ($($case:ident),* $(,)?) => { $(
        mod $case {
            use crate::contract::store;

            #[test]
            fn in_process() {
                store::in_process(super::$case);
            }

            #[test]
            fn radosgw() {
                store::on_radosgw(super::$case);
            }
        }
    )* };
}

mod objects;
mod refusals;
mod uploads;

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::harness::boto::{Answer, Boto};
use crate::harness::bucket::{Bucket, Login};
use crate::harness::radosgw::Radosgw;
use crate::harness::stand::is_wanted;

/// A store under test, with an empty bucket.
struct Bench<'a> {
    boto: &'a mut Boto,
    owner: Login,
    keeper: Login,
    reader: Login,
    is_real: bool,
}

fn in_process(case: fn(&mut Bench<'_>)) {
    if is_wanted("fakes") {
        let bucket = Bucket::start();
        let [owner, keeper, reader] = [bucket.login().clone(), bucket.keeper(), bucket.reader()];
        with_boto(|boto| case(&mut Bench { boto, owner, keeper, reader, is_real: false }));
    }
}

fn on_radosgw(case: fn(&mut Bench<'_>)) {
    if let Some(store) = Radosgw::shared() {
        let bucket = store.bucket();
        let [owner, keeper, reader] = [bucket.login().clone(), bucket.keeper(), bucket.reader()];
        with_boto(|boto| case(&mut Bench { boto, owner, keeper, reader, is_real: true }));
    }
}

/// Lends a client to a case. A new one takes a second, so it is kept for the next, unless the case fails; it ends with this process, as its
/// input does.
fn with_boto(work: impl FnOnce(&mut Boto)) {
    static FREE: Mutex<Vec<Boto>> = Mutex::new(Vec::new());
    let free = FREE.lock().unwrap().pop();
    if let Some(mut boto) = free.or_else(Boto::start) {
        work(&mut boto);
        FREE.lock().unwrap().push(boto);
    }
}

impl Bench<'_> {
    fn ask(&mut self, op: &str, args: Value) -> Answer {
        self.boto.ask(&self.owner, op, args)
    }

    fn put(&mut self, key: &str, text: &str) -> Answer {
        self.boto.send(&self.owner, "put_object", json!({"Key": key}), text, 1)
    }

    fn get(&mut self, key: &str) -> Answer {
        self.ask("get_object", json!({"Key": key}))
    }

    /// Begins an upload, and gives its id.
    fn begin(&mut self, key: &str) -> String {
        let begun = self.ask("create_multipart_upload", json!({"Key": key}));
        begun.said["UploadId"].as_str().unwrap().to_owned()
    }

    /// Sends a part of so many letters, and gives what completes it.
    fn part(&mut self, key: &str, id: &str, number: u64, letter: &str, length: usize) -> Value {
        let args = json!({"Key": key, "UploadId": id, "PartNumber": number});
        let taken = self.boto.send(&self.owner, "upload_part", args, letter, length);
        assert_eq!(taken.status, 200, "{taken:?}");
        json!({"PartNumber": number, "ETag": taken.said["ETag"]})
    }

    fn complete(&mut self, key: &str, id: &str, parts: &[Value]) -> Answer {
        let args = json!({"Key": key, "UploadId": id, "MultipartUpload": {"Parts": parts}});
        self.ask("complete_multipart_upload", args)
    }

    fn uploads(&mut self) -> Vec<String> {
        self.boto.uploads(&self.owner)
    }
}

impl Answer {
    /// Requires this status and this code.
    #[track_caller]
    fn is(&self, status: u64, code: &str) {
        assert_eq!((self.status, self.code.as_deref()), (status, Some(code)), "{self:?}");
    }

    /// Requires this status and no error.
    #[track_caller]
    fn is_good(&self, status: u64) -> &Self {
        assert_eq!((self.status, self.code.as_deref()), (status, None), "{self:?}");
        self
    }
}

/// What each of a list has under a name; nothing if there is no list.
fn names(list: &Value, name: &str) -> Vec<String> {
    let items = list.as_array().map(Vec::as_slice).unwrap_or_default();
    items.iter().map(|item| item[name].as_str().unwrap().to_owned()).collect()
}
