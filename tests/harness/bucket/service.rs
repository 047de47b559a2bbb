//! The operations of S3 that a backup needs, over a [`Shelf`]; any other is answered with 501.

use std::sync::{Arc, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::TryStreamExt;
use s3s::checksum::ChecksumHasher;
use s3s::crypto::{Checksum as _, Crc32, Crc32c, Crc64Nvme, Md5, Sha1, Sha256};
use s3s::dto::{
    AbortMultipartUploadInput, AbortMultipartUploadOutput, Checksum, CommonPrefix, CompleteMultipartUploadInput,
    CompleteMultipartUploadOutput, CreateMultipartUploadInput, CreateMultipartUploadOutput, DeleteObjectInput,
    DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETag, GetBucketLocationInput,
    GetBucketLocationOutput, GetObjectInput, GetObjectOutput, HeadBucketInput, HeadBucketOutput, HeadObjectInput,
    HeadObjectOutput, ListMultipartUploadsInput, ListMultipartUploadsOutput, ListObjectsInput, ListObjectsOutput,
    ListObjectsV2Input, ListObjectsV2Output, MultipartUpload, PutObjectInput, PutObjectOutput, StreamingBlob,
    UploadPartInput, UploadPartOutput,
};
use s3s::{Body, S3, S3Error, S3ErrorCode, S3Request, S3Response, S3Result, TrailingHeaders, s3_error};

use super::shelf::{About, Object, Page, Shelf, State, Upload, is_met};

/// The store: a bucket by its name.
pub(super) struct Service {
    bucket: &'static str,
    shelf: Arc<Shelf>,
}

impl Service {
    pub(super) fn new(bucket: &'static str, shelf: Arc<Shelf>) -> Self {
        Self { bucket, shelf }
    }

    fn of(&self, bucket: &str) -> S3Result<MutexGuard<'_, State>> {
        if bucket == self.bucket {
            Ok(self.shelf.lock().unwrap_or_else(PoisonError::into_inner))
        } else {
            Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"))
        }
    }

    fn page(&self, asked: &ListObjectsV2Input) -> S3Result<(Page, usize)> {
        let most = usize::try_from(asked.max_keys.unwrap_or(1000)).unwrap_or(0).min(1000);
        let after = asked.continuation_token.as_deref().or(asked.start_after.as_deref()).unwrap_or_default();
        let prefix = asked.prefix.as_deref().unwrap_or_default();
        let delimiter = asked.delimiter.as_deref().filter(|mark| !mark.is_empty());
        Ok((self.of(&asked.bucket)?.list(prefix, delimiter, after, most), most))
    }
}

/// Reads a body, and holds it to what the client says of it before and behind it.
async fn receive(
    body: Option<StreamingBlob>,
    md5: Option<&str>,
    mut said: Checksum,
    trailers: Option<TrailingHeaders>,
) -> S3Result<Object> {
    let mut bytes = Vec::new();
    let mut body = body.unwrap_or_else(|| Body::empty().into());
    while let Some(some) = body.try_next().await.map_err(|why| refusal(&why.to_string()))? {
        bytes.extend_from_slice(&some);
    }
    if let Some(trailers) = trailers.and_then(|trailers| trailers.take()) {
        let trailer = |name: &str| trailers.get(name).and_then(|value| Some(value.to_str().ok()?.to_owned()));
        said.checksum_crc32 = trailer("x-amz-checksum-crc32").or(said.checksum_crc32);
        said.checksum_crc32c = trailer("x-amz-checksum-crc32c").or(said.checksum_crc32c);
        said.checksum_crc64nvme = trailer("x-amz-checksum-crc64nvme").or(said.checksum_crc64nvme);
        said.checksum_sha1 = trailer("x-amz-checksum-sha1").or(said.checksum_sha1);
        said.checksum_sha256 = trailer("x-amz-checksum-sha256").or(said.checksum_sha256);
    }
    let mut hasher = ChecksumHasher {
        crc32: said.checksum_crc32.as_ref().map(|_| Crc32::default()),
        crc32c: said.checksum_crc32c.as_ref().map(|_| Crc32c::default()),
        crc64nvme: said.checksum_crc64nvme.as_ref().map(|_| Crc64Nvme::default()),
        sha1: said.checksum_sha1.as_ref().map(|_| Sha1::default()),
        sha256: said.checksum_sha256.as_ref().map(|_| Sha256::default()),
    };
    hasher.update(&bytes);
    if hasher.finalize() != said || md5.is_some_and(|md5| md5 != BASE64_STANDARD.encode(Md5::checksum(&bytes))) {
        return Err(s3_error!(BadDigest, "The checksum you specified did not match the calculated checksum."));
    }
    Ok(Object { checksum: said, ..Object::of(bytes.into()) })
}

