//! Uploads that were begun and neither completed nor aborted: the store keeps their parts, and their price, until one of both.

use std::time::Duration;

use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};
use serde::Deserialize;

use super::{Bucket, BucketError, Class, path};

/// For how long a signed address may be used; it is in no text that is shown.
const VALID_FOR: Duration = Duration::from_secs(300);

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Underway {
    /// Of which object.
    pub key: String,
    /// What the store calls it.
    #[serde(rename = "UploadId")]
    pub id: String,
}

/// A page of the list (Amazon S3 API Reference, "`ListMultipartUploads`").
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename = "ListMultipartUploadsResult", rename_all = "PascalCase")]
struct Page {
    #[serde(default, rename = "Upload")]
    uploads: Vec<Underway>,
    #[serde(default)]
    is_truncated: bool,
    #[serde(default)]
    next_key_marker: String,
    #[serde(default)]
    next_upload_id_marker: String,
}

impl Bucket {
    /// The uploads below a key that neither were completed nor aborted.
    ///
    /// # Errors
    /// The store's.
    pub fn uploads(&self, below: &str) -> Result<Vec<Underway>, BucketError> {
        let broken = |why: &str| BucketError::new(Class::Broken, format!("listing the uploads below '{below}': {why}"));
        let (mut found, mut after) = (Vec::new(), (String::new(), String::new()));
        loop {
            let text = self.uploads_after(below, &after)?;
            let page: Page = read(&text).map_err(|why| broken(&why))?;
            found.extend(page.uploads.into_iter().filter(|upload| upload.key.starts_with(below)));
            if !page.is_truncated {
                return Ok(found);
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if next == after || next.0 < after.0 {
                return Err(broken("the list has no end"));
            }
            after = next;
        }
    }

    fn uploads_after(&self, below: &str, (key, id): &(String, String)) -> Result<String, BucketError> {
        let http = self.shared.http.clone();
        self.shared.call(&format!("listing the uploads below '{below}'"), |store| {
            let (http, below, key, id) = (http.clone(), below.to_owned(), key.clone(), id.clone());
            async move {
                let mut query = vec![("uploads", ""), ("prefix", below.as_str())];
                let markers = [("key-marker", key.as_str()), ("upload-id-marker", id.as_str())];
                query.extend(markers.into_iter().filter(|(_, marker)| !marker.is_empty()));
                let options = SignedUrlOptions::default().with_query(query);
                let address =
                    store.signed_url_opts(reqwest::Method::GET, &Path::default(), VALID_FOR, &options).await?;
                let broken = |why: String| object_store::Error::Generic { store: "S3", source: why.into() };
                let (mut parts, body) = HttpRequest::new(HttpRequestBody::empty()).into_parts();
                parts.uri = address.as_str().parse().map_err(|_why| broken("no address".to_owned()))?;
                let answer = http.execute(HttpRequest::from_parts(parts, body)).await;
                let answer = answer.map_err(|why| broken(why.to_string()))?;
                if !answer.status().is_success() {
                    return Err(broken(format!("status {}", answer.status())));
                }
                let text = answer.into_body().bytes().await.map_err(|why| broken(why.to_string()))?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
        })
    }

    /// Aborts an upload; one that is not there is aborted.
    ///
    /// # Errors
    /// The store's.
    pub fn abort(&self, upload: &Underway) -> Result<(), BucketError> {
        let path = path(&upload.key)?;
        let aborted = self.shared.call(&format!("aborting the upload of '{}'", upload.key), |store| {
            let (path, id) = (path.clone(), upload.id.clone());
            async move { store.abort_multipart(&path, &id).await }
        });
        super::absent(aborted).map(drop)
    }
}

/// Reads a page, or says why it is none: an answer of 200 may have anything in it.
fn read(text: &str) -> Result<Page, String> {
    if !text.contains("<ListMultipartUploadsResult") {
        return Err("the answer is no list".to_owned());
    }
    quick_xml::de::from_str(text).map_err(|why| format!("the answer is no list: {why}"))
}

#[cfg(test)]
mod tests {
    use super::{Page, Underway, read};

    #[test]
    fn a_page_is_read_whatever_else_is_in_it() {
        let upload = |key: &str, id: &str| Underway { key: key.to_owned(), id: id.to_owned() };
        let text = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
              <Bucket>b</Bucket><KeyMarker/><NextKeyMarker>db1/b&amp;c</NextKeyMarker><NextUploadIdMarker>2</NextUploadIdMarker>
              <IsTruncated>true</IsTruncated>
              <Upload><Key>db1/a</Key><UploadId>1~x</UploadId><Owner><ID>o</ID></Owner></Upload>
              <CommonPrefixes><Prefix>db1/</Prefix></CommonPrefixes>
              <Upload><Initiated>2026-01-01T00:00:00Z</Initiated><UploadId>2</UploadId><Key>db1/b&amp;c</Key></Upload>
            </ListMultipartUploadsResult>"#;
        let page = Page {
            uploads: vec![upload("db1/a", "1~x"), upload("db1/b&c", "2")],
            is_truncated: true,
            next_key_marker: "db1/b&c".to_owned(),
            next_upload_id_marker: "2".to_owned(),
        };
        assert_eq!(read(text), Ok(page));
        assert_eq!(read("<ListMultipartUploadsResult></ListMultipartUploadsResult>"), Ok(Page::default()));
    }

    #[test]
    fn what_is_no_page_is_no_empty_list() {
        for text in ["", "<Error><Code>InternalError</Code></Error>", "<ListMultipartUploadsResult><Upload>"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(
            read("<ListMultipartUploadsResult><Upload><Key>a</Key></Upload></ListMultipartUploadsResult>").is_err()
        );
    }
}
