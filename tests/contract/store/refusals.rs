//! What is refused, to whom, and for which checksums; and what a locked bucket refuses.

use serde_json::{Value, json};

use super::{Bench, names, with_boto};
use crate::harness::bucket::Login;
use crate::harness::radosgw::Radosgw;

on_both_stores![
    who_may_not_delete_does_not,
    who_may_only_read_does_not_write,
    a_wrong_login_and_a_wrong_bucket_are_told,
    a_wrong_checksum,
    a_body_that_is_not_the_signed_one_is_refused,
];

fn who_may_not_delete_does_not(store: &mut Bench<'_>) {
    let keeper = store.keeper.clone();
    store.boto.send(&keeper, "put_object", json!({"Key": "x"}), "1", 1).is_good(200);
    store.boto.ask(&keeper, "delete_object", json!({"Key": "x"})).is(403, "AccessDenied");
    let many = json!({"Delete": {"Objects": [{"Key": "x"}]}});
    store.boto.ask(&keeper, "delete_objects", many).is(403, "AccessDenied");
    assert_eq!(store.boto.ask(&keeper, "get_object", json!({"Key": "x"})).said["Body"], "1");
    // What was not completed is no object, and may be taken back.
    let begun = store.boto.ask(&keeper, "create_multipart_upload", json!({"Key": "y"}));
    let id = begun.is_good(200).said["UploadId"].clone();
    assert_eq!(names(&store.boto.ask(&keeper, "list_multipart_uploads", json!({})).said["Uploads"], "Key"), ["y"]);
    store.boto.ask(&keeper, "abort_multipart_upload", json!({"Key": "y", "UploadId": id})).is_good(204);
}

fn who_may_only_read_does_not_write(store: &mut Bench<'_>) {
    store.put("x", "1");
    let reader = store.reader.clone();
    store.boto.ask(&reader, "get_object", json!({"Key": "x"})).is_good(200);
    store.boto.ask(&reader, "list_objects_v2", json!({})).is_good(200);
    store.boto.send(&reader, "put_object", json!({"Key": "x"}), "2", 1).is(403, "AccessDenied");
    store.boto.ask(&reader, "create_multipart_upload", json!({"Key": "y"})).is(403, "AccessDenied");
    store.boto.ask(&reader, "delete_object", json!({"Key": "x"})).is(403, "AccessDenied");
    assert_eq!(store.get("x").said["Body"], "1");
}

fn a_wrong_login_and_a_wrong_bucket_are_told(store: &mut Bench<'_>) {
    let owner = store.owner.clone();
    let mut ask = |login: Login| store.boto.ask(&login, "list_objects_v2", json!({}));
    ask(Login { secret: "another".to_owned(), ..owner.clone() }).is(403, "SignatureDoesNotMatch");
    ask(Login { key: "AKIAOFNOBODY00000000".to_owned(), ..owner.clone() }).is(403, "InvalidAccessKeyId");
    ask(Login { bucket: "no-such-bucket".to_owned(), ..owner }).is(404, "NoSuchBucket");
}

fn a_wrong_checksum(store: &mut Bench<'_>) {
    // That of "one", and what is sent is "two".
    let checksum = "dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0=";
    let wrong = json!({"Key": "x", "ChecksumSHA256": checksum});
    let said = store.boto.send(&store.owner, "put_object", wrong, "two", 1);
    let wrong_md5 = json!({"Key": "y", "ContentMD5": "+XxdKZQb+xsv2rCHSQargg=="});
    store.boto.send(&store.owner, "put_object", wrong_md5, "two", 1).is(400, "BadDigest");
    store.get("y").is(404, "NoSuchKey");
    if store.is_real {
        // It takes no notice of the checksum.
        said.is_good(200);
        assert_eq!(store.get("x").said["Body"], "two");
    } else {
        said.is(400, "BadDigest");
        store.get("x").is(404, "NoSuchKey");
    }
    let right = json!({"Key": "z", "ChecksumSHA256": checksum});
    store.boto.send(&store.owner, "put_object", right, "one", 1).is_good(200);
    let head = store.ask("head_object", json!({"Key": "z", "ChecksumMode": "ENABLED"}));
    let told = if store.is_real { Value::Null } else { json!(checksum) };
    assert_eq!(head.said["ChecksumSHA256"], told, "{head:?}");
}

fn a_body_that_is_not_the_signed_one_is_refused(store: &mut Bench<'_>) {
    let said = store.boto.exchange(&store.owner, "put_object", json!({"Key": "x"}), "one", "two");
    said.is(400, "XAmzContentSHA256Mismatch");
    store.get("x").is(404, "NoSuchKey");
    let id = store.begin("y");
    let args = json!({"Key": "y", "UploadId": id, "PartNumber": 1});
    let said = store.boto.exchange(&store.owner, "upload_part", args, "one", "two");
    said.is(400, "XAmzContentSHA256Mismatch");
}

/// A bucket with versions and object lock, which the tests' own is not.
#[test]
fn a_locked_bucket_of_radosgw_keeps_everything_and_takes_a_key_twice() {
    let Some(store) = Radosgw::shared() else { return };
    let login = store.locked_bucket().login().clone();
    with_boto(|boto| {
        let locked =
            json!({"Key": "x", "ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": "2199-01-01T00:00:00Z"});
        let first = boto.send(&login, "put_object", locked, "first", 1);
        let version = first.is_good(200).said["VersionId"].clone();
        let once = json!({"Key": "x", "IfNoneMatch": "*"});
        // Without versions that is 412.
        boto.send(&login, "put_object", once.clone(), "second", 1).is_good(200);
        assert_eq!(boto.ask(&login, "get_object", json!({"Key": "x"})).said["Body"], "second");
        let counts = boto.race(&login, "put_object", json!({"Key": "y", "IfNoneMatch": "*"}), "y", 4);
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [("done".to_owned(), 4)]);

        boto.ask(&login, "delete_object", json!({"Key": "x", "VersionId": version})).is(403, "AccessDenied");
        // That hides it, and every version is there.
        boto.ask(&login, "delete_object", json!({"Key": "x"})).is_good(204);
        boto.ask(&login, "get_object", json!({"Key": "x"})).is(404, "NoSuchKey");
        let old = boto.ask(&login, "get_object", json!({"Key": "x", "VersionId": version}));
        assert_eq!(old.is_good(200).said["Body"], "first");
        boto.send(&login, "put_object", once, "third", 1).is_good(200);
        let versions = boto.ask(&login, "list_object_versions", json!({"Prefix": "x"}));
        assert_eq!(
            (names(&versions.said["Versions"], "Key").len(), names(&versions.said["DeleteMarkers"], "Key").len()),
            (3, 1)
        );
    });
}
