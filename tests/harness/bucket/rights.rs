//! Who may ask a bucket, and for what.

use s3s::access::{S3Access, S3AccessContext};
use s3s::auth::{S3Auth, SecretKey};
use s3s::{S3Result, s3_error};

/// What somebody may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rights {
    All,
    /// All but to delete objects.
    NoDelete,
    ReadOnly,
}

/// Who may do what, by access keys.
#[derive(Clone)]
pub(super) struct Access(Vec<(&'static str, Rights)>);

impl Access {
    pub(super) fn new(keys: impl IntoIterator<Item = (&'static str, Rights)>) -> Self {
        Self(keys.into_iter().collect())
    }
}

#[async_trait::async_trait]
impl S3Access for Access {
    async fn check(&self, asked: &mut S3AccessContext<'_>) -> S3Result<()> {
        let key = asked.credentials().map(|credentials| credentials.access_key.as_str());
        let rights = self.0.iter().find(|(known, _)| Some(*known) == key).map(|(_, rights)| *rights);
        let may = match (rights, asked.s3_op().name()) {
            (Some(Rights::All), _) => true,
            (Some(Rights::NoDelete), operation) => !operation.starts_with("DeleteObject"),
            (Some(Rights::ReadOnly), operation) => {
                ["Get", "Head", "List"].iter().any(|verb| operation.starts_with(verb))
            }
            (None, _) => false,
        };
        if may { Ok(()) } else { Err(s3_error!(AccessDenied, "Access Denied")) }
    }
}

/// The secrets, by access keys.
pub(super) struct Secrets(pub(super) Vec<(&'static str, &'static str)>);

#[async_trait::async_trait]
impl S3Auth for Secrets {
    async fn get_secret_key(&self, key: &str) -> S3Result<SecretKey> {
        let secret = self.0.iter().find(|(known, _)| *known == key).map(|(_, secret)| SecretKey::from(*secret));
        secret.ok_or_else(|| s3_error!(InvalidAccessKeyId))
    }
}
