//! Multipart uploads.

use serde_json::json;

use super::{Bench, names};

on_both_stores![
    parts_become_an_object,
    a_completed_upload_is_completed_again,
    a_key_is_taken_once_by_an_upload_too,
    an_upload_that_is_aborted_leaves_nothing,
    a_part_that_is_too_small_or_another_is_refused,
    open_uploads_are_listed,
];

/// The least length of a part that is not the last one.
const PART: usize = 5 << 20;

fn parts_become_an_object(store: &mut Bench<'_>) {
    let id = store.begin("big");
    // In whatever order they come, and the last one sent counts.
    let second = store.part("big", &id, 2, "b", 3);
    store.part("big", &id, 1, "z", PART);
    let first = store.part("big", &id, 1, "a", PART);
    store.get("big").is(404, "NoSuchKey");
    assert_eq!(store.uploads(), ["big"]);
    let done = store.complete("big", &id, &[first, second]);
    let e_tag = done.is_good(200).said["ETag"].as_str().unwrap();
    let quotes = if store.is_real { "" } else { "\"" };
    assert!(e_tag.starts_with(quotes) && e_tag.ends_with(&format!("-2{quotes}")), "{done:?}");
    let got = store.get("big");
    let e_tag = format!("\"{}\"", e_tag.trim_matches('"'));
    assert_eq!((&got.said["ContentLength"], &got.said["ETag"]), (&json!(PART + 3), &json!(e_tag)));
    assert!(got.said["Body"].as_str().unwrap() == "a".repeat(PART) + "bbb", "other bytes");
    assert_eq!(store.uploads(), [""; 0]);
}

/// A client whose answer was lost asks again.
fn a_completed_upload_is_completed_again(store: &mut Bench<'_>) {
    let id = store.begin("x");
    let part = store.part("x", &id, 1, "a", 3);
    let first = store.complete("x", &id, std::slice::from_ref(&part));
    first.is_good(200);
    let again = store.complete("x", &id, &[part]);
    let e_tag = if store.is_real { &json!("") } else { &first.said["ETag"] };
    assert_eq!(&again.is_good(200).said["ETag"], e_tag);
    store.ask("abort_multipart_upload", json!({"Key": "x", "UploadId": id})).is(404, "NoSuchUpload");
    store.get("x").is_good(200);
}

fn a_key_is_taken_once_by_an_upload_too(store: &mut Bench<'_>) {
    store.put("x", "first");
    let id = store.begin("x");
    let part = store.part("x", &id, 1, "a", 3);
    let args = json!({"Key": "x", "UploadId": id, "MultipartUpload": {"Parts": [part]}, "IfNoneMatch": "*"});
    let done = store.ask("complete_multipart_upload", args);
    if store.is_real {
        // It does not look at the condition, and replaces what is there.
        done.is_good(200);
        assert_eq!(store.get("x").said["Body"], "aaa");
    } else {
        done.is(412, "PreconditionFailed");
        assert_eq!(store.get("x").said["Body"], "first");
    }
}

fn an_upload_that_is_aborted_leaves_nothing(store: &mut Bench<'_>) {
    let id = store.begin("x");
    let part = store.part("x", &id, 1, "a", 3);
    store.ask("abort_multipart_upload", json!({"Key": "x", "UploadId": id})).is_good(204);
    store.ask("abort_multipart_upload", json!({"Key": "x", "UploadId": id})).is(404, "NoSuchUpload");
    let done = store.complete("x", &id, &[part]);
    // "This multipart completion is already in progress".
    if store.is_real {
        done.is(500, "InternalError");
    } else {
        done.is(404, "NoSuchUpload");
    }
    let args = json!({"Key": "x", "UploadId": id, "PartNumber": 2});
    store.boto.send(&store.owner, "upload_part", args, "a", 3).is(404, "NoSuchUpload");
    assert_eq!(store.uploads(), [""; 0]);
    store.get("x").is(404, "NoSuchKey");
}

fn a_part_that_is_too_small_or_another_is_refused(store: &mut Bench<'_>) {
    let id = store.begin("x");
    let (small, last) = (store.part("x", &id, 1, "a", PART - 1), store.part("x", &id, 2, "b", 1));
    store.complete("x", &id, &[small, last.clone()]).is(400, "EntityTooSmall");
    // The upload is there all the same, and the part can be sent again.
    let enough = store.part("x", &id, 1, "a", PART);
    let other = json!({"PartNumber": 2, "ETag": "\"0123456789abcdef0123456789abcdef\""});
    store.complete("x", &id, &[enough.clone(), other]).is(400, "InvalidPart");
    let turned = store.complete("x", &id, &[last.clone(), enough.clone()]);
    if store.is_real {
        turned.is_good(200);
    } else {
        turned.is(400, "InvalidPartOrder");
        store.complete("x", &id, &[enough, last]).is_good(200);
    }
    let ends = store.ask("get_object", json!({"Key": "x", "Range": format!("bytes={}-", PART - 2)}));
    assert_eq!(ends.said["Body"], "aab");
}

fn open_uploads_are_listed(store: &mut Bench<'_>) {
    let ids = ["p/a", "p/b", "q/a"].map(|key| (key, store.begin(key)));
    store.part("p/a", &ids[0].1, 1, "a", 3);
    let listed = store.ask("list_multipart_uploads", json!({"Prefix": "p/"}));
    let found = &listed.said["Uploads"];
    assert_eq!(names(found, "Key"), ["p/a", "p/b"]);
    assert_eq!(names(found, "UploadId"), [ids[0].1.clone(), ids[1].1.clone()]);
    assert!(found[0]["Initiated"].is_string(), "{listed:?}");
    let first = store.ask("list_multipart_uploads", json!({"MaxUploads": 2}));
    assert_eq!(
        (names(&first.said["Uploads"], "Key"), &first.said["IsTruncated"]),
        (vec!["p/a".to_owned(), "p/b".to_owned()], &json!(true))
    );
    let markers = json!({"KeyMarker": first.said["NextKeyMarker"], "UploadIdMarker": first.said["NextUploadIdMarker"]});
    let second = store.ask("list_multipart_uploads", markers);
    assert_eq!(names(&second.said["Uploads"], "Key"), ["q/a"]);
}
