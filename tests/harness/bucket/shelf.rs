//! What a bucket holds, and what each request does to it: all of a request at one moment, under the lock.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Mutex;
use std::time::SystemTime;

use hyper::body::Bytes;
use s3s::crypto::{Checksum as _, Md5};
use s3s::dto::{Checksum, ETag, ETagCondition, Metadata};
use s3s::{S3Result, s3_error};

/// A part that is not an upload's last one has at least this length: 5 MiB, as everywhere.
const LEAST_PART: usize = 5 << 20;

/// The contents, behind their lock.
pub(super) type Shelf = Mutex<State>;

#[derive(Default)]
pub(super) struct State {
    pub(super) objects: BTreeMap<String, Object>,
    /// By their ids.
    pub(super) uploads: BTreeMap<String, Upload>,
    /// The completed ones: who completes one again is told the same (AWS and radosgw do so).
    completed: BTreeMap<String, (String, String)>,
    /// Whether what is written is retained: the bucket has Object Lock, with a default retention.
    pub(super) retains: bool,
}

/// An object, or a part that will be of one.
#[derive(Clone)]
pub(super) struct Object {
    pub(super) bytes: Bytes,
    /// Without its quotes.
    pub(super) e_tag: String,
    pub(super) modified: SystemTime,
    pub(super) about: About,
    pub(super) checksum: Checksum,
}

/// What a client said about an object.
#[derive(Clone, Default)]
pub(super) struct About {
    pub(super) content_type: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone)]
pub(super) struct Upload {
    pub(super) key: String,
    pub(super) begun: SystemTime,
    pub(super) parts: BTreeMap<i32, Object>,
    about: About,
}

/// One page of a listing.
#[derive(Default)]
pub(super) struct Page {
    pub(super) objects: Vec<(String, Object)>,
    pub(super) prefixes: Vec<String>,
    /// The last key or prefix of the page, if there are more behind it.
    pub(super) next: Option<String>,
}

impl Object {
    pub(super) fn of(bytes: Bytes) -> Self {
        let e_tag = hex(&Md5::checksum(&bytes));
        Self { bytes, e_tag, modified: SystemTime::now(), about: About::default(), checksum: Checksum::default() }
    }
}

impl State {
    /// Puts an object in its place, if the conditions hold.
    pub(super) fn put(
        &mut self,
        key: String,
        object: Object,
        none_match: Option<&ETagCondition>,
        matches: Option<&ETagCondition>,
    ) -> S3Result<()> {
        self.may_put(&key, none_match, matches)?;
        self.objects.insert(key, object);
        Ok(())
    }

    /// Whether it is taken: where it is retained it has to have a checksum (AWS answers so; radosgw does not).
    pub(super) fn may_keep(&self, object: &Object) -> S3Result<()> {
        if self.retains && object.checksum == Checksum::default() {
            return Err(s3_error!(InvalidRequest, "Content-MD5 OR x-amz-checksum- HTTP header is required"));
        }
        Ok(())
    }

    fn may_put(&self, key: &str, none_match: Option<&ETagCondition>, matches: Option<&ETagCondition>) -> S3Result<()> {
        let there = self.objects.get(key);
        if none_match.is_some_and(|condition| there.is_some_and(|there| is_met(condition, there))) {
            return Err(s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold"));
        }
        match (matches, there) {
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(condition), Some(there)) if !is_met(condition, there) => Err(s3_error!(PreconditionFailed)),
            _ => Ok(()),
        }
    }

    /// An object that is read, if the condition holds.
    pub(super) fn get(&self, key: &str, matches: Option<&ETagCondition>) -> S3Result<Object> {
        let there = self.objects.get(key).ok_or_else(|| s3_error!(NoSuchKey))?;
        if matches.is_some_and(|condition| !is_met(condition, there)) {
            return Err(s3_error!(PreconditionFailed));
        }
        Ok(there.clone())
    }

    /// The keys behind `after` that begin with `prefix`; those with the delimiter behind it are folded into one prefix.
    pub(super) fn list(&self, prefix: &str, delimiter: Option<&str>, after: &str, most: usize) -> Page {
        let mut page = Page::default();
        let mut last = String::new();
        // Nothing before the prefix is of interest, and nothing up to `after`.
        let from = if after > prefix { Bound::Excluded(after) } else { Bound::Included(prefix) };
        let found = self.objects.range::<str, _>((from, Bound::Unbounded));
        for (key, object) in found.take_while(|(key, _)| key.starts_with(prefix)) {
            let cut = delimiter.and_then(|mark| Some(prefix.len() + key[prefix.len()..].find(mark)? + mark.len()));
            let entry = cut.map_or(key.as_str(), |cut| &key[..cut]);
            if cut.is_some() && (entry == last || after.starts_with(entry)) {
                continue;
            }
            if page.objects.len() + page.prefixes.len() == most {
                page.next = Some(last);
                break;
            }
            entry.clone_into(&mut last);
            if cut.is_some() {
                page.prefixes.push(last.clone());
            } else {
                page.objects.push((key.clone(), object.clone()));
            }
        }
        page
    }