/// What a body that cannot be read is refused with.
fn refusal(why: &str) -> S3Error {
    if !why.contains("Sha256Mismatch") {
        return s3_error!(IncompleteBody, "{why}");
    }
    let code = S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into());
    let mut refusal =
        S3Error::with_message(code, "The provided 'x-amz-content-sha256' header does not match what was computed.");
    refusal.set_status_code(hyper::StatusCode::BAD_REQUEST);
    refusal
}

/// The checksums in a request's headers.
macro_rules! said {
    ($input:ident) => {
        Checksum {
            checksum_crc32: $input.checksum_crc32,
            checksum_crc32c: $input.checksum_crc32c,
            checksum_crc64nvme: $input.checksum_crc64nvme,
            checksum_sha1: $input.checksum_sha1,
            checksum_sha256: $input.checksum_sha256,
            checksum_type: None,
        }
    };
}

/// What PUT of an object and of a part answer alike.
macro_rules! taken {
    ($output:ident, $object:expr) => {{
        let object = $object;
        S3Response::new($output {
            e_tag: Some(ETag::Strong(object.e_tag)),
            checksum_crc32: object.checksum.checksum_crc32,
            checksum_crc32c: object.checksum.checksum_crc32c,
            checksum_crc64nvme: object.checksum.checksum_crc64nvme,
            checksum_sha1: object.checksum.checksum_sha1,
            checksum_sha256: object.checksum.checksum_sha256,
            ..Default::default()
        })
    }};
}

/// What GET and HEAD say of an object alike. Checksums are told to whom asks for them, and of a whole object alone.
macro_rules! described {
    ($output:ident, $object:expr, $length:expr, $is_whole_and_asked:expr) => {{
        let object = $object;
        let checksum = if $is_whole_and_asked { object.checksum } else { Checksum::default() };
        $output {
            accept_ranges: Some("bytes".to_owned()),
            content_length: Some($length.try_into().unwrap_or(i64::MAX)),
            content_type: object.about.content_type,
            e_tag: Some(ETag::Strong(object.e_tag)),
            last_modified: Some(object.modified.into()),
            metadata: object.about.metadata,
            checksum_crc32: checksum.checksum_crc32,
            checksum_crc32c: checksum.checksum_crc32c,
            checksum_crc64nvme: checksum.checksum_crc64nvme,
            checksum_sha1: checksum.checksum_sha1,
            checksum_sha256: checksum.checksum_sha256,
            ..Default::default()
        }
    }};
}

type Answer<T> = S3Result<S3Response<T>>;

#[async_trait::async_trait]
impl S3 for Service {
    async fn head_bucket(&self, asked: S3Request<HeadBucketInput>) -> Answer<HeadBucketOutput> {
        drop(self.of(&asked.input.bucket)?);
        Ok(S3Response::new(HeadBucketOutput::default()))
    }

    async fn get_bucket_location(&self, asked: S3Request<GetBucketLocationInput>) -> Answer<GetBucketLocationOutput> {
        drop(self.of(&asked.input.bucket)?);
        Ok(S3Response::new(GetBucketLocationOutput::default()))
    }

