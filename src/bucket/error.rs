//! Why a store did not do what it was asked for, with what can be done about it.

use std::fmt;

use super::seen::Seen;

/// How it is said what a store answered.
const ANSWERED: &str = "the store answered ";
const UNREACHED: &str = "the store cannot be reached";
/// What the encryption says of a certificate that it does not take.
const CERTIFICATE: &str = "invalid peer certificate";
/// What it says of one that is right for another time.
const OF_ANOTHER_TIME: [&str; 2] = ["certificate expired", "certificate not valid yet"];
/// What it says of an answer that is not encrypted (rustls 0.23).
const NO_TLS: &str = "InvalidContentType";
/// What is said of an answer that is no HTTP, as one that is encrypted is none (hyper 1).
const NO_HTTP: &str = "invalid HTTP version";
const BROKE_OFF: &str = "the store's answer broke off";

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The settings, or the file of the secret.
    Settings,
    /// The store cannot be reached.
    Unreachable,
    /// The answer broke off, or did not come in time.
    Interrupted,
    /// The store wants fewer requests.
    Throttled,
    /// The store's own failure.
    Server,
    /// The key may not do this, or is not known.
    Denied,
    /// There is no such object, or no such bucket.
    NotFound,
    /// The key of what was to be written has an object already.
    Taken,
    /// The object is another one than before.
    Changed,
    /// Anything else that cannot be right.
    Broken,
}

impl Class {
    /// Whether the same may succeed a moment later.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Interrupted | Self::Throttled | Self::Server)
    }

    /// The class of a failure that is told by another process, in the words of this one. None if these are not such words.
    pub fn told(text: &str) -> Option<Self> {
        if is_lasting(text) {
            return Some(Self::Settings);
        }
        if text.contains(UNREACHED) {
            return Some(Self::Unreachable);
        }
        if text.contains(BROKE_OFF) {
            return Some(Self::Interrupted);
        }
        let (_, answer) = text.split_once(ANSWERED)?;
        let mut words = answer.split([' ', ':']);
        let status = words.next()?.parse().ok()?;
        Some(answered(status, words.next().unwrap_or_default()))
    }

    /// As metrics and scripts know it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Unreachable => "unreachable",
            Self::Interrupted => "interrupted",
            Self::Throttled => "throttled",
            Self::Server => "server",
            Self::Denied => "denied",
            Self::NotFound => "not_found",
            Self::Taken => "taken",
            Self::Changed => "changed",
            Self::Broken => "broken",
        }
    }
}

/// Why a store did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketError {
    /// What kind of failure it is.
    pub class: Class,
    text: String,
    hint: Option<&'static str>,
}

impl BucketError {
    /// A failure of our own to say.
    pub fn new(class: Class, text: impl Into<String>) -> Self {
        Self { class, text: text.into(), hint: None }
    }

    /// What the client says, and what was seen of the answer while `what` was done.
    pub(super) fn of(what: &str, why: &object_store::Error, seen: Option<&Seen>) -> Self {
        let (class, said) = match seen {
            Some(Seen::Answer { status, code, message }) => {
                let class = answered(*status, code);
                let named = [code.as_str(), message.as_str()].into_iter().filter(|text| !text.is_empty());
                let named = named.collect::<Vec<_>>().join(": ");
                let named = if named.is_empty() { String::new() } else { format!(" {named}") };
                (class, format!("{ANSWERED}{status}{named}"))
            }
            // It will be no other a moment later.
            Some(Seen::None { why, unreached: true }) if is_lasting(why) => {
                (Class::Settings, format!("{UNREACHED}: {why}"))
            }
            Some(Seen::None { why, unreached: true }) => (Class::Unreachable, format!("{UNREACHED}: {why}")),
            Some(Seen::None { why, .. }) => (Class::Interrupted, format!("{BROKE_OFF}: {why}")),
            None => unseen(why),
        };
        let hint = match seen {
            Some(Seen::Answer { status, code, .. }) => hint(*status, code),
            Some(Seen::None { why, .. }) => hint_without_answer(why),
            None => None,
        };
        Self { class, text: format!("{what}: {said}"), hint }
    }

    /// What can be done about it. None if the text says it all.
    pub fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        self.hint.map_or(Ok(()), |hint| write!(f, " ({hint})"))
    }
}

impl std::error::Error for BucketError {}

/// The class of an answer: S3's own code where it says more than HTTP's status (Amazon S3 API Reference, "Error responses").
fn answered(status: u16, code: &str) -> Class {
    match (status, code) {
        (_, "SlowDown" | "RequestLimitExceeded" | "Throttling" | "TooManyRequests") | (429, _) => Class::Throttled,
        (_, "RequestTimeout" | "BadDigest" | "XAmzContentSHA256Mismatch" | "IncompleteBody") => Class::Interrupted,
        // Of two writers of one key at once the other may have failed.
        (_, "InternalError" | "ServiceUnavailable" | "ConditionalRequestConflict" | "OperationAborted") => {
            Class::Server
        }
        (_, "NoSuchBucket") | (300..=399, _) => Class::Settings,
        (404, _) => Class::NotFound,
        (401 | 403, _) => Class::Denied,
        (409 | 412, _) => Class::Taken,
        (500..=599, _) => Class::Server,
        (_, _) => Class::Broken,
    }
}

