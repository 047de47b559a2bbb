//! The repository that a step is told of.

use std::path::PathBuf;

use clap::Args;

use crate::bucket::{Bucket, BucketError, Class, Patience};
use crate::model::Remote;
use crate::model::remote::parse_address;

/// A repository in an object store, as [`Remote::args`] writes it
#[derive(Debug, Clone, Args)]
pub(super) struct RemoteArgs {
    /// Its address
    #[arg(long, value_parser = address)]
    repository: Option<(String, String)>,
    /// The store's address
    #[arg(long)]
    endpoint: Option<String>,
    /// The region that requests are signed for
    #[arg(long)]
    region: Option<String>,
    /// Whether the bucket stands in the path
    #[arg(long)]
    path_style: bool,
    /// Certificates to trust
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The file of the key and its secret
    #[arg(long)]
    credentials_file: Option<PathBuf>,
}

fn address(text: &str) -> Result<(String, String), String> {
    parse_address(text).map_err(|why| format!("it {why}"))
}

impl RemoteArgs {
    /// The repository, made ready to be spoken to.
    pub(super) fn open(&self, patience: Patience) -> Result<Bucket, BucketError> {
        let none = || BucketError::new(Class::Settings, "no --repository is named");
        Bucket::open(&self.remote().ok_or_else(none)?, patience)
    }

    /// Its address, for people.
    pub(super) fn address(&self) -> String {
        self.remote().map(|remote| remote.to_string()).unwrap_or_default()
    }

    /// The repository. None if none is named.
    pub(super) fn remote(&self) -> Option<Remote> {
        let (bucket, prefix) = self.repository.clone()?;
        Some(Remote {
            bucket,
            prefix,
            endpoint: self.endpoint.clone(),
            region: self.region.clone(),
            path_style: self.path_style,
            ca: self.ca.clone(),
            credentials: self.credentials_file.clone(),
        })
    }
}