    async fn put_object(&self, asked: S3Request<PutObjectInput>) -> Answer<PutObjectOutput> {
        let input = asked.input;
        drop(self.of(&input.bucket)?);
        let said = said!(input);
        let mut object = receive(input.body, input.content_md5.as_deref(), said, asked.trailing_headers).await?;
        object.about = About { content_type: input.content_type, metadata: input.metadata };
        let mut state = self.of(&input.bucket)?;
        state.may_keep(&object)?;
        state.put(input.key, object.clone(), input.if_none_match.as_ref(), input.if_match.as_ref())?;
        Ok(taken!(PutObjectOutput, object))
    }

    async fn get_object(&self, asked: S3Request<GetObjectInput>) -> Answer<GetObjectOutput> {
        let input = asked.input;
        let object = self.of(&input.bucket)?.get(&input.key, input.if_match.as_ref())?;
        if input.if_none_match.is_some_and(|condition| is_met(&condition, &object)) {
            return Err(s3_error!(NotModified));
        }
        let whole = object.bytes.len();
        let range = input.range.map(|range| range.check(whole as u64)).transpose()?;
        let place = |at: u64| usize::try_from(at).unwrap_or(whole);
        let body = range
            .as_ref()
            .map_or_else(|| object.bytes.clone(), |range| object.bytes.slice(place(range.start)..place(range.end)));
        let is_asked = input.checksum_mode.is_some() && body.len() == whole;
        let mut output = described!(GetObjectOutput, object, body.len(), is_asked);
        output.content_range = range.map(|range| format!("bytes {}-{}/{whole}", range.start, range.end - 1));
        output.body = Some(Body::from(body).into());
        Ok(S3Response::new(output))
    }

    async fn head_object(&self, asked: S3Request<HeadObjectInput>) -> Answer<HeadObjectOutput> {
        let input = asked.input;
        let object = self.of(&input.bucket)?.get(&input.key, input.if_match.as_ref())?;
        let length = object.bytes.len();
        Ok(S3Response::new(described!(HeadObjectOutput, object, length, input.checksum_mode.is_some())))
    }