    /// Begins an upload; gives its id.
    pub(super) fn begin(&mut self, key: String, about: About) -> String {
        let id = uuid::Uuid::new_v4().to_string();
        let upload = Upload { key, begun: SystemTime::now(), parts: BTreeMap::new(), about };
        self.uploads.insert(id.clone(), upload);
        id
    }

    /// Puts a part in its place, or another in its stead.
    pub(super) fn put_part(&mut self, key: &str, id: &str, number: i32, part: Object) -> S3Result<()> {
        if !(1..=10_000).contains(&number) {
            return Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and 10000, inclusive"));
        }
        let upload = self.uploads.get_mut(id).filter(|upload| upload.key == key);
        upload.ok_or_else(|| s3_error!(NoSuchUpload))?.parts.insert(number, part);
        Ok(())
    }

    /// Makes an object of the parts that are named, each by its number and `ETag`, and gives the object's `ETag`.
    pub(super) fn complete(
        &mut self,
        key: &str,
        id: &str,
        named: &[(i32, String)],
        none_match: Option<&ETagCondition>,
        matches: Option<&ETagCondition>,
    ) -> S3Result<String> {
        if let Some((_, e_tag)) = self.completed.get(id).filter(|(of, _)| of == key) {
            return Ok(e_tag.clone());
        }
        let upload = self.uploads.get(id).filter(|upload| upload.key == key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        if named.is_empty() {
            return Err(s3_error!(MalformedXML));
        }
        if !named.is_sorted_by(|a, b| a.0 < b.0) {
            return Err(s3_error!(InvalidPartOrder));
        }
        let (mut bytes, mut digests) = (Vec::new(), Vec::new());
        for (index, (number, e_tag)) in named.iter().enumerate() {
            let part = upload.parts.get(number).filter(|part| part.e_tag == *e_tag);
            let part = part.ok_or_else(|| s3_error!(InvalidPart))?;
            if part.bytes.len() < LEAST_PART && index + 1 < named.len() {
                return Err(s3_error!(EntityTooSmall));
            }
            bytes.extend_from_slice(&part.bytes);
            digests.extend_from_slice(&Md5::checksum(&part.bytes));
        }
        self.may_put(key, none_match, matches)?;
        let about = upload.about.clone();
        let e_tag = format!("{}-{}", hex(&Md5::checksum(&digests)), named.len());
        let object = Object { e_tag: e_tag.clone(), about, ..Object::of(bytes.into()) };
        self.objects.insert(key.to_owned(), object);
        self.uploads.remove(id);
        self.completed.insert(id.to_owned(), (key.to_owned(), e_tag.clone()));
        Ok(e_tag)
    }

    /// The uploads whose keys begin with `prefix`, by key and id, behind a key or behind an upload of it; and the last one of the page,
    /// if there are more.
    #[expect(clippy::type_complexity, reason = "an upload by its id, and a key with an id")]
    pub(super) fn open(
        &self,
        prefix: &str,
        after_key: &str,
        after_id: Option<&str>,
        most: usize,
    ) -> (Vec<(String, Upload)>, Option<(String, String)>) {
        let mut found: Vec<_> = self.uploads.iter().filter(|(_, upload)| upload.key.starts_with(prefix)).collect();
        found.retain(|(id, upload)| match after_id {
            _ if upload.key != after_key => upload.key.as_str() > after_key,
            after => after.is_some_and(|after| id.as_str() > after),
        });
        found.sort_by_key(|(id, upload)| (upload.key.clone(), (*id).clone()));
        let next =
            found.get(most).and(most.checked_sub(1)).map(|last| (found[last].1.key.clone(), found[last].0.clone()));
        (found.into_iter().take(most).map(|(id, upload)| (id.clone(), upload.clone())).collect(), next)
    }

    /// Takes an upload away with its parts.
    pub(super) fn abort(&mut self, key: &str, id: &str) -> S3Result<()> {
        self.uploads.get(id).filter(|upload| upload.key == key).ok_or_else(|| s3_error!(NoSuchUpload))?;
        self.uploads.remove(id);
        Ok(())
    }
}

/// Whether an object is what a condition names.
pub(super) fn is_met(condition: &ETagCondition, there: &Object) -> bool {
    condition.is_any() || condition.as_etag().is_some_and(|e_tag| *e_tag == ETag::Strong(there.e_tag.clone()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
