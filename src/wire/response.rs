//! A reply: `{"code": 202, "status": "Accepted", "id": "<uuid>"}` or `{"code": <n>, "status": "<reason>"}`; of what is answered when it is
//! done, `{"code": 200, "status": "<what was done>"}`.
//!
//! The keys stand in that order and there are no others. The reason is in `status`, since that is the field the Python API
//! shows to people.

use serde::Serialize;

use crate::json;
use crate::model::{CommandId, Rejection};

/// The Go API reads once, at most 4096 bytes: a reply is smaller.
pub const MAX_REPLY: usize = 4096;

/// The longest reason, in characters: each may take 6 bytes (`\u00e9`), and the whole stays under [`MAX_REPLY`].
const MAX_STATUS: usize = 600;

/// One reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Response {
    /// After HTTP's codes.
    pub code: u16,
    /// "Accepted", what was done, or the reason of the refusal.
    pub status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
}

impl Response {
    /// The command runs; its records carry this id.
    pub fn accepted(id: CommandId) -> Self {
        Self { code: 202, status: "Accepted".to_owned(), id: Some(id.to_string()) }
    }

    /// It is done, and what came of it.
    pub fn done(text: &str) -> Self {
        Self { code: 200, status: bounded(text.to_owned()), id: None }
    }

    /// The command does not run, and why.
    pub fn rejected(rejection: &Rejection) -> Self {
        Self { code: rejection.code(), status: bounded(rejection.to_string()), id: None }
    }

    /// The bytes on the wire.
    pub fn to_bytes(&self) -> Vec<u8> {
        json::python(self).into_bytes()
    }
}

fn bounded(mut status: String) -> String {
    if let Some((cut, _)) = status.char_indices().nth(MAX_STATUS) {
        status.truncate(cut);
        status.push('…');
    }
    status
}

#[cfg(test)]
mod tests {
    use super::{MAX_REPLY, Response};
    use crate::model::{CommandId, Rejection};

    #[test]
    fn the_bytes_are_the_contracts() {
        let id = CommandId::random();
        let reply = Response::accepted(id).to_bytes();
        assert_eq!(
            String::from_utf8(reply).unwrap(),
            format!(r#"{{"code": 202, "status": "Accepted", "id": "{id}"}}"#)
        );
        let reply = Response::rejected(&Rejection::InvalidCommand).to_bytes();
        assert_eq!(String::from_utf8(reply).unwrap(), r#"{"code": 400, "status": "Invalid command"}"#);
        let reply = Response::done("removed 2 backups").to_bytes();
        assert_eq!(String::from_utf8(reply).unwrap(), r#"{"code": 200, "status": "removed 2 backups"}"#);
    }

    #[test]
    fn the_longest_reason_fits_in_one_read_of_the_go_client() {
        let reply = Response::rejected(&Rejection::Broken("é".repeat(100_000))).to_bytes();
        assert!(reply.len() < MAX_REPLY, "{} bytes", reply.len());
        assert!(Response::done(&"é".repeat(100_000)).to_bytes().len() < MAX_REPLY);
    }
}