/// The class of a failure of which no answer was seen: what came was not whole, or was not what was asked for.
fn unseen(why: &object_store::Error) -> (Class, String) {
    let text = crate::model::causes(why);
    let is_in_body = ["InternalError", "SlowDown"].iter().any(|code| text.contains(code));
    let class = if matches!(why, object_store::Error::NotFound { .. }) {
        Class::NotFound
    } else if matches!(why, object_store::Error::Precondition { .. }) {
        Class::Changed
    } else if matches!(why, object_store::Error::AlreadyExists { .. }) {
        Class::Taken
    } else if is_in_body {
        Class::Server
    } else if matches!(why, object_store::Error::Generic { .. }) {
        Class::Interrupted
    } else {
        Class::Broken
    };
    (class, text)
}

/// Whether what the encryption says is as true a moment later.
fn is_lasting(why: &str) -> bool {
    why.contains(CERTIFICATE) || why.contains(NO_TLS)
}

fn hint_without_answer(why: &str) -> Option<&'static str> {
    if OF_ANOTHER_TIME.iter().any(|text| why.contains(text)) {
        Some("renew the store's certificate, or set this machine's clock")
    } else if why.contains(CERTIFICATE) {
        Some("name the store's authority in repository_ca, or use the name that its certificate has")
    } else if why.contains(NO_TLS) {
        Some("the store does not speak TLS there: mend repository_endpoint")
    } else if why.contains(NO_HTTP) {
        Some("it may be that the store speaks TLS there: repository_endpoint begins with http://")
    } else {
        None
    }
}

fn hint(status: u16, code: &str) -> Option<&'static str> {
    match (status, code) {
        (_, "NoSuchBucket") => Some("make the bucket, or mend the name in 'repository'"),
        (_, "InvalidAccessKeyId") => Some("the store does not know this key: mend repository_credentials_file"),
        (_, "SignatureDoesNotMatch") => Some(
            "the secret is not the key's, or repository_region is another: mend repository_credentials_file or the settings",
        ),
        (_, "RequestTimeTooSkewed") => Some("this machine's clock is wrong: set it"),
        (_, "AuthorizationHeaderMalformed") | (300..=399, _) => {
            Some("set repository_region to the bucket's region, and repository_endpoint to its address")
        }
        (401 | 403, _) => Some("the key has no right to this: docs/offsite.md lists the rights that it needs"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::seen::Seen;
    use super::{BucketError, Class, answered};

    #[test]
    fn what_is_said_tells_its_class_again() {
        let generic = object_store::Error::Generic { store: "S3", source: "x".into() };
        let answer = |status, code: &str| Seen::Answer { status, code: code.to_owned(), message: "m: n".to_owned() };
        for seen in [
            answer(403, "AccessDenied"),
            answer(503, "SlowDown"),
            answer(500, ""),
            answer(404, "NoSuchBucket"),
            Seen::None { why: "refused".to_owned(), unreached: true },
            Seen::None { why: "invalid peer certificate: UnknownIssuer".to_owned(), unreached: true },
            Seen::None { why: "received corrupt message of type InvalidContentType".to_owned(), unreached: true },
            Seen::None { why: "early end".to_owned(), unreached: false },
        ] {
            let error = BucketError::of("reading 'a'", &generic, Some(&seen));
            assert_eq!(Class::told(&error.to_string()), Some(error.class), "{error}");
        }
        assert_eq!(Class::told("its manifest is damaged"), None);
    }

    #[test]
    fn an_answer_has_the_class_of_what_can_be_done_about_it() {
        for (status, code, class) in [
            (503, "SlowDown", Class::Throttled),
            (429, "", Class::Throttled),
            (500, "InternalError", Class::Server),
            (200, "InternalError", Class::Server),
            (502, "", Class::Server),
            (400, "RequestTimeout", Class::Interrupted),
            (400, "BadDigest", Class::Interrupted),
            (400, "EntityTooSmall", Class::Broken),
            (403, "AccessDenied", Class::Denied),
            (404, "NoSuchKey", Class::NotFound),
            (404, "NoSuchBucket", Class::Settings),
            (412, "PreconditionFailed", Class::Taken),
            (409, "ConditionalRequestConflict", Class::Server),
            (301, "PermanentRedirect", Class::Settings),
        ] {
            assert_eq!(answered(status, code), class, "{status} {code}");
        }
    }
}
