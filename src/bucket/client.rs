//! The client of a store: where it is, whom it trusts, and how long it waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{Certificate, ClientOptions, RetryConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::seen::Watching;
use super::{BucketError, Class, credentials};
use crate::model::{Remote, causes};

/// How long a connection may take to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How long an answer may pause.
const PAUSE: Duration = Duration::from_secs(60);
/// How long one request may take in all: a part of 64 MiB at 1 Mbit/s.
const REQUEST_WITHIN: Duration = Duration::from_secs(600);

/// The client of a store, and what sends its requests.
pub(super) fn new(remote: &Remote) -> Result<(AmazonS3, HttpClient), BucketError> {
    let settings = |text: String| BucketError::new(Class::Settings, text);
    // Whoever installed one before has the same.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut options = ClientOptions::new()
        .with_connect_timeout(CONNECT_WITHIN)
        .with_read_timeout(PAUSE)
        .with_timeout(REQUEST_WITHIN)
        .with_allow_http(true);
    if let Some(ca) = &remote.ca {
        options = authorities(ca)?.into_iter().fold(options, ClientOptions::with_root_certificate);
    }
    let region = remote.region.as_deref().unwrap_or("us-east-1");
    let retry = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&remote.bucket)
        .with_region(region)
        .with_virtual_hosted_style_request(!remote.path_style)
        .with_disable_bulk_delete(true)
        // A bucket with a default retention takes nothing without one (Amazon S3 API Reference, "PutObject"); it is that of the signature.
        .with_checksum_algorithm(Checksum::SHA256)
        .with_retry(retry)
        .with_http_connector(Watching)
        .with_client_options(options.clone());
    if let Some(endpoint) = &remote.endpoint {
        builder =
            builder.with_endpoint(if remote.path_style { endpoint.clone() } else { hosted(endpoint, &remote.bucket) });
    }
    let builder = credentials::into(builder, remote)?;
    let cannot = |why: &object_store::Error| settings(format!("the repository cannot be opened: {}", causes(why)));
    let store = builder.build().map_err(|why| cannot(&why))?;
    let http = Watching.connect(&options).map_err(|why| cannot(&why))?;
    Ok((store, http))
}

/// The address of a bucket that stands in the host's name.
fn hosted(endpoint: &str, bucket: &str) -> String {
    match endpoint.split_once("://") {
        Some((scheme, host)) => format!("{scheme}://{bucket}.{host}"),
        None => endpoint.to_owned(),
    }
}

/// The certificates of a file, each of which can be one: the client's own answer to one that cannot does not say what it is about.
fn authorities(ca: &Path) -> Result<Vec<Certificate>, BucketError> {
    let wrong = |what: &str| BucketError::new(Class::Settings, format!("repository_ca '{}' {what}", ca.display()));
    let pem = fs::read(ca).map_err(|why| wrong(&format!("cannot be read: {why}")))?;
    let mut store = rustls::RootCertStore::empty();
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|why| wrong(&format!("is no file of certificates: {why}")))?;
        found.push(Certificate::from_der(&certificate).map_err(|why| wrong(&format!("has no certificate: {why}")))?);
        let number = found.len();
        store.add(certificate).map_err(|why| wrong(&format!("has no certificate in its place {number}: {why}")))?;
    }
    if found.is_empty() { Err(wrong("has no certificates")) } else { Ok(found) }
}
