//! What the store answers, seen while it goes by: the client's own errors hold it as text alone.

use std::cell::RefCell;
use std::future::Future;

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
    ReqwestConnector,
};

/// How much of an error's text is looked at, in bytes.
const MOST: usize = 16 * 1024;

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    /// No whole answer.
    None {
        /// What the network, or the encryption, said.
        why: String,
        /// Whether the store could not be reached at all.
        unreached: bool,
    },
    /// An answer that is no success.
    Answer {
        /// HTTP's status.
        status: u16,
        /// S3's own code, as `SlowDown`. Empty if there is none.
        code: String,
        /// S3's own text. Empty if there is none.
        message: String,
    },
}

tokio::task_local! {
    static SEEN: RefCell<Option<Seen>>;
}

/// Does a request, and gives what was seen of its last failure.
pub(super) async fn watched<T>(request: impl Future<Output = T>) -> (T, Option<Seen>) {
    SEEN.scope(RefCell::new(None), async {
        let outcome = request.await;
        (outcome, SEEN.with(RefCell::take))
    })
    .await
}

fn note(seen: Seen) {
    let _unwatched = SEEN.try_with(|last| last.replace(Some(seen)));
}

/// Makes clients that are watched.
#[derive(Debug)]
pub(super) struct Watching;

#[derive(Debug)]
struct Watched(HttpClient);

impl HttpConnector for Watching {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Watched(ReqwestConnector::default().connect(options)?)))
    }
}

#[async_trait]
impl HttpService for Watched {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let is_head = request.method().as_str() == "HEAD";
        let answer = match self.0.execute(request).await {
            Ok(answer) => answer,
            Err(why) => {
                let unreached = why.kind() == HttpErrorKind::Connect;
                note(Seen::None { why: innermost(&why), unreached });
                return Err(why);
            }
        };
        let status = answer.status().as_u16();
        if status < 300 {
            return Ok(answer);
        }
        if is_head {
            note(Seen::Answer { status, code: String::new(), message: String::new() });
            return Ok(answer);
        }
        let (parts, body) = answer.into_parts();
        let bytes = body.bytes().await?;
        let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(MOST)).unwrap_or_default());
        let (code, message) = (element(&text, "Code"), element(&text, "Message"));
        note(Seen::Answer { status, code, message });
        Ok(HttpResponse::from_parts(parts, whole(&bytes)))
    }
}

/// A body of bytes that are there already.
fn whole(bytes: &[u8]) -> HttpResponseBody {
    bytes.to_vec().into()
}

/// The first text of an element. Empty if there is none.
fn element(text: &str, name: &str) -> String {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let inside = text.split_once(&open).and_then(|(_, rest)| rest.split_once(&close));
    inside.map(|(inside, _)| inside.chars().filter(|c| !c.is_control()).take(300).collect()).unwrap_or_default()
}

/// What the lowest layer said: those above say that it said something.
fn innermost(why: &HttpError) -> String {
    let mut last: &dyn std::error::Error = why;
    while let Some(below) = last.source() {
        last = below;
    }
    last.to_string()
}
