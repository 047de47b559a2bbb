//! Uploads that were begun and neither completed nor aborted: the store keeps their parts, and their price, until one of both.

use std::time::Duration;

use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer};

use super::seen::element;
use super::{Bucket, BucketError, Class, path};

/// For how long a signed address may be used; it is in no text that is shown.
const VALID_FOR: Duration = Duration::from_secs(300);

/// An upload under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Underway {
    /// Of which object.
    pub key: String,
    /// What the store calls it.
    pub id: String,
}

impl Bucket {
    /// The uploads below a key that neither were completed nor aborted: the first thousand.
    ///
    /// # Errors
    /// The store's.
    pub fn uploads(&self, below: &str) -> Result<Vec<Underway>, BucketError> {
        let http = self.shared.http.clone();
        let text = self.shared.call(&format!("listing the uploads below '{below}'"), |store| {
            let (http, below) = (http.clone(), below.to_owned());
            async move {
                let options = SignedUrlOptions::default().with_query([("uploads", ""), ("prefix", below.as_str())]);
                let address =
                    store.signed_url_opts(reqwest::Method::GET, &Path::default(), VALID_FOR, &options).await?;
                let broken = |why: String| object_store::Error::Generic { store: "S3", source: why.into() };
                let request = object_store::client::HttpRequest::new(object_store::client::HttpRequestBody::empty());
                let (mut parts, body) = request.into_parts();
                parts.uri = address.as_str().parse().map_err(|_why| broken("no address".to_owned()))?;
                let answer = http.execute(object_store::client::HttpRequest::from_parts(parts, body)).await;
                let answer = answer.map_err(|why| broken(why.to_string()))?;
                if !answer.status().is_success() {
                    return Err(broken(format!("status {}", answer.status())));
                }
                let text = answer.into_body().bytes().await.map_err(|why| broken(why.to_string()))?;
                Ok(String::from_utf8_lossy(&text).into_owned())
            }
        })?;
        if !text.contains("ListMultipartUploadsResult") {
            return Err(BucketError::new(
                Class::Broken,
                format!("listing the uploads below '{below}': the answer is no list"),
            ));
        }
        let each = text.split("<Upload>").skip(1);
        let upload = |text: &str| Underway { key: element(text, "Key"), id: element(text, "UploadId") };
        Ok(each.map(upload).filter(|upload| upload.key.starts_with(below)).collect())
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