    async fn delete_object(&self, asked: S3Request<DeleteObjectInput>) -> Answer<DeleteObjectOutput> {
        self.of(&asked.input.bucket)?.objects.remove(&asked.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn delete_objects(&self, asked: S3Request<DeleteObjectsInput>) -> Answer<DeleteObjectsOutput> {
        let mut state = self.of(&asked.input.bucket)?;
        let mut deleted = Vec::new();
        for object in asked.input.delete.objects {
            state.objects.remove(&object.key);
            deleted.push(DeletedObject { key: Some(object.key), ..Default::default() });
        }
        Ok(S3Response::new(DeleteObjectsOutput { deleted: Some(deleted), ..Default::default() }))
    }

    async fn list_objects_v2(&self, asked: S3Request<ListObjectsV2Input>) -> Answer<ListObjectsV2Output> {
        let input = asked.input;
        let (page, most) = self.page(&input)?;
        let count = |count: usize| i32::try_from(count).ok();
        Ok(S3Response::new(ListObjectsV2Output {
            key_count: count(page.objects.len() + page.prefixes.len()),
            max_keys: count(most),
            is_truncated: Some(page.next.is_some()),
            contents: Some(page.objects.iter().map(listed).collect()),
            common_prefixes: Some(page.prefixes.into_iter().map(folded).collect()),
            next_continuation_token: page.next,
            continuation_token: input.continuation_token,
            start_after: input.start_after,
            delimiter: input.delimiter,
            name: Some(input.bucket),
            prefix: Some(input.prefix.unwrap_or_default()),
            ..Default::default()
        }))
    }

    /// The first version of the same, which some clients still ask for.
    async fn list_objects(&self, asked: S3Request<ListObjectsInput>) -> Answer<ListObjectsOutput> {
        let answer = self.list_objects_v2(asked.map_input(ListObjectsV2Input::from)).await?;
        Ok(answer.map_output(|found| ListObjectsOutput {
            max_keys: found.max_keys,
            is_truncated: found.is_truncated,
            contents: found.contents,
            common_prefixes: found.common_prefixes,
            next_marker: found.next_continuation_token,
            marker: Some(found.start_after.unwrap_or_default()),
            delimiter: found.delimiter,
            name: found.name,
            prefix: found.prefix,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        asked: S3Request<CreateMultipartUploadInput>,
    ) -> Answer<CreateMultipartUploadOutput> {
        let input = asked.input;
        let about = About { content_type: input.content_type, metadata: input.metadata };
        let id = self.of(&input.bucket)?.begin(input.key.clone(), about);
        let (bucket, key) = (Some(input.bucket), Some(input.key));
        Ok(S3Response::new(CreateMultipartUploadOutput { bucket, key, upload_id: Some(id), ..Default::default() }))
    }

    async fn upload_part(&self, asked: S3Request<UploadPartInput>) -> Answer<UploadPartOutput> {
        let input = asked.input;
        let said = said!(input);
        let part = receive(input.body, input.content_md5.as_deref(), said, asked.trailing_headers).await?;
        let mut state = self.of(&input.bucket)?;
        state.may_keep(&part)?;
        state.put_part(&input.key, &input.upload_id, input.part_number, part.clone())?;
        Ok(taken!(UploadPartOutput, part))
    }

    async fn complete_multipart_upload(
        &self,
        asked: S3Request<CompleteMultipartUploadInput>,
    ) -> Answer<CompleteMultipartUploadOutput> {
        let input = asked.input;
        let parts = input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default();
        let named: Option<Vec<_>> =
            parts.into_iter().map(|part| Some((part.part_number?, part.e_tag?.into_value()))).collect();
        let named = named.ok_or_else(|| s3_error!(MalformedXML))?;
        let mut state = self.of(&input.bucket)?;
        let (none_match, matches) = (input.if_none_match.as_ref(), input.if_match.as_ref());
        let e_tag = state.complete(&input.key, &input.upload_id, &named, none_match, matches)?;
        let (bucket, key) = (Some(input.bucket), Some(input.key));
        let e_tag = Some(ETag::Strong(e_tag));
        Ok(S3Response::new(CompleteMultipartUploadOutput { bucket, key, e_tag, ..Default::default() }))
    }

    async fn abort_multipart_upload(
        &self,
        asked: S3Request<AbortMultipartUploadInput>,
    ) -> Answer<AbortMultipartUploadOutput> {
        self.of(&asked.input.bucket)?.abort(&asked.input.key, &asked.input.upload_id)?;
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    async fn list_multipart_uploads(
        &self,
        asked: S3Request<ListMultipartUploadsInput>,
    ) -> Answer<ListMultipartUploadsOutput> {
        let input = asked.input;
        let prefix = input.prefix.clone().unwrap_or_default();
        let after = (input.key_marker.clone().unwrap_or_default(), input.upload_id_marker.clone());
        let most = usize::try_from(input.max_uploads.unwrap_or(1000)).unwrap_or(0).min(1000);
        let (uploads, next) = self.of(&input.bucket)?.open(&prefix, &after.0, after.1.as_deref(), most);
        let upload = |(id, upload): &(String, Upload)| MultipartUpload {
            key: Some(upload.key.clone()),
            upload_id: Some(id.clone()),
            initiated: Some(upload.begun.into()),
            ..Default::default()
        };
        Ok(S3Response::new(ListMultipartUploadsOutput {
            uploads: Some(uploads.iter().map(upload).collect()),
            is_truncated: Some(next.is_some()),
            next_key_marker: next.clone().map(|(key, _)| key),
            next_upload_id_marker: next.map(|(_, id)| id),
            bucket: Some(input.bucket),
            prefix: input.prefix,
            key_marker: input.key_marker,
            upload_id_marker: input.upload_id_marker,
            ..Default::default()
        }))
    }
}

fn listed((key, object): &(String, Object)) -> s3s::dto::Object {
    s3s::dto::Object {
        key: Some(key.clone()),
        size: object.bytes.len().try_into().ok(),
        e_tag: Some(ETag::Strong(object.e_tag.clone())),
        last_modified: Some(object.modified.into()),
        ..Default::default()
    }
}

fn folded(prefix: String) -> CommonPrefix {
    CommonPrefix { prefix: Some(prefix) }
}
