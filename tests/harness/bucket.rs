//! An S3 store of a test's own, in this process: one bucket, on a free port of 127.0.0.1, gone when it is dropped.
//!
//! The crate `s3s` speaks HTTP and XML and checks signatures; what the bucket does is ours ([`shelf`]), and `contract::store` holds it
//! to a real store. Objects are in memory. The test sees and changes them here, past the protocol.

mod rights;
mod service;
mod shelf;

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use hyper_util::rt::TokioIo;
use s3s::service::{S3Service, S3ServiceBuilder};
use tokio::sync::oneshot;

use rights::{Access, Rights, Secrets};
use shelf::{Shelf, State};

/// Where a bucket is, and who asks it: all that a client has to be told.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    /// `http://address:port`, without a path.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) bucket: String,
    pub(crate) key: String,
    pub(crate) secret: String,
}

impl Login {
    /// Writes a file of the form of AWS's shared credentials, for nobody but its owner to read.
    pub(crate) fn write_credentials(&self, path: &Path) {
        // A file that is there would keep its mode.
        let _ = fs::remove_file(path);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).unwrap();
        let text = format!("[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n", self.key, self.secret);
        file.write_all(text.as_bytes()).unwrap();
    }

    /// The same bucket for another one of [`KEYS`].
    pub(super) fn of(&self, who: usize) -> Self {
        let (_, key, secret) = KEYS[who];
        Self { key: key.to_owned(), secret: secret.to_owned(), ..self.clone() }
    }

    /// The same bucket by another address: that of a proxy before it.
    pub(crate) fn by(&self, endpoint: &str) -> Self {
        Self { endpoint: endpoint.to_owned(), ..self.clone() }
    }
}

/// A multipart upload that was begun, and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OpenUpload {
    pub(crate) key: String,
    pub(crate) id: String,
    /// The length of each part, by its number.
    pub(crate) parts: BTreeMap<i32, u64>,
}

/// A store that runs, with one bucket.
pub(crate) struct Bucket {
    login: Login,
    shelf: Arc<Shelf>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

/// The name of the bucket.
const NAME: &str = "dbcalm-backups";

/// Who may ask: name, access key, secret.
pub(super) const KEYS: [(&str, &str, &str); 3] = [
    ("owner", "AKIAOFTHETESTOWNER00", "s3cret/of+the/test+owner/0000000000000000"),
    ("keeper", "AKIAOFTHETESTKEEPER0", "s3cret/of+the/test+keeper/000000000000000"),
    ("reader", "AKIAOFTHETESTREADER0", "s3cret/of+the/test+reader/000000000000000"),
];

/// What each of them may do.
const RIGHTS: [Rights; 3] = [Rights::All, Rights::NoDelete, Rights::ReadOnly];

impl Bucket {
    /// Starts a store with an empty bucket. It answers when this returns.
    pub(crate) fn start() -> Self {
        let shelf = Arc::new(Shelf::default());
        let mut service = S3ServiceBuilder::new(service::Service::new(NAME, Arc::clone(&shelf)));
        service.set_auth(Secrets(KEYS.map(|(_, key, secret)| (key, secret)).to_vec()));
        service.set_access(Access::new(KEYS.map(|(_, key, _)| key).into_iter().zip(RIGHTS)));
        let service = service.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let server = std::thread::Builder::new().name("bucket".to_owned());
        let server = server.spawn(move || serve(listener, &service, stopped)).unwrap();
        Self { login: login(address), shelf, stop: Some(stop), server: Some(server) }
    }

    /// What its owner has to know.
    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// The login of somebody who may write, read, list and abort uploads, and not delete.
    pub(crate) fn keeper(&self) -> Login {
        self.login.of(1)
    }

    /// The login of somebody who may read and list, and nothing else.
    pub(crate) fn reader(&self) -> Login {
        self.login.of(2)
    }

    /// Every key, with the length of its object in bytes.
    pub(crate) fn keys(&self) -> BTreeMap<String, u64> {
        let length = |object: &shelf::Object| object.bytes.len() as u64;
        self.state().objects.iter().map(|(key, object)| (key.clone(), length(object))).collect()
    }

    /// An object's bytes. None if there is no such key.
    pub(crate) fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.state().objects.get(key).map(|object| object.bytes.to_vec())
    }

    /// Puts an object in its place, or other bytes into it.
    pub(crate) fn write(&self, key: &str, bytes: &[u8]) {
        self.state().objects.insert(key.to_owned(), shelf::Object::of(bytes.to_vec().into()));
    }

    /// Takes an object away; whether there was one.
    pub(crate) fn remove(&self, key: &str) -> bool {
        self.state().objects.remove(key).is_some()
    }

    /// Lets it retain what is written from now on: what comes without a checksum is not taken any more.
    pub(crate) fn retain(&self) {
        self.state().retains = true;
    }

    /// Begins a multipart upload, and leaves it.
    pub(crate) fn begin(&self, key: &str) {
        self.state().begin(key.to_owned(), shelf::About::default());
    }

    /// The multipart uploads that are left open, the oldest first.
    pub(crate) fn uploads(&self) -> Vec<OpenUpload> {
        let state = self.state();
        let mut uploads: Vec<_> = state.uploads.iter().collect();
        uploads.sort_by_key(|(_, upload)| upload.begun);
        let lengths = |upload: &shelf::Upload| {
            upload.parts.iter().map(|(number, part)| (*number, part.bytes.len() as u64)).collect()
        };
        let open = |(id, upload): (&String, &shelf::Upload)| OpenUpload {
            key: upload.key.clone(),
            id: id.clone(),
            parts: lengths(upload),
        };
        uploads.into_iter().map(open).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Bucket {
    /// Closes the port and every connection.
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.server.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()), "the bucket's thread panicked");
        }
    }
}

fn login(address: SocketAddr) -> Login {
    Login {
        endpoint: format!("http://{address}"),
        region: "us-east-1".to_owned(),
        bucket: NAME.to_owned(),
        key: KEYS[0].1.to_owned(),
        secret: KEYS[0].2.to_owned(),
    }
}

/// Answers until the other end of the channel is dropped.
fn serve(listener: std::net::TcpListener, service: &S3Service, stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let accept = async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            // A part's last bytes and the answer to them are small packets.
            stream.set_nodelay(true).unwrap();
            let service = service.clone();
            tokio::spawn(async move {
                // Its only failures are clients that leave.
                let _ =
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
            });
        }
    };
    runtime.block_on(async {
        tokio::select! {
            () = accept => (),
            _ = stopped => (),
        }
    });
}
