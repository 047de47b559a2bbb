//! TLS before a store that speaks plain HTTP: an authority of a test's own, and certificates of which something may be wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ProtocolVersion, ServerConfig, version};
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Who signs certificates.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What is wrong with a certificate, or with how it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// It is of another host.
    OtherName,
    Expired,
    NotYet,
    /// The server knows no newer protocol than TLS 1.2, which is none.
    OldProtocol,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes its own certificate: what a client has to trust.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    /// A server's side of TLS for a host of this name.
    fn server(&self, host: &str, flaw: Flaw) -> ServerConfig {
        let named = if flaw == Flaw::OtherName { "elsewhere.example" } else { host };
        let mut params = CertificateParams::new([named.to_owned()]).unwrap();
        let now = SystemTime::now();
        let (from, to) = match flaw {
            Flaw::Expired => (now - 2 * DAY, now - DAY),
            Flaw::NotYet => (now + DAY, now + 2 * DAY),
            Flaw::None | Flaw::OtherName | Flaw::OldProtocol => (now - DAY, now + DAY),
        };
        (params.not_before, params.not_after) = (from.into(), to.into());
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        let versions = if flaw == Flaw::OldProtocol { &[&version::TLS12][..] } else { rustls::ALL_VERSIONS };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        server.with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// TLS on a free port of 127.0.0.1, until it is dropped.
pub(crate) struct Tls {
    address: SocketAddr,
    seen: Arc<Seen>,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    /// Those that agreed, by their protocol.
    old: AtomicUsize,
    new: AtomicUsize,
}

impl Tls {
    /// Stands before a store without TLS, with a certificate of `authority` for 127.0.0.1.
    pub(crate) fn before(endpoint: &str, authority: &Authority, flaw: Flaw) -> Self {
        let store = endpoint.strip_prefix("http://").expect("a store without TLS").to_owned();
        let acceptor = TlsAcceptor::from(Arc::new(authority.server("127.0.0.1", flaw)));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let seen = Arc::new(Seen::default());
        let counting = Arc::clone(&seen);
        let server = std::thread::Builder::new().name("tls".to_owned());
        let server = server.spawn(move || serve(listener, &acceptor, &store, &counting, stopped)).unwrap();
        Self { address, seen, stop: Some(stop), server: Some(server) }
    }

    /// `https://address:port`.
    pub(crate) fn endpoint(&self) -> String {
        format!("https://{}", self.address)
    }

    /// How many clients have come.
    pub(crate) fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }

    /// How many of them have agreed on TLS 1.2, and how many on what is newer.
    pub(crate) fn agreed(&self) -> (usize, usize) {
        (self.seen.old.load(Ordering::SeqCst), self.seen.new.load(Ordering::SeqCst))
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.server.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            assert!(ended.is_some_and(|ended| ended.is_ok()), "the thread of TLS panicked");
        }
    }
}

/// Passes on what comes until the other end of the channel is dropped.
fn serve(
    listener: std::net::TcpListener,
    acceptor: &TlsAcceptor,
    store: &str,
    seen: &Arc<Seen>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let accept = async {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let (client, _) = listener.accept().await.unwrap();
            seen.connections.fetch_add(1, Ordering::SeqCst);
            let (acceptor, store, seen) = (acceptor.clone(), store.to_owned(), Arc::clone(seen));
            tokio::spawn(async move {
                // A client that does not take the certificate leaves here.
                let Ok(mut client) = acceptor.accept(client).await else { return };
                let is_old = client.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_2);
                if is_old { &seen.old } else { &seen.new }.fetch_add(1, Ordering::SeqCst);
                let Ok(mut store) = tokio::net::TcpStream::connect(store).await else { return };
                // Its only failures are ends that leave.
                let _ = tokio::io::copy_bidirectional(&mut client, &mut store).await;
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
