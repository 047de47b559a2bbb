//! Objects: put, got, listed, deleted.

use serde_json::{Value, json};

use super::{Bench, names};

on_both_stores![
    what_is_put_is_there,
    a_key_is_taken_once,
    of_many_at_once_one_takes_a_key,
    an_object_is_replaced_only_if_it_is_the_one_that_is_named,
    an_object_is_read_only_if_it_is_the_one_that_is_named,
    a_part_of_an_object_is_read,
    keys_are_listed_by_pages_and_folded,
    a_deleted_key_is_gone_and_may_be_deleted_again,
];

fn what_is_put_is_there(store: &mut Bench<'_>) {
    store.get("a/b").is(404, "NoSuchKey");
    // To HEAD there is no body that could say more.
    store.ask("head_object", json!({"Key": "a/b"})).is(404, "404");
    // The MD5 of "one", which an object of one piece has as its ETag.
    let e_tag = "\"f97c5d29941bfb1b2fdab0874906ab82\"";
    assert_eq!(store.put("a/b", "one").is_good(200).said["ETag"], e_tag);
    let got = store.get("a/b");
    assert_eq!((&got.said["Body"], &got.said["ETag"]), (&json!("one"), &json!(e_tag)), "{got:?}");
    let head = store.ask("head_object", json!({"Key": "a/b"}));
    assert_eq!((&head.said["ContentLength"], &head.said["ETag"]), (&json!(3), &json!(e_tag)), "{head:?}");
    store.put("a/b", "another").is_good(200);
    assert_eq!(store.get("a/b").said["Body"], "another");
}

fn a_key_is_taken_once(store: &mut Bench<'_>) {
    let once = json!({"Key": "backup.json", "IfNoneMatch": "*"});
    let mut put = |text| store.boto.send(&store.owner, "put_object", once.clone(), text, 1);
    put("first").is_good(200);
    put("second").is(412, "PreconditionFailed");
    assert_eq!(store.get("backup.json").said["Body"], "first");
}

fn of_many_at_once_one_takes_a_key(store: &mut Bench<'_>) {
    for round in 0..5 {
        let once = json!({"Key": format!("{round}/backup.json"), "IfNoneMatch": "*"});
        let counts = store.boto.race(&store.owner, "put_object", once, "x", 12);
        let expected = [("PreconditionFailed".to_owned(), 11), ("done".to_owned(), 1)];
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), expected);
    }
}

fn an_object_is_replaced_only_if_it_is_the_one_that_is_named(store: &mut Bench<'_>) {
    let e_tag = store.put("x", "first").said["ETag"].clone();
    let mut put = |key, e_tag: &Value, text| {
        store.boto.send(&store.owner, "put_object", json!({"Key": key, "IfMatch": e_tag}), text, 1)
    };
    put("x", &json!("\"0123456789abcdef0123456789abcdef\""), "second").is(412, "PreconditionFailed");
    let to_its_own = put("x", &e_tag, "second");
    if store.is_real {
        // To PUT, an ETag in quotes is another one.
        to_its_own.is(412, "PreconditionFailed");
        put("x", &json!(e_tag.as_str().unwrap().trim_matches('"')), "second").is_good(200);
    } else {
        to_its_own.is_good(200);
    }
    let to_nothing = put("nothing", &e_tag, "third");
    if store.is_real {
        to_nothing.is(412, "PreconditionFailed");
    } else {
        to_nothing.is(404, "NoSuchKey");
    }
    assert_eq!(store.get("x").said["Body"], "second");
}

fn an_object_is_read_only_if_it_is_the_one_that_is_named(store: &mut Bench<'_>) {
    let e_tag = store.put("x", "first").said["ETag"].clone();
    store.ask("get_object", json!({"Key": "x", "IfMatch": e_tag})).is_good(200);
    store.put("x", "second");
    store.ask("get_object", json!({"Key": "x", "IfMatch": e_tag})).is(412, "PreconditionFailed");
    store.ask("get_object", json!({"Key": "x", "IfMatch": e_tag, "Range": "bytes=1-2"})).is(412, "PreconditionFailed");
    store.ask("head_object", json!({"Key": "x", "IfMatch": e_tag})).is(412, "412");
}

fn a_part_of_an_object_is_read(store: &mut Bench<'_>) {
    store.put("x", "0123456789");
    for (range, body, said) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let got = store.ask("get_object", json!({"Key": "x", "Range": range}));
        got.is_good(206);
        assert_eq!((&got.said["Body"], &got.said["ContentRange"]), (&json!(body), &json!(said)), "{got:?}");
    }
    store.ask("get_object", json!({"Key": "x", "Range": "bytes=10-"})).is(416, "InvalidRange");
}

fn keys_are_listed_by_pages_and_folded(store: &mut Bench<'_>) {
    for key in ["p/v1/a/1", "p/v1/a/2", "p/v1/a.b/1", "p/v1/b/backup.json", "p/v1/c", "q/v1/z"] {
        store.put(key, key);
    }
    let all = store.ask("list_objects_v2", json!({"Prefix": "p/v1/"}));
    assert_eq!(
        names(&all.said["Contents"], "Key"),
        ["p/v1/a.b/1", "p/v1/a/1", "p/v1/a/2", "p/v1/b/backup.json", "p/v1/c"]
    );
    assert_eq!(all.said["Contents"][4]["Size"], 6);
    let folded = json!({"Prefix": "p/v1/", "Delimiter": "/"});
    let (mut found, mut token, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let mut args = json!({"Prefix": "p/v1/", "Delimiter": "/", "MaxKeys": 2});
        if !token.is_null() {
            args["ContinuationToken"] = token;
        }
        let page = store.ask("list_objects_v2", args);
        found.extend(names(&page.said["CommonPrefixes"], "Prefix"));
        found.extend(names(&page.said["Contents"], "Key"));
        pages += 1;
        token = page.said["NextContinuationToken"].clone();
        if page.said["IsTruncated"] == false {
            break;
        }
    }
    assert_eq!((found, pages), (["p/v1/a.b/", "p/v1/a/", "p/v1/b/", "p/v1/c"].map(str::to_owned).to_vec(), 2));
    let first_version = store.ask("list_objects", folded);
    assert_eq!(names(&first_version.said["CommonPrefixes"], "Prefix"), ["p/v1/a.b/", "p/v1/a/", "p/v1/b/"]);
    let behind = store.ask("list_objects_v2", json!({"StartAfter": "p/v1/b/backup.json"}));
    assert_eq!(names(&behind.said["Contents"], "Key"), ["p/v1/c", "q/v1/z"]);
    let nothing = store.ask("list_objects_v2", json!({"Prefix": "r/"}));
    assert_eq!((nothing.status, &nothing.said["KeyCount"]), (200, &json!(0)));
}

fn a_deleted_key_is_gone_and_may_be_deleted_again(store: &mut Bench<'_>) {
    store.put("x", "1");
    store.ask("delete_object", json!({"Key": "x"})).is_good(204);
    store.ask("delete_object", json!({"Key": "x"})).is_good(204);
    store.get("x").is(404, "NoSuchKey");
    store.put("y", "2");
    let both = store.ask("delete_objects", json!({"Delete": {"Objects": [{"Key": "x"}, {"Key": "y"}]}}));
    assert_eq!(names(&both.is_good(200).said["Deleted"], "Key"), ["x", "y"]);
    store.get("y").is(404, "NoSuchKey");
}
