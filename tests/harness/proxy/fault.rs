//! What goes wrong, and with which requests.

use std::fmt;

use super::Seen;
use super::http::Head;

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// It is answered with this status and an error of S3 of this code; the store hears nothing of it.
    Answer(u16, &'static str),
    /// It is sent to the same path of another endpoint, with this status; the store hears nothing of it.
    Redirect(u16, String),
    /// The connection is closed when so many bytes of the request's body have come; the store hears nothing of it.
    CutRequest(u64),
    /// The whole request waits for a release before the store hears of it.
    HoldRequest,
    /// The store does what is asked for, and the answer waits for a release.
    HoldAnswer,
    /// The store does what is asked for, and the connection is closed without an answer.
    LoseAnswer,
    /// The connection is closed when so many bytes of the answer's body have gone.
    CutAnswer(u64),
    /// The byte at this place of the answer's body is another one.
    WrongByte(u64),
    /// The answer names this `ETag`.
    ETag(&'static str),
}

impl Fault {
    /// What is answered without the store: status, headers, body.
    pub(super) fn answer(&self, head: &Head) -> Option<(u16, String, String)> {
        let (status, code, headers) = match self {
            Self::Answer(status, code) => (*status, *code, String::new()),
            Self::Redirect(status, endpoint) => {
                let code = if *status == 301 { "PermanentRedirect" } else { "TemporaryRedirect" };
                (*status, code, format!("Location: {endpoint}{}\r\n", head.whole_target()))
            }
            Self::CutRequest(_)
            | Self::HoldRequest
            | Self::HoldAnswer
            | Self::LoseAnswer
            | Self::CutAnswer(_)
            | Self::WrongByte(_)
            | Self::ETag(_) => return None,
        };
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>the test's proxy says so</Message>\
             <RequestId>0</RequestId></Error>"
        );
        Some((status, format!("Content-Type: application/xml\r\n{headers}"), body))
    }
}

/// Which requests a fault strikes, and how often: all of a kind, once, until the test says otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    method: Option<&'static str>,
    path: String,
    query: String,
    passes: u32,
    strikes: Strikes,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strikes {
    Left(u32),
    /// As often as there are requests: whether it ever has.
    Always(bool),
}

impl Rule {
    /// A rule that strikes the next request, whichever it is.
    pub(crate) fn new(fault: Fault) -> Self {
        let (path, query) = (String::new(), String::new());
        Self { method: None, path, query, passes: 0, strikes: Strikes::Left(1), fault }
    }

    /// Strikes requests of this method only.
    pub(crate) fn method(self, method: &'static str) -> Self {
        Self { method: Some(method), ..self }
    }

    /// Strikes requests with this piece in their path only, as it is sent: `/bucket/key`, encoded.
    pub(crate) fn key(self, piece: &str) -> Self {
        Self { path: piece.to_owned(), ..self }
    }

    /// Strikes requests with this piece in their query only: `partNumber=2`, `uploads`.
    pub(crate) fn query(self, piece: &str) -> Self {
        Self { query: piece.to_owned(), ..self }
    }

    /// Lets the first so many requests pass.
    pub(crate) fn after(self, passes: u32) -> Self {
        Self { passes, ..self }
    }

    /// Strikes so many requests.
    pub(crate) fn times(self, times: u32) -> Self {
        Self { strikes: Strikes::Left(times), ..self }
    }

    /// Strikes every request, and there has to be one.
    pub(crate) fn always(self) -> Self {
        Self { strikes: Strikes::Always(false), ..self }
    }

    /// What happens to a request, if it is one of those.
    pub(super) fn strikes(&mut self, seen: &Seen) -> Option<Fault> {
        let fits = self.method.is_none_or(|method| method == seen.method)
            && seen.path.contains(&self.path)
            && seen.query.contains(&self.query);
        if !fits || self.strikes == Strikes::Left(0) {
            return None;
        }
        if self.passes > 0 {
            self.passes -= 1;
            return None;
        }
        self.strikes = match self.strikes {
            Strikes::Left(times) => Strikes::Left(times - 1),
            Strikes::Always(_) => Strikes::Always(true),
        };
        Some(self.fault.clone())
    }

    /// Whether it has not struck as often as it says.
    pub(super) fn is_left(&self) -> bool {
        !matches!(self.strikes, Strikes::Left(0) | Strikes::Always(true))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.unwrap_or("any method");
        write!(f, "{:?} for {method} …{}…?…{}… ({:?})", self.fault, self.path, self.query, self.strikes)
    }
}
